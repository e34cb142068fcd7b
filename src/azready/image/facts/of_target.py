"""From a target to facts: its files, and a disk file's own bytes beside them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from azready.errors import UsageFailure
from azready.image.facts import OS_RELEASE, Facts
from azready.image.facts.disk import gather_disk
from azready.image.facts.reading import first_there
from azready.image.targets import Target
from azready.image.targets.disk import NoRoot
from azready.image.targets.remembered import Remembered
from azready.image.targets.spec import kind_of, open_disk, open_target


@contextmanager
def look(spec: str) -> Iterator[Facts]:
    """Facts of what the user typed, opened read-only, until the block ends. Raises as `open_target` does."""
    disk = gather_disk(Path(spec)) if kind_of(spec) == "disk" else None
    with ExitStack() as stack:
        try:
            target = stack.enter_context(open_target(spec))
        except NoRoot as failure:
            beside = stack.enter_context(open_disk(Path(spec), write=False, without_root=True))
            yield Facts(beside, False, disk, failure.message)
            return
        _require_system(target)
        made_at_boot = "" if first_there(target, OS_RELEASE) or not target.exists("etc/NIXOS") else _NIXOS
        yield Facts(Remembered(target), target.live, disk, made_at_boot)


_NIXOS = "NixOS makes /etc at boot, of its store: check it where it is built, or as a running machine"


def facts_of(target: Target) -> Facts:
    """Fresh facts of an open target. Raises UsageFailure for what is no system."""
    _require_system(target)
    return Facts(target, target.live)


_SIGNS = (
    *OS_RELEASE,
    "etc/NIXOS",
    "etc/passwd",
    "sbin/init",
    "usr/sbin/init",
    "usr/lib/systemd/systemd",
    "lib/systemd/systemd",
)


def _require_system(target: Target) -> None:
    """Any sign counts: a system may lack each of them, and a rule then says what is missing."""
    if not any(target.exists(path) for path in _SIGNS):
        raise UsageFailure(
            f"{target.describe()} is not the root of a Linux system", "give the folder that holds its etc, usr and var"
        )
