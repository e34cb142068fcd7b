"""How the image gets its address, and what may stand between it and the platform."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network

from azready.addresses import IMDS, WIRESERVER
from azready.image.actions import Action, Write
from azready.image.facts import Facts
from azready.image.facts.network import STACKS, Network, networkd
from azready.image.facts.reading import decimal, lstat_of, sections, shell_values, stat_of, unit_sections
from azready.image.rules.guards import lines_with, needs_systemd
from azready.image.rules.mac_repairs import free_of_macs
from azready.image.rules.model import Finding, Profile, Severity, Skip, Stage, rule

_PERSISTENT = (
    "etc/udev/rules.d/{70,75,76}-persistent-net*.rules",
    "etc/udev/rules.d/85-persistent-net-cloud-init.rules",
    "etc/mactab",
)


@rule(
    "N01",
    "one network stack starts, and asks for an address by DHCP on the first card",
    fault="no network stack starts and asks for an address by DHCP on the first card",
    why="Address, routes and the WireServer's address come by DHCP. Without it nothing can be reported: Microsoft "
    "supports generalized images without agent only with DHCP.",
    fix="azready prepare writes a DHCP profile for the image's network stack",
    sources="NOAG",
    severity=Severity.FATAL,
)
def dhcp_on_first_nic(facts: Facts) -> Iterator[Finding]:
    network = facts.network
    if facts.cloud_init and facts.cloud_init.works and facts.cloud_init.configures_network and not network.asking:
        raise Skip("cloud-init configures the network at every boot, as long as it is there")
    if network.netplan.refused:
        line = network.netplan.refused
        yield Finding(line.text, line.where, "put the file right: `netplan generate` says where it is wrong")
    if not network.stacks:
        yield Finding(
            "no network stack starts at boot", fix="enable systemd-networkd, NetworkManager or networking.service"
        )
    elif not network.asking:
        for stack in network.stacks:
            reading = network.readings[stack]
            path = next((each.path for each in (*reading.applied, *reading.profiles)), "")
            what = f"{stack} starts, but does not ask for an IPv4 address on {network.nic.name}: {reading.why}"
            yield Finding(what, path)
    elif len(network.asking) > 1:
        what = f"{' and '.join(network.asking)} both ask for an address: two clients, two leases, routes that change"
        fix = f"disable all but one: systemctl disable {_unit_of(network.asking[-1])}"
        yield Finding(what, fix=fix, severity=Severity.WARNING)


def _unit_of(name: str) -> str:
    return next(stack.units[0] for stack in STACKS if stack.name == name)


@rule(
    "N02",
    "no network card is known by its MAC address",
    fault="a network card is known by its MAC address",
    why="Every VM has a MAC address of its own: a profile or udev rule that wants the builder's never matches again, "
    "or names the card eth1.",
    fix="remove the line, or the file",
    sources="LISA VS SUSE",
    severity=Severity.FATAL,
    repair=free_of_macs,
    stage=Stage.WIPE,
)
def no_macs(facts: Facts) -> Iterator[Finding]:
    for profile in facts.network.profiles:
        for line in profile.macs:
            yield Finding(line.text, line.where)
    for pattern in _PERSISTENT:
        for path in facts.files.glob(pattern):
            found = lstat_of(facts.files, path)
            if found and not (found.kind == "link" or found.size == 0):
                yield Finding("it binds names to MAC addresses", path)
    for entry in facts.boot_entries[:1]:
        for value in entry.values("ifname"):
            what, fix = f"ifname={value} on the kernel's command line", "remove it: the card keeps its name, eth0"
            yield Finding(what, entry.where, fix, by_hand=True)


@rule(
    "N03",
    "no address, gateway or route is fixed",
    fault="an address, gateway or route is fixed",
    why="The address comes from Azure; a fixed one is of the wrong subnet.",
    fix="replace it by DHCP",
    sources="NOAG",
    severity=Severity.FATAL,
)
def no_fixed_address(facts: Facts) -> Iterator[Finding]:
    yield from _fixed_addresses(facts.network)
    yield from _own_routes(facts)
    for entry in facts.boot_entries[:1]:
        for value in entry.values("ip"):
            if re.match(r"\d+\.\d+\.\d+\.\d+", value):
                yield Finding(f"ip={value} on the kernel's command line", entry.where, "remove it", Severity.ERROR)


def _fixed_addresses(network: Network) -> Iterator[Finding]:
    for stack, reading in network.readings.items():
        severity = None if stack in network.stacks and not reading.asks else Severity.WARNING
        for profile in reading.applied or [each for each in reading.profiles if each.applies_to(network.nic)]:
            if profile.is_for_machines_nics():
                yield from (Finding(line.text, line.where, severity=severity) for line in profile.static)


def _own_routes(facts: Facts) -> Iterator[Finding]:
    """Routes to the platform that are not those of its DHCP."""
    for path in facts.files.glob("etc/systemd/network/{*.network,*.network.d/*.conf}"):
        for key, to, number in _routes(facts.text(path) or ""):
            if key == "Destination" and _covers(to, (WIRESERVER, IMDS)):
                yield Finding(f"a route of one's own to {to}", f"{path}:{number}", "leave it to DHCP")
    for path in facts.files.glob(_ROUTE_FILES):
        for number, said in lines_with(facts, path, _ROUTE_LINES):
            for to in re.findall(r"\d+\.\d+\.\d+\.\d+(?:/\d+)?", said)[:1]:
                if _covers(to, (WIRESERVER, IMDS)):
                    yield Finding(f"a route of one's own to {to}", f"{path}:{number}", "leave it to DHCP")


_ROUTE_FILES = (
    "{etc/NetworkManager/system-connections/*,etc/sysconfig/network-scripts/route-*,etc/sysconfig/static-routes,"
    "etc/sysconfig/network/{routes,ifroute-*}}"
)
_ROUTE_LINES = r"^\s*(routes?\d*\s*=|ADDRESS\d+=|\d|any\s+(net|host)\s)"


def _routes(text: str) -> Iterator[tuple[str, str, int]]:
    return ((key, value, number) for section, key, value, number in unit_sections(text) if section == "Route")


def _covers(network: str, addresses: Sequence[str]) -> bool:
    """Whether one of the addresses is in a network that is named on purpose (not 0.0.0.0/0)."""
    try:
        named = ip_network(network, strict=False)
    except ValueError:
        return False
    return named.prefixlen > 0 and any(ip_address(each) in named for each in addresses)


@rule(
    "N04",
    "no profile waits for a card whose name will not exist",
    fault="a profile waits for a card whose name will not exist",
    why="Hyper-V's card is eth0 under every naming scheme, with net.ifnames=0 or without. A profile for ens3 or "
    "enp1s0 never matches.",
    fix="match en* eth*: eth0 is the name in Azure, and a local boot in QEMU has a name by slot",
    sources="OWN",
    severity=Severity.FATAL,
)
def no_foreign_names(facts: Facts) -> Iterator[Finding]:
    network = facts.network
    for stack in network.stacks:
        reading = network.readings[stack]
        for profile in reading.profiles:
            names = [name for name in profile.names if re.match(r"(en[opsx]\w+|ens\d+|eno\d+|venet\d|eth[1-9])$", name)]
            if names and profile.is_for_machines_nics() and not profile.applies_to(network.nic):
                severity = Severity.INFO if reading.asks else None
                yield Finding(f"it is for {', '.join(names)}", profile.path, severity=severity)
    yield from _waited_for(facts)


_WAIT_ONLINE = networkd.STACK.wait_online


def _waited_for(facts: Facts) -> Iterator[Finding]:
    """What network-online.target waits for: two minutes, where the card does not come."""
    if not facts.units.enabled(_WAIT_ONLINE):
        return
    for command in facts.units.values(_WAIT_ONLINE, "Service", "ExecStart"):
        names = re.findall(r"(?:--interface[= ]|-i ?)([^\s:]+)", command)
        foreign = [name for name in names if not fnmatchcase(facts.network.nic.name, name) and name != "lo"]
        if foreign and (foreign == names or "--any" not in command):
            yield Finding(
                f"network-online.target waits for {', '.join(foreign)}", _WAIT_ONLINE, severity=Severity.ERROR
            )


@rule(
    "N05",
    "network files are worded as LISA expects them",
    fault="network files are not worded as LISA expects them",
    why="LISA compares them literally. On SUSE, DHCLIENT_SET_HOSTNAME also keeps DHCP from renaming the host.",
    fix="write the line",
    sources="LISA",
    severity={Profile.MARKETPLACE: Severity.INFO},
)
def worded_for_lisa(facts: Facts) -> Iterator[Finding]:
    for path, key, value in facts.distro.names.worded:
        text = facts.text(path)
        if text is not None and shell_values(text).get(key) != value:
            yield Finding(f'{key}="{value}" is not set', path)


@rule(
    "N06",
    "the DHCP client waits long enough",
    fault="the DHCP client gives up too early",
    why="The first lease of a VM can take minutes; a client that gives up leaves it without network, and provisioning "
    "times out.",
    fix="remove the timeout, or set 300 seconds",
    sources="LISA",
    severity=Severity.WARNING,
)
def patient_dhcp(facts: Facts) -> Iterator[Finding]:
    for path in ("etc/dhcp/dhclient.conf", "etc/dhclient.conf"):
        for number, line in lines_with(facts, path, r"^\s*timeout\s+\d+"):
            if (found := re.search("[0-9]{1,18}", line)) and int(found[0]) < 60:
                yield Finding(line, f"{path}:{number}")
    for path in facts.files.glob("{etc,usr/lib}/NetworkManager/{conf.d/*.conf,NetworkManager.conf}"):
        for _, key, value, number in sections(facts.text(path) or ""):
            if key == "ipv4.dhcp-timeout" and 0 < (decimal(value) or 0) < 45:
                yield Finding(f"{key}={value}", f"{path}:{number}")
    yield from _lacking(facts, "patience")


def _lacking(facts: Facts, what: str) -> Iterator[Finding]:
    """What the profiles of the first card take away from its DHCP, in the stacks that start."""
    network = facts.network
    applied = [each for stack in network.stacks for each in network.readings[stack].applied]
    for line in dict.fromkeys(fault.line for each in applied for fault in each.faults if fault.lacks == what):
        yield Finding(line.text, line.where)


@rule(
    "N07",
    "the host's name is sent with DHCP",
    fault="the host's name is not sent with DHCP",
    why="Azure's DNS learns it that way.",
    fix="dhclient: send host-name = gethostname(); networkd: no SendHostname=no; NetworkManager: no "
    "dhcp-send-hostname=no",
    sources="PROV WALA",
    severity=Severity.WARNING,
)
def name_is_sent(facts: Facts) -> Iterator[Finding]:
    yield from _lacking(facts, "name")
    for path in facts.files.glob("{etc,usr/lib}/NetworkManager/{conf.d/*.conf,NetworkManager.conf}"):
        for number, line in lines_with(facts, path, r"^\s*ipv4\.dhcp-send-hostname\s*=\s*(no|false|0)"):
            yield Finding(line, f"{path}:{number}")
    path = "etc/dhcp/dhclient.conf"
    used = "ifupdown" in facts.network.stacks and facts.program("dhclient") and facts.text(path) is not None
    if used and not lines_with(facts, path, r"^\s*send\s+(host-name|fqdn\.fqdn)"):
        yield Finding("no `send host-name`", path)


def _own_resolver(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    yield Write("etc/resolv.conf", b"", 0o644)


@rule(
    "N11",
    "resolv.conf names no server of the builder's network",
    fault="resolv.conf names a server of the builder's network",
    why="A nameserver that is out of reach makes every look-up wait, or fail.",
    fix="empty /etc/resolv.conf, or link it to the file that the network stack keeps",
    sources="WALA",
    severity=Severity.WARNING,
    repair=_own_resolver,
    stage=Stage.WIPE,
)
def no_foreign_dns(facts: Facts) -> Iterator[Finding]:
    path = "etc/resolv.conf"
    found = lstat_of(facts.files, path)
    if found is None or found.kind != "file":
        return
    if facts.live:
        raise Skip("the machine is using it; its network stack rewrites it")
    for number, line in lines_with(facts, path, r"^\s*nameserver\s"):
        if not re.search(rf"127\.|::1|{re.escape(WIRESERVER)}", line):
            yield Finding(line, f"{path}:{number}")


@rule(
    "N12",
    "no proxy catches what is meant for the platform",
    fault="a proxy catches what is meant for the platform",
    why="IMDS and the WireServer cannot be reached through a proxy.",
    fix=f"add no_proxy={WIRESERVER},{IMDS}",
    sources="OWN",
    severity=Severity.WARNING,
)
def no_proxy(facts: Facts) -> Iterator[Finding]:
    for path in facts.files.glob(
        "etc/{environment,systemd/system.conf,systemd/system.conf.d/*.conf,profile.d/*proxy*.sh}"
    ):
        text = facts.text(path) or ""
        if IMDS in text:
            continue
        for number, line in lines_with(facts, path, r"(?i)\b(http_proxy|all_proxy)\s*=\s*['\"]?\w"):
            yield Finding(_without_password(line), f"{path}:{number}")


def _without_password(line: str) -> str:
    return re.sub(r"//[^/@\s]+@", "//…@", line)


@rule(
    "N13",
    "hosts knows only localhost",
    fault="hosts knows names of the builder's network",
    why="Entries of the builder point clones to the wrong machine.",
    fix="remove the lines of the builder's name and network",
    sources="OWN",
    severity=Severity.INFO,
)
def plain_hosts(facts: Facts) -> Iterator[Finding]:
    for number, line in lines_with(facts, "etc/hosts", r"^\s*[0-9a-f.:]+\s+\S"):
        address, *names = line.split()
        if address == "127.0.1.1" or not re.match(r"127\.|::1$|fe00::|ff0[0-2]::|0\.0\.0\.0", address):
            yield Finding(f"{address} {' '.join(names)}", f"etc/hosts:{number}")


@rule(
    "N14",
    "the routes that DHCP offers are taken",
    fault="routes that DHCP offers are not taken",
    why="The way to IMDS and the WireServer comes as classless static routes.",
    fix="remove the override",
    sources="DEP WALA",
    severity=Severity.ERROR,
)
def routes_are_taken(facts: Facts) -> Iterator[Finding]:
    yield from _lacking(facts, "routes")
    path = "etc/sysconfig/network/dhcp"
    if "wicked" in facts.network.stacks:
        for number, line in lines_with(facts, path, r"^\s*DHCLIENT_SET_DEFAULT_ROUTE=[\"']?no"):
            yield Finding(line, f"{path}:{number}")
    if stat_of(facts.files, "etc/udhcpc/udhcpc.conf") and lines_with(facts, "etc/udhcpc/udhcpc.conf", r"NO_GATEWAY="):
        yield Finding("NO_GATEWAY is set", "etc/udhcpc/udhcpc.conf")


@rule(
    "N08",
    "network-online.target waits for an address",
    fault="network-online.target does not wait for an address",
    why="Services that other people order after it start too early otherwise. azready's own program waits by itself, "
    "and does not need it.",
    fix="enable systemd-networkd-wait-online.service or NetworkManager-wait-online.service",
    sources="NOAG AI",
    severity=Severity.INFO,
)
def online_means_online(facts: Facts) -> Iterator[Finding]:
    needs_systemd(facts)
    if facts.network.netplan_starts_networkd:
        raise Skip("netplan enables the unit that waits")
    wanted = [each.wait_online for each in STACKS if each.wait_online and each.name in facts.network.stacks]
    if not wanted:
        raise Skip("the network stack's own unit waits")
    if not facts.units.enabled(*wanted):
        yield Finding(f"{wanted[0]} is not enabled")
