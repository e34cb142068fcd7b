"""ifupdown in its three kinds: Debian's, busybox's, and ifupdown-ng. All files are one text, read in order.

Sources: interfaces(5) of ifupdown and of ifupdown-ng, busybox's ifupdown.c.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import pairwise

from azready.image.facts.network.model import Draft, Line, Nic, Profile, Reading, Scene, Stack
from azready.image.facts.reading import MOST_INCLUDED, Budget, layered, names_in, stat_of, text_of
from azready.image.targets import Files

MAIN = "etc/network/interfaces"
_HELPER = "etc/network/cloud-ifupdown-helper"
_NG = "usr/{libexec,lib}/ifupdown-ng"
_DEPTH = 8
_AT_BOOT = ("auto", "allow-auto", "allow-hotplug")
"""`allow-` with any other word is for somebody who asks for that class."""
_CLIENTS = ("dhclient", "dhcpcd", "udhcpc", "busybox")
_UDEV = ("etc/udev/rules.d", "run/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d",
         "lib/udev/rules.d")  # fmt: skip


@dataclass
class _Stanza:
    name: str
    path: str
    family: str = ""
    method: str = ""
    options: list[Line] = field(default_factory=list)
    inherits: tuple[str, ...] = ()

    def says(self, *words: str) -> bool:
        return any(line.text.split()[: len(words)] == list(words) for line in self.options)


@dataclass
class _Text:
    """What all files together say; `started` are the names and patterns of `auto` and `allow-hotplug`."""

    stanzas: list[_Stanza] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    ng: bool = False
    refused: str = ""
    """Why the program takes nothing of it."""


def _lines(files: Files, path: str, budget: Budget, depth: int = 0) -> Iterator[tuple[str, int, str]]:
    """Every line that says something, of a file and of those it takes in at that place. A "\\" joins lines."""
    budget.take()
    text = (text_of(files, path) or "").replace("\\\n", " ")
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if words[0] in ("source", "source-directory") and depth < _DEPTH:
            for pattern in words[1:]:
                for each in _sourced(files, path, words[0], pattern):
                    yield from _lines(files, each, budget, depth + 1)
        else:
            yield path, number, line


def _is_ng(files: Files) -> bool:
    return bool(files.glob(_NG))


def _sourced(files: Files, path: str, how: str, pattern: str) -> list[str]:
    """ifupdown-ng reads every name of a folder, and knows neither patterns nor relative names: a file that is not
    there ends its parsing. None reads a folder that `source` names."""
    is_ng = _is_ng(files)
    base = "" if pattern.startswith("/") or is_ng else f"{path.rpartition('/')[0]}/"
    place = f"{base}{pattern}".strip("/")
    if is_ng and how == "source-directory":
        return [f"{place}/{name}" for name in names_in(files, place) if not name.startswith(".")]
    if is_ng and ((found := stat_of(files, place)) is None or found.kind != "file"):
        raise ValueError(f"source {pattern}: ifupdown-ng takes the path of one file, and there is no such file")
    if how == "source-directory":
        return [f"{place}/{name}" for name in names_in(files, place) if re.fullmatch(r"[a-zA-Z0-9_-]+", name)]
    return [each for each in files.glob(place) if (text_of(files, each)) is not None]


def _parse(files: Files) -> _Text:
    """ifupdown-ng's `iface X` without a method is a stanza too, and adds to one of the same name. Of `auto` it takes
    the first word, and no other word brings up at boot."""
    found = _Text(ng=_is_ng(files))
    try:
        lines = list(_lines(files, MAIN, Budget(MOST_INCLUDED, "files")))
    except ValueError as error:
        return _Text(refused=str(error))
    for path, number, line in lines:
        words = line.split()
        if words[0] in (("auto",) if found.ng else _AT_BOOT):
            found.started += words[1:2] if found.ng else words[1:]
        elif len(words) >= 2 and words[0] in (("iface", "interface") if found.ng else ("iface",)):
            found.stanzas.append(_stanza(words, path))
        elif words[0] == "template" and len(words) == 2:
            found.stanzas.append(_Stanza(words[1], path, "template"))
        elif words[0] in ("mapping", "template", "rename", "no-auto-down", "no-scripts"):
            found.stanzas.append(_Stanza("", path))
        elif found.stanzas:
            found.stanzas[-1].options.append(Line(line, f"{path}:{number}"))
    return found


def _stanza(words: list[str], path: str) -> _Stanza:
    rest = words[2:]
    stanza = _Stanza(words[1], path)
    if "inherits" in rest:
        stanza.inherits = tuple(rest[rest.index("inherits") + 1 :])
        rest = rest[: rest.index("inherits")]
    if rest:
        stanza.family, stanza.method = rest[0], rest[1] if len(rest) > 1 else ""
    return stanza


def _fixed(stanza: _Stanza) -> tuple[Line, ...]:
    said = tuple(line for line in stanza.options if line.text.split()[0] in ("address", "gateway"))
    return said or ((Line(f"iface {stanza.name} inet static", stanza.path),) if stanza.method == "static" else ())


def _profile(stanza: _Stanza, text: _Text) -> Profile | None:
    of_ipv6 = stanza.family == "inet6" and not (text.ng and stanza.method == "dhcp")  # its `dhcp` asks for both
    if not stanza.name or of_ipv6 or stanza.family == "template":
        return None
    uses = stanza.says("use", "dhcp") or (text.ng and _inherits_dhcp(stanza, text))
    dhcp = stanza.method == "dhcp" or uses
    names = _cards_of(stanza.name, text.started)
    return Profile(
        "ifupdown",
        stanza.path,
        names or (stanza.name,),
        (),
        dhcp and bool(names),
        _fixed(stanza) if stanza.method in ("static", "") else (),
        tuple(line for line in stanza.options if line.text.split()[0] in ("hwaddress", "hwaddr")),
        elsewhere="" if names else "nothing brings it up at boot",
    )


def _inherits_dhcp(stanza: _Stanza, text: _Text) -> bool:
    """ifupdown-ng inherits what is used, by its head line or `inherit`; Debian's options only, never the method."""
    above = (*stanza.inherits, *(line.text.split()[-1] for line in stanza.options if line.text.startswith("inherit ")))
    return any(each.name in above and (each.method == "dhcp" or each.says("use", "dhcp")) for each in text.stanzas)


