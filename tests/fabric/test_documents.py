"""docs/fabric.md and docs/machine.md name everything that there is."""

from dataclasses import fields
from pathlib import Path

import pytest

from azready.fabric import scenario
from azready.fabric.faults import Fault
from azready.fabric.machine import Machine, load
from azready.fabric.protocol.findings import KINDS

DOCS = Path(__file__).parents[2] / "docs"
FABRIC = (DOCS / "fabric.md").read_text()
MACHINE = (DOCS / "machine.md").read_text()


@pytest.mark.parametrize("code", KINDS)
def test_every_finding_is_listed(code: str) -> None:
    assert f"| `{code}` | {KINDS[code].severity} |" in FABRIC


@pytest.mark.parametrize("name", scenario.names())
def test_every_scenario_is_listed_with_what_a_good_guest_owes(name: str) -> None:
    one = scenario.load(name)
    slow = " (slow)" if one.slow else ""
    assert f"| `{name}`{slow} | {one.summary} | {one.expect} |" in FABRIC


def test_every_key_of_a_fault_is_explained() -> None:
    for field in fields(Fault):
        assert field.name == "name" or field.name.replace("_", "-") in FABRIC, field.name


def test_every_field_of_a_machine_is_explained_and_the_example_is_right(tmp_path: Path) -> None:
    for field in fields(Machine):
        assert f"`{field.name}`" in MACHINE or f"\n{field.name} = " in MACHINE, field.name
    example = MACHINE.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "vm.toml").write_text(example)
    assert load(tmp_path / "vm.toml").computer_name == "web-1"


def test_the_example_of_a_scenario_is_right() -> None:
    example = next(part for part in FABRIC.split("```toml\n")[1:] if "summary" in part).partition("```")[0]
    assert scenario.parse(example, "example", "docs").machine == {"incarnation": "3"}
