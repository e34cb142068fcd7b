"""How long a boot is waited for: an explicit deadline to the letter, else as long as the guest makes progress."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from azready.boot import waiting
from azready.boot.record import Cause, ConsoleLine, Expectation
from azready.boot.waiting import Pace, Waited
from azready.boot.watching.schedule import CpuTime
from azready.fabric.ledger import Exchange, HealthReport, Ledger
from azready.fabric.verdict import judge

PACE = Pace(deadline=600.0, longest=1800.0, silence=150.0, settle=0.0, last_words=0.0, after_complete=0.0)
KVM = Pace(600.0, 1800.0, 150.0, 0.0, 0.0, 0.0, standstill=60.0)


@dataclass
class Console:
    """What of a guest's `Watch` the waiting looks at."""

    console: list[ConsoleLine] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def wait_complete(self, seconds: float) -> None:
        self.waited.append(seconds)


@dataclass
class Scripted:
    """A guest that says what a test wants when it wants it; its clock goes ten seconds at every look."""

    ledger: Ledger
    says: Callable[[float], str] = lambda now: ""
    asks: Callable[[float], bool] = lambda now: False
    gets: Callable[[float], CpuTime] = lambda now: CpuTime(ran=now)
    reports_at: float = float("inf")
    works_until: float = 0.0
    """Until then it reports every minute that it is still at work."""
    ends_at: float = float("inf")
    complete_at: float = float("inf")
    """When its boot is over, which a VM that is provisioned already is waited for."""
    fails_at: float = float("inf")
    watch: Console = field(default_factory=Console)

    def trouble(self) -> Cause | None:
        self.ledger.epoch -= 10.0
        now = self.ledger.now()
        if line := self.says(now):
            self.watch.console.append(ConsoleLine(now, line))
        if self.asks(now):
            self.ledger.record(Exchange(now, "wireserver", "GET", "/machine?comp=goalstate", 503))
        if now < self.works_until and now % 60 == 0:
            self.ledger.record(HealthReport(now, "xml", "NotReady", "Provisioning"))
        if now >= self.reports_at:
            self.ledger.record(HealthReport(now, "xml", "Ready"))
        return Cause("qemu-died", "QEMU ended", blames="host") if now >= self.fails_at else None

    def ended(self, timeout: float = 0.0) -> bool:
        return self.ledger.now() >= self.ends_at

    def cpu(self) -> CpuTime:
        return self.gets(self.ledger.now())

    def complete(self) -> float | None:
        return self.complete_at if self.ledger.now() >= self.complete_at else None


Wait = Callable[..., tuple[Waited, float]]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """`wait(deadline, says=…)`: the outcome, and when on the guest's clock the waiting ended."""
    monkeypatch.setattr(waiting, "_TICK", 0.001)

    def run(
        deadline: float | None, pace: Pace = PACE, expected: Expectation = "ready", **script: object
    ) -> tuple[Waited, float]:
        ledger = Ledger(clock=lambda: 0.0)  # it goes by the epoch alone: see Scripted
        guest = Scripted(ledger, **script)  # type: ignore[arg-type]
        waited = waiting.wait(guest, ledger, expected, deadline, pace)  # type: ignore[arg-type]
        return waited, ledger.now()

    return run


def _new_words(now: float) -> str:
    """A line that was not there before: digits do not count as news, letters do."""
    return "unit " + "".join(chr(ord("a") + int(digit)) for digit in str(int(now)))


@pytest.mark.parametrize("deadline", [20.0, 700.0])
def test_an_explicit_deadline_is_kept_to_the_letter(wait: Wait, deadline: float) -> None:
    waited, ended = wait(deadline, says=_new_words)
    assert waited.deadline == deadline and deadline <= ended < deadline + 20.0
    assert waited.trouble is None and waited.verdict.code == "OSProvisioningTimedOut"
    assert f"within {deadline:g} s" in waited.verdict.because


def test_a_guest_that_is_up_and_silent_is_not_given_up_before_an_explicit_deadline(wait: Wait) -> None:
    def says(now: float) -> str:
        return "web login:" if now < 15 else ""

    assert wait(900.0, says=says)[1] >= 900.0
    waited, ended = wait(None, says=says)
    assert ended < 300.0 and "the guest is silent since" in waited.verdict.because


