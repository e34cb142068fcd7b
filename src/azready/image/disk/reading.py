"""The bytes of an open file as the readers of disk formats want them, on every system."""

import os

from azready.image.disk.formats import Read


def reader(descriptor: int, size: int) -> Read:
    """The first `size` bytes of a file, and nothing beyond, however far off a table of the disk says that it lies: the
    kernel takes no offset over 8 EiB, and each file system has a most of its own."""

    def read(at: int, count: int) -> bytes:
        wanted = min(count, size - at)
        return read_at(descriptor, wanted, at) if at >= 0 and wanted > 0 else b""

    return read


def read_at(descriptor: int, count: int, at: int) -> bytes:
    """As pread(2), which Windows has not; the descriptor's own place may move."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, at)
    os.lseek(descriptor, at, os.SEEK_SET)
    return os.read(descriptor, count)


def read_into(descriptor: int, room: memoryview, at: int) -> int:
    """Fill `room`, and say how much of it; as preadv(2), which neither macOS nor Windows has."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [room], at)
    data = read_at(descriptor, len(room), at)
    room[: len(data)] = data
    return len(data)


def write_at(descriptor: int, data: bytes | memoryview, at: int) -> int:
    """As pwrite(2), which Windows has not; the descriptor's own place may move."""
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, data, at)
    os.lseek(descriptor, at, os.SEEK_SET)
    return os.write(descriptor, data)
