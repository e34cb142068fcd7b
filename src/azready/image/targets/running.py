"""Running a program of an image inside its root, so that nothing of it leaks out.

The program gets namespaces of its own: mounts (what is mounted for it is never seen outside), processes (what it
leaves running is killed with it), network (nothing is reachable), IPC and host name. Killing azready kills it all.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from azready.devices import OWN_DEV
from azready.errors import Failure
from azready.proc import CommandFailed, Completed, find_tool, run

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Runs as process 1 of the new namespaces. $1 is the root. /run is fresh: no tool in there finds a running systemd or
# D-Bus. A root that is not a mount point yet is bound to itself, since pivot_root wants one.
_ENTER = (
    OWN_DEV
    + r"""
set -eu
root=$1; shift
mount --make-rprivate /
mount --rbind "$root" "$root"
cd "$root"
for folder in proc sys dev run tmp; do [ -d "$folder" ] && [ ! -L "$folder" ] || exit 96; done
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys 2>/dev/null || mount -t tmpfs -o ro tmpfs sys
own_dev dev
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs tmp
mkdir -m 1777 run/lock
hostname localhost 2>/dev/null || true
exec chroot . "$@"
"""
)

_UNUSABLE_ROOT = 96


def environment(extra: dict[str, str] | None) -> dict[str, str]:
    """What a program of an image sees: nothing of the caller's language, proxies or secrets."""
    return {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root", "TERM": "dumb", **(extra or {})}


def run_here(argv: Sequence[str], *, stdin: bytes, env: dict[str, str] | None, check: bool) -> Completed:
    """Run a program of this very machine."""
    return run(argv, stdin=stdin, env=environment(env), check=check, cwd=Path("/"))


def run_in(root: Path, argv: Sequence[str], *, stdin: bytes, env: dict[str, str] | None, check: bool) -> Completed:
    """Run `argv` inside the tree `root`; the caller is root, or root of its own user namespace."""
    guard = [find_tool("setpriv", "util-linux"), "--pdeathsig", "KILL", "--", find_tool("unshare", "util-linux")]
    spaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child=KILL"]
    enter = [*guard, *spaces, "--", "/bin/sh", "-c", _ENTER, "sh", os.path.abspath(root)]
    done = run([*enter, *argv], stdin=stdin, env=environment(env), check=False)
    shown = Completed(tuple(argv), done.status, done.stdout, done.stderr)
    if done.status == _UNUSABLE_ROOT:
        raise Failure(
            f"{root} has no proc, sys, dev, run and tmp folders of its own", "is it the root of a Linux system?"
        )
    if "Exec format error" in done.stderr and done.status != 0:
        raise Failure(
            f"{argv[0]} of this image cannot run here: it is for another architecture",
            "install qemu-user-static with binfmt-support, or do it on a machine of that architecture",
        )
    if check and done.status != 0:
        raise CommandFailed(shown)
    return shown
