"""Partition tables that sfdisk made are read right; damage is named, never raised; the backup GPT moves."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.image.disk.formats import gpt, partitions
from azready.image.disk.formats.partitions import read_table
from azready.proc import run
from tests.image.formats.conftest import MIB, reader

GEN2 = """label: gpt
size=16M, type=U, name=esp
size=8M, type=S
type=L, name="the root"
"""
DUAL = "label: gpt\nsize=1M, type=21686148-6449-6E6F-744E-656564454649\nsize=16M, type=U\ntype=L\n"
LOGICAL = """label: dos
label-id: 0x1234abcd
1 : size=8M, bootable
2 : size=32M, type=5
5 : size=4M
6 : size=4M, type=82
"""
Partitioned = Callable[..., Path]


def _table(path: Path) -> partitions.Table:
    return read_table(reader(path), path.stat().st_size)


def _patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_a_gen2_disk(partitioned: Partitioned) -> None:
    table = _table(partitioned(64 * MIB, GEN2))
    esp, swap, root = table.partitions
    assert (table.scheme, table.sector, table.problems, table.boot_code) == ("gpt", 512, (), False)
    assert (esp.start, esp.size, esp.name) == (MIB, 16 * MIB, "esp")
    assert (swap.type, root.type, root.name) == (partitions.TYPE_SWAP, partitions.TYPE_LINUX, "the root")
    assert table.esp == esp and table.generations == (2,)
    assert table.backup_at == 64 * MIB - 512


def test_the_uuids_are_those_sfdisk_shows(partitioned: Partitioned) -> None:
    path = partitioned(64 * MIB, GEN2)
    shown = run(["/usr/sbin/sfdisk", "--part-uuid", path, "3"]).stdout.strip()
    assert _table(path).partitions[2].uuid == shown.lower()


def test_a_disk_for_both_generations(partitioned: Partitioned) -> None:
    path = partitioned(64 * MIB, DUAL)
    assert _table(path).generations == (2,), "no boot code yet"
    _patch(path, 0, b"\xeb\x63")
    assert _table(path).generations == (2, 1)


def test_an_mbr_disk_with_logical_partitions(partitioned: Partitioned) -> None:
    path = partitioned(64 * MIB, LOGICAL)
    _patch(path, 0, b"\xfa")
    table = _table(path)
    assert (table.scheme, table.disk_id, table.problems) == ("mbr", "1234abcd", ())
    assert [(p.number, p.type) for p in table.partitions] == [(1, "0x83"), (5, "0x83"), (6, "0x82")]
    assert table.partitions[0].legacy_bootable and table.partitions[0].uuid == "1234abcd-01"
    assert table.generations == (1,)
    listed = run(["/usr/sbin/sfdisk", "-l", "-o", "Start", path]).stdout.split("\n")
    starts = {int(line) * 512 for line in listed if line.strip().isdigit()}
    assert {p.start for p in table.partitions} <= starts


def test_a_disk_without_a_table(blank: Callable[..., Path]) -> None:
    assert _table(blank(4 * MIB)).scheme == "none"


def test_a_bare_fat_file_system_is_no_partition_table(blank: Callable[..., Path], need: Callable[..., None]) -> None:
    need("tool:mkfs.vfat")
    path = blank(40 * MIB)
    run(["/usr/sbin/mkfs.vfat", "-F", "32", path])
    assert _table(path).scheme == "none"


@pytest.mark.parametrize(
    ("offset", "data", "named"),
    [
        (512 + 20, b"\xff", "primary GPT header is damaged"),
        (512, bytes(8), "primary GPT header is missing"),
        (-512, bytes(8), "backup GPT header is missing"),
        (1024 + 8, b"\xff", "primary partition entries do not match"),
        (-512 * 33 + 8, b"\xff", "backup partition entries do not match"),
        (446, bytes(64), "no protective MBR"),
        (462, bytes([0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0]), "hybrid"),
    ],
)
def test_damage_is_named(partitioned: Partitioned, offset: int, data: bytes, named: str) -> None:
    path = partitioned(64 * MIB, GEN2)
    _patch(path, offset % (64 * MIB), data)
    table = _table(path)
    assert table.scheme == "gpt" and len(table.partitions) == 3
    assert any(named in problem for problem in table.problems), table.problems


def test_a_backup_that_is_not_at_the_end_is_named(partitioned: Partitioned) -> None:
    path = partitioned(64 * MIB, GEN2)
    with path.open("r+b") as file:
        file.truncate(65 * MIB)
    assert any("not in the last one" in problem for problem in _table(path).problems)


def test_a_disk_for_sectors_of_4096_bytes_is_named(partitioned: Partitioned) -> None:
    small = partitioned(64 * MIB, GEN2).read_bytes()
    header = bytearray(small[512 : 512 + 92])
    entry = bytearray(small[1024 : 1024 + 128])
    struct.pack_into("<QQ", entry, 32, MIB // 4096, 2 * MIB // 4096 - 1)
    entries = bytes(entry).ljust(128 * 128, b"\0")
    struct.pack_into("<I", header, 88, zlib.crc32(entries))
    struct.pack_into("<I", header, 16, 0)
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    disk = (small[:512].ljust(4096, b"\0") + bytes(header).ljust(4096, b"\0") + entries).ljust(64 * MIB, b"\0")
    table = read_table(lambda at, length: disk[at : at + length], len(disk))
    assert table.sector == 4096 and (table.partitions[0].start, table.partitions[0].size) == (MIB, MIB)
    assert any("will not boot" in problem for problem in table.problems)


@pytest.mark.long
@pytest.mark.parametrize("new", [64 * MIB + 512, 65 * MIB, 64 * MIB + 20 * 512, 128 * MIB])
def test_the_backup_moves_to_the_end_and_sgdisk_finds_no_problem(
    partitioned: Partitioned, need: Callable[..., None], new: int
) -> None:
    need("tool:sgdisk")
    path = partitioned(64 * MIB, GEN2)
    before = _table(path).partitions
    writes = gpt.move_backup(reader(path), 64 * MIB, new)
    with path.open("r+b") as file:
        file.truncate(new)
        for offset, data in writes:
            file.seek(offset)
            file.write(data)
    assert path.stat().st_size == new
    table = _table(path)
    assert table.problems == () and table.partitions == before
    verified = run(["/usr/sbin/sgdisk", "-v", path]).stdout
    assert "No problems found" in verified
    assert run(["/usr/sbin/sfdisk", "--verify", path]).stderr == ""


def test_nothing_moves_where_nothing_must(partitioned: Partitioned, blank: Callable[..., Path]) -> None:
    path = partitioned(64 * MIB, GEN2)
    assert gpt.move_backup(reader(path), 64 * MIB, 64 * MIB) == ()
    assert gpt.move_backup(reader(blank(4 * MIB)), 4 * MIB, 5 * MIB) == ()


def test_a_partition_is_never_cut_off(partitioned: Partitioned) -> None:
    path = partitioned(64 * MIB, GEN2)
    with pytest.raises(ValueError, match="reaches into"):
        gpt.move_backup(reader(path), 64 * MIB, 60 * MIB)


@given(st.binary(max_size=2048), st.integers(0, 2048))
def test_no_bytes_upset_the_reader(data: bytes, cut: int) -> None:
    first = data[:510].ljust(510, b"\x01") + b"\x55\xaa"
    disk = first + gpt.SIGNATURE + data
    read_table(lambda at, length: disk[max(0, at) : at + length][:cut], len(disk))
