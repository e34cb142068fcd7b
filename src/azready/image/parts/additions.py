"""What the owner puts into an image while it is being prepared: files, ssh keys, and commands of its own.

Files are root's, with the permissions that they have here. Commands run in the image as package scripts do: contained,
without a network, and again whenever the plan is carried out again.
"""

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from azready.errors import Failure, UsageFailure
from azready.image.actions import Action, Chown, MakeFolder, Run, Write
from azready.image.facts.passwd import parse_passwd
from azready.image.targets import Files

_LARGEST = 256 * 1024 * 1024
"""Bytes of all files together: they are held in memory."""


@dataclass(frozen=True)
class Additions:
    """Files and folders with their places, commands of the image's shell, and users with files of public keys."""

    copies: tuple[tuple[Path, str], ...] = ()
    commands: tuple[str, ...] = ()
    keys: tuple[tuple[str, Path], ...] = ()


def parse(copies: Sequence[str], commands: Sequence[str], keys: Sequence[str]) -> Additions:
    """SRC:DST, commands and USER:KEYFILE, as written. Raises UsageFailure for what is not so, or not there."""
    return Additions(
        tuple(_pair("--copy-in", word, "SRC:DST, where DST begins with /", True) for word in copies),
        tuple(commands),
        tuple((user, path) for path, user in (_pair("--ssh-inject", word, "USER:KEYFILE", False) for word in keys)),
    )


def _pair(option: str, word: str, form: str, source_first: bool) -> tuple[Path, str]:
    left, colon, right = word.rpartition(":") if source_first else word.partition(":")
    source, other = (left, right) if source_first else (right, left)
    if not colon or not source or not other or (source_first and not other.startswith("/")):
        raise UsageFailure(f"{option} {word!r} is not of the form", f"write {form}")
    if ".." in other.split("/"):
        raise UsageFailure(f"{option} {word!r} leads through ..", "name the place from the image's root")
    if not Path(source).exists():
        raise UsageFailure(f"{source}: No such file or directory", f"{option} takes what lies on this machine")
    return Path(source), other


def plan_additions(files: Files, wanted: Additions) -> tuple[Action, ...]:
    """Files first, then keys, then commands, which may use both. Raises Failure for a user that there is not."""
    actions: list[Action] = []
    for source, place in wanted.copies:
        actions += _copy(files, source, place)
    size = sum(len(action.data) for action in actions if isinstance(action, Write))
    if size > _LARGEST:
        raise Failure(f"--copy-in is of {size} bytes", f"at most {_LARGEST >> 20} MiB: mount the image, and copy there")
    for user, path in wanted.keys:
        actions += _key(files, user, path)
    for command in wanted.commands:
        actions.append(Run(("sh", "-c", command), title="run in the image", why="--run"))
    return tuple(actions)


def _copy(files: Files, source: Path, place: str) -> Iterator[Action]:
    """A file to a place, or into a folder that is there or is written with / at its end; a folder with all in it."""
    inside = place.strip("/")
    if place.endswith("/") or (inside and files.exists(inside) and files.lstat(inside).kind == "dir"):
        inside = f"{inside}/{source.resolve().name}".strip("/")
    if source.is_dir():
        yield MakeFolder(inside, _mode(source), why="--copy-in")
        for each in sorted(source.rglob("*")):
            where = f"{inside}/{each.relative_to(source)}"
            if each.is_symlink():  # leads to something else there, or, copied, to a secret of this machine
                continue
            if each.is_dir():
                yield MakeFolder(where, _mode(each), why="--copy-in")
            elif each.is_file():
                yield Write(where, each.read_bytes(), _mode(each), 0, 0, "--copy-in")
    else:
        yield Write(inside, source.read_bytes(), _mode(source), 0, 0, "--copy-in")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & 0o755


def _key(files: Files, user: str, path: Path) -> Iterator[Action]:
    listed = parse_passwd(files.read_text("etc/passwd")) if files.exists("etc/passwd") else []
    account = next((each for each in listed if each.name == user), None)
    if account is None:
        raise Failure(f"the image has no user {user}", "give one of its users: --ssh-inject USER:KEYFILE")
    folder = f"{account.home.strip('/')}/.ssh"
    keys = f"{folder}/authorized_keys"
    if any(files.glob(each) and files.lstat(each).kind == "link" for each in (folder, keys)):
        raise Failure(f"/{folder} leads elsewhere: whose keys would these be?", "put the key there by hand")
    old = files.read_text(keys) if files.exists(keys) else ""
    there = old.splitlines()
    new = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and line not in there]
    text = old + ("\n" if old and not old.endswith("\n") else "") + "".join(f"{line}\n" for line in new)
    yield MakeFolder(folder, 0o700, account.uid, account.gid, why="--ssh-inject")
    yield Chown(folder, account.uid, account.gid, why="--ssh-inject")
    yield Write(keys, text.encode(errors="surrogateescape"), 0o600, account.uid, account.gid, "--ssh-inject")
