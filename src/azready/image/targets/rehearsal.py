"""A target on which a plan can be tried: what is written stays in memory, above an image that is only read.

Programs of the image are not run, so what they would do is not seen. Everything else is as `apply` leaves it, links
followed inside the root; the rules then look at it as they look at any image.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import time

from azready.image.targets import READ_LIMIT, Files, Stat, is_absence
from azready.image.targets.links import located
from azready.image.targets.lookups import Lookups
from azready.image.targets.openat import parts_of, require_shallow
from azready.proc import Completed

_REMEMBERED = 1 << 18
"""Bytes of a file that is kept once it was read: a plan looks many times, and the image may be far away."""


@dataclass(frozen=True)
class _Node:
    """What stands at a path now: a file's `data` (None: not read from the image below yet) or a link's text."""

    stat: Stat
    data: bytes | None = None
    link: str = ""
    below: bool = False
    """Whether it is (or, with another owner or mode, was) the image's own."""


class Rehearsal(Lookups):
    """A `Target` above `base`, which is never changed."""

    def __init__(self, base: Files, live: bool = False) -> None:
        self._base = base
        self._live = live
        self._changed: dict[str, _Node | None] = {}
        self._below: dict[str, _Node | None] = {}
        self._names: dict[str, list[str]] = {}

    # ---- Files

    def read_bytes(self, path: str, limit: int = READ_LIMIT) -> bytes:
        where, data = self._content(path)
        if data is None:
            return self._base.read_bytes(where, limit)
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
        return data

    def read_head(self, path: str, size: int) -> bytes:
        where, data = self._content(path)
        return self._base.read_head(where, size) if data is None else data[:size]

    def stat(self, path: str) -> Stat:
        return self._require(self.resolve(path), path).stat

    def lstat(self, path: str) -> Stat:
        return self._require(self._resolve(path, follow=False), path).stat

    def readlink(self, path: str) -> str:
        found = self._require(self._resolve(path, follow=False), path)
        if found.stat.kind != "link":
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        return found.link

    def resolve(self, path: str) -> str:
        return self._resolve(path, follow=True)

    def listdir(self, path: str) -> list[str]:
        where = self.resolve(path)
        found = self._require(where, path)
        if found.stat.kind != "dir":
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        names = set(self._names_below(where)) if self._is_below(where) else set()
        prefix = f"{where}/" if where else ""
        for each, node in self._changed.items():
            folder, _, name = each.rpartition("/")
            if folder == where and each.startswith(prefix):
                names.add(name) if node else names.discard(name)
        return sorted(names)

    def _names_below(self, where: str) -> list[str]:
        if where not in self._names:
            self._names[where] = self._base.listdir(where)
        return self._names[where]

    def walk(self, path: str, depth: int = 0) -> Iterator[tuple[str, Stat]]:
        require_shallow(depth, path)
        where = path.strip("/")
        device = self.stat(where).device
        for name in self.listdir(where):
            below = f"{where}/{name}" if where else name
            found = self.lstat(below)
            yield below, found
            if found.kind == "dir" and found.device == device:
                yield from self.walk(below, depth + 1)

    def _content(self, path: str) -> tuple[str, bytes | None]:
        where = self.resolve(path)
        found = self._require(where, path)
        if found.stat.kind == "dir":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if found.data is None and found.stat.kind == "file" and found.stat.size <= _REMEMBERED:
            found = replace(found, data=self._base.read_bytes(where))
            (self._changed if where in self._changed else self._below)[where] = found
        return where, found.data

    def _require(self, where: str, path: str) -> _Node:
        found = self._node(where)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return found

    def _node(self, where: str) -> _Node | None:
        """What stands at a path without links; None for nothing."""
        if where in self._changed:
            return self._changed[where]
        return self._from_below(where) if self._is_below(where) else None

    def _is_below(self, where: str) -> bool:
        """Whether the image below is seen at this path: neither it nor a folder above it was removed or made anew."""
        while where:
            if where in self._changed:
                node = self._changed[where]
                return node is not None and node.below
            where = where.rpartition("/")[0]
        return True

    def _from_below(self, where: str) -> _Node | None:
        if where not in self._below:
            try:
                found = self._base.lstat(where)
                link = self._base.readlink(where) if found.kind == "link" else ""
                self._below[where] = _Node(found, None, link, below=True)
            except OSError as error:
                if not is_absence(error):
                    raise
                self._below[where] = None
        return self._below[where]

    def _resolve(self, path: str, follow: bool) -> str:
        return located(path, self._kind, lambda here: self._require(here, path).link, follow)

    def _kind(self, where: str) -> str | None:
        found = self._node(where)
        return found.stat.kind if found else None

    # ---- Target

    @property
    def live(self) -> bool:
        return self._live

    def describe(self) -> str:
        return "a rehearsal"

    def free_space(self) -> int:
        return 1 << 60

    def refusal(self) -> str:
        return ""

    def write_atomic(self, path: str, data: bytes, mode: int, uid: int = 0, gid: int = 0) -> None:
        self._put(path, "file", mode, uid, gid, data=data)

    def symlink(self, path: str, to: str) -> None:
        self._put(path, "link", 0o777, 0, 0, link=to)

    def mkdir(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        parts = parts_of(path)
        for count in range(1, len(parts) + 1):
            each = "/".join(parts[:count])
            if not self._lexists(each):
                self._put(each, "dir", mode if count == len(parts) else 0o755, uid, gid)

    def _put(self, path: str, kind: str, mode: int, uid: int, gid: int, *, data: bytes = b"", link: str = "") -> None:
        folder, _, name = path.strip("/").rpartition("/")
        above = self.resolve(folder)
        device = self._require(above, path).stat.device
        stat = Stat(kind, mode, uid, gid, len(data), time(), device)  # type: ignore[arg-type]
        self._forget_below(f"{above}/{name}" if above else name)
        self._changed[f"{above}/{name}" if above else name] = _Node(stat, data, link)

    def remove(self, path: str) -> None:
        where = self._resolve(path, follow=False)
        self._require(where, path)
        self._forget_below(where)
        self._changed[where] = None

    def _forget_below(self, where: str) -> None:
        for each in [each for each in self._changed if each.startswith(f"{where}/")]:
            del self._changed[each]

    def truncate(self, path: str) -> None:
        where = self.resolve(path)
        found = self._require(where, path)
        self._changed[where] = replace(found, stat=replace(found.stat, size=0), data=b"")

    def chmod(self, path: str, mode: int) -> None:
        where = self._resolve(path, follow=False)
        found = self._require(where, path)
        self._changed[where] = replace(found, stat=replace(found.stat, mode=mode))

    def chown(self, path: str, uid: int, gid: int) -> None:
        where = self._resolve(path, follow=False)
        found = self._require(where, path)
        self._changed[where] = replace(found, stat=replace(found.stat, uid=uid, gid=gid))

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
        check: bool = True,
        network: bool = False,
    ) -> Completed:
        """Nothing is run here."""
        return Completed(tuple(argv), 0, "", "")

    def close(self) -> None:
        """Nothing is open; the image below belongs to who opened it."""
