"""Booting a disk, or a kernel: the story of `series`, told by QEMU. Nothing is ever written to the disk."""

import contextlib
import os
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from azready import installed
from azready.boot import series
from azready.boot.network.tap import TapNetwork, tap_network
from azready.boot.qemu import command, packets, process, trial
from azready.boot.qemu.acceleration import Acceleration
from azready.boot.qemu.command import Bootable, Net, Pflash
from azready.boot.qemu.health import Health
from azready.boot.qemu.monitor import Monitor
from azready.boot.qemu.scratch import Scratch, room, scratch
from azready.boot.record import BootRecord, Cause, Check, ConsoleLine, HostFacts, JournalLine, Milestone
from azready.boot.series import Plan, Running, Seen, Turn
from azready.boot.waiting import Pace
from azready.boot.watching import journal, serial
from azready.boot.watching.login import Key, check_login, ssh_words
from azready.boot.watching.schedule import CpuTime, cpu_time
from azready.boot.watching.watch import Watch
from azready.console import SILENT, Console
from azready.errors import Failure
from azready.fabric import Fabric, Machine
from azready.fabric.ledger import Exchange, Ledger, Service
from azready.fabric.protocol.media import medium
from azready.fabric.verdict import Verdict
from azready.proc import Completed, readable, run, stop

_LOGIN, _SETTLE, _SHUTDOWN = 90.0, 15.0, 60.0
_STANDSTILL = 60.0
_FIRST_WORD = 90.0
"""Seconds; a machine as slow as the measure that they are multiplied with says its first word within ten."""
_OF_THE_EMULATOR = ("emulator-hangs", "starved-emulator")
"""Faults that the same boot need not meet again."""
_BETWEEN = "--journal--"
"""A line between what two programs said by one login."""


def boot_disk(
    guest: Bootable,
    machine: Machine,
    plan: Plan,
    console: Console = SILENT,
    *,
    target: str,
    keep_console: Path | None = None,
    onlooker: series.Onlooker = series.NOBODY,
) -> tuple[BootRecord, ...]:
    """Boot a disk (or a kernel) as planned. `keep_console` gets the serial console of all boots.

    Raises Failure when QEMU cannot run here.
    """

    def keep(records: Sequence[BootRecord]) -> None:
        if keep_console is not None:
            keep_console.write_text(_console_text(records), encoding="utf-8")

    return series.boot(DiskHost(guest, machine, plan, target), machine, plan, console, keep, onlooker)


def _console_text(records: Sequence[BootRecord]) -> str:
    parts = []
    for record in records:
        lines = "".join(f"{line.at:9.3f} {line.text}\n" for line in record.console)
        parts.append(f"# {record.title}: {record.target}, {record.how}, {record.started}\n{lines}")
    return "\n".join(parts)


@dataclass(frozen=True)
class Wiring:
    """How the guest is joined to the fabric."""

    net: Net
    address: str
    port: int
    """Where the guest's sshd is reached."""
    prefix: tuple[str, ...] = ()
    """Words that put a command where the guest's network is."""
    dhcp: bool = False
    """Whether the fabric's DHCP serves it; else QEMU has its own."""


