"""A system extension: the guest program as an image of its own, for systems whose /usr nobody changes.

`systemd-sysext` lays it over /usr (man systemd-sysext; UAPI.3 of the UAPI group says what it must hold). Only what lies
below /usr can be in it: settings and hooks stay the image's own files in /etc.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from azready.errors import UsageFailure
from azready.image.parts.guest_program import Flavour, Selection, belongs, source
from azready.image.preparation import Options
from azready.installed import manifest
from azready.proc import find_tool, run

Filesystem = Literal["squashfs", "erofs", "folder"]
EPOCH = 0
"""The time on everything in it: two of one azready are the same, byte for byte."""
_UUID = "a2f5f0ce-59c6-4f0e-8a4e-6f1d0f6d2a51"


@dataclass(frozen=True)
class Entry:
    """A file with its mode, or (`to`) a symbolic link. `path` is relative to the extension's root."""

    path: str
    data: bytes = b""
    mode: int = 0o644
    to: str = ""


def entries(guest: Flavour, name: str) -> tuple[Entry, ...]:
    """What an extension called `name` holds. systemd takes it on any distribution and processor, and by
    EXTENSION_RELOAD_MANAGER (255 and newer) reads the units again when it has merged it."""
    rows = manifest()
    selection = Selection(guest, "systemd", Options().rows | {"extension"}, {})
    release = f"usr/lib/extension-release.d/extension-release.{name}"
    files = (
        Entry(_inside(row["target"]), source(row["source"]), int(row["mode"], 8))
        for row in rows["file"]
        if belongs(row, selection) and row["target"].startswith("/usr/")
    )
    links = (
        Entry(_inside(row["path"]), to=row["to"])
        for row in rows["link"]
        if belongs(row, selection) and row["path"].startswith("/usr/")
    )
    return (*files, *links, Entry(release, b"ID=_any\nEXTENSION_RELOAD_MANAGER=1\n"))


def _inside(path: str) -> str:
    return path.strip("/")


def make(out: Path, guest: Flavour, filesystem: Filesystem, overwrite: bool = False) -> int:
    """Write the extension to `out`; `folder` makes a folder, which systemd merges as well. Returns its size in bytes.

    Raises UsageFailure for a name that systemd would not take, or that is there; Failure where a tool is missing.
    """
    name = extension_name(out, filesystem)
    if out.exists() and not overwrite:
        raise UsageFailure(f"{out} exists", "use --yes to replace it")
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=out.parent) as scratch:
        root = Path(scratch, "root")
        _lay(entries(guest, name), root)
        made = root if filesystem == "folder" else Path(scratch, "image")
        if filesystem != "folder":
            _pack(root, made, filesystem)
        if out.is_dir() and not out.is_symlink():
            shutil.rmtree(out)
        made.replace(out)
    return sum(path.lstat().st_size for path in ([out] if out.is_file() else out.rglob("*")) if path.is_file())


def extension_name(out: Path, filesystem: Filesystem) -> str:
    """The extension's name: its file without .raw. The release file in it has the same one, or systemd refuses it."""
    if not out.parent.is_dir():
        raise UsageFailure(f"{out.parent} is no folder", "make it, or name another")
    if out.name.endswith(".raw") is (filesystem == "folder"):
        raise UsageFailure(
            f"{out}: systemd looks for {'a folder without' if filesystem == 'folder' else 'a file that ends in'} .raw",
            "name it /var/lib/extensions/azready.raw, say, or use --format folder for a folder",
        )
    name = out.name.removesuffix(".raw")
    if not name or not name.isascii() or not name.isprintable() or "/" in name:
        raise UsageFailure(f"{name!r} cannot be the name of an extension", "use letters and digits")
    return name


def _lay(all_of: Iterable[Entry], root: Path) -> None:
    root.mkdir()
    for entry in all_of:
        place = root / entry.path
        place.parent.mkdir(parents=True, exist_ok=True)
        if entry.to:
            place.symlink_to(entry.to)
        else:
            place.write_bytes(entry.data)
            place.chmod(entry.mode)
    for place in (*root.rglob("*"), root):
        if place.is_dir() and not place.is_symlink():
            place.chmod(0o755)
        os.utime(place, (EPOCH, EPOCH), follow_symlinks=False)


def _pack(root: Path, image: Path, filesystem: Filesystem) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
    words: list[str | Path]
    if filesystem == "squashfs":
        words = [
            find_tool("mksquashfs", "squashfs-tools"),
            root,
            image,
            "-all-root",
            "-noappend",
            "-no-xattrs",
            "-quiet",
        ]
    else:
        words = [find_tool("mkfs.erofs", "erofs-utils"), "--all-root", f"-T{EPOCH}", f"-U{_UUID}", "-x-1", image, root]
    run(words, env=environment)
