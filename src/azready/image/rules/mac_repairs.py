"""N02's repair: what is bound to a MAC address is bound to the card's name instead, in the words of each format.

The one profile that is bound becomes one for the first card under any name (eth0 in Azure, by slot in QEMU); several
become eth0, eth1 … in their order. Comments and all else stay. A setting that only gives a MAC address goes.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from azready.image.actions import Action, Remove
from azready.image.facts import Facts
from azready.image.rules import repairs
from azready.image.rules.model import Finding

if TYPE_CHECKING:
    import yaml

    Pair = tuple[yaml.Node, yaml.Node]

_ANY = "e[nt][hopsx]*"
"""eth0, enp0s3, ens3, eno1, enx…: not enP…, which is a virtual function."""
_ANY_WORDS = "en[opsx]* eth*"


def free_of_macs(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    """One write a file. Findings must be N02's."""
    paths = list(dict.fromkeys(finding.path for finding in findings))
    bound = [path for path in paths if _binds(path, facts.text(path) or "")]
    for path in paths:
        number = bound.index(path) if path in bound and len(bound) > 1 else None
        yield from _freed(facts, path, number, findings)


def _freed(facts: Facts, path: str, number: int | None, findings: Sequence[Finding]) -> Iterator[Action]:
    text = facts.text(path) or ""
    if path.endswith(".rules") or path == "etc/mactab":
        yield Remove(path)
        return
    made = _rewritten(path, text, number)
    if made is not None and made != text:
        yield repairs.write(path, made)
    elif path.startswith("etc/network/"):
        yield from repairs.drop_lines(facts, [finding for finding in findings if finding.path == path])


def _rewritten(path: str, text: str, number: int | None) -> str | None:
    """The file without MAC addresses; None for a format that is not known. `number`: which of several it is."""
    name = path.rpartition("/")[2]
    if path.endswith((".yaml", ".yml")):
        return without_netplan_macs(text)
    if path.endswith(".network"):
        return _in_section(text, "Match", r"(Permanent)?MACAddress", f"Name={_words(number)}", ("Name", "Driver"))
    if path.endswith(".conf") and ".network.d/" in path:
        return _in_section(text, "Match", r"(Permanent)?MACAddress", None, ())
    if path.endswith(".link"):
        named = f"OriginalName=eth{number or 0}"
        return _in_section(text, "Match", r"(Permanent)?MACAddress", named, ("OriginalName",))
    if "/system-connections/" in path:
        return _keyfile(text, number)
    if name.startswith("ifcfg-"):
        return _ifcfg(text, name.removeprefix("ifcfg-"), number)
    return None


def _binds(path: str, text: str) -> bool:
    """Whether the file knows a card by its MAC address alone, so that something must stand in its place."""
    if path.endswith(".network"):
        return bool(
            re.search(r"(?m)^[ \t]*(Permanent)?MACAddress\s*=", text) and not re.search(r"(?m)^[ \t]*Name\s*=", text)
        )
    if "/system-connections/" in path:
        return bool(
            re.search(r"(?m)^[ \t]*mac-address\s*=", text) and not re.search(r"(?m)^[ \t]*interface-name\s*=", text)
        )
    return path.rpartition("/")[2].startswith("ifcfg-") and not re.search(r"(?m)^[ \t]*DEVICE\s*=", text)


def _words(number: int | None) -> str:
    return _ANY_WORDS if number is None else f"eth{number}"


def _in_section(text: str, section: str, keys: str, instead: str | None, enough: tuple[str, ...]) -> str:
    """Drop `keys` of a section, and put `instead` in the place of the first unless one of `enough` stands there;
    outside [Match] a MACAddress= gives an address, and goes."""
    here, has_enough = "", False
    for line in text.splitlines():
        here = line.strip()[1:-1] if line.strip().startswith("[") else here
        has_enough |= here == section and line.strip().partition("=")[0].strip() in enough
    lines, here, left = [], "", None if has_enough else instead
    for line in text.splitlines(keepends=True):
        here = line.strip()[1:-1] if line.strip().startswith("[") else here
        if not re.match(rf"\s*({keys})\s*=", line):
            lines.append(line)
        elif here == section and left is not None:
            lines.append(f"{left}\n")
            left = None
    return "".join(lines)


