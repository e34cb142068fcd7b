"""`azready prepare /`: on the very system it runs on, here a Debian tree in namespaces that azready is mounted into."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from azready.devices import OWN_DEV
from azready.image.facts import leftovers
from azready.image.targets.tree import Tree
from tests.image.conftest import CopyTree

_RUN = (
    OWN_DEV
    + """
root=$1; shift
mount -t proc proc "$root/proc"; mount -t tmpfs tmpfs "$root/run"; mount -t tmpfs tmpfs "$root/tmp"
own_dev "$root/dev"
for path in $LIBRARIES; do
    mkdir -p "$root/tmp$path"; mount --bind "$path" "$root/tmp$path"; libraries=${libraries:-}:/tmp$path
done
exec chroot "$root" env PYTHONPATH="$libraries" python3 -m azready "$@"
"""
)


@dataclass(frozen=True)
class Inside:
    """A bookworm tree with waagent, and azready run in it as that system's own root."""

    root: Path

    def azready(self, *words: str) -> "subprocess.CompletedProcess[str]":
        libraries = [path for path in sys.path if "site-packages" in path or path.endswith("/src")]
        environment = {"LIBRARIES": " ".join(libraries), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        spaces = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child"]
        argv = [*spaces, "sh", "-euc", _RUN, "sh", str(self.root), *words]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def inside(copy_tree: CopyTree, need: Callable[..., None]) -> Inside:
    need("root")
    if sys.version_info[:2] != (3, 11):
        pytest.skip("needs Python 3.11 as the tree has: tests run with it")
    root = copy_tree("bookworm", ("waagent",))
    (root / "etc/sudoers.d/waagent").write_text("root ALL=(ALL) NOPASSWD: ALL\n")
    return Inside(root)


@pytest.mark.long
def test_a_live_system(inside: Inside) -> None:
    root = inside.root
    refused = inside.azready("prepare", "/")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    with Tree(root) as tree:
        assert leftovers.find_leftovers(tree)
    planned = inside.azready("prepare", "/", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.startswith("this machine:")
    assert "stop the agents: systemctl --quiet stop walinuxagent.service" in planned.stdout
    done = inside.azready("prepare", "/", "--yes")
    assert done.returncode == 0, done.stderr
    with Tree(root) as tree:
        assert leftovers.find_leftovers(tree) == []
        assert tree.read_text("etc/sudoers.d/zz-90-azure-provisioning").startswith("root ALL")
        assert tree.exists("etc/systemd/system/multi-user.target.wants/azure-provisioning.service")
        assert not tree.exists("usr/sbin/policy-rc.d")
    again = inside.azready("prepare", "/", "--yes", "--output", "json")
    assert again.returncode == 0, again.stderr
