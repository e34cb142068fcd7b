"""A disk as a target where nothing can be mounted: its file systems are read by our own eyes, never changed.

For machines without root, FUSE or namespaces, as containers of CI are, and for systems other than Linux. The answers
are those of the mounted disk (`disk`), for what can be read so: ext2, ext3, ext4, and the EFI system partition.
"""

import errno
import os
import stat as modes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

from azready.errors import Failure
from azready.image.disk import diskfile
from azready.image.disk.formats import Read, ext, fat
from azready.image.disk.formats.partitions import read_table
from azready.image.targets import READ_LIMIT, Stat
from azready.image.targets.disk import WAYS, cannot_mount, deployment_in, is_root, no_root, no_system, rest
from azready.image.targets.links import located
from azready.image.targets.lookups import Lookups
from azready.image.targets.openat import require_shallow
from azready.image.targets.volumes import Volume, find_volumes, root_candidates
from azready.proc import Completed

_Answer = TypeVar("_Answer")


class FileSystem(Protocol):
    """A file system by paths without links; what is not there is a KeyError, what cannot be read an OSError."""

    def lstat(self, path: str) -> Stat: ...
    def names(self, path: str) -> list[str]: ...
    def head(self, path: str, count: int) -> bytes: ...
    def link(self, path: str) -> str: ...


class _Ext:
    def __init__(self, read: Read, offset: int) -> None:
        self._volume, self._device = ext.Ext(read, offset), offset + 1
        self._known = {"": self._volume.inode(ext.ROOT)}
        self._folders: dict[int, dict[str, int]] = {}
        self._paths = {ext.ROOT: ""}

    def lstat(self, path: str) -> Stat:
        found = self._inode(path)
        try:
            return Stat.of(found.mode, found.uid, found.gid, found.size, found.mtime, self._device)
        except KeyError as error:
            raise ext.damaged(f"inode {found.number}") from error

    def names(self, path: str) -> list[str]:
        return sorted(self._entries(self._inode(path)))

    def head(self, path: str, count: int) -> bytes:
        return self._volume.content(self._inode(path), count)

    def link(self, path: str) -> str:
        return self._volume.link(self._inode(path))

    def _inode(self, path: str) -> ext.Inode:
        if path not in self._known:
            folder, _, name = path.rpartition("/")
            found = self._volume.inode(self._entries(self._inode(folder))[name])
            if modes.S_ISDIR(found.mode) and self._paths.setdefault(found.number, path) != path:
                raise ext.damaged(f"a folder in two places ({path})")
            self._known[path] = found
        return self._known[path]

    def _entries(self, folder: ext.Inode) -> dict[str, int]:
        if folder.number not in self._folders:
            self._folders[folder.number] = self._volume.entries(folder)
        return self._folders[folder.number]


class _Fat:
    """As the kernel shows one: all is root's, and a program."""

    def __init__(self, read: Read, offset: int) -> None:
        volume = fat.volume(read, offset)
        if volume is None:
            raise ext.damaged("no FAT file system")
        self._volume, self._device = volume, offset + 1
        self._known, self._folders = {"": volume.root}, dict[str, dict[str, fat.Entry]]()
        self._places = {volume.root.first: ""}

    def lstat(self, path: str) -> Stat:
        found = self._entry(path)
        return Stat("dir" if found.folder else "file", 0o755, 0, 0, found.size, device=self._device)

    def names(self, path: str) -> list[str]:
        return sorted(each.name for each in self._entries(path.lower()).values())

    def head(self, path: str, count: int) -> bytes:
        return self._volume.content(self._entry(path), count)

    def link(self, path: str) -> str:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def _entry(self, path: str) -> fat.Entry:
        return self._found(path.lower())

    def _found(self, path: str) -> fat.Entry:
        if path not in self._known:
            folder, _, name = path.rpartition("/")
            found = self._entries(folder)[name]
            if found.folder and self._places.setdefault(found.first, path) != path:
                raise ext.damaged(f"a folder in two places ({path})")
            self._known[path] = found
        return self._known[path]

    def _entries(self, path: str) -> dict[str, fat.Entry]:
        if path not in self._folders:
            folder = self._found(path)
            inside = self._volume.entries(folder) if folder.folder else ()
            self._folders[path] = {each.name.lower(): each for each in inside}
        return self._folders[path]


class _Empty:
    """A root of which nothing is known but that an EFI partition is in it."""

    def lstat(self, path: str) -> Stat:
        if path not in ("", "boot", "boot/efi"):
            raise KeyError(path)
        return Stat("dir", 0o755, 0, 0, 0)

    def names(self, path: str) -> list[str]:
        return {"": ["boot"], "boot": ["efi"]}.get(path, [])

    def head(self, path: str, count: int) -> NoReturn:
        raise KeyError(path)

    def link(self, path: str) -> NoReturn:
        raise KeyError(path)


class _Part:
    """A folder of a file system as one of its own."""

    def __init__(self, whole: FileSystem, folder: str) -> None:
        self._whole, self._folder = whole, folder

    def _at(self, path: str) -> str:
        return f"{self._folder}/{path}".strip("/")

    def lstat(self, path: str) -> Stat:
        return self._whole.lstat(self._at(path))

    def names(self, path: str) -> list[str]:
        return self._whole.names(self._at(path))

    def head(self, path: str, count: int) -> bytes:
        return self._whole.head(self._at(path), count)

    def link(self, path: str) -> str:
        return self._whole.link(self._at(path))


