"""`azready fabric survey`: which agent survives what, in one page."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from azready import __version__
from azready.cli import outputs
from azready.console import Console
from azready.errors import Exit, Failure, UsageFailure

if TYPE_CHECKING:
    from azready.fabric.scenario import Scenario
    from azready.pipelines.survey.agents import Agent
    from azready.pipelines.survey.cells import Log, Run, Survey
    from azready.pipelines.survey.running import Conditions, Task

Key = tuple[str, ...]


def survey(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Where survey.md, .html and .json go, and runs.jsonl, from which a broken survey goes on."),
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=COMMAND]", help="An agent; `all` is azready's own table, the default."),
    ] = None,
    agent_tree: Annotated[
        list[str] | None, typer.Option(metavar="NAME=TREE", help="An agent: a root tree, which is booted.")
    ] = None,
    expect: Annotated[
        Literal["provision", "report-only"],
        typer.Option(help="What agents given as NAME=… should do: report-only leaves users and host name alone."),
    ] = "provision",
    scenario: Annotated[
        list[str] | None, typer.Option(metavar="NAME|FILE", help="A scenario; default: all that apply.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, max=9, help="Runs of every cell.")] = 1,
    deadline: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How long the platform waits; twice that in slow scenarios.")
    ] = 90.0,
    seed: Annotated[int, typer.Option(help="Repeats what faults draw by chance.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Cells at the same time.")] = 2,
    beside: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="An older survey, whose other agents are shown beside.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many runs; a later call goes on. 0: all.")] = 0,
    output: outputs.Both = None,
) -> None:
    """Run agents in every scenario: who is Ready, who fails with a reason, and whom Azure would lose.

    Images boot in a container; a COMMAND runs as with `azready fabric run`, where Azure's addresses are the fabric's,
    and may hold {root}, {medium}, {wireserver}, {imds} and {deadline}. Its files are this machine's.
    Exit code: 0 every agent did in every scenario what it owes, 1 some did not, 2 wrong usage, 3 could not run.
    """
    from azready.fabric import scenario as plans
    from azready.pipelines.survey import agents, cells
    from azready.pipelines.survey.running import Conditions

    wanted = outputs.parse(output, outputs.BOTH, (beside,))
    console = Console()
    chosen = agents.chosen(agent or (), agent_tree or (), expect)
    known = [plans.load(name) for name in scenario or plans.names()]
    tasks = [(one, plan) for plan in known for one in chosen if one.meets(plan)]
    if not tasks:
        raise UsageFailure("none of these scenarios applies to these agents", "a command cannot show DHCP or a clock")
    older = _older(beside) if beside else None
    conditions = Conditions(deadline, seed, jobs)
    done = _keep_running(tasks, conditions, runs, _log(folder) if folder else None, limit, console)
    result = _result(tasks, done, conditions)
    if not result.cells:
        raise Failure("no cell could be run here", "the warnings above say why")
    _tell(result, cells.beside(older, result) if older else result, folder, wanted, console)
    for cell in result.cells:
        if not cell.good:
            console.say(f"to repeat {cell.agent} in {cell.scenario}: {cell.repeat}")
    sys.exit(Exit.OK if all(cell.good for cell in result.cells) else Exit.NEGATIVE)


def _tell(result: "Survey", whole: "Survey", folder: Path | None, wanted: outputs.Wanted, console: Console) -> None:
    from azready.pipelines.survey import cells, pages

    if folder is not None:
        _write(folder, pages.all_of(whole), console)
    forms = {
        "text": lambda: "\n".join(pages.text(whole) if folder is None else pages.breaches(result)),
        "json": lambda: json.dumps(cells.as_json(whole), indent=1, ensure_ascii=False),
    }
    outputs.write(wanted, forms)


def _older(path: Path) -> "Survey":
    from azready.pipelines.survey.cells import from_json

    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageFailure(f"{path} is no survey: {error}", "give the survey.json of an older one") from error


def _write(folder: Path, texts: "Mapping[str, str]", console: Console) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    console.say(f"written: {', '.join(str(folder / name) for name in texts)}")


def _log(folder: Path) -> "Log":
    from azready.pipelines.survey.cells import Log

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageFailure(f"{folder}: {error.strerror}", "give a folder that can be written") from error
    return Log(folder / "runs.jsonl")


def _keep_running(
    tasks: "Sequence[Task]", conditions: "Conditions", runs: int, log: "Log | None", limit: int, console: Console
) -> "dict[Key, tuple[Run, ...]]":
    """Run what is not in the log yet, each cell `runs` times, and tell each as it ends."""
    from azready.pipelines.survey.running import run_all

    done = log.read() if log else {}
    had = [len(done.get(_key(task, conditions), ())) for task in tasks]
    missing = (task for number in range(runs) for task, count in zip(tasks, had, strict=True) if count <= number)
    wanted = list(islice(missing, limit or None))
    for count, (task, run) in enumerate(run_all(wanted, conditions, console), 1):
        key = _key(task, conditions)
        done[key] = (*done.get(key, ()), run)
        if log is not None:
            log.append(key, run)
        at = "" if run.at is None else f" {run.at:.1f} s"
        console.say(f"{count}/{len(wanted)} {task[0].name}, {task[1].name}: {run.end}{at} {'; '.join(run.remarks)}")
    return done


def _key(task: "Task", conditions: "Conditions") -> Key:
    agent, plan = task
    return (__version__, shlex.join(agent.options), plan.name, f"{conditions.deadline:g}", str(conditions.seed))


def _result(tasks: "Sequence[Task]", done: "dict[Key, tuple[Run, ...]]", conditions: "Conditions") -> "Survey":
    from azready.pipelines.survey.cells import Cell, Survey, Surveyed, Told

    cells = tuple(
        Cell(agent.name, plan.name, agent.owes(plan), _repeat(agent, plan, conditions), runs)
        for agent, plan in tasks
        if (runs := done.get(_key((agent, plan), conditions)))
    )
    versions = {cell.agent: cell.run.version for cell in cells}
    agents = {agent.name: agent for agent, _ in tasks}.values()
    known = {plan.name: plan for _, plan in tasks}
    today = datetime.now(UTC).date().isoformat()
    return Survey(
        made=today,
        azready=__version__,
        deadline=conditions.deadline,
        agents=tuple(
            Surveyed(one.name, one.about or one.given, one.expects, one.ours, versions[one.name], today, __version__)
            for one in agents
            if one.name in versions
        ),
        scenarios=tuple(Told(one.name, one.summary, one.expect) for one in known.values()),
        cells=cells,
    )


def _repeat(agent: "Agent", plan: "Scenario", conditions: "Conditions") -> str:
    words = ["azready", "fabric", "survey", *agent.options, "--scenario", plan.name]
    words += ["--deadline", f"{conditions.deadline:g}"] if conditions.deadline != 90 else []
    words += ["--seed", str(conditions.seed)] if conditions.seed else []
    return shlex.join(words)