class DiskHost:
    """QEMU as a host of boots: what a guest wrote is there in the next."""

    kind: Literal["qemu"] = "qemu"
    agent = "other"
    owner: tuple[int, int] | None = None

    def __init__(self, guest: Bootable, machine: Machine, plan: Plan, target: str) -> None:
        self.target = target
        self._guest, self._machine, self._plan = guest, machine, plan
        self._open = contextlib.ExitStack()
        self._taps: TapNetwork | None = None
        self._repeated = False
        self._wiring: Wiring | None = None
        self._scratch: Scratch
        self._acceleration: Acceleration

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            firmware = None if self._guest.kernel else self._guest.firmware
            self._acceleration = trial.choose(self._guest.hardware.accel, self._guest.architecture, firmware)
            self._scratch = stack.enter_context(scratch(self._guest))
            if self._guest.hardware.network == "tap":
                nics = 1 + len(self._machine.secondary_nics)
                self._taps = stack.enter_context(tap_network(self._plan.network, nics))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *about: object) -> None:
        self._open.close()

    @property
    def sockets(self) -> Mapping[Service, socket.socket] | None:
        return self._taps.sockets if self._taps else None

    @property
    def how(self) -> str:
        loader = "kernel" if self._guest.kernel else self._guest.firmware
        name = "" if self._guest.architecture == "x86_64" else f"/{self._guest.architecture}"
        return f"qemu/{self._acceleration.kind}/{loader}{name}"

    @property
    def facts(self) -> HostFacts:
        return HostFacts(self._acceleration.kind, self._acceleration.why, round(self._acceleration.slowness, 2))

    @property
    def pace(self) -> Pace:
        """A whole disk takes its time, and more where this machine was measured to be slow."""
        slow = self._acceleration.slowness
        return Pace(
            deadline=600.0 * slow,
            longest=1800.0 * slow,
            silence=serial.SILENCE * slow,
            settle=0.0 if self._plan.login else _SETTLE * slow,
            last_words=2.0,
            after_complete=3.0 * slow,
            standstill=_STANDSTILL if self._acceleration.kind == "kvm" else None,
            first_word=_FIRST_WORD * slow if self._speaks() else None,
        )

    def _speaks(self) -> bool:
        """Whether something is said on the emulated console whatever the image is."""
        if self._acceleration.kind == "kvm":
            return False
        kernel = self._guest.kernel
        return "console=tty" in kernel.command_line if kernel else self._guest.firmware == "uefi"

    def otherwise(self, cause: Cause) -> bool:
        """Emulated, where KVM failed and nobody insists on it; once more, where the emulator failed."""
        if cause.code in _OF_THE_EMULATOR and not self._repeated:
            self._repeated, self._wiring = True, None
            return True
        if self._acceleration.kind != "kvm" or self._guest.hardware.accel != "auto" or not _of_kvm(cause):
            return False
        seen = f" ({cause.evidence[0]})" if cause.evidence else ""
        why = f"KVM ran a trial guest and its firmware, but {cause.says}: emulated{seen}"
        self._acceleration = trial.emulated(self._guest.architecture, why)
        self._wiring = None  # another port for the login: what was given up may hold the old one
        return True

    @contextlib.contextmanager
    def start(self, turn: Turn, fabric: Fabric) -> Iterator[Running]:
        self._wiring = self._wiring or self._wire(fabric)
        guest, pflash = self._scratch.prepare(turn.number, turn.copy)
        with _started(self._scratch.folder, guest, pflash, self._acceleration, self._wiring, turn, fabric) as running:
            yield running

    def _wire(self, fabric: Fabric) -> Wiring:
        if self._taps is not None:
            return Wiring(command.Taps(self._taps.taps), "", 22, self._taps.prefix, dhcp=True)
        addresses = {service: fabric.address(service) for service in ("wireserver", "hostplugin", "imds")}
        process.require_reached(*addresses["wireserver"])
        login = process.free_port()
        relay = [shlex.quote(word) for word in process.relay_words()]
        return Wiring(command.UserNetwork(command.forwards(addresses, relay), login), "127.0.0.1", login)


def judge_unit(said: str, at: float) -> tuple[Check, ...]:
    """Whether our unit is off, by what `systemctl is-enabled` said; a profile of the shell may have said something
    before. Nothing of an image without the unit, where systemd says nothing or (257) `not-found`."""
    *_, state = ["", *said.split()]
    if state in ("", "not-found"):
        return ()
    return (Check("unit is off", "passed" if state == "disabled" else "failed", state, at),)


def _of_kvm(cause: Cause) -> bool:
    return cause.code.startswith("kvm-")


