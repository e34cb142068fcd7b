"""The bytes of an open file as the readers of disk formats want them."""

import os

from azready.image.disk.formats import Read


def reader(descriptor: int, size: int) -> Read:
    """The first `size` bytes of a file, and nothing beyond, however far off a table of the disk says that it lies: the
    kernel takes no offset over 8 EiB, and each file system has a most of its own."""

    def read(at: int, count: int) -> bytes:
        wanted = min(count, size - at)
        return os.pread(descriptor, wanted, at) if at >= 0 and wanted > 0 else b""

    return read
