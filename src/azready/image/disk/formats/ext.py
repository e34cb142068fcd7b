"""Files of an ext2, ext3 or ext4 file system, read from its bytes: where neither the kernel nor FUSE can mount it.

Reading only; the journal is not replayed, as with `noload`. Facts: the Linux kernel's documentation,
filesystems/ext4 (super block, block groups, inodes, extents, directories). What is damaged raises OSError (EUCLEAN, as
the kernel does), never more than a bounded amount of work.
"""

import errno
import os
import stat as modes
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from azready.image.disk.formats import Read

ROOT = 2
"""The inode of the root folder."""
_KNOWN = 0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
"""Incompatible features that reading can live with: filetype, recover, meta_bg, extents, 64bit, mmp, flex_bg, ea_inode,
csum_seed, largedir, inline_data, encrypt, casefold."""
_META_BG, _64BIT, _SPARSE_SUPER = 0x10, 0x80, 0x1
_ENCRYPTED, _EXTENTS, _INLINE = 0x800, 0x80000, 0x10000000
_LARGEST_FOLDER = 64 << 20
_LONGEST_LINK = 4096
_DEEPEST = 5
_MOST_NODES = 1 << 16
"""Blocks of an extent tree, or of a map, that are read for one file."""


@dataclass(frozen=True)
class Inode:
    """A file as its inode tells it. `mode` holds type and permission bits; `size` is in bytes; `mtime` in seconds."""

    number: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime: float
    flags: int
    block: bytes


def damaged(what: str) -> OSError:
    """What the kernel says of a file system that contradicts itself."""
    return OSError(errno.EUCLEAN, f"the file system is damaged: {what}")


