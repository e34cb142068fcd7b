"""Replaying a log: the same answers from the same version, but for what a fault disturbed."""

from dataclasses import replace
from pathlib import Path

import pytest

from azready.errors import UsageFailure
from azready.fabric import Fabric, Fault, Machine
from azready.fabric import log as logs
from azready.fabric.replay import replay
from azready.fabric.settings import Settings
from tests.fabric.client import ask
from tests.fabric.test_live import GOAL_STATE, HEALTH, METADATA, WIRE, XML, ready


@pytest.fixture
def log(tmp_path: Path) -> logs.Log:
    """A run in which the first goal state was refused, the second one changed, and IMDS was asked in between."""
    faults = (
        Fault(name="refused", path="*comp=goalstate*", attempts="1", status=503),
        Fault(name="changes", path="*comp=goalstate*", attempts="2", change="incarnation"),
    )
    settings = Settings(Machine(name="vm", tags=(("a", "b"),)), faults)
    path = tmp_path / "log"
    with logs.create(path, settings) as file, Fabric(settings.machine, faults=faults) as fabric:
        fabric.ledger.follow(lambda entry: logs.append(file, entry))
        assert ask(fabric.wireserver_url, GOAL_STATE, WIRE).status == 503
        assert ask(fabric.imds_url, "/metadata/instance?api-version=2021-02-01", METADATA).status == 200
        assert ask(fabric.wireserver_url, HEALTH, XML, "POST", ready(fabric)).status == 410
        assert ask(fabric.wireserver_url, HEALTH, XML, "POST", ready(fabric)).status == 200
    return logs.read(path)


def test_the_same_version_answers_the_same(log: logs.Log) -> None:
    done = replay(log)
    assert (done.asked, done.skipped, done.differences) == (4, 2, ())


def test_another_machine_is_answered_otherwise(log: logs.Log) -> None:
    done = replay(replace(log, machine=Machine(name="other", tags=(("a", "b"),))))
    assert [one.target for one in done.differences] == [
        "/metadata/instance?api-version=2021-02-01",
        GOAL_STATE,
        HEALTH,
    ]
    assert done.differences[2].was == "status 200"


def test_a_log_keeps_everything(log: logs.Log) -> None:
    assert log.machine == Machine(name="vm", tags=(("a", "b"),))
    assert [fault.name for fault in log.faults] == ["refused", "changes"]
    assert [one.status for one in log.exchanges] == [503, 200, 200, 410, 200, 200]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", '{"kind":"Run"}', '{"kind":"Run","strict":true'),
        '{"kind":"Run","strict":true,"machine":{"name":"half of a character: \\ud800"},"faults":[]}',
    ],
)
def test_what_is_not_a_log_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log"
    path.write_text(text)
    with pytest.raises(UsageFailure) as caught:
        logs.read(path)
    assert caught.value.hint
