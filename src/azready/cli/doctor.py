"""`azready doctor`: what this machine can do, and the line to type for the rest."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from azready.cli import outputs
from azready.errors import Exit, UsageFailure

if TYPE_CHECKING:
    from azready.pipelines.doctor import Examined

Asked = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ABILITY]…", help="trees, check-disk, disks, boot-tree, boot-disk, demo, fabric, azure. Default: all."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("doctor")(doctor)


def doctor(asked: Asked = None, output: outputs.Both = None) -> None:
    """Say what this machine can do, and what to install or allow for the rest. Changes nothing.

    Exit code: 0 all that was asked for works here, 3 something is missing.
    """
    from azready.pipelines.doctor import ABILITIES, examine

    names = [each.name for each in ABILITIES]
    if unknown := [each for each in asked or () if each not in names]:
        raise UsageFailure(f"there is no ability {', '.join(unknown)}", f"ask for {', '.join(names)}")
    wanted = outputs.parse(output, outputs.BOTH)
    examined = [examine(each) for each in ABILITIES if not asked or each.name in asked]
    outputs.tell(wanted, lambda: "\n".join(_lines(examined)), lambda: _facts(examined))
    if not all(each.works for each in examined):
        sys.exit(Exit.UNABLE)


def _lines(examined: "Sequence[Examined]") -> list[str]:
    from azready.pipelines.doctor import advice

    lines: list[str] = []
    for each in examined:
        lines.append(f"{'✓' if each.works else '✗'} {each.ability.name:<10} {each.ability.serves}")
        lines += [f"{'':13}{lack.what}{f': {lack.fix}' if lack.fix else ''}" for lack in each.lacks]
        lines += [f"{'':13}{each.note}"] if each.note else []
    line = advice(examined)
    return [*lines, "", f"what to do: {line}"] if line else lines


def _facts(examined: "Sequence[Examined]") -> dict[str, Any]:
    from azready.pipelines.doctor import advice

    rows = [
        {
            "name": each.ability.name,
            "serves": each.ability.serves,
            "works": each.works,
            "note": each.note,
            "lacks": [{"what": lack.what, "fix": lack.fix, "package": lack.package} for lack in each.lacks],
        }
        for each in examined
    ]
    return {"abilities": rows, "install": advice(examined)}
