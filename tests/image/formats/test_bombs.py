"""Small files that unpack to much: read in little memory, and refused. In a child whose memory is bounded."""

import bz2
import gzip
import lzma
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

LIMIT, SIZE = 250 << 20, 270 << 20
READ = f"""
import resource, sys
from pathlib import Path
from azready.errors import Failure
from azready.image.disk.formats import initramfs, uki
base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (base + {LIMIT},) * 2)
data = Path(sys.argv[2]).read_bytes()
try:
    if sys.argv[1] == "uki":
        uki.read_program(data)
    else:
        initramfs.list_initramfs(data, lambda name: True)
except Failure as failure:
    print("refused:", failure.message)
"""


def zstd_zeros(gigabytes: int) -> bytes:
    """A frame without a size, of blocks that are one byte, 131072 times (RFC 8878)."""
    block = struct.pack("<I", (131072 << 3) | 0b010)[:3] + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x58" + block * (gigabytes << 13) + struct.pack("<I", 1)[:3]


def cpio(name: str, size: int) -> bytes:
    """The header of a regular file of `size` bytes, without them."""
    fields = (1, 0o100644, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4)


def overlapping() -> bytes:
    """An EFI program of 8 MiB with 2,000 sections, each of them the whole file."""
    size, count = 8 << 20, 2000
    head = (b"MZ" + bytes(58) + struct.pack("<I", 64)).ljust(64, b"\0")
    table = struct.pack("<HHIIIHH", 0x8664, count, 0, 0, 0, 112, 0) + struct.pack("<H", 0x20B) + bytes(110)
    sections = b"".join(
        f"{n:08d}".encode() + struct.pack("<IIII", size, 0, size, 1 + n) + bytes(16) for n in range(count)
    )
    return (head + b"PE\0\0" + table + sections).ljust(size, b"\0")


BOMBS: dict[str, Callable[[], bytes]] = {
    "zstd": lambda: zstd_zeros(32),
    "gzip": lambda: gzip.compress(bytes(SIZE), 6),
    "bzip2": lambda: bz2.compress(bytes(SIZE), 9),
    "xz": lambda: lzma.compress(bytes(SIZE), preset=0),
    "thirty archives": lambda: bz2.compress(cpio("TRAILER!!!", 0) + bytes(10 << 20), 9) * 30,
    "a file": lambda: gzip.compress(cpio("kernel/x86/microcode", 0xFFFF0000) + bytes(100 << 20)),
    "uki": overlapping,
}


@pytest.mark.long
@pytest.mark.parametrize("kind", BOMBS)
def test_what_unpacks_to_much_is_refused_in_little_memory(kind: str, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(BOMBS[kind]())
    done = subprocess.run([sys.executable, "-c", READ, kind, bomb], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("refused: "), done.stdout + done.stderr
