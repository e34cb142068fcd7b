"""A judge of a disk: it reaches the guest's port through QEMU, and QEMU lets the guest reboot meanwhile."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boot.test_disk_cli import _boot, disk

__all__ = ["disk"]

GUEST = """
[ "$known" = "$id" ] && answer=again || answer=first
nc -l -p 22 -e echo $answer
echo "answered: $answer"
[ $answer = again ] || reboot -f
nc -ll -p 22 -e echo $answer
"""
JUDGE = """
import os, socket, time
said = b""
while b"again" not in said:
    time.sleep(0.5)
    try:
        with socket.create_connection((os.environ["AZREADY_ADDRESS"], int(os.environ["AZREADY_PORT"])), 20) as guest:
            said = guest.recv(100)
    except OSError:
        pass
"""


@pytest.mark.slow
def test_a_judge_reaches_a_disk_that_reboots(disk: Callable[..., Path], tmp_path: Path) -> None:
    judge, console = tmp_path / "judge.py", tmp_path / "console.txt"
    judge.write_text(JUDGE)
    image = disk(GUEST)
    words = ["--boots", "1", "--console", str(console), "--output", "json"]
    done = _boot(image, *words, "--judge", f"exec {shlex.quote(sys.executable)} {shlex.quote(str(judge))}")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr + console.read_text()[-2000:]
    (record,) = json.loads(done.stdout)["boots"]
    assert record["checks"][-1]["outcome"] == "passed"
    assert "answered: first" in console.read_text() and console.read_text().count("ready login:") == 2