class Unmounted(Lookups):
    """File systems joined into one root; `places` are paths without links."""

    def __init__(self, places: dict[str, FileSystem], described: str) -> None:
        self._places = places
        self._described = described

    def attach(self, path: str, system: FileSystem) -> None:
        """Put a file system where a folder is."""
        self._places[self.resolve(path)] = system

    def _where(self, real: str) -> tuple[FileSystem, str]:
        """The file system that a path without links lies in, and the path in it."""
        place = real
        while place not in self._places:
            place = place.rpartition("/")[0]
        return self._places[place], real[len(place) :].strip("/")

    def _lstat(self, real: str) -> Stat:
        system, inside = self._where(real)
        return system.lstat(inside)

    def _located(self, path: str, follow: bool) -> str:
        return located(path, self._kind, self._link, follow)

    def _kind(self, real: str) -> str | None:
        try:
            return self._lstat(real).kind
        except KeyError:
            return None

    def _link(self, real: str) -> str:
        system, inside = self._where(real)
        return system.link(inside)

    # ---- Files

    def read_bytes(self, path: str, limit: int = READ_LIMIT) -> bytes:
        data = self.read_head(path, limit + 1)
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
        return data

    def read_head(self, path: str, size: int) -> bytes:
        kind = self.stat(path).kind
        if kind == "dir":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if kind != "file":
            raise OSError(errno.EINVAL, "not a regular file", path)
        system, inside = self._where(self.resolve(path))
        return _named(path, lambda: system.head(inside, size))

    def stat(self, path: str) -> Stat:
        return _named(path, lambda: self._lstat(self.resolve(path)))

    def lstat(self, path: str) -> Stat:
        return _named(path, lambda: self._lstat(self._located(path, follow=False)))

    def readlink(self, path: str) -> str:
        system, inside = self._where(self._located(path, follow=False))
        return _named(path, lambda: system.link(inside))

    def resolve(self, path: str) -> str:
        return _named(path, lambda: self._located(path, follow=True))

    def listdir(self, path: str) -> list[str]:
        if self.stat(path).kind != "dir":
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        system, inside = self._where(self.resolve(path))
        return _named(path, lambda: system.names(inside))

    def walk(self, path: str) -> Iterator[tuple[str, Stat]]:
        yield from self._walk(self.resolve(path), path.strip("/"), self.stat(path).device, 0)

    def _walk(self, real: str, shown: str, device: int, depth: int) -> Iterator[tuple[str, Stat]]:
        require_shallow(depth, shown)
        for name in self.listdir(real):
            here, below = f"{real}/{name}".strip("/"), f"{shown}/{name}".strip("/")
            found = self.lstat(here)
            yield below, found
            if found.kind == "dir" and found.device == device:
                yield from self._walk(here, below, device, depth + 1)

    # ---- Target

    @property
    def live(self) -> bool:
        return False

    def describe(self) -> str:
        return self._described

    def free_space(self) -> int:
        return 0

    def refusal(self) -> str:
        return f"nothing can be mounted here ({cannot_mount()}), so a disk is only read"

    def close(self) -> None:
        pass

    def _refuse(self, path: str, *_: object, **__: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    write_atomic = remove = truncate = chmod = chown = symlink = mkdir = _refuse

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
        check: bool = True,
        network: bool = False,
    ) -> Completed:
        raise Failure(self.refusal(), WAYS)


def _named(path: str, ask: Callable[[], _Answer]) -> _Answer:
    """What is asked; the path in every error."""
    try:
        return ask()
    except KeyError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
    except OSError as error:
        raise type(error)(error.errno, error.strerror, path) from error


@contextmanager
def open_unmounted(path: Path, shown: Path | None = None, without_root: bool = False) -> Iterator[Unmounted]:
    """Read a disk file for the length of a `with`, as `disk.open_disk` mounts one; raises what that raises."""
    name = shown or path
    disk = diskfile.inspect(path)
    with diskfile.reading(disk) as read:
        volumes = find_volumes(read, disk.size)
        if not volumes and read_table(read, disk.size).scheme == "none":
            raise no_system(name)
        root: dict[str, FileSystem] = {"": _Empty()} if without_root else _root(read, name, volumes)
        target = Unmounted(root, f"the disk {name}")
        for mounting in rest(target, volumes):
            target.attach(mounting.path, _file_system(read, mounting.volume))
        yield target


def _root(read: Read, path: Path, volumes: tuple[Volume, ...]) -> dict[str, FileSystem]:
    problems = [f"{next(iter(each.names))} is in pieces" for each in volumes if each.kind == "scattered"]
    for volume in root_candidates(volumes):
        try:
            system = _file_system(read, volume)
            tree = Unmounted({"": system}, "")
            if is_root(tree, volumes):
                return {"": system}
            if deployed := deployment_in(tree):
                return _deployment(system, deployed)
        except OSError as error:
            problems.append(f"its {volume.kind}: {error.strerror}")
        except Failure as failure:
            problems.append(failure.message)
    raise no_root(path, volumes, problems, f"Nothing can be mounted here ({cannot_mount()}): {WAYS}. ")


def _deployment(system: FileSystem, folder: str) -> dict[str, FileSystem]:
    """As ostree's first boot arranges it."""
    state = folder.rpartition("/deploy/")[0]  # ostree/deploy/NAME/deploy/CHECKSUM.0
    places = {"": folder, "boot": "boot", "var": f"{state}/var"}
    return {place: _Part(system, inside) for place, inside in places.items()} | {"sysroot": system}


def _file_system(read: Read, volume: Volume) -> FileSystem:
    """Raises Failure for one that has to be mounted, OSError for a damaged one."""
    if volume.kind == "vfat":
        return _Fat(read, volume.start)
    if volume.kind in ("ext2", "ext3", "ext4"):
        return _Ext(read, volume.start)
    raise Failure(f"its {volume.kind} cannot be read without mounting it", WAYS)
