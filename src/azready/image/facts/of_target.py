"""From a target to facts: its files, and a disk file's own bytes beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from azready.errors import UsageFailure
from azready.image.facts import OS_RELEASE, Facts
from azready.image.facts.disk import gather_disk
from azready.image.targets import Target
from azready.image.targets.opening import kind_of, open_target


@contextmanager
def look(spec: str) -> Iterator[Facts]:
    """Facts of what the user typed, opened read-only, until the block ends. Raises as `open_target` does."""
    disk = gather_disk(Path(spec)) if kind_of(spec) == "disk" else None
    with open_target(spec) as target:
        _require_system(target)
        yield Facts(target, target.live, disk)


def facts_of(target: Target) -> Facts:
    """Fresh facts of an open target. Raises UsageFailure for what is no system."""
    _require_system(target)
    return Facts(target, target.live)


_SIGNS = (*OS_RELEASE, "etc/passwd", "sbin/init", "usr/sbin/init", "usr/lib/systemd/systemd", "lib/systemd/systemd")


def _require_system(target: Target) -> None:
    """Any sign counts: a system may lack each of them, and a rule then says what is missing."""
    if not any(target.exists(path) for path in _SIGNS):
        raise UsageFailure(
            f"{target.describe()} is not the root of a Linux system", "give the folder that holds its etc, usr and var"
        )
