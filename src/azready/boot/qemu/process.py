"""QEMU as a process: started, bound to our life, and heard when it complains."""

import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from azready.boot.qemu import relay
from azready.errors import Failure
from azready.proc import dies_with_parent, spawn, stop


@contextlib.contextmanager
def running(words: Sequence[str | Path], errors: Path, control: int) -> Iterator["subprocess.Popen[bytes]"]:
    """QEMU while the block lasts; it is killed with us, too. It inherits the descriptor `control`.

    What it complains of goes to the file `errors`.
    """
    with errors.open("wb") as file:
        bound = dies_with_parent()
        process = spawn([*bound, *words], stderr=file.fileno(), pass_fds=[control])
    try:
        yield process
    finally:
        stop(process)
        if process.stdout is not None:
            process.stdout.close()


def relay_words() -> list[str]:
    """The command that joins a connection of slirp to a port: our own small program, by this interpreter."""
    return [sys.executable, "-I", "-S", str(Path(relay.__file__).resolve())]


def require_reached(host: str, port: int) -> None:
    """Raise Failure where the relay of a guest would not reach the fabric: the image would be blamed for that."""
    try:
        socket.create_connection((host, port), timeout=30).close()
    except OSError as error:
        raise Failure(
            f"this machine does not reach its own {host}: {error.strerror or error} [no-loopback]",
            "is the loopback up (ip link set lo up), and does no firewall close it? then boot again",
        ) from error


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


_TELLING = re.compile(r"KVM|kvm|error|[Ff]ail|[Cc]annot|[Cc]ould not|[Ii]nvalid|[Aa]ssert|denied|No space")
_DUMPED = re.compile(r"^(extra data\[|[A-Z0-9]{2,4} ?=|Code=)")
"""What QEMU shows of a processor that stopped."""


def said(errors: Path) -> str:
    """What QEMU complained of first, in a line; empty where it did not."""
    try:
        text = errors.read_text(errors="replace")
    except OSError:
        return ""
    lines = [re.sub(r"^qemu-system-\w+: ", "", line.strip()) for line in text.splitlines()]
    lines = [line for line in lines if line and not _DUMPED.match(line) and not line.startswith("warning:")]
    telling = [line for line in lines if _TELLING.search(line)]
    return "; ".join(dict.fromkeys((telling or lines)[:2]))
