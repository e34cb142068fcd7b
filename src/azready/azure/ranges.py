"""Which parts of a disk file hold data, in pieces that one page write may carry. Reading only.

A new managed disk reads as zeros, so zeros need not be sent. Holes are skipped without reading (SEEK_DATA), what
is left is read once and looked through in blocks: files that were copied without holes send as little.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
PAGE_WRITE = 4 * 1024 * 1024
"""The most that one Put Page may carry (Microsoft's Blob service REST reference)."""
BLOCK = 64 * 1024
GAP = 512 * 1024
"""Zeros shorter than this are sent along: a request of its own costs more."""

_ZEROS = bytes(BLOCK)


@dataclass(frozen=True, order=True)
class Range:
    """Bytes `start` up to, not including, `end`; both multiples of 512."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


def data_ranges(path: Path) -> Iterator[Range]:
    """The data of a file whose size is a multiple of 512, in order, in pieces of at most 4 MiB."""
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        pending: Range | None = None
        for block in _blocks_with_data(file.fileno(), size):
            if pending and block.start - pending.end < GAP and block.end - pending.start <= PAGE_WRITE:
                pending = Range(pending.start, block.end)
                continue
            if pending:
                yield pending
            pending = block
        if pending:
            yield pending


def _blocks_with_data(file: int, size: int) -> Iterator[Range]:
    for extent in _extents(file, size):
        for start in range(extent.start, extent.end, BLOCK):
            length = min(BLOCK, extent.end - start)
            block = os.pread(file, length, start)
            if block != (_ZEROS if length == BLOCK else bytes(length)):
                yield Range(start, start + length)


def _extents(file: int, size: int) -> Iterator[Range]:
    """What the file system says is not a hole, widened to whole blocks; everything where it cannot say."""
    position = 0
    while position < size:
        try:
            start = os.lseek(file, position, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        end = os.lseek(file, start, os.SEEK_HOLE)
        start = max(position, start // BLOCK * BLOCK)
        end = min(size, -(-end // BLOCK) * BLOCK)
        yield Range(start, end)
        position = end


def minus(whole: Iterable[Range], holes: Iterable[Range]) -> Iterator[Range]:
    """The parts of `whole` that no range of `holes` covers; both sorted, neither overlapping itself."""
    cuts = list(holes)
    at = 0
    for part in whole:
        position = part.start
        while at < len(cuts) and cuts[at].end <= position:
            at += 1
        look = at
        while look < len(cuts) and cuts[look].start < part.end:
            if cuts[look].start > position:
                yield Range(position, cuts[look].start)
            position = max(position, cuts[look].end)
            look += 1
        if position < part.end:
            yield Range(position, part.end)


def pieces(ranges: Iterable[Range]) -> Iterator[Range]:
    """The same bytes in pieces of at most 4 MiB."""
    for item in ranges:
        for start in range(item.start, item.end, PAGE_WRITE):
            yield Range(start, min(start + PAGE_WRITE, item.end))
