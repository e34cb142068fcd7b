"""Reading what may not be there: the few shapes that every reader of an image's files needs."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from azready.image.targets import Files, Stat, is_absence

_Seen = TypeVar("_Seen")
_Otherwise = TypeVar("_Otherwise")

MOST_INCLUDED = 1000
"""Files that one configuration may take in. Ten files that each name the next one twice would be read a thousand times,
thirty of them without end."""


def decimal(text: str) -> int | None:
    """A decimal number that an image's file gives; None for what is none: `²`, `--1`, or 5,000 digits, which are digits
    to Python and no number to int()."""
    return int(text) if re.fullmatch("-?[0-9]{1,18}", text) else None


class Budget:
    """What one reading may take in all, of files or of characters: an image may ask for more than there is."""

    def __init__(self, most: int, what: str) -> None:
        self._left, self._said = most, f"it takes in more than {most} {what}"

    def take(self, amount: int = 1) -> None:
        """Raises ValueError when it is used up."""
        self._left -= amount
        if self._left < 0:
            raise ValueError(self._said)


def text_of(files: Files, path: str) -> str | None:
    """The text of a file, or None when there is none (a folder there, a link that leads nowhere)."""
    try:
        return _if_there(lambda: files.read_text(path), None)
    except IsADirectoryError:
        return None


def names_in(files: Files, path: str) -> list[str]:
    """The names in a folder; none when there is no such folder."""
    return _if_there(lambda: files.listdir(path), [])


def stat_of(files: Files, path: str) -> Stat | None:
    """Of what a path leads to, or None."""
    return _if_there(lambda: files.stat(path), None)


def lstat_of(files: Files, path: str) -> Stat | None:
    """Of the path itself, which may be a link that leads nowhere, or None."""
    return _if_there(lambda: files.lstat(path), None)


def _if_there(look: Callable[[], _Seen], otherwise: _Otherwise) -> _Seen | _Otherwise:
    try:
        return look()
    except OSError as error:
        if is_absence(error):
            return otherwise
        raise


def first_there(files: Files, paths: Iterable[str]) -> str | None:
    """The first path that exists."""
    return next((path for path in paths if files.exists(path)), None)


def layered(files: Files, folders: Iterable[str], suffix: str) -> list[str]:
    """Files named *SUFFIX in folders that overlay each other, the first folder winning, sorted by name.

    As systemd, modprobe and udev read their `etc` `run` `usr/lib` folders.
    """
    chosen: dict[str, str] = {}
    for folder in folders:
        for name in names_in(files, folder):
            if name.endswith(suffix) and not name.startswith("."):
                chosen.setdefault(name, f"{folder}/{name}")
    return [chosen[name] for name in sorted(chosen)]


def numbered(text: str, comments: str = "#") -> Iterator[tuple[int, str]]:
    """The lines that say something, stripped, with their numbers from 1; blank lines and comments are left out."""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped and stripped[0] not in comments:
            yield number, stripped


def sections(text: str) -> Iterator[tuple[str, str, str, int]]:
    """An INI-like file as (section, key, value, line number): NetworkManager's, connman's; keys may repeat."""
    yield from _sections(numbered(text, "#;"))


def unit_sections(text: str) -> Iterator[tuple[str, str, str, int]]:
    """A file of systemd's in the same form: a "\\" joins a line with the next (systemd.syntax(7)), a byte order mark
    is passed over."""
    yield from _sections(_joined(numbered(text.removeprefix("\ufeff"), "#;")))


def _joined(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    first, begun = 0, ""
    for number, line in lines:
        if line.endswith("\\"):
            first, begun = first or number, f"{begun}{line[:-1]} "
        else:
            yield first or number, begun + line
            first, begun = 0, ""


def _sections(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[str, str, str, int]]:
    section = ""
    for number, line in lines:
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        else:
            key, equals, value = line.partition("=")
            if equals:
                yield section, key.strip(), value.strip(), number


def shell_values(text: str) -> dict[str, str]:
    """The assignments of a shell-like file (etc/default/*, ifcfg-*): the last one wins, one layer of quotes removed."""
    values = {}
    for _, line in numbered(text):
        key, equals, value = line.removeprefix("export ").partition("=")
        if equals and key.strip().isidentifier():
            values[key.strip()] = unquoted(value)
    return values


def unquoted(value: str) -> str:
    """Without the quotes around it, or without a trailing comment where there are none."""
    value = value.strip()
    if value[:1] in ("'", '"'):
        end = value.find(value[0], 1)
        return value[1:end] if end > 0 else value[1:]
    return value.partition(" #")[0].strip()
