"""Running the survey, a cell at a time: images in a container, commands at Azure's addresses in a namespace."""

import shutil
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from azready.addresses import IMDS, WIRESERVER
from azready.boot.container.tree import boot_tree
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.console import SILENT, Console
from azready.errors import Failure
from azready.fabric import Fabric
from azready.fabric.scenario import Scenario
from azready.fabric.serve import trials
from azready.fabric.serve.inside import enclosed
from azready.fabric.verdict import decided, judge
from azready.image.facts.packages import read_packages
from azready.image.targets.tree import Tree as ImageTree
from azready.pipelines import trees
from azready.pipelines.survey.agents import Agent, Command, Debian, Prepared, Tree
from azready.pipelines.survey.cells import Run, run_of
from azready.proc import run as run_program
from azready.userns import Root, become_root, scratch_folder

NOBODY_HEARS = 30.0
"""Seconds for a scenario in which no report can be accepted: what an agent does then is seen by then."""
AFTERWARDS = 3.0
"""Seconds for a command to end, when the platform knows the outcome: some report again."""
TRIES = 3
"""Of a cell, where this machine failed."""
MACHINE = replace(trials.MACHINE, name="survey-vm", admin_password="")


@dataclass(frozen=True)
class Conditions:
    """How every cell is run. `deadline` in seconds; a slow scenario gets twice as long."""

    deadline: float = 90.0
    seed: int = 0
    jobs: int = 2

    def patience(self, scenario: Scenario) -> float:
        """Seconds that a cell of this scenario gets."""
        if scenario.expect == "timed-out":
            return min(NOBODY_HEARS, self.deadline)
        return self.deadline * (2 if scenario.slow else 1)


Task = tuple[Agent, Scenario]


def run_all(tasks: Sequence[Task], conditions: Conditions, console: Console = SILENT) -> Iterator[tuple[Task, Run]]:
    """Run every task once, `jobs` at a time; each comes as it ends. A cell in which this machine failed three times is
    left out, with a warning; so is an agent whose image cannot be made."""
    with Workshop(console) as workshop, ThreadPoolExecutor(max(1, conditions.jobs)) as pool:
        waiting = {pool.submit(_decided, task, conditions, workshop, console): task for task in tasks}
        try:
            for future in as_completed(waiting):
                if (run := future.result()) is not None:
                    yield waiting[future], run
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _decided(task: Task, conditions: Conditions, workshop: "Workshop", console: Console) -> Run | None:
    agent, scenario = task
    try:
        for _ in range(TRIES):
            if isinstance(agent.source, Command):
                return _run_command(agent.source, scenario, conditions)
            if (run := _boot(agent, workshop.tree(agent), scenario, conditions)) is not None:
                return run
        why = f"this machine failed {TRIES} times"
    except Failure as failure:
        why = f"{failure.message} ({failure.hint})"
    console.warn(f"{agent.name}, {scenario.name} is left out: {why}")
    return None


# --- an agent of an image ---


def _boot(agent: Agent, tree: Path, scenario: Scenario, conditions: Conditions) -> Run | None:
    """Boot it once; None where this machine failed."""
    plan = Plan(
        deadline=conditions.patience(scenario),
        boots=1,
        faults=scenario.faults,
        seed=conditions.seed,
        login=agent.expects == "provision",
    )
    (record,) = boot_tree(tree, scenario.applied_to(MACHINE), plan)
    return boot_as_run(record, _version(tree, agent.package)) if counts(record) else None


def counts(record: BootRecord) -> bool:
    """Whether a boot says something of the agent. One that had too little of the processor does, when the agent came
    as far as to ask the platform: what was left to it is mostly to wait."""
    starved = record.cause is not None and record.cause.code == "starved"
    return not record.undecided or (starved and any(one.service in ("imds", "wireserver") for one in record.exchanges))


def boot_as_run(record: BootRecord, version: str) -> Run:
    """A boot's record as a run. What was not found wrong by the platform alone counts only where it took the VM."""
    failed = [check for check in record.checks if check.outcome == "failed"]
    remarks = (f"{check.name}: {check.detail}" for check in failed) if record.verdict.provisioned else ()
    return run_of(replace(record.verdict, findings=record.findings), remarks, version)


