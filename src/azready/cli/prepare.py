"""`azready prepare`: takes the agents out of an image and puts the guest program in."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from azready.cli import completion, outputs
from azready.cli.additions import CopyIn, InOrder, Install, RunCommand, SshInject, additions
from azready.cli.records import takes
from azready.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

    from azready.image.actions import Action
    from azready.image.apply import Outcome
    from azready.image.facts.leftovers import Leftover
    from azready.image.preparation import Options, Preparation
    from azready.image.targets import Target


Silence = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AGENT", help="With --report-only: AGENT reports no more.", autocompletion=completion.silenced
    ),
]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Setting of the guest program; may be repeated.",
        autocompletion=completion.settings,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("prepare", cls=InOrder)(prepare)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says."""

    ctx: typer.Context
    target: Annotated[str, typer.Argument(help="/, a directory, a disk file, or ssh://[user@]host[:port]")]
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.")] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a running system is changed.")] = False
    guest: Annotated[str, typer.Option(help="Guest program: auto, python or sh.")] = "auto"
    init: Annotated[str, typer.Option(help="Init system: auto, systemd, openrc, sysv, runit or busybox.")] = "auto"
    clone_guard: Annotated[bool, typer.Option(help="Provision again when the VM was copied without sealing.")] = True
    firewall: Annotated[bool, typer.Option(help="Let only root talk to the WireServer, as waagent did.")] = False
    grow: Annotated[bool | None, typer.Option(help="Grow the root file system at first boot (as cloud-init).")] = None
    network: Annotated[bool, typer.Option(help="Write a DHCP profile where only an agent had one.")] = True
    disk_links: Annotated[bool, typer.Option(help="Keep /dev/disk/azure links and waagent's disk timeout.")] = True
    vf_rule: Annotated[bool, typer.Option(help="Leave accelerated networking's second NIC to hv_netvsc.")] = True
    ready_when: Annotated[
        str, typer.Option(metavar="UNIT", help="Report Ready once UNIT is up, and failure once it has failed.")
    ] = ""
    report_only: Annotated[bool, typer.Option("--report-only", help="Keep the agents, and only report.")] = False
    silence: Silence = None
    setting: Setting = None
    install: Install = None
    copy_in: CopyIn = None
    run: RunCommand = None
    ssh_inject: SshInject = None
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Disk: write the changed copy there.")] = None
    in_place: Annotated[bool, typer.Option("--in-place", help="Disk: change the file itself.")] = False
    output: outputs.Both = None


@takes(Asked)
def prepare(given: Asked) -> None:
    """Remove walinuxagent, cloud-init and the like, and install the guest program in their place.

    Everything the agents did is replaced, or reported. Running it again is safe, also after an interruption.
    """
    from azready.errors import Exit
    from azready.image.parts.guest_program import parse_settings
    from azready.image.preparation import Options
    from azready.image.targets.spec import enter_namespace_for, open_target, to_change

    _choices(given.guest, given.init)
    wanted = outputs.parse(given.output, outputs.BOTH, (given.target, given.to))
    provisioning = {"--firewall": given.firewall, "--set": bool(given.setting), "--grow": bool(given.grow)}
    unit = _report_options(given.ready_when, given.report_only, given.silence or [], provisioning)
    options = Options(
        guest=given.guest,
        init=given.init,
        clone_guard=given.clone_guard,
        firewall=given.firewall,
        grow=given.grow,
        network_profile=given.network,
        disk_links=given.disk_links,
        vf_rule=given.vf_rule,
        settings=parse_settings(given.setting or []),
        added=additions(
            given.ctx, install=given.install, copy_in=given.copy_in, run=given.run, ssh_inject=given.ssh_inject
        ),
        report_only=given.report_only,
        silence=tuple(given.silence or ()),
        ready_when=unit,
    )
    enter_namespace_for(given.target, changes=not given.dry_run)
    if given.dry_run:
        _show_plan(given.target, options, wanted)
        return
    with to_change(given.target, given.to, given.in_place) as changed, open_target(changed, write=True) as opened:
        left = _change(
            opened, given.target, options, given.yes, wanted, _following(given.target, given.to, given.in_place)
        )
    if left:
        raise typer.Exit(Exit.NEGATIVE)


def _show_plan(target: str, options: "Options", wanted: outputs.Wanted) -> None:
    from azready.image.facts.of_target import facts_of
    from azready.image.preparation import plan
    from azready.image.targets.spec import open_target

    with open_target(target) as opened:
        planned = plan(facts_of(opened), options)
        actions = [_as_json(action) for action in planned.actions]
        outputs.tell(wanted, lambda: _plan_as_text(opened, planned), lambda: _facts(opened, planned, actions, None))


def _following(target: str, to: Path | None, in_place: bool) -> str:
    """What usually comes next."""
    disk = to is not None or in_place
    return f"azready generalize {shlex.quote(str(to or target))}{' --in-place' if disk else ''}"


def _change(
    opened: "Target", target: str, options: "Options", yes: bool, wanted: outputs.Wanted, following: str
) -> "tuple[Leftover, ...]":
    """Do it and tell it; what is left of the agents."""
    from azready.image.facts.of_target import facts_of
    from azready.image.preparation import carry_out, plan
    from azready.image.targets.spec import require_writable

    console = Console()
    require_writable(opened)
    with console.busy(f"Looking at {target}"):
        preparation = plan(facts_of(opened), options)
    if opened.live and not yes:
        _ask(opened, preparation)
    outcomes: list[Outcome] = []
    with console.busy(f"Preparing {target}"):
        left = carry_out(opened, preparation, _reporter(outcomes, console))
    done = [{**_as_json(each.action), "changed": each.changed, "warning": each.warning} for each in outcomes]
    outputs.tell(
        wanted,
        lambda: _result_as_text(opened, preparation, outcomes, left, following),
        lambda: _facts(opened, preparation, done, left),
    )
    return left


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> Literal[True]:
    from azready.errors import UsageFailure

    if value not in allowed:
        raise UsageFailure(f"{option} cannot be {value!r}", f"use one of {', '.join(allowed)}")
    return True


