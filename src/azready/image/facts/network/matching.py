"""The [Match] section of .network and .link files, held against a card on Azure. Source: systemd.network(5)."""

import re
from fnmatch import fnmatchcase

from azready.image.facts.network.model import Nic, fits
from azready.image.facts.programs import architecture_of
from azready.image.facts.reading import layered, text_of, unit_sections
from azready.image.facts.versions import compare_uapi
from azready.image.targets import Files

Found = dict[tuple[str, str], list[str]]

_KNOWN_KEYS = (
    *("Name", "OriginalName", "Driver", "Type", "Kind", "Path", "Property", "MACAddress", "PermanentMACAddress"),
    *("Host", "Virtualization", "KernelCommandLine", "KernelVersion", "Architecture", "Firmware", "Credential"),
    *("SSID", "BSSID", "WLANInterfaceType"),
)
_SCALARS = ("DHCP", "Unmanaged", "ActivationPolicy", "Bridge", "Bond")
"""Settings of one value: an empty one is no value of theirs, and is passed over."""
_PATH = "acpi-VMBUS:00"
_VIRTUALIZATION = ("microsoft", "vm", "yes", "true", "1", "on")


def gathered(files: Files, path: str, folders: tuple[str, ...]) -> Found:
    """The values of a unit-like file and its drop-ins, by section and key, in order; an empty one forgets the rest.

    An empty file masks those of its name, and no drop-in brings it back.
    """
    if not text_of(files, path):
        return {}
    name = path.rpartition("/")[2]
    found: Found = {}
    for each in (path, *layered(files, [f"{folder}/{name}.d" for folder in folders], ".conf")):
        for section, key, value, _ in unit_sections(text_of(files, each) or ""):
            if value:
                found[section, key] = [*found.get((section, key), []), value]
            elif section == "Match" or key not in _SCALARS:
                found[section, key] = []
    return found


def patterns(found: Found, key: str) -> tuple[str, ...]:
    """The patterns of a key of [Match]: a "!" at the head of a line is meant for each word of it."""
    words: list[str] = []
    for line in found.get(("Match", key), []):
        sign = "!" if line.startswith("!") else ""
        words += [sign + word for word in line.removeprefix("!").split()]
    return tuple(words)


def is_empty(found: Found) -> bool:
    """Whether [Match] holds no setting: systemd 246 and newer ignore such a file."""
    return not any(found.get(("Match", key)) for key in _KNOWN_KEYS)


def elsewhere(found: Found) -> str:
    """Why the file applies to no card of Azure, apart from name and driver; empty when it may."""
    if is_empty(found):
        return "its [Match] is empty, and systemd ignores it"
    for key in ("MACAddress", "PermanentMACAddress"):
        if patterns(found, key):
            return "it is bound to a MAC address"
    for key, value in (("Type", "ether"), ("Path", _PATH), ("Firmware", "uefi"), ("WLANInterfaceType", "")):
        if not fits(patterns(found, key), value):
            return _said(found, key)
    for key in ("Host", "KernelCommandLine", "Credential", "SSID", "BSSID"):
        if any(not pattern.startswith("!") for pattern in patterns(found, key)):
            return _said(found, key)
    for pattern in patterns(found, "Virtualization"):
        if (pattern.lstrip("!") in _VIRTUALIZATION) == pattern.startswith("!"):
            return _said(found, "Virtualization")
    if found.get(("Match", "Property")) and patterns(found, "Property") != ("ID_NET_DRIVER=hv_netvsc",):
        return _said(found, "Property")
    return ""


_WORDS = {"x86_64": "x86-64", "aarch64": "arm64", "i686": "x86", "arm": "arm", "riscv64": "riscv64"}
"""Our names of processors, and systemd's."""


def other_machine(files: Files, found: Found) -> str:
    """Why the file is for another processor or kernel than the image's; empty when it may apply."""
    if wanted := patterns(found, "Architecture"):
        own = _WORDS.get(architecture_of(files), "")
        if own and not fits(wanted, own, "native"):
            return _said(found, "Architecture")
    kernels = [path.rpartition("/")[2] for path in files.glob("{usr/,}lib/modules/[0-9]*")]
    if kernels and not any(
        all(_holds(kernel, each) for each in patterns(found, "KernelVersion")) for kernel in kernels
    ):
        return _said(found, "KernelVersion")
    return ""


def _holds(kernel: str, expression: str) -> bool:
    """As ConditionKernelVersion= of systemd.unit(5): a relation and a version, or a pattern."""
    expression, negated = expression.removeprefix("!"), expression.startswith("!")
    said = re.match(r"(<=|>=|=|!=|<|>)(.+)", expression)
    if said is None:
        return fnmatchcase(kernel, expression) != negated
    order = compare_uapi(kernel, said[2])
    relations = {"<": order < 0, "<=": order <= 0, "=": order == 0, "!=": order != 0, ">=": order >= 0, ">": order > 0}
    return relations[said[1]] != negated


def _said(found: Found, key: str) -> str:
    return f"it is for {key}={' '.join(found['Match', key])}"


def fits_here(found: Found, nic: Nic) -> bool:
    """Whether the file applies to this card."""
    return (
        not elsewhere(found)
        and fits(patterns(found, "Name"), *nic.names)
        and fits(patterns(found, "OriginalName"), nic.original)
        and fits(patterns(found, "Driver"), nic.driver)
        and fits_kind(found, nic)
    )


def fits_kind(found: Found, nic: Nic) -> bool:
    """A real card has no kind: `Kind=!*` is for it, `Kind=veth` is not."""
    kinds = patterns(found, "Kind")
    if nic.kind:
        return fits(kinds, nic.kind)
    return all(kind.startswith("!") for kind in kinds)
