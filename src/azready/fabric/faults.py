"""Misbehaviour of the platform as data: which requests a fault meets, and what it does to their answers.

A `Fault` says when (service, method, path, attempts, seconds, probability) and what (status, delay, cut body …).
`choose` picks one for a request, `spoil` changes the answer, `steps` says how its bytes go out: pure functions,
so that a run can be repeated. `serve` carries the steps out; `boot` carries out what concerns DHCP, the medium
and the clock, or belongs to the guest (`service` is "dhcp", "media", "clock" or "guest").
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from azready.errors import UsageFailure
from azready.fabric.fields import as_float
from azready.fabric.machine import Machine
from azready.fabric.protocol.messages import Request, Response

HTTP_SERVICES = ("wireserver", "imds", "hostplugin")
SERVICES = ("any", *HTTP_SERVICES, "dhcp", "media", "clock", "guest")
CHANGES = ("", "incarnation", "container")


@dataclass(frozen=True)
class Fault:
    """One misbehaviour. The first half says which requests it meets, the second what becomes of their answers."""

    name: str = ""
    service: str = "any"
    """wireserver, imds, hostplugin, any of these; or dhcp, media, clock, guest, which a boot carries out."""
    method: str = "*"
    path: str = "*"
    """Shell pattern of path and query, for example `/machine*comp=goalstate*`."""
    attempts: str = ""
    """Which of the matching requests: `3`, `1-3`, `2-`; all when empty."""
    seconds: str = ""
    """When, in seconds since the boot began: `0-20`, `5-`; always when empty."""
    probability: float = 1.0
    """The share of the matching requests, drawn by the plan's seed."""

    status: int = 0
    """Answer with this status and an empty body instead (unless `body` says otherwise)."""
    body: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    retry_after: str = ""
    """Retry-After: seconds, or `date` for an HTTP date two seconds ahead."""
    location: str = ""
    """Redirect: the Location header."""
    delay: float = 0.0
    """Seconds before the first byte. For dhcp: before the offer. For media: until it is in the drive, from the guest's
    first packet."""
    drip: float = 0.0
    """Bytes a second."""
    cut: int = -1
    """Close after so many bytes of the body; -1 for the whole body."""
    reset: bool = False
    """Reset the connection (RST): with `cut` after the bytes; else before the platform has seen the request."""
    lost: bool = False
    """The platform takes the request, but its answer is lost: the connection is reset."""
    silent: bool = False
    """Never answer; the connection stays open until the asker gives up. For dhcp and media: there is none."""
    length: int = 0
    """Added to the true Content-Length."""
    bom: bool = False
    """A UTF-8 byte order mark before the body."""
    garble: bool = False
    """Bytes of the body replaced at places drawn by the seed."""
    oversize: int = 0
    """Bytes of white space added to the body."""
    drop: str = ""
    """The name of an XML element that is taken out of the body, with all that is in it."""
    swap: tuple[tuple[str, str], ...] = ()
    """Texts of the body replaced by others."""
    change: str = ""
    """After the answer the goal state changes: `incarnation`, or `container` (the VM has moved to another host)."""
    without: tuple[int, ...] = ()
    """DHCP options left out."""
    jump: float = 0.0
    """For clock: seconds that the guest's clock is ahead."""
    imds_locked: bool = False
    """For guest: only sockets with systemd's mark reach IMDS, as with `systemd.imds.network=locked`."""

    def __post_init__(self) -> None:
        if self.service not in SERVICES:
            raise UsageFailure(f"a fault of the service {self.service!r}", f"services: {', '.join(SERVICES)}")
        if self.change not in CHANGES:
            raise UsageFailure(f"a fault that changes {self.change!r}", "change is incarnation or container")
        if self.status and not 200 <= self.status <= 599:
            raise UsageFailure(f"a fault answers with status {self.status}", "statuses of answers are 200 to 599")
        for name, value in (*self.headers, ("Location", self.location), ("Retry-After", self.retry_after)):
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\0\r\n]", value):
                raise UsageFailure(f"a fault with the header {name!r}: {value!r}", "a header is one line of plain text")
        for text in (self.attempts, self.seconds):
            _span(text)

    @property
    def disturbs(self) -> bool:
        """Whether the answer's bytes go out otherwise than in one piece over a connection that may live on."""
        return bool(self.drip or self.cut >= 0 or self.reset or self.lost or self.silent or self.length)

    @property
    def unseen(self) -> bool:
        """Whether the platform never sees the request, so that a report in it changes nothing."""
        return bool(self.status or self.silent or (self.reset and self.cut < 0))

    @property
    def unanswered(self) -> bool:
        return self.silent or self.lost or (self.reset and self.cut < 0)


