"""Boots that are given up, as long as it takes to see why.

A deadline is kept to the letter, and how far a guest comes in three seconds depends on what else the machine does: a
verdict of such a boot is right and may still say less than the one a test is about. So the boot is repeated with a
longer deadline, until it has shown that, or has had time enough on any machine.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from azready.boot.record import BootRecord
from azready.boot.series import Plan

_LONGER, _ENOUGH = 4, 200.0

Records = Sequence[BootRecord]


def patiently(boot: Callable[[Plan], Records], plan: Plan, shown: Callable[[Records], bool]) -> Records:
    """The records of the first boots by this plan that have `shown` it; else those of the longest."""
    assert plan.deadline is not None
    while not shown(records := boot(plan)) and plan.deadline < _ENOUGH:
        plan = replace(plan, deadline=plan.deadline * _LONGER)
    return records


def names(*codes: str, seen: str = "") -> Callable[[Records], bool]:
    """That these are the causes of the last boots, and that the last one quotes `seen`."""

    def shown(records: Records) -> bool:
        causes = [record.cause for record in records[-len(codes) :]]
        quoted = causes[-1].evidence if causes[-1] else ()
        return [cause and cause.code for cause in causes] == list(codes) and (
            not seen or any(seen in line for line in quoted)
        )

    return shown
