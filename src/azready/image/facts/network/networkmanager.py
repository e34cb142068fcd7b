"""NetworkManager: keyfiles and (where its plug-in is there) ifcfg files, and by itself DHCP for a card without either.

Sources: NetworkManager.conf(5), nm-settings-keyfile(5), NetworkManager's rules of udev.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from azready.image.facts.network import ifcfg
from azready.image.facts.network.ifcfg import SHORTEST_TIMEOUT
from azready.image.facts.network.model import (
    FALSE,
    TRUE,
    Draft,
    Fault,
    Line,
    Nic,
    Profile,
    Reading,
    Scene,
    Stack,
    fits,
)
from azready.image.facts.network.naming import unmanaged_by_udev
from azready.image.facts.reading import decimal, layered, lstat_of, names_in, numbered, sections, text_of
from azready.image.targets import Files

_KEYFILES = (
    "etc/NetworkManager/system-connections",
    "run/NetworkManager/system-connections",
    "usr/lib/NetworkManager/system-connections",
)
_OFF = ("autoconnect=", "permissions=")
"""By these a profile starts for nobody, and yet NetworkManager makes none by itself beside it."""
_ETHERNET = ("ethernet", "802-3-ethernet")


def settings(files: Files) -> dict[tuple[str, str], str]:
    """NetworkManager.conf and its folders as one: a later value wins, `key+=` adds to it."""
    found: dict[tuple[str, str], str] = {}
    for path in _configuration(files):
        for section, key, value, _ in sections(text_of(files, path) or ""):
            if key.endswith(("+", "-")):
                key, adds = key[:-1].strip(), key.endswith("+")
                old = found.get((section, key), "")
                value = ",".join(part for part in (old, value if adds else "") if part)
            found[section, key] = value
    return found


def _configuration(files: Files) -> list[str]:
    folders = ("etc/NetworkManager/conf.d", "run/NetworkManager/conf.d", "usr/lib/NetworkManager/conf.d")
    parts = layered(files, folders, ".conf")
    mine = [path for path in parts if path.startswith("etc/")]
    return [*(path for path in parts if path not in mine), "etc/NetworkManager/NetworkManager.conf", *mine]


def keyfiles(files: Files) -> Iterator[Profile]:
    """The Ethernet connections in keyfiles; a file of the same name in /etc hides that in /usr."""
    seen = set()
    for folder in _KEYFILES:
        for name in names_in(files, folder):
            path = f"{folder}/{name}"
            if name in seen or name.startswith(".") or name.endswith(("~", ".bak", ".rpmsave", ".rpmnew", ".dpkg-old")):
                continue
            seen.add(name)
            yield from parse_keyfile(text_of(files, path) or "", path, _is_open(files, path))


def _is_open(files: Files, path: str) -> bool:
    """NetworkManager ignores a keyfile in /etc that others may read: it may hold passwords."""
    found = lstat_of(files, path)
    return bool(path.startswith("etc/") and found and found.kind == "file" and found.mode & 0o077)


def parse_keyfile(text: str, path: str, is_open: bool = False) -> Iterator[Profile]:
    """A NetworkManager connection; only Ethernet ones. Old files call the section 802-3-ethernet."""
    values = {(section, key): value for section, key, value, _ in sections(text)}
    by_section = next((section for section, _ in values if section in _ETHERNET), "")
    if values.get(("connection", "type"), by_section) not in _ETHERNET or _is_invalid(values):
        return
    named = values.get(("connection", "interface-name")) or values.get(("match", "interface-name"), "")
    method = values.get(("ipv4", "method"), "auto")
    manual = method == "manual"
    bound = _lines(text, path, _ETHERNET, ("mac-address",))
    yield Profile(
        "networkmanager",
        path,
        tuple(_words(named)),
        tuple(_words(values.get(("match", "driver"), ""))),
        method == "auto",
        (*_lines(text, path, ("ipv4",), ("gateway",)), Line("method=manual", path)) if manual else (),
        bound + _fixed_clones(text, path),
        elsewhere=_why_not(values, bool(bound), is_open),
        faults=tuple(_faults(text, path)),
        master=values.get(("connection", "controller"), values.get(("connection", "master"), "")),
        file=f"{999 - _number(values.get(('connection', 'autoconnect-priority'), '0')):05}"
        f"{values.get(('connection', 'uuid'), 'f')}",
    )


def _faults(text: str, path: str) -> Iterator[Fault]:
    for section, key, value, number in sections(text):
        line = Line(f"{key}={value}", f"{path}:{number}")
        if section != "ipv4":
            continue
        if key in ("never-default", "ignore-auto-routes") and value.lower() in TRUE:
            yield Fault("routes", line)
        elif key == "dhcp-send-hostname" and value.lower() in FALSE:
            yield Fault("name", line)
        elif key == "dhcp-timeout" and 0 < (decimal(value) or 0) < SHORTEST_TIMEOUT:
            yield Fault("patience", line)


def _is_invalid(values: dict[tuple[str, str], str]) -> bool:
    """Whether NetworkManager takes nothing of such a file, as of one that tells no type."""
    method = values.get(("ipv4", "method"), "auto")
    addressed = any(section == "ipv4" and re.fullmatch(r"address(es|\d+)", key) for section, key in values)
    return method not in _METHODS or (method == "manual" and not addressed)


_METHODS = ("auto", "manual", "link-local", "shared", "disabled")


def _why_not(values: dict[tuple[str, str], str], bound: bool, is_open: bool) -> str:
    if is_open:
        return "others may read it, so NetworkManager ignores it: mode 0600"
    said = values.get(("connection", "autoconnect"), "")
    if said in ("false", "0"):  # what is no boolean of GKeyFile's leaves the default
        return f"autoconnect={said}"
    if users := values.get(("connection", "permissions")):
        return f"permissions={users}"
    if bound:
        return "it is bound to a MAC address"
    for key in ("path", "kernel-command-line"):
        if values.get(("match", key)):
            return f"it is for {key}={values['match', key]}"
    return ""


def _number(text: str) -> int:
    return decimal(text) or 0


def _words(text: str) -> list[str]:
    return [part for part in text.replace(";", " ").replace(",", " ").split() if part]


def _lines(text: str, path: str, where: tuple[str, ...], keys: tuple[str, ...]) -> tuple[Line, ...]:
    return tuple(
        Line(f"{key}={value}", f"{path}:{number}")
        for section, key, value, number in sections(text)
        if section in where and key in keys and value
    )


def _fixed_clones(text: str, path: str) -> tuple[Line, ...]:
    return tuple(line for line in _lines(text, path, _ETHERNET, ("cloned-mac-address",)) if ":" in line.text)


def read(scene: Scene) -> Reading:
    """What NetworkManager makes of the first card: of the profiles that fit, the one of the highest priority."""
    configured = settings(scene.files)
    plugins = configured.get(("main", "plugins"), "")
    mine = [*keyfiles(scene.files), *scene.netplan]
    if "keyfile" not in plugins or "ifcfg-rh" in plugins:
        mine += ifcfg.redhat(scene.files)
    if why := _why_unmanaged(scene, configured, plugins):
        return Reading(tuple(mine), why=why)
    fitting = [each for each in mine if each.applies_to(scene.nic) and not each.unmanaged and not each.down]
    best = min((each.order for each in fitting), default="")
    applied = tuple(each for each in fitting if each.order == best)
    if applied:
        why = f"{applied[0].path} is what it takes, and has no DHCP for IPv4"
        return Reading(tuple(mine), applied, any(each.dhcp4 or each.master for each in applied), why)
    why = _why_none_by_itself(scene, configured, mine)
    return Reading(tuple(mine), (), not why, why)


def _why_none_by_itself(scene: Scene, configured: Mapping[tuple[str, str], str], mine: Sequence[Profile]) -> str:
    """Why it makes no profile for a card that none fits; empty: it makes one, which asks."""
    for each in mine:
        if each.elsewhere.startswith(_OFF) and fits(each.names, *scene.nic.names):
            return f"{each.path} has {each.elsewhere}, and stands for the one that it makes by itself"
    forbidden = _specified(configured.get(("main", "no-auto-default"), ""), scene.nic)
    return "no profile fits, and no-auto-default forbids one by itself" if forbidden else ""


def _why_unmanaged(scene: Scene, configured: dict[tuple[str, str], str], plugins: str) -> str:
    nic = scene.nic
    for (section, key), value in configured.items():
        if (section, key) == ("keyfile", "unmanaged-devices") and _specified(value, nic):
            return f"unmanaged-devices={value} leaves {nic.name} out"
    if (said := _said_of_device(scene.files, nic)) and said[1].lower() in ("0", "false", "no", "off"):
        return f"[{said[0]}] managed={said[1]} leaves {nic.name} out"
    if "ifupdown" in plugins and configured.get(("ifupdown", "managed"), "false").lower() not in TRUE:
        text = text_of(scene.files, "etc/network/interfaces") or ""
        if any(line.split()[:2] == ["iface", nic.name] for _, line in numbered(text)):
            return f"{nic.name} is in /etc/network/interfaces, and [ifupdown] managed=false leaves it to ifupdown"
    if scene.taken:
        return "netplan has given it to networkd, and says NM_UNMANAGED for it"
    if unmanaged_by_udev(scene.files):
        return "a udev rule says NM_UNMANAGED for it"
    return ""


def _said_of_device(files: Files, nic: Nic) -> tuple[str, str] | None:
    """The section and value of `managed` that count: of the last file's sections that fit, the first."""
    for path in reversed(_configuration(files)):
        said: dict[str, dict[str, str]] = {}
        for section, key, value, _ in sections(text_of(files, path) or ""):
            if section.startswith("device"):
                said.setdefault(section, {})[key] = value
        for section, values in said.items():
            if "managed" in values and _specified(values.get("match-device", "*"), nic):
                return section, values["managed"]
    return None


