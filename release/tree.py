"""A payload as files in a folder, or as a tar: with the release's time on everything, and root as the owner."""

import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

from release.payload import Entry, parents


def lay(entries: Iterable[Entry], root: Path, epoch: int) -> None:
    """Write entries below `root`. Owners are the caller's: the packager of each format says root."""
    entries = list(entries)
    for folder in parents([each.path for each in entries]):
        (root / folder.strip("/")).mkdir(exist_ok=True)
        (root / folder.strip("/")).chmod(0o755)
    for each in entries:
        place = root / each.path.strip("/")
        if each.kind == "link":
            place.symlink_to(each.to)
            continue
        if each.kind == "folder":
            place.mkdir(exist_ok=True)
        else:
            place.write_bytes(each.data)
        place.chmod(each.mode)
    for place in [*root.rglob("*"), root]:
        os.utime(place, (epoch, epoch), follow_symlinks=False)


def members(entries: Iterable[Entry], epoch: int, prefix: str = "") -> list[tuple[tarfile.TarInfo, bytes]]:
    """The members of a tar, folders before what lies in them, in the order of their names."""
    by_path = {each.path: each for each in entries}
    for folder in parents(list(by_path)):
        by_path.setdefault(folder, Entry(folder, "folder", 0o755))
    return [_member(by_path[path], epoch, prefix) for path in sorted(by_path)]


def _member(entry: Entry, epoch: int, prefix: str) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(prefix + entry.path.strip("/"))
    info.type = {"folder": tarfile.DIRTYPE, "file": tarfile.REGTYPE, "link": tarfile.SYMTYPE}[entry.kind]
    info.mode, info.mtime, info.uname, info.gname = entry.mode, epoch, "root", "root"
    info.size, info.linkname = len(entry.data), entry.to
    return info, entry.data


def tar(entries: Iterable[Entry], epoch: int) -> bytes:
    """An uncompressed tar, for `tar -C ROOT -xf`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for info, data in members(entries, epoch):
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()
