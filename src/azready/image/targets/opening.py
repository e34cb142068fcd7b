"""From what the user typed to a target: `/`, a directory, a disk file, `ssh://[user@]host[:port]`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from azready.errors import Failure, UsageFailure
from azready.image.targets import Target
from azready.image.targets.tree import Tree
from azready.proc import find_tool

_INSIDE = "AZREADY_IN_NAMESPACE"


def kind_of(spec: str) -> str:
    """`ssh`, `tree` or `disk`. Raises UsageFailure when `spec` is none of them."""
    if spec.startswith("ssh://"):
        return "ssh"
    if "://" in spec:
        raise UsageFailure(f"{spec}: unknown kind of target", "use /, a directory, a disk file or ssh://user@host")
    path = Path(spec)
    try:
        if path.is_dir():
            return "tree"
        if path.is_file() or path.is_block_device():
            return "disk"
        found = path.exists()
    except OSError as error:
        raise Failure(f"{spec}: {error.strerror}") from error
    if found:
        raise UsageFailure(f"{spec} is neither a directory nor a disk", "use /, a directory, a disk file or ssh://…")
    raise UsageFailure(f"{spec}: no such file or directory")


@contextmanager
def open_target(spec: str, *, write: bool = False) -> Iterator[Target]:
    """Open a target for the length of a `with`. Without `write` a disk is opened read-only.

    Raises UsageFailure for what is no target, Failure for one that cannot be reached or lacks a right.
    """
    match kind_of(spec):
        case "tree":
            with _tree(Path(spec)) as tree:
                yield tree
        case kind:
            raise Failure(f"{spec}: {kind} targets are not there yet")


def _tree(path: Path) -> Tree:
    try:
        return Tree(path)
    except OSError as error:
        raise Failure(f"{path} cannot be opened: {error.strerror}", "root may read it") from error


def require_writable(target: Target) -> None:
    """Raise Failure when the target cannot be changed, before anything is tried."""
    if reason := target.refusal():
        hint = "run it with sudo" if "root" in reason else "mount it writable"
        raise Failure(f"{target.describe()} cannot be changed: {reason}", hint)


def enter_namespace_for(spec: str) -> None:
    """Run this very command again as root of a user namespace, when an ordinary user's target wants that.

    It does for a tree that the user (or the user's sub-ids) owns, and for a disk file. Returns otherwise: as root,
    for `/`, for ssh, for a tree of other owners. Only a command line may call it: it replaces the process.
    """
    if os.geteuid() == 0 or os.environ.get(_INSIDE) or spec.startswith("ssh://"):
        return
    path = Path(spec)
    try:
        if path.is_dir() and not _owned(path.stat().st_uid):
            return
        if not path.exists():
            return
    except OSError:
        return
    unshare = find_tool("unshare", "util-linux")
    mapping = ["--map-root-user", *(["--map-auto"] if which("newuidmap") else [])]
    command = [sys.executable, "-m", "azready", *sys.argv[1:]]
    os.environ[_INSIDE] = "1"
    sys.stdout.flush()
    os.execv(unshare, [unshare, "--user", "--mount", *mapping, "--", *command])


def _owned(uid: int) -> bool:
    """Whether an owner is this user or one of this user's sub-ids (subuid(5))."""
    if uid == os.geteuid():
        return True
    import pwd

    mine = {str(os.geteuid()), pwd.getpwuid(os.geteuid()).pw_name}
    try:
        lines = Path("/etc/subuid").read_text().splitlines()
    except OSError:
        return False
    for line in lines:
        name, _, numbers = line.partition(":")
        first, _, count = numbers.partition(":")
        if name in mine and first.isdigit() and count.isdigit() and int(first) <= uid < int(first) + int(count):
            return True
    return False