def _choices(guest: str, init: str) -> None:
    _one_of("--guest", guest, ("auto", "python", "sh"))
    _one_of("--init", init, ("auto", "systemd", "openrc", "sysv", "runit", "busybox"))


def _report_options(ready_when: str, report_only: bool, silence: list[str], provisioning: dict[str, bool]) -> str:
    """The unit that is waited for, or "". Raises UsageFailure for what does not go together; `provisioning` are
    wishes that only an image has which azready provisions."""
    from azready.errors import UsageFailure
    from azready.image.parts.reporting import unit_name

    if silence and not report_only:
        raise UsageFailure("--silence is for images that keep an agent", "say --report-only, too")
    if report_only and (asked := [name for name, wished in provisioning.items() if wished]):
        raise UsageFailure(f"--report-only has no use for {asked[0]}", "leave that option or --report-only out")
    return unit_name(ready_when) if ready_when else ""


def _ask(target: "Target", preparation: "Preparation") -> None:
    import sys

    from azready.errors import UsageFailure

    names = ", ".join(sorted({each.agent for each in preparation.found})) or "nothing"
    question, danger = (
        f"Remove {names} from {target.describe()} and install the guest program",
        "its agents would be removed",
    )
    if preparation.selection.job == "report":
        question, danger = f"Install what reports in {target.describe()}", "its next boot would report"
    if not sys.stdin.isatty():
        raise UsageFailure(
            f"{target.describe()} is a running system: {danger}",
            "say --yes to do it, or --dry-run to see the plan",
        )
    if not typer.confirm(f"{question} ({len(preparation.actions)} steps; --dry-run shows them)?", err=True):
        raise typer.Exit(1)


def _reporter(outcomes: "list[Outcome]", console: Console) -> "Callable[[Outcome], None]":
    def report(outcome: "Outcome") -> None:
        outcomes.append(outcome)
        if outcome.warning:
            console.warn(f"{outcome.action.describe()}: {outcome.warning}")
        elif outcome.changed:
            console.say(f"✓ {outcome.action.describe()}")

    return report


def _plan_as_text(target: "Target", preparation: "Preparation") -> str:
    lines = [_headline(target, preparation)]
    for agent in sorted({each.agent for each in preparation.found}):
        traces = [each for each in preparation.found if each.agent == agent]
        packages = [each.what for each in traces if not each.path]
        named = ", ".join(packages) or "no package"
        lines.append(f"  found {agent}: {named}, {len(traces) - len(packages)} traces in files")
    lines.append("would:")
    lines += [
        f"  {action.describe()}" + (f"    ({action.why})" if action.why else "") for action in preparation.actions
    ]
    return "\n".join([*lines, *_notes(preparation)])


def _headline(target: "Target", preparation: "Preparation") -> str:
    chosen = preparation.selection
    what = "guest program" if chosen.job == "provision" else "reporter"
    return f"{target.describe()}: {preparation.distribution}; {what} {chosen.guest}, started by {chosen.init}"


def _notes(preparation: "Preparation") -> list[str]:
    return [f"note: {note}" for note in preparation.notes]


def _result_as_text(
    target: "Target",
    preparation: "Preparation",
    outcomes: "list[Outcome]",
    left: "tuple[Leftover, ...]",
    following: str,
) -> str:
    from azready.image.parts.network_profile import NO_ADDRESS

    head, notes = _headline(target, preparation), _notes(preparation)
    gone = ", ".join(sorted({each.agent for each in preparation.found}))
    changed = sum(outcome.changed for outcome in outcomes)
    if preparation.selection.job == "report":
        end = "Prepared: azready reports for this image, and does nothing else in it"
        return "\n".join([head, f"agents stay; {changed} changes", *notes, end])
    lines = [head, f"agents removed: {gone or 'none were there'}; {changed} changes", *notes]
    lines += [f"left: {each.describe()}" for each in left]
    if left:
        return "\n".join([*lines, "Not free of agents: see above"])
    if any(note.startswith(NO_ADDRESS) for note in preparation.notes):
        return "\n".join(
            [*lines, "Prepared, and yet it cannot provision itself: it gets no address, see the note above"]
        )
    return "\n".join([*lines, "Prepared: it provisions itself at its next first boot", f"next: {following}"])


def _as_json(action: "Action") -> dict[str, object]:
    return {"action": type(action).__name__, "description": action.describe(), "why": action.why}


def _facts(
    target: "Target",
    preparation: "Preparation",
    actions: list[dict[str, object]],
    left: "tuple[Leftover, ...] | None",
) -> dict[str, object]:
    document: dict[str, object] = {
        "target": target.describe(),
        "distribution": preparation.distribution,
        "guest": preparation.selection.guest,
        "init": preparation.selection.init,
        "found": [each.describe() for each in preparation.found],
        "actions": actions,
        "notes": list(preparation.notes),
    }
    if left is not None:
        document["left"] = [each.describe() for each in left]
    return document
