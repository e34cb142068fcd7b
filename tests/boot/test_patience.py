"""The patience of the tests themselves."""

from collections.abc import Sequence

import pytest

from azready.boot.record import BootRecord
from azready.boot.series import Plan
from tests.boot.patience import patiently


@pytest.mark.parametrize(("enough", "tried"), [(1, [3]), (13, [3, 12, 48]), (10_000, [3, 12, 48, 192, 768])])
def test_a_boot_is_repeated_with_longer_deadlines_until_it_shows_what_it_is_about(
    enough: float, tried: list[float]
) -> None:
    deadlines: list[float] = []

    def boot(plan: Plan) -> Sequence[BootRecord]:
        assert plan.deadline is not None
        deadlines.append(plan.deadline)
        return ()

    patiently(boot, Plan(deadline=3), lambda _: deadlines[-1] >= enough)
    assert deadlines == tried
