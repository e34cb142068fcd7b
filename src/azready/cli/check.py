"""`azready check TARGET`: every requirement of Azure, offline, in seconds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from azready.cli import completion, outputs
from azready.cli.records import takes
from azready.console import Console
from azready.errors import UsageFailure

if TYPE_CHECKING:
    from azready.image.rules.waivers import Waiver


class FailOn(StrEnum):
    """The lowest severity that makes the exit code 1."""

    FATAL = "fatal"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class ProfileName(StrEnum):
    """What the image is meant for."""

    AZURE = "azure"
    NVME = "nvme"
    TRUSTED_LAUNCH = "trusted-launch"
    MARKETPLACE = "marketplace"
    MSP = "msp"
    SPECIALIZED = "specialized"


_TARGET = "/ (this machine), a root tree, a disk file, or ssh://[user@]host[:port]."
Profiles = Annotated[
    list[ProfileName], typer.Option("--profile", "-p", help="What the image is meant for; repeatable.")
]
Only = Annotated[
    list[str],
    typer.Option(
        "--only", help="Ask only these: a rule's id, or an area's letter; repeatable.", autocompletion=completion.rules
    ),
]
SkipIds = Annotated[
    list[str], typer.Option("--skip", help="Leave these out; repeatable.", autocompletion=completion.rules)
]
FORMS = ("text", "json", "junit", "sarif", "html", "github")
Outputs = Annotated[list[str], outputs.option(FORMS, "--format")]
Waivers = Annotated[Path | None, typer.Option("--waivers", help="A TOML file of accepted findings, with reasons.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("check")(check)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    target: Annotated[str, typer.Argument(help=_TARGET)] = ""
    profile: Profiles = field(default_factory=lambda: [ProfileName.AZURE])
    only: Only = field(default_factory=list)
    skip: SkipIds = field(default_factory=list)
    waivers: Waivers = None
    before_generalize: Annotated[
        bool, typer.Option("--before-generalize", help="Leave out what `azready generalize` will fix.")
    ] = False
    fail_on: Annotated[FailOn, typer.Option(help="The lowest severity that makes the exit code 1.")] = FailOn.ERROR
    output: Outputs = field(default_factory=list)
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also what passed, and what was skipped.")] = False
    explain: Annotated[
        str,
        typer.Option("--explain", metavar="ID", help="Say what a rule wants and why.", autocompletion=completion.rules),
    ] = ""
    list_rules: Annotated[bool, typer.Option("--list", help="Print every rule, one a line.")] = False


@takes(Options)
def check(given: Options) -> None:
    """Check an image against everything that Azure wants of it. Changes nothing, needs no subscription.

    Exit codes: 0 nothing at or above --fail-on; 1 such a finding; 2 wrong usage; 3 could not look.
    """
    from azready.image.rules import pages

    if given.list_rules:
        outputs.tell(outputs.parse(given.output, outputs.BOTH), pages.table, pages.catalogue)
    elif given.explain:
        rule = pages.named(given.explain)
        wanted = outputs.parse(given.output, outputs.BOTH)
        outputs.tell(wanted, lambda: pages.page(rule), lambda: pages.catalogue([rule]))
    elif given.target:
        _check(given)
    elif given.waivers is not None:
        print(_waivers_only(given.waivers))
    else:
        raise UsageFailure("check wants a target", "azready check / or a directory, a disk file, ssh://user@host")


def _check(given: Options) -> None:
    from azready.image import checking, render
    from azready.image.facts.of_target import look
    from azready.image.rules import RULES, ids
    from azready.image.rules.model import Profile, Severity
    from azready.image.targets.spec import enter_namespace_for

    target, threshold = given.target, Severity[given.fail_on.name]
    choice = checking.Choice(
        frozenset(Profile(each.value) for each in given.profile),
        ids.named(given.only, areas=True),
        ids.named(given.skip, areas=True),
        read_waivers(given.waivers),
        sealing=not given.before_generalize,
    )
    wanted = outputs.parse(given.output, FORMS, (target, given.waivers))
    enter_namespace_for(target)
    with Console().busy(f"Looking at {target}"), look(target) as facts:
        results = checking.check(facts, RULES, choice)
    forms: dict[str, Callable[[], str]] = {
        "text": lambda: render.as_text(results, target, given.verbose),
        "json": lambda: render.as_json(results, target),
        "junit": lambda: render.as_junit(results, target, threshold),
        "sarif": lambda: render.as_sarif(results, target),
        "html": lambda: render.as_html(results, target, threshold),
        "github": lambda: render.as_github(results, target),
    }
    outputs.write(wanted, forms)
    raise typer.Exit(checking.exit_code(results, threshold))


def _waivers_only(path: Path) -> str:
    """Without a target: is the file one of waivers, of rules that there are? Raises UsageFailure when not."""
    found = read_waivers(path)
    return f"{path}: {len(found)} waivers, each of a rule that there is, each with its reason"


def read_waivers(path: Path | None) -> tuple["Waiver", ...]:
    """The waivers of a file; none without one. Raises UsageFailure where it is not one of rules that there are."""
    from azready.image.rules import ids
    from azready.image.rules.waivers import parse_waivers

    if path is None:
        return ()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageFailure(f"{path}: {error.strerror}", "name a waiver file that can be read") from error
    found = parse_waivers(text, str(path))
    ids.named((each.id for each in found), where=f"{path}: ")
    return found
