"""Scenarios: named days on which the platform misbehaves. Each is a TOML file beside this one, or anybody's.

summary = "The WireServer refuses the goal state three times, then answers"
expect = "ready"          # what a good guest makes of it: ready, failed, or timed-out
slow = false              # takes more than a few seconds; left out of the matrix unless asked for

[machine]                 # changes to the machine, as in its own file
incarnation = "7"

[[fault]]                 # as many as needed; the first that applies to a request wins
service = "wireserver"
path = "*comp=goalstate*"
attempts = "1-3"
status = 503
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from azready import toml
from azready.errors import UsageFailure
from azready.fabric.faults import Fault, from_table
from azready.fabric.machine import Machine, changed, typed_fields

Expected = Literal["ready", "failed", "timed-out"]
EXPECTATIONS: tuple[Expected, ...] = ("ready", "failed", "timed-out")
_KEYS = ("summary", "expect", "slow", "machine", "fault")


@dataclass(frozen=True)
class Scenario:
    """A plan of faults, and the outcome that a guest owes to it."""

    name: str
    summary: str = ""
    expect: Expected = "ready"
    slow: bool = False
    machine: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the machine that are otherwise in this scenario."""
    faults: tuple[Fault, ...] = ()

    def applied_to(self, machine: Machine) -> Machine:
        return changed(machine, self.machine)


def names() -> tuple[str, ...]:
    """The scenarios that come with azready."""
    folder = resources.files("azready.fabric") / "scenarios"
    return tuple(sorted(one.name.removesuffix(".toml") for one in folder.iterdir() if one.name.endswith(".toml")))


def load(name: str) -> Scenario:
    """A scenario by its name, or by the path of its file. Raises UsageFailure that lists the known ones."""
    if "/" in name or name.endswith(".toml"):
        try:
            return parse(Path(name).read_text(encoding="utf-8"), Path(name).stem, name)
        except OSError as error:
            raise UsageFailure(f"{name}: {error.strerror}", "give a scenario's name or its TOML file") from error
        except UnicodeDecodeError as error:
            raise UsageFailure(f"{name} is not TOML: {error}", "see docs/fabric.md for an example") from error
    if name not in names():
        raise UsageFailure(f"there is no scenario {name!r}", f"scenarios: {', '.join(names())}; or a TOML file")
    file = resources.files("azready.fabric") / "scenarios" / f"{name}.toml"
    return parse(file.read_text(encoding="utf-8"), name, f"scenario {name}")


def parse(text: str, name: str, source: str) -> Scenario:
    """A scenario from the text of its file; `source` names it in errors."""
    try:
        table = toml.loads(text)
    except ValueError as error:
        raise UsageFailure(f"{source} is not TOML: {error}", "see docs/fabric.md for an example") from error
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise UsageFailure(f"{source}: unknown key {unknown[0]!r}", f"known keys: {', '.join(_KEYS)}")
    expect = table.get("expect", "ready")
    if expect not in EXPECTATIONS:
        raise UsageFailure(f"{source}: expect is {expect!r}", f"use one of {', '.join(EXPECTATIONS)}")
    plan = table.get("fault", [])
    if not isinstance(plan, list) or not all(isinstance(one, dict) for one in plan):
        raise UsageFailure(f"{source}: fault must be tables", "write [[fault]] above each")
    return Scenario(
        name,
        str(table.get("summary", "")),
        expect,
        table.get("slow", False) is True,
        typed_fields(table.get("machine", {}), source),
        tuple(from_table({"name": name, **one}, f"{source}, fault {number}") for number, one in enumerate(plan, 1)),
    )