def _span(text: str) -> tuple[float, float]:
    """`3` → (3, 3), `1-3` → (1, 3), `2-` → (2, ∞), empty → everything."""
    if not text:
        return 0.0, float("inf")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(-(\d+(?:\.\d+)?)?)?", text)
    if match is None:
        raise UsageFailure(f"{text!r} is not a span of attempts or seconds", "write 3, 1-3 or 2-")
    low, dash, high = match.groups()
    return float(low), float(high) if high else float("inf") if dash else float(low)


Counts = dict[int, int]
"""How many requests each fault of a plan has met, by its place in the plan."""


def choose(plan: Sequence[Fault], counts: Counts, service: str, request: Request, seed: int) -> Fault | None:
    """The first fault of `plan` that applies to `request`; counts, in `counts`, every one that it meets."""
    chosen = None
    for index, fault in enumerate(plan):
        if not _meets(fault, service, request):
            continue
        counts[index] = attempt = counts.get(index, 0) + 1
        if chosen is None and _applies(fault, attempt, request.at) and _drawn(fault, seed, index, attempt):
            chosen = fault
    return chosen


def _meets(fault: Fault, service: str, request: Request) -> bool:
    if fault.service not in ("any", service):
        return False
    return fnmatchcase(request.method, fault.method) and fnmatchcase(request.target, fault.path)


def _applies(fault: Fault, attempt: int, at: float) -> bool:
    first, last = _span(fault.attempts)
    begin, end = _span(fault.seconds)
    return first <= attempt <= last and begin <= at <= end


def _drawn(fault: Fault, seed: int, index: int, attempt: int) -> bool:
    return random.Random(f"{seed}/{index}/{attempt}").random() < fault.probability


def spoil(response: Response, fault: Fault, seed: int, later: str) -> Response:
    """What the fault makes of an answer. `later` is the HTTP date that `retry_after = "date"` stands for."""
    if fault.status:
        response = Response(fault.status, b"", (("Content-Type", "text/plain"),))
    body = response.body if fault.body is None else fault.body.encode()
    if fault.drop:
        name = re.escape(fault.drop).encode()
        body = re.sub(rb"<" + name + rb"[\s>/].*?(?:</" + name + rb">|(?<=/)>)\s*", b"", body, flags=re.DOTALL)
    for old, new in fault.swap:
        body = body.replace(old.encode(), new.encode())
    if fault.garble:
        body = _garbled(body, random.Random(f"{seed}/garble"))
    body += b" " * fault.oversize
    if fault.bom:
        body = b"\xef\xbb\xbf" + body
    extra = dict(fault.headers)
    if fault.retry_after:
        extra["Retry-After"] = later if fault.retry_after == "date" else fault.retry_after
    if fault.location:
        extra["Location"] = fault.location
    return replace(response, body=body).with_headers(extra)


