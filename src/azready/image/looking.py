"""From what the user typed to facts: opens the target for reading, and a disk file's own bytes beside its files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from azready.errors import UsageFailure
from azready.image.facts import Facts
from azready.image.targets.tree import Tree


@contextmanager
def look(target: str) -> Iterator[Facts]:
    """Facts of a target, opened read-only, until the block ends. Raises UsageFailure for what is no target."""
    path = Path(target)
    if path.is_dir():
        with Tree(path) as tree:
            yield Facts(tree, live=tree.live)
        return
    raise UsageFailure(f"{target} is no target", "give /, a directory, a disk file or ssh://user@host")
