"""Whether KVM runs guests on this machine, and how fast it emulates them: both by trying, once a process.

A /dev/kvm that opens proves nothing: where virtualization is nested or paravirtual (cloud VMs, CI runners, WSL) it
often runs no guest, or a few instructions of one and not its firmware. So a guest of a few bytes has to say a word on
its serial port, and then the firmware that the boot will use has to say anything at all.
"""

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from azready import userns
from azready.boot.qemu import command
from azready.boot.qemu import process as running_qemu
from azready.boot.qemu.acceleration import Acceleration
from azready.boot.qemu.command import Architecture, Firmware, Pflash, Wanted
from azready.boot.qemu.monitor import Monitor
from azready.boot.watching.schedule import cpu_time
from azready.errors import Failure
from azready.proc import readable

DEVICE = Path("/dev/kvm")

_START = 15.0
"""Seconds in which QEMU itself must be there."""
_CODE, _FIRMWARE, _EMULATED = 2.0, 20.0, 60.0
"""Seconds with a processor in which a guest must have spoken: some bytes, firmware, and some bytes that are emulated.
Waiting for a processor does not count."""
_LONGEST = 90.0
_IDLE_MACHINE = 0.35
"""Seconds that the count takes on an idle machine of 2023: the measure of the others."""
_SLOWEST = 20.0


def choose(wanted: Wanted, architecture: Architecture, firmware: Firmware | None) -> Acceleration:
    """Decide by trying. `firmware` None: QEMU starts the guest's kernel itself.

    Raises Failure where KVM is wanted and does not work.
    """
    if wanted == "tcg":
        return emulated(architecture, "emulation was asked for")
    refusal = _why_not_kvm(architecture, firmware or "bios")
    if refusal is None:
        return Acceleration("kvm", "KVM ran a trial guest and its firmware")
    if wanted == "kvm":
        raise Failure(f"{refusal.says}{refusal.seen} [no-kvm]", "leave --accel kvm out: the boot is emulated then")
    return emulated(architecture, f"{refusal.says}: emulated{refusal.seen}")


def emulated(architecture: Architecture, why: str) -> Acceleration:
    """Emulation, with its measure."""
    return Acceleration("tcg", why, _slowness(architecture))


@functools.cache
def _slowness(architecture: Architecture) -> float:
    with tempfile.TemporaryDirectory(prefix="azready-trial-") as name:
        rom = Path(name, "rom")
        rom.write_bytes(command.trial_rom(architecture))
        words = functools.partial(command.trial, architecture, accelerated=False, rom=rom)
        outcome = _attempt(words, Path(name), (command.RAN, command.COUNTED), _EMULATED)
    if outcome.refusal:
        return _SLOWEST if outcome.ran_out else 1.0  # whatever else is wrong, the boot itself will say
    return min(_SLOWEST, max(1.0, outcome.seconds / _IDLE_MACHINE))


@dataclass(frozen=True)
class _Refusal:
    """Why KVM cannot be used, and what was seen of it, in brackets."""

    says: str
    seen: str = ""


@functools.cache
def _why_not_kvm(architecture: Architecture, firmware: Firmware) -> _Refusal | None:
    """None where KVM runs such guests."""
    here = os.uname().machine
    if here != architecture:
        return _Refusal(f"KVM runs guests of this machine's own processor only, and {architecture} is not {here}")
    if not DEVICE.exists():
        return _Refusal(f"this machine offers no KVM (no {DEVICE})")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return _Refusal(f"KVM is offered here but this user may not use {DEVICE}{_by_group()}")
    with tempfile.TemporaryDirectory(prefix="azready-trial-") as name:
        return _try_code(architecture, Path(name)) or _try_firmware(architecture, firmware, Path(name))


def _by_group() -> str:
    """What lets a user in, where the device's group may: a disk boots in seconds then, not in minutes. Empty where ids
    are not this machine's, as in a user namespace, whose user is root."""
    import grp  # not on Windows

    status = DEVICE.stat()
    if os.geteuid() == 0:
        return ""
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        return ""
    may = status.st_mode & 0o060 == 0o060 and status.st_gid != 0
    return f" (sudo usermod -aG {group} {userns.user_name()}, then log in again)" if may else ""


def _try_code(architecture: Architecture, folder: Path) -> _Refusal | None:
    rom = folder / "rom"
    rom.write_bytes(command.trial_rom(architecture))
    words = functools.partial(command.trial, architecture, accelerated=True, rom=rom)
    outcome = _attempt(words, folder, (command.RAN,), _CODE)
    return _Refusal("KVM is offered here but runs no guest", f" ({outcome.refusal})") if outcome.refusal else None


def _try_firmware(architecture: Architecture, firmware: Firmware, folder: Path) -> _Refusal | None:
    words = functools.partial(command.trial, architecture, accelerated=True)
    says = b""
    if firmware == "uefi":
        found = command.find_firmware(architecture)
        shutil.copyfile(found.variables, folder / "variables")
        words = functools.partial(words, pflash=Pflash(found.code, folder / "variables"))
    elif architecture == "x86_64":
        (folder / "disk").write_bytes(command.boot_sector())
        words, says = functools.partial(words, disk=folder / "disk"), command.RAN
    else:
        return None
    outcome = _attempt(words, folder, (says,), _FIRMWARE)
    what = "UEFI" if firmware == "uefi" else "the BIOS"
    seen = f" ({outcome.refusal})"
    return _Refusal(f"KVM is offered here but does not run {what}", seen) if outcome.refusal else None


@dataclass(frozen=True)
class _Outcome:
    refusal: str = ""
    seconds: float = 0.0
    """From the first word to the last."""
    ran_out: bool = False


def _attempt(words: Callable[..., list[str]], folder: Path, says: Sequence[bytes], patience: float) -> _Outcome:
    """Start QEMU, let its guest run, and wait until it has said these words in order (an empty one: anything)."""
    errors, events = folder / "errors", set[str]()
    ours, theirs = socket.socketpair()
    with contextlib.ExitStack() as stack:
        stack.callback(theirs.close)
        try:
            argv = words(control=theirs.fileno())
            process = stack.enter_context(running_qemu.running(argv, errors, theirs.fileno()))
        except Failure as failure:
            return _Outcome(failure.message)
        theirs.close()
        monitor = stack.enter_context(Monitor(ours, lambda name, _: events.add(name)))
        monitor.tell("cont")
        return _listened(process, events, errors, list(says), patience)


def _listened(
    process: "subprocess.Popen[bytes]", events: Set[str], errors: Path, says: list[bytes], patience: float
) -> _Outcome:
    if process.stdout is None:
        raise RuntimeError("it is not open")
    launched, resumed, first = time.monotonic(), 0.0, 0.0
    while True:
        now, waited = time.monotonic(), cpu_time(process.pid).longest
        resumed = resumed or ("RESUME" in events and now) or 0.0
        if process.poll() is not None or "STOP" in events:
            return _Outcome(running_qemu.said(errors) or "QEMU ended it, and does not say why")
        spent, limit = (now - resumed, patience) if resumed else (now - launched, _START)
        if spent - waited > limit or now - launched > _LONGEST:
            return _Outcome(f"within {limit:g} s it did nothing", ran_out=True)
        if not readable(process.stdout.fileno(), 0.05):
            continue
        said = os.read(process.stdout.fileno(), 4096)
        while said and says and says[0] in said:
            first = first or time.monotonic()
            said = said[said.index(says[0]) + len(says.pop(0)) :]
        if not says:
            return _Outcome(seconds=time.monotonic() - first)
