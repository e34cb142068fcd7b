"""Which packages an image has, read from the package manager's own database without running anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from azready.errors import Failure


class BrokenDatabase(Failure):
    """A package database is there but cannot be read; nothing can be said about packages."""


class Reader(Protocol):
    """The part of a target's files that databases are read from; paths are relative to the root."""

    def exists(self, path: str) -> bool: ...

    def read_bytes(self, path: str) -> bytes: ...

    def listdir(self, path: str) -> list[str]: ...


@dataclass(frozen=True)
class Packages:
    """Installed packages: name to version, as `manager` calls them (Gentoo: category/name)."""

    manager: str
    versions: Mapping[str, str]
    remains: tuple[str, ...] = ()
    """Removed, but their configuration is still there."""

    def __contains__(self, name: str) -> bool:
        return name in self.versions


NONE = Packages("", {})
"""No package database: a minimal or image-based system. Rules then go by files."""


@dataclass(frozen=True)
class Database:
    """Where a manager keeps its database, and the function that reads it."""

    manager: str
    path: str
    read: Callable[[Reader, str], Mapping[str, str]]
    remains: Callable[[Reader, str], tuple[str, ...]] | None = None


def read_packages(files: Reader) -> Packages:
    """Read the first database that is there. Raises BrokenDatabase when it cannot be understood."""
    for database in _databases():
        if files.exists(database.path):
            try:
                remains = database.remains(files, database.path) if database.remains else ()
                return Packages(database.manager, dict(database.read(files, database.path)), remains)
            except (ValueError, IndexError) as error:
                raise BrokenDatabase(f"the package database {database.path} cannot be read: {error}") from error
    return NONE


def _databases() -> tuple[Database, ...]:
    from azready.image.facts.packages import rpm, text

    return (
        Database("apt", "var/lib/dpkg/status", text.read_dpkg, text.dpkg_remains),
        Database("rpm", "usr/lib/sysimage/rpm/rpmdb.sqlite", rpm.read_sqlite),
        Database("rpm", "var/lib/rpm/rpmdb.sqlite", rpm.read_sqlite),
        Database("rpm", "usr/lib/sysimage/rpm/Packages.db", rpm.read_ndb),
        Database("rpm", "var/lib/rpm/Packages.db", rpm.read_ndb),
        Database("rpm", "usr/lib/sysimage/rpm/Packages", rpm.read_berkeley),
        Database("rpm", "var/lib/rpm/Packages", rpm.read_berkeley),
        Database("apk", "usr/lib/apk/db/installed", text.read_apk),
        Database("apk", "lib/apk/db/installed", text.read_apk),
        Database("pacman", "var/lib/pacman/local", text.read_pacman),
        Database("portage", "var/db/pkg", text.read_portage),
        Database("apt", "var/lib/dpkg/status.d", text.read_dpkg_fragments),
    )
