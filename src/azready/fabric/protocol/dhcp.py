"""DHCP as Azure gives it: a message of the guest in, the platform's answer out.

Options and header as in a recorded ACK (cloud-init tests/data/net/dhcp/eth0.lease) and recorded leases (WALinuxAgent,
bosh, ohai): 1 3 6 15 51 53 54 58 59 245 121, in this order, asked for or not; server, next server and gateway are
168.63.129.16; and never the host name (12), though clients ask for it (coreos/afterburn#197). Formats: RFC 2131, RFC
2132, RFC 3442. Secondary NICs get an address and neither router nor routes.
"""

import hashlib
import ipaddress
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from socket import inet_aton, inet_ntoa

from azready.fabric.faults import Fault
from azready.fabric.ledger import Exchange, Finding
from azready.fabric.machine import Machine
from azready.fabric.protocol.findings import found

WIRESERVER = "168.63.129.16"
IMDS = "169.254.169.254"
SERVER_NAME = b"DSM111090716029"
FOREVER = b"\xff\xff\xff\xff"

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
KINDS = dict(enumerate(["DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM"], 1))
_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_COOKIE = b"\x63\x82\x53\x63"


@dataclass(frozen=True)
class Message:
    """A DHCP message: what its header says, and its options."""

    answers: bool
    """Whether it is a server's."""
    xid: int
    flags: int
    client: bytes
    """ciaddr: the address that the client has already, four bytes."""
    yours: bytes
    hardware: bytes
    """chaddr, sixteen bytes."""
    options: Mapping[int, bytes]

    @property
    def kind(self) -> int:
        return self.options.get(53, b"\0")[0]

    @property
    def mac(self) -> str:
        return self.hardware[:6].hex(":")

    @property
    def wanted(self) -> str:
        """The address that it is about; empty when it names none."""
        given = self.yours if self.answers else self.options.get(50, self.client)
        return inet_ntoa(given) if len(given) == 4 and any(given) else ""


def parse(packet: bytes) -> Message | None:
    """Read a UDP payload; None for what is no DHCP message."""
    if len(packet) < _HEADER.size:
        return None
    operation, _, length, _, xid, _, flags, client, yours, _, _, hardware, _, _, cookie = _HEADER.unpack_from(packet)
    if operation not in (1, 2) or length != 6 or cookie != _COOKIE:
        return None
    message = Message(operation == 2, xid, flags, client, yours, hardware, _options(packet[_HEADER.size :]))
    return message if message.kind in KINDS else None


def _options(data: bytes) -> dict[int, bytes]:
    """Options up to their end; one that comes twice is one long option (RFC 3396)."""
    found_them: dict[int, bytes] = {}
    at = 0
    while at + 1 < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        value = data[at + 2 : at + 2 + data[at + 1]]
        if value:
            found_them[data[at]] = found_them.get(data[at], b"") + value
        at += 2 + data[at + 1]
    return found_them


def answer(packet: bytes, machine: Machine, faults: Sequence[Fault] = (), wireserver: str = WIRESERVER) -> bytes | None:
    """The platform's answer to a guest's packet; None where it says nothing: to strangers, and to those who thank.

    Of `faults`, those of the service dhcp are heeded: `silent` says nothing, `without` leaves options out (when
    to send it is for the caller). `wireserver` is told by 245 and 121; the server itself is always Azure's.
    """
    mine = [fault for fault in faults if fault.service == "dhcp"]
    message = parse(packet)
    if message is None or message.answers or any(fault.silent for fault in mine):
        return None
    address = _addresses(machine).get(message.mac)
    if address is None or inet_aton(WIRESERVER) != message.options.get(54, inet_aton(WIRESERVER)):
        return None
    kind = _kind_of_answer(message, address)
    if kind is None:
        return None
    options = _options_of(kind, machine, message.mac, wireserver)
    for left_out in {option for fault in mine for option in fault.without}:
        options.pop(left_out, None)
    return _packed(message, "0.0.0.0" if kind == NAK or message.kind == INFORM else address, options)


