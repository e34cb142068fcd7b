"""Answers of the real Azure, recorded (VCR form), as a transport of azure-core: whoever is answered by it is answered
as Azure did. The recordings lie beside the checkout; their README says where they come from."""

import collections
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import yaml
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import HttpTransport
from azure.core.rest._http_response_impl import HttpResponseImpl
from azure.core.utils import CaseInsensitiveDict

from azready.azure.client import Client, Patience
from azready.azure.clouds import CLOUDS
from azready.azure.requests.model import Request
from azready.console import SILENT, Console

FOLDER = Path(__file__).parents[3] / "shared" / "azure-tapes"
TAPES = sorted(FOLDER.glob("*.yaml"))
MISSING = "needs recordings of Azure's answers: a folder azure-tapes in ../shared, which is not published"
HASTE = Patience(poll=0, backoff=0, busy=0, busy_tries=3, tell=999, settle=60)
ARM = "https://management.azure.com/"

Interaction = dict[str, Any]


def load(path: Path) -> list[Interaction]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return list(yaml.load(path.read_text(encoding="utf-8"), Loader=loader)["interactions"])


def need(name: str) -> list[Interaction]:
    """The interactions of a recording; skips the test where it is not to be had."""
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        pytest.skip(MISSING)
    return load(path)


def key_of(method: str, url: str) -> tuple[Any, ...]:
    parts = urlsplit(url)
    return method, parts.netloc.lower(), parts.path.lower(), tuple(sorted(parse_qsl(parts.query)))


class Recorded(HttpTransport[Any, Any]):
    """Answers each request by what was recorded for its method and URL, in the recorded order."""

    def __init__(self, interactions: list[Interaction]) -> None:
        self._queues: dict[tuple[Any, ...], collections.deque[Interaction]] = collections.defaultdict(collections.deque)
        for item in interactions:
            self._queues[key_of(item["request"]["method"], item["request"]["uri"])].append(item)
        self.asked: list[tuple[str, str]] = []

    def send(self, request: Any, **_: Any) -> Any:
        queue = self._queues.get(key_of(request.method, request.url))
        if not queue:
            raise ServiceRequestError(f"not recorded: {request.method} {request.url}")
        self.asked.append((request.method, request.url))
        answer = queue.popleft()["response"]
        text = (answer["body"] or {}).get("string") or ""
        data = text.encode() if isinstance(text, str) else bytes(text)
        headers = {
            name: values[0] if isinstance(values, list) else values for name, values in answer["headers"].items()
        }
        dropped = ("content-encoding", "content-length", "transfer-encoding")
        kept = CaseInsensitiveDict({name: value for name, value in headers.items() if name.lower() not in dropped})
        return _Answer(request, answer["status"]["code"], answer["status"]["message"] or "", kept, data)

    def open(self) -> None: ...

    def close(self) -> None: ...

    def sleep(self, duration: float) -> None: ...

    def __enter__(self) -> "Recorded":
        return self

    def __exit__(self, *_: object) -> None: ...


class _Answer(HttpResponseImpl):
    def __init__(self, request: Any, status: int, reason: str, headers: Any, data: bytes) -> None:
        super().__init__(
            request=request,
            internal_response=object(),
            status_code=status,
            reason=reason,
            content_type=headers.get("content-type"),
            headers=headers,
            stream_download_generator=None,
            block_size=4096,
        )
        self._content = data
        self._is_closed = True
        self._is_stream_consumed = True

    def read(self) -> bytes:
        return self._content


class _Token:
    def get_token(self, *_: str, **__: Any) -> Any:
        from azure.core.credentials import AccessToken

        return AccessToken("x.y.z", 4_000_000_000)


Player = Callable[..., tuple[Client, Recorded]]


@pytest.fixture
def player(monkeypatch: pytest.MonkeyPatch) -> Player:
    """`player(interactions)`: a client whose Azure is the recording, and the transport with what it was asked."""
    import azure.mgmt.core as mgmt

    real = mgmt.ARMPipelineClient.__init__

    def play(interactions: list[Interaction], console: Console = SILENT, patience: Patience = HASTE) -> Any:
        transport = Recorded(interactions)

        def init(self: Any, *words: Any, **options: Any) -> None:
            real(self, *words, transport=transport, **options)

        monkeypatch.setattr(mgmt.ARMPipelineClient, "__init__", init)
        return Client(CLOUDS["AzureCloud"], _Token(), console, patience=patience), transport

    return play


def body_of(item: Interaction) -> Any:
    text = (item["response"]["body"] or {}).get("string") or ""
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return text


def header(item: Interaction, name: str) -> str:
    for each, value in item["response"]["headers"].items():
        if each.lower() == name:
            return str(value[0] if isinstance(value, list) else value)
    return ""


def as_request(item: Interaction) -> Request:
    """A recorded request as azready's own value."""
    parts = urlsplit(item["request"]["uri"])
    query = parse_qsl(parts.query)
    body = item["request"]["body"]
    path = unquote(parts.path)
    return Request(
        item["request"]["method"],
        path,
        dict(query).get("api-version", ""),
        json.loads(body) if body else None,
        tuple((name, value) for name, value in query if name != "api-version"),
        final_state_via="location" if path.lower().endswith("getaccess") else "",
    )


def outcome(interactions: list[Interaction], at: int) -> tuple[str, str]:
    """What the recording itself says became of a call: ("ok", ""), ("error", code), or ("unknown", …).

    The last word of its operation where it names one, else its own answer; a PUT without operation whose answer is not
    the end is as the later reads of the same resource say.
    """
    item = interactions[at]
    status, answer = item["response"]["status"]["code"], body_of(item)
    if status >= 400:
        error = answer.get("error", answer) if isinstance(answer, dict) else {}
        return "error", str(error.get("code") or error.get("Code") or "")
    operation, location = header(item, "azure-asyncoperation"), header(item, "location")
    if not operation and not location:
        return _outcome_by_reading(interactions, at)
    wanted = key_of("GET", operation or location)
    polls = [each for each in interactions[at + 1 :] if key_of("GET", each["request"]["uri"]) == wanted]
    polls = [each for each in polls if each["request"]["method"] == "GET"]
    if not polls:
        return "unknown", "no look at its operation is recorded"
    last = body_of(polls[-1])
    if operation:
        state = str(last.get("status", ""))
        if state in ("Failed", "Canceled"):
            return "error", str((last.get("error") or {}).get("code", ""))
        return ("ok", "") if state == "Succeeded" else ("unknown", state)
    return ("ok", "") if polls[-1]["response"]["status"]["code"] in (200, 201, 204) else ("unknown", "")


def _outcome_by_reading(interactions: list[Interaction], at: int) -> tuple[str, str]:
    item = interactions[at]
    states = [_state(body_of(item))]
    if item["request"]["method"] == "PUT" and states[0] not in ("", "succeeded", "failed"):
        wanted = key_of("GET", item["request"]["uri"])
        for each in interactions[at + 1 :]:
            if each["request"]["method"] == "GET" and key_of("GET", each["request"]["uri"]) == wanted:
                states.append(_state(body_of(each)))
        settled = [state for state in states if state in ("succeeded", "failed")]
        return (
            ("unknown", states[-1]) if not settled else ("ok", "") if settled[0] == "succeeded" else ("error", "Failed")
        )
    return ("ok", "") if states[0] != "failed" else ("error", "Failed")


def _state(body: Any) -> str:
    properties = body.get("properties") if isinstance(body, dict) else None
    return str(properties.get("provisioningState") or "").lower() if isinstance(properties, dict) else ""
