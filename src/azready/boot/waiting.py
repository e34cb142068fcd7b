"""Waiting for the outcome of one boot: until the platform knows it, or until none is to be expected any more."""

import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from azready.boot.record import Cause, ConsoleLine, Expectation
from azready.boot.watching import serial
from azready.boot.watching.schedule import CpuTime
from azready.fabric.ledger import Ledger
from azready.fabric.verdict import Verdict, decided, judge

if TYPE_CHECKING:
    from azready.boot.series import Running

_TICK = 0.25
_STARVED, _BUSY = 0.5, 0.3
"""A guest is starved that wants at least so much of one processor, and gets less than such a share of it."""
_HARDLY_RAN = 0.15
"""Below this share of the processor a guest's own time-outs say nothing of the image, where it wanted the processor
for `_BUSY` of the time: one that sleeps most of the time waits a moment whenever it wakes."""
_WINDOW, _TELLING = 30.0, 10.0
"""Seconds of the past that count, and the fewest that say anything."""
_WORKS_ON, _BOOTSTRAP = 180.0, 5400.0
"""A guest that reported so many seconds ago that it is still at work is waited for, so many seconds at most. How
patient Azure is with one that says so is told by no public source; AKS's own reporter says it every minute."""


@dataclass(frozen=True)
class Pace:
    """How long things take on one kind of host, in seconds."""

    deadline: float
    """Of a boot, unless told otherwise."""
    longest: float
    """Of a boot that makes progress all the time, unless told otherwise."""
    silence: float
    """After which nothing new is to be expected of a guest; and a guest that came up and never spoke is given up."""
    settle: float
    """For the rest of the boot to come up, when the outcome is known."""
    last_words: float
    """After the console has shown that the boot is over."""
    after_complete: float
    """For a report of a VM that is provisioned already, after its boot is complete."""
    standstill: float | None = None
    """For the first sign of life of a guest's init, where something else than the image may keep it: KVM."""
    first_word: float | None = None
    """For anything on the console, where an emulated machine speaks before its guest does, or is told to."""


@dataclass(frozen=True)
class Waited:
    """How the waiting ended. `deadline` is how long it would have lasted at most."""

    verdict: Verdict
    deadline: float
    trouble: Cause | None = None


@dataclass
class _Progress:
    """When something was seen last that had not been seen before: a guest that repeats itself stands still."""

    at: float = 0.0
    _shapes: set[str] = field(default_factory=set)
    _lines: int = 0
    _requests: int = 0

    def look(self, console: list[ConsoleLine], ledger: Ledger) -> None:
        """Notice progress: a request, or a line of the console whose words, digits aside, were not seen before."""
        requests = sum(each.service != "dhcp" for each in ledger.exchanges)
        if requests > self._requests:
            self.at, self._requests = ledger.now(), requests
        fresh = console[self._lines :]
        self._lines += len(fresh)
        for line in fresh:
            shape = re.sub(r"[\W\d_]+", " ", line.text)
            if shape not in self._shapes:
                self._shapes.add(shape)
                self.at = max(self.at, line.at)


@dataclass
class _Supply:
    """What the guest got of the processor in the last half minute."""

    samples: list[tuple[float, CpuTime]] = field(default_factory=list)

    def take(self, now: float, cpu: CpuTime) -> None:
        if not self.samples or now - self.samples[-1][0] >= 1.0:
            self.samples.append((now, cpu))
        while len(self.samples) > 2 and now - self.samples[1][0] > _WINDOW:
            self.samples.pop(0)

    def starved(self) -> str:
        """How little it got, where it wanted more; empty where it got enough or wanted nothing."""
        (since, first), (until, last) = self.samples[0], self.samples[-1]
        ran, waited = last.ran - first.ran, last.waited - first.waited
        if until - since < _TELLING or (ran + waited) < _BUSY * (until - since) or ran >= _STARVED * (ran + waited):
            return ""
        return (
            f"{100 * ran / (ran + waited):.0f} % of the time in which it could run, in the last {until - since:.0f} s"
        )


def wait(running: "Running", ledger: Ledger, expected: Expectation, deadline: float | None, pace: Pace) -> Waited:
    """Wait. `deadline` None: as long as the pace says, and longer while the guest makes progress."""
    stopped = _watched(running, ledger, expected, deadline, pace)
    limit, trouble, because = stopped.limit, stopped.trouble, stopped.because
    verdict = judge(ledger, limit)
    if because and trouble is None and not decided(ledger):
        time.sleep(_TICK)  # where the guest went with what held it, that is seen a moment later
        trouble = running.trouble()
    if trouble is None and not decided(ledger):
        if expected == "ready":
            trouble = _starved(running, stopped.supply, because, ledger.now())
        if because:
            verdict = replace(verdict, because=f"{because}; nothing was reported")
    if trouble is None and not because:
        _settle(running, min(pace.settle, max(1.0, limit - ledger.now())))
    return Waited(verdict, limit, trouble)


@dataclass(frozen=True)
class _Stopped:
    """Why a guest was watched no longer: a trouble, what `because` says of its end, or neither, where the platform
    knows the outcome, a boot is complete, or `limit` has come."""

    limit: float
    supply: _Supply
    trouble: Cause | None
    because: str


