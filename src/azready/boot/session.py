"""The boots of one tree: the first, the second, and the first of a copy, each against the fabric, each judged.

`boot_tree` is the whole story; it returns one `BootRecord` a boot.
"""

import contextlib
import os
import select
import shlex
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from azready.boot import identity
from azready.boot.container.host import (
    Container,
    Guest,
    Order,
    find_init,
    uses_systemd,
)
from azready.boot.diagnosis import diagnose
from azready.boot.network.links import Network, guest_rules
from azready.boot.record import (
    BootRecord,
    Check,
    Expectation,
    JournalLine,
    Outcome,
)
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
from azready.fabric import Fabric, Fault, Machine
from azready.fabric.protocol import kvp
from azready.fabric.render import fault_words
from azready.fabric.verdict import Verdict, decided, judge

POWER_OFF = signal.SIGRTMIN + 4
"""systemd's signal for powering off."""
_SETTLE, _LAST_WORDS = 10.0, 1.0
_LOGIN, _LOGIN_WHEN_COMPLETE = 15.0, 4.0
"""Seconds in which sshd may still come up: few, where init says that all is started."""
_AGENTS_SPEAK = 10.0
"""Seconds in which an agent that was left beside azready's program reports, if it does."""


TREE_DEADLINE, DISK_DEADLINE = 120.0, 600.0
"""Seconds to wait for a report unless told otherwise: a whole disk, emulated on a busy machine, takes its time."""


@dataclass(frozen=True)
class Plan:
    """What to boot and how often. `heal`: the faults hold in the first boot only."""

    deadline: float = TREE_DEADLINE
    patient: bool = True
    """Wait that long even for a guest in QEMU that is up, silent, and never spoke to the platform."""
    boots: int = 2
    recapture: bool = False
    faults: tuple[Fault, ...] = ()
    heal: bool = False
    strict: bool = True
    seed: int = 0
    keep: bool = False
    network: Network = field(default_factory=Network)
    init: str = ""
    login: bool = True

    def holds(self, turn: "Turn", record: BootRecord) -> bool:
        """Whether the guest stays up after this boot: no other follows it."""
        return self.keep and (turn.last or not (record.passed or self.heal))


@dataclass(frozen=True)
class Turn:
    """One boot of the plan."""

    number: int
    title: str
    machine: Machine
    expected: Expectation
    faults: tuple[Fault, ...]
    last: bool = False


_PROGRAMS = (
    ("azready", "usr/lib/azure-provisioning"),
    ("cloud-init", "usr/bin/cloud-init"),
    ("waagent", "usr/sbin/waagent"),
)


def provisioner(tree: Path) -> str:
    """Who would provision this tree: `azready`, `cloud-init`, `waagent` or `other`; the first that is there."""
    return next((name for name, path in _PROGRAMS if (tree / path).exists()), "other")


def has_agents(tree: Path) -> bool:
    """Whether a program that nobody here wrote may provision this tree, alone or beside azready's."""
    return any((tree / path).exists() for name, path in _PROGRAMS if name != "azready")


def boot_tree(tree: Path, machine: Machine, plan: Plan, console: Console = SILENT) -> tuple[BootRecord, ...]:
    """Boot a root tree as planned. The tree is never changed.

    Raises Failure when no container can be made here, UsageFailure when the tree is none. Stops after a boot that
    failed, unless the plan heals.
    """
    records: list[BootRecord] = []
    with contextlib.ExitStack() as stack:
        container = stack.enter_context(Container(tree, plan.network))
        key = stack.enter_context(throwaway_key(container.owner))
        machine = replace(machine, public_keys=(*machine.public_keys, in_style(key.public, machine.public_keys)))
        fabric = stack.enter_context(Fabric(machine, strict=plan.strict, seed=plan.seed, sockets=container.sockets))
        for turn in turns(plan, machine, records, provisioner(container.tree)):
            with console.step(f"{turn.title[0].upper()}{turn.title[1:]} ({container.tree.name})"):
                record = _boot(container, fabric, turn, plan, key, console)
            records.append(replace(record, diagnosis=diagnose(record)))
    return tuple(records)


