"""Listing an initramfs without running anything.

The kernel's "initramfs buffer format": any number of cpio archives in "new ASCII" form (magic 070701, or 070702
with checksums), each plain or compressed, with zero bytes between them. dracut and initramfs-tools put an
uncompressed archive with CPU microcode first, newer initramfs-tools another one with compressed modules.
Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import zstandard

from azready import proc
from azready.errors import Failure

HEADER = 110
TRAILER = "TRAILER!!!"
CHUNK = 1 << 20
_PIECE = 1 << 20
"""The most unpacked bytes that are held at once: a megabyte may unpack to gigabytes."""
_ZSTD_HEADER, _ZSTD_BLOCK, _ZSTD_CHECKSUM = 18, 128 << 10, 4
"""Bytes of a zstd frame's header, of an unpacked block, and of the checksum that may follow, at most."""
_REPEATED = 1
"""The type of a block that is one byte, many times."""
LONGEST_NAME = 4096
LARGEST = 8 << 30
"""More unpacked bytes than this is no initramfs but a mistake or an attack;"""
USUAL, TIMES = 256 << 20, 100
"""and so is more than `USUAL` that is also more than so many times the file: a kilobyte of bzip2 takes minutes."""
_DICTIONARY = 256 << 20
"""Bytes of memory for xz: what its highest level needs, and some."""
LARGEST_WANTED = 64 << 20
"""More bytes of files that are kept than this, likewise."""
MOST_NAMES = 1 << 20


class BrokenInitramfs(Failure):
    """The file is not a sequence of cpio archives, or is cut short."""


@dataclass(frozen=True)
class Initramfs:
    """Every path in the archives, without leading `/` or `./`, and the bytes of the few that were wanted."""

    names: frozenset[str]
    contents: Mapping[str, bytes]
    compression: str
    """Of the last archive: `none`, `gzip`, `zstd` …"""

    @cached_property
    def modules(self) -> frozenset[str]:
        """Names of the kernel modules in it, `-` written as `_`: `hv_vmbus`, `nvme_core`."""
        return frozenset(map(_module, self._module_files))

    def modules_for(self, version: str) -> frozenset[str]:
        """Those that a kernel of this version can load: modules lie in a folder of their kernel's version."""
        return frozenset(_module(each) for each in self._module_files if _kernel_of(each) in ("", version))

    @cached_property
    def _module_files(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if ".ko" in name.rpartition("/")[2])


def _module(path: str) -> str:
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")


def _kernel_of(path: str) -> str:
    """The version in a module's path; empty where it does not say one."""
    found = re.search(r"(?:^|/)modules/([^/]+)/", path)
    return found[1] if found else ""


class _Decompressor(Protocol):
    @property
    def unused_data(self) -> bytes: ...

    @property
    def eof(self) -> bool: ...


class _Bounded:
    """lzma's and bz2's decompressors: they hold back what was not asked for yet."""

    def __init__(self, decompressor: lzma.LZMADecompressor | bz2.BZ2Decompressor) -> None:
        self.stream: _Decompressor = decompressor
        self._inner = decompressor

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield self._inner.decompress(data, _PIECE)
        while not self._inner.eof and not self._inner.needs_input:
            yield self._inner.decompress(b"", _PIECE)


class _Gzip:
    """zlib's gives back the input that it had no room for."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.stream: _Decompressor = self._inner

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            yield self._inner.decompress(data, _PIECE)
            data = self._inner.unconsumed_tail


class _Zstd:
    """zstandard's cannot be stopped: it gets few blocks at once. The window of a frame is at most 128 MiB, by the
    library's own limit."""

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor().decompressobj()
        self.stream: _Decompressor = self._inner

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield self._inner.decompress(data)


def _by_size(data: memoryview) -> Iterator[memoryview]:
    for at in range(0, len(data), CHUNK):
        yield data[at : at + CHUNK]


