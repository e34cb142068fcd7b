"""The verdict: what Azure would say of this VM, judged from the ledger alone.

Azure's create operation ends when the guest reports Ready, when it reports that provisioning failed, or, after
up to 40 minutes and one reboot, with OSProvisioningTimedOut. A local boot uses a shorter, settable deadline.
"""

from dataclasses import dataclass
from typing import Literal

from azready.fabric.ledger import Finding, Ledger

Code = Literal["", "OSProvisioningTimedOut", "OSProvisioningClientError", "OSProvisioningInternalError"]


@dataclass(frozen=True)
class Verdict:
    """Either provisioned (`code` empty, `at` the second of the Ready report) or the error that Azure would show."""

    code: Code
    at: float | None
    because: str
    findings: tuple[Finding, ...] = ()

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


def _why_silent(ledger: Ledger, deadline: float) -> str:
    refused = [report for report in ledger.reports if not report.accepted]
    if refused:
        return f"{len(refused)} health report(s) were refused within {deadline:g} s"
    if any(exchange.service == "wireserver" for exchange in ledger.exchanges):
        return f"the guest asked the WireServer but posted no health report within {deadline:g} s"
    if any(exchange.service == "imds" for exchange in ledger.exchanges):
        return f"the guest asked IMDS but never the WireServer within {deadline:g} s"
    if any(exchange.service == "dhcp" for exchange in ledger.exchanges):
        return f"the guest got an address but asked neither IMDS nor the WireServer within {deadline:g} s"
    return f"the guest never asked for an address within {deadline:g} s"