@dataclass
class RunningDisk:
    """A guest in QEMU."""

    fabric: Fabric
    turn: Turn
    watch: Watch
    process: "subprocess.Popen[bytes]"
    monitor: Monitor
    wiring: Wiring
    health: Health
    loaded: threading.Event = field(default_factory=threading.Event)
    """A medium is in the drive."""

    def ended(self, timeout: float = 0.0) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout)
        return self.process.poll() is not None

    def trouble(self) -> Cause | None:
        return self.health.trouble()

    def cpu(self) -> CpuTime:
        """Of QEMU; what it got last, when it has ended."""
        return self.health.cpu(cpu_time(self.process.pid))

    def complete(self) -> float | None:
        return self._seen("multi-user")

    def _seen(self, name: str) -> float | None:
        """When the console showed a milestone."""
        return next((stone.at for stone in serial.milestones(self.watch.console) if stone.name == name), None)

    def look(self, key: Key, plan: Plan, verdict: Verdict) -> Seen:
        """Log in and ask the guest what it knows."""
        nothing_to_see = self.turn.expected == "ready" and not verdict.provisioned
        if not plan.login or nothing_to_see or self.ended():
            return Seen()
        there = replace(self.turn.machine, address=self.wiring.address or self.turn.machine.address)
        clock = self.fabric.ledger.now
        checks = check_login(self._moved, key, there, clock, _LOGIN, gone=lambda: self.ended() or bool(self.trouble()))
        if checks[0].outcome != "passed":
            return Seen(checks)
        said, journal_ = self._told_inside(key)
        if self.fabric.ledger.reports:
            checks += judge_unit(said, round(clock(), 3))
        return Seen(checks, journal_)

    def _moved(self, words: Sequence[str | Path]) -> list[str | Path]:
        """Words of ssh, to the port where the guest's sshd is reached."""
        moved = [
            str(self.wiring.port) if before == "-p" else word for before, word in zip(["", *words], words, strict=False)
        ]
        return [*self.wiring.prefix, *moved]

    def ssh(self, words: Sequence[str | Path]) -> Sequence[str | Path]:
        there = self.wiring.address or self.turn.machine.address
        return self._moved([str(word).replace(f"@{self.turn.machine.address}", f"@{there}") for word in words])

    def doors(self) -> Mapping[str, Sequence[str | Path]]:
        return {}

    def reach(self) -> tuple[str, int]:
        return self.wiring.address or self.turn.machine.address, self.wiring.port

    def beside(self, words: Sequence[str | Path]) -> Sequence[str | Path]:
        return [*self.wiring.prefix, *words]

    def survive_reboots(self) -> None:
        """QEMU was started to end with a reboot, which in a judged boot is one too many."""
        self.monitor.tell("set-action", reboot="reset")

    def rebooted(self) -> bool:
        return False  # it does so without an end

    def _ask(self, key: Key, command: str) -> Completed | None:
        user, address = self.turn.machine.admin_username, self.wiring.address or self.turn.machine.address
        argv = ssh_words(key.private, user, address, self.wiring.port, ("-T", command))
        try:
            return run([*self.wiring.prefix, *argv], check=False, timeout=120)
        except Failure:
            return None

    def _told_inside(self, key: Key) -> tuple[str, tuple[JournalLine, ...]]:
        """Whether the unit is on, in systemctl's word, and the guest's own journal, on our clock: the kernel's first
        moment in it is the one seen on the console. By one login: where it is emulated, each takes a second or more."""
        fields = "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,PRIORITY,_SYSTEMD_UNIT,UNIT,_COMM"
        read = f"sudo -n journalctl -b -o json {fields} --no-pager"
        done = self._ask(key, f"systemctl is-enabled {installed.UNIT}; echo {_BETWEEN}; {read}")
        said, _, lines = (done.stdout if done else "").partition(f"{_BETWEEN}\n")
        return said, journal.parse_journal(lines, -(self._seen("kernel") or 0.0))

    def power_off(self) -> None:
        """Press the power button and wait, so that the next boot finds what this one wrote; at the last, switch off."""
        alive = self._seen("init") is not None and serial.over(self.watch.console) is None
        if alive and not self.turn.last and not self.ended() and self.trouble() is None:
            self.monitor.tell("system_powerdown")
            self.ended(_SHUTDOWN)
        self.monitor.tell("quit")
        self.ended(5)
        stop(self.process)

    def told(self, seen: Seen, ledger: Ledger) -> tuple[tuple[Milestone, ...], tuple[JournalLine, ...]]:
        console = self.watch.console
        later = (ConsoleLine(line.at, line.text) for line in seen.journal)
        stones = serial.milestones(sorted((*console, *later), key=lambda line: line.at))
        units = {stone.name: stone.at for stone in stones if stone.name in ("basic.target", "sshd")}
        shown = {stone.name for stone in stones}
        both = [*stones, *(each for each in journal.milestones(ledger, units, None) if each.name not in shown)]
        return tuple(sorted(both, key=lambda stone: stone.at)), seen.journal or tuple(serial.spoken(console))


