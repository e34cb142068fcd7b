"""What the first card is called once udev has run: .link files, NAME= of udev rules, and netplan's `set-name`.

Sources: systemd.link(5), systemd.net-naming-scheme(7), udev(7). A card on Hyper-V's VMBus has neither slot nor firmware
index, so that of the naming policies only `mac` names it.
"""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from azready.image.facts.network.matching import fits_here, gathered
from azready.image.facts.network.model import FIRST_NIC, Nic
from azready.image.facts.reading import layered, text_of
from azready.image.targets import Files

NETWORKD_FOLDERS = (
    "etc/systemd/network",
    "run/systemd/network",
    "usr/local/lib/systemd/network",
    "usr/lib/systemd/network",
    "lib/systemd/network",
)
UDEV_FOLDERS = ("etc/udev/rules.d", "run/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d",
                "lib/udev/rules.d")  # fmt: skip
_BY_MAC = "enx000d3a000001"
"""The form of a name by MAC address; 00:0d:3a is one of Azure's prefixes."""


def first_nic(files: Files, set_names: Iterable[tuple[str, str]] = ()) -> Nic:
    """The first card, with the name that stays. `set_names` are netplan's: the name of its .link file, the new name."""
    nic = Nic()
    links: dict[str, str] = {path.rpartition("/")[2]: path for path in layered(files, NETWORKD_FOLDERS, ".link")}
    given = dict(set_names)
    for name in sorted({*links, *given}):
        if name in given:
            nic = Nic(given[name])
            break
        found = gathered(files, links[name], NETWORKD_FOLDERS)
        if fits_here(found, nic):
            nic = _linked(found)
            break
    if by_udev := named_by_udev(files):
        nic = Nic(by_udev, others=nic.others)
    return nic


def _linked(found: dict[tuple[str, str], list[str]]) -> Nic:
    """As the .link file that applies says: a policy that names the card goes before Name=."""
    policies = " ".join(found.get(("Link", "NamePolicy"), [])).split()
    alternative = " ".join(found.get(("Link", "AlternativeNamesPolicy"), [])).split()
    others = [*found.get(("Link", "AlternativeName"), []), *([_BY_MAC] if "mac" in alternative else [])]
    name = _BY_MAC if "mac" in policies else (found.get(("Link", "Name")) or [FIRST_NIC])[-1]
    return Nic(name, others=tuple(others))


def named_by_udev(files: Files) -> str:
    """The name that a udev rule gives the first card, whatever its MAC address; empty when none does."""
    return _assigned(files, "NAME")


def unmanaged_by_udev(files: Files) -> bool:
    """Whether a udev rule takes the first card from NetworkManager."""
    return _assigned(files, "ENV{NM_UNMANAGED}") == "1"


_TOKEN = re.compile(r"""([A-Z]+(?:\{[^}]*\})?)\s*(==|!=|:=|\+=|-=|=)\s*"((?:[^"\\]|\\.)*)\"""")
_KNOWN = {"SUBSYSTEM": "net", "SUBSYSTEMS": "vmbus", "ACTION": "add", "KERNEL": FIRST_NIC, "DRIVERS": "hv_netvsc",
          "ENV{ID_NET_DRIVER}": "hv_netvsc", "ATTR{type}": "1", "ENV{INTERFACE}": FIRST_NIC}  # fmt: skip


def _assigned(files: Files, key: str) -> str:
    value = ""
    for path in layered(files, UDEV_FOLDERS, ".rules"):
        text = text_of(files, path) or ""
        if key not in text:
            continue
        for line in text.replace("\\\n", " ").splitlines():
            tokens = _TOKEN.findall(line) if not line.lstrip().startswith("#") else []
            given = [word for name, operator, word in tokens if name == key and operator in ("=", ":=")]
            if given and "$" not in given[-1] and "%" not in given[-1] and all(map(_holds, tokens)):
                value = given[-1]
    return value


def _holds(token: tuple[str, str, str]) -> bool:
    """Whether a match holds for the first card; an assignment always does, a match by what is not known never."""
    name, operator, word = token
    if operator not in ("==", "!="):
        return True
    if name not in _KNOWN:
        return False
    matched = any(fnmatchcase(_KNOWN[name], pattern) for pattern in word.split("|"))
    return matched == (operator == "==")
