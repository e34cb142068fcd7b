# ruff: noqa: E501 (tables)
"""What a record says of itself: headline, whether it passed, its events, and how much of a line is quoted."""

import json
from dataclasses import replace

import pytest

from azready.boot.record import BootRecord, Cause, Check, Event, JournalLine, Milestone, document, events, short
from azready.fabric.ledger import Exchange, Finding, HealthReport
from azready.fabric.verdict import Verdict

READY = BootRecord(1, "first boot", "t", "container", "", 9.0, 60.0, Verdict("", 2.0, "reported Ready"))
SILENT = replace(READY, verdict=Verdict("OSProvisioningTimedOut", None, "nothing was heard"))
FAILED = replace(READY, verdict=Verdict("ProvisioningFailed", 3.0, "no key"))
AGAIN = (HealthReport(1.0, "xml", "Ready"),)
BUSY = Cause("starved", "too busy", blames="host")
CHECKS = (Check("ssh login", "failed"), Check("sudo", "passed"), Check("host name", "failed"), Check("x", "skipped"))


@pytest.mark.parametrize(
    ("record", "passed", "headline"),
    [
        (READY, True, "Provisioned: Ready after 2.00 s"),
        (replace(READY, checks=CHECKS[1:2]), True, "Provisioned: Ready after 2.00 s"),
        (replace(READY, checks=CHECKS), False, "Provisioned: Ready after 2.00 s, but ssh login and host name failed"),
        (replace(SILENT, checks=CHECKS), False, str(SILENT.verdict)),
        (replace(READY, cause=BUSY), False, "No verdict: too busy"),
        (replace(SILENT, cause=replace(BUSY, blames="image")), False, str(SILENT.verdict)),
        (replace(SILENT, expected="silence"), True, "Silent, as it should be: nothing was reported again"),
        (
            replace(SILENT, expected="silence", checks=CHECKS[:2]), False,
            "Silent, as it should be: nothing was reported again, but ssh login failed",
        ),
        (
            replace(READY, expected="silence", reports=AGAIN * 2), False,
            "Reported again: 2 health report(s) of a VM that is provisioned already",
        ),
        (replace(SILENT, expected="any"), True, "Nothing was reported again"),
        (replace(READY, expected="any", reports=AGAIN), True, "Provisioned: Ready after 2.00 s"),
        (replace(FAILED, expected="any", reports=AGAIN), False, str(FAILED.verdict)),
    ],
)  # fmt: skip
def test_the_headline_and_whether_it_passed(record: BootRecord, passed: bool, headline: str) -> None:
    assert (record.passed, record.headline) == (passed, " ".join(headline.split()))


@pytest.mark.parametrize(
    ("records", "given", "passed"),
    [
        ((READY,), None, True),
        ((READY, FAILED), None, False),
        ((READY, replace(READY, cause=BUSY)), None, None),
        ((FAILED,), True, True),
        ((READY,), False, False),
        ((), None, True),
    ],
)
def test_a_document_says_whether_all_passed(
    records: tuple[BootRecord, ...], given: bool | None, passed: object
) -> None:
    table = json.loads(document(records, given))
    assert (table["version"], table["passed"], len(table["boots"])) == (1, passed, len(records))
    assert [boot["passed"] for boot in table["boots"]] == [None if r.undecided else r.passed for r in records]


def test_a_quoted_line_has_300_characters_at_most() -> None:
    assert short("a  b\t\nc ") == "a b c"
    assert short("x" * 300) == "x" * 300
    assert short("x" * 301) == "x" * 299 + "…"
    assert short("abcd", 3) == "ab…"
    assert Cause("c", "it is", ("one\ntwo",), "do").lines() == ("cause: it is [c]", "  seen: one two", "  fix: do")
    assert Cause("c", "it is").lines() == ("cause: it is [c]",)


def test_each_kind_of_event_is_told() -> None:
    """What the timeline draws, in order of time whatever the order of the record."""
    record = replace(
        READY,
        milestones=(Milestone("kernel", 0.1), Milestone("ready", 2.0), Milestone("odd", 0.2)),
        exchanges=(
            Exchange(1.0, "dhcp", "DHCPDISCOVER", "mac", None),
            Exchange(1.1, "imds", "GET", "/i", 399, took=0.5),
            Exchange(1.2, "hostplugin", "GET", "/h", 400),
            Exchange(1.3, "wireserver", "GET", "/w", None, fault="fault"),
            Exchange(1.4, "media", "MOUNT", "/m", 200, fault="late"),
        ),
        reports=(
            HealthReport(1.5, "xml", "NotReady", "Provisioning", "at work"),
            HealthReport(1.6, "xml", "Ready"),
            HealthReport(1.7, "xml", "Ready", accepted=False),
        ),
        findings=(Finding(1.8, "a", "error", "x"), Finding(1.9, "b", "warning", "y"), Finding(2.0, "c", "note", "z")),
        journal=(
            JournalLine(2.1, "mine", "four", priority=4),
            JournalLine(2.2, "other", "five", priority=5, unit="u.service"),
            JournalLine(2.3, "nobody", "left out", priority=1),
        ),
        checks=(Check("ssh", "passed", "in", 2.4), Check("sudo", "failed", "", 0.05), Check("x", "skipped", "", 2.5), CHECKS[0]),
    )  # fmt: skip
    assert events(record, ("mine", "u.service")) == (
        Event(0.05, "check", "sudo: failed", severity="error"),
        Event(0.1, "systemd", "the kernel starts"),
        Event(0.2, "systemd", "odd"),
        Event(1.0, "dhcp", "DHCPDISCOVER mac"),
        Event(1.1, "imds", "GET /i → 399", 0.5),
        Event(1.2, "wireserver", "GET /h → 400", severity="warning"),
        Event(1.3, "wireserver", "GET /w → no answer  [fault]", severity="warning"),
        Event(1.4, "media", "MOUNT /m → 200  [fault: late]"),
        Event(1.5, "platform", "health report NotReady/Provisioning accepted: at work", severity="warning"),
        Event(1.6, "platform", "health report Ready accepted", severity="good"),
        Event(1.7, "platform", "health report Ready refused", severity="error"),
        Event(1.8, "platform", "a: x", severity="error"),
        Event(1.9, "platform", "b: y", severity="warning"),
        Event(2.0, "platform", "c: z"),
        Event(2.1, "journal", "mine: four", severity="warning"),
        Event(2.2, "journal", "other: five"),
        Event(2.4, "check", "ssh: in", severity="good"),
        Event(2.5, "check", "x: skipped"),
    )
    assert [each.text for each in events(record) if each.source == "journal"] == []
