"""Whole targets that answer with an image's bytes: file systems read without mounting, and a shell over ssh."""

import contextlib
import gzip
import io
import shutil
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

from azready.errors import Failure
from azready.image.disk.formats import Read
from azready.image.targets import Files
from azready.image.targets.shell import _MARK, Address, Answer, Shell
from azready.image.targets.ssh import Ssh
from azready.image.targets.unmounted import FileSystem, Unmounted, _Ext, _Fat
from azready.image.targets.volumes import find_volumes, from_fstab
from tests.fuzz import _bytes
from tests.fuzz._bytes import Reader
from tests.fuzz.facts_bytes import LISTING
from tests.fuzz.image_bytes import LVM, _physical, _superblocks, _table

MARK = _MARK.encode()
ITSELF = LVM.replace(b"pe_start = 2048", b"pe_start = 0")
"""A logical volume that begins where its physical volume does."""


def fat_disk() -> bytes:
    """FAT12 with a folder, a long name and a file of two clusters."""
    boot = b"\xeb\x3c\x90mkfs.fat" + struct.pack("<HBHBHHBH", 512, 1, 1, 1, 16, 64, 0xF8, 1)
    table = bytes((0xF8, 0xFF, 0xFF, 0xFF, 0x4F, 0x00, 0xFF, 0xFF, 0xFF))  # 2 ends, 3 → 4, 4 and 5 end
    long = (
        b"\x41" + "a long".encode("utf-16-le")[:10] + b"\x0f\0\0" + "g".encode("utf-16-le").ljust(12, b"\0") + bytes(6)
    )
    root = _entry(b"EFI        ", 0x10, 2, 0) + long + _entry(b"ALONG   TXT", 0x20, 3, 700)
    inside = (
        _entry(b".          ", 0x10, 2, 0) + _entry(b"..         ", 0x10, 0, 0) + _entry(b"BOOT    EFI", 0x20, 5, 9)
    )
    sectors = (boot.ljust(510, b"\0") + b"\x55\xaa", table, root, inside, b"c" * 512, b"d" * 188, b"MZ program")
    return b"".join(sector.ljust(512, b"\0") for sector in sectors)


def _entry(name: bytes, kind: int, first: int, size: int) -> bytes:
    return name + bytes((kind,)) + bytes(8) + bytes(6) + struct.pack("<HI", first, size)


def ext_disk() -> bytes:
    """A small ext4 with files, a folder and links; nothing where there is no mke2fs."""
    if (tool := shutil.which("mke2fs", path="/usr/sbin:/sbin:/usr/bin")) is None:
        return b""
    with tempfile.TemporaryDirectory() as folder:
        tree, image = Path(folder) / "tree", Path(folder) / "image"
        (tree / "etc").mkdir(parents=True)
        (tree / "etc/fstab").write_text("UUID=a / ext4 defaults 0 1\n")
        (tree / "large").write_bytes(b"x" * 3000)
        (tree / "short").symlink_to("etc/fstab")
        (tree / "long").symlink_to("/" + "etc/../" * 12 + "etc")
        features = "^has_journal,^resize_inode,^metadata_csum"
        words: list[str | Path] = [
            tool,
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "1024",
            "-N",
            "24",
            "-O",
            features,
            "-d",
            tree,
            image,
            "64",
        ]
        subprocess.run(words, check=True, capture_output=True)
        return image.read_bytes()


def _walked(make: Callable[[Read, int], FileSystem]) -> Callable[[bytes], object]:
    """Everything that can be asked of everything below the root."""

    def read(data: bytes) -> object:
        files = Unmounted({"": make(lambda at, count: data[at : at + count], 0)}, "")
        asks: tuple[Callable[[str], object], ...] = (files.read_bytes, files.readlink, files.listdir, files.stat)
        for path, _ in files.walk(""):
            for ask in asks:
                with contextlib.suppress(OSError):
                    ask(path)
        return files.glob("**/*")

    return read


def _volumes(data: bytes) -> object:
    found = find_volumes(lambda at, count: data[at : at + count] if at >= 0 else b"", len(data))
    return from_fstab(data.decode("latin-1"), found)


class _Saying:
    """A shell that answers every script with the same bytes, the listing apart."""

    root = False

    def __init__(self, said: bytes) -> None:
        self.said = said

    def call(self, script: str, stdin: bytes = b"") -> Answer:
        if "find $folders" in script:
            return Answer(0, gzip.compress(LISTING, mtime=0), "")
        return Answer(len(self.said) % 2, self.said, self.said.decode(errors="replace"))


def _asked(data: bytes) -> None:
    there = Ssh(_Saying(data), "vm")  # type: ignore[arg-type]  # only `call` and `root` are asked for
    asks: tuple[Callable[[], object], ...] = (
        *(lambda: there.stat("proc/x"), lambda: there.readlink("proc/x"), lambda: there.listdir("proc/x")),
        *(there.free_space, there.refusal, lambda: there.read_text("proc/x"), lambda: _all_of(there)),
    )
    for ask in asks:
        with contextlib.suppress(OSError, Failure):
            ask()


def _all_of(files: Files) -> object:
    return [files.read_bytes(path) for path, found in files.walk("") if found.kind == "file"]


def _framed(data: bytes) -> object:
    shell = Shell.__new__(Shell)
    shell._shell = SimpleNamespace(stdin=io.BytesIO(), stdout=io.BytesIO(data))  # type: ignore[assignment]
    shell._address, shell.root = Address("vm"), True
    return shell.call("true")


def _archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("etc/x y")
        member.size = 12
        archive.addfile(member, io.BytesIO(b"hello world\n"))
    return packed.getvalue()[:2048]


def readers() -> dict[str, Reader]:
    """Each target by its kind."""
    saying = (b"81a4 0 0 12 1795767600\n", b"fs 1 2 3 4% /\n", b"a\nb\n", b"/dev/sda1 / ext4 rw 0 0\n")
    framed = MARK + b" out\naGVsbG8=\n" + MARK + b" err\n\n" + MARK + b" 0\n"
    made = {
        "ext": Reader(_walked(_Ext), (ext_disk(),), (OSError,)),
        "fat": Reader(_walked(_Fat), (fat_disk(),), (OSError,)),
        "volumes": Reader(
            _volumes, (_table(), *_superblocks(), _physical(LVM).ljust(1 << 16, b"\0"), _physical(ITSELF))
        ),
        "ssh answers": Reader(_asked, (*saying, _archive(), gzip.compress(_archive(), mtime=0))),
        "ssh frames": Reader(_framed, (framed,), (Failure,)),
    }
    return made if made["ext"].samples[0] else {name: reader for name, reader in made.items() if name != "ext"}


def campaign(seed: int, runs: int) -> Iterator[str]:
    """`runs` inputs for each reader."""
    yield from _bytes.campaign(readers(), seed, runs)
