"""The second line of defence before anything is sent: the network namespace is ours, and nothing leads out of it.

It raises, and does not assert: PYTHONOPTIMIZE in the environment must not take it away.
"""

import socket
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from azready.errors import Failure

_OF_THE_KERNEL = ("tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0")
"""Tunnels without an end, which some kernels put into every new namespace."""


class NotSealed(Failure):
    """A packet could leave: this is not a namespace of our own, or it has a way out."""


def require_sealed(
    *, links: Sequence[str], subnets: Sequence[str] = (), addresses: Iterable[str] = (), host_network: str = ""
) -> None:
    """Raise NotSealed unless every link of this process' network namespace is one of `links` (patterns of names), every
    route stays in `subnets`, every one of `addresses` is the namespace's own, and it is not `host_network` (the text
    of the link /proc/self/ns/net there; empty: not asked)."""
    if host_network and str(Path("/proc/self/ns/net").readlink()) == host_network:
        raise NotSealed("still in the host's network namespace")
    strange = [
        name
        for _, name in socket.if_nameindex()
        if not any(fnmatchcase(name, each) for each in (*links, *_OF_THE_KERNEL))
    ]
    if strange:
        raise NotSealed(f"this is not a network namespace of our own: it has the links {', '.join(strange)}")
    if out := routes_out(Path("/proc/self/net/route").read_text(), subnets):
        raise NotSealed(f"this is not a network namespace of our own: a route leads out: {out}")
    for address in addresses:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 80))
            if probe.getsockname()[0] != address:
                raise NotSealed(f"{address} is not an address of this namespace")


def routes_out(table: str, own: Sequence[str]) -> list[str]:
    """The lines of /proc/net/route that lead anywhere but to the networks in `own`. Empty means: no way out."""
    networks = [IPv4Network(each) for each in own]
    found = []
    for line in table.splitlines()[1:]:
        columns = line.split()
        destination = IPv4Address(int.from_bytes(bytes.fromhex(columns[1])[::-1]))
        gateway, mask = columns[2], int.from_bytes(bytes.fromhex(columns[7])[::-1])
        here = any(destination in network and mask >= int(network.netmask) for network in networks)
        if gateway != "00000000" or not here:
            found.append(line)
    return found
