"""Every test here runs where only `lo` exists; Azure is the fake in `fake_arm`, held to Microsoft's schemas."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from azready.azure import capture
from azready.azure.capture import Captured, Wishes
from azready.azure.client import Client, Patience
from azready.azure.clouds import Cloud
from azready.azure.requests.model import RUN_TAG
from azready.azure.state import open_run
from azready.azure.steps import Runner
from azready.console import SILENT, Console
from azready.pipelines.console_log import diagnose
from tests.azure import netns
from tests.azure.certificates import make_authority
from tests.azure.contract import Checker
from tests.azure.fake_arm.entra import make_token
from tests.azure.fake_arm.model import Arm
from tests.azure.fake_arm.server import Server, serving
from tests.azure.samples import NO_ROOT, Guests

HURRIED = Patience(poll=0.02, backoff=0.01, throttled=5, busy=0.05, busy_tries=10, tell=0.2)


@pytest.fixture(autouse=True)
def _no_way_out(request: pytest.FixtureRequest) -> Iterator[None]:
    """Only `lo`, or the test does not run."""
    if netns.only_loopback() or "outside" in request.keywords:
        yield
    elif os.geteuid() == 0:
        with netns.own_namespace():
            assert netns.only_loopback()
            yield
    else:
        pytest.skip("elsewhere: inside test_isolation.py, in a namespace of its own")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A certificate authority and a certificate for the fake: `.ca`, `.cert` are files."""
    return make_authority(tmp_path_factory.mktemp("authority"))


class Token:
    """A credential that needs no server."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens) or [make_token()]
        self.asked = 0

    def get_token(self, *scopes: str, **_: Any) -> Any:
        from azure.core.credentials import AccessToken

        self.asked += 1
        return AccessToken(self.tokens[min(self.asked, len(self.tokens)) - 1], 4_000_000_000)


@pytest.fixture
def arm() -> Arm:
    return Arm()


@pytest.fixture
def azure(arm: Arm, authority: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The fake, serving; at the end every exchange must conform to Microsoft's schemas."""
    for name in ("REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(arm, authority.cert) as server:
        yield server
    problems = Checker.load().problems(server.exchanges)
    assert not problems, "\n".join(problems)


@pytest.fixture
def connect(azure: Server, authority: SimpleNamespace) -> Callable[..., Client]:
    """Make a client of the fake: `connect(credential=…, console=…, patience=…)`."""

    def make(credential: Any = None, console: Console = SILENT, patience: Patience = HURRIED) -> Client:
        cloud = Cloud("Fake", azure.base, azure.base + "/.default", azure.base)
        return Client(cloud, credential or Token(), console, ca=str(authority.ca), patience=patience)

    return make


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def capturing(connect: Callable[..., Client], tmp_path: Path) -> Callable[..., Captured]:
    """Run capture once: `capturing(wishes, guests, said=…)`; the state file is `tmp_path/state.json`."""

    def run(wishes: Wishes, guests: Guests, said: io.StringIO | None = None) -> Captured:
        console = Console(said or io.StringIO())
        state = open_run(tmp_path / "state.json", "capture", {"name": wishes.name}, restart=False)
        place = replace(wishes.place, tags=((RUN_TAG, state.run.id), *wishes.place.tags[1:]))
        client = connect(console=console)
        runner = Runner(client, state, console)
        wanted = replace(wishes, place=place)
        return capture.run(wanted, guests.work(), runner, client, lambda _: NO_ROOT, diagnose)

    return run
