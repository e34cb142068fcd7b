"""`azready report FILE…`: the JSON of many images' checks and boots as one page, one JUnit, one exit code."""

from pathlib import Path
from typing import Annotated

import typer

from azready.cli import outputs
from azready.cli.check import FailOn
from azready.errors import Exit

Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="JSON of `azready check` and `azready boot`.")]
FORMS = ("text", "json", "junit", "html", "markdown")
Outputs = Annotated[list[str] | None, outputs.option(FORMS)]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("report")(report)


def report(
    files: Files,
    output: Outputs = None,
    fail_on: Annotated[FailOn, typer.Option(help="The least grave finding that is a no.")] = FailOn.ERROR,
) -> None:
    """Join what many images' checks and boots said into one report.

    Exit code: 0 all say yes; 1 one says no; 2 wrong usage or input; 3 one was not decided, and none says no.
    """
    from azready.pipelines import fleet

    wanted = outputs.parse(output, FORMS, files)
    rows = fleet.read(files, fail_on.value)
    forms = {
        "text": lambda: fleet.as_text(rows),
        "json": lambda: fleet.as_json(rows),
        "junit": lambda: fleet.as_junit(rows),
        "html": lambda: fleet.as_html(rows),
        "markdown": lambda: fleet.as_markdown(rows),
    }
    outputs.write(wanted, forms)
    raise typer.Exit({"yes": Exit.OK, "no": Exit.NEGATIVE, "undecided": Exit.UNABLE}[fleet.outcome(rows)])
