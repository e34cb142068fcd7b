"""The network of an image without agents: does anything ask for an address on the first NIC, and if not, what should.

Agents bring network configuration of their own (cloud-init's netplan file, above all), and it goes with them. Azure
gives addresses by DHCP only, on a NIC that hv_netvsc calls eth0.
"""

import configparser
import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from azready.image.actions import Action, Link, Write
from azready.image.targets import Files

_NIC = "eth0"


@dataclass(frozen=True)
class Stack:
    """A program that configures NICs. `units` are the services that make it run; `program` is its executable."""

    name: str
    program: str
    units: tuple[str, ...]


STACKS = (
    Stack("networkd", "{usr/,}lib/systemd/systemd-networkd", ("systemd-networkd.service", "systemd-networkd.socket")),
    Stack("NetworkManager", "usr/{sbin,bin}/NetworkManager", ("NetworkManager.service", "NetworkManager")),
    Stack("ifupdown", "{usr/,}sbin/ifup", ("networking.service", "networking", "network.service")),
    Stack("wicked", "usr/sbin/wicked", ("wicked.service", "network.service")),
    Stack("dhcpcd", "{usr/,}{sbin,bin}/dhcpcd", ("dhcpcd.service", "dhcpcd@eth0.service", "dhcpcd")),
    Stack("network-scripts", "etc/sysconfig/network-scripts/ifup", ("network.service", "network")),
    Stack("netifrc", "etc/init.d/net.lo", ("net.eth0",)),
)

_ENABLED = ("etc/systemd/system/*.{wants,requires}/", "etc/runlevels/*/", "etc/rc[2-5].d/S[0-9][0-9]")

NETPLAN_PROFILE = """\
# Written by azready: an address by DHCP, as Azure gives it. The first NIC has the default route.
network:
  version: 2
  ethernets:
    eth0:
      dhcp4: true
      dhcp6: true
      optional: true
      dhcp4-overrides: {route-metric: 100}
      dhcp6-overrides: {route-metric: 100}
    azure-more:
      match: {name: "eth[1-9]*"}
      dhcp4: true
      optional: true
      dhcp4-overrides: {route-metric: 200, use-dns: false}
    elsewhere:  # outside Azure (a test in QEMU) udev names the card by its slot
      match: {name: "en[opsx]*"}
      dhcp4: true
      dhcp6: true
      optional: true
"""

NETWORKD_PROFILE = """\
# Written by azready: an address by DHCP, as Azure gives it. Virtual functions (accelerated networking) are left to
# hv_netvsc, which they belong to. The card is eth0 in Azure; elsewhere (a test in QEMU) udev names it.
[Match]
Name=en* eth*
Driver=!mlx4_en mlx4_core mlx5_core mana

[Network]
DHCP=yes
LinkLocalAddressing=ipv6
"""

