"""The machine stays as it was: whatever azready builds, boots or changes for a user, it changes nothing else."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.conftest import layered
from tests.untouched import ROOT, as_on_a_host

_VANDAL = """
for node in /dev/*; do chmod 600 "$node"; chown 1:2 "$node"; touch "$node"; done 2>/dev/null || true
: >/dev/new
hostname elsewhere
[ ! -w /proc/sys/net/ipv4/ip_forward ] || echo 7 >/proc/sys/net/ipv4/ip_default_ttl || true
"""


def watched(*command: object) -> "subprocess.CompletedProcess[str]":
    """Run a command on a played machine; its output ends with what it changed there."""
    words = [*as_on_a_host(), sys.executable, "-m", "tests.untouched", *map(str, command)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_a_change_is_seen(need: Callable[..., None]) -> None:
    need("root", "tool:unshare", "tool:ip")
    done = watched("sh", "-c", "chmod 644 /dev/full; touch /run/left; ip link add x type veth; sleep 9 &")
    now = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("now")}
    assert {"/dev/full:", "/run:", "/run/left:", "ip", "process"} <= now, done.stdout + done.stderr


def test_scripts_of_packages_change_nothing_of_the_machine(
    debian_base: Callable[..., Path], tmp_path: Path, need: Callable[..., None]
) -> None:
    need("root", "tool:unshare")
    with layered(debian_base(), tmp_path / "tree") as tree:
        script = "import sys; from pathlib import Path; from azready.pipelines import trees\n"
        script += "trees.install(Path(sys.argv[1]), (), sys.argv[2])"
        done = watched(sys.executable, "-c", script, tree, _VANDAL)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
