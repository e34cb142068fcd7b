"""DHCP as seen on the wire: QEMU's dump of the guest's packets as entries of the ledger.

For guests whose DHCP server is QEMU's own, which keeps no log. Facts: the classic pcap file format; RFC 2131.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from azready.fabric.ledger import Exchange, Finding
from azready.fabric.machine import Machine
from azready.fabric.protocol.findings import found

_FILE_HEADER, _RECORD = 24, struct.Struct("<IIII")
_KINDS = {1: "DHCPDISCOVER", 2: "DHCPOFFER", 3: "DHCPREQUEST", 4: "DHCPDECLINE", 5: "DHCPACK", 6: "DHCPNAK"}
_STATUSES = {2: 200, 5: 200, 6: 403}
_COOKIE = b"\x63\x82\x53\x63"


@dataclass
class Frames:
    """Cuts a growing pcap stream into frames; `feed` may get it in any pieces."""

    _rest: bytes = b""
    _begun: bool = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._rest += data
        if not self._begun:
            if len(self._rest) < _FILE_HEADER:
                return
            self._rest, self._begun = self._rest[_FILE_HEADER:], True
        while len(self._rest) >= _RECORD.size:
            length = _RECORD.unpack_from(self._rest)[2]
            if len(self._rest) < _RECORD.size + length:
                return
            frame = self._rest[_RECORD.size : _RECORD.size + length]
            self._rest = self._rest[_RECORD.size + length :]
            yield frame


def entries(frame: bytes, at: float, machine: Machine) -> tuple[Exchange | Finding, ...]:
    """What an Ethernet frame says of DHCP; nothing for any other. The same entries that dnsmasq's log gives."""
    message = _dhcp_message(frame)
    if message is None:
        return ()
    options = _options(message[240:])
    kind = options.get(53, b"\0")[0]
    if kind not in _KINDS:
        return ()
    mac = ":".join(f"{byte:02x}" for byte in message[28:34])
    given = options.get(50, message[16:20] if kind in _STATUSES else bytes(4))
    address = ".".join(str(byte) for byte in given) if any(given) else mac
    heard = (Exchange(at, "dhcp", _KINDS[kind], address, _STATUSES.get(kind), mac),)
    name = options.get(12, b"").decode("utf-8", "replace")
    if kind in (1, 3) and name and name.partition(".")[0] != machine.computer_name.partition(".")[0]:
        return (*heard, found(at, "dhcp-hostname", found=name, wanted=machine.computer_name))
    return heard


def _dhcp_message(frame: bytes) -> bytes | None:
    """The UDP payload of a frame between the ports 67 and 68."""
    if len(frame) < 34 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    start = 14 + (frame[14] & 0xF) * 4
    if len(frame) < start + 8 or {*struct.unpack_from(">HH", frame, start)} != {67, 68}:
        return None
    message = frame[start + 8 :]
    return message if len(message) >= 240 and message[236:240] == _COOKIE else None


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 1 < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        value = data[at + 2 : at + 2 + data[at + 1]]
        if value:
            found.setdefault(data[at], value)
        at += 2 + data[at + 1]
    return found
