"""A disk file of any known format as plain bytes: raw and fixed VHD directly, the others through qemu-img.

Reading only. A disk that names other files (a backing file, extents) is followed only within its own folder: an
image from elsewhere must not get to read any file of its user.
"""

import json
import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azready.errors import UsageFailure
from azready.image.disk.formats import Read, vhd
from azready.image.disk.formats.identify import (
    QEMU_NAMES,
    WRAPPERS,
    DiskFormat,
    identify,
)
from azready.proc import find_tool, run

_WINDOW = 1 << 20
_WINDOWS = 64


@dataclass(frozen=True)
class DiskFile:
    """A disk file: its format, and the size in bytes of the disk in it (without a VHD's footer)."""

    path: Path
    format: DiskFormat
    size: int
    others: tuple[str, ...] = ()
    """Other files of its folder that hold parts of it: backing files, extents."""

    @property
    def direct(self) -> bool:
        """Whether the disk's bytes are the file's own first bytes."""
        return self.format in ("raw", "vhd")


def inspect(path: Path) -> DiskFile:
    """Recognize a disk file. Raises UsageFailure for what is none, is empty, or must be unpacked first."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            kind = identify(lambda at, count: os.pread(file.fileno(), count, at) if at >= 0 else b"", length)
    except OSError as error:
        raise UsageFailure(
            f"{path}: {error.strerror}", "give a disk file: raw, qcow2, VMDK, VHDX, VDI or VHD"
        ) from error
    if kind in WRAPPERS:
        raise UsageFailure(f"{path} is packed ({kind})", f"unpack it first: {WRAPPERS[kind]} {path}")
    if length == 0:
        raise UsageFailure(f"{path} is empty", "give a disk file: raw, qcow2, VMDK, VHDX, VDI or VHD")
    if kind == "raw":
        return DiskFile(path, kind, length)
    if kind == "vhd":
        return DiskFile(path, kind, length - vhd.FOOTER_SIZE)
    return _described(path, kind, length)


def _described(path: Path, kind: DiskFormat, length: int) -> DiskFile:
    """What qemu-img knows of a disk file of `length` bytes."""
    tool = find_tool("qemu-img", "qemu-utils")
    name = QEMU_NAMES[kind]
    done = run([tool, "info", "-U", "-f", name, "--output=json", path], check=False)
    if done.status:
        raise UsageFailure(f"{path}: {done.stderr.strip()}", "was it cut off? fetch or build it again")
    info: dict[str, Any] = json.loads(done.stdout)
    folder = path.resolve().parent
    for other in _named_files(info):
        if (folder / other).resolve().parent != folder:
            raise UsageFailure(
                f"{path} refers to {other}, which is outside its folder",
                f"if you trust it, make it one file first: qemu-img convert -f {name} -O qcow2 {path} flat.qcow2",
            )
    names = dict.fromkeys((folder / other).resolve().name for other in _named_files(info))
    others = tuple(each for each in names if each != path.resolve().name)
    slack = int(info["cluster-size"]) if kind == "qcow2" else 512  # of its last cluster the end need not be there
    if not others and (missing := _missing(path, name, length, slack)):
        raise UsageFailure(
            f"{path} lacks at least {missing} bytes at its end", "it was cut off: fetch or build it again"
        )
    return DiskFile(path, kind, int(info["virtual-size"]), others)


def _missing(path: Path, name: str, length: int, slack: int) -> int:
    """The bytes that a disk file's own tables place behind its end; fewer than `slack` are no fault.

    QEMU reads zeros there and does not complain.
    """
    done = run([find_tool("qemu-img", "qemu-utils"), "map", "-U", "-f", name, "--output=json", path], check=False)
    ranges = json.loads(done.stdout) if done.status == 0 else ()
    end = max((each["offset"] + each["length"] for each in ranges if "offset" in each), default=0)
    return end - length if end >= length + slack else 0


def _named_files(info: dict[str, Any]) -> Iterator[str]:
    specific = info.get("format-specific", {}).get("data", {})
    for value in (info.get("full-backing-filename"), info.get("backing-filename"), specific.get("data-file")):
        if value:
            yield value
    for extent in specific.get("extents", ()):
        if "filename" in extent:
            yield extent["filename"]


@contextmanager
def reading(disk: DiskFile) -> Iterator[Read]:
    """The disk's bytes, as a function of offset and length, until the block ends."""
    if disk.direct:
        with disk.path.open("rb") as file:
            number = file.fileno()
            yield lambda at, count: os.pread(number, max(0, min(count, disk.size - at)), at) if at >= 0 else b""
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
        name = str(self._disk.path.resolve()).replace(",", ",,")
        part = f"driver=raw,offset={start},size={length},file.driver={QEMU_NAMES[self._disk.format]}"
        source = f"{part},file.file.driver=file,file.file.filename={name}"
        run([self._tool, "convert", "-U", "--image-opts", source, "-O", "raw", self._scratch])
        data = self._scratch.read_bytes()[:length].ljust(length, b"\0")
        self._kept[index] = data
        while len(self._kept) > _WINDOWS:
            self._kept.popitem(last=False)
        return data
