"""The network of an image without agents: does anything ask for an address on the first NIC, and if not, what should.

Agents bring network configuration of their own (cloud-init's netplan file, above all), and it goes with them. Azure
gives addresses by DHCP only, on a NIC that hv_netvsc calls eth0.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase

from azready.image.actions import Action, Link, Write
from azready.image.apply import apply
from azready.image.facts import Facts
from azready.image.targets import Files
from azready.image.targets.rehearsal import Rehearsal

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


Candidates = Iterator[tuple[Action, ...]]
NO_ADDRESS = "nothing asks for an address"
"""How a note begins about an image that stays without an address, whatever is written."""


def plan_profile(facts: Facts) -> tuple[tuple[Action, ...], str]:
    """What to write so that the first card gets an address, and why (empty: nothing is needed).

    `facts` are of what stays once the agents are gone, so the answer is the same before and after. Each way to write
    it is tried in memory, and the first after which a stack asks is taken; where none helps, the text says what to do.
    """
    network = facts.network
    if network.asking:
        return (), ""
    for name in _choices(facts):
        for actions in WRITERS[name](facts) if name in WRITERS else ():
            if _asks(facts, actions):
                return actions, _why(name, network.nic.name)
    return (), _by_hand(facts)


def _choices(facts: Facts) -> list[str]:
    """netplan where it has a stack to hand its files to, then what starts, then networkd, which is enabled for it."""
    network = facts.network
    names = list(network.stacks)
    if network.netplan.installed and {"networkd", "networkmanager"} & {*names, *network.installed}:
        names.insert(0, "netplan")
    if "networkd" in network.installed and "networkd" not in names:
        names.append("networkd, enabled for it,")
    return names


def _asks(facts: Facts, actions: tuple[Action, ...]) -> bool:
    tried = Rehearsal(facts.files, facts.live)
    apply(actions, tried)
    return bool(Facts(tried, facts.live).network.asking)


def _why(stack: str, card: str) -> str:
    title = "NetworkManager" if stack == "networkmanager" else stack
    return f"once the agents are gone nothing asks for an address on {card}: a DHCP profile for {title} is written"


def _by_hand(facts: Facts) -> str:
    network = facts.network
    if network.netplan.refused:
        return f"{NO_ADDRESS}: {network.netplan.refused.text} ({network.netplan.refused.where})"
    if not (network.installed or network.stacks):
        return f"{NO_ADDRESS}, and no known network stack is installed: install one"
    told = [f"{name}: {network.readings[name].why}" for name in network.stacks or network.installed]
    return f"{NO_ADDRESS} on {network.nic.name}, put it right by hand: {'; '.join(told)}"


def _netplan(facts: Facts) -> Candidates:
    """Under the name eth0 it adds to what other files say of eth0; under one of its own it stands beside them."""
    own = '    azure-first:\n      match: {name: "eth0"}\n'
    for text in (NETPLAN_PROFILE, NETPLAN_PROFILE.replace("    eth0:\n", own)):
        yield (Write("etc/netplan/50-azure-dhcp.yaml", text.encode(), 0o600, 0, 0),)


def _networkd(facts: Facts) -> Candidates:
    """The first file that fits a card is the only one for it: before one that stands in the way, where one does."""
    text = NETWORKD_PROFILE
    if not any(fnmatchcase(facts.network.nic.name, pattern) for pattern in ("en*", "eth*")):
        text = text.replace("Name=", f"Name={facts.network.nic.name} ")
    for number in ("50", "00"):
        yield (Write(f"etc/systemd/network/{number}-azure-dhcp.network", text.encode(), 0o644, 0, 0),)


def _enabled_networkd(facts: Facts) -> Candidates:
    folder = "usr/lib" if facts.files.exists("usr/lib/systemd/systemd-networkd") else "lib"
    enable = Link(
        "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
        f"/{folder}/systemd/system/systemd-networkd.service",
        "no other network stack asks for an address",
    )
    for actions in _networkd(facts):
        yield (*actions, enable)


def _networkmanager(facts: Facts) -> Candidates:
    """The profile of the highest priority is taken: the last of all, unless another one is in the way."""
    text = NETWORKMANAGER_PROFILE
    if not any(fnmatchcase(facts.network.nic.name, pattern) for pattern in ("en[opsx]*", "eth*")):
        text = text.replace("interface-name=", f"interface-name={facts.network.nic.name};")
    path = "etc/NetworkManager/system-connections/azure-dhcp.nmconnection"
    for priority in ("-100", "100"):
        data = text.replace("autoconnect-priority=-100", f"autoconnect-priority={priority}").encode()
        yield (Write(path, data, 0o600, 0, 0),)


def _ifupdown(facts: Facts) -> Candidates:
    """A fixed address becomes DHCP where it stands. Else a file of its own where the main one reads its folder, else a
    stanza at the end of the main one."""
    for path in dict.fromkeys(each.path for each in facts.network.readings["ifupdown"].applied):
        text = facts.text(path) or ""
        made = by_dhcp(text, facts.network.nic.name)
        if made != text:
            yield (Write(path, made.encode(errors="surrogateescape")),)
    files = facts.files
    profile = IFUPDOWN_PATTERN_PROFILE if _knows_patterns(files) else IFUPDOWN_PROFILE
    main = facts.text("etc/network/interfaces") or ""
    if re.search(r"(?m)^[ \t]*source(-directory)?\s+/etc/network/interfaces\.d(/\*)?\s*$", main):
        yield (Write("etc/network/interfaces.d/50-azure-dhcp", profile.encode(), 0o644, 0, 0),)
    loopback = "" if re.search(r"(?m)^[ \t]*iface\s+lo\b", main) else "auto lo\niface lo inet loopback\n\n"
    text = f"{main.rstrip()}\n\n{loopback}{profile}".lstrip()
    yield (Write("etc/network/interfaces", text.encode(errors="surrogateescape"), 0o644, 0, 0),)


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


def _netifrc(facts: Facts) -> Candidates:
    text = facts.text("etc/conf.d/net") or ""
    left = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("config_eth0="))
    yield (Write("etc/conf.d/net", f'{left.rstrip()}\nconfig_eth0="dhcp"\n'.lstrip().encode(), 0o644, 0, 0),)


def _at(path: str) -> Callable[[Facts], Candidates]:
    def write(facts: Facts) -> Candidates:
        yield (Write(path, IFCFG_PROFILE.encode(), 0o644, 0, 0),)

    return write


WRITERS: Mapping[str, Callable[[Facts], Candidates]] = {
    "netplan": _netplan,
    "networkd": _networkd,
    "networkd, enabled for it,": _enabled_networkd,
    "networkmanager": _networkmanager,
    "ifupdown": _ifupdown,
    "wicked": _at("etc/sysconfig/network/ifcfg-eth0"),
    "network-scripts": _at("etc/sysconfig/network-scripts/ifcfg-eth0"),
    "netifrc": _netifrc,
}
"""By the name of a stack in `facts.network.STACKS`: the ways to write its DHCP profile, the plainest first."""
