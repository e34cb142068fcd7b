"""What a disk file is, told from its first and last bytes, never from its name."""

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
    "gzip",
    "xz",
    "zstd",
    "bzip2",
    "zip",
    "lz4",
]
"""`vhd` is the fixed one, the only one that Azure takes; the last six are wrappers that must be unpacked first."""

WRAPPERS: dict[DiskFormat, str] = {
    "gzip": "gzip -d",
    "xz": "xz -d",
    "zstd": "zstd -d",
    "bzip2": "bzip2 -d",
    "lz4": "lz4 -d",
    "zip": "unzip",
}
"""Formats that only wrap a disk, and the command that unwraps them."""

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
"""QEMU's names of the formats it reads, for `-f`: it must never guess the format of a file that it did not write."""

_AT_THE_HEAD: tuple[tuple[int, bytes, DiskFormat], ...] = (
    (0, b"vhdxfile", "vhdx"),
    (0, b"QFI\xfb", "qcow2"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"BZh", "bzip2"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
)


def identify(read: Read, size: int) -> DiskFormat:
    """The format of a file of `size` bytes. What is nothing else is `raw`.

    A fixed VHD whose disk begins like another format cannot be told from it and counts as that other format; a
    boot sector begins with a jump, so no bootable disk does.
    """
    head = read(0, 512)
    for offset, magic, name in _AT_THE_HEAD:
        if head[offset : offset + len(magic)] == magic:
            return name
    footer = vhd.parse(read(max(0, size - vhd.FOOTER_SIZE), vhd.FOOTER_SIZE))
    if footer is not None and footer.disk_type == vhd.FIXED:
        return "vhd"
    header = vhd.parse(head)
    if header is not None:
        return "vhd-differencing" if header.disk_type == vhd.DIFFERENCING else "vhd-dynamic"
    return "raw"
