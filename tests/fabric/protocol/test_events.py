"""Scheduled events by Microsoft's page: versions of their own, announced, started by a POST."""

import json
from typing import Any

import pytest

from azready.fabric.ledger import Exchange, Finding, Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol import events, imds
from azready.fabric.protocol.messages import Answer, Request, Rules

MACHINE = Machine(name="vm1", scheduled_events=("Freeze", "Terminate"))
PATH = "/metadata/scheduledevents"


def ask(version: str, ledger: Ledger, body: bytes = b"", machine: Machine = MACHINE) -> Answer:
    target = f"{PATH}?api-version={version}" if version else PATH
    request = Request("POST" if body else "GET", target, (("Metadata", "true"),), body)
    answer = imds.answer(request, machine, ledger, Rules(imds_rate=1000))
    ledger.record(
        Exchange(0.0, "imds", request.method, target, answer.response.status, request_body=body.decode()), *answer.notes
    )
    return answer


def listed(answer: Answer) -> Any:
    assert answer.response.status == 200
    return json.loads(answer.response.body)


def codes(answer: Answer) -> list[str]:
    return [note.code for note in answer.notes if isinstance(note, Finding)]


@pytest.mark.parametrize("version", events.VERSIONS)
def test_every_version_of_its_own_is_served(version: str) -> None:
    assert listed(ask(version, Ledger(), machine=Machine()))["Events"] == []
    assert len(listed(ask(version, Ledger()))["Events"]) == 2


@pytest.mark.parametrize(
    ("version", "status"), [("2021-02-01", 404), ("2019-06-01", 404), ("1999-01-01", 404), ("", 400)]
)
def test_versions_of_other_categories_are_not(version: str, status: int) -> None:
    assert ask(version, Ledger()).response.status == status


def test_without_a_version_its_own_newest_are_named() -> None:
    told = json.loads(ask("", Ledger()).response.body)
    assert told["newest-versions"] == ["2020-07-01", "2019-08-01", "2019-04-01"]


def test_fields_came_with_their_versions() -> None:
    def fields(version: str) -> set[str]:
        return set(listed(ask(version, Ledger()))["Events"][0])

    assert fields("2020-07-01") - fields("2019-08-01") == {"DurationInSeconds"}
    assert fields("2019-08-01") - fields("2019-04-01") == {"EventSource"}
    assert fields("2019-04-01") - fields("2019-01-01") == {"Description"}
    assert listed(ask("2017-03-01", Ledger()))["Events"][0]["Resources"] == ["_vm1"]


def test_an_event_that_is_started_has_no_time_before_which_it_would_not_start() -> None:
    ledger = Ledger()
    before = listed(ask("2020-07-01", ledger))
    first = before["Events"][0]["EventId"]
    start = json.dumps({"StartRequests": [{"EventId": first.lower()}]}).encode()
    assert ask("2020-07-01", ledger, start).response.status == 200
    after = listed(ask("2020-07-01", ledger))
    assert [one["EventStatus"] for one in after["Events"]] == ["Started", "Scheduled"]
    assert after["Events"][0]["NotBefore"] == ""
    assert after["DocumentIncarnation"] > before["DocumentIncarnation"]


@pytest.mark.parametrize(
    "body", [b'{"StartRequests":[{"EventId":"X"}]}', b"{}", b"[]", b"no", b'{"StartRequests":[1]}']
)
def test_an_unknown_event_and_what_is_no_start_are_refused(body: bytes) -> None:
    answer = ask("2020-07-01", Ledger(), body)
    assert (answer.response.status, codes(answer)) == (400, ["imds-event"])