def _specified(listed: str, nic: Nic) -> bool:
    """Whether a list of devices names the card; `except:` wins, as in NetworkManager.conf(5)."""
    words = _words(listed)
    left_out = any(_names(word.removeprefix("except:"), nic) for word in words if word.startswith("except:"))
    positive = [word for word in words if not word.startswith("except:")]
    return not left_out and (any(_names(word, nic) for word in positive) or (bool(words) and not positive))


def _names(word: str, nic: Nic) -> bool:
    kind, colon, value = word.partition(":")
    if not colon:
        return _matches(nic.name, word.lstrip("="))
    match kind:
        case "interface-name":
            return value.lstrip("=~") == nic.name if value.startswith("=") else _matches(nic.name, value.lstrip("~"))
        case "driver":
            return _matches(nic.driver, value)
        case "type":
            return value == "ethernet"
        case _:
            return False


def _matches(name: str, pattern: str) -> bool:
    """GLib's patterns know "*" and "?" only."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))


PROFILE = """\
# Written by azready: an address by DHCP, as Azure gives it.
[connection]
id=azure-dhcp
type=ethernet
autoconnect-priority=-100
multi-connect=3

[match]
interface-name=eth*;en[opsx]*;

[ipv4]
method=auto

[ipv6]
method=auto
addr-gen-mode=eui64
"""


def drafts(scene: Scene) -> Iterator[Draft]:
    """The profile of the highest priority is taken: the last of all, unless another one is in the way."""
    text = PROFILE
    if not any(fnmatchcase(scene.nic.name, pattern) for pattern in ("en[opsx]*", "eth*")):
        text = text.replace("interface-name=", f"interface-name={scene.nic.name};")
    path = "etc/NetworkManager/system-connections/azure-dhcp.nmconnection"
    for priority in ("-100", "100"):
        yield Draft(path, text.replace("autoconnect-priority=-100", f"autoconnect-priority={priority}"), 0o600)


STACK = Stack(
    "networkmanager",
    "usr/{sbin,bin}/NetworkManager",
    ("NetworkManager.service", "networkmanager"),
    read,
    drafts,
    wait_online="NetworkManager-wait-online.service",
)
