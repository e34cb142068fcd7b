"""A boot's record is a value: it survives JSON, and what is drawn from it is in order."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from azready.boot.compare import compare, worse
from azready.boot.drawing.page import page
from azready.boot.record import (
    BootRecord,
    Cause,
    Check,
    ConsoleLine,
    JournalLine,
    MachineFacts,
    Milestone,
    as_json,
    document,
    events,
    from_json,
)
from azready.cli.timeline import timeline
from azready.errors import UsageFailure
from azready.fabric.faults import Fault
from azready.fabric.ledger import Exchange, Finding, HealthReport
from azready.fabric.verdict import Verdict

READY = HealthReport(0.42, "xml", "Ready")
FINDING = Finding(0.2, "imds-version", "warning", "an api-version that IMDS does not know")
RECORD = BootRecord(
    number=1,
    title="first boot",
    target="tree",
    how="container",
    started="2026-01-01T00:00:00Z",
    seconds=1.5,
    deadline=60.0,
    verdict=Verdict("", 0.42, "reported Ready", (FINDING,)),
    machine=MachineFacts(name="vm1", nics=2),
    faults=(Fault(service="wireserver", status=503, headers=(("a", "b"),), swap=(("x", "y"),), without=(121,)),),
    milestones=(Milestone("ready", 0.42), Milestone("basic.target", 0.2), Milestone("sshd", 0.3)),
    exchanges=(
        Exchange(0.4, "wireserver", "GET", "/machine?comp=goalstate", 200, request_headers=(("a", "b"),)),
        Exchange(0.35, "imds", "GET", "/metadata/instance", None, fault="imds reset"),
    ),
    findings=(FINDING,),
    reports=(READY,),
    journal=(JournalLine(0.41, "azure-provisioning", "Response: 200 OK"), JournalLine(0.1, "kernel", "noise")),
    console=(ConsoleLine(0.0, "Welcome"),),
    checks=(Check("ssh login", "passed", "as azureuser", 0.9),),
    cause=Cause("nothing", "it went well", ("a line",), "leave it"),
)


def test_a_record_survives_json() -> None:
    assert from_json(json.loads(json.dumps(as_json(RECORD)))) == RECORD


def test_events_are_in_order_and_hold_what_was_asked_for() -> None:
    drawn = events(RECORD, ["azure-provisioning"])
    assert [event.at for event in drawn] == sorted(event.at for event in drawn)
    texts = "\n".join(event.text for event in drawn)
    assert "Response: 200 OK" in texts
    assert "noise" not in texts
    assert "GET /metadata/instance → no answer  [fault: imds reset]" in texts
    assert "health report Ready accepted" in texts


def test_an_error_of_the_platform_is_a_warning_and_an_answer_is_not() -> None:
    for status, severity in ((200, ""), (399, ""), (400, "warning"), (503, "warning"), (None, "warning")):
        record = replace(RECORD, exchanges=(Exchange(0.4, "imds", "GET", "/x", status),))
        (event,) = (each for each in events(record) if each.source == "imds")
        assert event.severity == severity


def test_a_cause_is_printed_with_what_was_seen_and_what_to_do() -> None:
    assert Cause("c", "it broke", ("a  b", "c"), "mend it").lines() == (
        "cause: it broke [c]",
        "  seen: a b",
        "  seen: c",
        "  fix: mend it",
    )
    assert Cause("c", "it broke").lines() == ("cause: it broke [c]",)
    (_, long) = Cause("c", "it broke", ("x" * 400,)).lines()
    assert long == f"  seen: {'x' * 299}…"


def test_passed_needs_the_verdict_and_every_check() -> None:
    assert RECORD.passed
    assert not replace(RECORD, checks=(Check("ssh login", "failed"),)).passed
    assert replace(RECORD, checks=(Check("ssh login", "skipped"),)).passed
    timed_out = Verdict("OSProvisioningTimedOut", None, "silence")
    assert not replace(RECORD, verdict=timed_out).passed
    assert not replace(RECORD, expected="silence").passed, "it reported again"
    assert replace(RECORD, expected="silence", verdict=timed_out, reports=()).passed


def test_a_boot_that_this_machine_failed_is_neither_passed_nor_failed() -> None:
    starved = replace(RECORD, cause=Cause("starved", "the guest got too little", blames="host"))
    assert starved.undecided and not starved.passed and as_json(starved)["passed"] is None
    assert starved.headline == "No verdict: the guest got too little"
    assert "not ready" not in page((starved,)) and "was not judged" in page((starved,))
    assert from_json(json.loads(json.dumps(as_json(starved)))) == starved


def test_a_comparison_names_the_cause_that_came() -> None:
    failed = replace(
        RECORD,
        verdict=Verdict("OSProvisioningTimedOut", None, "silence"),
        cause=Cause("no-lease", "no address", fix="ask longer"),
    )
    rows = {row.what: row for row in compare((replace(RECORD, cause=None),), (failed,))}
    assert (rows["cause"].after, rows["cause"].tone) == ("no address [no-lease]", "worse")
    assert rows["fix"].after == "ask longer"
    assert worse(rows.values())


def test_the_page_shows_where_the_evidence_stands_and_not_our_switching_off() -> None:
    failed = replace(
        RECORD,
        verdict=Verdict("OSProvisioningClientError", 0.4, "two\nlines"),
        cause=Cause("reported-failure", "it says so", ("agent: it is broken",), "`azready check`"),
        journal=(JournalLine(0.3, "agent", "it is  broken"),),
        console=(ConsoleLine(0.0, "Welcome"), ConsoleLine(9.0, "Powering off.")),
    )
    assert failed.headline == "OSProvisioningClientError: two lines"
    text = page((failed,))
    assert "The journal around it" in text
    assert "<mark>    0.300  agent: it is  broken</mark>" in text
    assert "<code>azready check</code>" in text
    assert "Powering off." not in text.partition("The whole console")[0]


def test_a_check_that_fails_after_ready_is_in_the_headline_and_an_error_reported_again_fails() -> None:
    refused = replace(RECORD, checks=(Check("ssh login", "failed"),))
    assert refused.headline == "Provisioned: Ready after 0.42 s, but ssh login failed"
    error = Verdict("OSProvisioningClientError", 0.4, "cannot continue")
    assert not replace(RECORD, expected="any", verdict=error).passed


def test_a_record_of_the_release_before_is_refused_in_a_sentence(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps({"passed": True, "boots": [{"number": 1, "diagnosis": [], "machine": [["name", "a"]]}]}))
    with pytest.raises(UsageFailure, match="kept by an older azready") as told:
        timeline(old)
    assert "boot that image again" in told.value.hint


def test_a_record_of_a_ready_at_no_time_is_refused(tmp_path: Path) -> None:
    table = json.loads(document([RECORD]))
    table["boots"][0]["verdict"]["at"] = None
    (tmp_path / "boots.json").write_text(json.dumps(table))
    with pytest.raises(UsageFailure, match="holds no boots: provisioned, but at no time"):
        timeline(tmp_path / "boots.json")