NETWORKMANAGER_PROFILE = """\
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

IFUPDOWN_PROFILE = """\
# Written by azready: an address by DHCP, as Azure gives it.
auto eth0
iface eth0 inet dhcp
"""

IFUPDOWN_PATTERN_PROFILE = """\
# Written by azready: an address by DHCP, as Azure gives it. The card is eth0 in Azure; elsewhere (a test in QEMU) udev
# names it by its slot.
auto /e[nt][hopsx]*=azure
iface azure inet dhcp
"""
"""For Debian's ifupdown, which knows patterns; busybox's and ifupdown-ng do not."""

IFCFG_PROFILE = """\
# Written by azready: an address by DHCP, as Azure gives it.
DEVICE=eth0
TYPE=Ethernet
BOOTPROTO=dhcp
ONBOOT=yes
STARTMODE=auto
USERCTL=no
"""


def enabled(files: Files) -> list[Stack]:
    """The stacks that are installed and run at boot."""
    found = []
    for stack in STACKS:
        wanted = "{" + ",".join((*stack.units, stack.units[0])) + "}"
        if files.glob(stack.program) and any(files.glob(f"{place}{wanted}") for place in _ENABLED):
            found.append(stack)
    return found


def plan_profile(files: Files, ignored: Collection[str]) -> tuple[tuple[Action, ...], str]:
    """What to write so that the first NIC gets an address once `ignored` files are gone, and why (empty: nothing).

    The answer depends on what stays only, so it is the same before and after the agents are removed.
    """
    stacks = enabled(files)
    names = [stack.name for stack in stacks]
    if any(_covered(files, name, ignored) for name in names):
        return (), ""
    if files.glob("{usr/,}{sbin,bin}/netplan") and {"networkd", "NetworkManager"} & {*names, *_installed(files)}:
        if _netplan_covers(files, ignored):
            return (), ""
        return (Write("etc/netplan/50-azure-dhcp.yaml", NETPLAN_PROFILE.encode(), 0o600, 0, 0),), _why("netplan")
    if names:
        return _profile(files, names[0]), _why(names[0])
    if "networkd" in _installed(files):
        folder = "usr/lib" if files.exists("usr/lib/systemd/systemd-networkd") else "lib"
        enable = Link(
            "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
            f"/{folder}/systemd/system/systemd-networkd.service",
            "no other network stack is enabled",
        )
        return (*_profile(files, "networkd"), enable), _why("networkd, which is enabled for it")
    return (), "nothing in the image asks for an address, and no known network stack is installed: install one"


def _why(stack: str) -> str:
    return f"once the agents are gone nothing asks for an address on {_NIC}: a DHCP profile for {stack} is written"


def _installed(files: Files) -> list[str]:
    return [stack.name for stack in STACKS if files.glob(stack.program)]


def _profile(files: Files, stack: str) -> tuple[Action, ...]:
    match stack:
        case "networkd":
            return (Write("etc/systemd/network/50-azure-dhcp.network", NETWORKD_PROFILE.encode(), 0o644, 0, 0),)
        case "NetworkManager":
            path = "etc/NetworkManager/system-connections/azure-dhcp.nmconnection"
            return (Write(path, NETWORKMANAGER_PROFILE.encode(), 0o600, 0, 0),)
        case "ifupdown":
            return _ifupdown_profile(files)
        case "wicked":
            return (Write("etc/sysconfig/network/ifcfg-eth0", IFCFG_PROFILE.encode(), 0o644, 0, 0),)
        case "network-scripts":
            return (Write("etc/sysconfig/network-scripts/ifcfg-eth0", IFCFG_PROFILE.encode(), 0o644, 0, 0),)
        case "netifrc":
            text = files.read_text("etc/conf.d/net") if files.exists("etc/conf.d/net") else ""
            return (Write("etc/conf.d/net", f'{text.rstrip()}\nconfig_eth0="dhcp"\n'.lstrip().encode(), 0o644, 0, 0),)
        case _:
            return ()


def _knows_patterns(files: Files) -> bool:
    """Debian's ifupdown, since 0.8.17; this script of its package came later."""
    return bool(files.glob("{usr/,}lib/ifupdown/wait-online.sh"))


def _ifupdown_profile(files: Files) -> tuple[Action, ...]:
    """A file of its own where the main one reads its folder; else a stanza at its end."""
    profile = IFUPDOWN_PATTERN_PROFILE if _knows_patterns(files) else IFUPDOWN_PROFILE
    main = files.read_text("etc/network/interfaces") if files.exists("etc/network/interfaces") else ""
    if re.search(r"(?m)^\s*source(-directory)?\s+/etc/network/interfaces\.d(/\*)?\s*$", main):
        return (Write("etc/network/interfaces.d/50-azure-dhcp", profile.encode(), 0o644, 0, 0),)
    loopback = "" if re.search(r"(?m)^\s*iface\s+lo\b", main) else "auto lo\niface lo inet loopback\n\n"
    text = f"{main.rstrip()}\n\n{loopback}{profile}".lstrip()
    return (Write("etc/network/interfaces", text.encode(errors="surrogateescape"), 0o644, 0, 0),)


# ---- does what stays cover the first NIC?


