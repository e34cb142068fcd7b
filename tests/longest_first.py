"""A pytest plugin: each worker begins with its share of the longer tests, so that no run ends with waiting for one.

Workers deal the tests out in equal parts, in order, and one that is through takes the last tests of another
(xdist's `worksteal`): so each part has its longer tests first, and the short ones fill what is left of the time.
"""

import os
from collections.abc import Iterable
from typing import TypeVar

import pytest

Test = TypeVar("Test")


def dealt(longer: list[Test], short: list[Test], workers: int) -> Iterable[Test]:
    """All of them, as so many equal parts that follow one another: of each kind its share, in the order they had."""
    for part in range(workers):
        for kind in (longer, short):
            yield from kind[len(kind) * part // workers : len(kind) * (part + 1) // workers]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        longer = [item for item in items if item.get_closest_marker("long")]
        items[:] = dealt(longer, [item for item in items if not item.get_closest_marker("long")], workers)
