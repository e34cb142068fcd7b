"""Initramfs archives made by the real tools, in every compression, and broken ones."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.image.disk.formats.initramfs import BrokenInitramfs, list_initramfs
from tests.image.sample import cpio

MODULE = "usr/lib/modules/6.1/kernel/drivers/hv/hv_vmbus.ko.xz"
SETTING = "etc/modprobe.d/a.conf"


@pytest.fixture
def archive(tmp_path: Path, need: Callable[..., None]) -> bytes:
    """A real cpio archive: folders, a link, modules, a device's worth of padding."""
    need("tool:cpio")
    for name, data in {MODULE: b"m" * 5000, SETTING: b"blacklist x\n", "init": b"#!/bin/sh\n", "a/b": b""}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "lib").symlink_to("usr/lib")
    listed = subprocess.run(["find", ".", "-print0"], cwd=tmp_path, capture_output=True, check=True).stdout
    pack = ["cpio", "--quiet", "--null", "-o", "-H", "newc"]
    return subprocess.run(pack, input=listed, cwd=tmp_path, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("tool", "options", "name"),
    [
        ("cat", (), "none"),
        ("gzip", ("-c",), "gzip"),
        ("zstd", ("-qc",), "zstd"),
        ("xz", ("-c", "--check=crc32"), "xz"),
        ("xz", ("-c", "--format=lzma"), "lzma"),
        ("bzip2", ("-c",), "bzip2"),
        ("lz4", ("-lqc",), "lz4"),
    ],
)
def test_every_compression_is_read_after_plain_microcode(
    tool: str, options: tuple[str, ...], name: str, archive: bytes, need: Callable[..., None]
) -> None:
    need(f"tool:{tool}")
    packed = subprocess.run([tool, *options], input=archive, capture_output=True, check=True).stdout
    early = cpio({"kernel/x86/microcode/AuthenticAMD.bin": b"u" * 999})
    found = list_initramfs(early + bytes(512) + packed, want=lambda name: name.startswith("etc/modprobe.d/"))
    assert found.compression == name
    assert {MODULE, "init", "lib", "kernel/x86/microcode/AuthenticAMD.bin"} <= found.names
    assert found.modules == {"hv_vmbus"}
    assert found.contents == {SETTING: b"blacklist x\n"}


def test_archives_follow_each_other_inside_and_outside_of_compression() -> None:
    import gzip

    inside = gzip.compress(cpio({"one": b"1"}) + bytes(100) + cpio({"two": b"2"}))
    found = list_initramfs(inside + bytes(4) + gzip.compress(cpio({"three": b"3"})) + cpio({"four": b""}))
    assert found.names == {"one", "two", "three", "four"}


@pytest.mark.parametrize("checksum", [True, False])
def test_what_follows_a_zstd_frame_of_many_blocks_is_read_too(checksum: bool) -> None:
    """Blocks of every type: noise is stored as it is, zeros are one byte, repeated, and text is compressed."""
    import zstandard

    noise = random.Random(1).randbytes(3 << 20)
    first = cpio({"noise": noise, "zeros": bytes(5 << 20), "text": b"Azure " * 300_000, MODULE: b"ELF"})
    packed = zstandard.ZstdCompressor(write_checksum=checksum).compress(first)
    found = list_initramfs(packed + bytes(8) + cpio({"behind": b""}), want=lambda name: name == "noise")
    assert {"noise", "zeros", "text", MODULE, "behind"} <= found.names
    assert found.contents == {"noise": noise}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no cpio archive"),
        (bytes(4096), "no cpio archive"),
        (b"#!/bin/sh", "unknown compression"),
        (cpio({"a": b"x" * 500})[:300], "cut short"),
        (b"\x1f\x8b\x08\x00garbage-that-is-no-deflate", "gzip part of the initramfs is broken"),
        (b"\xfd7zXZ\x00garbage", "xz part"),
        (b"\x28\xb5\x2f\xfdgarbage", "zstd part"),
        (cpio({"a": b""}).replace(b"070701", b"07070X", 2), "unknown compression"),
        (b"070701" + b"zzzzzzzz" * 13 + bytes(20), "a number that is none"),
    ],
)
def test_what_is_broken_says_so(data: bytes, says: str) -> None:
    with pytest.raises(BrokenInitramfs, match=says):
        list_initramfs(data)


def test_a_cut_off_compressed_archive_is_no_shorter_list() -> None:
    import gzip

    packed = gzip.compress(cpio({f"file{number}": bytes(range(256)) * 40 for number in range(50)}), mtime=0)
    with pytest.raises(BrokenInitramfs):
        list_initramfs(packed[: len(packed) // 2])
