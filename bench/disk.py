"""Booting a whole disk, and building one: seconds, emulated, since both take a guest through firmware to a login.

The disk is a Debian of 1.3 GB that boots by UEFI, as its distribution made it. `boot` is one first boot of it,
prepared, with the owner's login; `build` is prepare, generalize, check, boot and convert. Both without KVM on purpose,
once each: seconds of this machine and its load, no ratio. What of a boot is whose is told beside: until the kernel
speaks, which is QEMU, firmware and GRUB; until init; until the platform hears Ready; and until the owner was logged in
and the disk looked at.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.__main__ import show
from bench.table import Row
from tests.boot import machines


def main() -> int:
    disk = machines.debian_disk(2)
    with tempfile.TemporaryDirectory(prefix="azready-bench-") as name:
        prepared, out = Path(name, "ready.raw"), Path(name, "out.vhd")
        _azready("prepare", disk, "--to", prepared)
        boot, told = _azready("boot", prepared, "--boots", "1", "--accel", "tcg", "--output", "json")
        build, _ = _azready("build", disk, out, "--accel", "tcg")
    size = f"{disk.stat().st_size / 1e9:.1f} GB"
    return show(
        "disk",
        [
            Row("D1", "boot DISK (Debian, UEFI), emulated, with login: seconds", boot, 15, 300, _stages(told, boot), 1),
            Row("D2", "build of a 1.3 GB disk without KVM: seconds", build, 21, 600, size, 1),
        ],
    )


def _azready(*words: str | Path) -> tuple[float, str]:
    """Wall seconds of the command, and its output."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "azready", *words], check=True, capture_output=True, text=True)
    return time.perf_counter() - started, done.stdout


def _stages(told: str, whole: float) -> str:
    (record,) = json.loads(told)["boots"]
    at = {mark["name"]: mark["at"] for mark in record["milestones"]}
    stages = {"kernel": at["kernel"], "init": at["init"], "Ready": at["ready"], "the end": whole}
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in stages.items())


if __name__ == "__main__":
    sys.exit(main())