def _garbled(body: bytes, chance: random.Random) -> bytes:
    spoilt = bytearray(body)
    for _ in range(max(1, len(spoilt) // 20) if spoilt else 0):
        spoilt[chance.randrange(len(spoilt))] = chance.choice(b"\x00<>{}\"'&\xff\x80 ")
    return bytes(spoilt)


@dataclass(frozen=True)
class Wait:
    """Send nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Send:
    data: bytes


@dataclass(frozen=True)
class Reset:
    """Reset the connection."""


@dataclass(frozen=True)
class Hang:
    """Hold the connection open without a word until the asker leaves."""


Step = Wait | Send | Reset | Hang


def steps(head: bytes, body: bytes, fault: Fault) -> tuple[Step, ...]:
    """How a disturbed answer goes out; after the last step the connection is closed."""
    start: tuple[Step, ...] = (Wait(fault.delay),) if fault.delay else ()
    if fault.silent:
        return (*start, Hang())
    if fault.lost or (fault.reset and fault.cut < 0):
        return (*start, Reset())
    data = head + (body if fault.cut < 0 else body[: fault.cut])
    sent: tuple[Step, ...] = _dripped(data, fault.drip) if fault.drip else (Send(data),)
    return (*start, *sent, *((Reset(),) if fault.reset else ()))


def _dripped(data: bytes, rate: float) -> tuple[Step, ...]:
    size = max(1, round(rate / 10))
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return tuple(step for piece in pieces for step in (Send(piece), Wait(len(piece) / rate)))


def changed(machine: Machine, fault: Fault) -> Machine:
    """The machine after an answer whose fault changes its goal state."""
    match fault.change:
        case "incarnation":
            return machine.with_next_incarnation()
        case "container":
            return machine.moved()
    return machine


def from_table(table: Mapping[str, Any], source: str) -> Fault:
    """A fault from a TOML table. Raises UsageFailure that names the key and what it may be."""
    kinds = {field.name: field for field in fields(Fault)}
    values: dict[str, Any] = {}
    for written, value in table.items():
        key = written.replace("-", "_")
        if key not in kinds:
            raise UsageFailure(f"{source}: unknown key {written!r} of a fault", f"known keys: {', '.join(kinds)}")
        values[key] = _typed(key, value, source)
    return Fault(**values)


def from_words(text: str) -> Fault:
    """A fault from the command line: `service=imds,path=/metadata/instance*,attempts=1-3,status=503`."""
    table: dict[str, Any] = {}
    for word in text.split(","):
        key, equals, value = word.partition("=")
        key = key.strip().replace("-", "_")
        kind = Fault.__dataclass_fields__.get(key)
        if kind is None:
            raise UsageFailure(
                f"--fault {text!r}: unknown key {key!r}",
                f"write KEY=VALUE,… with {', '.join(Fault.__dataclass_fields__)}",
            )
        table[key] = _from_text(kind.type, value if equals else "true")
    return from_table(table, f"--fault {text!r}")


def _from_text(kind: Any, value: str) -> Any:
    """The TOML value that a word stands for; what does not fit stays a text, and is refused by its type later."""
    if kind is bool:
        return {"true": True, "yes": True, "false": False, "no": False}.get(value.lower(), value)
    if kind is int and re.fullmatch(r"-?\d+", value):
        return int(value)
    if kind is float and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return float(value)
    if kind == tuple[int, ...] and re.fullmatch(r"\d+(\+\d+)*", value):
        return [int(number) for number in value.split("+")]
    return value


def _typed(key: str, value: Any, source: str) -> Any:
    default = Fault.__dataclass_fields__[key].default
    if key in ("attempts", "seconds", "retry_after") and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if key in ("headers", "swap"):
        if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
            return tuple(value.items())
        raise UsageFailure(f"{source}: {key} must be a table of texts", f'write {key} = {{ "a" = "b" }}')
    if key == "without":
        if isinstance(value, list) and all(type(item) is int for item in value):
            return tuple(value)
        raise UsageFailure(f"{source}: without must be a list of DHCP options", "write without = [245]")
    if isinstance(default, float):
        value = as_float(value)
    wanted = str if key == "body" else type(default)
    if type(value) is not wanted:
        kind = {str: "text", int: "whole number", float: "number", bool: "true or false"}[wanted]
        raise UsageFailure(f"{source}: {key} must be a {kind}, not {value!r}", "see docs/fabric.md")
    return value
