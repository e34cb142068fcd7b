"""How an image gets its address: which network stacks start, and what their profiles say, in one shape for all.

Sources: systemd.network(5), systemd.link(5), netplan's YAML reference, nm-settings-keyfile(5), interfaces(5),
Red Hat's and SUSE's ifcfg documentation, dhcpcd.conf(5).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import yaml

from azready.image.facts.reading import layered, names_in, numbered, sections, shell_values, text_of
from azready.image.facts.units import Units
from azready.image.targets import Files

FIRST_NIC = "eth0"
"""Hyper-V's synthetic adapter has no slot to be named after: it is eth0 under every naming policy."""

NETWORKD_FOLDERS = (
    "etc/systemd/network",
    "run/systemd/network",
    "usr/local/lib/systemd/network",
    "usr/lib/systemd/network",
    "lib/systemd/network",
)
_TEMPORARY = ("lo", "veth*", "docker*", "br-*", "virbr*", "ve-*", "vz-*", "vb-*", "host0", "wl*", "ww*", "bnep*")


_FUNCTION_DRIVERS = ("mlx4_en", "mlx5_core", "mana")


def _fits(patterns: tuple[str, ...], value: str) -> bool:
    """As systemd.network(5) matches: any of the patterns; none of them, where the first has a "!". No patterns: all."""
    if not patterns:
        return True
    inverted = patterns[0].startswith("!")
    return any(fnmatchcase(value, pattern.removeprefix("!")) for pattern in patterns) != inverted


@dataclass(frozen=True)
class Line:
    """A setting and where it stands: `path` or `path:line`."""

    text: str
    where: str


@dataclass(frozen=True)
class Profile:
    """What one file says about one interface."""

    stack: str
    path: str
    names: tuple[str, ...] = ()
    """Name patterns; none: it applies to any Ethernet interface. A "!" before the first means all but these."""
    drivers: tuple[str, ...] = ()
    """Patterns of drivers, in the same way."""
    dhcp4: bool = False
    static: tuple[Line, ...] = ()
    macs: tuple[Line, ...] = ()
    unmanaged: bool = False

    def applies_to_first_nic(self) -> bool:
        """Whether eth0, driven by hv_netvsc, is meant."""
        return _fits(self.names, FIRST_NIC) and _fits(self.drivers, "hv_netvsc")

    def applies_to_virtual_functions(self) -> bool:
        """Whether a second NIC of accelerated networking is meant too: it has a name by its slot, or is eth1."""
        named = any(_fits(self.names, name) for name in ("enP1s1", "enP30832p0s0", "eth1"))
        return named and any(_fits(self.drivers, driver) for driver in _FUNCTION_DRIVERS)

    def is_for_machines_nics(self) -> bool:
        """Whether it is about a network card at all, and not about loopback, bridges or containers."""
        return not self.names or not all(any(fnmatchcase(name, each) for each in _TEMPORARY) for name in self.names)


@dataclass(frozen=True)
class Network:
    """Stacks that start at boot (`networkd`, `networkmanager`, `ifupdown`, `dhcpcd`, `wicked`, `network-scripts`,
    `netplan` where it feeds another one), and every profile of every stack."""

    stacks: tuple[str, ...]
    profiles: tuple[Profile, ...]

    def of(self, *stacks: str) -> tuple[Profile, ...]:
        """The profiles of some stacks."""
        return tuple(profile for profile in self.profiles if profile.stack in stacks)


STACK_UNITS = {
    "networkd": ("systemd-networkd.service",),
    "networkmanager": ("NetworkManager.service", "networkmanager"),
    "ifupdown": ("networking.service", "networking"),
    "dhcpcd": ("dhcpcd.service", "dhcpcd"),
    "wicked": ("wicked.service", "wickedd.service"),
    "network-scripts": ("network.service",),
    "connman": ("connman.service", "connman"),
}


def gather_network(files: Files, units: Units) -> Network:
    """Read every stack's configuration, also of stacks that do not start."""
    stacks = [stack for stack, names in STACK_UNITS.items() if units.enabled(*names)]
    script = files.glob("etc/rc?.d/S*networking") and "networking.service" not in units.masked
    if script and "ifupdown" not in stacks:
        stacks.append("ifupdown")
    if "networkd" not in stacks and netplan_starts_networkd(files):
        stacks.append("networkd")
    profiles = [profile for read in _READERS for profile in read(files)]
    return Network(tuple(stacks), tuple(profiles))


