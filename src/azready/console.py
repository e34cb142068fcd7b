"""Progress on stderr, results on stdout: the only places where the host side prints.

On a terminal a running step is a spinner or a bar; in a pipe every step is one plain line when it ends.
Core code gets a `Console` passed in (or nothing); only `cli` makes one.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console as RichConsole
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn


class Console:
    """Tells a person what is going on. `quiet` drops everything but warnings."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._rich = RichConsole(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self.quiet = quiet

    def say(self, text: str) -> None:
        """One line of information."""
        if not self.quiet:
            self._rich.print(text, markup=False)

    def warn(self, text: str) -> None:
        """One line that is shown even when quiet."""
        self._rich.print(f"warning: {text}", markup=False, style="yellow")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step of the work: a spinner while it runs, then its title with the seconds it took, or `failed`."""
        started = time.monotonic()
        try:
            if self.quiet or not self._rich.is_terminal:
                yield
            else:
                with self._rich.status(title):
                    yield
        except BaseException as error:
            how = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self.say(f"✗ {title}: {how} after {time.monotonic() - started:.1f} s")
            raise
        self.say(f"✓ {title} ({time.monotonic() - started:.1f} s)")

    @contextmanager
    def transfer(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """A transfer of `total` bytes; yields a function that takes the bytes done since its last call."""
        if self.quiet or not self._rich.is_terminal:
            with self.step(title):
                yield lambda done: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._rich, transient=True) as progress:
            task = progress.add_task(title, total=total)
            yield lambda done: progress.advance(task, done)
        self.say(f"✓ {title}")


SILENT = Console(quiet=True)
"""For callers that want no progress: tests, library use."""
