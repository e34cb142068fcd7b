"""A directory as a target: a root tree, a mounted disk, or `/` itself."""

import errno
import os
import stat as modes
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

from azready.image.targets import READ_LIMIT, Stat, image_programs, openat
from azready.image.targets.lookups import Lookups
from azready.proc import Completed

_CHUNK = 1 << 20


def _stat_of(status: os.stat_result) -> Stat:
    return Stat.of(status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime, status.st_dev)


class Tree(Lookups):
    """A root tree reached by descriptors. Raises OSError when `root` is not a folder that may be entered."""

    def __init__(self, root: Path, *, described: str = "") -> None:
        self.root = root
        self._described = described
        self._fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._closed = weakref.finalize(self, os.close, self._fd)
        here, top = os.stat(".", dir_fd=self._fd), os.stat("/")
        self._live = (here.st_dev, here.st_ino) == (top.st_dev, top.st_ino)

    # ---- Files

    def read_bytes(self, path: str, limit: int = READ_LIMIT) -> bytes:
        data = self.read_head(path, limit + 1)
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
        return data

    def read_head(self, path: str, size: int) -> bytes:
        fd = openat.open_file(self._fd, path)
        try:
            pieces, most = [], max(_CHUNK, os.fstat(fd).st_size)  # what is there at once; /proc says that it is empty
            while size > 0 and (piece := os.read(fd, min(size, most))):
                pieces.append(piece)
                size -= len(piece)
            return b"".join(pieces)
        finally:
            os.close(fd)

    def stat(self, path: str) -> Stat:
        return self._look(path, follow=True)

    def lstat(self, path: str) -> Stat:
        return self._look(path, follow=False)

    def _look(self, path: str, follow: bool) -> Stat:
        with openat.located(self._fd, path, follow) as place:
            return _stat_of(os.stat(place.name, dir_fd=place.folder, follow_symlinks=False))

    def readlink(self, path: str) -> str:
        with openat.located(self._fd, path, follow=False) as place:
            return os.readlink(place.name, dir_fd=place.folder)

    def resolve(self, path: str) -> str:
        with openat.located(self._fd, path, follow=True) as place:
            return place.path

    def listdir(self, path: str) -> list[str]:
        fd = openat.open_folder(self._fd, path)
        try:
            return sorted(os.listdir(fd))
        finally:
            os.close(fd)

    def walk(self, path: str) -> Iterator[tuple[str, Stat]]:
        fd = openat.open_folder(self._fd, path)
        try:
            yield from self._walk(fd, path.strip("/"), os.fstat(fd).st_dev)
        finally:
            os.close(fd)

    def _walk(self, folder: int, path: str, device: int, depth: int = 0) -> Iterator[tuple[str, Stat]]:
        openat.require_shallow(depth, path)
        for name in sorted(os.listdir(folder)):
            below = f"{path}/{name}" if path else name
            try:
                found = _stat_of(os.stat(name, dir_fd=folder, follow_symlinks=False))
            except FileNotFoundError:
                continue  # a live system: it went away meanwhile
            yield below, found
            if found.kind != "dir" or found.device != device:
                continue
            try:
                fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise type(error)(error.errno, error.strerror, below) from error
            try:
                yield from self._walk(fd, below, device, depth + 1)
            finally:
                os.close(fd)

    # ---- Target

    @property
    def live(self) -> bool:
        return self._live

    def describe(self) -> str:
        return self._described or ("this machine" if self._live else f"the tree {self.root}")

    def free_space(self) -> int:
        space = os.statvfs(self.root)
        return space.f_bfree * space.f_frsize

    def refusal(self) -> str:
        if os.geteuid() != 0:
            return "changing it needs root"
        for folder in ("", "usr", "etc"):
            path = self.root / folder
            if path.is_dir() and not path.is_symlink() and os.statvfs(path).f_flag & os.ST_RDONLY:
                return f"its /{folder} cannot be written to (mounted read-only, or of a kind that nobody changes)"
        return ""

    def write_atomic(self, path: str, data: bytes, mode: int, uid: int = 0, gid: int = 0) -> None:
        with openat.located(self._fd, path, follow=False) as place:
            # One name for every attempt: a run that was killed here leaves nothing that the next one does not replace.
            temporary = f".{place.name}.azready"
            _unlink_if_there(place.folder, temporary)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0, dir_fd=place.folder)
            try:
                _fill(fd, data, mode, uid, gid)
                self._keep_attributes(place, fd)
                os.fsync(fd)
                _refuse_folder(place)
                os.rename(temporary, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
            except BaseException:
                _unlink_if_there(place.folder, temporary)
                raise
            finally:
                os.close(fd)
            _sync(place.folder)

    def _keep_attributes(self, place: openat.Place, fd: int) -> None:
        try:
            old = openat.open_file(self._fd, place.path)
        except OSError:
            return
        try:
            for name in os.listxattr(old):
                os.setxattr(fd, name, os.getxattr(old, name))
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
        finally:
            os.close(old)

    def remove(self, path: str) -> None:
        with openat.located(self._fd, path, follow=False) as place:
            openat.remove_all(place.folder, place.name, os.fstat(place.folder).st_dev)

    def truncate(self, path: str) -> None:
        with openat.located(self._fd, path, follow=True) as place:
            flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(place.name, flags, dir_fd=place.folder)
            try:
                os.ftruncate(fd, 0)
            finally:
                os.close(fd)

    def chmod(self, path: str, mode: int) -> None:
        with openat.located(self._fd, path, follow=False) as place:
            fd = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.folder)
            try:
                if modes.S_ISLNK(os.fstat(fd).st_mode):
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                os.chmod(f"/proc/self/fd/{fd}", mode)  # what is open, whatever has its name by now
            finally:
                os.close(fd)

    def chown(self, path: str, uid: int, gid: int) -> None:
        with openat.located(self._fd, path, follow=False) as place:
            os.chown(place.name, uid, gid, dir_fd=place.folder, follow_symlinks=False)

    def symlink(self, path: str, to: str) -> None:
        with openat.located(self._fd, path, follow=False) as place:
            temporary = f".{place.name}.azready"
            _unlink_if_there(place.folder, temporary)
            os.symlink(to, temporary, dir_fd=place.folder)
            os.chown(temporary, 0, 0, dir_fd=place.folder, follow_symlinks=False)
            os.rename(temporary, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
            _sync(place.folder)

    def mkdir(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        parts = openat.parts_of(path)
        for depth in range(1, len(parts) + 1):
            last = depth == len(parts)
            self._make_folder("/".join(parts[:depth]), *((mode, uid, gid) if last else (0o755, 0, 0)))

    def _make_folder(self, path: str, mode: int, uid: int, gid: int) -> None:
        with openat.located(self._fd, path, follow=True) as place:
            if place.name == ".":
                return
            try:
                os.mkdir(place.name, 0o700, dir_fd=place.folder)
            except FileExistsError:
                if not modes.S_ISDIR(os.stat(place.name, dir_fd=place.folder, follow_symlinks=False).st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
                return
            fd = os.open(place.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.folder)
            try:
                os.fchown(fd, uid, gid)
                os.fchmod(fd, mode)
            finally:
                os.close(fd)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
        check: bool = True,
        network: bool = False,
    ) -> Completed:
        if self._live:
            return image_programs.run_here(argv, stdin=stdin, env=env, check=check)
        return image_programs.run_in(self.root, self._fd, argv, stdin=stdin, env=env, check=check, network=network)

    def close(self) -> None:
        self._closed()
        self._fd = -1

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _fill(fd: int, data: bytes, mode: int, uid: int, gid: int) -> None:
    """Owner and mode before content: a secret is never readable by others, not even for a moment."""
    os.fchown(fd, uid, gid)
    os.fchmod(fd, mode)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _refuse_folder(place: openat.Place) -> None:
    try:
        status = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if modes.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _unlink_if_there(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass


def _sync(folder: int) -> None:
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
