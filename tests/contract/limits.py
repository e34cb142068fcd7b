"""What provision.sh cannot do as provision.py does, each with its reason: docs/guest.md prints this table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """One difference. A case of that name must exist; `program` names the shell or client it holds for."""

    case: str
    what: str
    why: str
    program: str = ""
    """Part of a program's name; empty: all of them."""
    other_commands: bool = False
    """Everything but the commands called is the same."""

    def applies(self, case: str, program: str) -> bool:
        return self.case == case and self.program in program and not self.other_commands


LIMITS: tuple[Limit, ...] = ()
