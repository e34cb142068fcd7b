"""Nothing here may reach the world: the guard itself, and the same tests for an ordinary user in a child."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.azure import netns

ROOT = Path(__file__).parents[2]


def test_only_lo_exists_and_there_is_no_route() -> None:
    assert netns.only_loopback()
    routes = Path("/proc/thread-self/net/route").read_text().splitlines()[1:]
    assert routes == []
    with socket.socket() as probe, pytest.raises(OSError):
        probe.connect(("192.0.2.1", 443))


def test_loopback_works() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        socket.create_connection(server.getsockname(), 2).close()


@pytest.mark.outside
def test_an_ordinary_user_runs_them_in_a_child_with_its_own_namespace(tmp_path: Path) -> None:
    """Threads keep a process from entering a user namespace, so the child enters it before Python starts."""
    if os.geteuid() == 0:
        pytest.skip("elsewhere: root runs every test in a namespace of its own")
    probe = subprocess.run(["unshare", "--user", "--map-root-user", "--net", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("needs user namespaces: a machine that allows them")
    script = 'ip link set lo up && exec "$@"'
    pytest_words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", "tests/azure"]
    pytest_words += ["--basetemp", str(tmp_path / "inside")]  # pytest would share /tmp/pytest-of-root with root itself
    argv = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", script, "sh", *pytest_words]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
