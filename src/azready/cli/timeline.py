"""`azready timeline A.json [B.json]`: draws boots that `azready boot --output json` kept, or compares two."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from azready.cli import outputs
from azready.cli.documents import as_json
from azready.console import Console, printable
from azready.errors import Exit, UsageFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console as RichConsole

    from azready.boot.compare import Difference
    from azready.boot.record import BootRecord

First = Annotated[Path, typer.Argument(metavar="A.json", help="What `azready boot --output json` printed.")]
Second = Annotated[Path | None, typer.Argument(metavar="[B.json]", help="Another one, to compare with.")]
Page = Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Write the page of the (last) file.")]
FORMS = ("text", "json", "html")
Outputs = Annotated[list[str] | None, outputs.option(FORMS)]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("timeline")(timeline)


def timeline(first: First, second: Second = None, report: Page = None, output: Outputs = None) -> None:
    """Draw kept boots again, or compare two: outcomes, milestones, and findings that came or went.

    Exit code 1 where the second is worse: a boot that passed fails, or a finding is new.
    """
    from azready.boot.drawing.page import page

    wanted = outputs.parse(output, FORMS, (first, second, report))
    before = read(first)
    after = None if second is None else read(second)
    if report is not None:
        write_page(report, page(after or before), Console())
    plain = wanted.get("text") is not None
    if after is None:
        from azready.boot.record import document

        outputs.write(
            wanted,
            {
                "text": lambda: outputs.drawn(plain, lambda out: _draw(before, out)),
                "json": lambda: document(before),
                "html": lambda: page(before),
            },
        )
        return
    from azready.boot.compare import compare, worse

    rows = compare(before, after)
    outputs.write(
        wanted,
        {
            "text": lambda: outputs.drawn(plain, lambda out: _draw_rows(rows, out)),
            "json": lambda: as_json({"rows": [vars(row) for row in rows]}),
            "html": lambda: page(after),
        },
    )
    if worse(rows):
        sys.exit(Exit.NEGATIVE)


def write_page(path: Path, text: str, console: Console) -> None:
    """Write a page and say where it is."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageFailure(f"cannot write {path}: {error.strerror}", "choose a file in a folder of yours") from error
    console.say(f"report: {path}")


def read(path: Path) -> "tuple[BootRecord, ...]":
    """The boots that `boot --output json` kept. Raises UsageFailure for a file that holds none, or cannot be read."""
    from azready.boot.record import from_json

    try:
        table: Any = json.loads(path.read_text(encoding="utf-8"))
        rows = table["boots"] if isinstance(table, dict) else table
        if any("diagnosis" in row for row in rows):
            raise UsageFailure(
                f"{path} was kept by an older azready, whose records had another form",
                "boot that image again: azready boot … --output json >FILE",
            )
        return tuple(from_json(row) for row in rows)
    except OSError as error:
        raise UsageFailure(f"{path}: {error.strerror}", "keep one with: azready boot … --output json >FILE") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageFailure(
            f"{path} holds no boots: {error}", "keep one with: azready boot … --output json >FILE"
        ) from error


def _draw(records: "tuple[BootRecord, ...]", out: "RichConsole") -> None:
    from azready.boot.drawing.terminal import draw

    for record in records:
        draw(record, out)


def _draw_rows(rows: "Sequence[Difference]", out: "RichConsole") -> None:
    """Words as lines, which a terminal may wrap and a pipe may not; times as a table."""
    from rich.table import Table
    from rich.text import Text

    from azready.boot.record import MILESTONES

    for title in dict.fromkeys(row.boot for row in rows):
        out.print(Text(title, "bold"))
        table = Table("", "before", "after", "change", box=None, padding=(0, 2, 0, 0))
        for row in (each for each in rows if each.boot == title):
            if row.what in MILESTONES:
                change = "" if row.change is None else f"{row.change:+.2f} s"
                table.add_row(f"  {row.what}", row.before, row.after, change, style=_TONES[row.tone])
            else:
                out.print(Text(f"  {_in_words(row)}", _TONES[row.tone]), soft_wrap=True)
        if table.row_count:
            out.print(table)


_TONES = {"better": "green", "worse": "red", "": ""}


def _in_words(row: "Difference") -> str:
    """`cause: this → that (worse)`; what is new has no arrow, and what is equal is said once."""
    texts = [text for text in dict.fromkeys((row.before, row.after)) if text]
    return printable(f"{row.what}: {' → '.join(texts)}") + (f" ({row.tone})" if row.tone else "")
