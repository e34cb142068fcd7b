"""A cgroup for the guest: systemd as PID 1 needs one (version 2) that it may write to.

Root may make one anywhere; an ordinary user below a cgroup that was delegated to them, which `systemd-run --user
--scope -p Delegate=yes` provides. Reading and writing /sys/fs/cgroup is all there is to it.
"""

import os
from pathlib import Path


def own_cgroup(cgroup_file: str, mountinfo: str) -> Path | None:
    """The folder of a process's version-2 cgroup, from the texts of its /proc files; None when there is none.

    Mounts whose root is not the hierarchy's own (a container's) show only what is below it.
    """
    own = next((line[3:] for line in cgroup_file.splitlines() if line.startswith("0::")), None)
    if own is None:
        return None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[:1] == ["cgroup2"]:
            root, target = left.split()[3:5]
            below = own.removeprefix(root) if root != "/" else own
            return Path(target) / below.lstrip("/")
    return None


def here() -> Path | None:
    """This process's cgroup."""
    return own_cgroup(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())


def delegated() -> bool:
    """Whether this process may make cgroups below its own."""
    folder = here()
    return folder is not None and os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)


PREFIX = "azready"
"""Cgroups are named `azready-PID-…` after the azready that wants them."""


def make_cgroup(name: str) -> Path:
    """Make a cgroup below this process's own. Raises OSError when that may not be."""
    folder = here()
    if folder is None:
        raise OSError("no cgroup file system of version 2 is mounted here")
    sweep(folder)
    made = folder / name
    made.mkdir()
    return made


def give(cgroup: Path, uid: int, gid: int) -> None:
    """Let another user make cgroups below this one and move processes between them (cgroups(7), delegation)."""
    for path in (cgroup, *(cgroup / f"cgroup.{name}" for name in ("procs", "threads", "subtree_control"))):
        os.chown(path, uid, gid)


def join(cgroup: Path) -> None:
    """Move this process into a new cgroup."""
    cgroup.mkdir()
    (cgroup / "cgroup.procs").write_text("0")


def sweep(folder: Path) -> None:
    """Remove what a run left that could not clean up: a process that hung in the kernel outlived it."""
    for left in folder.glob(f"{PREFIX}-*-*"):
        pid = left.name.split("-")[1]
        if pid.isdigit() and not Path("/proc", pid).exists():
            remove_cgroup(left)


def remove_cgroup(cgroup: Path) -> None:
    """Remove a cgroup and those below it; they are empty folders once their processes are gone."""
    for folder, _, _ in os.walk(cgroup, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError:
            pass
