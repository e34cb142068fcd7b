"""The boots of one disk in QEMU: the first, the second, and the first of a copy, each judged. Not changing the disk.

The counterpart of `session` for disks; both fill the same `BootRecord`.
"""

import contextlib
import os
import select
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from azready.boot import identity
from azready.boot.diagnosis import diagnose
from azready.boot.network.links import Network
from azready.boot.network.tap import TapNetwork, tap_network
from azready.boot.qemu import command, packets, process, trial
from azready.boot.qemu.command import Guest, Net
from azready.boot.qemu.monitor import Monitor
from azready.boot.qemu.process import Room
from azready.boot.record import (
    BootRecord,
    Check,
    ConsoleLine,
    HostFacts,
    JournalLine,
)
from azready.boot.session import Plan, Turn, turns
from azready.boot.watching import journal, serial
from azready.boot.watching.login import (
    Key,
    check_login,
    in_style,
    ssh_words,
    throwaway_key,
)
from azready.boot.watching.watch import Watch
from azready.console import SILENT, Console
from azready.errors import Failure
from azready.fabric import Fabric, Machine
from azready.fabric.ledger import Exchange, Ledger
from azready.fabric.protocol.media import medium
from azready.fabric.render import fault_words
from azready.fabric.verdict import Verdict, decided, judge
from azready.proc import run, stop

OURS = ("azready", "azure-provisioning")
"""How a provisioner of ours names itself to the platform."""
_LOGIN, _SETTLE, _SHUTDOWN, _LAST_WORDS = 90.0, 15.0, 60.0, 2.0


@dataclass(frozen=True)
class Wiring:
    """How the guest is joined to the fabric."""

    net: Net
    address: str
    port: int
    """Where the guest's sshd is reached."""
    prefix: tuple[str, ...] = ()
    """Words that put a command where the guest's network is."""
    dhcp: Network | None = None
    """The network that a DHCP server of ours serves; None where QEMU has its own."""


@dataclass
class Live:
    """A running guest, as those who look at it need it."""

    fabric: Fabric
    turn: Turn
    watch: Watch
    qemu: "subprocess.Popen[bytes]"
    monitor: Monitor
    wiring: Wiring
    shut_down: threading.Event = field(default_factory=threading.Event)
    loaded: threading.Event = field(default_factory=threading.Event)
    """A medium is in the drive."""

    @property
    def ended(self) -> bool:
        return self.qemu.poll() is not None

    def seen(self, name: str) -> float | None:
        """When the console showed a milestone."""
        return next((stone.at for stone in serial.milestones(self.watch.console) if stone.name == name), None)


def boot_disk(
    guest: Guest,
    machine: Machine,
    plan: Plan,
    console: Console = SILENT,
    *,
    target: str,
    keep_console: Path | None = None,
) -> tuple[BootRecord, ...]:
    """Boot a disk (or a kernel) as planned; nothing is ever written to it.

    `keep_console` gets the serial console of all boots. Raises Failure when QEMU cannot run here. Stops after a boot
    that failed, unless the plan heals.
    """
    records: list[BootRecord] = []
    with contextlib.ExitStack() as stack:
        key = stack.enter_context(throwaway_key())
        machine = replace(machine, public_keys=(*machine.public_keys, in_style(key.public, machine.public_keys)))
        firmware = None if guest.kernel else guest.firmware
        acceleration = trial.choose(guest.hardware.accel, guest.architecture, firmware)
        room = stack.enter_context(process.room(guest, acceleration))
        taps = stack.enter_context(_taps(plan, machine)) if guest.hardware.network == "tap" else None
        sockets = taps.sockets if taps else None
        fabric = stack.enter_context(Fabric(machine, strict=plan.strict, seed=plan.seed, sockets=sockets))
        wiring = _tap_wiring(taps, plan, machine) if taps else _user_wiring(fabric)
        for turn in turns(plan, machine, records, "other"):
            turn = _sharper(turn, records)
            if turn.machine.vm_id != machine.vm_id:
                room.fresh_variables()
            with console.step(f"{turn.title[0].upper()}{turn.title[1:]}: {target}, {room.how}"):
                record = _boot(room, fabric, wiring, turn, plan, key, console, target)
            records.append(replace(record, diagnosis=diagnose(record)))
            if keep_console is not None:
                keep_console.write_text(_console_text(records))
    return tuple(records)


