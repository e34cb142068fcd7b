"""Programs of an image that `prepare` and `generalize` run as root: they change the tree, and nothing else."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.errors import Failure
from azready.image.targets.tree import Tree
from tests.boot import host_program, machines
from tests.conftest import layered

ESCAPES = (Path(__file__).parents[1] / "boot" / "escapes.py").read_text()
NEEDS = ("tool:mmdebstrap", "tool:zstd", "tool:unshare", "tool:setpriv")


@pytest.mark.long
def test_no_known_way_leads_out_of_a_package_script(tmp_path: Path, need: Callable[..., None]) -> None:
    need("root", *NEEDS)
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    with (
        layered(machines.kernel_tree(), tmp_path / "tree") as root,
        tempfile.NamedTemporaryFile(prefix="azready-secret-", dir="/var/tmp") as secret,
    ):
        Path(secret.name).write_text("of the host")
        with Tree(root) as tree:
            said = tree.run(["python3", "-", secret.name], stdin=ESCAPES.encode()).stdout.splitlines()
    assert [line for line in said if line.startswith("ESCAPED")] == []
    held = [line for line in said if line.startswith("held")]
    assert len(held) >= 30
    assert f"tried {len(held)}" in said
    assert Path("/proc/sys/kernel/core_pattern").read_text() == pattern


def test_the_program_that_starts_a_package_script_stays_as_it_is(tmp_path: Path, need: Callable[..., None]) -> None:
    """Contained, nothing of it can be changed; in a plain chroot its mode can: the attempt is real."""
    need("root", *NEEDS, "tool:gcc", "file:/lib64/ld-linux-x86-64.so.2")
    program = f"import os, sys; os.chroot(sys.argv[1]); os.execv('/{host_program.SCRIPT}', ['x'])"
    control = f'mount -t proc proc "$0/proc"; exec {sys.executable} -c "$1" "$0"'
    with layered(machines.kernel_tree(), tmp_path / "tree") as root:
        host_program.plant(root)
        with Tree(root) as tree:
            said = tree.run([f"/{host_program.SCRIPT}"]).stdout.splitlines()
        plain = subprocess.run(
            ["unshare", "--mount", "sh", "-euc", control, root, program], capture_output=True, text=True
        )
    assert len(said) == host_program.TRIED and all(line.startswith("held") for line in said), said
    assert "ESCAPED its mode" in plain.stdout, plain.stderr


@pytest.mark.long
def test_a_package_script_does_its_work(tmp_path: Path, need: Callable[..., None]) -> None:
    """Owners, modes, users, links and pipes; what runs on is ended, and a device in the tree is none."""
    need("root", *NEEDS)
    script = """
        set -e
        useradd --create-home someone; install -o someone -g 70000 -m 4755 /bin/true /usr/local/bin/owned
        ln -s owned /usr/local/bin/link; mkfifo /var/tmp/pipe; su someone -c 'test $(id -un) = someone'
        grep -q '^NoNewPrivs:.0$' /proc/self/status
        ! dd if=/var/tmp/disk count=1 2>/var/tmp/why
        sleep 600 & echo done
    """
    with layered(machines.kernel_tree(), tmp_path / "tree") as root:
        os.mknod(root / "var/tmp/disk", 0o060666, os.makedev(7, 0))
        with Tree(root) as tree:
            assert tree.run(["/bin/sh", "-c", script]).stdout == "done\n"
            assert tree.run(["absent"], check=False).status == 127
            assert tree.run(["sh", "-c", "kill -9 $$"], check=False).status == 137
        owned = (root / "usr/local/bin/owned").stat()
        assert owned.st_gid == 70000
        assert owned.st_mode & 0o7777 == 0o4755
        assert f"someone:x:{owned.st_uid}:" in (root / "etc/passwd").read_text()
        assert "Permission denied" in (root / "var/tmp/why").read_text()


def test_a_package_script_gets_nothing_of_the_callers_environment(
    tmp_path: Path, need: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither its own nor that of any process it sees; the proxy with a password is gone through, and never shown."""
    need("root", *NEEDS)
    mark = "Zq7-Marked.Word"
    monkeypatch.setenv("AZURE_CLIENT_SECRET", mark)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://me:{mark}@192.0.2.1:9")
    look = "set; for each in /proc/[0-9]*; do cat $each/environ $each/cmdline; done 2>&1"
    with layered(machines.kernel_tree(), tmp_path / "tree") as root, Tree(root) as tree, caplog.at_level(10):
        done = tree.run(["/bin/sh", "-c", look], network=True)
    assert "http_proxy='http://127.0.0.1:3128'" in done.stdout
    assert mark not in done.stdout + done.stderr + caplog.text


def test_a_tree_without_the_kernels_folders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    done = subprocess.run(["unshare", "--user", "--map-root-user", "true"], check=False)
    if done.returncode != 0 and os.geteuid() != 0:
        pytest.skip("needs user namespaces: a machine that allows them")
    with Tree(tmp_path) as tree, pytest.raises(Failure):
        tree.run([sys.executable, "--version"])