def _cards_of(logical: str, started: list[str]) -> tuple[str, ...]:
    """The cards (or patterns of them) that are brought up as this stanza: `auto eth0`, `auto /eth*`, `auto /e*=lan`."""
    found = []
    for word in started:
        card, equals, mapped = word.partition("=")
        is_pattern = card.startswith("/")
        card = card.lstrip("/").partition("/")[0] or "*"
        if equals and mapped == logical:
            found.append(card)
        elif not equals and is_pattern and _matches(logical, card):
            found.append(logical)
        elif not equals and card == logical:
            found.append(card)
    return tuple(found)


def _matches(name: str, pattern: str) -> bool:
    """As fnmatch(3) with FNM_EXTMATCH, of which `!(lo|eth1)` is in use."""
    if left_out := re.fullmatch(r"!\(([^()]*)\)", pattern):
        return not any(fnmatchcase(name, each) for each in left_out[1].split("|"))
    return fnmatchcase(name, pattern)


def profiles(files: Files) -> tuple[Profile, ...]:
    """The stanzas that concern IPv4, from all files."""
    text = _parse(files)
    return tuple(made for stanza in text.stanzas if (made := _profile(stanza, text)) is not None)


def _helper_runs(files: Files) -> bool:
    """Debian's cloud images: a udev rule makes a DHCP stanza for every card that appears."""
    if not files.exists(_HELPER):
        return False
    rules = layered(files, _UDEV, ".rules")
    return any("cloud-ifupdown-helper" in (text_of(files, path) or "") for path in rules if "ifupdown" in path)