def _console_text(records: Sequence[BootRecord]) -> str:
    parts = []
    for record in records:
        lines = "".join(f"{line.at:9.3f} {line.text}\n" for line in record.console)
        parts.append(f"# {record.title}: {record.target}, {record.how}, {record.started}\n{lines}")
    return "\n".join(parts)


def _sharper(turn: Turn, records: Sequence[BootRecord]) -> Turn:
    """Later boots of a provisioner that named itself as ours must stay silent; of others nothing is asked."""
    agents = {report.agent.lower() for record in records for report in record.reports}
    ours = any(agent.startswith(OURS) for agent in agents)
    return replace(turn, expected="silence") if turn.expected == "any" and ours else turn


def _user_wiring(fabric: Fabric) -> Wiring:
    addresses = {service: fabric.address(service) for service in ("wireserver", "hostplugin", "imds")}
    login = process.free_port()
    relay = [shlex.quote(word) for word in process.relay_words()]
    return Wiring(command.UserNetwork(command.forwards(addresses, relay), login), "127.0.0.1", login)


def _taps(plan: Plan, machine: Machine) -> contextlib.AbstractContextManager[TapNetwork]:
    return tap_network(plan.network, 1 + len(machine.secondary_nics))


def _tap_wiring(taps: TapNetwork, plan: Plan, machine: Machine) -> Wiring:
    return Wiring(command.Taps(taps.taps), machine.address, 22, taps.prefix, plan.network)


def _boot(
    room: Room, fabric: Fabric, wiring: Wiring, turn: Turn, plan: Plan, key: Key, console: Console, target: str
) -> BootRecord:
    started = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(_started(stack, room, fabric, wiring, turn))
        verdict = _wait(live, plan)
        checks, told = _look(live, plan, key, verdict)
        record = BootRecord(
            number=turn.number,
            title=turn.title,
            target=target,
            how=room.how,
            host=HostFacts(room.acceleration.kind, room.acceleration.why, round(room.acceleration.slowness, 2)),
            started=started,
            seconds=round(fabric.ledger.now(), 3),
            deadline=plan.deadline,
            verdict=verdict,
            expected=turn.expected,
            machine=identity.described(turn.machine),
            faults=tuple(fault_words(fault) for fault in turn.faults),
            checks=checks,
        )
        if plan.holds(turn, record):
            _hold(live, key, console, record)
        _power_off(live)
        told_later = (ConsoleLine(line.at, line.text) for line in told)
        stones = serial.milestones(sorted((*live.watch.console, *told_later), key=lambda line: line.at))
        units = {stone.name: stone.at for stone in stones if stone.name in ("basic.target", "sshd")}
        seen = {stone.name for stone in stones}
        counted = journal.milestones(fabric.ledger, units, None)
        both = [*stones, *(stone for stone in counted if stone.name not in seen)]
        return replace(
            record,
            milestones=tuple(sorted(both, key=lambda stone: stone.at)),
            exchanges=fabric.ledger.exchanges,
            findings=fabric.ledger.findings,
            reports=fabric.ledger.reports,
            journal=told or tuple(serial.spoken(live.watch.console)),
            console=tuple(live.watch.console),
        )


