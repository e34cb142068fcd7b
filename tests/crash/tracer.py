"""Run a program in a tree and stop it, and every process that it starts, before each call that changes the tree.

By ptrace(2) and PTRACE_GET_SYSCALL_INFO (Linux 5.3), with the numbers of x86-64's system calls.
"""

import ctypes
import os
import signal
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TRACEME, _SYSCALL, _SETOPTIONS, _SYSCALL_INFO = 0, 24, 0x4200, 0x420E
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000  # SYSGOOD, FORK, VFORK, CLONE, EXEC, EXITKILL
_ENTRY = 1
_ALL_CHILDREN = 0x40000000  # __WALL
_AT_CWD = -100

_BY_DESCRIPTOR = {1: "write", 18: "pwrite64", 20: "writev", 74: "fsync", 75: "fdatasync", 77: "ftruncate", 91: "fchmod",
                  93: "fchown", 306: "syncfs"}  # fmt: skip
_BY_PATH = {76: ("truncate", 0), 82: ("rename", 0), 83: ("mkdir", 0), 84: ("rmdir", 0), 85: ("creat", 0),
            86: ("link", 1), 87: ("unlink", 0), 88: ("symlink", 1),
            90: ("chmod", 0), 92: ("chown", 0), 94: ("lchown", 0)}  # fmt: skip
_BY_FOLDER = {258: ("mkdirat", 0, 1), 260: ("fchownat", 0, 1), 263: ("unlinkat", 0, 1), 264: ("renameat", 2, 3),
              265: ("linkat", 2, 3), 266: ("symlinkat", 1, 2), 268: ("fchmodat", 0, 1), 280: ("utimensat", 0, 1),
              316: ("renameat2", 2, 3)}  # fmt: skip
"""Name, and which arguments hold the open folder and the path that changes."""
_OPEN, _OPENAT, _SYNC, _SENDTO = 2, 257, 162, 44

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


@dataclass(frozen=True)
class Change:
    """A call that is about to change the tree: the path in it; for a request its first line; nothing for sync."""

    call: str
    path: str


@dataclass(frozen=True)
class Ended:
    """How the first process ended, and what all of them wrote to stderr."""

    status: int
    said: str


def run(root: Path, words: Sequence[str], env: Mapping[str, str], at_change: Callable[[Change], None]) -> Ended:
    """Run `words` with `root` as its root. `at_change` is called with the process that makes the change stopped."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _become(root, words, env, write_end)
    os.close(write_end)
    os.waitpid(child, 0)
    _libc.ptrace(_SETOPTIONS, child, None, _OPTIONS)
    _libc.ptrace(_SYSCALL, child, None, None)
    status = _follow(child, root, at_change)
    with os.fdopen(read_end, "rb") as pipe:
        return Ended(status, pipe.read().decode(errors="replace"))


def _become(root: Path, words: Sequence[str], env: Mapping[str, str], write_end: int) -> None:
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(0, 1)
        os.dup2(write_end, 2)
        _libc.ptrace(_TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.chroot(root)
        os.chdir("/")
        os.execve(words[0], list(words), dict(env))
    finally:
        os._exit(127)


def _follow(child: int, root: Path, at_change: Callable[[Change], None]) -> int:
    """Let all processes run until the last has ended; returns the exit status of `child`."""
    status = -1
    while True:
        try:
            pid, what = os.waitpid(-1, _ALL_CHILDREN)
        except ChildProcessError:
            return status
        if os.WIFEXITED(what) or os.WIFSIGNALED(what):
            status = os.waitstatus_to_exitcode(what) if pid == child else status
            continue
        number = os.WSTOPSIG(what)
        if number == signal.SIGTRAP | 0x80:
            for change in _entered(pid, root):
                at_change(change)
        given = 0 if number in (signal.SIGTRAP | 0x80, signal.SIGTRAP, signal.SIGSTOP) else number
        _libc.ptrace(_SYSCALL, pid, None, given)


def _entered(pid: int, root: Path) -> Iterator[Change]:
    info = ctypes.create_string_buffer(88)
    _libc.ptrace(_SYSCALL_INFO, pid, 88, ctypes.cast(info, ctypes.c_void_p).value)
    if info.raw[0] != _ENTRY:
        return
    number, *arguments = struct.unpack_from("<7Q", info.raw, 24)
    call, path = _what(pid, number, arguments, root)
    if number in (_SYNC, _SENDTO):
        if call:
            yield Change(call, path)
        return
    inner = path.removesuffix(" (deleted)").removeprefix(str(root))
    if call and path.startswith(f"{root}/") and inner.split("/")[1] not in ("dev", "proc", "run", "sys", "tmp", "usr"):
        yield Change(call, inner)


def _what(pid: int, number: int, a: Sequence[int], root: Path) -> tuple[str, str]:
    """The name of a call that changes something, and the path outside of `root`'s namespace that it changes."""
    if number in _BY_DESCRIPTOR:
        return _BY_DESCRIPTOR[number], _open_path(pid, a[0])
    if number in _BY_PATH:
        call, at = _BY_PATH[number]
        return call, _joined(pid, _AT_CWD, _text(pid, a[at]), root)
    if number in _BY_FOLDER:
        call, folder, at = _BY_FOLDER[number]
        return call, _joined(pid, a[folder], _text(pid, a[at]), root)
    if number == _OPEN and a[1] & (os.O_CREAT | os.O_TRUNC):
        return "open", _joined(pid, _AT_CWD, _text(pid, a[0]), root)
    if number == _OPENAT and a[2] & (os.O_CREAT | os.O_TRUNC):
        return "openat", _joined(pid, a[0], _text(pid, a[1]), root)
    if number == _SYNC:
        return "sync", ""
    if number == _SENDTO:
        head = _text(pid, a[1])
        return ("request", head.split("\r\n")[0][:80]) if head[:4] in ("GET ", "POST") else ("", "")
    return "", ""


def _joined(pid: int, folder: int, path: str, root: Path) -> str:
    if path.startswith("/"):
        return f"{root}{path}"
    base = _open_path(pid, folder)
    return f"{base}/{path}" if path else base


def _open_path(pid: int, descriptor: int) -> str:
    number = ctypes.c_int(descriptor & 0xFFFFFFFF).value
    link = f"/proc/{pid}/cwd" if number == _AT_CWD else f"/proc/{pid}/fd/{number}"
    try:
        return str(Path(link).readlink())
    except OSError:
        return ""


def _text(pid: int, address: int) -> str:
    """The C string at an address of a process; 512 bytes at most, fewer where its page ends."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for size in (512, 4096 - address % 4096):
            try:
                memory.seek(address)
                return memory.read(size).split(b"\0")[0].decode(errors="replace")
            except (OSError, ValueError, OverflowError):
                continue
    return ""
