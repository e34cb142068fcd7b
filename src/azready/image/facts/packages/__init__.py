"""Which packages an image has, read from the package manager's own database without running anything."""

from collections.abc import Mapping
from dataclasses import dataclass

from azready.errors import Failure
from azready.image.facts.packages.managers import MANAGERS
from azready.image.facts.packages.model import Reader


class BrokenDatabase(Failure):
    """A package database is there but cannot be read; nothing can be said about packages."""


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


def read_packages(files: Reader) -> Packages:
    """Read the first database that is there. Raises BrokenDatabase when it cannot be understood."""
    for manager, database in ((row, each) for row in MANAGERS.values() for each in row.databases):
        if files.exists(database.path):
            try:
                remains = database.remains(files, database.path) if database.remains else ()
                return Packages(manager.name, dict(database.read(files, database.path)), remains)
            except (ValueError, IndexError) as error:
                raise BrokenDatabase(f"the package database {database.path} cannot be read: {error}") from error
    return NONE