@contextlib.contextmanager
def _started(stack: contextlib.ExitStack, room: Room, fabric: Fabric, wiring: Wiring, turn: Turn) -> Iterator[Live]:
    """QEMU running, its console, packets and events watched."""
    disc = _disc(room, turn)
    late = sum(fault.delay for fault in turn.faults if fault.service == "media")
    ahead = sum(fault.jump for fault in turn.faults if fault.service == "clock")
    entropy = room.folder / "entropy"
    entropy.write_bytes(os.urandom(64))
    errors, pipe = room.folder / "errors", room.folder / "packets"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe, 0o600)
    ours, theirs = socket.socketpair()
    stack.callback(ours.close)
    words = command.command(
        room.guest,
        turn.machine,
        wiring.net,
        medium=None if late else disc,
        pflash=room.pflash,
        control=theirs.fileno(),
        packets=pipe if wiring.dhcp is None else None,
        accelerated=room.acceleration.kind == "kvm",
        clock=datetime.now(UTC) + timedelta(seconds=ahead) if ahead else None,
        entropy=entropy,
    )
    fabric.restart(turn.machine, turn.faults)
    began = time.monotonic()
    fabric.ledger.epoch = began
    listener = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    qemu = stack.enter_context(process.running([*wiring.prefix, *words], errors, theirs.fileno()))
    theirs.close()
    assert qemu.stdout is not None
    watch = Watch(began)
    watch.follow_console(os.dup(qemu.stdout.fileno()))
    stack.enter_context(_heard(listener, fabric, turn.machine))
    stack.enter_context(watch)

    def happened(name: str, data: dict[str, Any]) -> None:
        if name == "DEVICE_TRAY_MOVED" and not data.get("tray-open"):
            live.loaded.set()
        elif name == "DEVICE_TRAY_MOVED" and live.loaded.is_set():
            fabric.record(Exchange(round(fabric.ledger.now(), 4), "media", "EJECT", "/dev/sr0", 200))
        if name == "SHUTDOWN":
            live.shut_down.set()

    monitor = Monitor(ours, happened)
    live = Live(fabric, turn, watch, qemu, monitor, wiring)
    stack.enter_context(monitor)
    if disc is not None and late:
        stack.enter_context(_inserted_later(live, disc, late))
    elif disc is not None:
        live.loaded.set()
    with contextlib.suppress(subprocess.TimeoutExpired):
        qemu.wait(0.1)  # what is wrong with its words QEMU says at once
    failure = process.complaint(errors, qemu)
    if failure is not None:
        raise failure
    yield live


def _disc(room: Room, turn: Turn) -> Path | None:
    """The medium of this boot: Azure takes it away once a VM is provisioned."""
    if turn.expected != "ready" or any(fault.service == "media" and fault.silent for fault in turn.faults):
        return None
    disc = room.folder / "medium.iso"
    disc.write_bytes(medium(turn.machine))
    return disc


@contextlib.contextmanager
def _inserted_later(live: Live, disc: Path, seconds: float) -> Iterator[None]:
    """Put the medium into the empty drive so many seconds after the guest is first heard of."""
    gone = threading.Event()

    def insert() -> None:
        ledger = live.fabric.ledger
        while not ledger.wait_for(lambda one: bool(one.exchanges), 0.5):
            if gone.is_set():
                return
        if not gone.wait(seconds):
            live.fabric.record(Exchange(round(ledger.now(), 4), "media", "INSERT", "/dev/sr0", 200))
            live.monitor.tell("blockdev-change-medium", id="cdrom", filename=str(disc), format="raw")

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
            if not select.select([listener], [], [], 0.2)[0]:
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


def _wait(live: Live, plan: Plan) -> Verdict:
    """Wait until the platform knows the outcome, or the console shows that none will come."""
    ledger, quiet = live.fabric.ledger, live.turn.expected != "ready"
    because = ""
    while not decided(ledger) and ledger.now() < plan.deadline and not because:
        ledger.wait_for(decided, min(0.25, max(0.0, plan.deadline - ledger.now())))
        if live.ended:
            because = f"the machine ended after {ledger.now():.1f} s"
        elif quiet and live.seen("multi-user") is not None:
            ledger.wait_for(decided, 3.0)  # nothing is started any more: what would report has begun by now
            break
        elif (end := serial.over(live.watch.console)) is not None:
            ledger.wait_for(decided, _LAST_WORDS)
            because = f"the boot ended in the {end[0]} after {end[1].at:.1f} s"
        elif not plan.patient and not _asked(ledger) and (silent := serial.idle(live.watch.console, ledger.now())):
            because = "the boot was complete after {:.1f} s, and the guest is silent since {:.1f} s".format(*silent)
    verdict = judge(ledger, plan.deadline)
    if because and not decided(ledger):
        return replace(verdict, because=f"{because}; nothing was reported")
    return verdict


