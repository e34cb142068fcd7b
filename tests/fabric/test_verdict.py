"""The verdict is judged from the ledger alone, and says why."""

import re

import pytest

from azready.fabric.ledger import Entry, Exchange, Finding, HealthReport, Ledger
from azready.fabric.verdict import decided, judge

READY = HealthReport(2.0, "xml", "Ready")
FAILED = HealthReport(1.0, "xml", "NotReady", "ProvisioningFailed", "no key")
WORKING = HealthReport(0.5, "xml", "NotReady", "Provisioning")
REFUSED = HealthReport(1.0, "xml", "Ready", accepted=False)
GOAL_STATE = Exchange(0.5, "wireserver", "GET", "/machine?comp=goalstate", 200)
POSTED = Exchange(1.0, "wireserver", "POST", "/machine?comp=health", 410)
LOST = Exchange(1.0, "wireserver", "POST", "/machine?comp=health", None, fault="lost-report")
WRONG = Finding(1.0, "health-incarnation", "error", "reported for incarnation '1', but the goal state has '7'")
IMDS = Exchange(0.1, "imds", "GET", "/metadata/instance", 200)
OFFERED = Exchange(0.1, "dhcp", "DHCPOFFER", "10.1.0.4", 200)
ASKED = Exchange(0.0, "dhcp", "DHCPDISCOVER", "mac", None)
LEASED = Exchange(0.0, "dhcp", "DHCPACK", "10.1.0.4", 200)


def ledger(*entries: Entry) -> Ledger:
    made = Ledger()
    made.record(*entries)
    return made


@pytest.mark.parametrize(
    ("entries", "code", "says"),
    [
        ((READY,), "", "Ready"),
        ((WORKING, READY), "", "Ready"),
        ((READY, HealthReport(3.0, "xml", "NotReady", "ProvisioningFailed")), "", "Ready"),
        ((FAILED,), "OSProvisioningClientError", "no key"),
        ((FAILED, READY), "OSProvisioningClientError", "no key"),
        ((WORKING,), "OSProvisioningTimedOut", "reported that it was provisioning, and nothing more"),
        (
            (GOAL_STATE, POSTED, REFUSED, WRONG),
            "OSProvisioningTimedOut",
            "1 health report was refused .* '1'",
        ),
        ((GOAL_STATE, LOST, LOST), "OSProvisioningTimedOut", r"2 health reports were not .*fault lost-report, 2 times"),
        ((GOAL_STATE,), "OSProvisioningTimedOut", r"goal state \(answered 200\), but posted no health report"),
        ((Exchange(0, "wireserver", "GET", "/x", 404),), "OSProvisioningTimedOut", "WireServer for /x, but never"),
        ((LEASED, IMDS), "OSProvisioningTimedOut", "IMDS .*never the WireServer"),
        ((ASKED, LEASED), "OSProvisioningTimedOut", "got an address, but asked neither"),
        ((ASKED,), "OSProvisioningTimedOut", "asked for an address, and the platform gave none"),
        ((ASKED, OFFERED), "OSProvisioningTimedOut", "asked for an address, but did not take one"),
        ((), "OSProvisioningTimedOut", "heard nothing of the guest within 30 s"),
    ],
)
def test_what_azure_would_say_and_why(entries: tuple[Entry, ...], code: str, says: str) -> None:
    verdict = judge(ledger(*entries), 30)
    assert verdict.code == code
    assert re.search(says, verdict.because), verdict.because


def test_it_is_decided_by_accepted_reports_only() -> None:
    assert decided(ledger(READY)) and decided(ledger(FAILED))
    assert not decided(ledger(REFUSED, WORKING))


def test_a_long_story_is_forgotten_but_its_reports() -> None:
    short = Ledger(limit=10)
    short.record(READY, *(IMDS for _ in range(50)))
    assert len(short.entries) == 10
    assert short.ready == READY
