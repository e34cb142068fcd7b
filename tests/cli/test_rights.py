"""A right that is missing is a fault of the machine: one sentence, what to do, exit code 3 (or 2), never the answer no.

As root every right is there, so there the commands run as a user of no name.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import OTHERS_PYTHON

NOBODY = 54321
_PARTITION = bytes([0x80, 0, 2, 0, 0x83, 0, 3, 0, 1, 0, 0, 0, 8, 0, 0, 0])
BOOT_RECORD = b"\xeb\xfe".ljust(446, b"\0") + _PARTITION.ljust(64, b"\0") + b"\x55\xaa"
"""What `boot` and `build` take for a disk: boot code that jumps to itself, and one partition."""


@pytest.fixture(scope="module")
def folder(need: Callable[..., None]) -> Iterator[Path]:
    """A folder that the user reaches, with one that is closed, files that are closed, and a disk that is not."""
    need("others")
    with tempfile.TemporaryDirectory(prefix="azready-rights-", dir="/var/tmp") as name:
        open_ = Path(name)
        open_.chmod(0o755)
        shut = open_ / "shut"
        shut.mkdir()
        for path in (open_ / "disk.raw", open_ / "locked.raw", shut / "disk.raw"):
            with path.open("wb") as file:
                file.write(BOOT_RECORD)
                file.truncate(1 << 20)
        (open_ / "locked.raw").chmod(0)
        (open_ / "locked.toml").touch(0)
        (open_ / "home").mkdir()
        if os.geteuid() == 0:
            for path in (open_, open_ / "disk.raw", open_ / "home"):
                os.chown(path, NOBODY, NOBODY)
        shut.chmod(0)
        yield open_
        shut.chmod(0o700)


def _azready(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    who = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    environment = {**os.environ, "HOME": str(folder / "home"), "PYTHONPATH": ":".join(sys.path)}
    argv = [*who, OTHERS_PYTHON if who else sys.executable, "-m", "azready", *words]
    return subprocess.run(argv, capture_output=True, text=True, cwd=folder, env=environment, check=False)


@pytest.mark.parametrize(
    "words",
    [
        "check shut/disk.raw",
        "check locked.raw",
        "check --waivers locked.toml disk.raw",
        "boot shut/tree",
        "boot locked.raw",
        "boot disk.raw --report shut/page.html",
        "boot disk.raw --machine locked.toml",
        "build shut/disk.raw out.vhd",
        "build disk.raw -o shut/out.vhd",
        "convert disk.raw shut/out.vhd",
        "convert locked.raw out.vhd",
        "prepare disk.raw --to shut/out.raw",
        "prepare shut/disk.raw --in-place",
        "generalize disk.raw --to shut/out.raw --yes",
        "timeline shut/boots.json",
        "fabric medium shut/medium.iso",
        "fabric run --log shut/log -- true",
        "fabric replay locked.toml",
    ],
)
def test_a_missing_right_is_told_and_is_no_verdict(folder: Path, words: str, need: Callable[..., None]) -> None:
    need("ids")
    done = _azready(folder, *words.split())
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (2, 3), done.stdout + done.stderr
    said = (
        "ermission denied",
        "cannot write",
        "is not readable",
        "belongs to another user",
        "needs root",
        "one user id only",
    )
    assert any(words in done.stderr for words in said), done.stderr
