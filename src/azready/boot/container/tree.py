"""Booting a root tree: the story of `series`, told by a container with the tree's own init as PID 1."""

import contextlib
import os
import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from socket import socket
from typing import Literal, Self

from azready import installed
from azready.agents import CLOUD_INIT, OURS, WAAGENT
from azready.boot import identity, series, systemd_imds
from azready.boot.container.host import Container, Order, RunningGuest, find_init, uses_systemd
from azready.boot.network.links import guest_rules
from azready.boot.record import BootRecord, Cause, Check, HostFacts, JournalLine, Milestone, Outcome
from azready.boot.series import Plan, Running, Seen, Turn
from azready.boot.waiting import Pace
from azready.boot.watching import journal
from azready.boot.watching.login import Key, check_login
from azready.boot.watching.schedule import CpuTime, cpu_time
from azready.boot.watching.watch import Watch
from azready.console import SILENT, Console
from azready.fabric import Fabric, Machine
from azready.fabric.ledger import Ledger, Service
from azready.fabric.protocol import kvp
from azready.fabric.verdict import Verdict
from azready.proc import readable

POWER_OFF = signal.SIGRTMIN + 4
"""systemd's signal for powering off."""
_LOGIN, _LOGIN_WHEN_COMPLETE = 15.0, 4.0
"""Seconds in which sshd may still come up: few, where init says that all is started."""
_PACE = Pace(deadline=120.0, longest=360.0, silence=60.0, settle=10.0, last_words=1.0, after_complete=0.5)
_REBOOTS = 20
"""Reboots of a guest that stays up are numbered above the boots of every plan."""
_AGENTS_SPEAK = 10.0
"""Seconds in which an agent that was left beside azready's program reports, if it does."""


_THEIRS = (CLOUD_INIT, WAAGENT)


def provisioner(tree: Path) -> str:
    """Who would provision this tree: `azready`, `cloud-init`, `waagent` or `other`; the first that is there."""
    if any((tree / OURS.program).glob("provision.*")):  # not where azready only reports
        return OURS.name
    return next((agent.name for agent in _THEIRS if (tree / agent.program).exists()), "other")


def has_agents(tree: Path) -> bool:
    """Whether a program that nobody here wrote may provision this tree, alone or beside azready's."""
    return any((tree / agent.program).exists() for agent in _THEIRS)


def boot_tree(
    tree: Path, machine: Machine, plan: Plan, console: Console = SILENT, onlooker: series.Onlooker = series.NOBODY
) -> tuple[BootRecord, ...]:
    """Boot a root tree as planned. The tree is never changed.

    Raises Failure when no container can be made here, UsageFailure when the tree is none.
    """
    return series.boot(TreeHost(Container(tree, plan.network), plan.init), machine, plan, console, onlooker=onlooker)


class TreeHost:
    """A container as a host of boots: its writable layer goes from one to the next."""

    kind: Literal["container"] = "container"
    how = "container"
    facts = HostFacts()

    def __init__(self, container: Container, init: str) -> None:
        self.target, self.agent = str(container.tree), provisioner(container.tree)
        self._container, self._init = container, init
        self._agents = has_agents(container.tree)

    @property
    def sockets(self) -> Mapping[Service, socket]:
        return self._container.sockets

    @property
    def pace(self) -> Pace:
        speak = _AGENTS_SPEAK if self.agent == "azready" and self._agents else _PACE.after_complete
        return Pace(**{**vars(_PACE), "after_complete": speak})

    def __enter__(self) -> Self:
        self._container.__enter__()
        return self

    def __exit__(self, *about: object) -> None:
        self._container.close()

    @contextlib.contextmanager
    def start(self, turn: Turn, fabric: Fabric) -> Iterator[Running]:
        with contextlib.ExitStack() as stack:
            fabric.restart(turn.machine, turn.faults)
            guest = self._container.start(_order(self._container.tree, turn, self._init, self._agents))
            stack.callback(os.close, guest.alive)
            fabric.ledger.epoch = guest.began
            watch = Watch(guest.began)
            watch.follow_console(guest.console)
            watch.follow_notify(guest.notify)
            stack.enter_context(watch)
            again = _order(self._container.tree, replace(turn, expected="silence"), self._init, self._agents)
            yield RunningTree(self._container, guest, turn, fabric.ledger, watch, self._agents, again, stack)

    @property
    def owner(self) -> tuple[int, int]:
        return self._container.owner

    def otherwise(self, cause: Cause) -> bool:
        return False