def test_a_guest_that_stands_still_gets_the_deadline_of_the_pace(wait: Wait) -> None:
    waited, ended = wait(None)
    assert 600.0 <= ended < 620.0 and waited.deadline == 600.0
    slow = Pace(1200.0, 3600.0, 300.0, 0.0, 0.0, 0.0)
    assert 1200.0 <= wait(None, slow)[1] < 1220.0


def test_a_guest_that_makes_progress_is_waited_for(wait: Wait) -> None:
    waited, ended = wait(None, says=_new_words, reports_at=1000.0)
    assert waited.verdict.provisioned and 1000.0 <= ended < 1020.0


def test_but_not_for_ever(wait: Wait) -> None:
    waited, ended = wait(None, says=_new_words)
    assert 1800.0 <= ended < 1820.0 and waited.verdict.code == "OSProvisioningTimedOut"


def test_requests_are_progress(wait: Wait) -> None:
    assert wait(None, asks=lambda now: now < 700)[1] == 690.0 + 150.0


def test_a_bootstrap_of_half_an_hour_that_says_so_keeps_the_platform_patient(wait: Wait) -> None:
    waited, ended = wait(None, works_until=1900.0, reports_at=1900.0)
    assert waited.verdict.provisioned and 1900.0 <= ended < 1920.0
    assert not wait(None, reports_at=1900.0)[0].verdict.provisioned
    waited, ended = wait(None, works_until=1000.0)
    assert 960.0 + 180.0 <= ended < 960.0 + 200.0 and "nothing more within" in waited.verdict.because
    assert 5400.0 <= wait(None, works_until=9000.0)[1] < 5420.0


def test_a_guest_that_repeats_itself_makes_none(wait: Wait) -> None:
    assert 600.0 <= wait(None, says=lambda now: f"[{now:.3f}] retrying in 5 s (attempt {now:.0f})")[1] < 620.0


def test_progress_that_stops_is_waited_for_as_long_as_silence_lasts(wait: Wait) -> None:
    assert 740.0 <= wait(None, says=lambda now: _new_words(now) if now < 600 else "")[1] < 780.0


def test_a_guest_that_ends_ends_the_waiting(wait: Wait) -> None:
    waited, ended = wait(3600.0, ends_at=50.0)
    assert ended < 80.0 and waited.trouble is None and "the guest ended after" in waited.verdict.because


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("Kernel panic - not syncing: x", "a panic"),
        ("You are in emergency mode.", "emergency mode"),
        ("(initramfs)", "the initramfs"),
    ],
)
def test_a_boot_that_its_console_shows_to_be_over_ends_the_waiting(wait: Wait, line: str, where: str) -> None:
    waited, ended = wait(3600.0, says=lambda now: line if 40 <= now < 60 else "")
    assert 40.0 <= ended < 80.0 and waited.trouble is None
    assert waited.verdict.because.startswith(f"the boot ended in {where} after ")


def test_a_fault_of_this_machine_ends_it_at_once(wait: Wait) -> None:
    waited, ended = wait(3600.0, says=_new_words, fails_at=100.0)
    assert ended < 120.0 and waited.trouble and waited.trouble.code == "qemu-died"


# --- a guest that got no processor ---


def test_a_guest_that_hardly_ran_is_starved(wait: Wait) -> None:
    waited, _ = wait(60.0, gets=lambda now: CpuTime(ran=0.05 * now, waited=0.95 * now))
    assert waited.trouble and waited.trouble.code == "starved" and "5 % of the time" in waited.trouble.evidence[0]
    assert waited.trouble.evidence[0].endswith(("in the last 30 s", "in the last 40 s"))


def test_one_that_got_half_of_it_or_wanted_none_is_not(wait: Wait) -> None:
    assert wait(60.0, gets=lambda now: CpuTime(ran=0.6 * now, waited=0.4 * now))[0].trouble is None
    assert wait(60.0, gets=lambda now: CpuTime(ran=5.0, waited=1.0))[0].trouble is None


def test_half_of_what_it_wanted_is_enough(wait: Wait) -> None:
    assert wait(60.0, gets=lambda now: CpuTime(ran=now, waited=now))[0].trouble is None


