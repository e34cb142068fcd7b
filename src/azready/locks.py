"""One at a time: a lock on an open file, which the system takes away with the file, however its holder ends."""

from typing import IO

try:
    import fcntl
except ImportError:  # Windows: two runs at once are not told apart there
    fcntl = None  # type: ignore[assignment]


def hold(file: IO[str] | IO[bytes] | int, wait: bool = False) -> None:
    """Take the lock of a file. Raises BlockingIOError where another holds it, unless told to `wait`."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
