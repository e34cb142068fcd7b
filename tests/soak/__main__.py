"""`python -m tests.soak --runs 1000`: boots of azready's programs in turn, and `--beside 100` of Debian's agents.

A log keeps every boot: what is there is not booted again. Exit code 1 when a boot of ours was not Ready.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from azready.console import Console
from azready.pipelines.survey.agents import OWN
from azready.pipelines.survey.cells import Log, Run
from azready.pipelines.survey.running import Conditions, Task, run_all
from tests.soak.plans import scenario

OURS = ("azready-py", "azready-sh")
OTHERS = ("waagent-12", "waagent-13", "cloud-init-12", "cloud-init-13")
ENDS = ("ready", "Ready, but no login", "failed", "silent")
Key = tuple[str, ...]


def tasks(seed: int, runs: int, beside: int) -> Iterator[Task]:
    """Boots of ours, turn by turn; each of Debian's agents meets the first `beside` of the same."""
    for number in range(runs):
        plan = scenario(seed, number)
        yield OWN[OURS[number % len(OURS)]], plan
        if number < beside:
            yield from ((OWN[name], plan) for name in OTHERS)


def key(task: Task) -> Key:
    return task[0].name, task[1].name


def end(run: Run) -> str:
    return ENDS[1] if run.end == "ready" and run.remarks else run.end


def table(done: Mapping[Key, Iterable[Run]]) -> str:
    """How the boots of each agent ended, in Markdown."""
    counts: dict[str, Counter[str]] = {}
    for (name, _), runs in done.items():
        counts.setdefault(name, Counter()).update(map(end, runs))
    lines = [
        "| agent | boots | Ready | Ready, but no login | failed, with a reason | silent |",
        "|---|---|---|---|---|---|",
    ]
    for name, ends in sorted(counts.items(), key=lambda each: (each[0] not in OURS, each[0])):
        lines.append(f"| {name} | {ends.total()} | {' | '.join(str(ends[each]) for each in ENDS)} |")
    return "\n".join(lines) + "\n"


def wrong(done: Mapping[Key, Iterable[Run]]) -> list[str]:
    """A line for each boot of ours that did not end Ready with a login."""
    return [
        f"{name} {number}: {end(run)} {run.says} {' '.join(run.remarks)}"
        for (name, number), runs in done.items()
        for run in runs
        if name in OURS and end(run) != "ready"
    ]


def soak(todo: Iterable[Task], log: Log, conditions: Conditions, console: Console) -> None:
    """Boot what the log does not have."""
    known = log.read()
    for task, run in run_all([task for task in todo if key(task) not in known], conditions, console):
        log.append(key(task), run)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="boots of azready's programs, in all")
    parser.add_argument("--beside", type=int, default=100, help="boots of each of Debian's agents")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--deadline", type=float, default=90.0, help="seconds that the platform waits")
    parser.add_argument("--log", type=Path, default=Path(".soak.jsonl"), help="goes on from there")
    given = parser.parse_args()
    log = Log(given.log)
    todo = list(tasks(given.seed, given.runs, given.beside))
    soak(todo, log, Conditions(given.deadline, given.seed, given.jobs), Console())
    wanted, known = {key(task) for task in todo}, log.read()
    done = {each: runs for each, runs in known.items() if each in wanted}
    red = wrong(done)
    print(table(done), *red, sep="\n")
    return 1 if red or len(done) < len(wanted) else 0


if __name__ == "__main__":
    sys.exit(main())
