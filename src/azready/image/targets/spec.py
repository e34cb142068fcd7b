"""From what the user typed to a target: `/`, a directory, a disk file, `ssh://[user@]host[:port]`."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from azready import durable, userns
from azready.errors import Failure, UsageFailure
from azready.image.disk import diskfile, qemu
from azready.image.disk.formats.identify import QEMU_NAMES
from azready.image.targets import Target
from azready.image.targets.tree import Tree
from azready.proc import find_tool, run

_INSIDE = "AZREADY_IN_NAMESPACE"
_PARTIAL = ".azready"


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
        case "disk":
            with open_disk(Path(spec), write) as disk:
                yield disk
        case _:
            from azready.image.targets.shell import Shell, parse_address
            from azready.image.targets.ssh import Ssh

            address = parse_address(spec)
            machine = Ssh(Shell(address, want_root=write or sys.stdin.isatty()), str(address))
            try:
                yield machine
            finally:
                machine.close()


def open_disk(path: Path, write: bool, without_root: bool = False) -> AbstractContextManager[Target]:
    """A disk file, mounted; where nothing can be mounted, and it is only read, as `unmounted` reads it."""
    from azready.image.targets import disk, unmounted

    if write or not disk.cannot_mount(path):
        return disk.open_disk(path, write, _shown(path), without_root)
    return unmounted.open_unmounted(path, _shown(path), without_root)


@contextmanager
def to_change(spec: str, copy_to: Path | None, in_place: bool) -> Iterator[str]:
    """What to open for writing: the target itself, but of a disk a copy, unless the user said `in_place`.

    The copy has the disk's own format. It gets its name `copy_to` only when the block ends well; until then, and
    after a failure, nothing has that name, and the input is never written to.
    """
    if kind_of(spec) != "disk":
        if copy_to is not None or in_place:
            raise UsageFailure(f"{spec} is not a disk file: it is changed where it is", "leave --to and --in-place out")
        yield spec
        return
    if in_place == (copy_to is not None):
        raise UsageFailure(f"{spec} is a disk: say what becomes of it", "--to FILE makes a changed copy; --in-place")
    from azready.image.targets.disk import WAYS, cannot_mount

    if reason := cannot_mount(Path(spec)):
        raise Failure(f"{spec} cannot be changed here: {reason}", WAYS)
    disk = diskfile.inspect(Path(spec))
    if copy_to is None:
        if not disk.writable:
            why = f"it is {disk.variant}" if disk.variant else "its cylinders describe another size than its footer"
            raise UsageFailure(f"{spec} can only be read: {why}", "make a copy: --to FILE")
        yield spec
        return
    if copy_to.exists():
        raise UsageFailure(f"{copy_to} exists already", "give a new name, or remove it first")
    partial = copy_to.with_name(f".{copy_to.name}{_PARTIAL}")
    try:
        partial.touch(0o600)
        run(_copying(disk, partial), hint="is there room for a copy?")
        partial.chmod(diskfile.mode_of_copy(disk))
        yield str(partial)
        durable.rename(partial, copy_to)
    finally:
        partial.unlink(missing_ok=True)


def _copying(disk: diskfile.DiskFile, to: Path) -> list[str | Path]:
    """The command that copies a disk file; one with parts in other files becomes whole, for it may go elsewhere, and
    one that cannot be written to becomes one of its format that can."""
    if disk.writable and not disk.others:
        return ["cp", "--sparse=always", "--reflink=auto", "--", disk.path, to]
    tool = find_tool("qemu-img", "qemu-utils")
    size = ["-o", "force_size=on"] if QEMU_NAMES[disk.format] == "vpc" else []
    return [tool, "convert", "-U", qemu.name(disk.node), "-O", QEMU_NAMES[disk.format], *size, to]


def _shown(path: Path) -> Path:
    """The name that a disk will have: a copy has another one until it is whole."""
    if path.name.startswith(".") and path.name.endswith(_PARTIAL):
        return path.with_name(path.name[1:].removesuffix(_PARTIAL))
    return path


def _tree(path: Path) -> Tree:
    try:
        return Tree(path)
    except OSError as error:
        raise Failure(f"{path} cannot be opened: {error.strerror}", "root may read it") from error


def require_writable(target: Target) -> None:
    """Raise Failure when the target cannot be changed, before anything is tried."""
    if reason := target.refusal():
        where = "mount it writable; or prepare the tree before the disk is made of it (mkosi: docs/recipes.md)"
        hint = "run it with sudo" if "needs root" in reason else where
        raise Failure(f"{target.describe()} cannot be changed: {reason}", hint)


def enter_namespace_for(spec: str, changes: bool = False) -> None:
    """Run this very command again in namespaces of its own, when the target wants that; else return.

    A disk's mounts are then seen by nobody else and go with the command, however it ends; one that is only read is read
    without where this machine gives none. An ordinary user becomes
    root of a user namespace, for a disk file and for a tree that the user (or the user's sub-ids) owns. A disk that
    `changes` takes more ids than the user's own: raises Failure before anything is copied. A tree of sub-ids that
    `changes` makes the user its root.
    Only a command line may call it: it replaces the process.
    """
    if sys.platform != "linux" or os.environ.get(_INSIDE) or spec.startswith("ssh://") or not Path(spec).exists():
        return
    path = Path(spec)
    words = _namespace_of_tree(path, changes) if path.is_dir() else _namespace_of_disk(changes)
    if words is not None:
        os.environ[_INSIDE] = "1"
        sys.stdout.flush()
        os.execv(words[0], [*words, sys.executable, "-m", "azready", *sys.argv[1:]])


def _namespace_of_tree(tree: Path, changes: bool) -> list[str] | None:
    """The words that enter it; None where it is not needed: for root, and for a tree of somebody else."""
    if os.geteuid() == 0 or not _owned(tree.stat().st_uid):
        return None
    return (_of_sub_ids(tree) if changes else None) or userns.become_root().words("--mount")


def _namespace_of_disk(changes: bool) -> list[str] | None:
    """The words that enter it; None where this machine gives none. Raises Failure where one that `changes` needs it."""
    if changes:
        userns.require_owners()
    if os.geteuid() == 0 and not userns.may_mount():
        if changes:
            raise Failure(
                "root may mount nothing in this container", "start it with more rights: docker run --privileged"
            )
        return None
    try:
        return userns.become_root().words("--mount")
    except Failure:
        if changes:
            raise
        return None


def _of_sub_ids(tree: Path) -> list[str] | None:
    """Become the root to whom a tree of this user's sub-ids belongs, or what is put in would belong to somebody else.

    Returns the words before a command that is to run so; None where the tree is this user's own.
    """
    status = tree.stat()
    maps = userns.maps_of_sub_ids(status.st_uid, status.st_gid, beside=True)
    if status.st_uid == os.geteuid() or maps is None:
        return None
    unshare = find_tool("unshare", "util-linux")
    userns.become_root_of(maps)
    return [unshare, "--mount", "--"]


def _owned(uid: int) -> bool:
    """Whether an owner is this user or one of this user's sub-ids (subuid(5))."""
    if uid == os.geteuid():
        return True
    return any(first <= uid < first + count for first, count in userns.own_sub_ids(Path("/etc/subuid")))
