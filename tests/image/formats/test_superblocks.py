"""File systems made by their own tools are recognized with the names that blkid gives them."""

import shlex
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.image.disk.formats.superblocks import probe
from azready.proc import run
from tests.image.formats.conftest import MIB, reader

MAKERS = {
    "ext4": ("mkfs.ext4 -q -F -L rootfs", 32),
    "ext2": ("mkfs.ext2 -q -F -L two", 16),
    "ext3": ("mkfs.ext3 -q -F -L three", 32),
    "xfs": ("mkfs.xfs -q -L data", 320),
    "btrfs": ("mkfs.btrfs -q -L pool", 128),
    "vfat": ("mkfs.vfat -F 32 -n EFI", 64),
    "swap": ("mkswap -L swp", 8),
    "luks": ("cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --label vault", 32),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_names_are_those_of_blkid(blank: Callable[..., Path], need: Callable[..., None], kind: str) -> None:
    command, size = MAKERS[kind]
    need(f"tool:{command.split()[0]}", "tool:blkid")
    path = blank(size * MIB)
    run([f"/usr/sbin/{command.split()[0]}", *command.split()[1:], path], stdin="secret")
    found = probe(reader(path))
    shown = dict(
        word.split("=", 1) for word in shlex.split(run(["/usr/sbin/blkid", "-p", "-o", "export", path]).stdout)
    )
    assert found is not None
    assert (found.kind, found.uuid) == (shown["TYPE"].removeprefix("crypto_").lower(), shown["UUID"])
    assert found.label == shown.get("LABEL", "")
    assert found.dirty == ""


def test_the_offset_of_a_partition_is_added(blank: Callable[..., Path], need: Callable[..., None]) -> None:
    need("tool:mkfs.ext4")
    path = blank(16 * MIB)
    run(["/usr/sbin/mkfs.ext4", "-q", "-F", path])
    moved = bytes(MIB) + path.read_bytes()
    found = probe(lambda at, length: moved[at : at + length], MIB)
    assert found is not None and found.kind == "ext4" and found.size == 16 * MIB
    assert found.free is not None and 0 < found.free < found.size


def test_a_dirty_ext4_says_so(blank: Callable[..., Path], need: Callable[..., None]) -> None:
    need("tool:mkfs.ext4")
    path = blank(16 * MIB)
    run(["/usr/sbin/mkfs.ext4", "-q", "-F", path])
    data = bytearray(path.read_bytes())
    data[1024 + 58] = 2
    data[1024 + 96] |= 4
    found = probe(lambda at, length: bytes(data[at : at + length]))
    assert found is not None
    for word in ("replayed", "cleanly", "errors"):
        assert word in found.dirty


def test_a_dirty_fat_says_so(blank: Callable[..., Path], need: Callable[..., None]) -> None:
    need("tool:mkfs.vfat")
    path = blank(64 * MIB)
    run(["/usr/sbin/mkfs.vfat", "-F", "32", path])
    data = bytearray(path.read_bytes())
    data[65] |= 1
    found = probe(lambda at, length: bytes(data[at : at + length]))
    assert found is not None and "cleanly" in found.dirty


@pytest.mark.long
def test_an_xfs_whose_log_ends_with_other_work_is_dirty(blank: Callable[..., Path], need: Callable[..., None]) -> None:
    need("tool:mkfs.xfs")
    path = blank(320 * MIB)
    run(["/usr/sbin/mkfs.xfs", "-q", path])
    data = bytearray(path.read_bytes())
    at = data.rfind(struct.pack(">I", 0xFEEDBABE))
    data[at + 512 + 9] = 0
    found = probe(lambda offset, length: bytes(data[offset : offset + length]))
    assert found is not None and "replayed" in found.dirty


def test_an_lvm_volume_is_recognized() -> None:
    label = b"LABELONE" + struct.pack("<QII", 1, 0, 32) + b"LVM2 001" + b"abcdefABCD1234EFGHijklMNOPuvwxyz"
    disk = bytes(512) + label.ljust(512, b"\0")
    found = probe(lambda at, length: disk[at : at + length])
    assert found is not None
    assert (found.kind, found.uuid) == ("lvm", "abcdef-ABCD-1234-EFGH-ijkl-MNOP-uvwxyz")


def test_nothing_is_recognized_in_zeros() -> None:
    assert probe(lambda at, length: bytes(length)) is None


@given(st.binary(max_size=4096), st.sampled_from([b"XFSB", b"LUKS\xba\xbe", b"LABELONE", b"hsqs", b""]))
def test_no_bytes_upset_the_reader(data: bytes, magic: bytes) -> None:
    disk = magic + data
    probe(lambda at, length: disk[at : at + length])
    ext = bytes(1024 + 56) + b"\x53\xef" + data
    probe(lambda at, length: ext[at : at + length])