def turns(plan: Plan, machine: Machine, records: Sequence[BootRecord], agent: str) -> Iterator[Turn]:
    """The boots of a plan, each decided when the ones before are in `records`."""
    last: Expectation = "silence" if agent == "azready" else "any"
    for number in range(1, plan.boots + 1):
        ready_before = any(record.verdict.provisioned for record in records)
        title = {1: "first boot", 2: "second boot"}.get(number, f"boot {number}")
        faults = plan.faults if number == 1 or not plan.heal else ()
        is_last = number == plan.boots and not plan.recapture
        yield Turn(number, title, machine, last if ready_before else "ready", faults, is_last)
        if not records[-1].passed and not plan.heal:
            return
    if plan.recapture:
        faults = () if plan.heal else plan.faults
        yield Turn(plan.boots + 1, "first boot of a copy, as a new VM", machine.recaptured(), "ready", faults, True)


def _boot(container: Container, fabric: Fabric, turn: Turn, plan: Plan, key: Key, console: Console) -> BootRecord:
    """Boot once, watch, judge, look from outside; when the plan holds it, stay up until interrupted."""
    started = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    with contextlib.ExitStack() as stack:
        fabric.restart(turn.machine, turn.faults)
        guest = container.start(_order(container, turn, plan))
        alive = guest.alive
        stack.callback(os.close, alive)
        fabric.ledger.epoch = guest.began
        watch = Watch(guest.began)
        watch.follow_console(guest.console)
        watch.follow_notify(guest.notify)
        stack.enter_context(watch)
        verdict = _wait(fabric, turn, plan, watch, alive, has_agents(container.tree))
        checks = _checks(container, guest, fabric, turn, plan, key, verdict, watch)
        pool = journal.read_kvp(container, guest)
        fabric.record(*kvp.entries(pool, turn.machine, round(fabric.ledger.now(), 4)))
        record = BootRecord(
            number=turn.number,
            title=turn.title,
            target=str(container.tree),
            how="container",
            started=started,
            seconds=0.0,
            deadline=plan.deadline,
            verdict=verdict,
            expected=turn.expected,
            machine=identity.described(turn.machine),
            faults=tuple(fault_words(fault) for fault in turn.faults),
            milestones=journal.milestones(fabric.ledger, journal.read_units(container, guest), watch.complete),
            exchanges=fabric.ledger.exchanges,
            findings=fabric.ledger.findings,
            reports=fabric.ledger.reports,
            journal=_said(container, guest),
            checks=checks,
        )
        seconds = round(time.monotonic() - guest.began, 3)
        if plan.holds(turn, record):
            _hold(container, guest, turn, key, alive, console, record)
        _power_off(alive, uses_systemd(container.tree))
    return replace(record, seconds=seconds, console=tuple(watch.console))


def _said(container: Container, guest: Guest) -> tuple[JournalLine, ...]:
    """The journal, and what agents log elsewhere."""
    said = journal.read_journal(container, guest)
    if has_agents(container.tree):
        said = journal.without_copies(said)
        said += journal.read_waagent_log(container, guest) + journal.read_cloud_init_log(container, guest)
    return tuple(sorted(said, key=lambda line: line.at))


def _order(container: Container, turn: Turn, plan: Plan) -> Order:
    foreign = has_agents(container.tree)
    no_medium = any(fault.service == "media" and fault.silent for fault in turn.faults)
    # Azure takes the medium away once a VM is provisioned.
    media = [] if no_medium or turn.expected == "silence" else [identity.provisioning_medium(turn.machine, foreign)]
    disguise = identity.disguise() if foreign else identity.NO_DISGUISE
    units = identity.runtime_files() if uses_systemd(container.tree) else {}
    return Order(
        number=turn.number,
        init=[*(shlex.split(plan.init) or find_init(container.tree)), *disguise.arguments],
        dmi=identity.dmi(turn.machine),
        macs=[turn.machine.mac, *(mac for mac, _ in turn.machine.secondary_nics)],
        efi=turn.machine.generation == 2,
        environment=disguise.environment,
        files={**units, **disguise.files},
        covers=disguise.covers,
        media=media,
        rules=guest_rules(turn.faults),
    )


def _ended(alive: int, timeout: float = 0.0) -> bool:
    return bool(select.select([alive], [], [], timeout)[0])