def netplan_starts_networkd(files: Files) -> bool:
    """netplan's generator starts networkd at boot, enabled or not, when a file names no other renderer."""
    if not files.glob("{usr/lib,lib,usr/libexec}/systemd/system-generators/netplan"):
        return False
    texts = [text_of(files, path) or "" for path in files.glob("etc/netplan/*.yaml")]
    return bool(texts) and not any(re.search(r"renderer:\s*NetworkManager", text) for text in texts)


def _networkd(files: Files) -> Iterator[Profile]:
    for path in layered(files, NETWORKD_FOLDERS, ".network"):
        yield parse_networkd(text_of(files, path) or "", path)
    for path in layered(files, NETWORKD_FOLDERS, ".link"):
        macs = _values(text_of(files, path) or "", path, "Match", ("MACAddress", "PermanentMACAddress"))
        if macs and path.startswith("etc/"):
            yield Profile("link", path, macs=macs)


def parse_networkd(text: str, path: str) -> Profile:
    """A .network file. A [Match] by Type=ether or Kind= counts as such: bridges and tunnels are no network cards."""
    found: dict[tuple[str, str], list[str]] = {}
    for section, key, value, _ in sections(text):
        found.setdefault((section, key), []).extend([value] if value else [])
    names = tuple(" ".join(found.get(("Match", "Name"), [])).split())
    kinds = " ".join(found.get(("Match", "Type"), []) + found.get(("Match", "Kind"), [])).split()
    if kinds and "ether" not in kinds:
        names = names or ("br-*",)
    dhcp = (found.get(("Network", "DHCP")) or ["no"])[-1].lower()
    return Profile(
        "networkd",
        path,
        names,
        tuple(" ".join(found.get(("Match", "Driver"), [])).split()),
        dhcp in ("yes", "true", "1", "on", "ipv4", "both", "v4"),
        _values(text, path, "Network", ("Address", "Gateway")) + _values(text, path, "Address", ("Address",)),
        _values(text, path, "Match", ("MACAddress", "PermanentMACAddress"))
        + _values(text, path, "Link", ("MACAddress",)),
        (found.get(("Link", "Unmanaged")) or ["no"])[-1].lower() in ("yes", "true", "1", "on"),
    )


def _values(text: str, path: str, section: str, keys: tuple[str, ...]) -> tuple[Line, ...]:
    return tuple(
        Line(f"{key}={value}", f"{path}:{number}")
        for where, key, value, number in sections(text)
        if where == section and key in keys and value
    )


def _netplan(files: Files) -> Iterator[Profile]:
    for path in layered(files, ("etc/netplan", "run/netplan", "usr/lib/netplan", "lib/netplan"), ".yaml"):
        yield from parse_netplan(text_of(files, path) or "", path)


