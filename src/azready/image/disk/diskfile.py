"""A disk file of any known format as plain bytes: raw and fixed VHD directly, the others through qemu-img.

Reading only. A disk that names other files (a backing file, extents) is followed only within its own folder, and by
us (`layers.py`): an image from elsewhere must not get to read any file of its user.
"""

import functools
import json
import operator
import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from azready.errors import UsageFailure
from azready.image.disk import qemu
from azready.image.disk.formats import Read, vhd
from azready.image.disk.formats.identify import QEMU_NAMES, DiskFormat, Stranger, identify
from azready.image.disk.layers import Layer, layers, node
from azready.image.disk.reading import reader
from azready.proc import find_tool, run

NO_FOLDER = "make a disk of a folder with mkosi, kiwi or the like: docs/recipes.md"
_WINDOW = 1 << 20
_WINDOWS = 64


@dataclass(frozen=True)
class DiskFile:
    """A disk file: its format, and the size in bytes of the disk in it (without a VHD's footer)."""

    path: Path
    format: DiskFormat
    size: int
    layers: tuple[Layer, ...] = ()
    """The file and those below it; empty where the format can name none (`direct`)."""
    variant: str = ""
    """VMDK's kind, as VMware calls it: `monolithicSparse`, `streamOptimized` …"""
    sized_by_footer: bool = False
    """A VHD whose cylinders, which QEMU would believe, describe another size than its footer."""

    @property
    def others(self) -> tuple[str, ...]:
        """Other files of its folder that hold parts of it: backing files, data, extents."""
        files = (each for layer in self.layers for each in (layer.path, layer.data, *layer.extents) if each)
        return tuple(dict.fromkeys(each.name for each in files if each != self.path.resolve()))

    @property
    def node(self) -> qemu.Node:
        """As QEMU's programs are told of it; a fixed VHD's footer is then a last sector of the disk."""
        described = node(self.layers) if self.layers else qemu.node(self.path, "raw")
        return qemu.sized_by_footer(described) if self.sized_by_footer else described

    @property
    def writable(self) -> bool:
        """Whether QEMU can change it as it stands: it only reads what is compressed, and would lose a disk's end."""
        return self.variant != "streamOptimized" and not self.sized_by_footer

    @property
    def direct(self) -> bool:
        """Whether the disk's bytes are the file's own first bytes."""
        return self.format in ("raw", "vhd")


def mode_of_copy(disk: DiskFile) -> int:
    """Permission bits of what is made of a disk: nobody reads it who could not read every file of the disk."""
    files = (disk.path, *(disk.path.resolve().parent / name for name in disk.others))
    open_to = [path.stat().st_mode & 0o044 for path in files]
    return functools.reduce(operator.and_, open_to) | 0o600


