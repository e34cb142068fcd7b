"""What came of it: one run of one agent in one scenario, and the cell that its runs make."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from azready.errors import UsageFailure
from azready.fabric.scenario import Expected
from azready.fabric.verdict import Verdict

End = Literal["ready", "failed", "silent"]


@dataclass(frozen=True)
class Run:
    """One run. `silent`: no report was accepted, so that Azure would wait, and lose the VM."""

    end: End
    at: float | None
    """Seconds until the platform knew; None when it never did."""
    says: str
    """The platform's reason, where it is not Ready."""
    findings: tuple[str, ...] = ()
    """Codes of what the platform finds wrong with the requests; notes are left out."""
    remarks: tuple[str, ...] = ()
    """What is wrong with the VM, though it is Ready: nobody can log in."""
    version: str = ""
    """The agent's version, where a package says it."""


def run_of(verdict: Verdict, remarks: Iterable[str] = (), version: str = "") -> Run:
    """A run by the platform's verdict; `remarks` say what is wrong with the VM all the same."""
    ends: Mapping[str, End] = {"": "ready", "OSProvisioningClientError": "failed"}
    end = ends.get(verdict.code, "silent")
    found = sorted({one.code for one in verdict.findings if one.severity != "note"})
    at = None if end == "silent" or verdict.at is None else round(verdict.at, 2)
    says = "" if verdict.provisioned else " ".join(str(verdict).split())
    return Run(end, at, says, tuple(found), tuple(remarks), version)


@dataclass(frozen=True)
class Cell:
    """An agent in a scenario, and how it ended each time."""

    agent: str
    scenario: str
    owed: Expected
    repeat: str
    """The command that repeats it."""
    runs: tuple[Run, ...]

    @property
    def run(self) -> Run:
        """The one to show: the worst of them."""
        order = {"silent": 0, "failed": 1, "ready": 2}
        return min(self.runs, key=lambda run: (order[run.end], not run.remarks))

    @property
    def good(self) -> bool:
        """Whether it ended as owed, each time. Where nobody is heard, silence is all that is left."""
        ends: Mapping[Expected, End] = {"ready": "ready", "failed": "failed", "timed-out": "silent"}
        return all(run.end == ends[self.owed] and not run.remarks for run in self.runs)

    @property
    def lost(self) -> bool:
        """Whether Azure would lose this VM without a word, though it listened."""
        return self.run.end == "silent" and self.owed != "timed-out"

    @property
    def steady(self) -> bool:
        """Whether all its runs ended alike."""
        return len({(run.end, bool(run.remarks)) for run in self.runs}) == 1


@dataclass(frozen=True)
class Surveyed:
    """An agent as the page names it."""

    name: str
    about: str
    expects: str
    ours: bool
    version: str = ""
    made: str = ""
    """The day its cells were run, ISO 8601, and the version of azready that did it."""
    azready: str = ""


@dataclass(frozen=True)
class Told:
    """A scenario as the page tells it."""

    name: str
    summary: str
    owed: Expected


@dataclass(frozen=True)
class Survey:
    """A whole survey: what the pages are drawn from, and nothing else."""

    made: str
    """The day, ISO 8601."""
    azready: str
    deadline: float
    agents: tuple[Surveyed, ...]
    scenarios: tuple[Told, ...]
    cells: tuple[Cell, ...]

    def cell(self, agent: str, scenario: str) -> Cell | None:
        """None where this agent was not run in this scenario."""
        return next((one for one in self.cells if (one.agent, one.scenario) == (agent, scenario)), None)

    def row(self, scenario: str) -> tuple[Cell, ...]:
        """What every agent made of a scenario."""
        return tuple(one for one in self.cells if one.scenario == scenario)

    def column(self, agent: str) -> tuple[Cell, ...]:
        """How an agent ended in every scenario."""
        return tuple(one for one in self.cells if one.agent == agent)


def beside(older: Survey, newer: Survey) -> Survey:
    """Both in one: who is in both is taken from the newer, ours come first. Cells of scenarios that are gone are not
    shown. Raises UsageFailure where a cell of one is not comparable with a cell of the other."""
    if older.deadline != newer.deadline:
        raise UsageFailure(
            f"the older survey waited {older.deadline:g} s, this one {newer.deadline:g} s",
            f"use --deadline {older.deadline:g}",
        )
    new = {agent.name for agent in newer.agents}
    kept = tuple(agent for agent in older.agents if agent.name not in new)
    scenarios = {told.name: told for told in (*older.scenarios, *newer.scenarios)}
    cells = (*(cell for cell in older.cells if cell.agent not in new), *newer.cells)
    return replace(
        newer,
        agents=tuple(sorted((*newer.agents, *kept), key=lambda agent: not agent.ours)),
        scenarios=tuple(scenarios[name] for name in sorted(scenarios)),
        cells=cells,
    )


def as_json(survey: Survey) -> dict[str, Any]:
    """The survey as plain values, with what follows from its cells; `from_json` reads it back."""
    table = asdict(survey)
    for row, cell in zip(table["cells"], survey.cells, strict=True):
        row |= {"good": cell.good, "lost": cell.lost, "steady": cell.steady}
    return {"version": 1, **table}


def from_json(table: Mapping[str, Any]) -> Survey:
    """The survey that `as_json` made a table of. Raises KeyError or TypeError for a table that is none."""
    return Survey(
        made=table["made"],
        azready=table["azready"],
        deadline=table["deadline"],
        agents=tuple(Surveyed(**{"made": table["made"], "azready": table["azready"]} | row) for row in table["agents"]),
        scenarios=tuple(Told(**row) for row in table["scenarios"]),
        cells=tuple(_cell(row) for row in table["cells"]),
    )


def _cell(row: Mapping[str, Any]) -> Cell:
    values = {key: row[key] for key in ("agent", "scenario", "owed", "repeat")}
    return Cell(**values, runs=tuple(_run(one) for one in row["runs"]))


def _run(row: Mapping[str, Any]) -> Run:
    return replace(Run(**row), findings=tuple(row["findings"]), remarks=tuple(row["remarks"]))


@dataclass(frozen=True)
class Log:
    """A file of runs, a line each: what a survey that was broken off goes on from."""

    path: Path

    def append(self, key: Sequence[str], run: Run) -> None:
        """One line, so that a run that is cut off loses no more than the last one."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": list(key), **asdict(run)}, ensure_ascii=False) + "\n")

    def read(self) -> dict[tuple[str, ...], tuple[Run, ...]]:
        """The runs of each key, in their order; a last line that was cut is left out. Raises UsageFailure."""
        found: dict[tuple[str, ...], tuple[Run, ...]] = {}
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise UsageFailure(f"{self.path} cannot be read: {error}", "give another folder") from error
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                key = tuple(row.pop("key"))
                found[key] = (*found.get(key, ()), _run(row))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                if number < len(lines):
                    raise UsageFailure(
                        f"{self.path}, line {number} is no run", "remove the line, or the file"
                    ) from error
        return found