def _options_of(kind: int, machine: Machine, mac: str, wireserver: str) -> dict[int, bytes]:
    lease = {53: b"", 54: inet_aton(WIRESERVER)} if kind == NAK else _lease(machine, mac, wireserver)
    return lease | {53: bytes([kind])}


def _kind_of_answer(message: Message, address: str) -> int | None:
    if message.kind == REQUEST:
        return ACK if message.wanted == address else NAK
    return {DISCOVER: OFFER, INFORM: ACK}.get(message.kind)


def delay(faults: Sequence[Fault]) -> float:
    """Seconds that the platform takes to answer."""
    return sum(fault.delay for fault in faults if fault.service == "dhcp")


def _addresses(machine: Machine) -> dict[str, str]:
    return {mac.lower(): address for mac, address in ((machine.mac, machine.address), *machine.secondary_nics)}


def gateway(machine: Machine) -> str:
    """The router of the machine's subnet: its first address."""
    return str(ipaddress.ip_network(machine.subnet, strict=False)[1])


def domain(machine: Machine) -> str:
    """The domain of the machine's virtual network, `<26 letters and digits>.gx.internal.cloudapp.net`."""
    seed = f"{machine.subscription_id}/{machine.resource_group}/{machine.subnet}"
    digits = int.from_bytes(hashlib.sha256(seed.encode()).digest())
    letters = "".join("0123456789abcdefghijklmnopqrstuvwxyz"[digits // 36**place % 36] for place in range(26))
    return f"{letters}.gx.internal.cloudapp.net"


def _lease(machine: Machine, mac: str, wireserver: str) -> dict[int, bytes]:
    """The options of an offer, in their recorded order."""
    router = inet_aton(gateway(machine))
    hosts = b"".join(b"\x20" + inet_aton(host) + router for host in (wireserver, IMDS))
    options = {
        1: ipaddress.ip_network(machine.subnet, strict=False).netmask.packed,
        3: router,
        6: inet_aton(WIRESERVER),
        15: domain(machine).encode(),
        51: FOREVER,
        53: b"",
        54: inet_aton(WIRESERVER),
        58: FOREVER,
        59: FOREVER,
        245: inet_aton(wireserver),
        121: b"\0" + router + hosts,
    }
    secondary = mac != machine.mac.lower()
    return {number: value for number, value in options.items() if not secondary or number not in (3, 6, 121)}


def _packed(message: Message, address: str, options: Mapping[int, bytes]) -> bytes:
    server = inet_aton(WIRESERVER)
    header = _HEADER.pack(
        *(2, 1, 6, 0, message.xid, 0, message.flags),
        *(message.client, inet_aton(address), server, server, message.hardware, SERVER_NAME, b"", _COOKIE),
    )
    data = b"".join(bytes([number, len(value)]) + value for number, value in options.items())
    return (header + data + b"\xff").ljust(300, b"\0")  # BOOTP's least, which some clients still demand


def entries(packet: bytes, at: float, machine: Machine) -> tuple[Exchange | Finding, ...]:
    """What a packet of either side says, for the ledger; nothing for what is no DHCP message.

    An answer has the status 200, a refusal (DHCPNAK) 403, a question none; the target is the address, or the MAC.
    """
    message = parse(packet)
    if message is None:
        return ()
    status = 403 if message.kind == NAK else 200 if message.answers else None
    kind = f"DHCP{KINDS[message.kind]}"
    heard = (Exchange(at, "dhcp", kind, message.wanted or message.mac, status, message.mac),)
    name = message.options.get(12, b"").decode("utf-8", "replace").rstrip("\0")
    if not message.answers and name and name.partition(".")[0] != machine.computer_name.partition(".")[0]:
        return (*heard, found(at, "dhcp-hostname", found=name, wanted=machine.computer_name))
    return heard
