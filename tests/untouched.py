"""What a machine looks like from outside, before and after a command: `python -m tests.untouched FILE COMMAND…`.

Writes to FILE what the command changed (`was …`, `now …`), and ends with the command's status. `watched` does it on a
played machine: its /dev, /run and /etc, links, processes and host name are its own, so that tests beside it change
nothing there, and a fault that is found harms nobody.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from azready.boot.container import cgroups

ROOT = Path(__file__).parent.parent

_HOST = r"""
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /mnt
cp -a /etc /mnt/etc
mkdir /mnt/dev /mnt/dev/shm /mnt/dev/pts /mnt/dev/net
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /mnt/dev
for node in /dev/kvm /dev/fuse /dev/net/tun /dev/loop-control; do [ ! -e "$node" ] || cp -a "$node" "/mnt$node"; done
for number in $(seq 0 63); do mknod "/mnt/dev/loop$number" b 7 "$number"; done
ln -s pts/ptmx /mnt/dev/ptmx
ln -s /proc/self/fd /mnt/dev/fd
mount --bind /mnt/etc /etc
mount --bind /mnt/dev /dev
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts /dev/pts
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -m 1777 /run/lock
umount -l /mnt
mount -t proc proc /proc
ip link set lo up
exec "$@"
"""


_ENTER = '[ -z "$1" ] || echo $$ >"$1/cgroup.procs"; shift; exec "$@"'


@contextlib.contextmanager
def _cgroup() -> Iterator[str | Path]:
    """A cgroup for the played machine; the empty text where there are none."""
    own = cgroups.here()
    if own is None:
        yield ""
        return
    folder = own / f"azready-watched-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        cgroups.remove_cgroup(folder)


def watched(*command: object, timeout: float = 300) -> "tuple[subprocess.CompletedProcess[str], list[str]]":
    """Run a command on a played machine, as root: how it ended, and what it changed there."""
    spaces = ["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"]
    with tempfile.NamedTemporaryFile("r", prefix="untouched-") as changes, _cgroup() as cgroup:
        words = ["sh", "-euc", _ENTER, "sh", str(cgroup), "unshare", *spaces, "--", "sh", "-euc", _HOST, "sh"]
        words += [sys.executable, "-m", "tests.untouched", changes.name, *map(str, command)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
        return done, changes.read().splitlines()


def look() -> frozenset[str]:
    """All that a command could change of the machine, one line a thing."""
    seen = {f"{path}: {_state(path)}" for top in ("/dev", "/etc", "/run") for path in _below(top)}
    for words in ("ip -o link", "ip -o address", "ip route show table all", "hostname"):
        seen |= {f"{words}: {line}" for line in subprocess.check_output(words.split(), text=True).splitlines()}
    seen |= {f"mount: {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    own = cgroups.here()
    seen |= {f"cgroup: {path}" for path in (own.rglob("*/") if own else ())}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            spaces = [str((process / "ns" / space).readlink()) for space in ("net", "mnt", "user", "pid")]
            seen.add(f"process {process.name}: {(process / 'comm').read_text().strip()} {' '.join(spaces)}")
    seen |= {f"{path}: {_text(path)}" for path in Path("/proc/sys/net").rglob("*") if path.is_file()}
    return frozenset(seen)


def _below(folder: str) -> Iterator[str]:
    """The folder and what is in it, but for terminals and shared memory, which any program has."""
    yield folder
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and entry.path not in ("/dev/pts", "/dev/shm"):
                yield from _below(entry.path)
            else:
                yield entry.path


def _state(path: str) -> str:
    found = os.lstat(path)
    link = f" -> {Path(path).readlink()}" if Path(path).is_symlink() else ""
    times = "" if path in ("/dev/pts", "/dev/tty", "/dev/ptmx") else f" {found.st_mtime_ns} {found.st_ctime_ns}"
    return f"{found.st_mode:o} {found.st_uid}:{found.st_gid} {found.st_size} {found.st_rdev:x}{times}{link}"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


if __name__ == "__main__":
    before = look()
    status = subprocess.run(sys.argv[2:]).returncode
    until = time.monotonic() + 30
    while (after := look()) != before and time.monotonic() < until:
        time.sleep(0.2)  # what was killed takes a moment to end
    changed = sorted(before ^ after, key=lambda line: line.partition(": "))
    Path(sys.argv[1]).write_text("".join(f"{'was' if line in before else 'now'} {line}\n" for line in changed))
    sys.exit(status)
