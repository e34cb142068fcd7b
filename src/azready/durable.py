"""Files that outlive a power cut: their bytes are on the disk before their name says that they are there.

A rename alone promises nothing: file systems may write the new name long before the bytes (fsync(2), rename(2); ext4 by
its commit every 5 s, XFS and btrfs within 30 s).
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_PAUSE = 0.1
"""Seconds in which a disk is given more than it can write at once."""
_WINDOWS = os.name == "nt"
"""Where only what may be written can be synced, and a folder cannot."""
_FLAGS = os.O_RDWR if _WINDOWS else os.O_RDONLY


def rename(part: Path, target: Path) -> None:
    """Give a finished file its name, in the same folder or file system, when its bytes are on the disk."""
    settle(part)
    part.replace(target)
    settle(target.parent)


@contextlib.contextmanager
def settling(path: Path) -> Iterator[None]:
    """While something writes a file, bring what it has written to the disk: less is left to wait for at the end.

    It promises nothing: the `rename` or `settle` afterwards does. Raises the OSError with which the disk refused some
    of it: the kernel tells that once, and would not tell it to them.
    """
    finished = threading.Event()
    refused: list[OSError] = []

    def keep_at_it() -> None:
        descriptor = os.open(path, _FLAGS)
        try:
            while not finished.wait(_PAUSE):
                getattr(os, "fdatasync", os.fsync)(descriptor)  # neither macOS nor Windows has the first
        except OSError as error:
            refused.append(error)
        finally:
            os.close(descriptor)

    helper = threading.Thread(target=keep_at_it)
    helper.start()
    try:
        yield
    finally:
        finished.set()
        helper.join()
    if refused:
        raise refused[0]


def settle(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, to the disk."""
    if _WINDOWS and path.is_dir():
        return
    descriptor = os.open(path, _FLAGS)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle_all(folder: Path) -> None:
    """Bring all files below a folder to the disk, and then their names."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                settle(path)
        settle(Path(place))
