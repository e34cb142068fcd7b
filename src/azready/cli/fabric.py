"""`azready fabric`: the local Azure alone, for any agent."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from azready.cli import outputs
from azready.cli.records import takes
from azready.cli.survey import survey
from azready.cli.vm import MachineFile, Seed, Set, Strict, VmOptions
from azready.console import Console
from azready.errors import Exit, UsageFailure

if TYPE_CHECKING:
    from azready.fabric.matrix import Cell
    from azready.fabric.scenario import Scenario
    from azready.fabric.serve.live import Fabric
    from azready.fabric.settings import Given, Settings

Deadline = Annotated[
    float | None,
    typer.Option(envvar="AZREADY_DEADLINE", metavar="SECONDS", help="Stop with the verdict, at the latest then."),
]
SaveSettings = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the effective settings there, for --settings.")
]
LogFile = Annotated[
    Path | None,
    typer.Option("--log", envvar="AZREADY_LOG", metavar="FILE", help="Log every exchange and finding, as JSON lines."),
]
ImdsPort = Annotated[int | None, typer.Option(envvar="AZREADY_IMDS_PORT", help="Default 16925; 0: any free one.")]
WirePort = Annotated[int | None, typer.Option(envvar="AZREADY_WIRESERVER_PORT", help="Default 16863; 0: any free one.")]
PluginPort = Annotated[
    int | None, typer.Option(envvar="AZREADY_HOSTPLUGIN_PORT", help="Default 32526; 0: any free one.")
]


def register(app: typer.Typer) -> None:
    """Add the verb, and its own verbs."""
    group = typer.Typer(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
    group.callback()(serve)
    group.command("run")(run)
    group.command("scenarios")(scenarios)
    group.command("medium")(medium)
    group.command("matrix")(matrix)
    group.command("replay")(replay)
    group.command("survey")(survey)
    app.add_typer(group, name="fabric")


@dataclass(frozen=True, kw_only=True)
class LoggedOptions(VmOptions):
    """And where it is kept."""

    save_settings: SaveSettings = None
    log: LogFile = None
    output: outputs.Both = None

    @property
    def wanted(self) -> outputs.Wanted:
        """Raises UsageFailure for results that would overwrite what is read, or each other."""
        return outputs.parse(self.output, outputs.BOTH, (self.machine, self.settings, self.save_settings, self.log))


@dataclass(frozen=True, kw_only=True)
class ServeOptions(LoggedOptions):
    """What the command line of `fabric` itself says."""

    context: typer.Context
    imds_port: ImdsPort = None
    wireserver_port: WirePort = None
    hostplugin_port: PluginPort = None
    deadline: Deadline = None


@takes(ServeOptions, inherited_first=True)
def serve(given: ServeOptions) -> None:
    """A local Azure for any agent: WireServer and IMDS on loopback, with a ledger and a verdict.

    Serves until it is interrupted; with --deadline until the outcome is known, or that long. A setting is taken
    from its flag, else from its environment variable, else from the --settings file.
    Exit code: 0 provisioned, 1 not, 2 wrong usage, 3 could not serve.
    """
    if given.context.invoked_subcommand is not None:
        return
    from azready.fabric.serve.live import loopback_sockets

    wanted = given.wanted
    asked = replace(
        given.vm,
        imds_port=given.imds_port,
        wireserver_port=given.wireserver_port,
        hostplugin_port=given.hostplugin_port,
        deadline=given.deadline,
    )
    effective, console = _effective(asked, given.settings, given.save_settings)
    sockets = loopback_sockets(
        {
            "wireserver": effective.wireserver_port,
            "imds": effective.imds_port,
            "hostplugin": effective.hostplugin_port,
        }
    )
    with ExitStack() as stack:
        fabric = stack.enter_context(_fabric(effective, sockets))
        _attend(stack, fabric, console, effective, given.log, routes=True)
        example = f"--imds {fabric.imds_url} --wireserver {fabric.wireserver_url}"
        _wait(fabric, effective.deadline, lambda: console.say(f"point an agent at these, for example: {example}"))
        _conclude(fabric, effective.deadline or fabric.ledger.now(), effective, console, wanted)


@dataclass(frozen=True, kw_only=True)
class RunOptions(LoggedOptions):
    """What the command line of `fabric run` says."""

    command: Annotated[list[str] | None, typer.Argument(help="The command; without one, a shell.")] = None


@takes(RunOptions, inherited_first=True)
def run(given: RunOptions) -> None:
    """Run a command in a network of its own, where Azure's two addresses are this local Azure.

    168.63.129.16 and 169.254.169.254 are on the command's loopback interface; no route leads out, and the host's
    network is not touched. Root is not needed. The verdict is given when the command ends: azready fabric run -- CMD
    Exit code: 0 provisioned, 1 not, 2 wrong usage, 3 could not run.
    """
    from azready.fabric.serve.inside import enclosed

    command = given.command or [os.environ.get("SHELL", "/bin/sh")]
    if given.command and shutil.which(command[0]) is None:
        fix = "give its path; a script needs to be executable (chmod +x), or its interpreter before it"
        raise UsageFailure(f"there is no program {command[0]} to run", fix)
    wanted = given.wanted
    effective, console = _effective(given.vm, given.settings, given.save_settings)
    with ExitStack() as stack:
        sockets, start = stack.enter_context(enclosed(command))
        fabric = stack.enter_context(_fabric(effective, sockets))
        _attend(stack, fabric, console, effective, given.log, routes=False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command
        status = start()
        console.say(f"the command ended with status {status}")
        _conclude(fabric, fabric.ledger.now(), effective, console, wanted)


def scenarios(output: outputs.Both = None) -> None:
    """List the scenarios that come with azready."""
    from azready.fabric import scenario

    wanted = outputs.parse(output, outputs.BOTH)
    known = [(name, scenario.load(name)) for name in scenario.names()]
    lines = (f"{name:<26} {one.summary}{'' if one.expect == 'ready' else f' [{one.expect}]'}" for name, one in known)
    rows = [{"name": name, "summary": one.summary, "expect": one.expect} for name, one in known]
    outputs.tell(wanted, lambda: "\n".join(lines), lambda: {"scenarios": rows})


def medium(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="An .iso file (UDF, as Azure's), or an .xml file.")],
    machine: MachineFile = None,
    set_: Set = None,
    iso9660: Annotated[bool, typer.Option("--iso9660", help="Readable without UDF too; Azure's is not.")] = False,
    output: outputs.Both = None,
) -> None:
    """Write the provisioning medium of a machine: for a VM of your own, or to look at its ovf-env.xml.

    Exit code: 0 written, 2 wrong usage.
    """
    from azready.fabric.protocol import media
    from azready.fabric.settings import Given, resolve

    wanted = outputs.parse(output, outputs.BOTH, (out, machine), "azready fabric medium OUT.iso")
    described = resolve(Given(machine, set_ or ())).machine
    kind = out.suffix.lower()
    if kind not in (".iso", ".xml"):
        raise UsageFailure(f"{out} is neither an .iso nor an .xml file", "name it OUT.iso, or OUT.xml")
    content = media.medium(described, iso9660=iso9660) if kind == ".iso" else media.ovf_env(described).encode()
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        raise UsageFailure(f"{out}: {error.strerror}", "give a file that can be written") from error
    end = f"{out}: {len(content)} bytes, readable by you alone: it holds the machine's secrets"
    outputs.tell(wanted, lambda: end, lambda: {"target": str(out), "sizeBytes": len(content)})


def matrix(
    guest: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=COMMAND]", help="A guest; COMMAND may hold {root} {imds} {wireserver} {medium} …"),
    ] = None,
    scenario: Annotated[
        list[str] | None, typer.Option(metavar="NAME|FILE", help="A scenario; default: all but the slow ones.")
    ] = None,
    slow: Annotated[bool, typer.Option("--slow", help="The slow scenarios too: minutes.")] = False,
    deadline: Annotated[float, typer.Option(metavar="SECONDS", help="What each guest is given.")] = 20.0,
    seed: Seed = None,
    jobs: Annotated[int, typer.Option(help="Runs at the same time.")] = 4,
    output: outputs.Both = None,
) -> None:
    """Let guests provision scratch trees in every scenario, and print who ended how.

    Guests are azready's own provision.py and provision.sh, unless --guest names others. A guest does well when it
    ends as the scenario expects: Ready, a reported failure, or giving up in time where nobody listens.
    Exit code: 0 all did well, 1 some did not, 2 wrong usage.
    """
    from azready.fabric import matrix as runs
    from azready.fabric import scenario as plans
    from azready.fabric.serve import trials

    wanted = outputs.parse(output, outputs.BOTH)
    console = Console()
    guests = [runs.guest(word) for word in guest or runs.OWN_GUESTS]
    chosen = [plans.load(name) for name in scenario] if scenario else _all_scenarios(slow)
    cells = []
    for cell in trials.run(chosen, guests, deadline, seed or 0, jobs):
        cells.append(cell)
        console.say(f"{len(cells)}/{len(chosen) * len(guests)} {cell.scenario.name}, {cell.guest.name}: {cell}")
        if not cell.good:
            _say_why(cell, seed or 0, console)
    outputs.tell(wanted, lambda: "\n".join(runs.table(cells)), lambda: {"cells": [_cell(one) for one in cells]})
    sys.exit(Exit.OK if all(cell.good for cell in cells) else Exit.NEGATIVE)


def _all_scenarios(slow: bool) -> "list[Scenario]":
    from azready.fabric import matrix as runs
    from azready.fabric import scenario as plans

    known = map(plans.load, plans.names())
    return [one for one in known if (slow or not one.slow) and not runs.needs_boot(one)]


def _say_why(cell: "Cell", seed: int, console: Console) -> None:
    console.say(f"  {cell.verdict}\n  expected: {cell.scenario.expect}; the guest's last words:")
    console.say("\n".join(f"    {line}" for line in cell.output.splitlines()[-8:]))
    words = ["--scenario", cell.scenario.name, "--guest", cell.guest.name, "--seed", str(seed)]
    console.say(f"  to repeat: azready fabric matrix {' '.join(words)}")


def _cell(cell: "Cell") -> dict[str, object]:
    return {
        "scenario": cell.scenario.name,
        "guest": cell.guest.name,
        "outcome": cell.outcome,
        "expected": cell.scenario.expect,
        "good": cell.good,
        "silent": cell.silent,
        "seconds": round(cell.seconds, 3),
        "verdict": str(cell.verdict),
        "findings": sorted({one.code for one in cell.verdict.findings}),
        "notes": list(cell.notes),
    }


def replay(
    log: Annotated[Path, typer.Argument(help="A log that `azready fabric --log` wrote.")],
    strict: Strict = None,
    output: outputs.Both = None,
) -> None:
    """Ask this version of the fabric everything that a log says was asked, and tell what it answers otherwise.

    Exit code: 0 the same answers, 1 differences, 2 not a log.
    """
    from dataclasses import asdict

    from azready.fabric import log as logs
    from azready.fabric.replay import replay as replay_log

    wanted = outputs.parse(output, outputs.BOTH, (log,))
    done = replay_log(logs.read(log), strict)
    lines = [
        f"{one.at:8.3f} {one.method} {one.target}\n    was {one.was}\n    now {one.now}" for one in done.differences
    ]
    end = f"{done.asked} requests asked again, {len(done.differences)} answered otherwise, {done.skipped} left out"
    outputs.tell(wanted, lambda: "\n".join((*lines, end)), lambda: asdict(done))
    sys.exit(Exit.NEGATIVE if done.differences else Exit.OK)


def _effective(given: "Given", file: Path | None, save: Path | None) -> tuple["Settings", Console]:
    from azready.fabric.settings import as_toml, resolve

    effective = resolve(given, file)
    console = Console()
    if save is not None:
        try:
            save.write_text(as_toml(effective), encoding="utf-8")
        except OSError as error:
            raise UsageFailure(f"{save}: {error.strerror}", "give a file that can be written") from error
        console.say(f"effective settings written to {save}")
    return effective, console


def _fabric(effective: "Settings", sockets: object) -> "Fabric":
    from azready.fabric.serve.live import Fabric

    rules = {"strict": effective.strict, "faults": effective.faults, "seed": effective.seed}
    return Fabric(effective.machine, sockets=sockets, **rules)  # type: ignore[arg-type]


def _attend(
    stack: ExitStack, fabric: "Fabric", console: Console, effective: "Settings", log: Path | None, routes: bool
) -> None:
    """Introduce the fabric, and tell and log from now on what happens in it."""
    from azready.fabric import log as logs
    from azready.fabric.render import entry_line, introduction

    for line in introduction(effective, fabric.urls, routes):
        console.say(line)
    if log is not None:
        file = stack.enter_context(logs.create(log, effective))
        fabric.ledger.follow(lambda entry: logs.append(file, entry))
    fabric.ledger.follow(lambda entry: console.say(entry_line(entry)))
    fabric.restart()


def _wait(fabric: "Fabric", deadline: float, say_ready: Callable[[], None]) -> None:
    """Until the outcome is known when there is a deadline, else until interrupted (or asked to terminate).

    What `say_ready` says may be answered by a signal at once: it is said where that ends the waiting, and no more.
    """
    from azready.fabric.verdict import decided

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        say_ready()
        if deadline:
            fabric.ledger.wait_for(decided, deadline)
        else:
            signal.pause()
    except KeyboardInterrupt:
        pass


def _conclude(
    fabric: "Fabric", deadline: float, effective: "Settings", console: Console, wanted: outputs.Wanted
) -> None:
    """Print the verdict on stdout, and exit with it."""
    from azready.fabric.render import repeat_line, verdict_as_json, verdict_lines
    from azready.fabric.verdict import judge

    verdict = judge(fabric.ledger, round(deadline, 1))
    outputs.tell(
        wanted,
        lambda: "\n".join(verdict_lines(verdict, fabric.ledger)),
        lambda: verdict_as_json(verdict, fabric.ledger),
    )
    if not verdict.provisioned:
        console.say(f"to repeat: {repeat_line(sys.argv[1:], effective.seed)}")
    sys.exit(Exit.OK if verdict.provisioned else Exit.NEGATIVE)