def test_one_that_was_starved_in_the_beginning_and_gave_up_then_is_starved(wait: Wait) -> None:
    waited, _ = wait(60.0, gets=lambda now: CpuTime(ran=0.01 * now, waited=0.9 * min(now, 30.0)))
    assert waited.trouble and waited.trouble.code == "starved"
    assert waited.trouble.evidence == ("2 % of the time in which it could run",)
    assert wait(60.0, gets=lambda now: CpuTime(ran=0.01 * now, waited=0.5 * min(now, 30.0)))[0].trouble is None


def test_one_that_slept_and_waited_a_moment_when_it_woke_had_its_chance(wait: Wait) -> None:
    waited, _ = wait(60.0, gets=lambda now: CpuTime(ran=0.01 * now, waited=0.1 * now))
    assert waited.trouble is None and not waited.verdict.provisioned


def test_one_that_ended_by_itself_had_its_chance(wait: Wait) -> None:
    waited, _ = wait(60.0, ends_at=30.0, gets=lambda now: CpuTime(ran=0.3 * now, waited=0.7 * now))
    assert waited.trouble is None


def test_a_starved_guest_that_reported_is_judged_by_its_report(wait: Wait) -> None:
    waited, _ = wait(60.0, reports_at=20.0, gets=lambda now: CpuTime(ran=0.05 * now, waited=0.95 * now))
    assert waited.trouble is None and waited.verdict.provisioned


# --- a guest that stands still under KVM ---


def _kernel_alone(now: float) -> str:
    return "[    0.000000] Linux version 6.1.0" if now < 15 else ""


@pytest.mark.parametrize(("says", "seen"), [(lambda now: "", ""), (_kernel_alone, "Linux version")])
def test_a_guest_without_a_sign_of_its_init_stands_still_under_kvm(
    wait: Wait, says: Callable[[float], str], seen: str
) -> None:
    waited, ended = wait(None, KVM, says=says)
    assert waited.trouble and waited.trouble.code == "kvm-stands-still" and waited.trouble.blames == "host"
    assert 60.0 <= ended < 100.0
    assert seen in "".join(waited.trouble.evidence) and bool(waited.trouble.evidence) == bool(seen)


def test_not_where_it_is_emulated_or_moves_or_its_init_has_started(wait: Wait) -> None:
    assert wait(100.0, says=_kernel_alone)[0].trouble is None
    assert wait(100.0, KVM, says=_new_words)[0].trouble is None
    init = "systemd[1]: systemd 252 running in system mode"
    assert wait(100.0, KVM, says=lambda now: init if now < 15 else "")[0].trouble is None
    assert wait(100.0, KVM, asks=lambda now: now < 15)[0].trouble is None


def test_a_short_deadline_leaves_the_standstill_half_of_it(wait: Wait) -> None:
    waited, ended = wait(60.0, KVM)
    assert waited.trouble and waited.trouble.code == "kvm-stands-still" and ended < 60.0


# --- an emulated machine that always speaks ---

UEFI = replace(PACE, first_word=90.0)


def test_an_emulated_machine_that_never_speaks_is_no_fault_of_the_image(wait: Wait) -> None:
    waited, ended = wait(None, UEFI)
    assert waited.trouble and waited.trouble.code == "emulator-hangs" and waited.trouble.blames == "host"
    assert 90.0 <= ended < 120.0


def test_not_where_it_spoke_or_asked_or_need_not_speak_or_the_deadline_comes_before(wait: Wait) -> None:
    firmware = "BdsDxe: loading Boot0001"
    assert wait(200.0, UEFI, says=lambda now: firmware if now < 15 else "")[0].trouble is None
    assert wait(200.0, UEFI, asks=lambda now: now < 15)[0].trouble is None
    assert wait(200.0, PACE)[0].trouble is None
    assert wait(60.0, UEFI)[0].trouble is None


@pytest.mark.parametrize("complete", [None, 5.0])
def test_what_a_provisioned_vm_reports_while_it_is_looked_at_is_judged(complete: float | None) -> None:
    ledger = Ledger(clock=lambda: 0.0)
    guest = SimpleNamespace(complete=lambda: complete)
    before = Waited(judge(ledger, 20.0), 20.0, None)
    ledger.record(HealthReport(6.0, "xml", "NotReady", "ProvisioningFailed", "no disk"))
    after = waiting.hear_out(guest, ledger, "any", before, PACE)
    assert before.verdict.code == "OSProvisioningTimedOut" and after.verdict.because == "no disk"


