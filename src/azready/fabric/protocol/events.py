"""Scheduled events, `/metadata/scheduledevents`: what the machine's owner says is to come, and its acknowledgement.

Facts: Microsoft's page "Scheduled Events for Linux VMs": api-versions of its own, POST with StartRequests, fields and
the versions that introduced them. Events are announced when they are first asked for, and begin when a guest starts
them; what an unknown event gets is decided here.
"""

import json
import time
import uuid
from email.utils import formatdate
from typing import Any

from azready.fabric.ledger import Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol.findings import found
from azready.fabric.protocol.messages import Answer, Request, Response, error_answer, json_answer

VERSIONS = ("2017-03-01", "2017-08-01", "2017-11-01", "2019-01-01", "2019-04-01", "2019-08-01", "2020-07-01")
NOTICE = {"Freeze": 900, "Reboot": 900, "Redeploy": 600, "Preempt": 30, "Terminate": 300}
"""Seconds between the announcement of an event and its earliest start."""


def answer(request: Request, machine: Machine, ledger: Ledger, version: str) -> Answer:
    """List the events, or start those that a POST names."""
    if request.path.rstrip("/") != "/metadata/scheduledevents":
        return Answer(error_answer(404, "Not found"), (found(request.at, "imds-unknown-path", target=request.target),))
    if request.method == "POST":
        return _acknowledged(request, machine)
    started = {event for one in ledger.exchanges if _is_start(one) for event in _named(one.request_body)}
    listed = [_event(machine, number, version, started) for number in range(len(machine.scheduled_events))]
    return Answer(json_answer(200, {"DocumentIncarnation": len(listed) + len(started) + 1, "Events": listed}))


def _is_start(exchange: Any) -> bool:
    return bool(
        exchange.method == "POST" and exchange.status == 200 and exchange.target.startswith("/metadata/scheduledevents")
    )


def _event(machine: Machine, number: int, version: str, started: set[str]) -> dict[str, Any]:
    kind, event = machine.scheduled_events[number], event_id(machine, number)
    begun = event in started
    told: dict[str, Any] = {
        "EventId": event,
        "EventStatus": "Started" if begun else "Scheduled",
        "EventType": kind,
        "ResourceType": "VirtualMachine",
        "Resources": [f"_{machine.name}" if version < "2017-08-01" else machine.name],
        "NotBefore": "" if begun else formatdate(time.time() + NOTICE[kind], usegmt=True),
    }
    if version >= "2019-04-01":
        told["Description"] = f"azready's local Azure announces: {kind}"
    if version >= "2019-08-01":
        told["EventSource"] = "Platform"
    if version >= "2020-07-01":
        told["DurationInSeconds"] = 5 if kind == "Freeze" else -1
    return told


def event_id(machine: Machine, number: int) -> str:
    """The id of the machine's event of that place, the same in every run."""
    return str(uuid.uuid5(uuid.UUID(machine.vm_id), f"event/{number}/{machine.scheduled_events[number]}")).upper()


def _acknowledged(request: Request, machine: Machine) -> Answer:
    known = {event_id(machine, number) for number in range(len(machine.scheduled_events))}
    asked = _named(request.body.decode("utf-8", "replace"))
    if asked and set(asked) <= known:
        return Answer(Response(200))
    fault = f"there is no event {min(set(asked) - known)}" if asked else "the body has no StartRequests"
    return Answer(error_answer(400, "Bad request"), (found(request.at, "imds-event", fault=fault),))


def _named(body: str) -> list[str]:
    """The event ids of a body `{"StartRequests": [{"EventId": …}]}`; none when it is not one."""
    try:
        starts = json.loads(body)["StartRequests"]
        return [str(one["EventId"]).upper() for one in starts]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
