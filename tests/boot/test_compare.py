"""Two series of boots side by side: which rows there are, and what counts as worse."""

from dataclasses import replace

import pytest

from azready.boot.compare import Difference, compare, worse
from azready.boot.record import BootRecord, Cause, Check, Milestone
from azready.fabric.ledger import Finding
from azready.fabric.verdict import Verdict

BOOT = BootRecord(1, "first boot", "t", "container", "", 9.0, 60.0, Verdict("", 2.0, "reported Ready"))
FAILED = replace(BOOT, verdict=Verdict("OSProvisioningTimedOut", None, "silence"))


def rows(before: BootRecord, after: BootRecord) -> dict[str, Difference]:
    return {row.what: row for row in compare((before,), (after,))}


def at(**stones: float) -> BootRecord:
    return replace(BOOT, milestones=tuple(Milestone(name, when) for name, when in stones.items()))


def test_the_same_boot_has_one_row_of_its_outcome() -> None:
    assert compare((BOOT,), (BOOT,)) == (
        Difference("first boot", "outcome", "Provisioned: Ready after 2.00 s", "Provisioned: Ready after 2.00 s"),
    )


@pytest.mark.parametrize(
    ("before", "after", "tone"), [(BOOT, FAILED, "worse"), (FAILED, BOOT, "better"), (FAILED, FAILED, "")]
)
def test_an_outcome_is_better_or_worse(before: BootRecord, after: BootRecord, tone: str) -> None:
    found = compare((before,), (after,))
    assert [row.tone for row in found if row.what == "outcome"] == [tone]
    assert worse(found) is (tone == "worse")


def test_boots_of_other_titles_stand_alone() -> None:
    second, third = replace(BOOT, title="second boot"), replace(BOOT, title="third boot")
    found = compare((BOOT, second), (third, BOOT))
    assert [(row.boot, row.what, row.before, row.after, row.tone) for row in found] == [
        ("first boot", "outcome", BOOT.headline, BOOT.headline, ""),
        ("second boot", "boot", BOOT.headline, "not booted", "worse"),
        ("third boot", "boot", "not booted", BOOT.headline, ""),
    ]
    assert worse(found)


@pytest.mark.parametrize(
    ("before", "after", "change", "tone"),
    [
        (2.0, 2.2, 0.2, ""),
        (2.0, 2.201, 0.201, "worse"),
        (2.0, 1.799, -0.201, "better"),
        (0.5, 0.6, 0.1, ""),
        (0.5, 0.61234, 0.112, "worse"),
        (0.5, 0.601, 0.101, "worse"),
        (0.0, 0.2, 0.2, "worse"),
    ],
)
def test_a_time_counts_from_a_tenth_of_it_and_a_tenth_of_a_second(
    before: float, after: float, change: float, tone: str
) -> None:
    row = rows(at(ready=before), at(ready=after))["ready"]
    assert (row.before, row.after, row.change, row.tone) == (f"{before:.2f} s", f"{after:.2f} s", change, tone)
    assert not worse([row]), "slower is told, and is no failure"


def test_a_milestone_that_only_one_reached_has_no_change() -> None:
    row = rows(at(sshd=1.0), BOOT)["sshd"]
    assert (row.before, row.after, row.change, row.tone) == ("1.00 s", "–", None, "")
    row = rows(BOOT, at(sshd=1.0))["sshd"]
    assert (row.before, row.after, row.change) == ("–", "1.00 s", None)
    assert "lease" not in rows(BOOT, at(sshd=1.0))


def test_the_start_of_init_is_compared_where_the_first_one_knew_it() -> None:
    assert "init" in rows(at(init=1.0), at(init=2.0))
    assert "init" not in rows(BOOT, at(init=2.0))


def test_findings_come_and_go_and_notes_do_not_count() -> None:
    warning, note = Finding(1.0, "imds-version", "warning", "odd version"), Finding(1.0, "x", "note", "a remark")
    some = replace(BOOT, findings=(warning, note))
    gone = rows(some, BOOT)["imds-version"]
    came = rows(BOOT, some)["imds-version"]
    assert (gone.before, gone.after, gone.tone) == ("odd version", "gone", "better")
    assert (came.before, came.after, came.tone) == ("", "odd version", "worse")
    assert "x" not in rows(BOOT, some) and "imds-version" not in rows(some, some)
    assert worse([came]) and not worse([gone])


def test_causes_are_compared_with_their_code_and_the_new_fix_is_told() -> None:
    lease = replace(FAILED, cause=Cause("no-lease", "no address", fix="ask longer"))
    route = replace(FAILED, cause=Cause("no-route", "no way"))
    assert "cause" not in rows(lease, lease)
    other, cured = rows(lease, route), rows(lease, BOOT)
    assert (other["cause"].before, other["cause"].after, other["cause"].tone) == (
        "no address [no-lease]",
        "no way [no-route]",
        "",
    )
    assert "fix" not in other
    assert (cured["cause"].after, cured["cause"].tone) == ("gone", "better")
    new = rows(BOOT, lease)
    assert (new["cause"].before, new["cause"].tone, new["fix"].after) == ("–", "worse", "ask longer")


def test_a_failed_check_makes_an_outcome_worse() -> None:
    assert worse(compare((BOOT,), (replace(BOOT, checks=(Check("ssh login", "failed"),)),)))
