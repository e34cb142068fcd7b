"""What counts as "nothing is there", alike for every reader of an image, and what is there and cannot be read."""

import errno
import os
import struct
from collections.abc import Callable

import pytest

from azready.image.disk.formats import ext, fat
from azready.image.facts import reading
from azready.image.targets import READ_LIMIT, Stat
from azready.image.targets.lookups import Lookups
from azready.image.targets.unmounted import Unmounted, _Fat
from azready.image.targets.volumes import find_volumes
from tests.fuzz.image_bytes import LVM, _physical
from tests.fuzz.targets_bytes import ITSELF, fat_disk


class Refusing(Lookups):
    """Every question is answered by one error."""

    def __init__(self, number: int) -> None:
        self.number = number

    def _refuse(self, path: str, *_: object) -> OSError:
        return OSError(self.number, os.strerror(self.number), path)

    def listdir(self, path: str) -> list[str]:
        raise self._refuse(path)

    def stat(self, path: str) -> Stat:
        raise self._refuse(path)

    def lstat(self, path: str) -> Stat:
        raise self._refuse(path)

    def read_bytes(self, path: str, limit: int = READ_LIMIT) -> bytes:
        raise self._refuse(path)


ASKS: tuple[tuple[Callable[[Refusing], object], object], ...] = (
    (lambda files: files.exists("x"), False),
    (lambda files: files.glob("etc/*.d/{a,b}"), []),
    (lambda files: files.glob("etc/**/x"), []),
    (lambda files: files.glob("x"), []),
    (lambda files: reading.text_of(files, "x"), None),  # type: ignore[arg-type]  # it asks no more than this
    (lambda files: reading.names_in(files, "x"), []),  # type: ignore[arg-type]
    (lambda files: reading.stat_of(files, "x"), None),  # type: ignore[arg-type]
    (lambda files: reading.lstat_of(files, "x"), None),  # type: ignore[arg-type]
)


@pytest.mark.parametrize("number", ["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG"])
def test_a_name_that_leads_nowhere_is_nothing_to_every_reader(number: str) -> None:
    for ask, nothing in ASKS:
        assert ask(Refusing(getattr(errno, number))) == nothing


@pytest.mark.parametrize("number", ["EACCES", "EIO", "EUCLEAN", "EOVERFLOW", "ENODEV", "ESTALE"])
def test_what_is_there_and_cannot_be_read_is_never_taken_for_nothing(number: str) -> None:
    for ask, _ in ASKS:
        with pytest.raises(OSError) as caught:
            ask(Refusing(getattr(errno, number)))
        assert caught.value.errno == getattr(errno, number)


def test_a_physical_volume_in_itself_or_in_another_is_passed_over() -> None:
    for text, kinds in ((ITSELF, []), (LVM, ["ext2"])):
        disk = bytearray(_physical(text).ljust(2 << 20, b"\0"))
        disk[(1 << 20) + 1080 : (1 << 20) + 1082] = b"\x53\xef"
        data = bytes(disk)
        found = find_volumes(lambda at, count, data=data: data[at : at + count], len(data))  # type: ignore[misc]
        assert [volume.kind for volume in found] == kinds


def _fat(data: bytes) -> Unmounted:
    return Unmounted({"": _Fat(lambda at, count: data[at : at + count], 0)}, "")


def test_a_folder_of_fat_that_lies_in_itself_is_damage_and_no_way_without_end() -> None:
    disk = bytearray(fat_disk())
    assert sorted(path for path, _ in _fat(bytes(disk)).walk("")) == ["EFI", "EFI/BOOT.EFI", "a long"]
    inside = 3 * 512 + 64
    disk[inside : inside + 11], disk[inside + 11], disk[inside + 26] = b"AGAIN      ", 0x10, 2
    with pytest.raises(OSError, match="in two places"):
        list(_fat(bytes(disk)).walk(""))


@pytest.mark.long
def test_a_chain_of_fat_that_is_a_ring_ends_where_a_folder_must() -> None:
    """A cluster of 64 KiB, full of names, that goes on with itself: 4,096 of them were 256 MiB."""
    boot = b"\xeb\x3c\x90mkfs.fat" + struct.pack("<HBHBHHBH", 512, 128, 1, 1, 16, 40000, 0xF8, 16)
    table = (b"\xf8\xff\xff" + bytes((0x02, 0x30, 0x00)) + bytes(10)).ljust(16 * 512, b"\0")
    root = (b"EFI        " + b"\x10" + bytes(14) + struct.pack("<HI", 2, 0)).ljust(512, b"\0")
    entry = b"NAME    EFI\x20" + bytes(14) + struct.pack("<HI", 9, 1)
    disk = boot.ljust(510, b"\0") + b"\x55\xaa" + table + root + entry * 2048
    volume = fat.volume(lambda at, count: disk[at : at + count], 0)
    assert volume is not None
    folder = volume.find("efi")
    assert folder is not None
    assert len(volume.entries(folder)) <= 65536


def test_an_extent_of_no_block_is_damage() -> None:
    """Trees of them took minutes, and a list entry each."""
    node = struct.pack("<HHHHI", 0xF30A, 3, 4, 0, 0) + struct.pack("<IHHI", 0, 0, 0, 7) * 3
    volume = ext.Ext.__new__(ext.Ext)
    with pytest.raises(OSError, match="no block"):
        list(volume._extents(node.ljust(60, b"\0"), 5, iter(range(9))))
