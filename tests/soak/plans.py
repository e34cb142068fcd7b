"""What the platform does in a boot, drawn by seed and number: every fault ends, so that a good guest is Ready."""

from collections.abc import Iterator
from random import Random

from azready.fabric.faults import Fault, from_table
from azready.fabric.scenario import Scenario

_PATHS = {"imds": ("*",), "wireserver": ("*", "*comp=goalstate*", "*comp=health*")}
_ATTEMPTS = ("1", "1-2", "1-3", "2", "2-4", "3")


def scenario(seed: int, number: int) -> Scenario:
    """The faults of one boot."""
    chance = Random(f"soak {seed} {number}")
    faults = [_http(chance) for _ in range(chance.choice((1, 2, 2, 3)))]
    if chance.random() < 0.15:
        faults.append(_around(chance))
    return Scenario(f"{seed}/{number}", faults=tuple(faults))


def _http(chance: Random) -> Fault:
    service = chance.choice(tuple(_PATHS))
    what = chance.choice(tuple(_answers(chance)))
    return from_table(
        {"service": service, "path": chance.choice(_PATHS[service]), "attempts": chance.choice(_ATTEMPTS), **what},
        "soak",
    )


def _answers(chance: Random) -> Iterator[dict[str, object]]:
    for status in (404, 410, 429, 500, 502, 503):
        yield {"status": status}
    yield {"status": 503, "retry_after": chance.choice(("1", "3", "date"))}
    # a report that is answered with 200 is accepted, whatever stands there
    yield {
        "method": "GET",
        "status": 200,
        "body": chance.choice(("", "<html>busy</html>", "{}", "<GoalState/>", "\x00")),
    }
    yield {"reset": True}
    yield {"lost": True}
    yield {"cut": chance.choice((0, 10, 200, 400))}
    yield {"cut": chance.choice((10, 200)), "reset": True}
    yield {"delay": chance.choice((0.5, 2.0, 4.0))}
    yield {"drip": 2000.0}
    yield {"garble": True}
    yield {"bom": True}
    yield {"length": chance.choice((-300, 50))}
    yield {"oversize": chance.choice((1000, 2_000_000))}


def _around(chance: Random) -> Fault:
    """What is not HTTP: a late offer, or one that does not name the WireServer."""
    return from_table(chance.choice(({"service": "dhcp", "delay": 3.0}, {"service": "dhcp", "without": [245]})), "soak")
