"""A verb that is cut off, with all that it started, just before it changes something: as a power cut or a kill does it.

Python's own audit events tell of changes: files opened to be written, names, modes, programs started, requests sent.
"""

import contextlib
import os
import signal
from collections.abc import Callable
from random import Random
from typing import Any

_CHANGES = frozenset(
    {
        "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
        "os.chown", "os.utime", "subprocess.Popen", "http.client.send",
    }
)  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def _changes(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        return bool((arguments[2] or 0) & _WRITES) and not str(arguments[0]).startswith("/dev/")
    return event in _CHANGES


def cut_before(number: int, work: Callable[[], object]) -> int:
    """Do `work` in a process of its own, killed before its change `number`.

    Returns 0 where it was killed; otherwise how many changes it made, since it came to its end. Raises AssertionError
    when it fails by itself."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _become(number, work, write_end)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if ended == -signal.SIGKILL:
        return 0
    assert ended == 0, said
    return int(said)


def _become(number: int, work: Callable[[], object], write_end: int) -> None:
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if _changes(event, arguments):
            seen += 1
            if seen == number:
                os.killpg(0, signal.SIGKILL)

    os.setsid()
    import sys

    sys.addaudithook(watch)
    try:
        work()
        os.write(write_end, str(seen).encode())
        os._exit(0)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(write_end, repr(error).encode())
    os._exit(1)


def points(work: Callable[[], object], count: int, seed: int = 1) -> list[int]:
    """Do `work` to its end, and draw `count` of its changes: the first, the last and others between them."""
    changes = cut_before(0, work)
    between = Random(seed).sample(range(2, changes), min(count, changes) - 2)
    return sorted({1, changes, *between})
