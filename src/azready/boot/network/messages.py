"""What the host process and the process inside the fabric's namespaces say to each other.

One JSON table a packet over a SOCK_SEQPACKET pair, file descriptors beside it. The receiver learns the sender's
process id as its own namespace sees it (SCM_CREDENTIALS), which is how the host finds the guest's PID 1.
"""

import array
import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

_LIMIT = 65536
_FDS = 16


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends; the first is the host's and learns who sends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def send(end: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """One message in one packet; the receiver gets descriptors of its own for `fds`."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    end.sendmsg([json.dumps(message).encode()], ancillary)


def receive(end: socket.socket) -> tuple[dict[str, Any], list[int], int]:
    """Return the message, its file descriptors and the sender's pid (0: unknown). Raises EOFError at the end."""
    size = socket.CMSG_SPACE(_FDS * 4) + socket.CMSG_SPACE(12)
    data, ancillary, _, _ = end.recvmsg(_LIMIT, size, socket.MSG_CMSG_CLOEXEC)
    fds, pid = array.array("i"), 0
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
        elif level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid = struct.unpack("3i", payload[:12])[0]
    if not data:
        raise EOFError
    return json.loads(data), list(fds), pid
