"""Names in the folders of a FAT file system: enough to see which boot loaders an ESP holds. Reading only.

Facts: Microsoft's FAT specification (fatgen103): boot sector, cluster chains, directory entries, long names.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from azready.image.disk.formats import Read

_MOST_CLUSTERS = 4096
"""Clusters of one folder that are read; more would be a loop in the chain."""


@dataclass(frozen=True)
class _Volume:
    read: Read
    bits: int
    cluster: int
    table_at: int
    data_at: int
    root_at: int
    root_size: int
    root_cluster: int

    def chain(self, first: int) -> Iterator[bytes]:
        """The content of a chain of clusters."""
        at, seen = first, 0
        end = {12: 0xFF8, 16: 0xFFF8, 32: 0x0FFFFFF8}[self.bits]
        while 2 <= at < end and seen < _MOST_CLUSTERS:
            yield self.read(self.data_at + (at - 2) * self.cluster, self.cluster)
            at, seen = self._next(at), seen + 1

    def _next(self, at: int) -> int:
        if self.bits == 12:
            pair = self.read(self.table_at + at * 3 // 2, 2).ljust(2, b"\xff")
            value: int = struct.unpack("<H", pair)[0]
            return value >> 4 if at & 1 else value & 0xFFF
        width = self.bits // 8
        entry = self.read(self.table_at + at * width, width).ljust(width, b"\xff")
        return int.from_bytes(entry, "little") & 0x0FFFFFFF

    def root(self) -> bytes:
        return self.read(self.root_at, self.root_size) if self.root_size else b"".join(self.chain(self.root_cluster))


def _volume(read: Read, offset: int) -> _Volume | None:
    def at(position: int, length: int) -> bytes:
        return read(offset + position, length)

    block = at(0, 512)
    if len(block) < 512 or block[510:] != b"\x55\xaa":
        return None
    sector, per_cluster, reserved, tables, entries, few, _, wide16 = struct.unpack_from("<HBHBHHBH", block, 11)
    many, wide32 = struct.unpack_from("<I", block, 32)[0], struct.unpack_from("<I", block, 36)[0]
    if sector not in (512, 1024, 2048, 4096) or not per_cluster or not tables:
        return None
    width = wide16 or wide32
    root_at = (reserved + tables * width) * sector
    data_at = root_at + -(-entries * 32 // sector) * sector
    clusters = ((few or many) * sector - data_at) // (per_cluster * sector)
    bits = 12 if clusters < 4085 else 16 if clusters < 65525 else 32
    root_cluster = struct.unpack_from("<I", block, 44)[0]
    return _Volume(
        at,
        bits,
        per_cluster * sector,
        reserved * sector,
        data_at,
        root_at,
        entries * 32 if bits < 32 else 0,
        root_cluster,
    )


def names(read: Read, offset: int, folder: str = "") -> tuple[str, ...] | None:
    """The names in `folder` (`EFI/BOOT`; any case) of the file system at `offset`.

    None where there is no FAT file system or no such folder.
    """
    volume = _volume(read, offset)
    if volume is None:
        return None
    content = volume.root()
    for part in filter(None, folder.split("/")):
        first = next((start for name, start in _entries(content) if name.lower() == part.lower() and start), 0)
        if not first:
            return None
        content = b"".join(volume.chain(first))
    return tuple(name for name, _ in _entries(content))


def _entries(content: bytes) -> Iterator[tuple[str, int]]:
    """(name, first cluster) of each entry; the first cluster is 0 where the entry is no folder."""
    long = ""
    for at in range(0, len(content) - 31, 32):
        entry = content[at : at + 32]
        if entry[0] == 0:
            return
        if entry[0] == 0xE5:
            long = ""
        elif entry[11] == 0x0F:
            piece = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le", "replace")
            long = piece.split("\0")[0].rstrip("￿") + long
        elif not entry[11] & 0x08:
            short = _short_name(entry)
            high, low = struct.unpack_from("<H", entry, 20)[0], struct.unpack_from("<H", entry, 26)[0]
            if short not in (".", ".."):
                yield long or short, (high << 16 | low) if entry[11] & 0x10 else 0
            long = ""


def _short_name(entry: bytes) -> str:
    base, extension = (part.decode("cp437").rstrip() for part in (entry[:8], entry[8:11]))
    return f"{base}.{extension}" if extension else base
