"""What the published samples do when Azure hiccups: docs/samples.md tells it, and here it is held to be true."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.fabric import matrix, scenario
from azready.fabric.scenario import Scenario

HERE = Path(__file__).parent
UNIT = f"sh {shlex.quote(str(HERE / 'unit.sh'))} {{root}} {{imds}}"
REPORTS = {
    "python": f"{shlex.quote(sys.executable)} {shlex.quote(str(HERE / 'report.py'))} {{wireserver}}",
    "bash": f"sh {shlex.quote(str(HERE / 'report.sh'))} {{wireserver}}",
    "later copy": f"{shlex.quote(sys.executable)} {shlex.quote(str(HERE / 'report_later_copy.py'))} {{wireserver}}",
}
DISABLED = "disabled itself, though the platform accepted no report"


def cell(sample: str, name: str) -> matrix.Cell:
    plan = scenario.load(name) if name else Scenario("nothing is wrong")
    guest = matrix.guest(f"{sample}={UNIT} {REPORTS[sample]}")
    (one,) = matrix.run([plan], [guest], deadline=1)
    return one


@pytest.fixture(autouse=True)
def quickly(need: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    need("tool:curl")
    monkeypatch.setattr(matrix, "GRACE", 2.0)


@pytest.mark.parametrize("sample", ["python", "bash"])
def test_they_do_well_when_nothing_is_wrong(sample: str) -> None:
    one = cell(sample, "")
    assert one.good, f"{one}\n{one.output}"


def test_the_bash_sample_hard_codes_the_incarnation_and_posts_for_ever() -> None:
    one = cell("bash", "incarnation-7")
    assert one.outcome == "hung"
    assert "the guest reported for incarnation '1', but the goal state has '7'" in one.verdict.because


def test_the_python_sample_does_not_look_at_the_answer_and_disables_itself() -> None:
    one = cell("python", "report-503")
    assert (one.outcome, one.status) == ("timed-out", 0)
    assert "1 health report was not accepted" in one.verdict.because
    assert one.notes == (DISABLED,)


def test_the_python_sample_does_not_ask_twice_for_a_goal_state() -> None:
    one = cell("python", "goalstate-503")
    assert (one.outcome, one.notes) == ("timed-out", (DISABLED,))


@pytest.mark.parametrize("sample", ["python", "bash"])
def test_an_error_page_becomes_the_host_name(sample: str) -> None:
    one = cell(sample, "imds-503-page")
    assert one.outcome == "ready"
    assert one.notes == ("the host name became '<html><body>Service Unavailable</body></html>'",)


def test_the_later_copy_never_reports_and_says_that_all_is_well() -> None:
    one = cell("later copy", "")
    assert (one.outcome, one.status, one.notes) == ("timed-out", 0, (DISABLED,))
    assert "asked for the goal state (answered 200), but posted no health report" in one.verdict.because
