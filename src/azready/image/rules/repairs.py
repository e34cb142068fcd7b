"""The shapes that most fixes have: (facts, findings) → actions. Lines are dropped file by file, in one write each."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from azready.image.actions import Action, Remove, Write
from azready.image.facts import Facts
from azready.image.rules.model import Finding


def remove(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    """Remove what was found, but for what is done by hand."""
    for path in dict.fromkeys(finding.path for finding in findings if not finding.by_hand):
        yield Remove(path)


def drop_lines(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    """Remove the lines that were found."""
    yield from edit_lines(facts, findings, lambda line: None)


def comment_lines(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    """Put a `#` before the lines that were found."""
    yield from edit_lines(facts, findings, lambda line: f"#{line}")


def edit_lines(facts: Facts, findings: Sequence[Finding], edit: Callable[[str], str | None]) -> Iterator[Action]:
    """Rewrite the lines that were found, `None` dropping one; findings without a line number are left alone."""
    located = sorted((finding for finding in findings if finding.line), key=lambda finding: finding.path)
    for path, group in groupby(located, key=lambda finding: finding.path):
        numbers = {finding.line for finding in group}
        lines = (facts.text(path) or "").splitlines(keepends=True)
        edited = [edit(line) if number in numbers else line for number, line in enumerate(lines, 1)]
        yield write(path, "".join(line for line in edited if line is not None))


def write(path: str, text: str, mode: int | None = None) -> Write:
    """A Write of text; bytes that were not UTF-8 when read come out as they were."""
    return Write(path, text.encode(errors="surrogateescape"), mode)
