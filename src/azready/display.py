"""What runs, on a terminal: one line a step or transfer that is under way, redrawn in place and gone when it ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.table import Column
from rich.text import Text


class _OfTransfers(ProgressColumn):
    """A column that steps, of which no size is known, leave empty."""

    def __init__(self, column: ProgressColumn) -> None:
        super().__init__()
        self._column = column

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else self._column.render(task)  # type: ignore[return-value]


class Display:
    """A terminal: lines that stay, and below them a row for everything under way, the outermost first."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        title = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1))
        columns = (SpinnerColumn(), title, _OfTransfers(BarColumn(20)), _OfTransfers(DownloadColumn()), Elapsed())
        self._rows = Progress(*columns, console=self._console, transient=True)
        self._shown = 0

    def say(self, text: str, style: str | None = None) -> None:
        """A line that stays."""
        self._console.print(text, markup=False, style=style)

    @contextmanager
    def row(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A row while the block lasts; yields a function that takes the bytes, of `total`, done since its last call."""
        if self._shown == 0:  # one display at a time: rows within rows share it
            self._rows.start()
        self._shown += 1
        task = self._rows.add_task(title, total=total)
        try:
            yield lambda done: self._rows.advance(task, done)
        finally:
            self._rows.remove_task(task)
            self._shown -= 1
            if self._shown == 0:
                self._rows.stop()
