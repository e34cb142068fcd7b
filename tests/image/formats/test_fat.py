"""Folders of FAT file systems that mkfs.vfat and mtools made."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.image.disk.formats import fat
from azready.proc import run
from tests.image.formats.conftest import MIB, reader


@pytest.mark.long
@pytest.mark.parametrize(("bits", "size"), [(12, 2), (16, 32), (32, 64)])
def test_names_as_mtools_wrote_them(
    blank: Callable[..., Path], need: Callable[..., None], bits: int, size: int
) -> None:
    need("tool:mkfs.vfat", "tool:mcopy")
    path = blank(size * MIB)
    run(["/usr/sbin/mkfs.vfat", "-F", str(bits), "-s", "1", path])
    run(["mmd", "-i", path, "::EFI", "::EFI/BOOT", "::EFI/a folder with a long name"])
    source = path.with_name("x")
    source.write_bytes(b"y" * 3000)
    wanted = {"BOOTX64.EFI", "a rather long file name.conf", "mixedCase.efi"}
    wanted |= {f"file{number}.txt" for number in range(60)}
    for name in sorted(wanted):
        run(["mcopy", "-i", path, source, f"::EFI/BOOT/{name}"])
    moved = bytes(MIB) + path.read_bytes()
    found = fat.names(lambda at, length: moved[at : at + length], MIB, "efi/boot")
    assert found is not None and {name.lower() for name in found} == {name.lower() for name in wanted}
    assert fat.names(reader(path), 0, "EFI/absent") is None
    assert "a folder with a long name" in (fat.names(reader(path), 0, "EFI") or ())


def test_what_is_no_fat_has_no_names() -> None:
    assert fat.names(lambda at, length: bytes(length), 0) is None


@given(st.binary(min_size=40, max_size=500), st.sampled_from(["", "EFI/BOOT"]))
def test_no_bytes_upset_the_reader(data: bytes, folder: str) -> None:
    disk = (b"\xeb\x3c\x90mkfs.fat" + data).ljust(510, b"\x02")[:510] + b"\x55\xaa" + data * 4
    fat.names(lambda at, length: disk[max(0, at) : at + min(length, 1 << 16)], 0, folder)