def _version(tree: Path, package: str) -> str:
    """The version of a Debian package in a tree."""
    if not package:
        return ""
    with ImageTree(tree) as files:
        return read_packages(files).versions.get(package, "")


class Workshop:
    """Trees for the survey, made when first asked for, gone at its end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._made: dict[str, Path | Failure] = {}
        self._folder = Path()

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="survey-", dir=trees.cache_directory()))
        return self

    def __exit__(self, *about: object) -> None:
        for path in self._folder.iterdir():
            trees.remove(path)
        shutil.rmtree(self._folder, ignore_errors=True)

    def tree(self, agent: Agent) -> Path:
        """The agent's tree. Raises Failure where it cannot be made: that is tried once."""
        with self._locks[agent.name]:
            if agent.name not in self._made:
                try:
                    self._made[agent.name] = self._make(agent)
                except Failure as failure:
                    self._made[agent.name] = failure
            made = self._made[agent.name]
        if isinstance(made, Failure):
            raise made
        return made

    def _make(self, agent: Agent) -> Path:
        root = self._folder / agent.name
        match agent.source:
            case Tree(path):
                return path
            case Debian(suite, "waagent", network):
                trees.unpack(trees.tree(suite, ("waagent", "eject"), network, self._console), root)
                _let_waagent_provision(root)
            case Debian(suite, package, network):
                return trees.unpacked(suite, (package,), network, self._console)
            case Prepared(suite, guest, packages):
                trees.unpack(trees.tree(suite, packages, console=self._console), root)
                run_program([sys.executable, "-P", "-m", "azready", "prepare", root, "--guest", guest])
        return root


def _let_waagent_provision(root: Path) -> None:
    """Debian's waagent.conf names cloud-init as the one that provisions, which is not there."""
    config = root / "etc/waagent.conf"
    text = config.read_text(encoding="utf-8")
    wanted = text.replace("Provisioning.Agent=cloud-init", "Provisioning.Agent=auto")
    trees.in_namespace(["sh", "-c", 'printf %s "$2" >"$1"', "sh", config, wanted])


# --- an agent that is a command ---


def _run_command(command: Command, scenario: Scenario, conditions: Conditions) -> Run:
    """Run it until it ends, or the deadline comes, or the platform knows the outcome and some seconds have passed."""
    machine = scenario.applied_to(MACHINE)
    rights = become_root()
    with scratch_folder("azready-survey-", rights) as folder:
        places = {
            "root": str(trials.scratch_tree(folder / "root", machine.admin_username if rights.one_user else "")),
            "medium": trials.medium_folder(machine, scenario.faults, folder / "medium"),
            "wireserver": f"http://{WIRESERVER}",
            "imds": f"http://{IMDS}",
            "deadline": f"{conditions.patience(scenario):g}",
        }
        words = [*trials.enclosure(Root((), one_user=False)), "sh", "-c", _QUIETLY, "sh", *command.words(**places)]
        with (
            enclosed(words) as (sockets, start),
            Fabric(machine, sockets=sockets, faults=scenario.faults, seed=conditions.seed) as fabric,
        ):
            fabric.restart()
            statuses: list[int] = []
            thread = threading.Thread(target=lambda: statuses.append(start()), daemon=True)
            thread.start()
            _attend(thread, fabric, conditions.patience(scenario))
            if 127 in statuses:
                raise Failure(f"{command.text}: its program was not found", "give its path")
            return run_of(judge(fabric.ledger, round(fabric.ledger.now(), 1)))


_QUIETLY = 'exec "$@" >/dev/null 2>&1'


def _attend(thread: threading.Thread, fabric: Fabric, patience: float) -> None:
    """Wait for the command's end; whoever is left is ended with its namespaces."""
    until = time.monotonic() + patience
    while thread.is_alive() and time.monotonic() < until and not decided(fabric.ledger):
        thread.join(0.1)
    if decided(fabric.ledger):
        thread.join(AFTERWARDS)
