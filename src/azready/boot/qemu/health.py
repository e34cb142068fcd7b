"""Whether QEMU can still run its guest: its events, its run state, its own messages, and how it ended.

Facts: QEMU's QMP reference (STOP, BLOCK_IO_ERROR, RunState). What KVM cannot run ends in `internal-error`, with a
message on stderr; a layer or scratch disk that is full stops the guest with `io-error` (werror=stop).
"""

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from azready.boot.qemu import process
from azready.boot.qemu.monitor import Monitor
from azready.boot.qemu.scratch import make_room
from azready.boot.record import Cause
from azready.boot.watching.schedule import CpuTime, Stopped

_KVM = re.compile(
    r"KVM internal error|kvm run failed|KVM: entry failed|kvm_\w+: |KVM_RUN|kvm.*[Aa]ssertion|hardware error"
)
_ASK_EVERY, _SPEECHLESS = 5.0, 60.0
_FULL = 64 * 1024
"""Bytes that are left of a file system that is full."""
_EMULATE = "boot it emulated: --accel tcg"


class Health:
    """What is known of one running QEMU; `take` gets its events, `trouble` is asked again and again."""

    def __init__(
        self, qemu: "subprocess.Popen[bytes]", monitor: Monitor, errors: Path, folder: Path, accelerated: bool
    ) -> None:
        self._qemu, self._monitor = qemu, monitor
        self._errors, self._folder, self._accelerated = errors, folder, accelerated
        self._stopped_at = 0.0
        self._block: dict[str, Any] = {}
        self._held = Stopped(qemu.pid)
        self._asked = time.monotonic()
        self._kills = _kills_for_memory()
        self._cpu = CpuTime()

    def take(self, name: str, data: dict[str, Any]) -> None:
        """An event of QEMU's monitor."""
        if name == "STOP":
            self._stopped_at = time.monotonic()
        elif name == "RESUME":
            self._stopped_at = 0.0
        elif name == "BLOCK_IO_ERROR" and data.get("action") == "stop":
            self._block = data

    def cpu(self, now: CpuTime) -> CpuTime:
        """What the guest got; the last known, when QEMU has ended."""
        if now.ran >= self._cpu.ran:
            self._cpu = now
        return self._cpu

    def trouble(self) -> Cause | None:
        """What keeps the guest from running, where that is no matter of the image."""
        if (status := self._qemu.poll()) is not None:
            return self._ended(status)
        if self._held.for_long():
            seen = ("its process is stopped by a signal",)
            return Cause("qemu-stopped", "QEMU was stopped by someone else", seen, "let it run: kill -CONT", "host")
        if self._stopped_at and (self._monitor.status or time.monotonic() - self._stopped_at > 2.0):
            return self._stopped()
        if self._accelerated and _KVM.search(said := process.said(self._errors)):
            return _kvm_failed("KVM stopped this guest", said)
        if self._full():
            return self._no_space("the scratch folder's file system is full")
        return self._speechless()

    def _ended(self, status: int) -> Cause | None:
        """An end in order (status 0) is the guest's own doing."""
        if status == 0:
            return None
        number = -status if status < 0 else status - 128 if status > 128 else 0
        how = f"signal {signal.Signals(number).name}" if number in set(signal.Signals) else f"status {status}"
        said = process.said(self._errors)
        if number == signal.SIGKILL and _kills_for_memory() > self._kills:
            return _no_memory(f"QEMU was killed by the kernel, which had no memory left ({how})")
        if re.search(r"[Cc]annot (set up guest|allocate) memory", said):
            return _no_memory(said)
        if "No space left" in said:
            return self._no_space(said)
        if self._accelerated and (_KVM.search(said) or number in (signal.SIGABRT, signal.SIGSEGV)):
            return _kvm_failed("KVM ended this guest", said or f"QEMU ended by {how}")
        evidence = tuple(each for each in (f"QEMU ended by {how}", said) if each)
        fix = "boot it again; what ended QEMU? its own words, and the kernel's log (dmesg), may say"
        return Cause("qemu-died", "QEMU ended in the midst of the boot", evidence, fix, "host")

    def _stopped(self) -> Cause | None:
        """QEMU is there, and its guest does not run."""
        status, said = self._monitor.status, process.said(self._errors)
        if status == "running":  # it goes on since
            return None
        if self._block or status == "io-error":
            reason = str(self._block.get("reason", "an error of the disk below"))
            if self._block.get("nospace"):
                return self._no_space(reason)
            what = f"{self._block.get('operation', 'use')}: {reason}"
            fix = "look at the drive below, and at the kernel's log (dmesg); is the disk file whole?"
            return Cause("disk-failed", "this machine could not read or write the disk", (what,), fix, "host")
        if status in ("guest-panicked", "shutdown"):
            return None
        seen = said or f"QEMU's state is {status or 'unknown'}"
        if self._accelerated:
            return _kvm_failed("KVM stopped this guest", seen)
        return Cause("qemu-stopped", "QEMU stopped the guest", (seen,), "boot it again", "host")

    def _no_space(self, reason: str) -> Cause:
        fix = make_room(self._folder.parent)
        return Cause("no-space", "there was no room for what the guest writes", (reason,), fix, "host")

    def _full(self) -> bool:
        try:
            return shutil.disk_usage(self._folder).free < _FULL
        except OSError:
            return False

    def _speechless(self) -> Cause | None:
        """Ask QEMU now and then how it is; one that does not answer for long hangs."""
        now = time.monotonic()
        if now - self._asked >= _ASK_EVERY:
            self._asked = now
            self._monitor.tell("query-status")
        if now - self._monitor.heard < _SPEECHLESS + self._cpu.longest:
            return None
        if self._accelerated:
            return _kvm_failed("QEMU hangs under KVM", f"its monitor is silent for {now - self._monitor.heard:.0f} s")
        return Cause(
            "qemu-hangs", "QEMU does not answer any more", (process.said(self._errors),), "boot it again", "host"
        )


def _no_memory(seen: str) -> Cause:
    fix = "give the guest less (--memory MIB), or this machine or its control group more"
    return Cause("no-memory", "this machine had no memory for the guest", (seen,), fix, "host")


def _kvm_failed(says: str, seen: str) -> Cause:
    return Cause("kvm-failed", says, (seen,), _EMULATE, "host")


def _kills_for_memory() -> int:
    """How often the kernel killed for want of memory, in all control groups (Linux, /proc/vmstat)."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
