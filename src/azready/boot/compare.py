"""Two series of boots side by side: outcomes, milestones, and findings that came or went. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from azready.boot.record import MILESTONES, BootRecord


@dataclass(frozen=True)
class Difference:
    """One row: what, before, after (either may be missing), and for times the seconds more or less."""

    boot: str
    what: str
    before: str
    after: str
    change: float | None = None
    tone: Literal["", "better", "worse"] = ""


def compare(before: Sequence[BootRecord], after: Sequence[BootRecord]) -> tuple[Difference, ...]:
    """The rows for boots of the same title, in order."""
    others = {record.title: record for record in after}
    rows: list[Difference] = []
    for record in before:
        other = others.pop(record.title, None)
        if other is None:
            rows.append(Difference(record.title, "boot", record.headline, "not booted", tone="worse"))
            continue
        rows += [_outcome(record, other), *_cause(record, other), *_times(record, other), *_findings(record, other)]
    rows += [Difference(record.title, "boot", "not booted", record.headline) for record in others.values()]
    return tuple(rows)


def worse(rows: Iterable[Difference]) -> bool:
    """Whether an outcome got worse, or a finding came."""
    return any(row.tone == "worse" and row.change is None for row in rows)


def _outcome(one: BootRecord, other: BootRecord) -> Difference:
    tone: Literal["", "better", "worse"] = ""
    if one.passed != other.passed:
        tone = "better" if other.passed else "worse"
    return Difference(one.title, "outcome", one.headline, other.headline, tone=tone)


def _cause(one: BootRecord, other: BootRecord) -> Iterator[Difference]:
    """Why it failed, before and after: the difference that matters where there is one."""
    before, after = (f"{each.cause.says} [{each.cause.code}]" if each.cause else "" for each in (one, other))
    if before != after:
        tone: Literal["", "better", "worse"] = "better" if not after else "worse" if not before else ""
        yield Difference(one.title, "cause", before or "–", after or "gone", tone=tone)
        if other.cause and other.cause.fix:
            yield Difference(one.title, "fix", "", other.cause.fix)


def _times(one: BootRecord, other: BootRecord) -> Iterator[Difference]:
    names = [name for name in MILESTONES if name != "init" or one.milestone(name)]
    for name in names:
        a, b = one.milestone(name), other.milestone(name)
        if a is None and b is None:
            continue
        change = None if a is None or b is None else round(b - a, 3)
        tone: Literal["", "better", "worse"] = ""
        if change is not None and a is not None and abs(change) > max(0.1, 0.1 * a):
            tone = "worse" if change > 0 else "better"
        yield Difference(one.title, name, _seconds(a), _seconds(b), change, tone)


def _findings(one: BootRecord, other: BootRecord) -> Iterator[Difference]:
    ours = {finding.code: finding.message for finding in one.findings if finding.severity != "note"}
    theirs = {finding.code: finding.message for finding in other.findings if finding.severity != "note"}
    for code in sorted(ours.keys() | theirs.keys()):
        if code not in theirs:
            yield Difference(one.title, code, ours[code], "gone", tone="better")
        elif code not in ours:
            yield Difference(one.title, code, "", theirs[code], tone="worse")


def _seconds(at: float | None) -> str:
    return "–" if at is None else f"{at:.2f} s"
