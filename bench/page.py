"""docs/figures.md: every row of a run of `make bench`, what it is held to, and how each part measured it."""

import importlib
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench import promises
from bench.table import Row

ROWS = "AZREADY_BENCH_ROWS"
"""Names the file to which each part adds its rows, a line of JSON each: parts are processes of their own."""
_HEAD = """# Figures

Made by `make bench`: nearly every figure is a ratio of things measured in turns in one run, so that a slow or busy
machine slows both sides. "Good" is at or under what is aimed at; a figure over "fails over" makes the command fail.

"""


def keep(part: str, rows: Sequence[Row]) -> None:
    """Add rows to the file that the run collects, if it does."""
    if path := os.environ.get(ROWS):
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"part": part, **asdict(row)}) + "\n" for row in rows)


def kept(path: Path) -> dict[str, list[Row]]:
    """What the parts of a run added, by part."""
    found: dict[str, list[Row]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        found.setdefault(fields.pop("part"), []).append(Row(**fields))
    return found


def as_page(rows: Mapping[str, Sequence[Row]]) -> str:
    """Markdown: where and when, a table a part, and the head of the part's module, which says how."""
    lines = [_HEAD + f"Measured {time.strftime('%Y-%m-%d')}: {_machine()}.", ""]
    lines += ["## What was to be reached", "", *promises.lines(row for part in rows.values() for row in part), ""]
    for part, measured in rows.items():
        lines += [f"## {part}", "", _how(part), ""]
        lines += ["| figure | now | to reach | fails over | | from |", "|---|---|---|---|---|---|"]
        lines += [_line(row) for row in measured] + [""]
    return "\n".join(lines)


def _how(part: str) -> str:
    """The paragraphs of the part's docstring, each on lines of its own."""
    text = importlib.import_module(f"bench.{part}").__doc__ or ""
    return text.strip()


def _line(row: Row) -> str:
    limits = ["" if limit is None else f"{limit:g}" for limit in (row.goal, row.fail)]
    what = f"{row.name}: {row.what}" if row.name else row.what
    cells = [what, f"{row.value:.{row.digits}f}", *limits, row.verdict, row.note]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _machine() -> str:
    load = os.getloadavg()[0]
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, Linux {platform.release()}, Python {platform.python_version()}, load {load:.1f} at the end"
