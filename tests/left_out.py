"""A pytest plugin: the last line of a run says what was left out, and what would bring it."""

from collections import Counter, defaultdict
from collections.abc import Iterable

import pytest

_BY_MARK = {
    "not long": "needs time, the longer ones: make test-all",
    "not slow": "needs time, the slow ones: make test-slow",
}
_ELSEWHERE = "see the reasons above"


def need_of(reason: str) -> tuple[str, str]:
    """What a skipped test lacked, and what brings it, from its reason: `needs WHAT: REMEDY`."""
    what, _, remedy = reason.removeprefix("Skipped: ").partition(": ")
    return what.removeprefix("needs "), remedy or _ELSEWHERE


def summary(reasons: Iterable[str]) -> str:
    """One sentence of the skipped tests' reasons, those with the same remedy together; empty when there are none."""
    lacked: dict[str, Counter[str]] = defaultdict(Counter)
    for what, remedy in map(need_of, reasons):
        if what == "elsewhere":
            continue  # shown by another test, or no matter of this machine
        lacked[remedy][what] += 1
    parts = [f"{sum(each.values())} ({', '.join(sorted(each))}): {remedy}" for remedy, each in lacked.items()]
    return f"Left out: {'; '.join(parts)}" if parts else ""


class LeftOut:
    """Collects what the run leaves out, where the reports of all workers arrive."""

    def __init__(self, marks: str) -> None:
        self.reasons = [reason for mark, reason in _BY_MARK.items() if mark in marks]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple):
            self.reasons.append(report.longrepr[2])

    def pytest_unconfigure(self) -> None:
        if self.reasons:
            print(summary(self.reasons))


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(LeftOut(config.option.markexpr))
