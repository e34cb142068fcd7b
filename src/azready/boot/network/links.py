"""The guest's network: one bridge with the platform on it, in a namespace from which no route leads out.

    fabric's namespace                          guest's namespace
    lo: 168.63.129.16/32, 169.254.169.254/32
    br0: 10.1.0.1/24, DHCP ──── veth pair ──── eth0 (MAC of the machine, down, no address)

The guest learns its address, the routes to both platform addresses and option 245 from DHCP, as in Azure. What to do
is decided here, as lists of words; nothing here runs anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from azready.fabric.faults import Fault
from azready.fabric.ledger import Service
from azready.fabric.protocol.dhcp import IMDS, WIRESERVER

BRIDGE = "br0"
IMDS_MARK = 0x7FFF0815
"""The mark (SO_MARK) of sockets that systemd lets through to IMDS where it keeps it for itself (systemd-imdsd)."""
LISTENERS: tuple[tuple[Service, int], ...] = (
    ("wireserver", 80),
    ("hostplugin", 32526),
    ("imds", 80),
    ("dns", 53),
    ("dns-tcp", 53),
    ("dhcp", 67),
)
"""Services and their ports. The host plugin and DNS share the WireServer's address; DHCP hears the bridge."""


@dataclass(frozen=True)
class Network:
    """Addresses of one fabric. `wireserver` may differ from Azure's: then only option 245 tells the guest."""

    subnet: str = "10.1.0.0/24"
    wireserver: str = WIRESERVER
    imds: str = IMDS

    @property
    def gateway(self) -> str:
        return str(IPv4Network(self.subnet)[1])

    @property
    def gateway_interface(self) -> str:
        return str(IPv4Interface(f"{self.gateway}/{IPv4Network(self.subnet).prefixlen}"))

    def address_of(self, service: str) -> str:
        """Where a service is; DNS and DHCP stay where Azure has them, wherever the WireServer is."""
        elsewhere = {"imds": self.imds, "wireserver": self.wireserver, "hostplugin": self.wireserver}
        return elsewhere.get(service, WIRESERVER)


def fabric_links(network: Network) -> str:
    """What `ip -batch` makes of a new namespace: the bridge, and the platform's addresses as our own."""
    lines = [
        "link set lo up",
        *(f"address add {address}/32 dev lo" for address in sorted({WIRESERVER, network.wireserver, network.imds})),
        f"link add {BRIDGE} type bridge forward_delay 0",
        f"address add {network.gateway_interface} dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ]
    return "\n".join(lines) + "\n"


def guest_rules(faults: Sequence[Fault]) -> str:
    """What `ip -batch` makes of the guest's own routing; nothing without a fault.

    `imds_locked`: what systemd 261 and newer do with `systemd.imds.network=locked`, a prohibition before IMDS for all
    but marked sockets.
    """
    if not any(fault.service == "guest" and fault.imds_locked for fault in faults):
        return ""
    ours = "protocol kernel"  # networkd takes away what others have added
    return (
        f"rule add pref 10 fwmark {IMDS_MARK:#x} to {IMDS} lookup main {ours}\n"
        f"rule add pref 11 to {IMDS} prohibit {ours}\n"
    )


def guest_links(macs: Sequence[str], netns: str, number: int) -> str:
    """What `ip -batch` makes for one guest: eth0, eth1 … in the namespace at the path `netns`, their other ends on the
    bridge."""
    lines = []
    for index, mac in enumerate(macs):
        peer = f"g{number}e{index}"
        lines.append(f"link add {peer} type veth peer name eth{index} address {mac} netns {netns}")
        lines.append(f"link set {peer} master {BRIDGE} up")
    return "\n".join(lines) + "\n"
