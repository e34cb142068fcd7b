"""A /dev that guests share with this machine: what is asked of it before a boot, and what a tree's own is like."""

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready import devices
from azready.errors import Failure

PATHS = {name: Path("/dev", name) for name in devices.NODES}


def _stand_ins(folder: Path, **other: Path | None) -> None:
    """A folder whose names lead to this machine's devices, or elsewhere, or nowhere."""
    for name, path in {**PATHS, **other}.items():
        if path:
            (folder / name).symlink_to(path)


def test_devices_that_are_open_to_all_are_usable(tmp_path: Path) -> None:
    _stand_ins(tmp_path)
    devices.require_usable(tmp_path)
    devices.require_usable()


@pytest.mark.parametrize(
    ("other", "says"),
    [({"null": None}, "null is needed by every guest"), ({"urandom": Path("/etc/passwd")}, "urandom is no device")],
)
def test_a_device_that_is_none_is_told(tmp_path: Path, other: dict[str, Path | None], says: str) -> None:
    _stand_ins(tmp_path, **other)
    with pytest.raises(Failure, match=says):
        devices.require_usable(tmp_path)


CLOSED = """
mkdir "$1/own" && mount -t tmpfs own "$1/own" && mknod -m 600 "$1/own/null" c 1 3
mount --bind "$1/own/null" /dev/null
shift; exec "$@"
"""


def test_a_closed_dev_null_is_this_machines_fault_and_no_verdict(need: Callable[..., None], tmp_path: Path) -> None:
    """As a program run as root left it (`chmod 600 /dev/null`): systemd starts nothing, and every image seemed bad."""
    need("root", "tool:unshare")
    (tmp_path / "tree/sbin").mkdir(parents=True)
    (tmp_path / "tree/etc").mkdir()
    (tmp_path / "tree/etc/os-release").write_text("ID=debian\n")
    (tmp_path / "tree/sbin/init").symlink_to("/lib/systemd/systemd")
    boot = [sys.executable, "-m", "azready", "boot", str(tmp_path / "tree")]
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", CLOSED, "sh", str(tmp_path), *boot]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "/dev/null has mode 600: guests cannot use it" in done.stderr and "chmod 666 /dev/null" in done.stderr


def test_a_tree_that_closes_its_devices_leaves_the_machines_alone(need: Callable[..., None], tmp_path: Path) -> None:
    need("root", "tool:unshare")
    before = {name: path.stat() for name, path in PATHS.items()}
    script = f'{devices.OWN_DEV}\nown_dev "$1"; chmod 600 "$1"/null "$1"/urandom; stat -c %a "$1/null"'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", script, "sh", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "600\n"
    for name, was in before.items():
        now = PATHS[name].stat()
        assert (stat.S_IMODE(now.st_mode), now.st_ctime_ns) == (stat.S_IMODE(was.st_mode), was.st_ctime_ns), name
