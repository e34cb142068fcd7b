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


UNSIGNED = Finding(0.7, "msp-unsigned", "error", "not signed")
AUDITED = Finding(0.9, "msp-audit", "warning", "not signed")
KEY_TAKEN = Exchange(0.6, "wireserver", "POST", "/secure-channel/key/1/key-attestation", 200)
KEY_REFUSED = Exchange(0.6, "wireserver", "POST", "/secure-channel/key/1/key-attestation", 403)
OTHER_ANSWER = Exchange(0.6, "wireserver", "GET", "/secure-channel/status", 200)
TELEMETRY = Exchange(1.5, "wireserver", "POST", "/machine?comp=telemetrydata", 200)
PUT = Exchange(1.5, "wireserver", "PUT", "/machine?comp=health", 405)
REFUSED_TWICE = Finding(2.0, "health-container", "error", "named the container 'x'")
A_WARNING = Finding(3.0, "health-late", "warning", "waited long")
NO_REFUSAL = Finding(3.0, "imds-header", "error", "sent no Metadata header")
FAULTY = Exchange(1.2, "wireserver", "POST", "/machine?comp=health", None, fault="fault")
BUSY = Exchange(0.2, "wireserver", "GET", "/machine?comp=goalstate", 503)
_TIMED_OUT = "OSProvisioningTimedOut: "


@pytest.mark.parametrize(
    ("entries", "at", "said"),
    [
        ((READY,), 2.0, "Provisioned: Ready after 2.00 s"),
        ((HealthReport(2.345, "xml", "Ready"),), 2.345, "Provisioned: Ready after 2.35 s"),
        ((FAILED,), 1.0, "OSProvisioningClientError: no key"),
        (
            (HealthReport(1.0, "xml", "NotReady", "ProvisioningFailed"),),
            1.0,
            "OSProvisioningClientError: the guest gave no reason",
        ),
        (
            (READY, HealthReport(2.0, "xml", "NotReady", "ProvisioningFailed", "late")),
            2.0,
            "Provisioned: Ready after 2.00 s",
        ),
        (
            (WORKING, GOAL_STATE),
            None,
            _TIMED_OUT + "the guest reported that it was provisioning, and nothing more within 30 s",
        ),
        (
            (GOAL_STATE, POSTED, REFUSED, WRONG),
            None,
            _TIMED_OUT + "1 health report was refused within 30 s, the last at 1.0 s: "
            "the guest reported for incarnation '1', but the goal state has '7'",
        ),
        (
            (
                POSTED,
                WRONG,
                PUT,
                Exchange(2.25, "wireserver", "POST", "/machine?comp=health", 410),
                REFUSED_TWICE,
                A_WARNING,
                NO_REFUSAL,
            ),
            None,
            _TIMED_OUT
            + "2 health reports were refused within 30 s, the last at 2.2 s: the guest named the container 'x'",
        ),
        (
            (GOAL_STATE, POSTED, FAULTY, FAULTY),
            None,
            _TIMED_OUT
            + "3 health reports were not accepted within 30 s (answered 410, a fault, 2 times), the last at 1.2 s",
        ),
        (
            (GOAL_STATE, POSTED, A_WARNING),
            None,
            _TIMED_OUT + "1 health report was not accepted within 30 s (answered 410), the last at 1.0 s",
        ),
        (
            (GOAL_STATE, POSTED, NO_REFUSAL),
            None,
            _TIMED_OUT + "1 health report was not accepted within 30 s (answered 410), the last at 1.0 s",
        ),
        (
            (BUSY, BUSY, GOAL_STATE, PUT, TELEMETRY),
            None,
            _TIMED_OUT + "the guest asked for the goal state (answered 503, 2 times, answered 200), "
            "but posted no health report within 30 s",
        ),
        (
            (
                IMDS,
                Exchange(0, "wireserver", "GET", "/?comp=versions", 200),
                Exchange(1, "wireserver", "GET", "/x", 404),
                IMDS,
            ),
            None,
            _TIMED_OUT + "the guest asked the WireServer for /x, but never for the goal state within 30 s",
        ),
        (
            (LEASED, IMDS),
            None,
            _TIMED_OUT + "the guest asked IMDS (answered 200), but never the WireServer within 30 s",
        ),
        (
            (ASKED, OFFERED, LEASED),
            None,
            _TIMED_OUT + "the guest got an address, but asked neither IMDS nor the WireServer within 30 s",
        ),
        ((ASKED, OFFERED), None, _TIMED_OUT + "the guest asked for an address, but did not take one within 30 s"),
        ((ASKED,), None, _TIMED_OUT + "the guest asked for an address, and the platform gave none within 30 s"),
        (
            (Exchange(1.0, "media", "READ", "ovf-env.xml", 200),),
            None,
            _TIMED_OUT + "the platform heard nothing of the guest within 30 s",
        ),
    ],
)
def test_the_whole_sentence(entries: tuple[Entry, ...], at: float | None, said: str) -> None:
    """To the word: a script reads the code, and somebody at four in the morning the rest."""
    made = ledger(*entries)
    verdict = judge(made, 30)
    assert str(verdict) == said
    assert verdict.at == at
    assert verdict.provisioned is (verdict.code == "") is said.startswith("Provisioned")
    assert verdict.findings == made.findings


@pytest.mark.parametrize(
    ("entries", "code", "at", "says"),
    [
        (
            (UNSIGNED, READY),
            "OSProvisioningInternalError",
            2.0,
            (
                "the guest reported Ready, but no Guest Proxy Agent took the machine's key, "
                "as the Metadata "
                "Security Protocol demands (1 request was not signed, the first at 0.7 s)"
            ),
        ),
        (
            (UNSIGNED, AUDITED),
            "OSProvisioningInternalError",
            None,
            (
                "no Guest Proxy Agent took the machine's key, as the Metadata "
                "Security Protocol demands (2 requests were not signed, the first at 0.7 s)"
            ),
        ),
        ((AUDITED, READY), "OSProvisioningInternalError", 2.0, "the guest reported Ready, but no Guest Proxy Agent"),
        ((UNSIGNED, KEY_TAKEN, READY), "", 2.0, "reported Ready"),
        ((UNSIGNED, KEY_REFUSED, READY), "OSProvisioningInternalError", 2.0, "the guest reported Ready, but"),
        ((UNSIGNED, OTHER_ANSWER, READY), "OSProvisioningInternalError", 2.0, "the guest reported Ready, but"),
        ((UNSIGNED, FAILED), "OSProvisioningClientError", 1.0, "no key"),
        ((UNSIGNED, FAILED, READY), "OSProvisioningClientError", 1.0, "no key"),
        (
            (UNSIGNED, READY, HealthReport(2.0, "xml", "NotReady", "ProvisioningFailed")),
            "OSProvisioningInternalError",
            2.0,
            "the guest reported Ready, but",
        ),
    ],
)
def test_the_metadata_security_protocol(entries: tuple[Entry, ...], code: str, at: float | None, says: str) -> None:
    """A machine that asks for signed requests is lost where no Guest Proxy Agent signs them, whatever it reports."""
    verdict = judge(ledger(*entries), 30)
    assert (verdict.code, verdict.at) == (code, at)
    assert verdict.because.startswith(says)


def test_tenths_of_a_second_are_said_as_such() -> None:
    said = [judge(ledger(), seconds).because.rpartition(" within ")[2] for seconds in (0.0, 0.4, 1.0, 90, 2400.0)]
    assert said == ["0.0 s", "0.4 s", "1.0 s", "90 s", "2400 s"]
