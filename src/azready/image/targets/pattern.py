"""Matching paths against shell patterns, over anything that can list a folder."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache

_BRACES = re.compile(r"\{([^{}]*)\}")
_MAGIC = re.compile(r"[*?\[]")


def expand_braces(pattern: str) -> list[str]:
    """`a{b,c}d` → `abd`, `acd`; nested braces from the inside out."""
    found = _BRACES.search(pattern)
    if not found:
        return [pattern]
    head, tail = pattern[: found.start()], pattern[found.end() :]
    expanded = [each for choice in found[1].split(",") for each in expand_braces(f"{head}{choice}{tail}")]
    return list(dict.fromkeys(expanded))


@lru_cache(maxsize=4096)
def _compiled(part: str) -> re.Pattern[str]:
    return re.compile(translate(part))


def matches(name: str, part: str) -> bool:
    """Whether one name matches one component of a pattern; a hidden name wants its dot written."""
    if name.startswith(".") and not part.startswith("."):
        return False
    return _compiled(part).match(name) is not None


def glob(
    pattern: str,
    list_folder: Callable[[str], list[str]],
    lexists: Callable[[str], bool],
    is_folder: Callable[[str], bool],
) -> list[str]:
    """The paths that match `pattern`; `list_folder` may raise FileNotFoundError and NotADirectoryError.

    `is_folder` answers for the path itself (False for a link), as `**` does not follow links.
    """

    def names(folder: str) -> list[str]:
        try:
            return list_folder(folder)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def below(folder: str, parts: tuple[str, ...]) -> Iterator[str]:
        if not parts:
            yield folder
            return
        part, rest = parts[0], parts[1:]
        if part == "**":
            yield from below(folder, rest)
            for name in names(folder):
                path = f"{folder}/{name}" if folder else name
                if is_folder(path):
                    yield from below(path, parts)
        elif _MAGIC.search(part):
            for name in names(folder):
                if matches(name, part):
                    yield from below(f"{folder}/{name}" if folder else name, rest)
        else:
            path = f"{folder}/{part}" if folder else part
            if rest or lexists(path):
                yield from below(path, rest)

    found: set[str] = set()
    for each in expand_braces(pattern):
        found.update(path for path in below("", tuple(part for part in each.split("/") if part)) if path)
    return sorted(found)


@dataclass
class _Branch:
    """What is looked for in a folder: the next components of patterns, and the patterns that end here."""

    literal: "dict[str, _Branch]" = field(default_factory=dict)
    magic: "dict[str, _Branch]" = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)


def glob_each(patterns: Iterable[str], list_folder: Callable[[str], list[str]]) -> dict[str, list[str]]:
    """For each of many patterns (without `**`) the paths that match it: every folder is listed once for all of them."""
    top = _Branch()
    found: dict[str, list[str]] = {}
    for pattern in patterns:
        found[pattern] = []
        for each in expand_braces(pattern):
            branch = top
            for part in each.strip("/").split("/"):
                kind = branch.magic if _MAGIC.search(part) else branch.literal
                branch = kind.setdefault(part, _Branch())
            branch.ends.append(pattern)
    _descend("", top, list_folder, found)
    return {pattern: sorted(set(paths)) for pattern, paths in found.items()}


def _descend(
    folder: str, branch: _Branch, list_folder: Callable[[str], list[str]], found: dict[str, list[str]]
) -> None:
    try:
        names = list_folder(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        fitting = [below for part, below in branch.magic.items() if matches(name, part)]
        if name in branch.literal:
            fitting.append(branch.literal[name])
        path = f"{folder}/{name}" if folder else name
        for below in fitting:
            for pattern in below.ends:
                found[pattern].append(path)
            if below.literal or below.magic:
                _descend(path, below, list_folder, found)
