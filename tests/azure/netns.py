"""A network namespace that has only `lo`, for the thread that runs a test: nothing can reach the outside.

As root every test of the control plane runs inside one. An ordinary user cannot enter one in a process with
threads, so those tests run in a child: `unshare --user --net` around pytest (see test_isolation.py).
"""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP_RUNNING = 0x41


def only_loopback() -> bool:
    """Whether this thread's namespace has no interface but `lo`."""
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
    return [line.split(":")[0].strip() for line in lines] == ["lo"]


def raise_loopback() -> None:
    with socket.socket() as probe:
        fcntl.ioctl(probe, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP_RUNNING))


@contextlib.contextmanager
def own_namespace() -> Iterator[None]:
    """Enter a fresh namespace with this thread (and the threads and children it starts), and come back."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            raise_loopback()
            yield
        finally:
            if libc.setns(before, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(before)
