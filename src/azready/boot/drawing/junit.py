"""Boots as JUnit's XML, for build servers: a suite a boot, a case for the report and for each check. Pure."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from azready.boot.drawing.terminal import presentable
from azready.boot.record import BootRecord, Check


def as_junit(records: Sequence[BootRecord]) -> str:
    """What this machine's fault leaves without a verdict is an error; what was not asked is skipped."""
    suites = [_Suite(presentable(record)) for record in records]
    counts = " ".join(
        f'{name}="{sum(getattr(suite, name) for suite in suites)}"'
        for name in ("tests", "failures", "errors", "skipped")
    )
    inside = "\n".join(suite.xml() for suite in suites)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<testsuites name="azready boot" {counts}>\n{inside}\n</testsuites>'


class _Suite:
    """One boot: its report or its silence, then its checks."""

    def __init__(self, record: BootRecord) -> None:
        self._record = record
        self._checks = record.checks
        self.tests = 1 + len(self._checks)
        self.errors = int(record.undecided)
        self._wrong = not record.undecided and not record.as_expected
        self.failures = int(self._wrong) + sum(check.outcome == "failed" for check in self._checks)
        self.skipped = sum(check.outcome == "skipped" for check in self._checks)

    def xml(self) -> str:
        record = self._record
        head = f'tests="{self.tests}" failures="{self.failures}" errors="{self.errors}" skipped="{self.skipped}"'
        name = quoteattr(f"{record.title} of {record.target} ({record.how})")
        stamp = f'time="{record.seconds:.3f}" timestamp={quoteattr(record.started)}'
        return "\n".join((f"<testsuite name={name} {head} {stamp}>", *self._cases(), "</testsuite>"))

    def _cases(self) -> Iterator[str]:
        record = self._record
        promised = {"ready": "reports Ready", "silence": "reports nothing again", "any": "reports as it does"}
        yield self._case(promised[record.expected], record.seconds, self._outcome())
        for check in self._checks:
            yield self._case(check.name, 0.0, _of_check(check))

    def _outcome(self) -> str:
        record = self._record
        why = escape("\n".join(record.cause.lines() if record.cause else (record.headline,)))
        if record.undecided:
            return f"<error message={quoteattr(record.headline)}>{why}</error>"
        if self._wrong:
            return f"<failure message={quoteattr(record.headline)}>{why}</failure>"
        return f"<system-out>{escape(record.headline)}</system-out>"

    def _case(self, name: str, seconds: float, inside: str) -> str:
        classname = quoteattr(f"azready.boot.{self._record.number}")
        return f'  <testcase classname={classname} name={quoteattr(name)} time="{seconds:.3f}">{inside}</testcase>'


def _of_check(check: Check) -> str:
    if check.outcome == "failed":
        return f"<failure message={quoteattr(check.detail)}/>"
    return f"<skipped message={quoteattr(check.detail)}/>" if check.outcome == "skipped" else ""
