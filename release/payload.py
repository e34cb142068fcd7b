"""What a package of the guest program holds: the rows of install.toml that fit a guest and an init. Pure.

The same table that `azready prepare` installs by, so that a new file of the guest is in every package by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from azready.image.facts.init import Init
from azready.image.parts.guest_program import Flavour, Selection, belongs, fresh_settings, source
from azready.image.preparation import Options
from azready.installed import manifest

GUESTS: tuple[Flavour, ...] = ("python", "sh")
_THERE = frozenset({"/etc/ssh/sshd_config.d", "/etc/init.d"})
"""Places that a package takes for granted; a row that wants another one is for images that `prepare` has looked at."""


@dataclass(frozen=True)
class Entry:
    """One path of a package, owned by root. `data` of a file, `to` of a link; a folder has neither."""

    path: str
    kind: Literal["folder", "file", "link"]
    mode: int
    data: bytes = b""
    to: str = ""
    conffile: bool = False


@dataclass(frozen=True)
class Payload:
    """Files and folders, the links that start them at boot, and the sources that the image's Python may compile."""

    guest: Flavour
    init: Init
    entries: tuple[Entry, ...]
    links: tuple[Entry, ...]
    bytecode: tuple[str, ...]

    @property
    def units(self) -> tuple[str, ...]:
        """The names of what the links start."""
        return tuple(dict.fromkeys(each.path.rpartition("/")[2] for each in self.links))


def payload(guest: Flavour, init: Init, more: tuple[Entry, ...] = ()) -> Payload:
    """What `prepare` would install by default, and `more`; folders come before what lies in them."""
    rows, selection = manifest(), Selection(guest, init, Options().rows, {})

    def fits(row: Mapping[str, Any]) -> bool:
        return belongs(row, selection) and row.get("when") in (None, *_THERE)

    files = [
        Entry(row["target"], "file", int(row["mode"], 8), source(row["source"]), conffile=_is_setting(row["target"]))
        for row in rows["file"]
        if fits(row)
    ]
    settings = Entry(rows["settings"], "file", 0o644, fresh_settings(), conffile=True)
    folders = [Entry(row["target"], "folder", int(row["mode"], 8)) for row in rows["folder"] if fits(row)]
    links = tuple(Entry(row["path"], "link", 0o777, to=row["to"]) for row in rows["link"] if fits(row))
    compiled = tuple(row["source"] for row in rows["bytecode"] if fits(row))
    entries = sorted((*folders, *files, settings, *more), key=lambda each: each.path)
    return Payload(guest, init, tuple(entries), links, compiled)


def _is_setting(path: str) -> bool:
    """Start scripts below /etc are programs to most package managers' users, but Debian wants them to be conffiles."""
    return path.startswith("/etc/")


def parents(paths: list[str]) -> list[str]:
    """The folders above these paths, outermost first, without the root."""
    found = {folder for path in paths for folder in _above(path)}
    return sorted(found)


def _above(path: str) -> list[str]:
    parts = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]
