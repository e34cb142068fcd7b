"""DHCP as seen on the wire: QEMU's dump of the guest's packets as entries of the ledger.

For guests whose DHCP server is QEMU's own, which keeps no log. Facts: the classic pcap file format; RFC 2131.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from azready.fabric.ledger import Exchange, Finding
from azready.fabric.machine import Machine
from azready.fabric.protocol import dhcp

_FILE_HEADER, _RECORD = 24, struct.Struct("<IIII")


@dataclass
class Frames:
    """Cuts a growing pcap stream into frames; `feed` may get it in any pieces."""

    _rest: bytes = b""
    _begun: bool = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of a pcap file, wherever they are cut; yields each Ethernet frame that is whole."""
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
    """What an Ethernet frame says of DHCP; nothing for any other."""
    message = _dhcp_message(frame)
    return dhcp.entries(message, at, machine) if message is not None else ()


def _dhcp_message(frame: bytes) -> bytes | None:
    """The UDP payload of a frame between the ports 67 and 68."""
    if len(frame) < 34 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    start = 14 + (frame[14] & 0xF) * 4
    if len(frame) < start + 8 or {*struct.unpack_from(">HH", frame, start)} != {67, 68}:
        return None
    return frame[start + 8 :]
