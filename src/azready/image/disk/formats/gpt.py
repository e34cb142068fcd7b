"""The GUID partition table: reading both copies, checking them, and moving the backup when a disk grows.

Facts: the UEFI specification, section 5.3. All numbers little-endian; positions are in sectors there, in bytes here
unless a name says `lba`.
"""

import struct
import uuid
import zlib
from dataclasses import dataclass

from azready.image.disk.formats import Read

SIGNATURE = b"EFI PART"
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_MOST_ENTRIES = 1024
_LARGEST_ENTRY = 4096
LEGACY_BOOTABLE = 1 << 2


@dataclass(frozen=True)
class Partition:
    """One partition of either scheme; `start` and `size` in bytes from the disk's begin.

    `type` is a GUID in lower case on GPT and `0x83`-like on MBR; `uuid` is what PARTUUID= names.
    """

    number: int
    type: str
    start: int
    size: int
    uuid: str = ""
    name: str = ""
    attributes: int = 0
    legacy_bootable: bool = False


@dataclass(frozen=True)
class Header:
    """A header whose own CRC matches. Positions are sector numbers, as stored."""

    lba: int
    alternate_lba: int
    first_usable_lba: int
    last_usable_lba: int
    disk_id: str
    entries_lba: int
    entry_count: int
    entry_size: int
    entries_crc: int
    raw: bytes


@dataclass(frozen=True)
class Gpt:
    """What was found: the header that counts, its partitions, and what is wrong."""

    sector: int
    header: Header
    partitions: tuple[Partition, ...]
    backup_at: int | None
    problems: tuple[str, ...]


def parse_header(data: bytes) -> Header | None:
    """A header from the bytes of its sector; None where signature, size or CRC are wrong."""
    if len(data) < _HEADER.size or not data.startswith(SIGNATURE):
        return None
    _, _, size, crc, _, lba, alternate, first, last, disk, entries, count, entry_size, entries_crc = _HEADER.unpack(
        data[: _HEADER.size]
    )
    if not _HEADER.size <= size <= len(data):
        return None
    if zlib.crc32(data[:16] + bytes(4) + data[20:size]) != crc:
        return None
    if not (0 < count <= _MOST_ENTRIES and 128 <= entry_size <= _LARGEST_ENTRY):
        return None
    return Header(
        lba=lba,
        alternate_lba=alternate,
        first_usable_lba=first,
        last_usable_lba=last,
        disk_id=str(uuid.UUID(bytes_le=disk)),
        entries_lba=entries,
        entry_count=count,
        entry_size=entry_size,
        entries_crc=entries_crc,
        raw=data[:size],
    )


def read(read_at: Read, size: int) -> Gpt | None:
    """Find the GPT of a disk of `size` bytes, by its primary or, where that is broken, its backup header.

    Disks partitioned for sectors of 4096 bytes are found too, and named as a problem: Azure's have 512.
    """
    for sector in (512, 4096):
        primary = parse_header(read_at(sector, sector))
        present = read_at(sector, 8) == SIGNATURE
        backup_at = _find_backup(read_at, size, sector, primary)
        backup = parse_header(read_at(backup_at, sector)) if backup_at is not None else None
        header = primary or backup
        if header is None:
            continue
        problems = tuple(_problems(read_at, size, sector, (primary, present), (backup, backup_at)))
        return Gpt(sector, header, _partitions(read_at, header, sector), backup_at, problems)
    return None


def _find_backup(read_at: Read, size: int, sector: int, primary: Header | None) -> int | None:
    """The offset of a sound backup header: where the primary says, or in the disk's last sector."""
    last = size // sector - 1
    places = [last] if primary is None else [primary.alternate_lba, last]
    for lba in places:
        header = parse_header(read_at(lba * sector, sector)) if 1 < lba <= last else None
        if header is not None and header.lba == lba:
            return lba * sector
    return None


def _entries(read_at: Read, header: Header, sector: int) -> bytes:
    return read_at(header.entries_lba * sector, header.entry_count * header.entry_size)


def _partitions(read_at: Read, header: Header, sector: int) -> tuple[Partition, ...]:
    table = _entries(read_at, header, sector)
    found = []
    for index in range(header.entry_count):
        entry = table[index * header.entry_size : index * header.entry_size + _ENTRY.size]
        if len(entry) < _ENTRY.size:
            break
        kind, unique, first, last, attributes, name = _ENTRY.unpack(entry)
        if kind == bytes(16) or last < first:
            continue
        found.append(
            Partition(
                number=index + 1,
                type=str(uuid.UUID(bytes_le=kind)),
                start=first * sector,
                size=(last - first + 1) * sector,
                uuid=str(uuid.UUID(bytes_le=unique)),
                name=name.decode("utf-16-le", "replace").split("\0")[0],
                attributes=attributes,
                legacy_bootable=bool(attributes & LEGACY_BOOTABLE),
            )
        )
    return tuple(found)


