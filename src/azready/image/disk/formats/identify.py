"""What a disk file is, told from its first and last bytes, never from its name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from azready.image.disk.formats import Read, vhd

DiskFormat = Literal[
    "raw",
    "qcow2",
    "vhd",
    "vhd-dynamic",
    "vhd-differencing",
    "vhdx",
    "vmdk",
    "vdi",
]
"""`vhd` is the fixed one, the only one that Azure takes."""

QEMU_NAMES: dict[DiskFormat, str] = {
    "raw": "raw",
    "qcow2": "qcow2",
    "vhd": "vpc",
    "vhd-dynamic": "vpc",
    "vhd-differencing": "vpc",
    "vhdx": "vhdx",
    "vmdk": "vmdk",
    "vdi": "vdi",
}
"""QEMU's names of the formats it reads: it must never guess the format of a file that it did not write."""


@dataclass(frozen=True)
class Stranger:
    """What is not a disk as it stands: `what` it is ("a tar archive"), and what to do with it; FILE is its name."""

    what: str
    hint: str


def _packed(what: str, command: str) -> Stranger:
    return Stranger(f"packed ({what})", f"unpack it first: {command} FILE")


def _foreign(what: str, name: str) -> Stranger:
    return Stranger(what, f"make it a qcow2 first: qemu-img convert -f {name} -O qcow2 FILE disk.qcow2")


_FETCH = "name the disk itself: raw, qcow2, VMDK, VHDX, VDI or VHD"

_DISKS: tuple[tuple[int, bytes, DiskFormat], ...] = (
    (0, b"vhdxfile", "vhdx"),
    (0, b"QFI\xfb", "qcow2"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
)
_STRANGERS: tuple[tuple[int, bytes, Stranger], ...] = (
    (0, b"\x1f\x8b\x08", _packed("gzip", "gzip -d")),
    (0, b"\xfd7zXZ\x00", _packed("xz", "xz -d")),
    (0, b"\x28\xb5\x2f\xfd", _packed("zstd", "zstd -d")),
    (0, b"BZh", _packed("bzip2", "bzip2 -d")),
    (0, b"\x5d\x00\x00", _packed("lzma", "xz -d --format=lzma")),
    (0, b"\x89LZO\x00", _packed("lzop", "lzop -d")),
    (0, b"LZIP", _packed("lzip", "lzip -d")),
    (0, b"PK\x03\x04", _packed("zip", "unzip")),
    (0, b"7z\xbc\xaf\x27\x1c", _packed("7z", "7z x")),
    (0, b"Rar!\x1a\x07", _packed("rar", "unrar x")),
    (0, b"\x04\x22\x4d\x18", _packed("lz4", "lz4 -d")),
    (0, b"QED\0", _foreign("a QED disk", "qed")),
    (0, b"WithoutFreeSpace", _foreign("a Parallels disk", "parallels")),
    (0, b"WithouFreSpacExt", _foreign("a Parallels disk", "parallels")),
    (0, b"Bochs Virtual HD Image", _foreign("a Bochs disk", "bochs")),
    (0, b"\x3a\xff\x26\xed", Stranger("an Android sparse image", "unpack it first: simg2img FILE disk.raw")),
    (0, b"EVF\x09\x0d\x0a\xff", Stranger("an EnCase image", "export it first: ewfexport -f raw FILE")),
    (0, b"MSWIM\0\0\0", Stranger("a Windows image (WIM)", "azready makes Linux images")),
    (0, b"\x7fELF", Stranger("a program (ELF), not a disk", _FETCH)),
    (0, b"\xed\xab\xee\xdb", Stranger("a package (RPM), not a disk", _FETCH)),
    (0, b"!<arch>\n", Stranger("a package or library, not a disk", _FETCH)),
    (0, b"07070", Stranger("an archive (cpio), as an initramfs is", _FETCH)),
    (0, b"%PDF-", Stranger("a PDF document", _FETCH)),
)
_ISO = Stranger(
    "an ISO image: an installer or a live system, not an installed disk",
    "install it in a virtual machine, and give that machine's disk",
)
_PROGRAM = Stranger("an EFI or Windows program, not a disk", _FETCH)
_QCOW_1 = b"QFI\xfb\0\0\0\x01", _foreign("a qcow disk of version 1", "qcow")
_DMG = _foreign("an Apple disk image", "dmg")
_OVA = Stranger("an OVA, an archive that holds the disk", "tar xf FILE, then give the .vmdk that was in it")
_TAR = Stranger(
    "a tar archive, not a disk",
    "tar xf FILE; then give the disk that was in it, or, where it holds a root tree, the folder",
)
_PAGE = Stranger("a web page: the server sent this instead of the disk", "look at it, and fetch the disk again")
_POINTER = Stranger("a Git LFS pointer to the disk", "fetch the disk itself: git lfs pull")
_OVF = Stranger("an OVF, the description of a machine", "give the .vmdk beside it")
_TEXT = Stranger("a text file, not a disk", _FETCH)


def identify(read: Read, size: int) -> DiskFormat | Stranger:
    """What a file of `size` bytes is. What is nothing else is `raw`.

    A fixed VHD whose disk begins like another format cannot be told from it and counts as that other format; a
    boot sector begins with a jump, so no bootable disk does.
    """
    head = read(0, 512)
    if head.startswith(_QCOW_1[0]):
        return _QCOW_1[1]
    for offset, magic, name in _DISKS:
        if head[offset : offset + len(magic)] == magic:
            return name
    footer = vhd.parse(read(max(0, size - vhd.FOOTER_SIZE), vhd.FOOTER_SIZE))
    if footer is not None and footer.disk_type == vhd.FIXED:
        return "vhd"
    header = vhd.parse(head)
    if header is not None:
        return "vhd-differencing" if header.disk_type == vhd.DIFFERENCING else "vhd-dynamic"
    return _stranger(read, size, head) or "raw"


def _stranger(read: Read, size: int, head: bytes) -> Stranger | None:
    for offset, magic, found in _STRANGERS:
        if head[offset : offset + len(magic)] == magic:
            return found
    if head[257:262] == b"ustar":
        return _OVA if any(name.lower().endswith(b".ovf") for name in _first_members(read)) else _TAR
    if read(0x8001, 5) == b"CD001":
        return _ISO
    if head[:2] == b"MZ" and read(int.from_bytes(head[60:64], "little"), 4) == b"PE\0\0":
        return _PROGRAM
    if read(max(0, size - 512), 4) == b"koly":
        return _DMG
    return _writing(head) if head else None


def _first_members(read: Read) -> Iterator[bytes]:
    """Names in a tar archive: the first few, for an OVA begins with its OVF, but for headers of pax."""
    at = 0
    for _ in range(4):
        header = read(at, 512)
        yield header[:100].rstrip(b"\0")
        digits = header[124:136].strip(b"\0 ")
        at += 512 + -(-int(digits, 8) // 512) * 512 if re.fullmatch(b"[0-7]{1,12}", digits) else 512


def _writing(head: bytes) -> Stranger | None:
    """Text has no control characters but those of layout; every disk has zeros in its first sector."""
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in head):
        return None
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return _PAGE
    if start.startswith(b"version https://git-lfs"):
        return _POINTER
    if b"<envelope" in start:
        return _OVF
    try:
        head[:-3].decode()
    except UnicodeDecodeError:
        return None
    return _TEXT
