"""Matching paths against shell patterns, over anything that can list a folder."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

from azready.image.targets import is_absence
from azready.image.targets.openat import require_shallow

_BRACES = re.compile(r"\{([^{}]*)\}")
_MOST_CHOICES = 4096
"""Of a pattern; those of an image's files may have more."""
_MAGIC = re.compile(r"[*?\[]")


def expand_braces(pattern: str) -> list[str]:
    """`a{b,c}d` → `abd`, `acd`; nested braces from the inside out. Raises ValueError for too many choices."""
    expanded = [pattern]
    while found := _BRACES.search(expanded[0]):
        if len(expanded) * (found[1].count(",") + 1) > _MOST_CHOICES:
            raise ValueError(f"a pattern of more than {_MOST_CHOICES} choices: {pattern[:40]}")
        expanded = list(dict.fromkeys(each for one in expanded for each in _expanded_once(one)))
    return expanded


def _expanded_once(pattern: str) -> Iterator[str]:
    """The pattern with each choice in place of its first innermost braces, which it has."""
    for found in _BRACES.finditer(pattern):
        for choice in found[1].split(","):
            yield f"{pattern[: found.start()]}{choice}{pattern[found.end() :]}"
        return


@lru_cache(maxsize=4096)
def _matcher(part: str) -> Callable[[str], object]:
    """What a name is given to. To compile an expression costs more than most of them are asked: `*.conf` needs none."""
    head, star, tail = part.partition("*")
    if star and not _MAGIC.search(head + tail):
        least = len(head) + len(tail)
        return lambda name: len(name) >= least and name.startswith(head) and name.endswith(tail)
    return re.compile(translate(part)).match


def matches(name: str, part: str) -> bool:
    """Whether one name matches one component of a pattern; a hidden name wants its dot written."""
    if name.startswith(".") and not part.startswith("."):
        return False
    return bool(_matcher(part)(name))


def glob_each(
    patterns: Iterable[str],
    list_folder: Callable[[str], list[str]],
    lexists: Callable[[str], bool],
    is_folder: Callable[[str], bool],
) -> dict[str, list[str]]:
    """For each pattern the paths that match it, sorted; one walk for all, so that no folder is listed for each anew.

    Where `list_folder` says that nothing is there, nothing is. `is_folder` answers for the path itself (False
    for a link), as `**` does not follow links.
    """
    top, found = _Node(), dict[str, set[str]]()
    for pattern in patterns:
        found[pattern] = set()
        for each in expand_braces(pattern):
            top.add([part for part in each.split("/") if part], pattern)
    walk = _Walk(list_folder, lexists, is_folder, found)
    walk.below("", top)
    return {pattern: sorted(paths) for pattern, paths in found.items()}


class _Node:
    """A component of patterns: what may come next, and the patterns that end here."""

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.magic: dict[str, _Node] = {}
        self.deeper: _Node | None = None
        """What follows `**`."""
        self.ends: list[str] = []

    def add(self, parts: list[str], pattern: str) -> None:
        node = self
        for part in parts:
            if part == "**":
                node.deeper = node = node.deeper or _Node()
            else:
                node = (node.magic if _MAGIC.search(part) else node.literal).setdefault(part, _Node())
        node.ends.append(pattern)


@dataclass(frozen=True)
class _Walk:
    list_folder: Callable[[str], list[str]]
    lexists: Callable[[str], bool]
    is_folder: Callable[[str], bool]
    found: dict[str, set[str]]

    def below(self, folder: str, node: _Node) -> None:
        """Follow everything that may come below a folder, which may be missing."""
        for pattern in node.ends if folder else ():
            self.found[pattern].add(folder)
        self._literal(folder, node)
        names = self._names(folder) if node.magic or node.deeper else []
        for part, child in node.magic.items():
            for name in names:
                if matches(name, part):
                    self.below(_joined(folder, name), child)
        if node.deeper:
            self._deeper(folder, names, node.deeper)

    def _literal(self, folder: str, node: _Node) -> None:
        """Names that are written out: looked for one by one where they are few, else in the folder's list."""
        there = self._listed(folder) if len(node.literal) > _FEW else None
        for part, child in node.literal.items():
            path = _joined(folder, part)
            if there is not None:
                if part in there:
                    self.below(path, child)
            elif not child.ends or self.lexists(path):
                self.below(path, child)

    def _listed(self, folder: str) -> frozenset[str] | None:
        """What is in a folder; None where it may not be listed, which says nothing of single names in it."""
        try:
            return frozenset(self._names(folder))
        except PermissionError:
            return None

    def _deeper(self, folder: str, names: list[str], child: _Node, depth: int = 0) -> None:
        require_shallow(depth, folder)
        self.below(folder, child)
        for name in names:
            path = _joined(folder, name)
            if self.is_folder(path):
                self._deeper(path, self._names(path), child, depth + 1)

    def _names(self, folder: str) -> list[str]:
        try:
            return self.list_folder(folder)
        except OSError as error:
            if is_absence(error):
                return []
            raise


_FEW = 2
"""Names of which each is looked for by itself: listing a folder costs about as much."""


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
