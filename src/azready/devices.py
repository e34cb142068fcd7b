"""A /dev of its own for a root tree whose programs run on this machine.

A bind mount shows the very node of the host: what a package script sets there (systemd-tmpfiles gives /dev/kvm to the
image's group of that name) would be set on the host. So nodes are made anew; where that is not allowed, as in a user
namespace, the host's are shown read-only: they can be used as before, but keep their owner and mode.
"""

import stat
from pathlib import Path

from azready.errors import Failure

_RIGHTS = {"null": 0o666, "zero": 0o666, "full": 0o666, "random": 0o444, "urandom": 0o444, "tty": 0o666}
NODES = tuple(_RIGHTS)
"""What every program may expect in /dev."""

OWN_DEV = r"""
own_dev() {
    mount -t tmpfs -o mode=755,nosuid tmpfs "$1"
    for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
        name=${node%%:*} minor=${node##*:}
        major=${node#*:} major=${major%:*}
        mknod -m 666 "$1/$name" c "$major" "$minor" 2>/dev/null && continue
        : >"$1/$name"
        mount --bind "/dev/$name" "$1/$name"
        mount -o remount,bind,ro "$1/$name" 2>/dev/null || true
    done
    ln -s /proc/self/fd "$1/fd"
    ln -s fd/0 "$1/stdin"; ln -s fd/1 "$1/stdout"; ln -s fd/2 "$1/stderr"
    mkdir -m 1777 "$1/shm"
    mkdir "$1/pts"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$1/pts" 2>/dev/null || true
    ln -s pts/ptmx "$1/ptmx"
}
"""
"""A function for /bin/sh: `own_dev FOLDER`, in a mount namespace of one's own, as root of it."""


def own_dev(folder: Path) -> list[str]:
    """Words that mount a /dev of its own at `folder`, in a mount namespace of one's own, as root of it."""
    return ["sh", "-euc", f'{OWN_DEV}\nown_dev "$1"', "sh", str(folder)]


def require_usable(folder: Path = Path("/dev")) -> None:
    """The nodes that a guest shares with this machine are devices, and open to all: its users are nobody here.

    Raises Failure: with a closed /dev/null systemd starts nothing, and the image would be blamed for it.
    """
    for name, rights in _RIGHTS.items():
        path = folder / name
        try:
            mode = path.stat().st_mode
        except OSError as error:
            missing = f"{path} is needed by every guest: {error.strerror}"
            raise Failure(missing, "is this machine's /dev whole?") from error
        if not stat.S_ISCHR(mode):
            raise Failure(f"{path} is no device: guests cannot use it", "something has replaced it: make it anew")
        if mode & rights != rights:
            closed = f"{path} has mode {stat.S_IMODE(mode):o}: guests cannot use it"
            raise Failure(closed, f"something on this machine has closed it: chmod {rights:o} {path}")
