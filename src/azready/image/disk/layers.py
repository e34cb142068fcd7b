"""The files that make up one disk, found by our own reading of their heads, before any program of QEMU's sees them.

A disk file may name others: a backing file, a data file, extents, a parent. QEMU takes such a name for a path
anywhere, for an address to connect to (`nbd:`, `ssh:`, `http:`), or for a description of both (`json:`), as soon as it
opens the file. So names are read here, at every level; each must be a regular file of the disk's own folder; and QEMU
is then told the whole chain (`node`), so that no name in an image is ever followed.

Facts: QEMU, docs/interop/qcow2.txt; VMware, "Virtual Disk Format 5.0".
"""

import os
import re
import shlex
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from azready.errors import UsageFailure
from azready.image.disk import qemu
from azready.image.disk.formats.identify import QEMU_NAMES, Stranger, identify
from azready.image.disk.reading import reader

_DEEPEST = 32
_DESCRIPTOR = 1 << 20
"""The most bytes of a VMDK's description that are read."""
_QCOW2_BACKING_FORMAT, _QCOW2_DATA_FILE = 0xE2792ACA, 0x44415441
_EXTENT = re.compile(rb'(?:RW|RDONLY|NOACCESS)\s+[-+]?\d+\s+\S+?\s*"([^"\n\r]*)')
"""As loosely as QEMU's sscanf takes it: white space may be line ends, and the closing quote is not asked for."""
_PARENT = re.compile(rb'parentFileNameHint[ \t]*=[ \t]*"([^"\n\r]*)"')


@dataclass(frozen=True)
class Layer:
    """One file of a disk, by QEMU's name of its format; `data` holds its clusters, where that is another file."""

    path: Path
    driver: str
    data: Path | None = None
    extents: tuple[Path, ...] = ()
    """Further files that QEMU finds by itself, beside this one."""


@dataclass(frozen=True)
class _Named:
    """The names in a file's head."""

    below: str = ""
    below_format: str = ""
    data: str = ""
    extents: tuple[str, ...] = ()


def layers(path: Path, driver: str) -> tuple[Layer, ...]:
    """The disk's own file first, then those below it. Raises UsageFailure for a name that leads elsewhere."""
    top = path.resolve()
    found: list[Layer] = []
    while True:
        named = _named(top, driver)
        data = _beside(path, top, named.data) if named.data else None
        found.append(Layer(top, driver, data, tuple(_extents(path, top, named))))
        if not named.below:
            return tuple(found)
        top = _beside(path, top, named.below)
        driver = named.below_format or _driver(top)
        if driver not in QEMU_NAMES.values():
            raise UsageFailure(f"{path} builds on a file of an unknown format: {driver!r}", _FLATTEN)
        if len(found) == _DEEPEST or any(each.path == top for each in found):
            raise UsageFailure(f"{path} builds on too many files, or on itself", _FLATTEN)


_FLATTEN = "if you trust it, make it one file first: qemu-img convert -O qcow2 FILE flat.qcow2"


def node(chain: tuple[Layer, ...]) -> qemu.Node:
    """QEMU's description of a disk, from `layers`: what is below it is spelt out, and is only read."""
    top, *below = chain
    described = qemu.described(top.path, top.driver)
    if top.data is not None:
        described["data-file"] = qemu.file(top.data)
    if top.driver in ("qcow2", "vmdk"):
        described["backing"] = {**node(tuple(below)), "read-only": True} if below else None
    return described


def _beside(disk: Path, named_by: Path, name: str) -> Path:
    """The file that a name means, which must lie in the folder of the file that names it."""
    try:
        other = (named_by.parent / name).resolve()
        fits = other.parent == named_by.parent and other.is_file()
    except (OSError, ValueError, RuntimeError):
        fits = False
    if not fits:
        raise UsageFailure(f"{disk} refers to {name!r}, which is outside its folder or no file of it", _FLATTEN)
    return other


def _extents(disk: Path, top: Path, named: _Named, depth: int = 0) -> Iterator[Path]:
    """The files of a VMDK; an extent may hold a description with names of its own."""
    for name in named.extents:
        if ":" in name or depth == _DEEPEST:
            raise UsageFailure(f"{disk} refers to {name!r}, which is no plain file name", _FLATTEN)
        extent = _beside(disk, top, name)
        if extent != top:
            yield extent
            yield from _extents(disk, extent, _of_vmdk(extent), depth + 1)


def _driver(path: Path) -> str:
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        kind = identify(reader(file.fileno(), length), length)
    return "raw" if isinstance(kind, Stranger) else QEMU_NAMES[kind]


def _named(path: Path, driver: str) -> _Named:
    if driver == "qcow2":
        return _of_qcow2(path)
    return _of_vmdk(path) if driver == "vmdk" else _Named()


def _of_qcow2(path: Path) -> _Named:
    """Fields and extensions of the header, which is big-endian and lies in the first cluster."""
    with path.open("rb") as file:
        head = file.read(1 << 16).ljust(512, b"\0")  # as QEMU reads a file that ends within a sector
    version, at, length = struct.unpack_from(">IQI", head, 4)
    (encryption,) = struct.unpack_from(">I", head, 32)
    below = head[at : at + length] if length and at + length <= len(head) else b""
    if version not in (2, 3):
        return _Named()  # QEMU says what it thinks of that
    if encryption:  # said before QEMU reads a LUKS header of an enemy's: it ends by SIGSEGV on some
        raise UsageFailure(
            f"{path} is encrypted", f"decrypt it first: qemu-img convert --object secret,… {shlex.quote(str(path))}"
        )
    if length and not below:
        raise UsageFailure(
            f"{path}: the name of its backing file is not in its header",
            "fetch or build it again, and ask qemu-img check",
        )
    external = version >= 3 and len(head) >= 104 and bool(struct.unpack_from(">Q", head, 72)[0] & 4)
    extensions = dict(_extensions(head, struct.unpack_from(">I", head, 100)[0] if version >= 3 else 72))
    data = extensions.get(_QCOW2_DATA_FILE, b"") if external else b""
    if external and not data:
        raise UsageFailure(f"{path} keeps its data in another file and does not say which", _FLATTEN)
    return _Named(_text(below), _text(extensions.get(_QCOW2_BACKING_FORMAT, b"")), _text(data))


def _extensions(head: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, at)
        if kind == 0:
            return
        yield kind, head[at + 8 : at + 8 + length]
        at += 8 + (length + 7) // 8 * 8


def _of_vmdk(path: Path) -> _Named:
    """The description is the file itself, or lies in it where the header of a sparse extent says (in sectors).

    A sparse extent with a size of its own is the whole disk: the names of extents in it are of where it was made.
    """
    with path.open("rb") as file:
        head = file.read(_DESCRIPTOR)
        whole = False
        if head.startswith(b"KDMV") and len(head) >= 512:
            size, _, begin = struct.unpack_from("<QQQ", head, 12)
            whole = size > 0
            head = reader(file.fileno(), path.stat().st_size)(begin * 512, _DESCRIPTOR)
    parents = _PARENT.findall(head)
    extents = () if whole else tuple(map(_text, _EXTENT.findall(head)))
    return _Named(below=_text(parents[-1]) if parents else "", extents=extents)


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")
