"""What a package manager is: its database, and how packages go and come."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


class Reader(Protocol):
    """The part of a target's files that databases are read from; paths are relative to the root."""

    def exists(self, path: str) -> bool: ...

    def read_bytes(self, path: str) -> bytes: ...

    def listdir(self, path: str) -> list[str]: ...


@dataclass(frozen=True)
class Database:
    """Where a manager keeps its database, and the function that reads it."""

    path: str
    read: Callable[[Reader, str], Mapping[str, str]]
    remains: Callable[[Reader, str], tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Installer:
    """A program that installs packages: the words before their names or paths, and what brings its lists up to date."""

    program: str
    install: tuple[str, ...]
    refresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manager:
    """A package manager: all that is known of it. A new one is a row of `MANAGERS`, and a reader of its database."""

    name: str
    purl: str
    """Its type in a package URL (github.com/package-url/purl-spec)."""
    databases: tuple[Database, ...]
    repositories: str = ""
    """A pattern of the files that name its repositories; empty: not known."""
    remove: tuple[str, ...] = ()
    """The command that removes exactly the packages named behind it; empty: removal.managers plans more than that."""
    hint: str = "remove first what depends on them"
    """What to do when that fails."""
    suffix: str = ""
    """How the name of its package files ends; empty: azready installs no packages with it."""
    install_files: tuple[Installer, ...] = ()
    """What installs package files, offline; of several the first that the image has, else the last."""
    installers: tuple[Installer, ...] = ()
    """What installs by name from its repositories; of several the first that the image has."""
    starts_services: bool = False
    """Whether its packages start their services as they are installed, unless policy-rc.d says no."""
