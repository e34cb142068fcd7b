"""Guests × scenarios: who ended how while the platform misbehaved. Values and the table; `serve.trials` runs them.

A guest is a command with places for what differs from run to run:

    {root} {imds} {wireserver} {medium} {deadline}      and {python}, {provision_py}, {provision_sh}: azready's own
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from azready.errors import UsageFailure
from azready.fabric.scenario import Expected, Scenario
from azready.fabric.verdict import Verdict

OWN_GUESTS = {
    "provision.py": "{python} {provision_py} --platform azure --root {root} --imds {imds} --wireserver {wireserver} "
    "--medium {medium} --deadline {deadline}",
    "provision.sh": "sh {provision_sh} --platform azure --root {root} --imds {imds} --wireserver {wireserver} "
    "--medium {medium} --deadline {deadline}",
}
Outcome = Expected | Literal["hung"]


@dataclass(frozen=True)
class GuestProgram:
    """A guest that is started as a command of this machine."""

    name: str
    command: str
    """Words as in a shell, with places in braces."""

    def words(self, places: Mapping[str, str]) -> list[str]:
        return [word.format(**places) for word in shlex.split(self.command)]


@dataclass(frozen=True)
class Cell:
    """How one guest fared in one scenario."""

    scenario: Scenario
    guest: GuestProgram
    outcome: Outcome
    verdict: Verdict
    seconds: float
    status: int | None
    """The guest's exit status; None when it was stopped."""
    output: str = ""
    notes: tuple[str, ...] = ()
    """What is wrong with the tree afterwards, whatever was reported."""

    @property
    def good(self) -> bool:
        """Whether it ended as the scenario expects, and left the tree as it should be."""
        return self.outcome == self.scenario.expect and not self.notes

    @property
    def silent(self) -> bool:
        """Whether the platform never heard how it went, though it would have listened; or the guest did not end."""
        return self.outcome == "hung" or (self.outcome == "timed-out" and self.scenario.expect != "timed-out")

    def __str__(self) -> str:
        """What the table says: the outcome, when, and the errors that the platform found in the requests."""
        at = self.verdict.at if self.verdict.at is not None else self.seconds
        errors = sorted({one.code for one in self.verdict.findings if one.severity == "error"})
        remarks = (*errors, *self.notes)
        noted = f" ({'; '.join(remarks)})" if remarks else ""
        return f"{'' if self.good else '✗ '}{self.outcome} {at:.1f} s{noted}"


def guest(word: str) -> GuestProgram:
    """A guest from `NAME=COMMAND`, or the name of one of azready's own."""
    name, equals, command = word.partition("=")
    if not equals:
        if name not in OWN_GUESTS:
            raise UsageFailure(f"there is no guest {name!r}", f"guests: {', '.join(OWN_GUESTS)}; or NAME=COMMAND")
        command = OWN_GUESTS[name]
    try:
        command.format(**dict.fromkeys(_PLACES, ""))
        shlex.split(command)
    except (KeyError, ValueError, IndexError) as error:
        places = ", ".join(f"{{{place}}}" for place in _PLACES)
        raise UsageFailure(f"--guest {word!r}: {error} is not a place", f"places: {places}") from error
    return GuestProgram(name, command)


_PLACES = ("root", "imds", "wireserver", "medium", "deadline", "python", "provision_py", "provision_sh")


def table(cells: Sequence[Cell]) -> Iterator[str]:
    """Scenarios down, guests across, as lines of text."""
    guests = list(dict.fromkeys(cell.guest.name for cell in cells))
    rows = {cell.scenario.name: {"": cell.scenario.name} for cell in cells}
    for cell in cells:
        rows[cell.scenario.name][cell.guest.name] = str(cell)
    columns = ["", *guests]
    lines = [{name: name for name in columns}, *rows.values()]
    widths = {name: max(len(line.get(name, "")) for line in lines) for name in columns}
    yield from ("  ".join(line.get(name, "").ljust(widths[name]) for name in columns).rstrip() for line in lines)


def needs_boot(scenario: Scenario) -> bool:
    """Whether a scenario shows only in a boot: its faults are of DHCP, of the clock, of the guest's own network, or of
    a medium that comes late."""
    return any(
        fault.service in ("dhcp", "clock", "guest") or (fault.service == "media" and fault.delay)
        for fault in scenario.faults
    )