@pytest.mark.parametrize("expected", ["silence", "any"])
def test_a_vm_that_is_provisioned_is_waited_for_until_its_boot_is_over(wait: Wait, expected: Expectation) -> None:
    waited, ended = wait(None, expected=expected, complete_at=50.0)
    assert waited.trouble is None and 50.0 <= ended <= 60.0
    assert waited.verdict.because != "" and not waited.verdict.provisioned


def test_a_new_vm_is_waited_for_beyond_the_end_of_its_boot(wait: Wait) -> None:
    waited, ended = wait(None, complete_at=50.0, reports_at=200.0)
    assert waited.verdict.provisioned and ended >= 200.0


class _Asked(Ledger):
    """A ledger that notes how long it was asked to wait."""

    def wait_for(self, condition: Callable[[Ledger], bool], timeout: float) -> bool:
        self.__dict__.setdefault("asked", []).append(timeout)
        return condition(self)


@pytest.mark.parametrize(
    ("complete", "now", "patience", "asked"),
    [(5.0, 6.0, 10.0, [9.0]), (5.0, 20.0, 10.0, [0.0]), (5.0, 5.0, 0.0, [0.0]), (None, 6.0, 10.0, [])],
)
def test_a_moment_is_left_for_a_report_since_the_boot_was_over(
    complete: float | None, now: float, patience: float, asked: list[float]
) -> None:
    ledger = _Asked(clock=lambda: 0.0)
    ledger.epoch = -now
    guest, pace = SimpleNamespace(complete=lambda: complete), replace(PACE, after_complete=patience)
    before = Waited(judge(ledger, 20.0), 20.0, None)
    assert waiting.hear_out(guest, ledger, "silence", before, pace).verdict.code == before.verdict.code
    assert ledger.__dict__.get("asked", []) == asked
    assert waiting.hear_out(guest, ledger, "ready", before, pace) is before
    trouble = replace(before, trouble=Cause("x", "y"))
    assert waiting.hear_out(guest, ledger, "silence", trouble, pace) is trouble


@pytest.mark.parametrize(("expected", "of_ledger"), [("ready", True), ("silence", False), ("any", False)])
def test_each_look_waits_for_what_is_expected(expected: Expectation, of_ledger: bool) -> None:
    """For a report, which the ledger tells of; or for the end of the boot, which the console tells of."""
    ledger = _Asked(clock=lambda: 0.0)
    guest = Scripted(ledger)
    waiting._pause(guest, ledger, expected, 0.25)  # type: ignore[arg-type]
    assert ledger.__dict__.get("asked", []) == ([0.25] if of_ledger else [])
    assert guest.watch.waited == ([] if of_ledger else [0.25])


@pytest.mark.parametrize(
    ("service", "silent"), [("dhcp", True), ("media", True), ("imds", False), ("wireserver", False)]
)
def test_who_asked_imds_or_the_wireserver_is_no_silent_guest(service: str, silent: bool) -> None:
    """An address by DHCP is no word to the platform; a provisioner that asked may take long."""
    ledger = Ledger(clock=lambda: 0.0)
    ledger.epoch = -400.0
    ledger.record(Exchange(1.0, service, "GET", "/", 200))  # type: ignore[arg-type]
    lines = [
        ConsoleLine(5.0, "Welcome to Debian!"),
        ConsoleLine(20.0, "Reached target multi-user.target - Multi-User System."),
    ]
    guest = SimpleNamespace(watch=Console([*lines, ConsoleLine(21.0, "vm1 login: ")]))
    why = waiting._why_silent(guest, ledger, PACE)  # type: ignore[arg-type]
    assert why == ("the boot was complete after 20.0 s, and the guest is silent since 21.0 s" if silent else "")


@pytest.mark.parametrize(
    ("deadline", "settle", "given"), [(None, 30.0, 30.0), (60.0, 30.0, 10.0), (50.0, 30.0, 1.0), (None, 0.0, 0.0)]
)
def test_the_rest_of_the_boot_settles_within_the_deadline(
    wait: Wait, monkeypatch: pytest.MonkeyPatch, deadline: float | None, settle: float, given: float
) -> None:
    seen: list[float] = []
    monkeypatch.setattr(waiting, "_settle", lambda running, seconds: seen.append(seconds))
    waited, _ = wait(deadline, replace(PACE, settle=settle), reports_at=50.0)
    assert waited.verdict.provisioned and seen == [given]
