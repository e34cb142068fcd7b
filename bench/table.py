"""Rows of the table: a figure, its goal and the value at which it counts as failed; and how they are printed."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rich.table import Table

from bench.lab import Cost


@dataclass(frozen=True)
class Row:
    """One line: what was measured, the figure, its limits (None: only told), and what it rests on."""

    name: str
    what: str
    value: float
    goal: float | None = None
    fail: float | None = None
    note: str = ""
    digits: int = 2

    @property
    def verdict(self) -> str:
        if self.goal is None or self.fail is None:
            return ""
        return "good" if self.value <= self.goal else "FAIL" if self.value > self.fail else "fair"


def as_table(rows: Sequence[Row]) -> Table:
    """All rows, for a terminal."""
    table = Table(title="Speed: ratios measured in one run; CPU is user + system of the program and its children")
    for heading, right in (
        ("", 0),
        ("what", 0),
        ("value", 1),
        ("goal ≤", 1),
        ("fail >", 1),
        ("verdict", 0),
        ("from", 0),
    ):
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    colours = {"good": "green", "fair": "yellow", "FAIL": "red"}
    for row in rows:
        style = colours.get(row.verdict)
        shown = f"[{style}]{row.verdict}[/]" if style else ""
        limits = ["" if limit is None else f"{limit:g}" for limit in (row.goal, row.fail)]
        table.add_row(row.name, row.what, f"{row.value:.{row.digits}f}", *limits, shown, row.note)
    return table


def cpu(costs: Sequence[Cost]) -> float:
    """Median of CPU, in milliseconds."""
    return median(cost.cpu for cost in costs) * 1000


def wall(costs: Sequence[Cost]) -> float:
    """Median of wall time, in milliseconds."""
    return median(cost.wall for cost in costs) * 1000
