"""Folders and files of a FAT file system, as an EFI system partition is one. Reading only.

Facts: Microsoft's FAT specification (fatgen103): boot sector, cluster chains, directory entries, long names.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from azready.image.disk.formats import Read

_LARGEST_FOLDER = 65536 * 32
"""Bytes of a folder, by the specification; more would be a loop in its chain of clusters."""


@dataclass(frozen=True)
class Entry:
    """A name in a folder: its first cluster, and its size in bytes (0 of a folder)."""

    name: str
    folder: bool
    first: int
    size: int


@dataclass(frozen=True)
class Volume:
    """A FAT file system; `volume` makes one."""

    read: Read
    bits: int
    cluster: int
    table_at: int
    data_at: int
    root_at: int
    root_size: int
    root_cluster: int

    def chain(self, first: int, length: int) -> Iterator[bytes]:
        """The content of a chain of clusters, to `length` bytes or the end of its last cluster."""
        most = -(-length // self.cluster)
        at, seen = first, 0
        end = {12: 0xFF8, 16: 0xFFF8, 32: 0x0FFFFFF8}[self.bits]
        while 2 <= at < end and seen < most:
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

    @property
    def root(self) -> Entry:
        """The root folder."""
        return Entry("", True, self.root_cluster, 0)

    def find(self, path: str) -> Entry | None:
        """What a path leads to, in any case of its letters; None where there is nothing."""
        found = self.root
        for part in filter(None, path.split("/")):
            inside = self.entries(found) if found.folder else ()
            matches = [each for each in inside if each.name.lower() == part.lower()]
            if not matches:
                return None
            found = matches[0]
        return found

    def entries(self, folder: Entry) -> tuple[Entry, ...]:
        """What is in a folder."""
        if self.root_size and not folder.name:
            return tuple(_entries(self.read(self.root_at, self.root_size)))
        return tuple(_entries(b"".join(self.chain(folder.first, _LARGEST_FOLDER))))

    def content(self, file: Entry, count: int) -> bytes:
        """The first `count` bytes of a file, or fewer where it is shorter."""
        wanted = min(count, file.size)
        return b"".join(self.chain(file.first, wanted))[:wanted]


def volume(read: Read, offset: int) -> Volume | None:
    """The FAT file system at `offset` of a disk; None where there is none."""

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
    return Volume(
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
    found = volume(read, offset)
    place = found.find(folder) if found else None
    return tuple(each.name for each in found.entries(place)) if found and place and place.folder else None


def _entries(content: bytes) -> Iterator[Entry]:
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
            high, low, size = *struct.unpack_from("<H", entry, 20), *struct.unpack_from("<HI", entry, 26)
            folder = bool(entry[11] & 0x10)
            name = long or short
            if name not in ("", ".", "..") and not {"/", "\0"} & set(name):
                yield Entry(name, folder, high << 16 | low, 0 if folder else size)
            long = ""


def _short_name(entry: bytes) -> str:
    base, extension = (part.decode("cp437").rstrip() for part in (entry[:8], entry[8:11]))
    base = base.lower() if entry[12] & 0x08 else base
    extension = extension.lower() if entry[12] & 0x10 else extension
    return f"{base}.{extension}" if extension else base
