"""A small sample of every campaign, by a seed that does not change; `make fuzz` goes on from there."""

from types import ModuleType

import pytest

from tests.fuzz import (
    _bytes,
    boot_bytes,
    document_bytes,
    fabric_bytes,
    facts_bytes,
    guest_bytes,
    image_bytes,
    options_bytes,
    plans_bytes,
    runs_bytes,
    targets_bytes,
    two_programs,
)
from tests.fuzz.__main__ import targets
from tests.fuzz._bytes import Reader


@pytest.mark.long
def test_both_guest_programs_do_the_same() -> None:
    assert list(two_programs.campaign(seed=1, runs=10)) == []


@pytest.mark.parametrize(
    "target",
    [boot_bytes, document_bytes, fabric_bytes, guest_bytes, image_bytes, options_bytes, runs_bytes, targets_bytes],
    ids=lambda target: target.__name__,
)
def test_readers_of_bytes_from_outside_refuse_and_never_break(target: ModuleType) -> None:
    assert list(target.campaign(seed=1, runs=60)) == []


@pytest.mark.long
def test_whatever_the_files_of_an_image_hold_every_rule_has_an_answer() -> None:
    assert list(facts_bytes.campaign(seed=1, runs=25)) == []


@pytest.mark.long
def test_whatever_the_files_of_an_image_hold_there_is_a_plan_a_report_or_a_reason() -> None:
    assert list(plans_bytes.campaign(seed=1, runs=3)) == []


def test_a_reader_that_breaks_or_hangs_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bytes, "HANG", 1)

    def hang(data: bytes) -> None:
        while True:
            pass

    readers = {"breaks": Reader(lambda data: data[99999], (b"x",)), "hangs": Reader(hang, (b"x",))}
    found = list(_bytes.campaign(readers, seed=1, runs=1))
    assert ["IndexError" in found[0], "Hangs" in found[1]] == [True, True]


def test_every_campaign_is_found() -> None:
    assert {"facts_bytes", "options_bytes"} < set(targets())
    assert {"boot_bytes", "document_bytes", "fabric_bytes", "guest_bytes", "image_bytes", "two_programs"} <= set(
        targets()
    )
