"""The guest's network: one bridge with the platform on it, in a namespace from which no route leads out.

    fabric's namespace                          guest's namespace
    lo: 168.63.129.16/32, 169.254.169.254/32
    br0: 10.1.0.1/24, dnsmasq ── veth pair ──── eth0 (MAC of the machine, down, no address)

The guest learns its address, the routes to both platform addresses and option 245 from DHCP, as in Azure. What to do
is decided here, as lists of words; nothing here runs anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

from azready.fabric.faults import Fault
from azready.fabric.ledger import Service
from azready.fabric.machine import Machine
from azready.fabric.protocol import dhcp
from azready.fabric.protocol.dhcp import IMDS, WIRESERVER

BRIDGE = "br0"
LISTENERS: tuple[tuple[Service, int], ...] = (("wireserver", 80), ("hostplugin", 32526), ("imds", 80))
"""Services and their ports; the host plugin shares the WireServer's address."""


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
        return self.imds if service == "imds" else self.wireserver


def fabric_links(network: Network) -> str:
    """What `ip -batch` makes of a new namespace: the bridge, and the platform's addresses as our own."""
    lines = [
        "link set lo up",
        f"address add {network.wireserver}/32 dev lo",
        f"address add {network.imds}/32 dev lo",
        f"link add {BRIDGE} type bridge forward_delay 0",
        f"address add {network.gateway_interface} dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ]
    return "\n".join(lines) + "\n"


def guest_links(macs: Sequence[str], netns: str, number: int) -> str:
    """What `ip -batch` makes for one guest: eth0, eth1 … in the namespace at the path `netns`, their other ends on the
    bridge."""
    lines = []
    for index, mac in enumerate(macs):
        peer = f"g{number}e{index}"
        lines.append(f"link add {peer} type veth peer name eth{index} address {mac} netns {netns}")
        lines.append(f"link set {peer} master {BRIDGE} up")
    return "\n".join(lines) + "\n"


def dhcp_configuration(network: Network, machine: Machine, lease_file: Path, faults: Sequence[Fault]) -> str:
    """dnsmasq's configuration for one machine; a WireServer elsewhere is told by options 121 and 245 alone."""
    text = dhcp.configuration(machine, BRIDGE, str(lease_file), faults)
    lines = text.splitlines()
    told = [
        line.replace(WIRESERVER, network.wireserver) if ",121," in line or ",245," in line else line for line in lines
    ]
    return "\n".join(told) + "\n"
