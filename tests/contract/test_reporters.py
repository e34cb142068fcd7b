"""report.py and report.sh: the report part of the contract, and what both ask of systemd by await-unit."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azready.fabric import Fabric
from azready.fabric.faults import Fault
from azready.fabric.ledger import HealthReport
from tests.contract.case import GOAL, HEALTH, JSON, machine
from tests.contract.programs import GUEST, pythons, shells

LINES = 150
REPORTED = (f"{GOAL} 200", f"{HEALTH} 200")
PROGRAMS = [
    *(pytest.param([program.words[0], "-I", "-S", str(GUEST / "report.py")], id=program.name) for program in pythons()),
    *(
        pytest.param([*program.words[:-1], str(GUEST / "report.sh")], id=program.name)
        for program in shells()
        if "-curl-" in program.name
    ),
]
every_program = pytest.mark.parametrize("program", PROGRAMS)
two_programs = pytest.mark.parametrize("program", [PROGRAMS[-1], PROGRAMS[len(pythons()) - 1]])
"""A shell, and the newest Python."""

SYSTEMCTL = """#!/bin/sh
[ "$1" = show ] && shift $(($# - 1)) && [ -e "$FACTS/$1" ] && cat "$FACTS/$1"
"""
"""In place of systemd's: prints the facts of a unit that a test has written down."""


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric() as running:
        yield running


class Lab:
    """One run of a reporter beside the fabric, with a systemctl that says what the test wants."""

    def __init__(self, fabric: Fabric, folder: Path) -> None:
        self.fabric, self.folder = fabric, folder
        (folder / "bin").mkdir()
        (folder / "bin/systemctl").write_text(SYSTEMCTL)
        (folder / "bin/systemctl").chmod(0o755)
        self.environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "FACTS": str(folder)}

    def says(self, unit: str, **facts: str) -> None:
        (self.folder / unit).write_text("".join(f"{name}={value}\n" for name, value in facts.items()))

    def run(self, program: list[str], *options: str, faults: tuple[Fault, ...] = (), status: int = 0) -> str:
        self.fabric.restart(machine(), faults)
        words = [*program, "--platform=azure", f"--wireserver={self.fabric.wireserver_url.removeprefix('http://')}"]
        if program[-1].endswith(".sh"):
            words = [word for one in words for word in (one.split("=") if one.startswith("--") else [one])]
        done = subprocess.run(
            [*words, *options], env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status, done.stderr
        assert not [one for one in self.fabric.ledger.findings if one.severity == "error"]
        return done.stderr

    @property
    def reports(self) -> list[tuple[str, str, str, str]]:
        return [(one.form, one.state, one.substatus, one.description) for one in self.accepted]

    @property
    def accepted(self) -> list[HealthReport]:
        return [one for one in self.fabric.ledger.reports if one.accepted]

    @property
    def requests(self) -> tuple[str, ...]:
        return tuple(f"{one.service} {one.method} {one.target} {one.status}" for one in self.fabric.ledger.exchanges)


@pytest.fixture
def lab(fabric: Fabric, tmp_path: Path) -> Lab:
    return Lab(fabric, tmp_path)


@pytest.mark.parametrize("name", ["report.py", "report.sh"])
def test_a_reviewer_reads_it_in_five_minutes(name: str) -> None:
    assert len((GUEST / name).read_text().splitlines()) <= LINES


@every_program
def test_ready(lab: Lab, program: list[str]) -> None:
    lab.run(program)
    assert lab.requests == REPORTED and lab.reports == [("xml", "Ready", "", "")]


@every_program
def test_failed_and_why(lab: Lab, program: list[str]) -> None:
    lab.run(program, "--failed", 'no "db" at <host> & \\n|\t' + "&" * 2000)
    ((form, state, substatus, text),) = lab.reports
    assert (form, state, substatus) == ("xml", "NotReady", "ProvisioningFailed")
    assert text.startswith('no "db" at <host> & \\n| &&&') and len(text) == 800


HOSTILE = {
    "10 kB": ("x" * 10_000, "x" * 800),
    "control bytes": ("a\x01\x1b[31mb", "a  [31mb"),
    "no UTF-8": ("a\udcff(z", "a (z"),
    "markup": ("]]></Description><State>Ready</State>&#0;", "]]></Description><State>Ready</State>&#0;"),
    "quotes": ("\"\\'$(x)`x`%s", "\"\\'$(x)`x`%s"),
    "what means success elsewhere": ("up", "up"),
    "an option": ("--in-progress", "--in-progress"),
    "nothing": ("", "no reason was given"),
    "blanks": (" \n", "no reason was given"),
}


@two_programs
@pytest.mark.parametrize(
    ("form", "kind"), [*(("xml", kind) for kind in HOSTILE), *(("json", kind) for kind in ("no UTF-8", "quotes"))]
)
def test_whatever_the_reason_it_is_told_as_a_failure(lab: Lab, program: list[str], form: str, kind: str) -> None:
    """In JSON where the platform has no goal state."""
    reason, wanted = HOSTILE[kind]
    none = Fault("f", "wireserver", path="*goalstate*", status=404)
    lab.run(program, "--failed", reason, faults=(none,) if form == "json" else ())
    assert lab.reports == [(form, "NotReady", "ProvisioningFailed", wanted)]


def test_busybox_clears_a_reason_as_well(lab: Lab, need: Callable[..., None]) -> None:
    need("tool:busybox", "tool:curl")
    for name in ("tr", "cut", "sed", "sh"):
        (lab.folder / "bin" / name).symlink_to(shutil.which("busybox") or "")
    lab.run(
        ["busybox", "sh", str(GUEST / "report.sh")], "--failed", HOSTILE["no UTF-8"][0] + HOSTILE["control bytes"][0]
    )
    assert lab.reports == [("xml", "NotReady", "ProvisioningFailed", "a (za  [31mb")]


@two_programs
@pytest.mark.parametrize(
    ("fault", "requests"),
    [
        (Fault("f", "wireserver", path="*goalstate*", attempts="1", status=503), (f"{GOAL} 503", *REPORTED)),
        (Fault("f", "wireserver", path="*goalstate*", attempts="1", reset=True), (f"{GOAL} None", *REPORTED)),
        (Fault("f", "wireserver", path="*goalstate*", attempts="1", body="<GoalState/>"), (f"{GOAL} 200", *REPORTED)),
        (Fault("f", "wireserver", path="*goalstate*", attempts="1", cut=120), (f"{GOAL} 200", *REPORTED)),
        (
            Fault("f", "wireserver", path="*health*", attempts="1", status=500),
            (GOAL + " 200", HEALTH + " 500", *REPORTED),
        ),
        (
            Fault("f", "wireserver", path="*health*", attempts="1", status=404),
            (GOAL + " 200", HEALTH + " 404", *REPORTED),
        ),
        (
            Fault("f", "wireserver", path="*health*", attempts="1", status=429, retry_after="1"),
            (GOAL + " 200", HEALTH + " 429", *REPORTED),
        ),
    ],
    ids=["refused", "reset", "nothing in it", "cut", "report refused", "report not found", "later, please"],
)
def test_it_tries_again_with_a_fresh_goal_state(
    lab: Lab, program: list[str], fault: Fault, requests: tuple[str, ...]
) -> None:
    lab.run(program, faults=(fault,))
    assert lab.requests == requests and lab.reports == [("xml", "Ready", "", "")]


@two_programs
@pytest.mark.parametrize("status", [404, 503])
def test_where_there_is_no_goal_state_it_reports_in_json(lab: Lab, program: list[str], status: int) -> None:
    """At once where that is what the answer means, else when a quarter of the deadline has gone."""
    lab.run(
        program,
        "--deadline",
        "8",
        "--failed",
        'a "b" \\c',
        faults=(Fault("f", "wireserver", path="*goalstate*", status=status),),
    )
    assert lab.requests[-1] == f"{JSON} 201" and lab.reports == [
        ("json", "NotReady", "ProvisioningFailed", 'a "b" \\c')
    ]
    assert (len(lab.requests) == 2) == (status == 404)


@two_programs
def test_a_platform_that_accepts_nothing_is_given_up_at_the_deadline(lab: Lab, program: list[str]) -> None:
    said = lab.run(program, "--deadline", "2", faults=(Fault("f", "wireserver", status=503),), status=2)
    assert "not reported yet: 503" in said and not lab.reports


@pytest.mark.long
@two_programs
def test_still_at_work(lab: Lab, program: list[str]) -> None:
    lab.run(program, "--in-progress")
    assert lab.reports == [("xml", "NotReady", "Provisioning", "still at work")]
    lab.run(program, "--in-progress", "--every", "1", "--deadline", "4")
    assert len(lab.reports) >= 2 and {one[2] for one in lab.reports} == {"Provisioning"}


SLEEP = """#!/bin/sh
read -r up idle </proc/uptime
echo "$((${up%.*} + $1)).00 $idle" >"$FACTS/uptime.new"
cat "$FACTS/uptime.new" >"$FACTS/uptime"
"""
PLAYED = 'mount --bind "$FACTS/uptime" /proc/uptime && exec dash "$@"'
"""The clock of report.sh is a file that the tests' own sleep turns."""


@pytest.mark.long
def test_a_bootstrap_of_half_an_hour_is_told_of_every_minute(lab: Lab, need: Callable[..., None]) -> None:
    need("root", "tool:dash", "tool:curl", "tool:unshare")
    (lab.folder / "uptime").write_text("100.00 100.00\n")
    (lab.folder / "bin/sleep").write_text(SLEEP)
    (lab.folder / "bin/sleep").chmod(0o755)
    played = ["unshare", "--mount", "sh", "-euc", PLAYED, "sh", str(GUEST / "report.sh")]
    lab.run(played, "--in-progress", "--every", "60", "--deadline", "1800")
    assert 29 <= len(lab.reports) <= 31 and {one[2] for one in lab.reports} == {"Provisioning"}


@two_programs
def test_every_0_seconds_is_no_flood(lab: Lab, program: list[str]) -> None:
    lab.run(program, "--in-progress", "--every", "0", "--deadline", "3")
    lab.says("my.service", **WAITING)
    lab.run(program, "--wait-for", "my.service", "--every", "0", "--deadline", "2")
    assert [one[2] for one in lab.reports] == ["ProvisioningFailed"]


@two_programs
def test_a_vm_is_reported_once_and_its_clone_again(lab: Lab, program: list[str]) -> None:
    (lab.folder / "product_uuid").write_text("VM-1\n")
    lab.environment |= {"STATE_DIRECTORY": str(lab.folder), "CREDENTIALS_DIRECTORY": str(lab.folder)}
    lab.run(program)
    assert "VM-1 is reported already" in lab.run(program, "--failed", "late") and not lab.reports
    (lab.folder / "product_uuid").write_text("VM-2\n")
    lab.run(program)
    assert lab.reports == [("xml", "Ready", "", "")]


@two_programs
@pytest.mark.parametrize("options", [("--fast",), ("--deadline", "1h"), ("--failed",), ("--every", "x")])
def test_wrong_usage(lab: Lab, program: list[str], options: tuple[str, ...]) -> None:
    lab.run(program, *options, status=64)
    assert not lab.requests


@two_programs
def test_it_does_nothing_elsewhere_than_on_azure(lab: Lab, program: list[str]) -> None:
    assert "not on Azure" in lab.run(program, "--platform", "auto") and not lab.requests


WAITING = {"LoadState": "loaded", "ActiveState": "activating"}
UP = {"LoadState": "loaded", "ActiveState": "active"}
IDLE = {"LoadState": "loaded", "ActiveState": "inactive", "Job": "0"}
FAILED = {"LoadState": "loaded", "ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "3"}


@two_programs
def test_ready_when_the_unit_is_up(lab: Lab, program: list[str]) -> None:
    lab.says("my.service", **UP)
    lab.run(program, "--wait-for", "my.service")
    assert lab.reports == [("xml", "Ready", "", "")]


@two_programs
def test_a_failure_at_once_and_in_the_unit_s_own_words(lab: Lab, program: list[str]) -> None:
    lab.says("my.service", **FAILED, StatusText="no database = no service")
    lab.run(program, "--wait-for", "my.service")
    text = "my.service failed: exit-code, status 3: no database = no service"
    assert lab.reports == [("xml", "NotReady", "ProvisioningFailed", text)]


@two_programs
def test_a_unit_that_takes_long_keeps_the_platform_informed(lab: Lab, program: list[str]) -> None:
    lab.says("my.service", **WAITING)
    lab.run(program, "--wait-for", "my.service", "--every", "1", "--deadline", "3")
    *meanwhile, last = lab.reports
    assert last[2:] == ("ProvisioningFailed", "my.service is not up in time") and meanwhile
    assert {one[2:] for one in meanwhile} == {("Provisioning", "waiting for my.service")}


AWAITED = {
    "up": (UP, "up"),
    "reloading": ({**UP, "ActiveState": "reloading"}, "up"),
    "a oneshot that did its work": ({**IDLE, "InactiveEnterTimestampMonotonic": "7"}, "up"),
    "starting": (WAITING, ""),
    "between two tries": ({**WAITING, "Result": "exit-code", "ExecMainStatus": "3"}, ""),
    "queued": ({**IDLE, "Job": "12"}, ""),
    "queued again after it ran": ({**IDLE, "Job": "12", "InactiveEnterTimestampMonotonic": "7"}, ""),
    "not there yet": ({"LoadState": "not-found", "ActiveState": "inactive"}, ""),
    "not started yet": (IDLE, ""),
    "out of time": ({**FAILED, "Result": "timeout", "ExecMainStatus": "0"}, "my.service failed: timeout"),
    "masked": ({"LoadState": "masked", "ActiveState": "inactive"}, "my.service is masked"),
    "misspelt": ({"LoadState": "bad-setting", "ActiveState": "inactive"}, "my.service is bad-setting"),
    "skipped": (
        {**IDLE, "ConditionResult": "no", "ConditionTimestampMonotonic": "9"},
        "my.service was not started: its conditions are not met",
    ),
    "not looked at yet": ({**IDLE, "ConditionResult": "no", "ConditionTimestampMonotonic": "0"}, ""),
    "what it needs is up": ({**IDLE, "Requires": "sysinit.target"}, ""),
    "what it needs failed": (
        {**IDLE, "Requires": "sysinit.target db.service"},
        "my.service cannot start: db.service failed: exit-code, status 3",
    ),
    "what that needs failed": (
        {**IDLE, "BindsTo": "middle.service"},
        "my.service cannot start: middle.service cannot start: db.service failed: exit-code, status 3",
    ),
    "a circle": ({**IDLE, "Requires": "my.service"}, ""),
    "systemd does not answer": ({}, ""),
}


@pytest.mark.parametrize(("facts", "wanted"), list(AWAITED.values()), ids=list(AWAITED))
def test_what_becomes_of_a_unit(lab: Lab, need: Callable[..., None], facts: dict[str, str], wanted: str) -> None:
    need("tool:dash")
    lab.says("my.service", **facts)
    lab.says("sysinit.target", **UP)
    lab.says("db.service", **FAILED)
    lab.says("middle.service", **IDLE, Requires="db.service")
    words = ["dash", str(GUEST / "await-unit"), "my.service", "0"]
    done = subprocess.run(words, env=lab.environment, capture_output=True, text=True, check=True, timeout=30)
    assert (done.stdout.strip(), done.stderr) == (wanted, "")


@two_programs
def test_a_name_with_a_backslash_stays_as_it_is(lab: Lab, program: list[str]) -> None:
    unit = "my\\x2dapp.service"
    lab.says(unit, **FAILED, StatusText="C:\\new")
    lab.run(program, "--wait-for", unit)
    assert lab.reports[0][3] == f"{unit} failed: exit-code, status 3: C:\\new"
