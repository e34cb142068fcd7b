"""A series of boots of one image: the first, the second, and the first of a copy, each against the fabric, each judged.

The story is told once, over a `Host` that runs guests: a container of a root tree, or QEMU with a disk.
"""

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from socket import socket
from typing import Literal, Protocol, Self

from azready import installed
from azready.boot import identity, waiting
from azready.boot.diagnosis import diagnose, early
from azready.boot.judging import judges
from azready.boot.judging.access import Access
from azready.boot.judging.running import hear, prepared, verdict
from azready.boot.network.links import Network
from azready.boot.record import BootRecord, Cause, Check, Expectation, HostFacts, JournalLine, Milestone
from azready.boot.waiting import Pace
from azready.boot.watching import serial
from azready.boot.watching.login import Key, in_style, ssh_words, throwaway_key
from azready.boot.watching.schedule import CpuTime
from azready.boot.watching.watch import Watch
from azready.console import SILENT, Console
from azready.fabric import Fabric, Fault, Machine
from azready.fabric.ledger import Ledger, Service
from azready.fabric.protocol import kvp
from azready.fabric.verdict import Verdict, judge

OURS = ("azready", installed.NAME)
"""How a provisioner of ours names itself to the platform."""


@dataclass(frozen=True)
class Plan:
    """What to boot and how often. `heal`: the faults hold in the first boot only.

    `deadline` None: as long as this machine needs, and longer for a guest that makes progress; given up early where
    nothing is to be expected any more. A number of seconds is kept to the letter.
    """

    deadline: float | None = None
    boots: int = 2
    recapture: bool = False
    faults: tuple[Fault, ...] = ()
    heal: bool = False
    strict: bool = True
    seed: int = 0
    keep: bool = False
    judges: tuple[str, ...] = ()
    """Who looks at the VM after the last boot: `judging.judges.judge` knows the words."""
    network: Network = field(default_factory=Network)
    init: str = ""
    login: bool = True

    def holds(self, turn: "Turn", passed: bool) -> bool:
        """Whether the guest stays up after this boot: no other follows it."""
        return self.keep and (turn.last or not (passed or self.heal))

    def is_judged(self, turn: "Turn", verdict: Verdict) -> bool:
        """Whether judges look at the VM after this boot: it is the last, and there is a VM."""
        return bool(self.judges) and turn.last and (verdict.provisioned or turn.expected != "ready")


@dataclass(frozen=True)
class Turn:
    """One boot of the plan."""

    number: int
    title: str
    machine: Machine
    expected: Expectation
    faults: tuple[Fault, ...]
    last: bool = False
    copy: bool = False
    """The image was used before, by another VM."""


def turns(plan: Plan, machine: Machine, records: Sequence[BootRecord], agent: str) -> Iterator[Turn]:
    """The boots of a plan, each decided when the ones before are in `records`."""
    last: Expectation = "silence" if agent == "azready" else "any"
    for number in range(1, plan.boots + 1):
        ready_before = any(record.verdict.provisioned for record in records)
        title = {1: "first boot", 2: "second boot"}.get(number, f"boot {number}")
        faults = plan.faults if number == 1 or not plan.heal else ()
        is_last = number == plan.boots and not plan.recapture
        yield Turn(number, title, machine, last if ready_before else "ready", faults, is_last)
        if records[-1].undecided or not (records[-1].passed or plan.heal):
            return
    if plan.recapture:
        faults = () if plan.heal else plan.faults
        title = "first boot of a copy, as a new VM"
        yield Turn(plan.boots + 1, title, machine.recaptured(), "ready", faults, last=True, copy=True)


# --- what runs guests ---


@dataclass(frozen=True)
class Seen:
    """What was learned of a guest from outside and by asking it, while it was up. `units`: when each became active."""

    checks: tuple[Check, ...] = ()
    journal: tuple[JournalLine, ...] = ()
    units: Mapping[str, float] = field(default_factory=dict)
    kvp: bytes = b""


class Running(Protocol):
    """A guest that runs."""

    @property
    def watch(self) -> Watch:
        """What its console and its init say."""

    def ended(self, timeout: float = 0.0) -> bool:
        """Whether it has ended, after at most so many seconds."""

    def trouble(self) -> Cause | None:
        """What of this machine keeps the guest from running; asked again and again."""

    def cpu(self) -> CpuTime:
        """What the guest got of the processor so far."""

    def complete(self) -> float | None:
        """When everything was started that is to be started; None until then."""

    def look(self, key: Key, plan: Plan, verdict: Verdict) -> Seen:
        """Log in, and ask the guest what it knows."""

    def doors(self) -> Mapping[str, Sequence[str | Path]]:
        """How to get in besides ssh, by name."""

    def ssh(self, words: Sequence[str | Path]) -> Sequence[str | Path]:
        """Words that reach the guest's sshd, from those that would on the guest's own network."""

    def reach(self) -> tuple[str, int]:
        """Address and port of the guest's sshd, for programs run by the words of `beside`."""

    def beside(self, words: Sequence[str | Path]) -> Sequence[str | Path]:
        """Words that run a program of this machine where it reaches the guest, as who calls."""

    def survive_reboots(self) -> None:
        """From now on the guest may reboot."""

    def rebooted(self) -> bool:
        """Whether a guest that has ended wanted a reboot: it is started again then."""

    def power_off(self) -> None:
        """End it: in order, where another boot of the same image follows."""

    def told(self, seen: Seen, ledger: Ledger) -> tuple[tuple[Milestone, ...], tuple[JournalLine, ...]]:
        """After its end: the points by which boots are compared, and what its programs said."""


