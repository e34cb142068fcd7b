"""systemd-networkd: the first file that fits a card, in the order of file names, is the only one for it.

Source: systemd.network(5). netplan's files are among them, under the names that its generator gives them.
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from azready.image.facts.network.matching import (
    Found,
    elsewhere,
    fits_kind,
    gathered,
    other_machine,
    patterns,
)
from azready.image.facts.network.model import FALSE, TRUE, Draft, Fault, Line, Nic, Profile, Reading, Scene, Stack
from azready.image.facts.network.naming import NETWORKD_FOLDERS
from azready.image.facts.reading import decimal, layered, text_of, unit_sections
from azready.image.targets import Files

_DHCP4 = (*TRUE, "ipv4", "both", "v4")
_STAYS_DOWN = ("down", "always-down", "manual")


def profiles(files: Files) -> Iterator[Profile]:
    """Every .network file with its drop-ins, in networkd's order."""
    for path in layered(files, NETWORKD_FOLDERS, ".network"):
        yield _profile(files, path)


def bound_links(files: Files) -> Iterator[Profile]:
    """The .link files that know a card by its MAC address."""
    for path in layered(files, NETWORKD_FOLDERS, ".link"):
        macs = _values(files, path, "Match", ("MACAddress", "PermanentMACAddress"))
        if macs and path.startswith("etc/"):
            yield Profile("link", path, macs=macs)


def _profile(files: Files, path: str) -> Profile:
    found = gathered(files, path, NETWORKD_FOLDERS)
    names = patterns(found, "Name")
    where = elsewhere(found) or other_machine(files, found)
    if not fits_kind(found, Nic()):
        where = where or f"it is for Kind={' '.join(found['Match', 'Kind'])}"
    if not fits_kind(found, Nic()) or (where and found.get(("Match", "Type"))):
        names = names or ("br-*",)  # about bridges and tunnels: no network card
    return Profile(
        "networkd",
        path,
        names,
        patterns(found, "Driver"),
        _last(found, "Network", "DHCP", (*_DHCP4, *FALSE, "ipv6", "none", "v6")) in _DHCP4,
        _values(files, path, "Network", ("Address", "Gateway")) + _values(files, path, "Address", ("Address",)),
        _values(files, path, "Match", ("MACAddress", "PermanentMACAddress"))
        + _values(files, path, "Link", ("MACAddress",)),
        unmanaged=_last(found, "Link", "Unmanaged", (*TRUE, *FALSE)) in TRUE,
        elsewhere=where,
        master=_last(found, "Network", "Bridge") or _last(found, "Network", "Bond"),
        faults=tuple(_faults(files, path)),
        down=_last(found, "Link", "ActivationPolicy", (*_STAYS_DOWN, "up", "always-up", "bound")) in _STAYS_DOWN,
    )


_FEWEST_ATTEMPTS = 8
"""They come 2, 4, 8 … up to 64 seconds apart."""


def _faults(files: Files, path: str) -> Iterator[Fault]:
    """Of each key the last line counts; [DHCP] is the old name of [DHCPv4]."""
    for lacks, key in (("routes", "UseRoutes"), ("routes", "UseGateway"), ("name", "SendHostname")):
        lines = [line for section in ("DHCP", "DHCPv4") for line in _values(files, path, section, (key,))]
        if lines and lines[-1].text.partition("=")[2].lower() in FALSE:
            yield Fault("name" if lacks == "name" else "routes", lines[-1])
    for line in _values(files, path, "DHCPv4", ("MaxAttempts",))[-1:]:
        attempts = decimal(line.text.partition("=")[2])
        if attempts is not None and attempts < _FEWEST_ATTEMPTS:
            yield Fault("patience", line)


def _last(found: Found, section: str, key: str, known: tuple[str, ...] = ()) -> str:
    """The last value, in small letters where `known` are the values that networkd takes: it passes over others."""
    values = [value.lower() if known else value for value in found.get((section, key)) or ()]
    return next((value for value in reversed(values) if not known or value in known), "")


def _values(files: Files, path: str, section: str, keys: tuple[str, ...]) -> tuple[Line, ...]:
    """Settings with their lines, from the file and its drop-ins."""
    name = path.rpartition("/")[2]
    lines: list[Line] = []
    for each in (path, *layered(files, [f"{folder}/{name}.d" for folder in NETWORKD_FOLDERS], ".conf")):
        lines += [
            Line(f"{key}={value}", f"{each}:{number}")
            for where, key, value, number in unit_sections(text_of(files, each) or "")
            if where == section and key in keys and value
        ]
    return tuple(lines)


def read(scene: Scene) -> Reading:
    """What networkd makes of the first card."""
    mine = tuple(sorted((*profiles(scene.files), *scene.netplan), key=lambda each: each.order))
    applied = next((each for each in mine if each.applies_to(scene.nic)), None)
    every = (*mine, *bound_links(scene.files))
    if applied is None:
        near = next((f" ({each.path}: {each.elsewhere})" for each in mine if each.elsewhere), "")
        return Reading(every, why=f"no file fits {scene.nic.name}{near}")
    if applied.unmanaged or applied.down:
        state = "leaves it unmanaged" if applied.unmanaged else "keeps it down"
        return Reading(every, (applied,), why=f"{applied.path} {state}")
    if applied.master:
        if not scene.netplan and applied.master not in _made(scene.files):
            return Reading(every, (applied,), why=f"it is a part of {applied.master}, which no .netdev file makes")
        return Reading(every, (applied,), _asks_above(applied.master, mine), f"it is a part of {applied.master}")
    return Reading(every, (applied,), applied.dhcp4, f"{applied.path} is the first that fits, and has no DHCP for IPv4")


def _asks_above(master: str, mine: Sequence[Profile]) -> bool:
    """Whether the bridge or bond itself asks: by the first file that fits it."""
    above = Nic(master, master, driver="", kind="bridge")
    over = next((each for each in mine if master in each.names and each.applies_to(above)), None)
    return over is not None and over.dhcp4


def _made(files: Files) -> set[str]:
    """The names of the bridges, bonds and the like that networkd makes."""
    found = (gathered(files, path, NETWORKD_FOLDERS) for path in layered(files, NETWORKD_FOLDERS, ".netdev"))
    return {_last(each, "NetDev", "Name") for each in found if _last(each, "NetDev", "Kind")}


PROFILE = """\
# Written by azready: an address by DHCP, as Azure gives it. Virtual functions (accelerated networking) are left to
# hv_netvsc, which they belong to. The card is eth0 in Azure; elsewhere (a test in QEMU) udev names it.
[Match]
Name=en* eth*
Driver=!mlx4_en mlx4_core mlx5_core mana

[Network]
DHCP=yes
LinkLocalAddressing=ipv6
"""


def drafts(scene: Scene) -> Iterator[Draft]:
    """The first file that fits a card is the only one for it: before one that stands in the way, where one does."""
    text = PROFILE
    if not any(fnmatchcase(scene.nic.name, pattern) for pattern in ("en*", "eth*")):
        text = text.replace("Name=", f"Name={scene.nic.name} ")
    for number in ("50", "00"):
        yield Draft(f"etc/systemd/network/{number}-azure-dhcp.network", text)


STACK = Stack(
    "networkd",
    "{usr/,}lib/systemd/systemd-networkd",
    ("systemd-networkd.service", "systemd-networkd.socket"),
    read,
    drafts,
    wait_online="systemd-networkd-wait-online.service",
)
