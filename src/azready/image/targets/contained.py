"""Runs a program of an image: `python -P -m azready.image.targets.contained ROOT IDENTITY FD NAME=VALUE… -- COMMAND`.

Started in new namespaces (mounts, processes, network, IPC, host name) as their process 1, by root or by root of an
ordinary user's namespace. Two processes:

    keeper   makes the root, gives the program its user namespace, and waits; ends with the program's status
    program  root of a user namespace in which ids are what they are outside, so that files get their owners, but rights
             count for nothing outside: no mounts, no nodes, no settings of the kernel

Files of /proc and /sys are judged by their owner's number, which is the machine's root here, so they are read-only;
what the keeper mounted is locked by the kernel for the program's namespaces, and mounting itself is not given to it.

IDENTITY is `identity` of ROOT: whoever may write to the folder above could put another folder, or a link to `/`, in its
place meanwhile. FD is -1, or a socket over which the keeper sends the one that listens for a proxy outside (`outward`).
"""

import ctypes
import errno
import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from azready.devices import OWN_DEV
from azready.image.targets.web_proxy import PORT
from azready.kernel import seccomp
from azready.kernel.syscalls import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    bind,
    die_with_parent,
    drop_capability,
    mount,
    pivot_root,
    seal_program,
    unshare,
    without_devices,
)

UNUSABLE_ROOT, FAILED = 96, 97
UMASK = 0o022
"""As an installer of packages has it. With the caller's the image's bytecode, initramfs and caches were closed to its
users, or open to all of them."""
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
"""<linux/sockios.h>, <linux/if.h>"""
_NOT_FOUND, _NOT_RUN = 127, 126
"""As a shell ends that cannot start a program."""

# /run is fresh: no tool in there finds a running systemd or D-Bus.
_FOLDERS = (
    OWN_DEV
    + r"""
set -eu
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys 2>/dev/null || mount -t tmpfs -o ro tmpfs sys
own_dev dev
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs tmp
mkdir -m 1777 run/lock
"""
)
_READ_ONLY = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")

_KEPT = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "DAC_READ_SEARCH": 2,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "SYS_CHROOT": 18,
    "AUDIT_WRITE": 29,
    "SETFCAP": 31,
}
"""What dpkg, rpm, apk and pacman and the scripts of their packages need: owners, modes, users, a root of their own."""
_LAST_CAPABILITY = 63


def main() -> None:
    os.umask(UMASK)
    root, known, channel, *words = sys.argv[1:]
    border = words.index("--")
    try:
        if int(channel) >= 0:
            _let_outward(socket.socket(fileno=int(channel)))
        _make_root(root, known)
        status = _keep(dict(word.split("=", 1) for word in words[:border]), words[border + 1 :])
    except (OSError, subprocess.CalledProcessError) as error:
        detail = error.stderr.decode(errors="replace") if isinstance(error, subprocess.CalledProcessError) else ""
        sys.stderr.write(f"{detail or error}\n")
        os._exit(FAILED)
    os._exit(status)


def _let_outward(channel: socket.socket) -> None:
    """Listen on loopback of this network, for who stands outside it."""
    with channel, socket.socket() as listening:
        fcntl.ioctl(listening, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
        listening.bind(("127.0.0.1", PORT))
        listening.listen(64)
        socket.send_fds(channel, [b"!"], [listening.fileno()])


def identity(folder: os.stat_result) -> str:
    """What tells a folder from every other."""
    return f"{folder.st_dev}:{folder.st_ino}"


def _make_root(root: str, known: str) -> None:
    """Make the tree the root folder, with the kernel's file systems in it. pivot_root wants a mount point: a bind.
    Raises OSError where `root` is not the folder it was."""
    mount("", "/", flags=MS_REC | MS_PRIVATE)
    bind(root, root)
    without_devices(root)
    os.chdir(root)
    if identity(os.stat(".")) != known:
        raise OSError(errno.ESTALE, "another folder has taken its place")
    for name in ("proc", "sys", "dev", "run", "tmp"):
        if not os.path.isdir(name) or os.path.islink(name):
            os._exit(UNUSABLE_ROOT)
    mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    subprocess.run(["/bin/sh", "-c", _FOLDERS], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    ctypes.CDLL(None).sethostname(b"localhost", 9)
    seal_program()
    pivot_root(os.getcwd())


def _keep(environment: dict[str, str], argv: list[str]) -> int:
    """Start the program and wait for it; all that it leaves ends with this process."""
    maps = {kind: _identity(kind) for kind in ("uid", "gid")}
    made, mapped = os.pipe(), os.pipe()
    program = os.fork()
    if program == 0:
        try:
            os.close(mapped[1])
            unshare(CLONE_NEWUSER | CLONE_NEWNS)
            os.write(made[1], b"1")
            if os.read(mapped[0], 1) != b"1":
                os._exit(FAILED)
            os.closerange(3, 64)
            _confine()
        except OSError as error:
            os.write(2, f"{error}\n".encode())
            os._exit(FAILED)
        _become(environment, argv)
    os.close(made[1])
    if os.read(made[0], 1) == b"1":
        for kind, text in maps.items():
            Path(f"/proc/{program}/{kind}_map").write_text(text)
        os.write(mapped[1], b"1")
    os.close(mapped[1])
    while True:
        pid, status = os.wait()
        if pid == program:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _identity(kind: str) -> str:
    rows = [line.split() for line in Path(f"/proc/self/{kind}_map").read_text().splitlines()]
    return "".join(f"{inside} {inside} {count}\n" for inside, _, count in rows)


def _confine() -> None:
    """Give up, in the new namespaces, all that a package script has no use for."""
    os.setsid()  # a terminal of the caller's is not the program's: it could type into it
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    die_with_parent()
    for limit in ("user", "mnt"):  # a namespace of its own would give it all capabilities again
        try:
            Path(f"/proc/sys/user/max_{limit}_namespaces").write_text("0")
        except OSError:
            pass
    for name in _READ_ONLY:
        if Path("/proc", name).exists():
            bind(f"/proc/{name}", f"/proc/{name}", read_only=True)
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in _KEPT.values():
            drop_capability(capability)
    seccomp.install()


def _become(environment: dict[str, str], argv: list[str]) -> None:
    try:
        os.execvpe(argv[0], argv, environment)
    except FileNotFoundError:
        os.write(2, f"{argv[0]}: not found\n".encode())
        os._exit(_NOT_FOUND)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(_NOT_RUN)


if __name__ == "__main__":
    main()
