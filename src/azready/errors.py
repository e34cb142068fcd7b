"""The errors that users see, and the exit codes that scripts see.

Every expected failure is a `Failure`: one sentence that says what is wrong, and a hint that says what to do.
Only `azready.cli` turns one into text on stderr and an exit code.
"""

from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every verb; README lists them."""

    OK = 0
    NEGATIVE = 1
    """The question was answered, and the answer is no: findings, or a verdict other than Provisioned."""
    USAGE = 2
    """The command line or an input file is wrong."""
    UNABLE = 3
    """The question could not be answered: a tool, a right or an input is missing."""
    INTERRUPTED = 130


class Failure(Exception):
    """An expected failure: `message` says what is wrong, `hint` what to do next."""

    exit_code: Exit = Exit.UNABLE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageFailure(Failure):
    """The user's input is wrong: an option value, a configuration file, a target that is not one."""

    exit_code = Exit.USAGE


def nearest(name: str, allowed: Iterable[str]) -> str:
    """A hint about a name that there is not: the one that was meant, or all that there are."""
    import difflib  # here: it is wanted only where something is wrong

    names = tuple(allowed)
    near = difflib.get_close_matches(name, names, 1)
    return f"do you mean {near[0]}?" if near else f"use one of {', '.join(names)}"
