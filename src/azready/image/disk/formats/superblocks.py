"""What a partition holds: file systems, LVM, LUKS and swap, by their superblocks, with the names fstab uses.

Facts: each format's own documentation in the Linux kernel (ext4, xfs, btrfs), Microsoft's FAT specification, LVM's and
cryptsetup's on-disk formats. UUIDs are spelled as blkid spells them.
"""

import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from azready.image.disk.formats import Read

Kind = Literal["ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "swap", "lvm", "luks", "squashfs", "erofs", "raid"]


_LONGEST_XFS_LOG = 256 << 20
"""Bytes of log that are searched; of a larger one nothing is said."""


@dataclass(frozen=True)
class Superblock:
    """`uuid` and `label` as fstab would name them; `dirty` says why the next mount has to repair, if it has."""

    kind: Kind
    uuid: str = ""
    label: str = ""
    dirty: str = ""
    size: int = 0
    """Bytes that the file system fills; 0 where its superblock does not say."""
    free: int | None = None
    """Bytes free by the superblock; None where it does not say."""
    incompatible: int = 0
    """Of ext and xfs: the bits of features without which a reader must leave it alone."""


def probe(read: Read, offset: int = 0) -> Superblock | None:
    """Recognize what begins at `offset` of the disk; None for nothing known. Never raises."""

    def at(position: int, length: int) -> bytes:
        return read(offset + position, length)

    return next((found for look in _PROBES if (found := look(at)) is not None), None)


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode("utf-8", "replace").strip()


def _guid(data: bytes) -> str:
    return "" if data == bytes(16) else str(uuid.UUID(bytes=data))


def _ext(at: Read) -> Superblock | None:
    block = at(1024, 1024)
    if len(block) < 1024 or block[56:58] != b"\x53\xef":
        return None
    blocks, _, free, _, _, log_size = struct.unpack_from("<IIIIII", block, 4)
    (state,) = struct.unpack_from("<H", block, 58)
    compatible, incompatible, read_only = struct.unpack_from("<III", block, 92)
    if incompatible & 0x80:
        blocks |= struct.unpack_from("<I", block, 336)[0] << 32
        free |= struct.unpack_from("<I", block, 344)[0] << 32
    kind: Kind = "ext2"
    if compatible & 0x4:
        kind = "ext3"
    if incompatible & 0x2C0 or read_only & 0x78:
        kind = "ext4"
    reasons = []
    if incompatible & 0x4:
        reasons.append("the journal must be replayed")
    if not state & 1:
        reasons.append("it was not unmounted cleanly")
    if state & 2:
        reasons.append("errors were found in it")
    unit = 1024 << min(log_size, 10)
    return Superblock(
        kind, _guid(block[104:120]), _text(block[120:136]), "; ".join(reasons), blocks * unit, free * unit, incompatible
    )


def _xfs(at: Read) -> Superblock | None:
    block = at(0, 512)
    if len(block) < 512 or not block.startswith(b"XFSB"):
        return None
    unit, blocks = struct.unpack_from(">IQ", block, 4)
    (free,) = struct.unpack_from(">Q", block, 144)
    (logical,) = struct.unpack_from(">H", block, 100)
    if not logical & 0xF:
        return None
    (incompatible,) = struct.unpack_from(">I", block, 216) if block[101] & 0xF == 5 else (0,)
    return Superblock(
        "xfs", _guid(block[32:48]), _text(block[108:120]), _xfs_log(at, block), blocks * unit, free * unit, incompatible
    )


def _xfs_log(at: Read, block: bytes) -> str:
    """Whether the log's newest record is an unmount record, which is what a clean unmount leaves.

    The log is a ring of 512-byte sectors; a record header (magic FEEDBABE) holds its cycle, length and number of
    operations. The newest record is the one of the highest cycle, the last of that cycle in the ring; an unmount
    record holds one operation whose flags have bit 0x20. Only an internal log is looked at.
    """
    (start,) = struct.unpack_from(">Q", block, 48)
    unit, log_blocks = struct.unpack_from(">I", block, 4)[0], struct.unpack_from(">I", block, 96)[0]
    ag_blocks, ag_log = struct.unpack_from(">I", block, 84)[0], block[124]
    if not start or ag_log > 63 or unit > 65536:
        return ""
    first = ((start >> ag_log) * ag_blocks + (start & ((1 << ag_log) - 1))) * unit
    newest: tuple[int, int] | None = None
    length, chunk = log_blocks * unit, 1 << 20
    if length > _LONGEST_XFS_LOG:
        return ""
    last_header = b""
    for position in range(0, length, chunk):
        data = at(first + position, min(chunk, length - position))
        found = data.find(b"\xfe\xed\xba\xbe")
        while found >= 0:
            if found % 512 == 0 and found + 512 <= len(data):
                (cycle,) = struct.unpack_from(">I", data, found + 4)
                if newest is None or (cycle, position + found) > newest:
                    newest = (cycle, position + found)
                    last_header = data[found : found + 512]
            found = data.find(b"\xfe\xed\xba\xbe", found + 4)
    if newest is None:
        return ""
    (operations,) = struct.unpack_from(">I", last_header, 40)
    operation = at(first + newest[1] + 512, 12)
    if operations == 1 and len(operation) == 12 and operation[9] & 0x20:
        return ""
    return "the log must be replayed"


def _btrfs(at: Read) -> Superblock | None:
    block = at(65536, 4096)
    if len(block) < 4096 or block[64:72] != b"_BHRfS_M":
        return None
    size, used = struct.unpack_from("<QQ", block, 112)
    (log_root,) = struct.unpack_from("<Q", block, 96)
    dirty = "the log must be replayed" if log_root else ""
    return Superblock("btrfs", _guid(block[32:48]), _text(block[299:555]), dirty, size, max(0, size - used))


def _fat(at: Read) -> Superblock | None:
    block = at(0, 512)
    if len(block) < 512 or block[510:] != b"\x55\xaa":
        return None
    wide = block[82:90] == b"FAT32   "
    if not wide and block[54:62] not in (b"FAT12   ", b"FAT16   "):
        return None
    start = 66 if wide else 38
    signature = block[start]
    if signature not in (0x28, 0x29):
        return None
    (serial,) = struct.unpack_from("<I", block, start + 1)
    label = block[start + 5 : start + 16].decode("ascii", "replace").strip()
    sector, few, many = (
        struct.unpack_from("<H", block, 11)[0],
        struct.unpack_from("<H", block, 19)[0],
        struct.unpack_from("<I", block, 32)[0],
    )
    dirty = "it was not unmounted cleanly" if block[start - 1] & 1 else ""
    return Superblock(
        "vfat",
        f"{serial >> 16:04X}-{serial & 0xFFFF:04X}",
        "" if label == "NO NAME" else label,
        dirty,
        (few or many) * sector,
    )


def _swap(at: Read) -> Superblock | None:
    for page in (4096, 65536, 16384, 8192):
        if at(page - 10, 10) in (b"SWAPSPACE2", b"SWAP-SPACE"):
            head = at(1024, 64)
            if len(head) < 44:
                return None
            pages = struct.unpack_from("<I", head, 4)[0]
            return Superblock("swap", _guid(head[12:28]), _text(head[28:44]), size=(pages + 1) * page)
    return None


def _lvm(at: Read) -> Superblock | None:
    for sector in range(4):
        label = at(sector * 512, 512)
        if label.startswith(b"LABELONE") and label[24:32] == b"LVM2 001":
            (start,) = struct.unpack_from("<I", label, 20)
            name = label[start : start + 32].decode("ascii", "replace")
            cuts = (0, 6, 10, 14, 18, 22, 26, 32)
            return Superblock("lvm", "-".join(name[a:b] for a, b in pairwise(cuts)))
    return None


def _luks(at: Read) -> Superblock | None:
    block = at(0, 512)
    if len(block) < 512 or not block.startswith(b"LUKS\xba\xbe"):
        return None
    (version,) = struct.unpack_from(">H", block, 6)
    label = _text(block[24:72]) if version == 2 else ""
    return Superblock("luks", _text(block[168:208]), label)


def _read_only(at: Read) -> Superblock | None:
    if at(0, 4) == b"hsqs":
        return Superblock("squashfs")
    block = at(1024, 128)
    if block.startswith(b"\xe2\xe1\xf5\xe0") and len(block) == 128:
        return Superblock("erofs", _guid(block[48:64]), _text(block[64:80]))
    return None


def _raid(at: Read) -> Superblock | None:
    """Linux software RAID with metadata 1.1 (at the begin) or 1.2 (4 KiB in)."""
    for position in (0, 4096):
        block = at(position, 128)
        if block.startswith(b"\xfc\x4e\x2b\xa9") and len(block) == 128:
            return Superblock("raid", _guid(block[16:32]), _text(block[32:64]))
    return None


_PROBES: tuple[Callable[[Read], Superblock | None], ...] = (
    _luks,
    _lvm,
    _raid,
    _xfs,
    _btrfs,
    _ext,
    _swap,
    _read_only,
    _fat,
)