class Host(Protocol):
    """What runs guests, one after another, of one image; open while the series lasts."""

    @property
    def target(self) -> str: ...

    @property
    def kind(self) -> Literal["container", "qemu"]: ...

    @property
    def agent(self) -> str:
        """Who provisions this image, as far as can be seen beforehand: `azready`, or another word."""

    @property
    def sockets(self) -> Mapping[Service, socket] | None:
        """Where the fabric serves; None: on ports of loopback."""

    @property
    def owner(self) -> tuple[int, int] | None:
        """Uid and gid that must be able to read the key of the login; None: our own."""

    @property
    def how(self) -> str:
        """In a word: `container`, `qemu/tcg/uefi`."""

    @property
    def facts(self) -> HostFacts: ...

    @property
    def pace(self) -> Pace: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *about: object) -> None: ...

    def start(self, turn: Turn, fabric: Fabric) -> contextlib.AbstractContextManager[Running]:
        """Boot. Raises Failure where this machine cannot."""

    def otherwise(self, cause: Cause) -> bool:
        """Whether the same turn can be run again in another way, after this fault of the host; it is prepared then."""


class Onlooker(Protocol):
    """Who watches a series while it happens."""

    def begun(self, so_far: Callable[[], BootRecord]) -> None:
        """A guest runs; `so_far` tells what is known of it, at any time and from any thread."""

    def over(self, record: BootRecord) -> None:
        """A boot is over."""


class _Nobody:
    def begun(self, so_far: Callable[[], BootRecord]) -> None:
        pass

    def over(self, record: BootRecord) -> None:
        pass


NOBODY: Onlooker = _Nobody()


# --- the story ---


def boot(
    host: Host,
    machine: Machine,
    plan: Plan,
    console: Console = SILENT,
    keep: Callable[[Sequence[BootRecord]], None] = lambda records: None,
    onlooker: Onlooker = NOBODY,
) -> tuple[BootRecord, ...]:
    """Boot as planned; the image is never changed. Stops after a boot that failed, unless the plan heals.

    `keep` gets the records after every boot. Raises Failure where guests cannot be run here.
    """
    records: list[BootRecord] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(host)
        key = stack.enter_context(throwaway_key(host.owner))
        machine = replace(machine, public_keys=(*machine.public_keys, in_style(key.public, machine.public_keys)))
        fabric = stack.enter_context(Fabric(machine, strict=plan.strict, seed=plan.seed, sockets=host.sockets))
        setting = _Setting(host, fabric, plan, key, console, onlooker)
        for turn in turns(plan, machine, records, host.agent):
            records.append(_boot(setting, _sharper(turn, records)))
            onlooker.over(records[-1])
            keep(records)
    return tuple(records)


def _sharper(turn: Turn, records: Sequence[BootRecord]) -> Turn:
    """Later boots of a provisioner that named itself as ours must stay silent; of others nothing is asked."""
    agents = {report.agent.lower() for record in records for report in record.reports}
    ours = any(agent.startswith(OURS) for agent in agents)
    return replace(turn, expected="silence") if turn.expected == "any" and ours else turn


@dataclass(frozen=True)
class _Setting:
    """What is the same for every boot of a series. `key` is put into the VM for our own login."""

    host: Host
    fabric: Fabric
    plan: Plan
    key: Key
    console: Console
    onlooker: Onlooker


def _boot(setting: _Setting, turn: Turn) -> BootRecord:
    """Boot once; again in another way, where the host has one and the first failed by its fault."""
    host, console = setting.host, setting.console
    while True:
        with console.step(f"{turn.title[0].upper()}{turn.title[1:]}: {host.target}, {host.how}"):
            record = _attempt(setting, turn)
        if record.cause is None or not record.undecided or not host.otherwise(record.cause):
            return record
        console.warn(f"{record.cause.says}: booted again as {host.how}")


