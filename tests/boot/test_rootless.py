"""The same boot as an ordinary user: sub-ids, a delegated cgroup, and nothing else that root must give.

The user exists for the test alone: its tables lie over /etc/passwd and /etc/subuid in a mount namespace.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import azready
from azready.boot.container.cgroups import here, remove_cgroup
from azready.pipelines import trees
from tests.conftest import OTHERS_PYTHON

pytestmark = pytest.mark.long

UID = 54321
FIRST_SUB_ID = 600000
ENTER = """
set -eu
home=$1 cgroup=$2; shift 2
for table in passwd group subuid subgid; do mount --bind "$home/tables/$table" "/etc/$table"; done
[ -z "$cgroup" ] || echo $$ >"$cgroup/cgroup.procs"
cd "$home"
exec setpriv --reuid 54321 --regid 54321 --clear-groups "$@"
"""

AsUser = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(need: Callable[..., None]) -> Iterator[Path]:
    """A home folder that the user can reach: pytest's own folders are closed to others."""
    need("root")
    with tempfile.TemporaryDirectory(prefix="azready-user-", dir="/var/tmp") as folder:
        home = Path(folder)
        home.chmod(0o755)
        (home / "tables").mkdir()
        for table in ("passwd", "group"):
            row = f"azuser:x:{UID}:{UID}::{home}:/bin/sh\n" if table == "passwd" else f"azuser:x:{UID}:\n"
            (home / "tables" / table).write_text(Path("/etc", table).read_text() + row)
        for table in ("subuid", "subgid"):
            (home / "tables" / table).write_text(f"azuser:{FIRST_SUB_ID}:65536\n")
        os.chown(home, UID, UID)
        yield home
        subprocess.run(["rm", "-rf", home / "tree"], check=False)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    own = here()
    if own is None:
        pytest.skip("needs cgroups: a machine with version 2 of them")
    folder = own / f"azready-test-{os.getpid()}"
    folder.mkdir()
    for path in (folder, *(folder / f"cgroup.{name}" for name in ("procs", "threads", "subtree_control"))):
        os.chown(path, UID, UID)
    yield folder
    remove_cgroup(folder)


@pytest.fixture
def as_user(need: Callable[..., None], home: Path) -> AsUser:
    need("root", "others", "tool:unshare", "tool:setpriv", "tool:newuidmap", "tool:zstd", "tool:mmdebstrap")
    source = Path(azready.__file__).parents[1]
    packages = next(path for path in sys.path if path.endswith("site-packages"))

    def run(*words: str | Path, cgroup: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = [f"HOME={home}", "USER=azuser", "PATH=/usr/bin:/bin", f"PYTHONPATH={source}:{packages}"]
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh", home, cgroup or ""]
        command = ["env", "-i", *environment, OTHERS_PYTHON, *words]
        return subprocess.run([*enter, *command], capture_output=True, text=True, timeout=500, check=False)

    return run


def test_an_ordinary_user_prepares_and_boots_a_tree(as_user: AsUser, home: Path, cgroup: Path) -> None:
    tar = home / "tree.tar.zst"
    tar.write_bytes(trees.tree("bookworm", ("waagent",)).read_bytes())
    tree = home / "tree"
    unpack = "import sys; from pathlib import Path; from azready.pipelines.trees import unpack; "
    done = as_user("-c", unpack + "unpack(Path(sys.argv[1]), Path(sys.argv[2]))", tar, tree)
    assert done.returncode == 0, done.stderr
    assert (tree / "etc").stat().st_uid == UID
    done = as_user("-m", "azready", "prepare", tree)
    assert done.returncode == 0, done.stderr
    done = as_user("-m", "azready", "boot", tree, cgroup=cgroup)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✔ Provisioned: Ready after" in done.stdout
    assert "✓ ssh login: as azureuser" in done.stdout
    assert "✔ Silent" in done.stdout
    assert not list(cgroup.glob("azready-*")), "no cgroup stays"
    assert not list((home / ".cache").rglob("*boot-*")), "no writable layer stays"
    _give_to_sub_ids(tree)
    done = as_user("-m", "azready", "boot", tree, "--boots", "1", cgroup=cgroup)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ ssh login: as azureuser" in done.stdout and "sudo: asks no password" in done.stdout


def _give_to_sub_ids(tree: Path) -> None:
    """As mmdebstrap, podman and the like leave a tree of an ordinary user: its root is the first sub-id."""
    for path in (tree, *tree.rglob("*")):
        status = path.lstat()
        owners = [FIRST_SUB_ID if each == UID else each + 1 for each in (status.st_uid, status.st_gid)]
        os.lchown(path, *owners)
        if not path.is_symlink():
            path.chmod(status.st_mode & 0o7777)


def test_what_a_user_lacks_is_said(as_user: AsUser, home: Path) -> None:
    tree = home / "tree"
    for name in ("etc", "usr/lib/systemd"):
        (tree / name).mkdir(parents=True)
    (tree / "usr/lib/systemd/systemd").write_text("")
    done = as_user("-m", "azready", "boot", tree)
    assert done.returncode == 3
    assert "belongs to another user (uid 0)" in done.stderr
    for path in (tree, tree / "etc"):
        os.chown(path, UID, UID)
    done = as_user("-m", "azready", "boot", tree)
    assert done.returncode == 3
    assert "no cgroup may be made here" in done.stderr
    assert "systemd-run --user --scope" in done.stderr
    (home / "tables" / "subuid").write_text("")
    done = as_user("-m", "azready", "boot", tree)
    assert done.returncode == 3
    assert "no sub-ids in /etc/subuid" in done.stderr
    assert "usermod --add-subuids" in done.stderr


@pytest.mark.parametrize("sub_ids", [True, False], ids=["sub-ids", "one id"])
@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["demo", "--scratch"], "home/azureuser/.ssh/authorized_keys"),
        (["fabric", "matrix", "--scenario", "incarnation-7", "--deadline", "120"], "provision.sh: ready"),
    ],
)
def test_scratch_trees_are_provisioned_for_a_user_whose_path_has_no_sbin(
    as_user: AsUser, home: Path, words: list[str], shown: str, sub_ids: bool
) -> None:
    if not sub_ids:
        for table in ("subuid", "subgid"):
            (home / "tables" / table).write_text("")
    done = as_user("-m", "azready", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert shown in done.stdout + done.stderr