@contextlib.contextmanager
def _started(
    folder: Path,
    guest: Bootable,
    pflash: Pflash | None,
    acceleration: Acceleration,
    wiring: Wiring,
    turn: Turn,
    fabric: Fabric,
) -> Iterator[RunningDisk]:
    """QEMU running, its console, packets and events watched."""
    errors = folder / "errors"
    with room(folder.parent):
        disc, pipe, entropy = _disc(folder, turn), _fifo(folder / "packets"), _entropy(folder)
        errors.touch()
    late = sum(fault.delay for fault in turn.faults if fault.service == "media")
    accelerated = acceleration.kind == "kvm"
    with contextlib.ExitStack() as stack:
        fabric.restart(turn.machine, turn.faults)
        began = fabric.ledger.epoch = time.monotonic()
        listener = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        ours, theirs = socket.socketpair()
        stack.callback(theirs.close)
        words = command.command(
            guest,
            turn.machine,
            wiring.net,
            medium=None if late else disc,
            pflash=pflash,
            control=theirs.fileno(),
            packets=None if wiring.dhcp else pipe,
            accelerated=accelerated,
            clock=_clock(turn),
            entropy=entropy,
        )
        qemu = stack.enter_context(process.running([*wiring.prefix, *words], errors, theirs.fileno()))
        theirs.close()
        if qemu.stdout is None:
            raise RuntimeError("it is not open")
        watch = Watch(began)
        watch.follow_console(os.dup(qemu.stdout.fileno()))
        stack.enter_context(_heard(listener, fabric, turn.machine))
        stack.enter_context(watch)

        def happened(name: str, data: dict[str, Any]) -> None:
            health.take(name, data)
            if name == "DEVICE_TRAY_MOVED" and not data.get("tray-open"):
                running.loaded.set()
            elif name == "DEVICE_TRAY_MOVED" and running.loaded.is_set():
                fabric.record(Exchange(round(fabric.ledger.now(), 4), "media", "EJECT", "/dev/sr0", 200))

        monitor = Monitor(ours, happened)
        health = Health(qemu, monitor, errors, folder, accelerated)
        running = RunningDisk(fabric, turn, watch, qemu, monitor, wiring, health)
        stack.enter_context(monitor)
        if disc is not None and late:
            stack.enter_context(_inserted_later(running, disc, late))
        elif disc is not None:
            running.loaded.set()
        yield running


def _fifo(path: Path) -> Path:
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)
    return path


def _entropy(folder: Path) -> Path:
    path = folder / "entropy"
    path.write_bytes(os.urandom(64))
    return path


def _clock(turn: Turn) -> datetime | None:
    ahead = sum(fault.jump for fault in turn.faults if fault.service == "clock")
    return datetime.now(UTC) + timedelta(seconds=ahead) if ahead else None


def _disc(folder: Path, turn: Turn) -> Path | None:
    """The medium of this boot: Azure takes it away once a VM is provisioned."""
    if turn.expected != "ready" or any(fault.service == "media" and fault.silent for fault in turn.faults):
        return None
    disc = folder / "medium.iso"
    disc.write_bytes(medium(turn.machine))
    return disc


@contextlib.contextmanager
def _inserted_later(running: RunningDisk, disc: Path, seconds: float) -> Iterator[None]:
    """Put the medium into the empty drive so many seconds after the guest is first heard of."""
    gone = threading.Event()

    def insert() -> None:
        ledger = running.fabric.ledger
        while not ledger.wait_for(lambda one: bool(one.exchanges), 0.5):
            if gone.is_set():
                return
        if not gone.wait(seconds):
            running.fabric.record(Exchange(round(ledger.now(), 4), "media", "INSERT", "/dev/sr0", 200))
            running.monitor.tell("blockdev-change-medium", id="cdrom", filename=str(disc), format="raw")

    thread = threading.Thread(target=insert, name="azready-medium", daemon=True)
    thread.start()
    try:
        yield
    finally:
        gone.set()
        thread.join(2)


@contextlib.contextmanager
def _heard(listener: int, fabric: Fabric, machine: Machine) -> Iterator[None]:
    """Take DHCP from the guest's packets into the ledger while the block lasts."""
    frames, done = packets.Frames(), threading.Event()

    def listen() -> None:
        while not done.is_set():
            if not readable(listener, 0.2):
                continue
            data = os.read(listener, 65536)
            if not data:  # QEMU has not opened it yet, or has gone
                done.wait(0.05)
            at = round(fabric.ledger.now(), 4)
            for frame in frames.feed(data):
                fabric.record(*packets.entries(frame, at, machine))

    thread = threading.Thread(target=listen, name="azready-packets", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(2)
        os.close(listener)
