"""Copies without zeros: by the kernel where it copies, through our memory where it does not, and never short."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from azready.image.disk import sparse

GRAIN = 64 << 10
DATA = (
    os.urandom(GRAIN)
    + bytes(3 * GRAIN)
    + bytes(GRAIN - 1)
    + b"\1"  # the probe of this grain sees zeros only
    + bytes(2 * GRAIN)
    + os.urandom(5000)
)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[int, int]]:
    (tmp_path / "from").write_bytes(DATA)  # its zeros are written, not holes
    source = os.open(tmp_path / "from", os.O_RDONLY)
    target = os.open(tmp_path / "to", os.O_RDWR | os.O_CREAT)
    yield source, target
    os.close(source)
    os.close(target)


@pytest.mark.parametrize("refusal", [None, errno.EXDEV, errno.EINVAL])
def test_all_bytes_arrive_and_zeros_take_no_room(
    files: tuple[int, int], monkeypatch: pytest.MonkeyPatch, refusal: int | None
) -> None:
    if refusal:

        def refuse(*_: int) -> int:
            raise OSError(refusal, os.strerror(refusal))

        monkeypatch.setattr(os, "copy_file_range", refuse)
    told: list[int] = []
    sparse.copy(*files, len(DATA), told.append)
    assert os.pread(files[1], len(DATA) + 1, 0) == DATA
    assert sum(told) == len(DATA)
    assert os.fstat(files[1]).st_blocks * 512 < 4 * GRAIN


def test_a_disk_that_ends_early_is_an_error(files: tuple[int, int]) -> None:
    with pytest.raises(OSError, match="the disk ends at byte"):
        sparse._copy_range(*files, 0, len(DATA) + GRAIN)
