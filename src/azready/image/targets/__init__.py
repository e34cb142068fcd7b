"""What an image is reached through: `Files` to read one, `Target` to change one.

Paths are relative to the image's root and written with `/` (a leading one is ignored): `etc/os-release`.
Every component is resolved inside that root, symbolic links included, so that an absolute link or a `..` in an image
never leads to the machine that azready runs on. What is missing or refused is an `OSError` that carries the path
inside the image, exactly as `open` would raise it: FileNotFoundError, PermissionError, NotADirectoryError.

Three kinds keep these protocols: `tree.Tree` (a directory, `/` among them), `ssh.Ssh`, and a disk file, which
`disk` mounts and hands out as a `Tree`. `spec.open_target` turns what the user typed into one of them.
"""

import errno
import stat as modes
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from azready.proc import Completed

Kind = Literal["file", "dir", "link", "fifo", "socket", "block", "char"]

READ_LIMIT = 64 * 1024 * 1024
"""Bytes that `read_bytes` reads at most unless told otherwise: package databases fit, a swap file does not."""

_KINDS: dict[int, Kind] = {
    modes.S_IFREG: "file",
    modes.S_IFDIR: "dir",
    modes.S_IFLNK: "link",
    modes.S_IFIFO: "fifo",
    modes.S_IFSOCK: "socket",
    modes.S_IFBLK: "block",
    modes.S_IFCHR: "char",
}


_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def is_absence(error: OSError) -> bool:
    """Whether it says that nothing is at a path: no name, no folder on the way, links in a circle, a name that is too
    long for a file system. What is there and cannot be read (EACCES, EIO, EUCLEAN …) is another matter."""
    return error.errno in _NOWHERE


@dataclass(frozen=True)
class Stat:
    """What is known about a file without reading it. `mode` holds the permission bits only; `size` is in bytes;
    `mtime` in seconds since the epoch; `device` tells file systems apart."""

    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    mtime: float = 0.0
    device: int = 0

    @classmethod
    def of(cls, st_mode: int, uid: int, gid: int, size: int, mtime: float = 0.0, device: int = 0) -> "Stat":
        """From the numbers of stat(2): `st_mode` holds type and permission bits."""
        return cls(_KINDS[modes.S_IFMT(st_mode)], modes.S_IMODE(st_mode), uid, gid, size, mtime, device)


class Files(Protocol):
    """A root file system that is only looked at."""

    def read_bytes(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """The whole content of a regular file; OSError (EFBIG) when it holds more than `limit` bytes."""
        ...

    def read_head(self, path: str, size: int) -> bytes:
        """The first `size` bytes of a regular file, or fewer when it is shorter."""
        ...

    def read_text(self, path: str, limit: int = READ_LIMIT) -> str:
        """The content as UTF-8; bytes that are not UTF-8 survive as surrogates (they can be written back)."""
        ...

    def exists(self, path: str) -> bool:
        """Whether the path leads to something, through links; False for a link that leads nowhere."""
        ...

    def stat(self, path: str) -> Stat:
        """Of what the path leads to, through links inside the root."""
        ...

    def lstat(self, path: str) -> Stat:
        """Of the last component itself, which may be a link."""
        ...

    def readlink(self, path: str) -> str:
        """The text of a symbolic link; OSError (EINVAL) when it is not one."""
        ...

    def resolve(self, path: str) -> str:
        """The path with every link followed inside the root; the last component need not exist."""
        ...

    def listdir(self, path: str) -> list[str]:
        """The names in a folder, sorted."""
        ...

    def glob(self, pattern: str) -> list[str]:
        """The paths that match, sorted; `*` `?` `[…]` as in a shell (a leading dot must be written), `{a,b}` is either,
        `**` is any depth. A missing folder is no match; a folder that may not be read is an error."""
        ...

    def glob_each(self, patterns: Iterable[str]) -> dict[str, list[str]]:
        """What `glob` finds for each pattern, in one walk: what asks for many asks so."""
        ...

    def walk(self, path: str) -> Iterator[tuple[str, Stat]]:
        """Everything below a folder, parents first, links not followed, other file systems not entered."""
        ...


class Target(Files, Protocol):
    """A root file system that may be changed. Only `apply` calls what changes it."""

    @property
    def live(self) -> bool:
        """True when the root is a running system's own (`/`, or a machine over ssh): its services are running."""
        ...

    def describe(self) -> str:
        """In a user's words: `this machine`, `the tree /srv/tree`, `user@host over ssh`."""
        ...

    def free_space(self) -> int:
        """Bytes that root may still write."""
        ...

    def refusal(self) -> str:
        """Why nothing can be changed here (not root, read-only), or an empty text."""
        ...

    def write_atomic(self, path: str, data: bytes, mode: int, uid: int = 0, gid: int = 0) -> None:
        """Put a regular file there, whole or not at all; a link at `path` is replaced, not followed. The folder must
        exist. Extended attributes of a file that was there (an SELinux label) are kept."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, a link or a whole folder; OSError (EBUSY) when something is mounted inside it."""
        ...

    def truncate(self, path: str) -> None:
        """Empty a regular file, keeping its owner and mode; links are followed inside the root."""
        ...

    def chmod(self, path: str, mode: int) -> None:
        """Set the permission bits; a link is refused (OSError ELOOP)."""
        ...

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Set owner and group of the path itself, not of what a link leads to."""
        ...

    def symlink(self, path: str, to: str) -> None:
        """Put a symbolic link with the text `to` there, replacing a file or link in one step."""
        ...

    def mkdir(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """Make a folder and its missing parents (those 0755, root's); no error when it exists."""
        ...

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
        check: bool = True,
        network: bool = False,
    ) -> Completed:
        """Run a program of the image, as root, inside its root. In a root that is not live nothing that it starts
        outlives the call, and no network is reachable; with `network` the web is, by a proxy."""
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...