@dataclass
class RunningTree:
    """A guest in a container; `guest` is another after each of its reboots."""

    container: Container
    guest: RunningGuest
    turn: Turn
    ledger: Ledger
    watch: Watch
    agents: bool
    again: Order
    """How it comes up after a reboot."""
    closing: contextlib.ExitStack

    def ended(self, timeout: float = 0.0) -> bool:
        return readable(self.guest.alive, timeout)

    def trouble(self) -> Cause | None:
        return self.container.trouble()

    def cpu(self) -> CpuTime:
        """Of PID 1: what its children lack, it lacks too."""
        return cpu_time(self.guest.pid)

    def complete(self) -> float | None:
        return self.watch.complete

    def look(self, key: Key, plan: Plan, verdict: Verdict) -> Seen:
        """Look from outside: may its owner log in, and is its unit off only when the platform knows?"""
        failed = self.turn.expected == "ready" and not verdict.provisioned
        with ThreadPoolExecutor() as beside:
            installed_here = (self.container.tree / f"usr/lib/systemd/system/{installed.UNIT}").exists()
            unit = beside.submit(self._unit, failed) if installed_here else None
            checks = self._login(key) if plan.login and not failed else ()
            units = beside.submit(journal.read_units, self.container, self.guest)
            pool = beside.submit(journal.read_kvp, self.container, self.guest)
            checks += (unit.result(),) if unit else ()
            return Seen(checks, self._said(), units.result(), pool.result())

    def _unit(self, failed: bool) -> Check:
        asked = self.container.ask_guest(self.guest, ["systemctl", "is-enabled", installed.UNIT])
        said = asked.stdout.strip() if asked and asked.stdout.strip() else "no answer"
        wanted = "enabled" if failed else "disabled"
        outcome: Outcome = "skipped" if said == "no answer" and failed else "passed" if said == wanted else "failed"
        return Check("unit stays on" if failed else "unit is off", outcome, said, round(self.ledger.now(), 4))

    def _login(self, key: Key) -> tuple[Check, ...]:
        if not any((self.container.tree / path).exists() for path in ("usr/sbin/sshd", "sbin/sshd", "usr/bin/sshd")):
            return (Check("ssh login", "skipped", "the tree has no sshd"),)
        patience = _LOGIN if self.watch.complete is None else _LOGIN_WHEN_COMPLETE
        return check_login(self.container.in_fabric, key, self.turn.machine, self.ledger.now, patience)

    def _said(self) -> tuple[JournalLine, ...]:
        """The journal, and what agents log elsewhere."""
        lines = journal.read_journal(self.container, self.guest)
        if self.agents:
            lines = journal.without_copies(lines)
            lines += journal.read_waagent_log(self.container, self.guest)
            lines += journal.read_cloud_init_log(self.container, self.guest)
        return tuple(sorted(lines, key=lambda line: line.at))

    def doors(self) -> Mapping[str, Sequence[str | Path]]:
        shell = shlex.join(map(str, self.container.in_guest(self.guest, ["/bin/sh"])))
        # On a terminal of its own: into the user's, the guest could type.
        return {"root shell": ["script", "-q", "-c", shell, "/dev/null"]}

    def ssh(self, words: Sequence[str | Path]) -> Sequence[str | Path]:
        return self.container.in_fabric(words)

    def reach(self) -> tuple[str, int]:
        return self.turn.machine.address, 22

    def beside(self, words: Sequence[str | Path]) -> Sequence[str | Path]:
        return self.container.in_network(words)

    def survive_reboots(self) -> None:
        """Nothing to be done: a container ends, and `rebooted` starts the next."""

    def rebooted(self) -> bool:
        if not self.container.wants_reboot():
            return False
        self.again = replace(self.again, number=max(_REBOOTS, self.again.number) + 1)
        self.guest = self.container.start(self.again)
        self.closing.callback(os.close, self.guest.alive)
        self.watch.follow_console(self.guest.console)
        self.watch.follow(self.guest.notify, lambda at, line: None)
        return True

    def power_off(self) -> None:
        """Shut the guest down in order where its init knows the signal and another boot follows, else at once."""
        alive = self.guest.alive
        with contextlib.suppress(ProcessLookupError):
            if uses_systemd(self.container.tree) and not self.turn.last and not self.ended():
                signal.pidfd_send_signal(alive, POWER_OFF)
                if self.ended(10.0):
                    return
            signal.pidfd_send_signal(alive, signal.SIGKILL)
            self.ended(10.0)

    def told(self, seen: Seen, ledger: Ledger) -> tuple[tuple[Milestone, ...], tuple[JournalLine, ...]]:
        return journal.milestones(ledger, seen.units, self.watch.complete), seen.journal


def _order(tree: Path, turn: Turn, init: str, agents: bool) -> Order:
    no_medium = any(fault.service == "media" and fault.silent for fault in turn.faults)
    # Azure takes the medium away once a VM is provisioned.
    media = [] if no_medium or turn.expected == "silence" else [identity.provisioning_medium(turn.machine, agents)]
    disguise = identity.disguise() if agents else identity.NO_DISGUISE
    units = identity.runtime_files() if uses_systemd(tree) else {}
    macs = [turn.machine.mac, *(mac for mac, _ in turn.machine.secondary_nics)]
    dmi = identity.dmi(turn.machine)
    return Order(
        number=turn.number,
        init=[*(shlex.split(init) or find_init(tree)), *disguise.arguments, *systemd_imds.arguments(tree, dmi)],
        dmi=dmi,
        macs=macs,
        efi=turn.machine.generation == 2,
        environment=disguise.environment,
        files={**units, **disguise.files, **(identity.netplan_matches(macs) if agents else {})},
        covers=disguise.covers,
        media=media,
        host_pairs=kvp.host_pairs(turn.machine) if (tree / kvp.DAEMON).exists() else {},
        rules=guest_rules(turn.faults),
    )
