"""The configuration of OpenSSH's server as it will be read: includes expanded, first value wins.

Source: sshd_config(5).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from azready.image.facts.reading import MOST_INCLUDED, Budget, first_there, numbered, text_of
from azready.image.targets import Files

MAIN = ("etc/ssh/sshd_config", "usr/etc/ssh/sshd_config", "usr/share/ssh/sshd_config")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MOST_INCLUDES = 16


@dataclass(frozen=True)
class Setting:
    """A value and the file and line that set it."""

    value: str
    where: str


@dataclass(frozen=True)
class Sshd:
    """The global settings (and those of `Match all`), keys in lower case; lists of everything that may repeat."""

    main: str
    values: Mapping[str, tuple[Setting, ...]]
    drop_ins: bool
    """Whether the main file includes etc/ssh/sshd_config.d, so that a drop-in would be read."""

    def first(self, key: str) -> Setting | None:
        """What sshd uses: the first value it meets."""
        found = self.values.get(key.lower(), ())
        return found[0] if found else None


def gather_sshd(files: Files) -> Sshd | None:
    """Read the main file and what it includes; None when there is no configuration.

    Raises ValueError for one without end.
    """
    main = first_there(files, MAIN)
    if main is None:
        return None
    values: dict[str, list[Setting]] = {}
    drop_ins = False
    for key, setting in _settings(files, main, 0, Budget(MOST_INCLUDED, "files")):
        if key == "include":
            drop_ins = drop_ins or "sshd_config.d" in setting.value
        else:
            values.setdefault(key, []).append(setting)
    return Sshd(main, {key: tuple(found) for key, found in values.items()}, drop_ins)


def _settings(files: Files, path: str, depth: int, budget: Budget) -> Iterator[tuple[str, Setting]]:
    budget.take()
    for_all = True
    for number, line in numbered(text_of(files, path) or ""):
        key, _, value = line.replace("=", " ", 1).replace("\t", " ").partition(" ")
        key, value = key.lower(), value.strip().strip('"')
        if key == "match":
            for_all = value.lower() == "all"
        if key == "match" or not for_all:
            continue
        yield key, Setting(value, f"{path}:{number}")
        if key == "include" and depth < _MOST_INCLUDES:
            for pattern in value.split():
                absolute = pattern.lstrip("/") if pattern.startswith("/") else f"etc/ssh/{pattern}"
                for included in files.glob(absolute):
                    yield from _settings(files, included, depth + 1, budget)


def seconds(text: str) -> int | None:
    """sshd's time format (`180`, `3m`, `1h30m`) in seconds; None when it is none."""
    total, digits = 0, ""
    for letter in text.lower():
        if letter.isdecimal() and len(digits) < 18:
            digits += letter
        elif letter in _UNITS and digits:
            total, digits = total + int(digits) * _UNITS[letter], ""
        else:
            return None
    return total + int(digits or 0) if text else None