def read(scene: Scene) -> Reading:
    """What ifupdown makes of the first card; without a DHCP client it cannot ask."""
    mine = profiles(scene.files)
    if refused := _parse(scene.files).refused:
        return Reading(mine, why=refused)
    applied = tuple(each for each in mine if each.applies_to(scene.nic))
    if not any(scene.files.glob(f"{{usr/,usr/local/,}}{{bin,sbin}}/{client}") for client in _CLIENTS):
        return Reading(mine, applied, why="no DHCP client is installed: dhclient, dhcpcd or udhcpc")
    if any(each.dhcp4 for each in applied):
        return Reading(mine, applied, asks=True)
    if any(_is_port(scene.files, each) for each in mine if each.dhcp4):
        return Reading(mine, applied, asks=True)
    if _helper_runs(scene.files):
        return Reading(mine, applied, asks=True)
    why = f"{applied[0].path} has no DHCP for it" if applied else f"no stanza brings {scene.nic.name} up by DHCP"
    return Reading(mine, applied, why=why)


def _is_port(files: Files, bridge: Profile) -> bool:
    """Whether the first card is a part of this bridge or bond, which asks."""
    for stanza in _parse(files).stanzas:
        if stanza.name in bridge.names:
            for line in stanza.options:
                words = line.text.split()
                if words[0] in ("bridge_ports", "bridge-ports", "bond-slaves", "slaves") and _among(words[1:]):
                    return True
    return False


def _among(ports: list[str]) -> bool:
    """Whether the first card is one of them: bridge-utils-interfaces(5) knows `all` and `regex PATTERN`, too."""
    by_pattern = [
        re.fullmatch(pattern, Nic().name)
        for word, pattern in pairwise(ports)
        if word == "regex" and _is_pattern(pattern)
    ]
    return Nic().name in ports or "all" in ports or any(by_pattern)


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


PROFILE = """\
# Written by azready: an address by DHCP, as Azure gives it.
auto eth0
iface eth0 inet dhcp
"""
PATTERN_PROFILE = """\
# Written by azready: an address by DHCP, as Azure gives it. The card is eth0 in Azure; elsewhere (a test in QEMU) udev
# names it by its slot.
auto /e[nt][hopsx]*=azure
iface azure inet dhcp
"""
"""For Debian's ifupdown, which knows patterns; busybox's and ifupdown-ng do not."""


def drafts(scene: Scene) -> Iterator[Draft]:
    """A fixed address becomes DHCP where it stands. Else a file of its own where the main one reads its folder, else a
    stanza at the end of the main one."""
    files = scene.files
    for path in dict.fromkeys(each.path for each in read(scene).applied):
        text = text_of(files, path) or ""
        made = by_dhcp(text, scene.nic.name)
        if made != text:
            yield Draft(path, made, None)
    profile = PATTERN_PROFILE if _knows_patterns(files) else PROFILE
    main = text_of(files, MAIN) or ""
    if re.search(r"(?m)^[ \t]*source(-directory)?\s+/etc/network/interfaces\.d(/\*)?\s*$", main):
        yield Draft("etc/network/interfaces.d/50-azure-dhcp", profile)
    loopback = "" if re.search(r"(?m)^[ \t]*iface\s+lo\b", main) else "auto lo\niface lo inet loopback\n\n"
    yield Draft(MAIN, f"{main.rstrip()}\n\n{loopback}{profile}".lstrip())


_FIXED = ("address", "netmask", "gateway", "broadcast", "network", "pointopoint")


def by_dhcp(text: str, card: str) -> str:
    """interfaces(5) in which the stanza of `card` asks by DHCP instead of having a fixed address."""
    lines, inside = [], False
    for line in text.splitlines(keepends=True):
        words = line.split()
        if words[:1] and words[0] in ("iface", "auto", "mapping", "source", "source-directory", "template"):
            inside = words[:2] == ["iface", card] and words[3:4] != ["dhcp"] and "inet6" not in words
            if inside:
                line = re.sub(rf"(iface\s+{re.escape(card)}\b).*", r"\1 inet dhcp", line)
        elif inside and words[:1] and words[0] in _FIXED:
            continue
        lines.append(line)
    return "".join(lines)


def _knows_patterns(files: Files) -> bool:
    """Debian's ifupdown, since 0.8.17; this script of its package came later."""
    return bool(files.glob("{usr/,}lib/ifupdown/wait-online.sh"))


STACK = Stack("ifupdown", "{usr/,}sbin/ifup", ("networking.service", "networking"), read, drafts, ("networking",))
