"""What azready does to an image, as values: they can be printed, compared, and tested without an image.

Planning makes them, `apply` alone carries them out. Carrying one out twice does no harm. `describe` is one line for a
person and never holds the content of a file: it may be secret.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Remove:
    """Remove a file, a link or a whole folder; nothing when it is not there."""

    path: str
    why: str = ""

    def describe(self) -> str:
        return f"remove {_shown(self.path)}"


@dataclass(frozen=True)
class RemoveContent:
    """Remove everything in a folder and keep the folder, its owner and its mode."""

    path: str
    why: str = ""

    def describe(self) -> str:
        return f"empty the folder {_shown(self.path)}"


@dataclass(frozen=True)
class Truncate:
    """Empty a file and keep it, its owner and its mode: a log that its writer expects to find."""

    path: str
    why: str = ""

    def describe(self) -> str:
        return f"empty {_shown(self.path)}"


@dataclass(frozen=True)
class Write:
    """Put a file there. `mode`, `uid` and `gid` of None keep those of the file that is there (new: 0644, root).

    `into` is the name that it takes below the path, where that is a folder by then: an action before may make it.
    """

    path: str
    data: bytes = field(repr=False)
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    why: str = ""
    into: str = ""

    def describe(self) -> str:
        mode = "" if self.mode is None else f", mode {self.mode:04o}"
        return f"write {_shown(self.path)} ({len(self.data)} bytes{mode})"


@dataclass(frozen=True)
class MakeFolder:
    """Make a folder, and the missing ones above it; nothing when it is there."""

    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    why: str = ""

    def describe(self) -> str:
        return f"make the folder {_shown(self.path)}, mode {self.mode:04o}"


@dataclass(frozen=True)
class Link:
    """Put a symbolic link there: to enable a unit, or with `/dev/null` to mask one."""

    path: str
    to: str
    why: str = ""

    def describe(self) -> str:
        return f"link {_shown(self.path)} → {self.to}"


@dataclass(frozen=True)
class Chmod:
    """Set permission bits."""

    path: str
    mode: int
    why: str = ""

    def describe(self) -> str:
        return f"set the mode of {_shown(self.path)} to {self.mode:04o}"


@dataclass(frozen=True)
class Chown:
    """Set owner and group, by number."""

    path: str
    uid: int
    gid: int
    why: str = ""

    def describe(self) -> str:
        return f"give {_shown(self.path)} to {self.uid}:{self.gid}"


@dataclass(frozen=True)
class RemoveUser:
    """Remove an account: passwd, shadow, its groups, subordinate ids, mail, crontab; and its home when `home`."""

    name: str
    home: bool = True
    why: str = ""

    def describe(self) -> str:
        return f"remove the user {self.name}" + (" and its home" if self.home else "")


@dataclass(frozen=True)
class AddKeys:
    """Let these public keys log in as a user of the image, beside those that do already."""

    user: str
    keys: tuple[str, ...]
    why: str = ""

    def describe(self) -> str:
        return f"let {len(self.keys)} key{'s' if len(self.keys) != 1 else ''} log in as {self.user}"


@dataclass(frozen=True)
class Run:
    """Run a program of the image inside its root. `env` and `argv` are shown: no secrets in them.

    `title` is what a person reads; `hint` what to do when it fails; `needed` of False lets it fail with a warning;
    `network` gives it a way to the web (`targets.web_proxy`), where the root is not a running system's.
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    title: str = ""
    hint: str = ""
    needed: bool = True
    why: str = ""
    network: bool = False

    def describe(self) -> str:
        return f"{self.title}: {shlex.join(self.argv)}" if self.title else f"run {shlex.join(self.argv)}"


Action = Remove | RemoveContent | Truncate | Write | MakeFolder | Link | Chmod | Chown | RemoveUser | AddKeys | Run

Plan = Sequence[Action]


def _shown(path: str) -> str:
    """As users know it: from the root, and with what a hostile file name holds made visible."""
    text = "/" + path.strip("/")
    return text if text.isprintable() else ascii(text)[1:-1]