def inspect(path: Path) -> DiskFile:
    """Recognize a disk file. Raises UsageFailure for what is none, is empty, or must be unpacked first."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            kind = identify(reader(file.fileno(), length), length)
    except IsADirectoryError as error:
        raise UsageFailure(f"{path} is not a disk file", NO_FOLDER) from error
    except OSError as error:
        raise UsageFailure(
            f"{path}: {error.strerror}", "give a disk file: raw, qcow2, VMDK, VHDX, VDI or VHD"
        ) from error
    if length == 0:
        raise UsageFailure(f"{path} is empty", "give a disk file: raw, qcow2, VMDK, VHDX, VDI or VHD")
    if isinstance(kind, Stranger):
        raise UsageFailure(f"{path} is {kind.what}", kind.hint.replace("FILE", str(path)))
    if kind == "vhd-differencing":
        raise UsageFailure(
            f"{path} is a differencing VHD: it holds what changed, its parent holds the rest",
            "make one disk of both first: Merge-VHD (Hyper-V), or VBoxManage clonemedium disk FILE whole.vhd",
        )
    if kind == "raw":
        return DiskFile(path, kind, length)
    if kind == "vhd":
        return DiskFile(path, kind, length - vhd.FOOTER_SIZE)
    return _described(path, kind, length)


def _described(path: Path, kind: DiskFormat, length: int) -> DiskFile:
    """What qemu-img knows of a disk file of `length` bytes."""
    chain = layers(path, QEMU_NAMES[kind])
    plain = node(chain[:1])  # to look at one, QEMU opens none below it
    dynamic = QEMU_NAMES[kind] == "vpc"
    name = qemu.name(qemu.sized_by_footer(plain) if dynamic else plain)
    info_of = [find_tool("qemu-img", "qemu-utils"), "info", "-U", "--output=json"]
    done = run([*info_of, name], check=False)
    if done.status:
        said = done.stderr.strip().replace(name, str(path)) or f"qemu-img broke on it (status {done.status})"
        raise UsageFailure(f"{path}: {said.removeprefix('qemu-img: ')}", _what_to_do(said, path))
    info: dict[str, Any] = json.loads(done.stdout)
    variant = info.get("format-specific", {}).get("data", {}).get("create-type", "")
    disk = DiskFile(path, kind, int(info["virtual-size"]), chain, variant)
    slack = int(info["cluster-size"]) if kind == "qcow2" else 512  # of its last cluster the end need not be there
    if not disk.others and (missing := _missing(name, length, slack)):
        raise UsageFailure(
            f"{path} lacks at least {missing} bytes at its end", "it was cut off: fetch or build it again"
        )
    by_cylinders = dynamic and json.loads(run([*info_of, qemu.name(plain)]).stdout)["virtual-size"] != disk.size
    return replace(disk, sized_by_footer=by_cylinders)


def _what_to_do(said: str, path: Path) -> str:
    if "log that needs to be replayed" in said:
        return f"it was in use when it was copied; on a copy: qemu-img check -r all {path}"
    if path.suffix == ".vmdk" and "s0" in path.stem:
        return "is it one piece of many? give the small .vmdk that names them all"
    if path.suffix.lower() in (".vhdx", ".avhdx") and "BAT entry" not in said:  # those lie behind the end of the file
        return (
            "was it cut off? fetch it again; is it of a checkpoint (differencing)? merge it first: Merge-VHD (Hyper-V)"
        )
    return "was it cut off? fetch or build it again"


def _missing(name: str, length: int, slack: int) -> int:
    """The bytes that a disk file's own tables place behind its end; fewer than `slack` are no fault.

    QEMU reads zeros there and does not complain.
    """
    done = run([find_tool("qemu-img", "qemu-utils"), "map", "-U", "--output=json", name], check=False)
    ranges = json.loads(done.stdout) if done.status == 0 else ()
    end = max((each["offset"] + each["length"] for each in ranges if "offset" in each), default=0)
    return end - length if end >= length + slack else 0


@contextmanager
def reading(disk: DiskFile) -> Iterator[Read]:
    """The disk's bytes, as a function of offset and length, until the block ends."""
    if disk.direct:
        with disk.path.open("rb") as file:
            yield reader(file.fileno(), disk.size)
        return
    folder = Path(tempfile.mkdtemp(prefix="azready-read-"))
    try:
        yield _Windows(disk, folder / "window").read
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Windows:
    """Reads through qemu-img, a whole window at a time, and keeps the last few."""

    def __init__(self, disk: DiskFile, scratch: Path) -> None:
        self._disk = disk
        self._scratch = scratch
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._tool = find_tool("qemu-img", "qemu-utils")

    def read(self, at: int, count: int) -> bytes:
        end = min(at + count, self._disk.size)
        if at < 0 or at >= end:
            return b""
        first, last = at // _WINDOW, (end - 1) // _WINDOW
        data = b"".join(self._window(index) for index in range(first, last + 1))
        return data[at - first * _WINDOW : end - first * _WINDOW]

    def _window(self, index: int) -> bytes:
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        start = index * _WINDOW
        length = min(_WINDOW, self._disk.size - start)
        part = {"driver": "raw", "offset": start, "size": length, "file": self._disk.node}
        run([self._tool, "convert", "-U", qemu.name(part), "-O", "raw", self._scratch])
        data = self._scratch.read_bytes()[:length].ljust(length, b"\0")
        self._kept[index] = data
        while len(self._kept) > _WINDOWS:
            self._kept.popitem(last=False)
        return data