class Ext:
    """A file system that begins at `offset` of a disk. Raises OSError where it is none, or of a kind not known here."""

    def __init__(self, read: Read, offset: int) -> None:
        self._disk, self._offset = read, offset
        block = read(offset + 1024, 1024)
        if len(block) < 1024 or block[56:58] != b"\x53\xef":
            raise damaged("no super block")
        self._inodes, self._first = struct.unpack_from("<I", block, 0)[0], struct.unpack_from("<I", block, 20)[0]
        log_size, _, self._per_group, _, self._inodes_per_group = struct.unpack_from("<IIIII", block, 24)
        incompatible, read_only = struct.unpack_from("<II", block, 96)
        if incompatible & ~_KNOWN:
            raise OSError(errno.EOPNOTSUPP, f"the file system has features that are not known ({incompatible:#x})")
        if log_size > 6 or not self._per_group or not self._inodes_per_group:
            raise damaged("its super block")
        self._size = 1024 << log_size
        self._super = 1024 // self._size
        """The block of the super block: with clusters not the first one of data."""
        self._inode_size = struct.unpack_from("<H", block, 88)[0] if struct.unpack_from("<I", block, 76)[0] else 128
        self._descriptor = struct.unpack_from("<H", block, 254)[0] if incompatible & _64BIT else 32
        self._wide = bool(incompatible & _64BIT) and self._descriptor >= 64
        if not 128 <= self._inode_size <= self._size or not 32 <= self._descriptor <= self._size:
            raise damaged("its super block")
        self._meta = struct.unpack_from("<I", block, 260)[0] if incompatible & _META_BG else None
        self._sparse = bool(read_only & _SPARSE_SUPER)

    def _at(self, block: int, start: int, count: int) -> bytes:
        data = self._disk(self._offset + block * self._size + start, count)
        if len(data) < count:
            raise damaged("it leads past its end")
        return data

    def _table(self, group: int) -> int:
        """The first block of a group's inodes."""
        each = self._size // self._descriptor
        table, index = divmod(group, each)
        where = self._super + 1 + table
        if self._meta is not None and table >= self._meta:
            first = table * each
            where = max(self._super, self._first + first * self._per_group) + self._holds_super(first)
        row = self._at(where, index * self._descriptor, self._descriptor)
        low: int = struct.unpack_from("<I", row, 8)[0]
        return low | (struct.unpack_from("<I", row, 40)[0] << 32 if self._wide else 0)

    def _holds_super(self, group: int) -> bool:
        if group <= 1 or not self._sparse:
            return True
        return any(group == base**power for base in (3, 5, 7) for power in range(1, 21))

    def inode(self, number: int) -> Inode:
        """Raises OSError for a number that is none."""
        if not 1 <= number <= self._inodes:
            raise damaged(f"inode {number}")
        group, index = divmod(number - 1, self._inodes_per_group)
        at = index * self._inode_size
        raw = self._at(self._table(group) + at // self._size, at % self._size, self._inode_size)
        mode, uid, size = struct.unpack_from("<HHI", raw)
        mtime, gid, flags = (*struct.unpack_from("<i", raw, 16), *struct.unpack_from("<H", raw, 24), _u32(raw, 32))
        high_uid, high_gid = struct.unpack_from("<HH", raw, 120)
        size |= _u32(raw, 108) << 32
        when: float = mtime
        if self._inode_size > 139 and struct.unpack_from("<H", raw, 128)[0] >= 12:
            extra = _u32(raw, 136)
            when = (mtime + ((extra & 3) << 32)) + (extra >> 2) / 1e9
        return Inode(number, mode, uid | high_uid << 16, gid | high_gid << 16, size, when, flags, raw[40:100])

    def entries(self, folder: Inode) -> dict[str, int]:
        """The names in a folder, but `.` and `..`, with their inodes."""
        if not modes.S_ISDIR(folder.mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if folder.size > _LARGEST_FOLDER:
            raise damaged(f"a folder of {folder.size} bytes")
        content, found = self.content(folder, folder.size), dict[str, int]()
        at = 4 if folder.flags & _INLINE else 0  # behind its parent's number
        while at + 8 <= len(content):
            number, length, size = *struct.unpack_from("<IH", content, at), content[at + 6]
            if length in (0, 0xFFFF) and self._size == 65536:  # which does not fit into the field
                length = 65536
            if length < 8 or length % 4 or 8 + size > length:
                raise damaged(f"folder {folder.number}")
            name = content[at + 8 : at + 8 + size]
            if number and name not in (b"", b".", b"..") and not {0, 47} & set(name):
                found[name.decode(errors="surrogateescape")] = number
            at += length
        return found

    def link(self, inode: Inode) -> str:
        """The text of a symbolic link."""
        if not modes.S_ISLNK(inode.mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if inode.size > _LONGEST_LINK:
            raise damaged(f"a link of {inode.size} bytes")
        short = inode.size < 60 and not inode.flags & _EXTENTS
        text = inode.block[: inode.size] if short else self.content(inode, inode.size)
        return text.decode(errors="surrogateescape")

    def content(self, inode: Inode, count: int) -> bytes:
        """The first `count` bytes of a file, a folder or a long link, or fewer when it is shorter."""
        if inode.flags & _ENCRYPTED:
            raise OSError(errno.EACCES, "it is encrypted")
        wanted = min(count, inode.size)
        if inode.flags & _INLINE:
            if wanted > len(inode.block):
                raise OSError(errno.EOPNOTSUPP, "its content lies in its attributes")
            return inode.block[:wanted]
        pieces, at = [], 0
        for logical, length, physical in self._runs(inode, wanted):
            start = logical * self._size
            if start >= wanted:
                break
            if start < at:
                raise damaged(f"the blocks of inode {inode.number}")
            end = min(start + length * self._size, wanted)
            pieces += [bytes(start - at), self._at(physical, 0, end - start) if physical else bytes(end - start)]
            at = end
        return b"".join((*pieces, bytes(wanted - at)))

    def _runs(self, inode: Inode, wanted: int) -> Iterator[tuple[int, int, int]]:
        """First block in the file, number of blocks, first block on the disk (0: zeros), in the file's order."""
        if inode.flags & _EXTENTS:
            return self._extents(inode.block, _DEEPEST, iter(range(_MOST_NODES)))
        return self._mapped(inode, -(-wanted // self._size))

    def _extents(self, node: bytes, deepest: int, budget: Iterator[int]) -> Iterator[tuple[int, int, int]]:
        magic, count, _, depth = struct.unpack_from("<HHHH", node)
        if magic != 0xF30A or depth > deepest or 12 + count * 12 > len(node) or next(budget, None) is None:
            raise damaged("the blocks of a file")
        for at in range(12, 12 + count * 12, 12):
            if depth:
                low, high = struct.unpack_from("<IH", node, at + 4)
                yield from self._extents(self._at(low | high << 32, 0, self._size), depth - 1, budget)
            else:
                logical, length, high, low = struct.unpack_from("<IHHI", node, at)
                if not length:
                    raise damaged("an extent of no block")
                unwritten = length > 0x8000
                yield logical, length - 0x8000 if unwritten else length, 0 if unwritten else low | high << 32

    def _mapped(self, inode: Inode, blocks: int) -> Iterator[tuple[int, int, int]]:
        """The blocks of ext2 and ext3: twelve in the inode, then tables of them, one, two and three deep."""
        numbers = struct.unpack_from("<15I", inode.block)
        for at, number in enumerate(numbers[:12]):
            yield at, 1, number
        at, budget = 12, iter(range(_MOST_NODES))
        for depth, number in enumerate(numbers[12:], 1):
            if at >= blocks:
                return
            yield from self._indirect(number, depth, at, blocks, budget)
            at += int((self._size // 4) ** depth)

    def _indirect(
        self, number: int, depth: int, at: int, blocks: int, budget: Iterator[int]
    ) -> Iterator[tuple[int, int, int]]:
        span = (self._size // 4) ** (depth - 1)
        if not number:
            return
        if next(budget, None) is None:
            raise damaged("the blocks of a file")
        for below in struct.unpack(f"<{self._size // 4}I", self._at(number, 0, self._size)):
            if at >= blocks:
                return
            if depth == 1:
                yield at, 1, below
            else:
                yield from self._indirect(below, depth - 1, at, blocks, budget)
            at += span


def _u32(data: bytes, at: int) -> int:
    number: int = struct.unpack_from("<I", data, at)[0]
    return number