def _by_blocks(data: memoryview) -> Iterator[memoryview]:
    """Of a zstd frame so many blocks at once that they unpack to `_PIECE` bytes at most; then its checksum.

    Source: RFC 8878, 3.1.1. A block's header says how long the block is (one byte, for a byte that is repeated), and
    unpacked it has 128 KiB at most.
    """
    head = bytes(data[:_ZSTD_HEADER])
    at, start, last = zstandard.frame_header_size(head), 0, False
    while not last:
        for _ in range(_PIECE // _ZSTD_BLOCK):
            header = int.from_bytes(data[at : at + 3], "little")
            last = bool(header & 1) or at >= len(data)
            at += 3 + (1 if header >> 1 & 3 == _REPEATED else header >> 3)
            if last:
                break
        yield data[start:at]
        start = at
    yield data[at : at + _ZSTD_CHECKSUM]


@dataclass(frozen=True)
class _Format:
    name: str
    magic: bytes
    open: Callable[[], "_Bounded | _Gzip | _Zstd"]
    cut: Callable[[memoryview], Iterator[memoryview]] = _by_size


_STREAMED = (
    _Format("gzip", b"\x1f\x8b", _Gzip),
    _Format("zstd", b"\x28\xb5\x2f\xfd", _Zstd, _by_blocks),
    _Format("xz", b"\xfd7zXZ\x00", lambda: _Bounded(lzma.LZMADecompressor(lzma.FORMAT_XZ, _DICTIONARY))),
    _Format("lzma", b"\x5d\x00\x00", lambda: _Bounded(lzma.LZMADecompressor(lzma.FORMAT_ALONE, _DICTIONARY))),
    _Format("bzip2", b"BZh", lambda: _Bounded(bz2.BZ2Decompressor())),
)
_BY_COMMAND = ((b"\x02\x21\x4c\x18", "lz4", "lz4"), (b"\x89LZO\x00", "lzop", "lzop"))
_CPIO = (b"070701", b"070702")


def list_initramfs(data: bytes, want: Callable[[str], bool] = lambda name: False) -> Initramfs:
    """List the archives in `data`; keep the bytes of the regular files whose name `want` accepts.

    Raises BrokenInitramfs, and Failure where an lz4 or lzo archive needs a program that is not installed.
    """
    names: set[str] = set()
    contents: dict[str, bytes] = {}
    compression = "none"
    most = min(LARGEST, max(USUAL, TIMES * len(data)))
    rest = memoryview(data)
    while (rest := _skip_zeros(rest)).nbytes:
        if bytes(rest[:6]) in _CPIO:
            source = _Source(iter((bytes(rest),)), most)
            _read_archive(source, names, contents, want)
            most -= source.taken
            rest = rest[source.taken :]
            continue
        compression, chunks, remainder = _open_compressed(rest)
        source = _Source(chunks, most)
        while source.skip_zeros():
            _read_archive(source, names, contents, want)
        most -= source.taken
        rest = memoryview(remainder())
    if not names:
        raise BrokenInitramfs("the initramfs holds no cpio archive")
    return Initramfs(frozenset(names), contents, compression)


def _skip_zeros(data: memoryview) -> memoryview:
    at = 0
    while at < len(data):
        block = bytes(data[at : at + CHUNK])
        stripped = block.lstrip(b"\0")
        if stripped:
            return data[at + len(block) - len(stripped) :]
        at += len(block)
    return data[len(data) :]


def _open_compressed(data: memoryview) -> tuple[str, Iterator[bytes], Callable[[], bytes]]:
    """Say how `data` is compressed; give its unpacked chunks, and afterwards what follows the compressed part."""
    for format in _STREAMED:
        if bytes(data[: len(format.magic)]) == format.magic:
            stream = _Stream(format, data)
            return format.name, stream.chunks(), stream.remainder
    for magic, tool, package in _BY_COMMAND:
        if bytes(data[: len(magic)]) == magic:
            return tool, proc.stream([proc.find_tool(tool, package), "-dc"], bytes(data), CHUNK), lambda: b""
    raise BrokenInitramfs(f"unknown compression of the initramfs (it begins with {bytes(data[:6]).hex()})")


class _Stream:
    def __init__(self, format: _Format, data: memoryview) -> None:
        self._format = format
        self._data = data
        self._rest = b""

    def chunks(self) -> Iterator[bytes]:
        """The unpacked bytes, in pieces of bounded size; what follows the compressed stream is kept."""
        decompressor = self._format.open()
        data = self._data
        try:
            at = 0
            for piece in self._format.cut(data):
                at += len(piece)
                yield from decompressor.pieces(bytes(piece))
                if decompressor.stream.eof:
                    self._rest = decompressor.stream.unused_data + bytes(data[at:])
                    return
        except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, MemoryError) as error:
            raise BrokenInitramfs(f"the {self._format.name} part of the initramfs is broken: {error}") from error

    def remainder(self) -> bytes:
        return self._rest


