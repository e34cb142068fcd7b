"""Whether a network namespace has a way out, read from the text of /proc/net/route."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network


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