def _keyfile(text: str, number: int | None) -> str:
    """The section is `ethernet`, in old files `802-3-ethernet`. Without a name a profile takes any card."""
    without = re.sub(r"(?m)^[ \t]*(mac-address|cloned-mac-address)\s*=.*:.*\n?", "", text)
    bound = re.search(r"(?m)^[ \t]*mac-address\s*=", text) and not re.search(r"(?m)^[ \t]*interface-name\s*=", text)
    if bound and number is not None:
        return re.sub(r"(?m)^(\[connection\][^\n]*\n)", rf"\g<1>interface-name=eth{number}\n", without, count=1)
    return without


def _ifcfg(text: str, name: str, number: int | None) -> str:
    without = re.sub(r"(?m)^[ \t]*(HWADDR|MACADDR|LLADDR)\s*=.*\n?", "", text)
    if re.search(r"(?m)^[ \t]*DEVICE\s*=", text) or not re.search(r"(?m)^[ \t]*HWADDR\s*=", text):
        return without
    device = name if name.startswith("eth") and number is None else f"eth{number or 0}"
    return f"DEVICE={device}\n{without}"


# ---- netplan: YAML in any form


def without_netplan_macs(text: str) -> str:
    """netplan's YAML without MAC addresses: `match: macaddress` becomes `match: name` in the same place, whatever the
    form (block, flow, JSON); another `macaddress` goes. Returns the text as it is where YAML is broken."""
    import yaml  # here: most images have none, and it takes a tenth of a start

    try:
        root = yaml.compose(text, yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError):
        return text
    cards = _entries(_child(_child(root, "network"), "ethernets"))
    bound = [card for _, card in cards if _pair(_child(card, "match"), "macaddress")]
    edits: dict[tuple[int, int], str] = {}
    for _, card in cards:
        match = _child(card, "match")
        if (pair := _pair(match, "macaddress")) is not None:
            if _pair(match, "name"):
                edits[_span(text, match, pair)] = ""
            else:
                name = _ANY if len(bound) == 1 else f"eth{bound.index(card)}"
                edits[_of(pair)] = f'"name": "{name}"'
                if (given := _pair(card, "set-name")) is not None and given[1].value.startswith("eth"):
                    edits[_span(text, card, given)] = ""  # the name it has anyway; others may share the pattern
        if (pair := _pair(card, "macaddress")) is not None:
            alone = len(_entries(card)) == 1
            edits[_of(pair) if alone else _span(text, card, pair)] = "" if not alone or _is_flow(card) else "{}"
    for (start, end), new in sorted(edits.items(), reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _entries(node: "yaml.Node | None") -> "list[Pair]":
    return list(node.value) if node is not None and getattr(node, "id", "") == "mapping" else []


def _pair(node: "yaml.Node | None", key: str) -> "Pair | None":
    return next((pair for pair in _entries(node) if pair[0].value == key), None)


def _child(node: "yaml.Node | None", key: str) -> "yaml.Node | None":
    found = _pair(node, key)
    return found[1] if found else None


def _is_flow(node: "yaml.Node | None") -> bool:
    return bool(getattr(node, "flow_style", False))


def _of(pair: "Pair") -> tuple[int, int]:
    return pair[0].start_mark.index, pair[1].end_mark.index


def _span(text: str, parent: "yaml.Node | None", pair: "Pair") -> tuple[int, int]:
    """What to cut so that a pair is gone: in block form its lines, in flow form the pair and one comma."""
    start, end = _of(pair)
    if not _is_flow(parent):
        start = text.rfind("\n", 0, start) + 1
        return start, text.find("\n", end) + 1 or len(text)
    after = re.match(r"\s*,\s*", text[end:])
    if after:
        return start, end + after.end()
    before = re.search(r",\s*$", text[:start])
    return (start - len(before[0]) if before else start), end
