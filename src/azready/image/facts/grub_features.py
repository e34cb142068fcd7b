"""Which features of a file system GRUB refuses, by its own code: distributions backport support without a new version.

GRUB's ext2 and xfs drivers test the superblock's incompatible features against the complement of those they know, a
constant in their code (grub-core/fs/ext2.c, fs/xfs.c); on x86 it stands in a TEST or an AND instruction, as compilers
choose. Bits and names are those of the Linux kernel's ext4.h and xfs_format.h.
"""

import re
from collections.abc import Mapping

from azready.image.disk.formats.superblocks import Superblock

_TEST = rb"\xa9|\xf7[\xc0-\xc7]"
_AND = rb"(?:\x25|\x81[\xe0-\xe7])(?!\xff{3}\x00)"  # AND with 0xffffff is common code
_BEFORE = rb"(?:" + _TEST + rb"|" + _AND + rb")"
_EXT = re.compile(_BEFORE + rb"(\x29[\x9c\xbc\xdc\xfc\xfd][\xfe\xff]\xff)")
_XFS = re.compile(_BEFORE + rb"(\xff\xff\xff[\xf8\xf0\xe0\xc0\x80\x00])")
_EXT_NAMES: Mapping[int, str] = {
    0x400: "ea_inode",
    0x2000: "metadata_csum_seed",
    0x4000: "large_dir",
    0x8000: "inline_data",
    0x10000: "encrypt",
    0x20000: "casefold",
}
_XFS_NAMES: Mapping[int, str] = {0x8: "bigtime", 0x20: "nrext64", 0x40: "exchange", 0x80: "parent", 0x100: "metadir"}


def refused(program: bytes, block: Superblock) -> tuple[str, ...]:
    """The features of a file system for which this GRUB (an EFI program, x86-64) does not read it.

    Empty where it reads it, and where that cannot be told from the program.
    """
    if block.kind in ("ext2", "ext3", "ext4"):
        return _named(_mask(_EXT, program, little=True) & block.incompatible, _EXT_NAMES)
    if block.kind == "xfs":
        return _named(_mask(_XFS, program, little=False) & block.incompatible, _XFS_NAMES)
    return ()


def _mask(constant: re.Pattern[bytes], program: bytes, *, little: bool) -> int:
    """The bits that the driver refuses; 0 where it is not in the program, or more than one constant could be it."""
    found = set(constant.findall(program))
    return int.from_bytes(found.pop(), "little" if little else "big") if len(found) == 1 else 0


def _named(bits: int, names: Mapping[int, str]) -> tuple[str, ...]:
    each = [1 << number for number in range(32) if bits >> number & 1]
    return tuple(names.get(bit, f"feature {bit:#x}") for bit in each)
