"""Why this machine, or the container around us, lets no container of ours be made, and what would let it.

The kernel's answer is `Operation not permitted` for each of these; what tells them apart is which step was refused, and
what can be read beside it: the switches that forbid namespaces, what is mounted over /proc and /sys, the cgroup mount.
"""

import os
from pathlib import Path

from azready import userns
from azready.errors import Failure
from azready.proc import find_tool, run

_ENGINES = (("/.dockerenv", "Docker"), ("/run/.containerenv", "Podman"))
_PLAIN = "containers need user namespaces, overlayfs and a visible /proc and /sys: see docs/boot.md"


def around() -> str:
    """The engine whose container this is, as far as it shows; empty when there is none."""
    return next((name for mark, name in _ENGINES if Path(mark).exists()), "")


def require() -> None:
    """Raise Failure where this machine refuses the namespaces that a boot makes: it is tried."""
    userns.require()
    spaces = ["--user", "--map-root-user", "--mount", "--pid", "--net", "--fork"]
    tried = run([find_tool("unshare", "util-linux"), *spaces, "true"], check=False)
    if tried.status != 0:
        said = tried.stderr.strip().removeprefix("unshare: ")
        raise Failure(f"no namespaces can be made here ({said})", remedy(f"unshare: {said}"))


def remedy(refused: str) -> str:
    """What to do after a step was refused; `refused` is what the kernel or a tool said of it."""
    mounts = Path("/proc/self/mountinfo").read_text()
    forbidding = userns.forbidding()
    return remedy_of(refused, mounts, forbidding, around())


def remedy_of(refused: str, mountinfo: str, forbidding: tuple[str, str] | None, engine: str) -> str:
    """The same, of what was read: /proc/self/mountinfo, the sysctl that forbids namespaces, the engine around us."""
    privileged = f"run the container with --privileged ({engine})" if engine else "in Docker or Podman: --privileged"
    if "user namespace" in refused or "unshare" in refused:
        if forbidding:
            name, allows = forbidding
            return f"{name} forbids new namespaces; to allow them until the next boot: sudo sysctl {name}={allows}"
        return f"new namespaces are refused here, by seccomp or for want of CAP_SYS_ADMIN; {privileged}"
    for kind, top in (("proc", "/proc"), ("sysfs", "/sys")):
        over = covered(mountinfo, top)
        if f"mount {kind} " in refused and over:
            return f"{', '.join(over)} is mounted over, so that nobody may mount a new {top}; {privileged}"
    return _PLAIN


def covered(mountinfo: str, top: str) -> list[str]:
    """Parts of /proc or /sys that something is mounted over; mounts on empty folders made for them do not count."""
    empty = ("/proc/sys/fs/binfmt_misc", "/sys/fs/", "/sys/kernel/", "/sys/firmware/efi/efivars")
    points = [line.split()[4] for line in mountinfo.splitlines()]
    return [point for point in points if point.startswith(f"{top}/") and not point.startswith(empty)]


def no_cgroup(folder: Path | None, scope: str) -> str:
    """What to do where no cgroup may be made below `folder`, this process's own; `scope` are words that give one."""
    if folder is None:
        return "mount them: mount -t cgroup2 cgroup2 /sys/fs/cgroup; where there is version 1 alone, boot a disk"
    if os.geteuid() == 0 or os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"{folder} is read-only here; in Docker or Podman: --privileged"
    return f"run it as root, or from a user session of systemd: {scope} azready …"
