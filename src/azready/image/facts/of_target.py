"""From a target to facts: its files, and a disk file's own bytes beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from azready.image.facts import Facts
from azready.image.facts.disk import gather_disk
from azready.image.targets import Target
from azready.image.targets.opening import kind_of, open_target


@contextmanager
def look(spec: str) -> Iterator[Facts]:
    """Facts of what the user typed, opened read-only, until the block ends. Raises as `open_target` does."""
    disk = gather_disk(Path(spec)) if kind_of(spec) == "disk" else None
    with open_target(spec) as target:
        yield Facts(target, target.live, disk)


def facts_of(target: Target) -> Facts:
    """Fresh facts of an open target."""
    return Facts(target, target.live)
