"""What WALinuxAgent asks of the host plugin is answered, and noted only where nobody asks so."""

import pytest

from azready.fabric.ledger import Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol import hostplugin
from azready.fabric.protocol.messages import Request, Rules

ARTIFACT = (("x-ms-artifact-location", "https://example.net/a"),)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "noted"),
    [
        ("GET", "/versions", (), 200, False),
        ("GET", "/health", (), 200, False),
        ("GET", "/vmSettings", (), 404, False),
        ("PUT", "/status", (), 200, False),
        ("PUT", "/vmAgentLog", (), 200, False),
        ("GET", "/extensionArtifact", ARTIFACT, 404, False),
        ("GET", "/extensionArtifact", (), 404, True),
        ("GET", "/status", (), 404, True),
        ("POST", "/vmAgentLog", (), 404, True),
        ("GET", "/machine?comp=goalstate", (), 404, True),
    ],
)
def test_each_path(method: str, path: str, headers: tuple[tuple[str, str], ...], status: int, noted: bool) -> None:
    answer = hostplugin.answer(Request(method, path, headers), Machine(), Ledger(), Rules())
    assert answer.response.status == status
    assert bool(answer.notes) == noted