def _watched(running: "Running", ledger: Ledger, expected: Expectation, deadline: float | None, pace: Pace) -> _Stopped:
    limit = pace.deadline if deadline is None else deadline
    progress, supply = _Progress(), _Supply()
    trouble, because = None, ""
    while not decided(ledger) and not because:
        now = ledger.now()
        progress.look(running.watch.console, ledger)
        supply.take(now, running.cpu())
        if deadline is None and limit <= now < (longest := _longest(ledger, pace, now - progress.at)):
            limit = min(longest, now + _TICK)
        if now >= limit:
            break
        _pause(running, ledger, expected, min(_TICK, max(0.0, limit - now)))
        if (trouble := running.trouble()) is not None:
            break
        if expected != "ready" and running.complete() is not None:
            break
        because = _why_over(running, ledger, pace) or ("" if deadline else _why_silent(running, ledger, pace))
        if (trouble := _standstill(running, ledger, pace, limit) or _never_spoke(running, ledger, pace)) is not None:
            break
    return _Stopped(limit, supply, trouble, because)


def _longest(ledger: Ledger, pace: Pace, quiet: float) -> float:
    """When a boot is given up at the latest, as it looks now; `quiet` are the seconds without progress."""
    last = next((report for report in reversed(ledger.reports) if report.accepted), None)
    if last and last.substatus == "Provisioning" and ledger.now() - last.at < _WORKS_ON:
        return _BOOTSTRAP
    return pace.longest if quiet < pace.silence else 0.0


def _settle(running: "Running", seconds: float) -> None:
    """Let the boot come to its end."""
    until = time.monotonic() + seconds
    while running.complete() is None and time.monotonic() < until and not running.ended():
        running.watch.wait_complete(0.1)


def _pause(running: "Running", ledger: Ledger, expected: Expectation, seconds: float) -> None:
    """Until what is expected may have come: a report, or of a VM that is provisioned already that its boot is over."""
    if expected == "ready":
        ledger.wait_for(decided, seconds)
    else:
        running.watch.wait_complete(seconds)


def hear_out(running: "Running", ledger: Ledger, expected: Expectation, waited: Waited, pace: Pace) -> Waited:
    """Of a VM that is provisioned already: nothing is started any more, and what would report has begun by now, so it
    is given a moment since then. What else there is to look at meanwhile costs no time of its own."""
    complete = running.complete()
    if expected == "ready" or waited.trouble is not None:
        return waited
    if complete is not None:
        ledger.wait_for(decided, max(0.0, complete + pace.after_complete - ledger.now()))
    elif not decided(ledger):
        return waited
    return replace(waited, verdict=judge(ledger, waited.deadline))


def _why_over(running: "Running", ledger: Ledger, pace: Pace) -> str:
    """That the guest has ended, or that its console shows that nothing more will come."""
    if running.ended():
        return f"the guest ended after {ledger.now():.1f} s"
    if (end := serial.over(running.watch.console)) is not None:
        ledger.wait_for(decided, pace.last_words)
        where = serial.ENDED_IN.get(end[0], f"the {end[0]}")
        return f"the boot ended in {where} after {end[1].at:.1f} s"
    return ""


def _why_silent(running: "Running", ledger: Ledger, pace: Pace) -> str:
    """That it is up, has never spoken to the platform, and is silent: a provisioner that is at work may take long."""
    if any(each.service in ("imds", "wireserver") for each in ledger.exchanges):
        return ""
    silent = serial.idle(running.watch.console, ledger.now(), pace.silence)
    return (
        "the boot was complete after {:.1f} s, and the guest is silent since {:.1f} s".format(*silent) if silent else ""
    )


def _standstill(running: "Running", ledger: Ledger, pace: Pace, limit: float) -> Cause | None:
    """That no init ever started and nothing moves: where KVM runs the guest, it may be KVM that stands still."""
    if pace.standstill is None or ledger.exchanges:
        return None
    console = running.watch.console
    if any(stone.name not in ("kernel",) for stone in serial.milestones(console)):
        return None
    since = console[-1].at if console else 0.0
    patience = min(pace.standstill, limit / 2)
    if ledger.now() - since < patience:
        return None
    return Cause(
        "kvm-stands-still",
        f"the guest stands still under KVM since {since:.1f} s, before its init",
        (console[-1].text,) if console else (),
        "boot it emulated: --accel tcg",
        blames="host",
    )


def _never_spoke(running: "Running", ledger: Ledger, pace: Pace) -> Cause | None:
    """That a machine that always speaks has not: QEMU's two emulated processors now and then wait for each other for
    ever, before the kernel's first word (seen once in some thousand boots). No image can bring that about."""
    if pace.first_word is None or ledger.now() < pace.first_word or running.watch.console or ledger.exchanges:
        return None
    return Cause(
        "emulator-hangs",
        f"the emulated machine said nothing in {ledger.now():.0f} s, though its firmware or kernel always does",
        fix="boot it again",
        blames="host",
    )


def _starved(running: "Running", supply: _Supply, because: str, now: float) -> Cause | None:
    """That the guest had no chance: it was at work to the end, and got too little of the processor."""
    cpu = running.cpu()
    little = "" if because else supply.starved()
    if not little and (cpu.share >= _HARDLY_RAN or cpu.waited < _BUSY * now):
        return None
    return Cause(
        "starved",
        "the guest got too little of this machine's processor to come up",
        (little or f"{100 * cpu.share:.0f} % of the time in which it could run",),
        "boot it when the machine has less to do, without a CPU quota, or where KVM works",
        blames="host",
    )