def _wait(fabric: Fabric, turn: Turn, plan: Plan, watch: Watch, alive: int, agents: bool) -> Verdict:
    """Wait until the platform knows the outcome (or, where silence is expected, until the boot is complete)."""
    ledger = fabric.ledger
    quiet, because = turn.expected != "ready", ""
    while not decided(ledger) and ledger.now() < plan.deadline and not because:
        ledger.wait_for(decided, min(0.2, max(0.0, plan.deadline - ledger.now())))
        if _ended(alive):
            because = f"the guest's init ended after {ledger.now():.1f} s"
        elif (end := serial.over(watch.console)) is not None:
            ledger.wait_for(decided, _LAST_WORDS)
            because = f"the boot ended in {end[0]} mode after {end[1].at:.1f} s"
        elif quiet and watch.complete is not None:
            ledger.wait_for(decided, 0.5 if turn.expected == "any" or not agents else _AGENTS_SPEAK)
            # Nothing is started any more: what would report has begun by now, but agents take their time.
            break
    watch.wait_complete(0 if because else min(_SETTLE, max(1.0, plan.deadline - ledger.now())))
    verdict = judge(ledger, plan.deadline)
    if because and not decided(ledger):
        return replace(verdict, because=f"{because}; nothing was reported")
    return verdict


def _checks(
    container: Container, guest: Guest, fabric: Fabric, turn: Turn, plan: Plan, key: Key, verdict: Verdict, watch: Watch
) -> tuple[Check, ...]:
    """Look at the guest from outside: may its owner log in, and is its unit off only when the platform knows?"""
    failed = turn.expected == "ready" and not verdict.provisioned
    patience = _LOGIN if watch.complete is None else _LOGIN_WHEN_COMPLETE
    checks = _login(container, fabric, turn, key, patience) if plan.login and not failed else ()
    if (container.tree / f"usr/lib/systemd/system/{journal.PROVISIONER}").exists():
        asked = container.ask_guest(guest, ["systemctl", "is-enabled", journal.PROVISIONER])
        said = asked.stdout.strip() if asked and asked.stdout.strip() else "no answer"
        wanted = "enabled" if failed else "disabled"
        name = "unit stays on" if failed else "unit is off"
        outcome: Outcome = "skipped" if said == "no answer" and failed else "passed" if said == wanted else "failed"
        checks += (Check(name, outcome, said, round(fabric.ledger.now(), 4)),)
    return checks


def _login(container: Container, fabric: Fabric, turn: Turn, key: Key, patience: float) -> tuple[Check, ...]:
    if not any((container.tree / path).exists() for path in ("usr/sbin/sshd", "sbin/sshd", "usr/bin/sshd")):
        return (Check("ssh login", "skipped", "the tree has no sshd"),)
    return check_login(container.in_fabric, key, turn.machine, fabric.ledger.now, patience)


def _hold(
    container: Container, guest: Guest, turn: Turn, key: Key, alive: int, console: Console, record: BootRecord
) -> None:
    """Keep the guest up until it powers off or Ctrl-C comes; say how to get in."""
    ssh = ssh_words(key.private, turn.machine.admin_username, turn.machine.address, command=())
    console.say(f"{record.headline}. The guest stays up; Ctrl-C ends it. From another terminal:")
    console.say(f"  log in:     {shlex.join(map(str, container.in_fabric(ssh)))}")
    shell = shlex.join(map(str, container.in_guest(guest, ["/bin/sh"])))
    # On a terminal of its own: into the user's, the guest could type.
    console.say(f"  root shell: {shlex.join(['script', '-q', '-c', shell, '/dev/null'])}")
    with contextlib.suppress(KeyboardInterrupt):
        select.select([alive], [], [])


def _power_off(alive: int, systemd: bool) -> None:
    """Shut the guest down in order where its init knows the signal, else at once."""
    with contextlib.suppress(ProcessLookupError):
        if systemd and not _ended(alive):
            signal.pidfd_send_signal(alive, POWER_OFF)
            if _ended(alive, 10.0):
                return
        signal.pidfd_send_signal(alive, signal.SIGKILL)
        _ended(alive, 10.0)
