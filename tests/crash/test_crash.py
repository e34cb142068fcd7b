"""A small part of `make crash`: power cuts on real file systems that lose what was not synced."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.__main__ import judged, wrong
from tests.crash.campaign import Row
from tests.crash.units import boot

ROOT = Path(__file__).parents[2]
TREE = "from bench.lab import debian; debian('bookworm', 'curl', 'python3')"


@pytest.mark.slow
@pytest.mark.parametrize(("row", "first"), [(Row("xfs", "py", "plain"), 13), (Row("btrfs", "sh", "rich"), 4)], ids=str)
def test_a_cut_machine_boots_into_what_an_uncut_one_is(row: Row, first: int, need: Callable[..., None]) -> None:
    need("root", "tool:mkfs.xfs", f"tool:mkfs.{row.fs}", "tool:unshare", "tool:mmdebstrap", "tool:ssh")
    if (
        not sys.maxsize > 2**32
        or "x86_64" not in subprocess.run(["uname", "-m"], capture_output=True, text=True).stdout
    ):
        pytest.skip("elsewhere: on x86-64, whose system calls the tracer knows")
    subprocess.run([sys.executable, "-c", TREE], cwd=ROOT, check=True)
    points = judged(row, every=25, first=first)
    assert len(points) >= 8
    assert any(point["readies"] for point in points), "one of the points is after Ready"
    assert not wrong(points)


def test_the_units_are_read_as_systemd_reads_them(tmp_path: Path) -> None:
    ran: list[str] = []

    def start(words: list[str]) -> tuple[int, str]:
        ran.append(words[0] + (" name" if "name" in words else ""))
        return 0, "done"

    for folder in ("etc/ssh", "usr/bin", "var/lib/azure-provisioning"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/bin/ssh-keygen").touch(mode=0o755)
    assert boot(tmp_path, "py", [], start).started
    assert ran == ["/usr/bin/python3 name", "/bin/sh", "/usr/bin/python3"]
    for kind in ("ed25519", "ecdsa", "rsa"):
        (tmp_path / f"etc/ssh/ssh_host_{kind}_key").write_text("a key")
    ran.clear()
    assert boot(tmp_path, "sh", [], start).started
    assert ran == ["/bin/sh"]
    (tmp_path / "etc/ssh/ssh_host_rsa_key").write_text("")
    (tmp_path / "var/lib/azure-provisioning/reported").touch()
    ran.clear()
    assert not boot(tmp_path, "sh", [], start).started
    assert ran == ["/bin/sh"]