def _asked(ledger: Ledger) -> bool:
    """Whether a provisioner is at work: it may be busy for long, with a hook of its owner for one."""
    return any(each.service in ("imds", "wireserver") for each in ledger.exchanges)


def _look(live: Live, plan: Plan, key: Key, verdict: Verdict) -> tuple[tuple[Check, ...], tuple[JournalLine, ...]]:
    """Let the boot come to its end, then log in and ask the guest what it knows."""
    if live.turn.expected == "ready" and not verdict.provisioned:
        return (), ()
    if not plan.login:
        until = time.monotonic() + _SETTLE
        while live.seen("multi-user") is None and time.monotonic() < until and not live.ended:
            time.sleep(0.1)
    if not plan.login or live.ended:
        return (), ()
    clock = live.fabric.ledger.now
    there = replace(live.turn.machine, address=live.wiring.address)
    checks = check_login(_at_port(live.wiring), key, there, clock, _LOGIN, gone=lambda: live.ended)
    if checks[0].outcome != "passed":
        return checks, ()
    asked = _ask(live, key, "systemctl", "is-enabled", journal.PROVISIONER)
    said = asked.stdout.strip() if asked else ""
    if said and live.fabric.ledger.reports:
        checks += (Check("unit is off", "passed" if said == "disabled" else "failed", said, round(clock(), 3)),)
    return checks, _journal(live, key)


def _at_port(wiring: Wiring) -> Any:
    def wrap(words: Sequence[str | Path]) -> list[str | Path]:
        moved = [
            str(wiring.port) if before == "-p" else word for before, word in zip(["", *words], words, strict=False)
        ]
        return [*wiring.prefix, *moved]

    return wrap


def _ask(live: Live, key: Key, *words: str) -> Any:
    command = ssh_words(
        key.private, live.turn.machine.admin_username, live.wiring.address, live.wiring.port, ("-T", shlex.join(words))
    )
    try:
        return run([*live.wiring.prefix, *command], check=False, timeout=60)
    except Failure:
        return None


def _journal(live: Live, key: Key) -> tuple[JournalLine, ...]:
    """The guest's own journal, on our clock: the kernel's first moment in it is the one seen on the console."""
    fields = "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,PRIORITY,_SYSTEMD_UNIT,UNIT,_COMM"
    done = _ask(live, key, "sudo", "-n", "journalctl", "-b", "-o", "json", fields, "--no-pager")
    start = live.seen("kernel")
    return journal.parse_journal(done.stdout if done else "", -(start or 0.0))


def _hold(live: Live, key: Key, console: Console, record: BootRecord) -> None:
    if live.ended:
        console.say(f"{record.headline}. The guest has ended by itself: nothing stays up")
        return
    words = ssh_words(key.private, live.turn.machine.admin_username, live.wiring.address, live.wiring.port, command=())
    console.say(f"{record.headline}. The guest stays up; Ctrl-C ends it. From another terminal:")
    console.say(f"  log in: {shlex.join([*live.wiring.prefix, *map(str, words)])}")
    with contextlib.suppress(KeyboardInterrupt):
        live.qemu.wait()


def _power_off(live: Live) -> None:
    """Press the power button and wait, so that the next boot finds what this one wrote; at the last, switch off."""
    alive = live.seen("init") is not None and serial.over(live.watch.console) is None
    if alive and not live.turn.last and not live.ended:
        live.monitor.tell("system_powerdown")
        with contextlib.suppress(subprocess.TimeoutExpired):
            live.qemu.wait(_SHUTDOWN)
    live.monitor.tell("quit")
    with contextlib.suppress(subprocess.TimeoutExpired):
        live.qemu.wait(5)
    stop(live.qemu)
