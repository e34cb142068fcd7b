"""What the owner puts into an image while it is being prepared: packages, files, ssh keys, and commands of its own.

It happens in the order in which it was asked for. Files are root's, with the permissions that they have here. Commands
run in the image as package scripts do: contained, without a network, and again whenever the plan is carried out again.
"""

import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from azready.errors import Failure, UsageFailure
from azready.image.actions import Action, AddKeys, MakeFolder, Run, Write
from azready.image.facts import Facts
from azready.image.facts.passwd import parse_passwd
from azready.image.parts import installing
from azready.image.targets import Files

_LARGEST = 256 * 1024 * 1024
"""Bytes of all files together: they are held in memory."""
_NAME = re.compile(r"[A-Za-z0-9@][\w.+:=~/@-]*")
"""A package's name, with a version or release where the manager takes one."""


@dataclass(frozen=True)
class Install:
    """Packages by name, and files of packages on this machine."""

    names: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class CopyIn:
    """A file or folder of this machine, and its place in the image."""

    source: Path
    place: str


@dataclass(frozen=True)
class Command:
    """A command of the image's shell."""

    text: str


@dataclass(frozen=True)
class Keys:
    """A user of the image, and the file of public keys that let them log in."""

    user: str
    file: Path


Addition = Install | CopyIn | Command | Keys


def parse(words: Iterable[tuple[str, str]]) -> tuple[Addition, ...]:
    """Options with their words, as given: --install, --copy-in, --run, --ssh-inject. Packages that are asked for one
    after another are installed at once. Raises UsageFailure for what is not so, or not there."""
    found: list[Addition] = []
    for option, word in words:
        each = _parsed(option, word)
        if isinstance(each, Install) and found and isinstance(last := found[-1], Install):
            names, files = dict.fromkeys(last.names + each.names), dict.fromkeys(last.files + each.files)
            found[-1] = replace(last, names=tuple(names), files=tuple(files))
        else:
            found.append(each)
    return tuple(found)


def _parsed(option: str, word: str) -> Addition:
    match option:
        case "--install":
            return _packages(word)
        case "--copy-in":
            return CopyIn(*_pair(option, word, "SRC:DST, where DST begins with /", True))
        case "--ssh-inject":
            file, user = _pair(option, word, "USER:KEYFILE", False)
            return Keys(user, file)
        case _:
            return Command(word)


def _packages(word: str) -> Install:
    """A file by how it ends, or names with commas between them."""
    if word.endswith(installing.SUFFIXES):
        return Install(files=(_here("--install", word),))
    names = tuple(word.split(","))
    for name in names:
        if not _NAME.fullmatch(name):
            kinds = ", ".join(installing.SUFFIXES)
            raise UsageFailure(f"--install {word!r}: {name!r} is no package's name", f"give names, or files: {kinds}")
    return Install(names)


def _pair(option: str, word: str, form: str, source_first: bool) -> tuple[Path, str]:
    left, colon, right = word.rpartition(":") if source_first else word.partition(":")
    source, other = (left, right) if source_first else (right, left)
    if not colon or not source or not other or (source_first and not other.startswith("/")):
        raise UsageFailure(f"{option} {word!r} is not of the form", f"write {form}")
    if ".." in other.split("/"):
        raise UsageFailure(f"{option} {word!r} leads through ..", "name the place from the image's root")
    return _here(option, source), other


def _here(option: str, name: str) -> Path:
    path = Path(name)
    if not path.exists():
        raise UsageFailure(f"{name}: No such file or directory", f"{option} takes what lies on this machine")
    if option != "--copy-in" and not path.is_file():
        raise UsageFailure(f"{name} is not a file", f"{option} takes a file")
    return path


def described(wanted: Sequence[Addition]) -> Iterator[str]:
    """A line for each, as it was asked for."""
    for each in wanted:
        match each:
            case Install(names, files):
                yield f"install {', '.join((*names, *map(str, files)))}"
            case CopyIn(source, place):
                yield f"copy {source} to {place}"
            case Keys(user, file):
                yield f"let the keys of {file} log in as {user}"
            case Command(text):
                yield f"run in the image: {text}"


def sources(wanted: Sequence[Addition]) -> tuple[tuple[str, int, int], ...]:
    """Every file of this machine that goes in, with its time and size: where one is another, so is the image."""
    paths: list[Path] = []
    for each in wanted:
        match each:
            case Install(_, files):
                paths += files
            case CopyIn(source, _):
                paths += [source, *(sorted(source.rglob("*")) if source.is_dir() else ())]
            case Keys(_, file):
                paths.append(file)
            case _:
                pass
    return tuple((str(path), (status := path.lstat()).st_mtime_ns, status.st_size) for path in paths)


def plan_additions(facts: Facts, wanted: Sequence[Addition]) -> tuple[Action, ...]:
    """In their order. Raises Failure for what this image cannot take: a user or a package manager that there is not."""
    actions: list[Action] = []
    for each in wanted:
        match each:
            case Install(names, files):
                actions += installing.plan_install(facts, names, files)
            case CopyIn(source, place):
                actions += _copy(facts.files, source, place)
            case Keys(user, file):
                actions.append(_keys(facts.files, user, file, sure=not _runs_something(actions)))
            case Command(text):
                actions.append(Run(("sh", "-c", text), title="run in the image", why="--run"))
    size = sum(len(action.data) for action in actions if isinstance(action, Write))
    if size > _LARGEST:
        raise Failure(
            f"the files to put in are {size} bytes", f"at most {_LARGEST >> 20} MiB: mount it, and copy there"
        )
    return tuple(actions)


def _runs_something(actions: Sequence[Action]) -> bool:
    """Whether a program of the image runs before, which may make users."""
    return any(isinstance(action, Run) for action in actions)


def _copy(files: Files, source: Path, place: str) -> Iterator[Action]:
    """A file to a place, or into a folder that is there or is written with / at its end; a folder with all in it."""
    inside, into = place.strip("/"), source.resolve().name
    if place.endswith("/") or (inside and files.exists(inside) and files.stat(inside).kind == "dir"):
        inside, into = f"{inside}/{into}".strip("/"), ""
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
        yield Write(inside, source.read_bytes(), _mode(source), 0, 0, "--copy-in", into)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & 0o755


def _keys(files: Files, user: str, file: Path, sure: bool) -> AddKeys:
    """Raises Failure for a user that there is not, where it is `sure` that nothing makes one before."""
    listed = parse_passwd(files.read_text("etc/passwd")) if files.exists("etc/passwd") else []
    if sure and all(each.name != user for each in listed):
        raise Failure(f"the image has no user {user}", "give one of its users: --ssh-inject USER:KEYFILE")
    lines = tuple(line for line in file.read_text("utf-8", "replace").splitlines() if line.strip())
    keys = [line for line in lines if not line.lstrip().startswith("#")]
    if not keys or not all(any(word.startswith("AAAA") for word in line.split()) for line in keys):
        raise Failure(
            f"{file} holds no public key, or something else",
            "give a file of lines as `ssh-ed25519 AAAA… NAME`: ssh-keygen's that ends with .pub",
        )
    return AddKeys(user, lines, "--ssh-inject")