def parse_netplan(text: str, path: str) -> Iterator[Profile]:
    """The ethernets of a netplan file; one that is no YAML says nothing (netplan refuses it too)."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return
    network = document.get("network") if isinstance(document, dict) else None
    ethernets = network.get("ethernets") if isinstance(network, dict) else None
    for name, card in (ethernets or {}).items() if isinstance(ethernets, dict) else ():
        card = card if isinstance(card, dict) else {}
        match = card.get("match") if isinstance(card.get("match"), dict) else None
        names = (str(name),) if match is None else _strings(match.get("name"))
        static = [Line(f"{key}: {card[key]}", path) for key in ("addresses", "gateway4", "routes") if card.get(key)]
        macs = [(match or {}).get("macaddress"), card.get("macaddress")]
        yield Profile(
            "netplan",
            path,
            names,
            _strings((match or {}).get("driver")),
            card.get("dhcp4") is True,
            tuple(static),
            tuple(Line(f"macaddress: {mac}", path) for mac in macs if mac),
        )


def _strings(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(each) for each in value) if isinstance(value, list) else (str(value),)


def _networkmanager(files: Files) -> Iterator[Profile]:
    folders = ("etc/NetworkManager/system-connections", "usr/lib/NetworkManager/system-connections")
    for folder in folders:
        for name in names_in(files, folder):
            if not name.startswith("."):
                yield from parse_keyfile(text_of(files, f"{folder}/{name}") or "", f"{folder}/{name}")


def parse_keyfile(text: str, path: str) -> Iterator[Profile]:
    """A NetworkManager connection; only Ethernet ones."""
    values = {(section, key): value for section, key, value, _ in sections(text)}
    if values.get(("connection", "type"), "ethernet") not in ("ethernet", "802-3-ethernet"):
        return
    name = values.get(("connection", "interface-name")) or values.get(("match", "interface-name"), "")
    method = values.get(("ipv4", "method"), "auto")
    static = _values(text, path, "ipv4", ("gateway",)) if method == "manual" else ()
    yield Profile(
        "networkmanager",
        path,
        tuple(part for part in name.replace(";", " ").split() if part),
        tuple(values.get(("match", "driver"), "").replace(";", " ").split()),
        method == "auto",
        static + ((Line("method=manual", path),) if method == "manual" else ()),
        _values(text, path, "ethernet", ("mac-address",)) + _fixed_clones(text, path),
    )


def _fixed_clones(text: str, path: str) -> tuple[Line, ...]:
    clones = _values(text, path, "ethernet", ("cloned-mac-address",))
    return tuple(line for line in clones if ":" in line.text)


def _ifupdown(files: Files) -> Iterator[Profile]:
    paths = ["etc/network/interfaces", *files.glob("etc/network/interfaces.d/*")]
    for path in paths:
        yield from parse_interfaces(text_of(files, path) or "", path)


def parse_interfaces(text: str, path: str) -> Iterator[Profile]:
    """The `iface` stanzas for IPv4 in an interfaces file (Debian's ifupdown, Alpine's, ifupdown-ng)."""
    started: set[str] = set()
    stanzas: list[tuple[str, str, list[Line]]] = []
    for number, line in numbered(text):
        words = line.split()
        if words[0] in ("auto", "allow-auto", "allow-hotplug"):
            started.update(words[1:])
        elif words[0] == "iface" and len(words) >= 2:
            family = words[2] if len(words) > 2 else "inet"
            stanzas.append((words[1], words[3] if family == "inet" and len(words) > 3 else family, []))
        elif stanzas:
            stanzas[-1][2].append(Line(line, f"{path}:{number}"))
    for name, method, lines in stanzas:
        if method == "inet6":
            continue
        fixed = tuple(line for line in lines if line.text.split()[0] in ("address", "gateway"))
        automatic = name in started or any(fnmatchcase(name, each) for each in started)
        yield Profile(
            "ifupdown",
            path,
            (name,),
            (),
            method == "dhcp" and automatic,
            (fixed or (Line(f"iface {name} inet static", path),)) if method == "static" else (),
            tuple(line for line in lines if line.text.split()[0] in ("hwaddress", "hwaddr")),
        )


def _ifcfg(files: Files) -> Iterator[Profile]:
    for folder, stack in (("etc/sysconfig/network-scripts", "ifcfg"), ("etc/sysconfig/network", "wicked")):
        for name in names_in(files, folder):
            if name.startswith("ifcfg-") and not name.endswith(("~", ".bak", ".rpmsave", ".rpmnew", ".template")):
                text = text_of(files, f"{folder}/{name}") or ""
                yield parse_ifcfg(text, f"{folder}/{name}", stack)


def parse_ifcfg(text: str, path: str, stack: str) -> Profile:
    """An ifcfg file: Red Hat's (read by network-scripts and by NetworkManager) or SUSE's (read by wicked)."""
    values = shell_values(text)
    name = values.get("DEVICE") or path.rpartition("ifcfg-")[2]
    starts = values.get("ONBOOT", "yes").lower() == "yes" if stack == "ifcfg" else values.get("STARTMODE") != "off"
    found = {key: number for number, line in numbered(text) if (key := line.partition("=")[0].strip())}

    def lines(pattern: str) -> tuple[Line, ...]:
        keys = [key for key in found if re.fullmatch(pattern, key) and values.get(key)]
        return tuple(Line(f"{key}={values[key]}", f"{path}:{found[key]}") for key in keys)

    return Profile(
        stack,
        path,
        (name,),
        (),
        values.get("BOOTPROTO", "").lower() in ("dhcp", "dhcp4", "bootp") and starts,
        lines(r"(IPADDR|GATEWAY|PREFIX|NETMASK)(_?\w+)?") if name != "lo" else (),
        lines(r"HWADDR|MACADDR|LLADDR"),
    )


_READERS: tuple[Callable[[Files], Iterator[Profile]], ...] = (_networkd, _netplan, _networkmanager, _ifupdown, _ifcfg)
