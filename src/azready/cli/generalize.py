"""`azready generalize TARGET`: seals an image, so that many VMs can be made from it."""

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from azready.cli import completion, outputs
from azready.cli.records import takes
from azready.console import Console
from azready.errors import Exit, UsageFailure

if TYPE_CHECKING:
    from azready.image.apply import Outcome
    from azready.image.rules.model import Rule
    from azready.image.sealing import Options, Sealed, Sealing
    from azready.image.targets import Target


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("generalize")(generalize)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says."""

    target: Annotated[str, typer.Argument(help="/, a directory, a disk file, or ssh://[user@]host[:port]")] = ""
    user: Annotated[
        list[str], typer.Option("--user", "-u", help="Remove this user, home and all, at the end; repeatable.")
    ] = field(default_factory=list)
    fix: Annotated[bool, typer.Option("--fix", help="Also fix settings that `azready check` finds.")] = False
    skip: Annotated[
        list[str], typer.Option("--skip", help="Rules to leave alone; repeatable.", autocompletion=completion.rules)
    ] = field(default_factory=list)
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.")] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a running system is sealed.")] = False
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Disk: write the changed copy there.")] = None
    in_place: Annotated[bool, typer.Option("--in-place", help="Disk: change the file itself.")] = False
    output: outputs.Both = None
    list_all: Annotated[bool, typer.Option("--list", help="Print all that it may do, one a line.")] = False


@takes(Asked)
def generalize(given: Asked) -> None:
    """Remove identity, keys, users, state and logs, and arm the guest program for the next first boot.

    Shows its plan, acts, looks again. Running it again is safe, also after an interruption. On the machine it runs on
    it needs --yes; the ssh session stays alive, and nobody can log in afterwards.
    """
    from azready.image import sealing
    from azready.image.facts.of_target import facts_of
    from azready.image.rules import ids
    from azready.image.targets.spec import enter_namespace_for, open_target

    if given.list_all:
        _list(_repaired(given.fix), outputs.parse(given.output, outputs.BOTH))
        return
    if not given.target:
        raise UsageFailure("generalize wants a target", "azready generalize / or a directory, a disk, ssh://user@host")
    wanted = outputs.parse(given.output, outputs.BOTH, (given.target, given.to))
    options = sealing.Options(tuple(given.user), given.fix, ids.named(given.skip))
    enter_namespace_for(given.target, changes=not given.dry_run)
    if given.dry_run:
        with open_target(given.target) as opened:
            planned = sealing.plan(facts_of(opened), options)
            outputs.tell(wanted, lambda: _plan_as_text(opened, planned), lambda: _facts(opened, planned, None))
        return
    sealed = _seal(given, options, wanted)
    if any((result.worst or 0) >= _ERROR or result.worst is None for result in sealed.left):
        raise typer.Exit(Exit.NEGATIVE)


def _seal(given: Asked, options: "Options", wanted: outputs.Wanted) -> "Sealed":
    """Do it and tell it."""
    from azready.image import sealing
    from azready.image.facts.of_target import facts_of
    from azready.image.targets.spec import open_target, require_writable, to_change

    console, target = Console(), given.target
    with to_change(target, given.to, given.in_place) as changed, open_target(changed, write=True) as opened:
        require_writable(opened)
        with console.busy(f"Looking at {target}"):
            planned = sealing.plan(facts_of(opened), options)
        if opened.live and not given.yes:
            _ask(opened, planned)
        with console.busy(f"Sealing {target}"):
            sealed = sealing.carry_out(opened, lambda: facts_of(opened), options, _report)
        outputs.tell(
            wanted,
            lambda: _result_as_text(opened, planned, sealed, shlex.quote(str(given.to or target))),
            lambda: _facts(opened, planned, sealed),
        )
    return sealed


_ERROR = 3


def _list(rules: "list[Rule]", wanted: outputs.Wanted) -> None:
    from azready.image.rules import pages

    listed = "\n".join(f"{rule.id}  {rule.title}" for rule in rules)
    outputs.tell(wanted, lambda: listed, lambda: pages.catalogue(rules))


def _repaired(fix: bool) -> "list[Rule]":
    """Every rule that brings its own repair: those of sealing, with --fix the settings, too."""
    from azready.image.rules import RULES
    from azready.image.rules.model import Stage

    return [rule for rule in RULES if rule.repair and (rule.seals or (fix and rule.stage is Stage.FIX))]


def _ask(target: "Target", planned: "Sealing") -> None:
    if not sys.stdin.isatty():
        raise UsageFailure(
            f"{target.describe()} is a running system: after sealing nobody can log in to it",
            "say --yes to do it, or --dry-run to see the plan",
        )
    print(_plan_as_text(target, planned), file=sys.stderr)
    if not typer.confirm(f"Seal {target.describe()}? Nobody can log in to it afterwards.", err=True):
        raise typer.Exit(Exit.NEGATIVE)


def _report(outcome: "Outcome") -> None:
    if outcome.warning:
        Console().warn(f"{outcome.action.describe()}: {outcome.warning}")


def _plan_as_text(target: "Target", planned: "Sealing") -> str:
    lines = [f"{target.describe()}: would"]
    for step in planned.steps:
        lines.append(f"  {step.title}")
        lines += [f"      {action.describe()}" for action in step.actions[:_SHOWN]]
        if len(step.actions) > _SHOWN:
            lines.append(f"      and {len(step.actions) - _SHOWN} more")
    lines += [f"note: {note}" for note in planned.notes]
    if not planned.steps:
        lines.append("  change nothing: it is sealed")
    return "\n".join(lines)


_SHOWN = 8


def _result_as_text(target: "Target", planned: "Sealing", sealed: "Sealed", named: str) -> str:
    from azready.image.render import as_text

    changed = sum(outcome.changed for outcome in sealed.outcomes)
    lines = [f"✓ {step.title}" for step in planned.steps]
    lines += [f"note: {note}" for note in planned.notes]
    lines += [
        f"note: written again by the running system since: {result.rule.id}, {result.rule.title}"
        for result in sealed.rewritten
    ]
    sealed_whole = f"Sealed {target.describe()}: {changed} changes, and nothing is found any more"
    lines.append(as_text(sealed.left, target.describe()) if sealed.left else sealed_whole)
    if not target.live and not sealed.left:
        lines.append(f"next: azready check {named} && azready boot {named}")
    if target.live:
        lines.append("Leave this shell with: unset HISTFILE; exit (or it writes its history again)")
    return "\n".join(lines)


def _facts(target: "Target", planned: "Sealing", sealed: "Sealed | None") -> dict[str, object]:
    document: dict[str, object] = {
        "target": target.describe(),
        "steps": [
            {"title": step.title, "actions": [action.describe() for action in step.actions]} for step in planned.steps
        ],
        "notes": list(planned.notes),
    }
    if sealed is not None:
        document["changed"] = sum(outcome.changed for outcome in sealed.outcomes)
        document["left"] = [result.rule.id for result in sealed.left]
        document["rewritten"] = [result.rule.id for result in sealed.rewritten]
    return document
