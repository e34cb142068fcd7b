"""Running other programs: the one place of the host side that starts processes and waits for them.

Long-lived children (a booted container, QEMU) use `spawn`; everything else `run`.
"""

import logging
import os
import select
import selectors
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from azready import packages
from azready.errors import Failure

_LOG = logging.getLogger("azready")


@dataclass(frozen=True)
class Completed:
    """A finished program: exit status, and both outputs as text (undecodable bytes replaced)."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


class CommandFailed(Failure):
    """A program ended with an unexpected status; the message holds the command ready to paste."""

    def __init__(self, done: Completed, hint: str = "") -> None:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        tail = "\n".join(lines[-8:])
        super().__init__(
            f"{shlex.join(done.argv)} ended with status {done.status}" + (f":\n{tail}" if tail else ""), hint
        )
        self.done = done


class MissingTool(Failure):
    """A program is not installed; `package` is Debian's name of what holds it."""

    def __init__(self, tool: str, package: str) -> None:
        line = how_to_install(package)
        super().__init__(f"{tool} is not installed", f"{line} (`azready doctor` names all that is missing)")
        self.tool = tool
        self.package = package


def find_tool(tool: str, package: str) -> str:
    """Return the path of `tool`, looking where root would."""
    found = shutil.which(tool, path=path_of_root())
    if found is None:
        raise MissingTool(tool, package)
    return found


def dies_with_parent(by: Literal["KILL", "TERM"] = "KILL") -> list[str]:
    """Words before a command that let it end by this signal when whoever started it ends, however that ends."""
    return [find_tool("setpriv", "util-linux"), "--pdeathsig", by, "--"]


def path_of_root() -> str:
    """PATH with the folders of administration, which an ordinary user's often lacks."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def how_to_install(*wanted: str) -> str:
    """What to type here for packages of these names in Debian; empty where this distribution has none of them."""
    return packages.install_line(wanted, packages.manager(path_of_root()))


def has_tool(tool: str) -> bool:
    """Whether `find_tool` would find it."""
    try:
        find_tool(tool, tool)
    except MissingTool:
        return False
    return True


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    stdin: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    hint: str = "",
    pass_fds: Sequence[int] = (),
    umask: int = -1,
) -> Completed:
    """Run a program to its end, without a shell and without inheriting stdin. `umask` -1: the caller's.

    Raises CommandFailed on a non-zero status unless `check` is false, Failure when it cannot be started or
    runs longer than `timeout` seconds (it is killed).
    """
    words = tuple(str(word) for word in argv)
    data = stdin.encode() if isinstance(stdin, str) else stdin
    started = time.monotonic()
    try:
        done = subprocess.run(
            words,
            input=data if data is not None else b"",
            capture_output=True,
            env=None if env is None else dict(env),
            cwd=cwd,
            timeout=timeout,
            check=False,
            pass_fds=pass_fds,
            umask=umask,
        )
    except FileNotFoundError as error:
        raise Failure(f"{words[0]} is not installed", hint) from error
    except PermissionError as error:
        raise Failure(f"{words[0]} may not be run: {error.strerror}", hint) from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{shlex.join(words)} did not end within {timeout:g} s", hint) from error
    result = Completed(
        words, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )
    _LOG.debug("%s: status %d, %.2f s", shlex.join(words), result.status, time.monotonic() - started)
    if result.stderr and result.status != 0:
        _LOG.debug("%s", result.stderr.rstrip())
    if check and result.status != 0:
        raise CommandFailed(result, hint)
    return result


MOST_HEARD = 32 * 1024 * 1024
"""Bytes taken of each output of a program that speaks for a guest: a journal of a first boot has one or two."""


def ask(
    argv: Sequence[str | Path], *, timeout: float, most: int = MOST_HEARD, env: Mapping[str, str] | None = None
) -> Completed:
    """Run a program whose words are a guest's: of what it says `most` bytes are taken, and with more it is ended.

    Raises Failure when it cannot be started, or when it or a child of it still speaks after `timeout` seconds.
    """
    words, until = tuple(str(word) for word in argv), time.monotonic() + timeout
    heard = {"stdout": bytearray(), "stderr": bytearray()}
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if env is None else dict(env),
        )
    except OSError as error:
        raise Failure(f"{words[0]} cannot be started: {error.strerror}") from error
    with process, selectors.DefaultSelector() as selector:
        for name in heard:
            selector.register(getattr(process, name), selectors.EVENT_READ, name)
        try:
            while selector.get_map() and all(len(data) <= most for data in heard.values()):
                if (left := until - time.monotonic()) <= 0:
                    raise Failure(f"{shlex.join(words)} did not end within {timeout:g} s")
                _hear(selector, heard, left)
            if not selector.get_map():
                process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{shlex.join(words)} did not end within {timeout:g} s") from error
        finally:
            process.kill()
    out, err = (data[:most].decode(errors="replace") for data in heard.values())
    return Completed(words, process.returncode, out, err)


def _hear(selector: selectors.BaseSelector, heard: dict[str, bytearray], seconds: float) -> None:
    for key, _ in selector.select(seconds):
        data = os.read(key.fd, 65536)
        heard[key.data] += data
        if not data:
            selector.unregister(key.fileobj)


def stream(argv: Sequence[str | Path], stdin: bytes, chunk: int) -> Iterator[bytes]:
    """Run a filter: `stdin` in, its stdout out in pieces of at most `chunk` bytes, however much it is.

    Raises CommandFailed, and Failure if it cannot start. An iterator that is dropped ends the program.
    """
    words = [str(word) for word in argv]
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as errors:
        source.write(stdin)
        source.seek(0)
        process = spawn(words, stdin=source.fileno(), stderr=errors.fileno())
        try:
            if process.stdout is None:
                raise RuntimeError("it is not open")
            while piece := process.stdout.read(chunk):
                yield piece
            if process.wait() != 0:
                errors.seek(0)
                raise CommandFailed(
                    Completed(tuple(words), process.returncode, "", errors.read(4096).decode(errors="replace"))
                )
        finally:
            stop(process)


def spawn(
    argv: Sequence[str | Path],
    *,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.STDOUT,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a long-lived program; the caller ends it (in a `finally`, or an ExitStack)."""
    words = [str(word) for word in argv]
    _LOG.debug("start %s", shlex.join(words))
    try:
        return subprocess.Popen(
            words,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=None if env is None else dict(env),
            pass_fds=pass_fds,
        )
    except FileNotFoundError as error:
        raise Failure(f"{words[0]} is not installed") from error


def stop(process: "subprocess.Popen[bytes]", grace: float = 2.0) -> None:
    """End a program started with `spawn`: TERM, then KILL after `grace` seconds. Harmless when it has ended."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def readable(descriptor: int, seconds: float) -> bool:
    """Whether there is something to read, or the other end is gone, within that time; however many files are open."""
    poll = select.poll()  # select() itself knows no descriptor above 1023
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