def _blank(setting: _Setting, turn: Turn) -> BootRecord:
    """The record of a boot that begins."""
    host, deadline = setting.host, setting.plan.deadline or setting.host.pace.deadline
    return BootRecord(
        number=turn.number,
        title=turn.title,
        target=host.target,
        how=host.how,
        kind=host.kind,
        copy=turn.copy,
        started=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds=0.0,
        deadline=deadline,
        verdict=judge(setting.fabric.ledger, deadline),
        host=host.facts,
        expected=turn.expected,
        machine=identity.described(turn.machine),
        faults=turn.faults,
    )


def _attempt(setting: _Setting, turn: Turn) -> BootRecord:
    """Boot, watch, judge, look from outside; when the plan holds it, stay up until interrupted."""
    host, fabric, plan, key = setting.host, setting.fabric, setting.plan, setting.key
    ledger, blank = fabric.ledger, _blank(setting, turn)
    with host.start(turn, fabric) as running:
        setting.onlooker.begun(lambda: _so_far(blank, running, ledger))
        waited = waiting.wait(running, ledger, turn.expected, plan.deadline, host.pace)
        seen = Seen() if waited.trouble else running.look(key, plan, waited.verdict)
        waited = waiting.hear_out(running, ledger, turn.expected, waited, host.pace)
        trouble = waited.trouble or running.trouble()
        fabric.record(*kvp.entries(seen.kvp, turn.machine, round(ledger.now(), 4)))
        checks = seen.checks
        if trouble is None and plan.is_judged(turn, waited.verdict):
            checks += _judged(setting, running, turn)
        record = replace(
            blank,
            seconds=round(ledger.now(), 3),
            deadline=waited.deadline,
            verdict=waited.verdict,
            host=replace(host.facts, cpu_share=round(running.cpu().share, 3)),
            checks=checks,
            cause=trouble,
        )
        if trouble is None and plan.holds(turn, record.passed):
            _hold(running, turn, key, setting.console, record)
        running.power_off()
        milestones, journal = running.told(seen, ledger)
        console_lines = tuple(running.watch.console)
    record = replace(_heard(record, ledger), milestones=milestones, journal=journal, console=console_lines)
    return replace(record, cause=_cause(record))


def _cause(record: BootRecord) -> Cause | None:
    """What went wrong. A kernel that says itself that it got no processor says more than how little it got: such a disk
    is booted once more."""
    if record.cause is None:
        return diagnose(record)
    return (record.cause.code == "starved" and early.starved(record)) or record.cause


def _heard(record: BootRecord, ledger: Ledger) -> BootRecord:
    return replace(record, exchanges=ledger.exchanges, findings=ledger.findings, reports=ledger.reports)


def _so_far(blank: BootRecord, running: Running, ledger: Ledger) -> BootRecord:
    """A boot that is not over: the journal is not read yet, and the milestones are those that the console shows."""
    console = tuple(running.watch.console)
    heard = replace(_heard(blank, ledger), seconds=round(ledger.now(), 3), verdict=judge(ledger, blank.deadline))
    return replace(heard, console=console, milestones=serial.milestones(console))


def _hold(running: Running, turn: Turn, key: Key, console: Console, record: BootRecord) -> None:
    """Keep the guest up until it powers off or Ctrl-C comes; say how to get in."""
    if running.ended():
        console.say(f"{record.headline}. The guest has ended by itself: nothing stays up")
        return
    ssh = ssh_words(key.private, turn.machine.admin_username, turn.machine.address, command=())
    doors = {"log in": running.ssh(ssh), **running.doors()}
    width = max(map(len, doors)) + 1
    console.say(f"{record.headline}. The guest stays up; Ctrl-C ends it. From another terminal:")
    for name, words in doors.items():
        console.say(f"  {name + ':':<{width}} {shlex.join(map(str, words))}")
    running.survive_reboots()
    with contextlib.suppress(KeyboardInterrupt):
        while not running.ended(3600.0) or _again(running, console):
            continue


def _again(running: Running, console: Console) -> bool:
    """Whether a guest that has ended is back, since it wanted to reboot."""
    back = running.rebooted()
    if back:
        console.say("The guest rebooted, and is up again")
    return back


def _judged(setting: _Setting, running: Running, turn: Turn) -> tuple[Check, ...]:
    """Let the judges look at the guest, one after another; it may reboot meanwhile."""
    key, console = setting.key, setting.console
    running.survive_reboots()
    address, port = running.reach()
    access = Access(address, port, turn.machine.admin_username, key.private, key.private.parent)

    def meanwhile(seconds: float) -> None:
        if running.ended(seconds) and not _again(running, console):
            time.sleep(seconds)  # it powered off: the judge will see

    found: tuple[Check, ...] = ()
    for word in setting.plan.judges:
        judge = judges.judge(word, setting.host.kind)
        with console.step(f"Judge: {judge.name}"), prepared(judge, access) as own:
            heard = hear(judge, own, running.beside, meanwhile)
            found += verdict(judge, heard, round(setting.fabric.ledger.now(), 3))
    return found
