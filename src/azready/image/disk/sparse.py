"""Copying and comparing disks without the zeros in them: holes are skipped unread, zeros are never written."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator

from azready.image.disk.reading import read_at, read_into, write_at

_PROBE = 4 << 10
"""What is read of a grain to see that it holds data: mostly the first bytes tell, and the kernel copies the rest."""
_CHUNK = 1 << 20
"""Small enough to stay in the processor's cache between reading and writing; measured faster than larger ones."""
_SEGMENT = 32 << 20
"""What is copied between two words of progress. One at a time: writers in parallel only wait for the file's lock."""
_GRAIN = 64 << 10
"""Zeros are left out in pieces of this size; smaller ones would only make the file slower to read."""
_ZEROS = bytes(_GRAIN)
_FICLONE = 0x4004_9409
_NOT_BETWEEN_THESE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
"""How copy_file_range(2) says that it does not copy between these files: other file systems, devices, seccomp."""

Progress = Callable[[int], None]


def data_ranges(file: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges (start, end) below `size` that may hold data, by the file system's own account."""
    if not hasattr(os, "SEEK_DATA"):  # Windows
        yield 0, size
        return
    at = 0
    while at < size:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
            end = os.lseek(file, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            start, end = at, size
        if start >= size:
            return
        yield start, min(end, size)
        at = end


def clone(source: int, target: int, size: int) -> bool:
    """Share the first `size` bytes with an empty file, where the file system can: at once, and taking no space."""
    with contextlib.suppress(OSError, ImportError):
        import fcntl

        fcntl.ioctl(target, _FICLONE, source)
        os.ftruncate(target, size)
        return True
    return False


def copy(source: int, target: int, size: int, advance: Progress = lambda done: None) -> None:
    """Copy the first `size` bytes into an empty file, leaving it sparse.

    `advance` gets the bytes that are done since its last call; their sum is `size`.
    """
    os.ftruncate(target, size)
    told = 0
    for start, end in data_ranges(source, size):
        for at in range(start, end, _SEGMENT):
            until = min(at + _SEGMENT, end)
            _copy_range(source, target, at, until)
            advance(until - told)
            told = until
    advance(size - told)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    """By the kernel where it copies between these files, else through our memory."""
    if not hasattr(os, "copy_file_range"):
        _copy_through(source, target, start, end)
        return
    try:
        for first, last in _runs(start, end, lambda at, size: _holds_zeros(source, at, size)):
            while first < last:
                done = os.copy_file_range(source, target, last - first, first, first)
                if done == 0:
                    raise OSError(errno.EIO, f"the disk ends at byte {first}, before {last}")
                first += done
    except OSError as error:
        if error.errno not in _NOT_BETWEEN_THESE:
            raise
        _copy_through(source, target, start, end)


def _holds_zeros(source: int, at: int, size: int) -> bool:
    return _is_zeros(source, min(_PROBE, size), at) and _is_zeros(source, size, at)


def _is_zeros(source: int, size: int, at: int) -> bool:
    data = read_at(source, size, at)
    if len(data) < size:
        raise OSError(errno.EIO, f"the disk ends at byte {at + len(data)}, before {at + size}")
    return _ZEROS.startswith(data)


def _copy_through(source: int, target: int, start: int, end: int) -> None:
    buffer = bytearray(_CHUNK)
    while start < end:
        got = read_into(source, memoryview(buffer)[: min(_CHUNK, end - start)], start)
        if got == 0:
            raise OSError(errno.EIO, f"the disk ends at byte {start}, before {end}")
        # startswith compares in place: no copy of the grain is made.
        for first, last in _runs(0, got, lambda at, size: buffer.startswith(_ZEROS[:size], at)):
            _write(target, memoryview(buffer)[first:last], start + first)
        start += got


def _runs(start: int, end: int, are_zeros: Callable[[int, int], bool]) -> Iterator[tuple[int, int]]:
    """The parts of a range that hold data, in whole grains, of which `are_zeros(at, size)` tells."""
    begun: int | None = None
    for at in range(start, end, _GRAIN):
        if are_zeros(at, min(_GRAIN, end - at)):
            if begun is not None:
                yield begun, at
                begun = None
        elif begun is None:
            begun = at
    if begun is not None:
        yield begun, end


def _write(target: int, data: memoryview, at: int) -> None:
    while data:
        done = write_at(target, data, at)
        data, at = data[done:], at + done


def first_difference(one: int, other: int, size: int, advance: Progress = lambda done: None) -> int | None:
    """The offset of a chunk in which two files differ within `size` bytes, holes counting as zeros; None if none."""
    ranges = sorted({*data_ranges(one, size), *data_ranges(other, size)})
    told = 0
    for start, end in ranges:
        for at in range(max(start, told), end, _CHUNK):
            count = min(_CHUNK, end - at)
            if read_at(one, count, at) != read_at(other, count, at):
                return at
            advance(at + count - told)
            told = at + count
    advance(size - told)
    return None