class _Source:
    """Bytes from chunks, read from front to back, `most` of them."""

    def __init__(self, chunks: Iterator[bytes], most: int) -> None:
        self._chunks = chunks
        self._most = most
        self._block = b""
        self._at = 0
        self.taken = 0

    def _fill(self) -> bool:
        for block in self._chunks:
            if block:
                self._block, self._at = block, 0
                return True
        return False

    def read(self, length: int) -> bytes:
        """The next `length` bytes, never fewer: raises BrokenInitramfs where the archive is cut short."""
        if len(self._block) - self._at >= length:
            self._at += length
            self.taken += length
            return self._block[self._at - length : self._at]
        parts = []
        missing = length
        while missing:
            if self._at == len(self._block) and not self._fill():
                raise BrokenInitramfs("the initramfs is cut short")
            part = self._block[self._at : self._at + missing]
            self._at += len(part)
            missing -= len(part)
            parts.append(part)
        self.taken += length
        return b"".join(parts)

    def skip(self, length: int) -> None:
        self.taken += length
        while length:
            if self._at == len(self._block) and not self._fill():
                raise BrokenInitramfs("the initramfs is cut short")
            step = min(length, len(self._block) - self._at)
            self._at += step
            length -= step
        self._limit()

    def _limit(self) -> None:
        if self.taken > self._most:
            raise BrokenInitramfs(f"the initramfs unpacks to more than 8 GiB, or {TIMES} times its size")

    def skip_zeros(self) -> bool:
        """Go to the next byte that is not zero; say whether there is one."""
        while True:
            if self._at == len(self._block) and not self._fill():
                return False
            rest = self._block[self._at :]
            stripped = rest.lstrip(b"\0")
            self.taken += len(rest) - len(stripped)
            self._limit()
            self._at += len(rest) - len(stripped)
            if stripped:
                return True


def _read_archive(source: _Source, names: set[str], contents: dict[str, bytes], want: Callable[[str], bool]) -> None:
    while True:
        header = source.read(HEADER)
        if header[:6] not in _CPIO:
            raise BrokenInitramfs(f"no cpio header where one must be (found {header[:6]!r})")
        try:
            mode, size, length = (int(header[at : at + 8], 16) for at in (14, 54, 94))
        except ValueError as error:
            raise BrokenInitramfs("a cpio header holds a number that is none") from error
        if length > LONGEST_NAME:
            raise BrokenInitramfs("a cpio header holds an impossible name")
        name = source.read(length).rstrip(b"\0").decode(errors="replace").removeprefix("./").lstrip("/")
        source.skip(-(HEADER + length) % 4)
        if name == TRAILER:
            return
        if name and name != ".":
            names.add(name)
        if len(names) > MOST_NAMES:
            raise BrokenInitramfs(f"the initramfs holds more than {MOST_NAMES} files")
        if size and mode & 0o170000 == 0o100000 and want(name):
            if size + sum(map(len, contents.values())) > LARGEST_WANTED:
                raise BrokenInitramfs(f"{name} in the initramfs has {size} bytes, more than any of its kind")
            contents[name] = source.read(size)
        else:
            source.skip(size)
        source.skip(-size % 4)