def _problems(
    read_at: Read, size: int, sector: int, primary: tuple[Header | None, bool], backup: tuple[Header | None, int | None]
) -> list[str]:
    header, present = primary
    copy, copy_at = backup
    last = size // sector - 1
    found = []
    if sector != 512:
        found.append(f"the disk is partitioned for sectors of {sector} bytes; Azure's have 512: it will not boot")
    if header is None:
        found.append(
            "the primary GPT header is " + ("damaged" if present else "missing") + "; only the backup is sound"
        )
    if copy is None or copy_at is None:
        found.append("the backup GPT header is missing or damaged")
    elif copy_at != last * sector:
        found.append(f"the backup GPT header is in sector {copy_at // sector}, not in the last one ({last})")
    for name, one in (("primary", header), ("backup", copy)):
        if one is not None and zlib.crc32(_entries(read_at, one, sector)) != one.entries_crc:
            found.append(f"the {name} partition entries do not match their checksum")
    counts = header or copy
    if counts is not None:
        found.extend(
            f"partition {p.number} ends after the disk's end"
            for p in _partitions(read_at, counts, sector)
            if p.start + p.size > size
        )
    return found


def move_backup(read_at: Read, old_size: int, new_size: int) -> tuple[tuple[int, bytes], ...]:
    """What to write, as (offset, bytes), so that the GPT of a disk grown to `new_size` bytes fills it.

    Backup entries and header go to the new end, the primary header learns of it, the protective MBR covers the
    disk, and the old backup is cleared. Nothing where the disk has no GPT, or one that already fits.

    Raises ValueError where the GPT is damaged, or where the new size would cut a partition off.
    """
    found = read(read_at, old_size)
    if found is None:
        return ()
    sector, header = found.sector, found.header
    last = new_size // sector - 1
    if found.header.lba == 1 and found.backup_at == last * sector:
        return ()
    if header.lba != 1:
        raise ValueError("the primary GPT header is damaged")
    entries = _entries(read_at, header, sector)
    if zlib.crc32(entries) != header.entries_crc:
        raise ValueError("the partition entries do not match their checksum")
    span = -(-len(entries) // sector)
    last_usable = last - span - 1
    if any(p.start + p.size > (last_usable + 1) * sector for p in found.partitions):
        raise ValueError("a partition reaches into the place of the backup GPT")
    backup_entries = last - span
    writes = [
        (backup_entries * sector, entries.ljust(span * sector, b"\0")),
        (last * sector, _rebuilt(header, last, 1, last_usable, backup_entries).ljust(sector, b"\0")),
        (sector, _rebuilt(header, 1, last, last_usable, header.entries_lba).ljust(sector, b"\0")),
    ]
    return (*_cleared(found, span, backup_entries), *writes, *_protective(read_at(0, 512), last))


def _rebuilt(header: Header, lba: int, alternate: int, last_usable: int, entries_lba: int) -> bytes:
    """The header's bytes with other positions and a CRC that matches them."""
    raw = bytearray(header.raw)
    struct.pack_into("<QQ", raw, 24, lba, alternate)
    struct.pack_into("<Q", raw, 48, last_usable)
    struct.pack_into("<Q", raw, 72, entries_lba)
    raw[16:20] = bytes(4)
    struct.pack_into("<I", raw, 16, zlib.crc32(raw))
    return bytes(raw)


def _cleared(found: Gpt, span: int, backup_entries: int) -> list[tuple[int, bytes]]:
    """Zeros over the old backup, as far as no partition holds that place and the new backup does not."""
    if found.backup_at is None:
        return []
    start = found.backup_at - span * found.sector
    end = min(found.backup_at + found.sector, backup_entries * found.sector)
    taken = max((p.start + p.size for p in found.partitions), default=0)
    start = max(start, taken, (found.header.entries_lba + span) * found.sector)
    return [(start, bytes(end - start))] if start < end else []


def _protective(first: bytes, last: int) -> list[tuple[int, bytes]]:
    """The protective partition's new length, where the first slot of the MBR is one."""
    if len(first) < 512 or first[450] != 0xEE:
        return []
    return [(458, struct.pack("<I", min(last, 0xFFFF_FFFF)))]
