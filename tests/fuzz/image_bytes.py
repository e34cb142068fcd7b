"""The readers of disks, initramfs and EFI programs of an image, and of logs: all that an image may hold against us."""

import gzip
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from azready.boot import console_log
from azready.errors import Failure
from azready.image.disk import layers
from azready.image.disk.formats import Read, fat, gpt, identify, initramfs, lvm, partitions, superblocks, uki, vhd
from azready.image.disk.reading import reader
from tests.fuzz import _bytes
from tests.fuzz._bytes import Reader
from tests.image.formats.test_bombs import cpio, overlapping

LVM = (
    b'vg {\nid = "a-b"\nextent_size = 8192\nphysical_volumes {\npv0 {\ndevice = "/dev/x"\npe_start = 2048\n}\n}\n'
    b"logical_volumes {\nroot {\nsegment_count = 1\nsegment1 {\nstart_extent = 0\nextent_count = 9\n"
    b'type = "striped"\nstripe_count = 1\nstripes = [\n"pv0", 0\n]\n}\n}\n}\n}\n'
)
DEEP = b"a { " * 5000
ARCHIVE = b"".join((cpio("init", 0), cpio("lib/modules/6.1/hv_netvsc.ko", 4), b"data", cpio("TRAILER!!!", 0)))
CONSOLE = (
    b"[    0.000000] Linux version 6.1.0-18-cloud-amd64\r\n[    1.2] EXT4-fs (sda1): mounted filesystem\r\n",
    b"azure-provisioning[321]: Provisioned vm1 in 0.5 s: reported Ready\r\n\x1b[0;32mOK\x1b[0m Started ssh\r\n",
    b'BdsDxe: failed to load Boot0001 "UEFI"\r\n[  OK  ] Reached target\r\nKernel panic - not syncing: VFS\r\n',
)


def _table() -> bytes:
    """A disk with a protective MBR and a GPT header that passes its checksum, as far as it is easily made by hand."""
    entry = (
        bytes(range(16))
        + bytes(range(16, 32))
        + struct.pack("<QQQ", 2048, 4095, 0)
        + "root".encode("utf-16-le").ljust(72, b"\0")
    )
    entries = entry.ljust(128 * 128, b"\0")
    fields = [b"EFI PART", 0x10000, 92, 0, 0, 1, 8191, 34, 8158, bytes(16), 2, 128, 128, zlib.crc32(entries)]
    head = struct.pack("<8sIIIIQQQQ16sQIII", *fields)
    fields[3] = zlib.crc32(head)
    mbr = bytes(446) + bytes((0, 0, 2, 0, 0xEE, 255, 255, 255, 1, 0, 0, 0, 255, 31, 0, 0)) + bytes(48) + b"\x55\xaa"
    return mbr + struct.pack("<8sIIIIQQQQ16sQIII", *fields).ljust(512, b"\0") + entries + bytes(32 * 1024)


def _uki() -> bytes:
    """A unified kernel image, its sections small."""
    texts = {".uname": b"6.1.0", ".cmdline": b"root=/dev/sda1 console=ttyS0\n", ".initrd": b"i" * 30, ".linux": b"MZ"}
    head = (b"MZ" + bytes(58) + struct.pack("<I", 64)).ljust(64, b"\0") + b"PE\0\0"
    head += struct.pack("<HHIIIHH", 0x8664, len(texts), 0, 0, 0, 112 + 8 * 16, 0)
    head += struct.pack("<H", 0x20B) + bytes(106) + struct.pack("<I", 16) + bytes(32) + struct.pack("<II", 64, 8)
    table, body = b"", b""
    at = len(head) + 88 + 40 * len(texts)
    for name, text in texts.items():
        entry = struct.pack("<IIII", len(text), 0, len(text), at + len(body))
        table, body = table + name.encode().ljust(8, b"\0") + entry + bytes(16), body + text
    return head + bytes(88) + table + body


def _physical(text: bytes) -> bytes:
    """A physical volume whose only metadata area, at 4 KiB, holds `text`."""
    lists = struct.pack("<QQQQQQQQ", 1 << 20, 0, 0, 0, 4096, 1 << 16, 0, 0)
    label = (b"LABELONE" + bytes(12) + struct.pack("<I", 32) + b"LVM2 001" + bytes(40) + lists).ljust(512, b"\0")
    header = bytes(4) + b" LVM2 x[5A%r0N*>" + bytes(20) + struct.pack("<QQ", 512, len(text))
    return (bytes(512) + label).ljust(4096, b"\0") + header.ljust(512, b"\0") + text


