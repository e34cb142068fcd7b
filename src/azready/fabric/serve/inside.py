"""Run as a program in fresh namespaces: takes Azure's two addresses, listens on them, and becomes a command.

`python -m azready.fabric.serve.inside FD COMMAND …` is what `enclosed` starts (below `unshare`): it sends the
listening sockets over the socket FD, waits for a byte, and executes the command. Nothing here touches the
machine's own network: it refuses unless the namespace holds the loopback interface alone, and no route.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from azready import userns
from azready.errors import Failure
from azready.fabric.ledger import Service
from azready.fabric.serve.sealed import require_sealed
from azready.fabric.serve.sockets import open_socket
from azready.proc import find_tool, spawn, stop

PLACES: tuple[tuple[Service, str, int], ...] = (
    ("wireserver", "168.63.129.16", 80),
    ("hostplugin", "168.63.129.16", 32526),
    ("imds", "169.254.169.254", 80),
    ("dns", "168.63.129.16", 53),
    ("dns-tcp", "168.63.129.16", 53),
)


@contextmanager
def enclosed(command: Sequence[str]) -> Iterator[tuple[dict[Service, socket.socket], Callable[[], int]]]:
    """Namespaces (network, host name; user, unless root) where Azure's addresses are on the loopback interface.

    Yields the sockets that listen there, and a function that starts `command` inside and waits for its status.
    Raises Failure when the namespaces cannot be made.
    """
    ours, theirs = socket.socketpair()
    words = [*userns.become_root().words("--net", "--uts"), sys.executable, "-P"]
    words += ["-m", "azready.fabric.serve.inside", str(theirs.fileno()), *command]
    child = spawn(words, stdin=None, stdout=None, stderr=None, pass_fds=(theirs.fileno(),))
    theirs.close()
    try:
        said, fds, _, _ = socket.recv_fds(ours, 4096, len(PLACES))
        if len(fds) != len(PLACES):
            raise Failure(
                f"no network namespace of our own could be made: {said.decode() or 'unshare was refused'}",
                "allow unprivileged user namespaces, or run as root; `azready fabric` on loopback needs neither",
            )
        sockets = {place[0]: socket.socket(fileno=fd) for place, fd in zip(PLACES, fds, strict=True)}

        def run() -> int:
            ours.send(b"!")
            return child.wait()

        yield sockets, run
    finally:
        ours.close()
        stop(child)


def _take_addresses() -> list[socket.socket]:
    require_sealed(links=("lo",))
    subprocess.run([find_tool("ip", "iproute2"), "link", "set", "lo", "up"], check=True)
    for address in {place[1] for place in PLACES}:
        subprocess.run([find_tool("ip", "iproute2"), "address", "add", f"{address}/32", "dev", "lo"], check=True)
    return [open_socket(*place) for place in PLACES]


def main(words: list[str]) -> None:
    """The program: `FD COMMAND …`."""
    channel = socket.socket(fileno=int(words[0]))
    try:
        sockets = _take_addresses()
    except (Failure, OSError, subprocess.CalledProcessError) as error:
        channel.send(str(error).encode())
        sys.exit(1)
    socket.send_fds(channel, [b"ready"], [sock.fileno() for sock in sockets])
    for sock in sockets:
        sock.close()
    if channel.recv(1) != b"!":
        sys.exit(1)
    channel.close()
    try:
        os.execvp(words[1], words[1:])
    except OSError as error:
        print(f"azready: {words[1]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
