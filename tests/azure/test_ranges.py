"""Which parts of a file are sent."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.azure.ranges import BLOCK, GAP, PAGE_WRITE, Range, data_ranges, minus, pieces

MIB = 1024 * 1024


def write(path: Path, size: int, *parts: tuple[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for at, data in parts:
            file.seek(at)
            file.write(data)
    return path


def test_a_hole_is_not_sent_and_the_footer_is(tmp_path: Path) -> None:
    path = write(tmp_path / "d", 64 * MIB + 512, (0, b"boot"), (64 * MIB, b"conectix" + bytes(504)))
    assert list(data_ranges(path)) == [Range(0, BLOCK), Range(64 * MIB, 64 * MIB + 512)]


def test_written_zeros_are_not_sent_either(tmp_path: Path) -> None:
    path = write(tmp_path / "d", 32 * MIB, (0, bytes(32 * MIB)), (16 * MIB, b"x"))
    assert list(data_ranges(path)) == [Range(16 * MIB, 16 * MIB + BLOCK)]


def test_short_gaps_are_sent_along_and_no_piece_is_too_large(tmp_path: Path) -> None:
    near = write(tmp_path / "near", 8 * MIB, (0, b"a"), (GAP, b"b"))
    assert list(data_ranges(near)) == [Range(0, GAP + BLOCK)]
    full = write(tmp_path / "full", 9 * MIB + 512, (0, b"\xff" * (9 * MIB + 512)))
    assert [len(item) for item in data_ranges(full)] == [PAGE_WRITE, PAGE_WRITE, MIB + 512]


def test_an_empty_disk_has_no_data(tmp_path: Path) -> None:
    assert list(data_ranges(write(tmp_path / "d", 20 * MIB))) == []


@pytest.mark.parametrize("seed", range(6))
def test_what_is_sent_is_the_file(tmp_path: Path, seed: int) -> None:
    """Random sectors; what is left out must be zero, ranges must be in order, aligned and apart."""
    size = 6 * MIB + 512
    sectors = [int.from_bytes(os.urandom(4)) % (size // 512) for _ in range(30 * seed)]
    path = write(tmp_path / "d", size, *((sector * 512, os.urandom(512)) for sector in sectors))
    content, copy, last = path.read_bytes(), bytearray(size), 0
    for item in data_ranges(path):
        assert item.start >= last and item.start % 512 == item.end % 512 == 0 and 0 < len(item) <= PAGE_WRITE
        copy[item.start : item.end] = content[item.start : item.end]
        last = item.end
    assert bytes(copy) == content


def _ranges(numbers: set[int]) -> list[Range]:
    return [Range(number * 512, number * 512 + 512) for number in sorted(numbers)]


@pytest.mark.long
@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_minus_is_the_difference_of_sets(whole: set[int], holes: set[int]) -> None:
    left = {start for item in minus(_ranges(whole), _ranges(holes)) for start in range(item.start, item.end, 512)}
    assert left == {number * 512 for number in whole - holes}


def test_pieces_keep_every_byte() -> None:
    assert list(pieces([Range(512, 512 + PAGE_WRITE + 512)])) == [
        Range(512, 512 + PAGE_WRITE),
        Range(512 + PAGE_WRITE, 1024 + PAGE_WRITE),
    ]
