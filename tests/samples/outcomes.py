"""Run a sample guest at Azure's real addresses in a namespace, against one scenario, and tell what came of it."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from azready.fabric import Fabric
from azready.fabric.machine import Machine
from azready.fabric.scenario import load
from azready.fabric.serve.inside import enclosed
from azready.fabric.verdict import judge

HERE = Path(__file__).parent
VM = Machine(name="vm1")
DEADLINE = 4.0
"""Seconds a sample has; its own waits are twenty times as fast (fakes/sleep)."""

SAMPLES = {
    "published Python": ("unit-published.sh", sys.executable, "published.py"),
    "published Python, 2026": ("unit-published.sh", sys.executable, "published-2026.py"),
    "published Bash": ("unit-published.sh", "bash", "published.sh"),
    "mended Python": ("unit-mended.sh", sys.executable, "mended.py"),
    "mended Bash": ("unit-mended.sh", "bash", "mended.sh"),
}

SCENARIOS = {
    "": "nothing goes wrong",
    "incarnation-7": "the goal state's incarnation is 7, as after a restart or a move",
    "goalstate-changes": "the incarnation goes up between GET and POST",
    "goalstate-503": "503 to the first three requests for the goal state",
    "goalstate-no-role": "the goal state has no RoleInstance yet, twice",
    "report-500": "500 to the first report",
    "report-reset": "the connection breaks under the first two reports",
    "imds-503-page": "IMDS answers with an HTML error page, twice",
    "wireserver-dead": "the WireServer resets every connection",
}


@dataclass(frozen=True)
class Outcome:
    """What the platform would say, what the VM is called, and whether the unit is off."""

    ready: bool
    verdict: str
    hostname: str
    disabled: bool

    @property
    def stranded(self) -> bool:
        """Never reported, and switched off: no later boot mends it."""
        return self.disabled and not self.ready


def play(sample: str, scenario: str, folder: Path) -> Outcome:
    """Boot, as far as the unit is concerned. `folder` takes the log of its calls."""
    unit, interpreter, program = SAMPLES[sample]
    calls = folder / "calls"
    calls.write_text("")
    plan = load(scenario) if scenario else None
    machine = plan.applied_to(VM) if plan else VM
    environment = {"SAMPLE_CALLS": str(calls), "PATH": f"{HERE / 'fakes'}:{os.environ['PATH']}"}
    words = ["env", *(f"{key}={value}" for key, value in environment.items())]
    words += ["timeout", "-k", "1", str(DEADLINE), "sh", str(HERE / "guests" / unit), interpreter]
    words.append(str(HERE / "guests" / program))
    with (
        enclosed(words) as (sockets, run),
        Fabric(machine, sockets=sockets, faults=plan.faults if plan else ()) as fabric,
    ):
        run()
        verdict = judge(fabric.ledger, DEADLINE)  # the sample has ended: nothing more can come
    said = calls.read_text()
    name = said.partition("hostnamectl set-hostname ")[2].partition("systemctl disable")[0].strip()
    return Outcome(verdict.provisioned, str(verdict), name, "systemctl disable" in said)


def row(sample: str, scenario: str, outcome: Outcome) -> str:
    """One line of the table in docs/what-the-sample-does.md. Times are left out: they differ from run to run."""
    said = "Ready" if outcome.ready else outcome.verdict.partition(":")[0]
    notes = []
    if outcome.stranded:
        notes.append("switched itself off all the same: **no later boot reports**")
    if outcome.hostname != VM.name:
        notes.append(f"host name `{outcome.hostname.splitlines()[0]}`" if outcome.hostname else "host name not set")
    return f"| {sample} | {SCENARIOS[scenario]} | {said} | {'; '.join(notes)} |"
