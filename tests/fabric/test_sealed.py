"""No packet may leave: the guard raises where a namespace has a way out, whatever PYTHONOPTIMIZE says."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ASK = "from azready.fabric.serve.sealed import require_sealed as r; r({}); print('sealed')"


def _ask(words: str, before: str, *, namespace: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", ASK.format(words)]
    if namespace:
        own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = ["unshare", *own, "--net", "sh", "-euc", f'{before}\nexec "$@"', "sh", *command]
    return subprocess.run(command, env={**os.environ, "PYTHONOPTIMIZE": "1"}, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "before", "said"),
    [
        ("links=('lo',)", "", ""),
        ("links=('lo',), addresses=['10.9.9.1']", "ip link set lo up; ip address add 10.9.9.1/32 dev lo", ""),
        ("links=('lo',)", "ip link add x0 type veth peer name x1", "it has the links x"),
        ("links=('lo', 'x*')", ("ip link add x0 type veth peer name x1; ip address add 10.9.9.1/24 dev x0; "
         "ip link set x1 up; ip link set x0 up"), "a route leads out"),
        ("links=('lo', 'x*'), subnets=['10.9.9.0/24']", ("ip link add x0 type veth peer name x1; "
         "ip address add 10.9.9.1/24 dev x0; ip link set x1 up; ip link set x0 up"), ""),
        ("links=('lo',), addresses=['10.9.9.2']", "ip link set lo up; ip address add 10.9.9.1/24 dev lo",
         "10.9.9.2 is not an address of this namespace"),
    ],
)  # fmt: skip
def test_a_namespace_is_sealed_or_it_is_said_why(words: str, before: str, said: str, need: Callable[..., None]) -> None:
    need("ids", "tool:unshare", "tool:ip")
    done = _ask(words, before)
    assert (done.stdout == "sealed\n") == (not said), done.stderr
    assert said in done.stderr


def test_the_hosts_namespace_is_refused_by_its_name() -> None:
    done = _ask(f"links=('*',), host_network={str(Path('/proc/self/ns/net').readlink())!r}", "", namespace=False)
    assert "still in the host's network namespace" in done.stderr
    assert done.returncode != 0
