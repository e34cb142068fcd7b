"""Progress on stderr, results on stdout: the only places where the host side prints.

On a terminal everything under way has a row; in a pipe every step is one plain line when it ends.
Core code gets a `Console` passed in (or nothing); only `cli` makes one.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from azready.display import Display


class Console:
    """Tells a person what is going on. `quiet` drops everything but warnings."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._display = _display(self._stream)
        self.quiet = quiet

    def say(self, text: str) -> None:
        """One line of information."""
        if not self.quiet:
            self._line(text)

    def warn(self, text: str) -> None:
        """One line that is shown even when quiet."""
        self._line(f"warning: {text}", "yellow")

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
