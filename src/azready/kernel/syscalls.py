"""The few Linux system calls that Python 3.11 does not offer: namespaces, mounts, pivot_root.

Every function raises OSError with the call and its operand named. Numbers are those of <linux/sched.h> and
<linux/mount.h>, the same on all architectures, as are calls from 424 on.
"""

import ctypes
import errno
import os
import platform
import re
import signal
import struct
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SHARED = 1 << 20
_OF_A_MOUNT = {"nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}
"""Flags that a remount has to repeat, as /proc/self/mountinfo calls them."""

_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NODEV, _MOUNT_ATTR_IDMAP = 1, 4, 0x100000
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217, "armv7l": 218}
NOT_THE_GUESTS = {
    "SYS_MODULE": 16,
    "SYS_RAWIO": 17,
    "SYS_PACCT": 20,
    "SYS_TIME": 25,
    "MAC_OVERRIDE": 32,
    "MAC_ADMIN": 33,
    "SYSLOG": 34,
    "WAKE_ALARM": 35,
    "BLOCK_SUSPEND": 36,
    "AUDIT_READ": 37,
    "PERFMON": 38,
    "BPF": 39,
    "CHECKPOINT_RESTORE": 40,
}.values()
"""Capabilities that a booted tree has no use for (systemd-nspawn gives none of them either): init asks for them before
it touches the kernel's own."""

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Give the calling process namespaces of its own; NEWPID takes effect for its children."""
    _checked(_libc.unshare(ctypes.c_int(flags)), f"unshare({flags:#x})")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2); an empty `kind` is for a bind or a change of flags. Raises OSError."""
    words = (source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    _checked(_libc.mount(*words), f"mount {kind or 'bind'} on {target}")


def bind(source: str, target: str, *, read_only: bool = False) -> None:
    """Show a file or folder, with what is mounted below it, at another place."""
    mount(source, target, flags=MS_BIND | MS_REC)
    if read_only:
        mount("", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)


def seal_program() -> None:
    """Make read-only, in this mount namespace, the mount of the program that runs here: Python itself.

    To a script whose interpreter is said to be /proc/self/exe the kernel gives the program of who started it. Root of
    an image could so change mode and owner of a program of this machine, as CVE-2019-5736 changed what is in it.
    Raises OSError where it stays changeable.
    """
    program = os.open("/proc/self/exe", os.O_PATH | os.O_CLOEXEC)
    try:
        number = re.search(r"mnt_id:\s*(\d+)", Path(f"/proc/self/fdinfo/{program}").read_text())
    finally:
        os.close(program)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        if number and fields[0] == number[1]:
            place = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4])
            kept = sum(flag for name, flag in _OF_A_MOUNT.items() if name in fields[5].split(","))
            mount("", place, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | kept)
    sealed = os.statvfs("/proc/self/exe").f_flag & os.ST_RDONLY
    running = Path("/proc/self/exe")
    if not sealed and running.stat().st_uid == os.geteuid():
        raise OSError(errno.EACCES, f"{running.readlink()} would be open to the image's programs")


def bind_device(source: str, target: str) -> None:
    """Show a device node at another place: it can be used there, but keeps its owner, mode and times.

    In a user namespace a remount has to repeat the flags with which the node's file system is mounted.
    """
    mount(source, target, flags=MS_BIND)
    kept = os.statvfs(target).f_flag & (os.ST_NOSUID | os.ST_NOEXEC)
    mount("", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def mapped_tree(path: str, user_namespace: int) -> int:
    """A descriptor of a read-only view of the folder `path`, in which files belong to whom a user namespace says.

    `user_namespace` is a descriptor; the view is a mount that is nowhere yet (mount_setattr(2)). EINVAL: the file
    system cannot do this, or the kernel is older than 5.12.
    """
    flags = ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC)
    mount = int(_libc.syscall(ctypes.c_long(_SYS_OPEN_TREE), ctypes.c_int(_AT_FDCWD), path.encode(), flags))
    _checked(min(mount, 0), f"open_tree({path})")
    wanted = _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NODEV | _MOUNT_ATTR_IDMAP
    words = struct.pack("=QQQQ", wanted, 0, MS_PRIVATE, user_namespace)
    numbers = (ctypes.c_int(mount), b"", ctypes.c_uint(_AT_EMPTY_PATH), words, ctypes.c_size_t(len(words)))
    try:
        _checked(_libc.syscall(ctypes.c_long(_SYS_MOUNT_SETATTR), *numbers), f"mount_setattr({path})")
    except OSError:
        os.close(mount)
        raise
    return mount


def without_devices(path: str) -> None:
    """Make device nodes useless in the mount at `path` and in all below it."""
    words = struct.pack("=QQQQ", _MOUNT_ATTR_NODEV, 0, 0, 0)
    flags = ctypes.c_uint(_AT_RECURSIVE)
    numbers = (ctypes.c_int(_AT_FDCWD), path.encode(), flags, words, ctypes.c_size_t(len(words)))
    if _libc.syscall(ctypes.c_long(_SYS_MOUNT_SETATTR), *numbers) != 0:  # Linux before 5.12
        kept = os.statvfs(path).f_flag & (os.ST_RDONLY | os.ST_NOSUID | os.ST_NOEXEC)
        mount("", path, flags=MS_REMOUNT | MS_BIND | MS_NODEV | kept)


def attach(mount: int, target: str) -> None:
    """Put a mount that is nowhere yet on a folder."""
    words = (ctypes.c_int(mount), b"", ctypes.c_int(_AT_FDCWD), target.encode())
    done = _libc.syscall(ctypes.c_long(_SYS_MOVE_MOUNT), *words, ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH))
    _checked(done, f"move_mount to {target}")


def enter(namespace: int, kind: int) -> None:
    """Enter a namespace by its descriptor; `kind` is a CLONE_NEW… flag."""
    _checked(_libc.setns(ctypes.c_int(namespace), ctypes.c_int(kind)), f"setns({kind:#x})")


def unmount(target: str) -> None:
    """Detach a mount now; it ends when nothing uses it any more."""
    _checked(_libc.umount2(target.encode(), ctypes.c_int(_MNT_DETACH)), f"umount of {target}")


def pivot_root(new_root: str) -> None:
    """Make a mount point the root folder, and detach all that was mounted before."""
    os.chdir(new_root)
    number = _SYS_PIVOT_ROOT[platform.machine()]
    # pivot_root(".", ".") stacks the old root on the new one; detaching "." then uncovers the new.
    _checked(_libc.syscall(ctypes.c_long(number), b".", b"."), f"pivot_root to {new_root}")
    unmount(".")
    os.chdir("/")


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends, however it ends."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def drop_capability(number: int) -> None:
    """Take a capability away from this process and all that it will ever start; one that the kernel lacks, too."""
    if _libc.prctl(_PR_CAPBSET_READ, ctypes.c_ulong(number), 0, 0, 0) == 1:
        _checked(_libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0), f"prctl(PR_CAPBSET_DROP, {number})")
