"""The matrix finds guests that do well, that fail, that stay silent, and that hang; and azready's own do well."""

import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from azready.errors import UsageFailure
from azready.fabric import matrix, scenario
from azready.fabric.scenario import Scenario
from azready.fabric.serve import trials

REPORT = """
import sys, urllib.request as u
wire, body = sys.argv[1], sys.argv[2].encode()
headers = {"Content-Type": "application/json", "x-ms-guest-agent-name": "t"}
u.build_opener(u.ProxyHandler({})).open(u.Request(wire + "/provisioning/health", body, headers), timeout=60)
"""
READY = '{"state":"Ready"}'
FAILED = '{"state":"NotReady","details":{"subStatus":"ProvisioningFailed","description":"no"}}'


def cell(tmp_path: Path, command: str, plan: Scenario, deadline: float = 5.0) -> matrix.Cell:
    (tmp_path / "report.py").write_text(REPORT)
    full = command.replace("REPORT", f"{sys.executable} {tmp_path}/report.py {{wireserver}}")
    (one,) = trials.run([plan], [matrix.GuestProgram("test", full)], deadline)
    return one


QUIET = Scenario("quiet")


@pytest.mark.parametrize(
    ("command", "outcome", "silent"),
    [
        (f"REPORT '{READY}'", "ready", False),
        (f"REPORT '{FAILED}'", "failed", False),
        ("true", "timed-out", True),
    ],
)
def test_how_a_guest_ended(tmp_path: Path, command: str, outcome: str, silent: bool) -> None:
    braced = command.replace("{", "{{").replace("}", "}}").replace("{{wireserver}}", "{wireserver}")
    one = cell(tmp_path, braced, QUIET)
    assert (one.outcome, one.silent, one.good) == (outcome, silent, outcome == "ready"), one.output


def test_a_guest_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "GRACE", 0.5)
    one = cell(tmp_path, "sleep 60", QUIET, deadline=0.5)
    assert (one.outcome, one.silent, one.status) == ("hung", True, None)


def test_the_table_has_scenarios_down_and_guests_across(tmp_path: Path) -> None:
    lines = list(matrix.table([cell(tmp_path, "true", QUIET)]))
    assert lines[0].split() == ["test"]
    assert lines[1].startswith("quiet  ✗ timed-out")


@pytest.mark.parametrize(("word", "says"), [("nix", "provision.py"), ("x={nix}", "is not a place"), ("x={", "place")])
def test_a_wrong_guest_is_explained(word: str, says: str) -> None:
    with pytest.raises(UsageFailure) as caught:
        matrix.guest(word)
    assert says in caught.value.message + caught.value.hint


@pytest.mark.parametrize("name", scenario.names())
def test_every_scenario_is_well_formed_and_says_what_it_is(name: str) -> None:
    one = scenario.load(name)
    assert one.summary
    assert one.faults or one.machine
    one.applied_to(trials.MACHINE)


def cells(plans: Iterable[Scenario], program: str, jobs: int, monkeypatch: pytest.MonkeyPatch) -> list[matrix.Cell]:
    """Our own guest in these scenarios, on a machine however busy: what ends Ready may take its time."""
    monkeypatch.setattr(trials, "GRACE", 90.0)
    ends = [one for one in plans if one.expect == "ready"]
    others = [one for one in plans if one.expect != "ready"]
    done = list(trials.run(ends, [matrix.guest(program)], deadline=150, jobs=jobs))
    return done + list(trials.run(others, [matrix.guest(program)], deadline=25, jobs=jobs))


CHOSEN = ("goalstate-changes", "goalstate-garbled", "imds-503-page", "nothing-to-go-by", "report-answer-lost")


@pytest.mark.long
@pytest.mark.parametrize("program", matrix.OWN_GUESTS)
def test_our_own_guests_do_well_in_a_few_scenarios(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = [scenario.load(name) for name in CHOSEN]
    for one in cells(plans, program, 5, monkeypatch):
        assert one.good, f"{one.scenario.name}: {one.verdict}\n{one.output}"
        assert [f.code for f in one.verdict.findings if f.severity == "error"] in ([], ["health-incarnation"])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("program", matrix.OWN_GUESTS)
def test_our_own_guests_do_well_in_every_scenario(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = [one for one in map(scenario.load, scenario.names()) if not one.slow and not matrix.needs_boot(one)]
    done = cells(plans, program, 8, monkeypatch)
    assert all(one.good for one in done), "\n".join(matrix.table(done))
