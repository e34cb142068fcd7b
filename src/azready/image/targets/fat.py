"""An EFI system partition as a folder, by mtools: for users without root, and for kernels without vfat.

Its files are copied out when it is opened; what was changed meanwhile is copied back when it is closed.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from azready.proc import find_tool, run

_ENVIRONMENT = {"MTOOLS_SKIP_CHECK": "1", "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}


@contextmanager
def as_folder(disk: Path, offset: int, folder: Path, write: bool) -> Iterator[Path]:
    """The files of the FAT file system at `offset` of `disk`, in the empty `folder`, until the block ends."""
    image = f"{disk}@@{offset}"
    mcopy = find_tool("mcopy", "mtools")
    if run([find_tool("mdir", "mtools"), "-b", "-i", image, "::/"], env=_ENVIRONMENT, check=False).stdout.strip():
        run([mcopy, "-s", "-n", "-Q", "-i", image, "::*", folder], env=_ENVIRONMENT)
    before = _digests(folder)
    yield folder
    if not write:
        return
    after = _digests(folder)
    for path in sorted(before.keys() - after.keys(), reverse=True):
        if any(path.startswith(f"{gone}/") for gone in before.keys() - after.keys()):
            continue
        tool = "mdeltree" if before[path] is None else "mdel"
        run([find_tool(tool, "mtools"), "-i", image, f"::/{path}"], env=_ENVIRONMENT)
    for path in sorted(path for path in after if before.get(path, "") != after[path]):
        if after[path] is None:
            run([find_tool("mmd", "mtools"), "-D", "s", "-i", image, f"::/{path}"], env=_ENVIRONMENT)
        else:
            run([mcopy, "-o", "-n", "-i", image, folder / path, f"::/{path}"], env=_ENVIRONMENT)


def _digests(folder: Path) -> dict[str, str | None]:
    """Every path below `folder` with a digest of its content; None for a folder."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_dir() or path.is_file()
    }
