"""What was to be reached, and for each row that is not: which calls take it, and which limit holds (promises.toml).

docs/figures.md shows them beside what a run measured; a reason is shown only while its row is not reached.
"""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.table import Row

TABLE = Path(__file__).with_suffix(".toml")


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """The table in Markdown, of all promises: those that were measured, and those that were not."""
    measured = {row.name: (row, row.goal) for row in rows if row.name and row.goal is not None}
    yield "| figure | now | to reach | reached | if not, why |"
    yield "|---|---|---|---|---|"
    for promise in tomllib.loads(TABLE.read_text(encoding="utf-8"))["promise"]:
        why = " ".join(promise["why"].split())
        if "now" in promise:
            reached = float(promise["now"]) <= float(promise["goal"])
            yield f"| {promise['what']} | {promise['now']} | {promise['goal']} | {'yes' if reached else 'no'} | {why} |"
        elif "name" not in promise:
            yield f"| {promise['what']} | | {promise['goal']} | not measured | {why} |"
        elif promise["name"] in measured:
            row, goal = measured[promise["name"]]
            verdict = "yes | |" if row.value <= goal else f"no | {why} |"
            yield f"| {row.name}: {row.what} | {row.value:.{row.digits}f} | {goal:g} | {verdict}"
        else:
            yield f"| {promise['name']} | | | not measured | this run left it out |"
