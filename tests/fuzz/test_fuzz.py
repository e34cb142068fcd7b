"""A small sample of every campaign, by a seed that does not change; `make fuzz` goes on from there."""

from tests.fuzz import two_programs
from tests.fuzz.__main__ import targets


def test_both_guest_programs_do_the_same() -> None:
    assert list(two_programs.campaign(seed=1, runs=16)) == []


def test_every_campaign_is_found() -> None:
    assert "two_programs" in targets()