def _covered(files: Files, stack: str, ignored: Collection[str]) -> bool:
    match stack:
        case "networkd":
            return _networkd_covers(files, ignored)
        case "NetworkManager":
            return _networkmanager_covers(files, ignored)
        case "ifupdown":
            return _ifupdown_covers(files, ignored)
        case "wicked" | "network-scripts":
            return _ifcfg_covers(files, ignored)
        case "dhcpcd":
            return True
        case "netifrc":
            return files.exists("etc/conf.d/net") and "config_eth0" in files.read_text("etc/conf.d/net")
        case _:
            return False


def _texts(files: Files, pattern: str, ignored: Collection[str]) -> list[str]:
    return [files.read_text(path) for path in files.glob(pattern) if path not in ignored and files.exists(path)]


def _networkd_covers(files: Files, ignored: Collection[str]) -> bool:
    pattern = "{etc,usr/lib,lib}/systemd/network/*.network"
    return any(_network_file_covers(text) for text in _texts(files, pattern, ignored))


def _network_file_covers(text: str) -> bool:
    sections = configparser.RawConfigParser(strict=False, allow_no_value=True, interpolation=None)
    sections.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        sections.read_string(text)
    except configparser.Error:
        return False
    if sections.get("Network", "DHCP", fallback="no") not in ("yes", "true", "on", "1", "ipv4"):
        return False
    names = sections.get("Match", "Name", fallback="").split()
    driver = sections.get("Match", "Driver", fallback="")
    kind = sections.get("Match", "Type", fallback="")
    if names:
        return _names_match(names)
    return "hv_netvsc" in driver or kind == "ether"


def _names_match(names: list[str]) -> bool:
    inverted = names[0].startswith("!")
    patterns = [name.removeprefix("!") for name in names]
    return any(fnmatchcase(_NIC, pattern) for pattern in patterns) != inverted


_NETPLAN_DHCP = re.compile(r"(?m)^\s*dhcp4:\s*(true|yes|on)\b")
_NETPLAN_NIC = re.compile(r"""(?m)^\s*eth0:|\bname:\s*["']?(eth\*|eth0|e\*|\*)|\bdriver:\s*[^\n]*hv_netvsc""")


def _netplan_covers(files: Files, ignored: Collection[str]) -> bool:
    texts = _texts(files, "{etc,usr/lib,lib}/netplan/*.yaml", ignored)
    return any(_NETPLAN_DHCP.search(text) and _NETPLAN_NIC.search(text) for text in texts)


def _networkmanager_covers(files: Files, ignored: Collection[str]) -> bool:
    """NetworkManager makes a DHCP profile by itself for every NIC without one, unless it is told not to."""
    settings = _texts(files, "{etc,usr/lib}/NetworkManager/{NetworkManager.conf,conf.d/*.conf}", ignored)
    if not any(re.search(r"(?m)^\s*no-auto-default\s*=\s*\S", text) for text in settings):
        return True
    if _ifcfg_covers(files, ignored):
        return True
    for text in _texts(files, "{etc,usr/lib}/NetworkManager/system-connections/*.nmconnection", ignored):
        named = re.search(r"(?m)^\s*interface-name\s*=\s*(\S+)", text)
        if re.search(r"(?m)^\s*method\s*=\s*auto", text) and (
            named is None or any(fnmatchcase(_NIC, name) for name in named[1].split(";"))
        ):
            return True
    return False


def _ifupdown_covers(files: Files, ignored: Collection[str]) -> bool:
    if files.exists("etc/network/cloud-ifupdown-helper"):
        return True  # Debian's cloud images: every NIC that appears gets a DHCP stanza
    texts = _texts(files, "etc/network/{interfaces,interfaces.d/*}", ignored)
    return any(
        re.search(r"(?m)^\s*iface\s+(eth0|eth\*|/eth\S*)\s+inet\s+dhcp\b", text) or "hopsx]*=azure" in text
        for text in texts
    )


def _ifcfg_covers(files: Files, ignored: Collection[str]) -> bool:
    texts = _texts(files, "etc/sysconfig/{network-scripts,network}/ifcfg-eth0", ignored)
    return any(re.search(r"""(?m)^\s*BOOTPROTO\s*=\s*["']?dhcp""", text) for text in texts)
