"""What a judge says: the cases of a JUnit file, and its exit code, as checks of the boot."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from azready.boot.record import Check, Outcome, short
from azready.errors import Failure

_RUN = re.compile(r" \(lisa_\d+_\d+\)$")
"""LISA numbers the cases of a run, differently each time."""
_LONG = 160
"""Characters of a message that are shown; all of it is in the judge's own file."""
_OUTCOMES: tuple[tuple[str, Outcome], ...] = (("failure", "failed"), ("error", "failed"), ("skipped", "skipped"))


def cases(path: Path) -> Iterator[tuple[str, Outcome, str]]:
    """Name, outcome and message of every case. Raises Failure for what is no JUnit."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise Failure(f"{path.name} of the judge is no JUnit: {error}", "look at what the judge printed") from error
    for case in root.iter("testcase"):
        name = _RUN.sub("", case.get("name", "") or case.get("classname", "") or "a case without a name")
        outcome: Outcome = "passed"
        message = ""
        for tag, meaning in _OUTCOMES:
            if (told := case.find(tag)) is not None:
                outcome, message = meaning, short(told.get("message") or told.text or "", _LONG)
                break
        yield name, outcome, message


def checks(judge: str, files: Iterable[Path], status: int, at: float) -> tuple[Check, ...]:
    """What the judge found, as checks; its exit code counts where no case tells why it is not 0."""
    told = [Check(f"{judge}: {name}", outcome, message, at) for path in files for name, outcome, message in cases(path)]
    if any(check.outcome == "failed" for check in told) or (told and status == 0):
        return tuple(told)
    whole = Check(judge, "passed" if status == 0 else "failed", f"exit code {status}", at)
    return (*told, whole)
