"""An image's files in memory, so that a reader may see a hundred thousand images."""

import errno
import os
from collections.abc import Iterator, Mapping

from azready.image.targets import READ_LIMIT, Stat
from azready.image.targets.lookups import Lookups
from azready.image.targets.openat import parts_of

_MOST_LINKS = 40


class Memory(Lookups):
    """Regular files by path, symbolic links by what they say; folders are where something lies."""

    def __init__(self, files: Mapping[str, bytes], links: Mapping[str, str]) -> None:
        self.files, self.links = dict(files), dict(links)
        self.folders: dict[str, list[str]] = {"": []}
        for path in (*files, *links):
            while path and (parent := path.rpartition("/")[0]) is not None:
                names = self.folders.setdefault(parent, [])
                if path.rpartition("/")[2] in names:
                    break
                names.append(path.rpartition("/")[2])
                path = parent
        for names in self.folders.values():
            names.sort()

    def resolve(self, path: str, last: bool = True) -> str:
        waiting, done, followed = parts_of(path)[::-1], [""], 0
        while waiting:
            name = waiting.pop()
            if name in ("", "."):
                continue
            if name == "..":
                done = done[:-1] or [""]
                continue
            here = "/".join([*done[1:], name])
            if here in self.links and (last or any(waiting)):
                followed += 1
                if followed > _MOST_LINKS:
                    raise _error(errno.ELOOP, path)
                to = self.links[here]
                done = [""] if to.startswith("/") else done
                waiting += to.split("/")[::-1]
            else:
                if any(waiting) and here in self.files:
                    raise _error(errno.ENOTDIR, path)
                done.append(name)
        return "/".join(done[1:])

    def read_bytes(self, path: str, limit: int = READ_LIMIT) -> bytes:
        real = self.resolve(path)
        if real in self.folders:
            raise _error(errno.EISDIR, path)
        if real not in self.files:
            raise _error(errno.ENOENT, path)
        return self.files[real]

    def read_head(self, path: str, size: int) -> bytes:
        return self.read_bytes(path)[:size]

    def stat(self, path: str) -> Stat:
        return self._stat(self.resolve(path))

    def lstat(self, path: str) -> Stat:
        return self._stat(self.resolve(path, last=False))

    def _stat(self, real: str) -> Stat:
        if real in self.links:
            return Stat("link", 0o777, 0, 0, len(self.links[real]))
        if real in self.files:
            return Stat("file", 0o644, 0, 0, len(self.files[real]))
        if real in self.folders:
            return Stat("dir", 0o755, 0, 0, 0)
        raise _error(errno.ENOENT, real)

    def readlink(self, path: str) -> str:
        real = self.resolve(path, last=False)
        if real not in self.links:
            raise _error(errno.EINVAL, path)
        return self.links[real]

    def listdir(self, path: str) -> list[str]:
        real = self.resolve(path)
        if real not in self.folders:
            raise _error(errno.ENOTDIR if real in self.files else errno.ENOENT, path)
        return [*self.folders[real]]

    def walk(self, path: str) -> Iterator[tuple[str, Stat]]:
        for name in self.listdir(path):
            below = f"{path}/{name}".lstrip("/")
            yield below, (stat := self.lstat(below))
            if stat.kind == "dir":
                yield from self.walk(below)


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
