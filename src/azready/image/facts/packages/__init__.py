"""Which packages an image has, read from the package manager's own database without running anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
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

    path: str
    read: Callable[[Reader, str], Mapping[str, str]]
    remains: Callable[[Reader, str], tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Manager:
    """A package manager: all that is known of it. A new one is a row of `managers`, and a reader of its database."""

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


@cache
def managers() -> Mapping[str, Manager]:
    """Every package manager that is known, by name; the first whose database is there is the image's."""
    from azready.image.facts.packages import rpm, text

    rpm_databases = (
        Database("usr/lib/sysimage/rpm/rpmdb.sqlite", rpm.read_sqlite),
        Database("var/lib/rpm/rpmdb.sqlite", rpm.read_sqlite),
        Database("usr/lib/sysimage/rpm/Packages.db", rpm.read_ndb),
        Database("var/lib/rpm/Packages.db", rpm.read_ndb),
        Database("usr/lib/sysimage/rpm/Packages", rpm.read_berkeley),
        Database("var/lib/rpm/Packages", rpm.read_berkeley),
    )
    apk_databases = (
        Database("usr/lib/apk/db/installed", text.read_apk),
        Database("lib/apk/db/installed", text.read_apk),
    )
    apt_databases = (
        Database("var/lib/dpkg/status", text.read_dpkg, text.dpkg_remains),
        Database("var/lib/dpkg/status.d", text.read_dpkg_fragments),
    )
    rows = (
        Manager("apt", "deb", apt_databases, "etc/apt/{sources.list,sources.list.d/*.{list,sources}}"),
        Manager(
            "rpm",
            "rpm",
            rpm_databases,
            "etc/{yum.repos.d,zypp/repos.d,dnf/repos.d}/*.repo",
            ("rpm", "-e"),
            "remove first what depends on them, or fix the package database",
        ),
        Manager("apk", "apk", apk_databases, "etc/apk/repositories"),
        Manager(
            "pacman",
            "alpm",
            (Database("var/lib/pacman/local", text.read_pacman),),
            remove=("pacman", "-R", "--nosave", "--noconfirm"),
        ),
        Manager(
            "portage",
            "ebuild",
            (Database("var/db/pkg", text.read_portage),),
            remove=("emerge", "--ask=n", "--quiet", "--unmerge"),
        ),
    )
    return {manager.name: manager for manager in rows}


def read_packages(files: Reader) -> Packages:
    """Read the first database that is there. Raises BrokenDatabase when it cannot be understood."""
    for manager, database in ((row, each) for row in managers().values() for each in row.databases):
        if files.exists(database.path):
            try:
                remains = database.remains(files, database.path) if database.remains else ()
                return Packages(manager.name, dict(database.read(files, database.path)), remains)
            except (ValueError, IndexError) as error:
                raise BrokenDatabase(f"the package database {database.path} cannot be read: {error}") from error
    return NONE
