"""ifcfg files: Red Hat's (for network-scripts, and for NetworkManager's plug-in) and SUSE's (for wicked).

Sources: Red Hat's sysconfig.txt, nm-settings-ifcfg-rh(5), ifcfg(5) of wicked.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from azready.image.facts.network.model import FALSE, Draft, Fault, Line, Profile, Reading, Scene, Stack
from azready.image.facts.reading import decimal, names_in, numbered, shell_values, text_of
from azready.image.targets import Files

_LEFTOVERS = ("~", ".bak", ".old", ".orig", ".rpmsave", ".rpmnew", ".rpmorig", ".template", ".cfgsaved")
_PORTS = r"BRIDGE_PORTS|BONDING_SLAVE_?\d+|TEAM_PORT_DEVICE_?\w+"
_FAULTS: tuple[tuple[Literal["routes", "name", "patience"], str], ...] = (
    ("routes", "DEFROUTE|PEERROUTES|DHCLIENT_SET_DEFAULT_ROUTE"),
    ("name", "DHCP_SEND_HOSTNAME"),
    ("patience", "IPV4_DHCP_TIMEOUT"),
)
SHORTEST_TIMEOUT = 45
"""Seconds that a DHCP client waits at least: NetworkManager's own default."""
_SUSE_STARTS = ("auto", "boot", "onboot", "hotplug", "nfsroot", "ifplugd", "on")


def redhat(files: Files) -> list[Profile]:
    """Those of /etc/sysconfig/network-scripts."""
    return _profiles(files, "etc/sysconfig/network-scripts", "ifcfg")


def suse(files: Files) -> list[Profile]:
    """Those of /etc/sysconfig/network."""
    return _profiles(files, "etc/sysconfig/network", "wicked")


def _profiles(files: Files, folder: str, stack: str) -> list[Profile]:
    names = [name for name in names_in(files, folder) if name.startswith("ifcfg-") and not name.endswith(_LEFTOVERS)]
    return [parse_ifcfg(text_of(files, f"{folder}/{name}") or "", f"{folder}/{name}", stack) for name in names]


def parse_ifcfg(text: str, path: str, stack: str) -> Profile:
    """One file. Red Hat's is bound to the card of HWADDR; without DEVICE and HWADDR it takes any."""
    values = shell_values(text)
    found = {key: number for number, line in numbered(text) if (key := line.partition("=")[0].strip())}
    own = path.rpartition("ifcfg-")[2]
    name = _card(values, stack, own)
    starts = _starts(values, stack)

    def lines(pattern: str) -> tuple[Line, ...]:
        keys = [key for key in found if re.fullmatch(pattern, key) and values.get(key)]
        return tuple(Line(f"{key}={values[key]}", f"{path}:{found[key]}") for key in keys)

    idle = "" if starts else "it does not start at boot"
    return Profile(
        stack,
        path,
        (name,) if name else (),
        (),
        values.get("BOOTPROTO", "").lower() in ("dhcp", "dhcp4", "bootp", "dhcp+autoip", "auto4") and starts,
        lines(r"(IPADDR|GATEWAY|PREFIX|NETMASK)(_?\w+)?") if own != "lo" else (),
        lines(r"HWADDR|MACADDR|LLADDR"),
        elsewhere="it is bound to a MAC address" if stack == "ifcfg" and values.get("HWADDR") else idle,
        master=values.get("BRIDGE", values.get("MASTER", "")),
        unmanaged=stack == "ifcfg" and values.get("NM_CONTROLLED", "yes").lower() in ("no", "false", "0"),
        faults=tuple(Fault(lacks, line) for lacks, keys in _FAULTS for line in lines(keys) if _takes_away(line)),
        file="00999f",
        ports=_ports(values),
    )


def _card(values: Mapping[str, str], stack: str, own: str) -> str:
    bound = stack == "ifcfg" and values.get("HWADDR")
    return values.get("DEVICE") or ("" if bound else own)


def _ports(values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(word for key in values if re.fullmatch(_PORTS, key) for word in values[key].split())


def _starts(values: Mapping[str, str], stack: str) -> bool:
    if stack == "ifcfg":
        return values.get("ONBOOT", "yes").lower() not in ("no", "false", "n", "f", "0")
    return values.get("STARTMODE", "manual").lower() in _SUSE_STARTS


def _takes_away(line: Line) -> bool:
    value = line.text.partition("=")[2].lower()
    seconds = decimal(value)
    return value in FALSE or (seconds is not None and seconds < SHORTEST_TIMEOUT)


def _reading(scene: Scene, mine: list[Profile]) -> Reading:
    applied = tuple(each for each in mine if each.names and each.applies_to(scene.nic))
    asks = any(each.dhcp4 for each in applied)
    above = {each.master for each in applied if each.master}
    asks = asks or any(each.dhcp4 and (set(each.names) & above or scene.nic.name in each.ports) for each in mine)
    why = f"{applied[0].path} has no DHCP for IPv4" if applied else f"there is no ifcfg-{scene.nic.name}"
    return Reading(tuple(mine), applied, asks, why)


def _read_scripts(scene: Scene) -> Reading:
    return _reading(scene, redhat(scene.files))


def _read_wicked(scene: Scene) -> Reading:
    return _reading(scene, suse(scene.files))


PROFILE = """\
# Written by azready: an address by DHCP, as Azure gives it.
DEVICE=eth0
TYPE=Ethernet
BOOTPROTO=dhcp
ONBOOT=yes
STARTMODE=auto
USERCTL=no
"""


def _drafts_for_scripts(scene: Scene) -> Iterator[Draft]:
    yield Draft("etc/sysconfig/network-scripts/ifcfg-eth0", PROFILE)


def _drafts_for_wicked(scene: Scene) -> Iterator[Draft]:
    yield Draft("etc/sysconfig/network/ifcfg-eth0", PROFILE)


STACKS = (
    Stack("wicked", "usr/sbin/wicked", ("wicked.service", "wickedd.service"), _read_wicked, _drafts_for_wicked),
    Stack(
        "network-scripts",
        "etc/sysconfig/network-scripts/ifup",
        ("network.service",),
        _read_scripts,
        _drafts_for_scripts,
        ("network",),
    ),
)
