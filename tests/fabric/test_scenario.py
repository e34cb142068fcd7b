"""Scenario files: wrong ones say what is wrong."""

from pathlib import Path

import pytest

from azready.errors import UsageFailure
from azready.fabric import scenario
from azready.fabric.machine import Machine


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = ", "is not TOML"),
        ("sumary = 'x'", "unknown key 'sumary'"),
        ("expect = 'perhaps'", "use one of ready, failed, timed-out"),
        ("fault = 1", "write \\[\\[fault\\]\\]"),
        ("[[fault]]\nstatsu = 1", "fault 1: unknown key 'statsu'"),
        ("[machine]\nnmae = 'x'", "unknown key 'nmae'"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(UsageFailure) as caught:
        scenario.load(str(path))
    import re

    assert re.search(says, f"{caught.value.message} {caught.value.hint}")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageFailure) as caught:
        scenario.load("nix")
    assert "goalstate-503" in caught.value.hint


def test_a_scenario_changes_its_machine_and_what_follows_from_a_name() -> None:
    plan = scenario.parse("[machine]\nname = 'other'\n", "s", "s")
    changed = plan.applied_to(Machine(name="one", admin_username="me"))
    assert changed == Machine(name="other", admin_username="me")
