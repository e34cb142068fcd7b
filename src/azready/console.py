"""Progress on stderr, results on stdout: the only places where the host side prints.

On a terminal everything under way has a row; in a pipe every step is one plain line when it ends.
Core code gets a `Console` passed in (or nothing); only `cli` makes one.
"""

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from azready.display import Display

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves the cursor, rings, or turns the direction of writing; and halves of characters, which nothing writes."""


def printable(text: str) -> str:
    """What others wrote, a guest for one, fit to be shown: it stays text, and only that."""
    return _UNSEEN.sub("\ufffd", text)


_LOG = logging.getLogger("azready")
_LOG.addHandler(logging.NullHandler())  # without --debug or --log-file nothing is to be seen of it
_HUSHED = False


def hush() -> None:
    """From now on every new Console is quiet: --quiet of a verb."""
    global _HUSHED
    _HUSHED = True


class Console:
    """Tells a person what is going on. `quiet` drops everything but warnings. All of it is logged, too."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._display = _display(self._stream)
        self.quiet = quiet or _HUSHED

    def say(self, text: str) -> None:
        """One line of information."""
        _LOG.info("%s", text)
        if not self.quiet:
            self._line(printable(text))

    def warn(self, text: str) -> None:
        """One line that is shown even when quiet."""
        _LOG.warning("%s", text)
        self._line(f"warning: {printable(text)}", "yellow")

    @contextmanager
    def busy(self, title: str) -> Iterator[None]:
        """What takes a moment and is not worth a line: a row on a terminal while it lasts, and nothing elsewhere."""
        _LOG.info("%s", title)
        if self.quiet or self._display is None:
            yield
        else:
            with self._display.row(title, None):
                yield

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step of the work, perhaps within another: its title with the seconds it took, or `failed`, when it ends."""
        with self._running(title, None):
            yield

    @contextmanager
    def transfer(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """A step that moves `total` bytes; yields a function that takes the bytes done since its last call."""
        with self._running(title, total) as advance:
            yield advance

    @contextmanager
    def _running(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        started = time.monotonic()
        try:
            if self.quiet or self._display is None:
                yield lambda done: None
            else:
                with self._display.row(title, total) as advance:
                    yield advance
        except BaseException as error:
            how = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self.say(f"✗ {title}: {how} after {time.monotonic() - started:.1f} s")
            raise
        self.say(f"✓ {title} ({time.monotonic() - started:.1f} s)")

    def _line(self, text: str, style: str | None = None) -> None:
        if self._display is None:
            print(text, file=self._stream, flush=True)
        else:
            self._display.say(text, style)


def _display(stream: TextIO) -> "Display | None":
    """Only a terminal needs what draws on it, which takes as long to load as all else of a verb."""
    if not stream.isatty():
        return None
    from azready.display import Display

    return Display(stream)


SILENT = Console(quiet=True)
"""For callers that want no progress: tests, library use."""
