"""Replaying a log: every request of it, asked of this version's protocols; pure.

What a fault answered is not asked again, since the platform never saw it, or its answer was spoilt; that a
fault changed the goal state is repeated. Bodies that hold the time are compared by status alone.
"""

from dataclasses import dataclass

from azready.fabric.faults import changed
from azready.fabric.ledger import Exchange, Ledger
from azready.fabric.log import Log
from azready.fabric.machine import Machine
from azready.fabric.protocol import platform
from azready.fabric.protocol.messages import Answer, Request, Rules

_TIMELY = ("/metadata/attested", "/metadata/identity", "comp=certificates")


@dataclass(frozen=True)
class Difference:
    """A request that is answered otherwise now; `was` and `now` say how, in few words."""

    at: float
    method: str
    target: str
    was: str
    now: str


@dataclass(frozen=True)
class Replay:
    """How many recorded requests were asked again, and where the answers differ."""

    asked: int
    skipped: int
    """Exchanges that a fault answered, and those that are not HTTP."""
    differences: tuple[Difference, ...]


def replay(log: Log, strict: bool | None = None) -> Replay:
    """Ask everything again, in the same order and at the same times, of the same machine."""
    machine, ledger = log.machine, Ledger()
    rules = Rules(strict=log.strict if strict is None else strict)
    named = {fault.name or "fault": fault for fault in log.faults}
    asked, skipped, differences = 0, 0, []
    for exchange in log.exchanges:
        fault = named.get(exchange.fault)
        if exchange.fault or exchange.method == "?" or exchange.service in ("dhcp", "media", "kvp"):
            skipped += 1
            ledger.record(exchange)
            machine = changed(machine, fault) if fault is not None else machine
            continue
        asked += 1
        answer = _ask(exchange, machine, ledger, rules)
        ledger.record(_repeated(exchange, answer), *answer.notes)
        if difference := _difference(exchange, answer):
            differences.append(difference)
    return Replay(asked, skipped, tuple(differences))


def _ask(exchange: Exchange, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    body = exchange.request_body.encode()
    request = Request(exchange.method, exchange.target, exchange.request_headers, body, exchange.source, exchange.at)
    return platform.answer(exchange.service, request, machine, ledger, rules)


def _repeated(exchange: Exchange, answer: Answer) -> Exchange:
    return Exchange(exchange.at, exchange.service, exchange.method, exchange.target, answer.response.status)


def _difference(exchange: Exchange, answer: Answer) -> Difference | None:
    was, now = exchange.response_body, answer.response.body.decode("utf-8", "replace")
    said = (exchange.at, exchange.method, exchange.target)
    if exchange.status != answer.response.status:
        return Difference(*said, f"status {exchange.status}", f"status {answer.response.status}")
    if was != now and not any(part in exchange.target for part in _TIMELY):
        at = next((i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
        start = max(0, at - 20)
        return Difference(*said, f"…{was[start : at + 30]}", f"…{now[start : at + 30]}")
    return None
