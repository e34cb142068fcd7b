"""Walking paths inside a root with descriptors only, so that no link of an image can lead out of it.

The kernel's openat2(RESOLVE_IN_ROOT) does the same, but needs Linux 5.6 and has no wrapper in Python; the walk below
needs only openat. A component that is swapped for a link between look and open makes an error, never an escape:
every open has O_NOFOLLOW.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_MOST_NESTED = 256
_MOST_SHOWN = 100
_LONGEST = 4096
_MOST_LINKS = 40
"""As Linux itself: a longer chain is a loop."""


@dataclass(frozen=True)
class Place:
    """Where a path led: the open folder that holds it, its name in there (`.`: the root), the path without links."""

    folder: int
    name: str
    path: str


def parts_of(path: str) -> list[str]:
    """The components of a path, without the empty ones and `.`. OSError for one that is longer than Linux takes."""
    if len(path) > _LONGEST:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path[:_MOST_SHOWN])
    if "\0" in path:
        raise OSError(errno.EINVAL, "the path holds a zero byte", path)
    return [part for part in path.split("/") if part not in ("", ".")]


@contextmanager
def located(root: int, path: str, follow: bool) -> Iterator[Place]:
    """Find `path` from the open folder `root`; with `follow`, a link at its end is followed too.

    The last component need not exist. Raises OSError with `path` for anything else that is missing or refused.
    """
    fds = [root]
    try:
        name, trail = _descend(fds, path, follow)
        yield Place(fds[-1], name, "/".join([*trail, name] if name != "." else trail))
    except OSError as error:
        raise type(error)(error.errno, error.strerror, path) from error
    finally:
        for fd in fds[1:]:
            os.close(fd)


def _descend(fds: list[int], path: str, follow: bool) -> tuple[str, list[str]]:
    """Open the folders on the way (appended to `fds`); return the last name and the names of the folders."""
    pending = deque(parts_of(path))
    trail: list[str] = []
    links = 0
    while pending:
        name = pending.popleft()
        if name == "..":
            if trail:
                trail.pop()
                os.close(fds.pop())
            continue
        last = not pending
        if last and not follow:
            return name, trail
        if not last and (folder := _entered(name, fds[-1])) is not None:
            fds.append(folder)
            trail.append(name)
            continue
        try:
            mode = os.stat(name, dir_fd=fds[-1], follow_symlinks=False).st_mode
        except FileNotFoundError:
            if last:
                return name, trail
            raise
        if stat.S_ISLNK(mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            text = os.readlink(name, dir_fd=fds[-1])
            if text.startswith("/"):
                trail.clear()
                while len(fds) > 1:
                    os.close(fds.pop())
            pending.extendleft(reversed(parts_of(text)))
        elif last:
            return name, trail
        else:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return ".", trail


def _entered(name: str, folder: int) -> int | None:
    """A folder, open; None for anything else that is there, a link for one."""
    try:
        return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except NotADirectoryError:
        return None


def open_file(root: int, path: str) -> int:
    """Open a regular file for reading, links followed inside the root; never blocks, never a device."""
    with located(root, path, follow=True) as place:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        fd = os.open(place.name, flags, dir_fd=place.folder)
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            os.close(fd)
            code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
            raise OSError(code, "not a regular file")
        return fd


def open_folder(root: int, path: str) -> int:
    """Open a folder for listing, links followed inside the root."""
    with located(root, path, follow=True) as place:
        return os.open(place.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.folder)


def require_shallow(depth: int, path: str) -> None:
    """Raises OSError below so many folders: each is held open, and an image may nest them without end."""
    if depth > _MOST_NESTED:
        raise OSError(errno.ELOOP, f"more than {_MOST_NESTED} folders in each other", path[-_MOST_SHOWN:])


def remove_all(folder: int, name: str, device: int, depth: int = 0) -> None:
    """Remove a name and everything below it, without following links and without leaving `device`."""
    require_shallow(depth, name)
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=folder)
        return
    if status.st_dev != device:
        raise OSError(errno.EBUSY, "another file system is mounted there", name)
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        for each in os.listdir(fd):
            remove_all(fd, each, device, depth + 1)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=folder)
