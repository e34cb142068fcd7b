"""HTTP messages as values, and what a protocol says to one: an answer, and what there is to note about the asker."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from azready.fabric.ledger import Finding, HealthReport

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """One HTTP request as it arrived. `at` is in seconds since the ledger's epoch, `source` the asker's address."""

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""
    source: str = ""
    at: float = 0.0

    def header(self, name: str) -> str | None:
        """The first value of a header, whatever the case of its name; None when it is absent."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @cached_property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @cached_property
    def query(self) -> Headers:
        """The parameters in their order, empty values kept."""
        return tuple(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def parameter(self, name: str) -> str | None:
        return next((value for key, value in self.query if key == name), None)


@dataclass(frozen=True)
class Response:
    """One HTTP answer; Content-Length, Date and Connection are added where it is sent."""

    status: int
    body: bytes = b""
    headers: Headers = ()

    @property
    def reason(self) -> str:
        return HTTPStatus(self.status).phrase if self.status in HTTPStatus._value2member_map_ else ""

    def with_headers(self, extra: Mapping[str, str]) -> "Response":
        """The same answer with headers replaced or added, names compared without case."""
        replaced = {name.lower() for name in extra}
        kept = tuple((name, value) for name, value in self.headers if name.lower() not in replaced)
        return replace(self, headers=kept + tuple(extra.items()))


@dataclass(frozen=True)
class Answer:
    """What a protocol says to a request: the response, and the entries for the ledger."""

    response: Response
    notes: tuple[Finding | HealthReport, ...] = ()


@dataclass(frozen=True)
class Rules:
    """How the platform behaves towards every machine.

    `strict` refuses what the platform's documentation forbids or leaves open; without it the same things are
    noted as findings, and served. Rates are in requests a second and machine, held only when strict.
    """

    strict: bool = True
    imds_rate: int = 5
    identity_rate: int = 20
    reprovision: bool = False
    """Serve `/metadata/reprovisiondata` as to a pre-provisioned VM (PPS); refused with 404 otherwise."""


def text(status: int, body: str, content_type: str) -> Response:
    return Response(status, body.encode(), (("Content-Type", content_type),))


def json_answer(status: int, value: Any) -> Response:
    """JSON without blanks, as IMDS has it."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text(status, body, "application/json; charset=utf-8")


def error_answer(status: int, fault: str) -> Response:
    """IMDS's plain errors, which do have blanks."""
    return text(status, f'{{ "error": {json.dumps(fault)} }}', "application/json; charset=utf-8")