def _superblocks() -> Iterator[bytes]:
    def at(offset: int, magic: bytes) -> bytes:
        return bytes(offset) + magic + bytes(range(256)) * 8

    yield at(0, b"XFSB\0\0\x10\0")
    yield at(1024 + 0x38, b"\x53\xef")
    yield at(0x10040, b"_BHRfS_M")
    yield at(0, b"LUKS\xba\xbe\0\x02")
    yield at(512, b"LABELONE") + bytes(4096)
    yield at(0, b"hsqs")
    yield bytes(11) + b"\0\x02\x04\x01\0\x02\0\x02\0\0\xf8" + bytes(488) + b"\x55\xaa" + bytes(2048)


def _heads() -> Iterator[bytes]:
    yield (
        b"QFI\xfb\0\0\0\x03"
        + (200).to_bytes(8, "big")
        + (20).to_bytes(4, "big")
        + bytes(180)
        + b"below.qcow2\0"
        + bytes(600)
    )
    yield b'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 2048 FLAT "disk-flat.vmdk" 0\n'
    yield (
        b"KDMV"
        + (1).to_bytes(4, "little")
        + bytes(20)
        + (1).to_bytes(8, "little")
        + (2).to_bytes(8, "little")
        + bytes(2048)
    )
    yield b"vhdxfile" + bytes(4096)
    yield b"conectix" + vhd.build(1 << 20)[8:] + bytes(1024)


_DISK = os.memfd_create("disk")


def _reading(data: bytes) -> Read:
    """As from a file: the kernel has its own ideas of offsets."""
    os.ftruncate(_DISK, 0)
    os.pwrite(_DISK, data, 0)
    return reader(_DISK, len(data))


def readers(folder: Path) -> dict[str, Reader]:
    """Each reader by its module and function; `folder` holds the disk files that need a name."""
    disks = (_table(), *_superblocks())

    def on_disk(read: Callable[[Read, int], object]) -> Callable[[bytes], object]:
        return lambda data: read(_reading(data), len(data))

    def names_in(driver: str) -> Callable[[bytes], object]:
        def read(data: bytes) -> object:
            (folder / "disk").write_bytes(data)
            return layers.layers(folder / "disk", driver)

        return read

    packed = (ARCHIVE, gzip.compress(ARCHIVE, mtime=0), bytes(512) + ARCHIVE)
    return {
        "partitions.read_table": Reader(on_disk(partitions.read_table), disks),
        "gpt.read": Reader(on_disk(gpt.read), disks),
        "gpt.move_backup": Reader(
            on_disk(lambda read, size: gpt.move_backup(read, size, size + (1 << 20))), disks, (ValueError,)
        ),
        "superblocks.probe": Reader(lambda data: superblocks.probe(_reading(data)), disks),
        "fat.names": Reader(lambda data: fat.names(_reading(data), 0), disks),
        "lvm.volumes": Reader(
            lambda data: lvm.volumes(_reading(data), 0), (*disks, _physical(LVM)), (), (_physical(DEEP),)
        ),
        "lvm.parse": Reader(lambda data: lvm.parse(data.decode("latin-1")), (LVM,), (ValueError,)),
        "identify.identify": Reader(on_disk(identify.identify), (*disks, *_heads())),
        "layers of qcow2": Reader(names_in("qcow2"), tuple(_heads()), (Failure,)),
        "layers of vmdk": Reader(names_in("vmdk"), tuple(_heads()), (Failure,)),
        "vhd.parse": Reader(vhd.parse, (vhd.build(1 << 20),)),
        "list_initramfs": Reader(lambda data: initramfs.list_initramfs(data, lambda name: True), packed, (Failure,)),
        "uki.read_uki": Reader(lambda data: uki.read_uki(data, "x.efi"), (_uki(), overlapping()[:65536]), (Failure,)),
        "console_log.diagnose": Reader(console_log.diagnose, CONSOLE),
    }


def campaign(seed: int, runs: int) -> Iterator[str]:
    """`runs` inputs for each reader."""
    with tempfile.TemporaryDirectory(prefix="azready-fuzz-") as folder:
        yield from _bytes.campaign(readers(Path(folder)), seed, runs)
