"""Every test here runs where only `lo` exists; Azure is the fake in `fake_arm`, held to Microsoft's schemas."""

import io
import json
import os
import subprocess
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
from tests.azure import netns, real_az
from tests.azure.certificates import make_authority
from tests.azure.contract import Checker
from tests.azure.fake_arm.entra import make_token
from tests.azure.fake_arm.model import Arm
from tests.azure.fake_arm.server import Server, serving
from tests.azure.samples import KEY, NO_ROOT, Guests

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


@pytest.fixture(scope="session")
def az() -> Path:
    """The real az; installed before any namespace is entered."""
    return real_az.install()


@pytest.fixture
def azs(az: Path, authority: SimpleNamespace, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """`.run(line)` one az command; `.many(lines)` several in one process; `.arm`, `.server` the fake it talks to."""
    assert netns.only_loopback()
    arm = Arm(retry_after=1, on_disk=lambda identity, body: "https://md-fake.blob.storage.azure.net/x/y?sig=SECRET")
    env = real_az.environment(tmp_path, authority.ca)
    hosts = tmp_path / "hosts"

    def start(argv: list[str]) -> str:
        done = subprocess.run(real_az.in_namespace(argv, hosts), env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{argv[-6:]}\n{done.stderr}\n{real_az.refusals(server)}"
        return done.stdout

    def many(lines: list[list[str]]) -> None:
        (tmp_path / "many.py").write_text(real_az.MANY)
        (tmp_path / "lines").write_text(json.dumps(lines))
        start([str(az.with_name("python")), str(tmp_path / "many.py"), str(tmp_path / "lines")])

    # Port 443 of this test's own namespace: az is given no address, it asks the public one.
    with serving(arm, authority.cert, port=443, name="management.azure.com") as server:
        (tmp_path / "key.pub").write_text(KEY + "\n")
        yield SimpleNamespace(run=lambda line: start([str(az), *line.split()[1:]]), many=many, arm=arm, server=server)
