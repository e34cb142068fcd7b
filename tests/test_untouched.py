"""The machine stays as it was: whatever azready builds, boots or changes for a user, it changes nothing else.

The demo and the whole build are watched in tests/pipelines, where they run anyway.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boot import machines
from tests.conftest import layered
from tests.untouched import watched

_VANDAL = """
for node in /dev/*; do chmod 600 "$node"; chown 1:2 "$node"; touch "$node"; done 2>/dev/null || true
: >/dev/new
hostname elsewhere
[ ! -w /proc/sys/net/ipv4/ip_forward ] || echo 7 >/proc/sys/net/ipv4/ip_default_ttl || true
"""


@pytest.mark.long
def test_a_change_is_seen(need: Callable[..., None]) -> None:
    need("root", "tool:unshare", "tool:ip")
    done, changes = watched("sh", "-c", "chmod 644 /dev/full; touch /run/new; ip link add x type veth; sleep 60 &")
    now = {line.split()[1] for line in changes if line.startswith("now")}
    assert {"/dev/full:", "/run:", "/run/new:", "ip", "process"} <= now, [*changes, done.stderr]


@pytest.mark.long
def test_scripts_of_packages_change_nothing_of_the_machine(
    debian_base: Callable[..., Path], tmp_path: Path, need: Callable[..., None]
) -> None:
    need("root", "tool:unshare", "tool:ip")
    with layered(debian_base(), tmp_path / "tree") as tree:
        script = "import sys; from pathlib import Path; from azready.pipelines import trees\n"
        script += "trees.install(Path(sys.argv[1]), (), sys.argv[2])"
        done, changes = watched(sys.executable, "-c", script, tree, _VANDAL)
        assert (done.returncode, changes) == (0, []), done.stderr


@pytest.mark.slow
def test_the_verbs_change_nothing_but_their_target(
    debian_tree: Callable[..., Path], tmp_path: Path, need: Callable[..., None]
) -> None:
    """A tree whose package scripts have devices to set up (udev), and a disk, which is mounted or read by FUSE."""
    need("root", "tool:ip", "tool:qemu-img", "tool:mmdebstrap")
    tree, disk = debian_tree("bookworm", "waagent", "udev"), tmp_path / "disk.qcow2"
    script = """
    set -eux
    source=$1 disk=$2 out=$3 tree=$4; shift 4
    "$@" prepare "$tree"
    "$@" generalize "$tree" --yes
    "$@" prepare "$source" --to "$disk"
    "$@" generalize "$disk" --in-place --yes
    for target in "$tree" "$disk"; do "$@" check "$target" || [ $? = 1 ]; done
    "$@" convert "$disk" "$out"
    "$@" boot "$tree" --boots 1
    """
    words = (machines.debian_disk(2), disk, tmp_path / "out.vhd", tree, sys.executable, "-m", "azready")
    done, changes = watched("sh", "-c", script, "sh", *words)
    assert (done.returncode, changes) == (0, []), done.stdout[-2000:] + done.stderr[-4000:]


def test_a_run_mounts_in_a_namespace_of_its_own(need: Callable[..., None]) -> None:
    need("root")
    assert Path("/proc/self/ns/mnt").readlink() != Path(f"/proc/{os.getppid()}/ns/mnt").readlink()
