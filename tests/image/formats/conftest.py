"""Disks made by the tools that everybody uses: sfdisk, mkfs, qemu-img; no root, no mounting."""

from collections.abc import Callable
from pathlib import Path

import pytest

from azready.image.disk.formats import Read
from azready.proc import run

MIB = 1 << 20


@pytest.fixture
def blank(tmp_path: Path) -> Callable[[int], Path]:
    """`blank(bytes)` makes an empty sparse file of that size."""

    def make(size: int, name: str = "disk.raw") -> Path:
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate(size)
        return path

    return make


@pytest.fixture
def partitioned(blank: Callable[..., Path], need: Callable[..., None]) -> Callable[[int, str], Path]:
    """`partitioned(bytes, sfdisk script)` makes a disk with that partition table."""

    def make(size: int, script: str, *options: str) -> Path:
        need("tool:sfdisk")
        path = blank(size)
        run(["/usr/sbin/sfdisk", "-q", *options, path], stdin=script)
        return path

    return make


def reader(path: Path) -> Read:
    data = path.read_bytes()
    return lambda offset, length: data[offset : offset + length] if offset >= 0 else b""
