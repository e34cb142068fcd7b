"""DNS at 168.63.129.16, port 53: the machine's own name, and nothing that would need a way out.

Azure's resolver knows the names of the virtual network (Microsoft's page "Name resolution for resources in Azure
virtual networks") and everybody else's. Here are no others: they are refused at once, so that nothing waits. Reverse
names are not given either: what NetworkManager would make of one is a host name that the image did not set itself.
Format: RFC 1035; no compression is needed in questions, and one pointer in answers.
"""

import ipaddress
import struct

from azready.fabric.machine import Machine
from azready.fabric.protocol.dhcp import domain

_HEADER = struct.Struct("!6H")
A, AAAA, ANY = 1, 28, 255
NO_SUCH_NAME, REFUSED, MALFORMED = 3, 5, 1
TTL = 10
"""Seconds; the resolver's own default for names of a virtual network."""


def answer(query: bytes, machine: Machine) -> bytes | None:
    """Answer one message; None for what is no question."""
    if len(query) < _HEADER.size:
        return None
    number, flags, questions, *_ = _HEADER.unpack_from(query)
    if flags & 0x8000:
        return None
    asked = _question(query) if questions == 1 and not flags & 0x7800 else None
    if asked is None:
        return _HEADER.pack(number, 0x8080 | flags & 0x7900 | MALFORMED, 0, 0, 0, 0)
    name, kind, end = asked
    code, records = _known(name, kind, machine)
    said = b"".join(struct.pack("!3HIH", 0xC00C, kind_, 1, TTL, len(data)) + data for kind_, data in records)
    head = _HEADER.pack(number, 0x8080 | flags & 0x0100 | code, 1, len(records), 0, 0)
    return head + query[_HEADER.size : end] + said


def _question(query: bytes) -> tuple[str, int, int] | None:
    """Name in lower case, type, and where the question ends."""
    labels, at = [], _HEADER.size
    while at < len(query) and query[at]:
        if query[at] > 63:
            return None
        labels.append(query[at + 1 : at + 1 + query[at]])
        at += 1 + query[at]
    if at + 5 > len(query):
        return None
    kind = struct.unpack_from("!H", query, at + 1)[0]
    return b".".join(labels).decode("latin-1").lower(), kind, at + 5


def _known(name: str, kind: int, machine: Machine) -> tuple[int, list[tuple[int, bytes]]]:
    """Response code, and (type, data) of every record."""
    zone = domain(machine)
    if name == f"{machine.computer_name}.{zone}".lower():
        addresses = [(A, machine.address)] + [(AAAA, machine.address6)] * bool(machine.address6)
        return 0, [(is_a, ipaddress.ip_address(one).packed) for is_a, one in addresses if kind in (is_a, ANY)]
    if name == zone:
        return 0, []
    return (NO_SUCH_NAME if name.endswith((f".{zone}", ".in-addr.arpa", ".ip6.arpa")) else REFUSED), []
