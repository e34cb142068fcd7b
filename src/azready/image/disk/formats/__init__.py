"""Disk formats, read and computed as plain bytes: no file is opened here, nothing is mounted, nothing is run."""

from collections.abc import Callable

Read = Callable[[int, int], bytes]
"""`read(offset, length)`: the bytes of a disk from `offset` on; fewer than `length` (or none) past its end."""
