"""However a boot ends, nothing of it stays: no process, cgroup, mount, namespace or file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.container.cgroups import here

Prepared = Callable[..., Path]


def traces(marker: str) -> list[str]:
    """Processes, cgroups and files of the run whose XDG_CACHE_HOME is `marker`."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if marker.encode() in (process / "environ").read_bytes():
                found.append(f"process {process.name}: {(process / 'cmdline').read_bytes()!r}")
        except OSError:
            continue
    found += [str(path) for path in Path(marker).rglob("*boot-*")]
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if marker in line]
    return found


def cgroups_of(pid: int) -> list[Path]:
    """Cgroups that the run of that process made and left, and folders of the guest's root."""
    own = here()
    return [*([] if own is None else own.glob(f"azready-{pid}-*")), *Path("/var/tmp").glob(f"azready-boot-{pid}-*")]


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["SIGINT", "SIGTERM", "SIGKILL"])
def test_an_ended_run_leaves_nothing(prepared: Prepared, tmp_path: Path, how: signal.Signals) -> None:
    words = [sys.executable, "-m", "azready", "boot", prepared(), "--fault", "service=any,silent=true"]
    run = subprocess.Popen(
        words,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_until(lambda: any("/sbin/init" in each for each in traces(str(tmp_path))) or has_guest(run.pid), 120)
    assert cgroups_of(run.pid), "the guest is up"
    time.sleep(0.3)
    os.killpg(run.pid, how)
    _, said = run.communicate(timeout=120)
    wait_until(lambda: not traces(str(tmp_path)) and not cgroups_of(run.pid), 60)
    assert traces(str(tmp_path)) == []
    assert cgroups_of(run.pid) == []
    if how == signal.SIGINT:
        assert run.returncode == 130
        assert b"interrupted" in said
        assert b"Traceback" not in said


def has_guest(pid: int) -> bool:
    return any((cgroup / "boot1" / "init.scope").exists() for cgroup in cgroups_of(pid))


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.05)
