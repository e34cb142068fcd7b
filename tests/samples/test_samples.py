"""The published samples, written anew from their description: the faults are shown, and the verdict names them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.samples.outcomes import SAMPLES, SCENARIOS, play, row

Need = Callable[..., None]
PAGE = Path(__file__).parents[2] / "docs/what-the-sample-does.md"


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES)
def test_the_page_tells_what_happens(need: Need, tmp_path: Path, sample: str) -> None:
    """Every row of the docs page is what a run shows; `python -m tests.samples` prints them anew."""
    need("tool:unshare", "tool:ip", "tool:curl", "tool:bash")
    told = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {sample} |")]
    assert [row(sample, scenario, play(sample, scenario, tmp_path)) for scenario in SCENARIOS] == told


def test_a_hard_coded_incarnation_is_named(need: Need, tmp_path: Path) -> None:
    need("tool:unshare", "tool:ip", "tool:curl")
    outcome = play("published Python", "incarnation-7", tmp_path)
    assert "reported for incarnation '1', but the goal state has '7'" in outcome.verdict
    assert outcome.stranded


def test_a_report_that_was_never_sent_is_named(need: Need, tmp_path: Path) -> None:
    need("tool:unshare", "tool:ip", "tool:curl")
    outcome = play("published Python, 2026", "", tmp_path)
    assert outcome.verdict.startswith("OSProvisioningTimedOut: the guest asked for the goal state (answered 200), but")
    assert "posted no health report" in outcome.verdict
    assert outcome.stranded


def test_a_report_that_was_refused_and_not_looked_at_is_named(need: Need, tmp_path: Path) -> None:
    need("tool:unshare", "tool:ip", "tool:curl")
    outcome = play("published Python", "report-500", tmp_path)
    assert "1 health report was not accepted" in outcome.verdict and "fault report-500" in outcome.verdict
    assert outcome.stranded


@pytest.mark.long
def test_a_host_name_from_an_error_page_is_seen(need: Need, tmp_path: Path) -> None:
    need("tool:unshare", "tool:ip", "tool:curl", "tool:bash")
    assert play("published Bash", "imds-503-page", tmp_path).hostname.startswith("<html>")
    assert play("mended Bash", "imds-503-page", tmp_path).hostname == "vm1"


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "wireserver-dead"])
def test_the_mended_sample_ends_ready(need: Need, tmp_path: Path, scenario: str) -> None:
    need("tool:unshare", "tool:ip", "tool:curl")
    assert play("mended Python", scenario, tmp_path).ready
