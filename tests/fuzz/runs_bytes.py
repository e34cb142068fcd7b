"""What runs go on from (state files, journals, logs of surveys), and what Azure, its CLI and QEMU say."""

import io
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

from azready.azure import pages, prices, problems, state, subscriptions
from azready.azure.known import PLANNED
from azready.azure.upload import Journal
from azready.boot.qemu.monitor import Monitor
from azready.cli.survey import _older
from azready.errors import Failure
from azready.pipelines import build
from azready.pipelines.survey import cells
from tests.fuzz import _bytes
from tests.fuzz._bytes import Reader
from tests.fuzz.document_bytes import by_path

RUN = state.Run("publish", "abcd1234", (("group", "g"),), ("group",), ("/subscriptions/s/resourceGroups/g",), PLANNED)
KEYS = {"check": "1", "boot": "2", "convert": "3"}
BUILD = b'{"check": {"key": "1", "said": {"a": 1}}, "boot": {"key": "2", "said": []}, "convert": {"key": "3"}}'
PROFILE = b'{"subscriptions": [{"id": "a-b", "isDefault": true, "name": "x"}]}'
PRICES = (
    b'{"Items": [{"productName": "D", "skuName": "D2", "meterName": "D2", "serviceName": "Virtual Machines", '
    b'"unitOfMeasure": "1 Hour", "retailPrice": 0.1, "currencyCode": "USD"}]}'
)
RANGES = (
    b"<?xml version='1.0'?><PageList><PageRange><Start>0</Start><End>511</End></PageRange>"
    b"<NextMarker>x</NextMarker></PageList>"
)
ERROR = (
    b'{"error": {"code": "A", "message": "{\\"error\\": {\\"code\\": \\"B\\", \\"message\\": \\"m\\"}}", "details": '
    b'[{"code": "C", "message": "d", "additionalInfo": [{"type": "PolicyViolation", "info": '
    b'{"policyDefinitionName": "p"}}]}]}}'
)
EVENTS = b'{"QMP": {}}\n{"return": {"status": "running"}}\n{"event": "STOP", "data": {"a": 1}}\n{"return": {}}\n'
CELL = b'{"key": ["a", "b"], "end": "ready", "at": 1.0, "says": "", "findings": ["x"], "remarks": [], "version": ""}\n'
JOURNAL = b"disk 1 2\n0 4194304\n4194304 8388608\n"


def _state(path: Path) -> object:
    run = state.read_run(path)
    return state.leftovers(run).encode(), json.dumps(asdict(run))


def _journal(path: Path) -> object:
    journal = Journal(path, "disk 1 2")
    journal.load()
    return journal.done


def _build(data: bytes) -> object:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        (Path(folder) / "state.json").write_bytes(data)
        return build._done_before(build.Work(Path(folder), KEYS, {}))


def _profile(data: bytes) -> object:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        (Path(folder) / "azureProfile.json").write_bytes(data)
        return subscriptions.wanted("", {"AZURE_CONFIG_DIR": folder})


def _prices(data: bytes) -> object:
    return str(prices.estimate("https://x", "westeurope", "D2", 1, 10, lambda url: json.loads(data)))


def _problem(data: bytes) -> object:
    try:
        body: object = json.loads(data)
    except (ValueError, RecursionError):
        body = data.decode(errors="replace")
    problem = problems.parse(body, 409, {})
    return problem.text, problems.advise(problem)


def _monitor(data: bytes) -> object:
    heard: list[object] = []
    connection = SimpleNamespace(sendall=lambda sent: None, makefile=lambda mode: io.BytesIO(data))
    monitor = Monitor(connection, lambda name, told: heard.append((name, told.get("action"))))  # type: ignore[arg-type]
    monitor._read()
    return heard


def readers() -> dict[str, Reader]:
    """Each reader by what it reads."""
    refuses = (Failure,)
    survey: Callable[[Path], object] = lambda path: cells.Log(path).read()  # noqa: E731
    return {
        "state": Reader(by_path(_state), (json.dumps(asdict(RUN)).encode(),), refuses),
        "journal": Reader(by_path(_journal), (JOURNAL,)),
        "build's state": Reader(_build, (BUILD,)),
        "azureProfile.json": Reader(_profile, (PROFILE,)),
        "prices": Reader(_prices, (PRICES,)),
        "page ranges": Reader(pages.parse_page_ranges, (RANGES,), refuses),
        "errors of Azure": Reader(_problem, (ERROR,)),
        "monitor": Reader(_monitor, (EVENTS,)),
        "survey's log": Reader(by_path(survey), (CELL,), refuses),
        "survey.json": Reader(by_path(_older), (b'{"agents": [], "rows": []}',), refuses),
    }


def campaign(seed: int, runs: int) -> Iterator[str]:
    """`runs` inputs for each reader."""
    yield from _bytes.campaign(readers(), seed, runs)
