"""The verdict: what Azure would say of this VM, judged from the ledger alone.

Azure's create operation ends when the guest reports Ready, when it reports that provisioning failed, or, after
up to 40 minutes and one reboot, with OSProvisioningTimedOut. A local boot uses a shorter, settable deadline.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from azready.fabric.ledger import Exchange, Finding, Ledger

Code = Literal["", "OSProvisioningTimedOut", "OSProvisioningClientError", "OSProvisioningInternalError"]


@dataclass(frozen=True)
class Verdict:
    """Either provisioned (`code` empty, `at` the second of the Ready report) or the error that Azure would show."""

    code: Code
    at: float | None
    because: str
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        if self.provisioned and self.at is None:
            raise TypeError("provisioned, but at no time")

    @property
    def provisioned(self) -> bool:
        return self.code == ""

    def __str__(self) -> str:
        if self.provisioned:
            return f"Provisioned: Ready after {self.at:.2f} s"
        return f"{self.code}: {self.because}"


def decided(ledger: Ledger) -> bool:
    """Whether the platform knows the outcome already, before any deadline."""
    return ledger.ready is not None or ledger.failed is not None


def judge(ledger: Ledger, deadline: float) -> Verdict:
    """Judge a boot that is decided, or that had `deadline` seconds."""
    ready, failed = ledger.ready, ledger.failed
    if not (failed and (not ready or failed.at < ready.at)) and (because := _why_insecure(ledger)):
        return Verdict("OSProvisioningInternalError", ready.at if ready else None, because, ledger.findings)
    if failed and (not ready or failed.at < ready.at):
        return Verdict(
            "OSProvisioningClientError",
            failed.at,
            failed.description or "the guest gave no reason",
            ledger.findings,
        )
    if ready:
        return Verdict("", ready.at, "reported Ready", ledger.findings)
    return Verdict("OSProvisioningTimedOut", None, _why_silent(ledger, deadline), ledger.findings)


def _why_insecure(ledger: Ledger) -> str:
    """Why the Metadata Security Protocol lets the platform fail, by Microsoft's page "Troubleshoot" of it: it was
    asked for, but no Guest Proxy Agent took its key. What the guest then believes to have reported does not count."""
    unsigned = [one for one in ledger.findings if one.code in ("msp-unsigned", "msp-audit")]
    if not unsigned or any(one.target.endswith("/key-attestation") and one.status == 200 for one in ledger.exchanges):
        return ""
    said = "the guest reported Ready, but " if ledger.ready else ""
    return (
        f"{said}no Guest Proxy Agent took the machine's key, as the Metadata Security Protocol demands "
        f"({_many(len(unsigned), 'request')} not signed, the first at {unsigned[0].at:.1f} s)"
    )


_STORIES: tuple[tuple[Callable[[Exchange], bool], Callable[[list[Exchange]], str]], ...] = (
    (
        lambda one: "comp=goalstate" in one.target,
        lambda heard: f"asked for the goal state ({_answers(heard)}), but posted no health report",
    ),
    (
        lambda one: one.service == "wireserver",
        lambda heard: f"asked the WireServer for {heard[-1].target}, but never for the goal state",
    ),
    (lambda one: one.service == "imds", lambda heard: f"asked IMDS ({_answers(heard)}), but never the WireServer"),
    (
        lambda one: (one.service, one.method) == ("dhcp", "DHCPACK"),
        lambda _: "got an address, but asked neither IMDS nor the WireServer",
    ),
    (
        lambda one: (one.service, one.method) == ("dhcp", "DHCPOFFER"),
        lambda _: "asked for an address, but did not take one",
    ),
    (lambda one: one.service == "dhcp", lambda _: "asked for an address, and the platform gave none"),
)
"""How far a guest came that posted no report, the furthest first: which exchanges show it, and what is told of them."""


def _why_silent(ledger: Ledger, deadline: float) -> str:
    """The story of a boot without an outcome, told from the last thing that the platform heard of the guest."""
    # a program that ended by itself had tenths of a second, and "within 0 s" is no time
    exchanges, within = ledger.exchanges, f"within {deadline:.1f} s" if deadline < 5 else f"within {deadline:g} s"
    if any(report.accepted for report in ledger.reports):
        return f"the guest reported that it was provisioning, and nothing more {within}"
    posts = [one for one in exchanges if one.method == "POST" and "health" in one.target]
    if posts:
        return _why_unheard(posts, ledger, within)
    for is_of_it, told in _STORIES:
        if heard := [one for one in exchanges if is_of_it(one)]:
            return f"the guest {told(heard)} {within}"
    return f"the platform heard nothing of the guest {within}"


def _why_unheard(posts: list[Exchange], ledger: Ledger, within: str) -> str:
    """Why reports that were posted changed nothing: refused for what they say, or lost to a fault."""
    refusals = [one for one in ledger.findings if one.severity == "error" and one.code.startswith("health-")]
    last = f"the last at {posts[-1].at:.1f} s"
    if refusals:
        return f"{_many(len(posts), 'health report')} refused {within}, {last}: the guest {refusals[-1].message}"
    return f"{_many(len(posts), 'health report')} not accepted {within} ({_answers(posts)}), {last}"


def _answers(exchanges: list[Exchange]) -> str:
    """`503 3 times, then 200` told shortly: each answer once, in the order of its first coming."""
    counts: dict[str, int] = {}
    for one in exchanges:
        what = f"answered {one.status}"
        if one.fault:
            what = "a fault" if one.fault == "fault" else f"fault {one.fault}"  # those without a name share this one
        counts[what] = counts.get(what, 0) + 1
    return ", ".join(f"{what}, {times} times" if times > 1 else what for what, times in counts.items())


def _many(count: int, what: str) -> str:
    return f"1 {what} was" if count == 1 else f"{count} {what}s were"
