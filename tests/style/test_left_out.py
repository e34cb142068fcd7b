"""The last line of a run is honest: every skipped test counts, with what would bring it."""

from tests.left_out import summary


def test_what_one_remedy_brings_is_told_once() -> None:
    reasons = ["Skipped: needs qemu-img: make setup, as root", "Skipped: needs sfdisk: make setup, as root"]
    reasons += ["Skipped: needs root: sudo make test"] * 3
    assert summary(reasons) == "Left out: 2 (qemu-img, sfdisk): make setup, as root; 3 (root): sudo make test"


def test_a_reason_without_a_remedy_is_shown_as_it_is() -> None:
    assert summary(["Skipped: the moon is full"]) == "Left out: 1 (the moon is full): see the reasons above"


def test_what_another_test_shows_is_not_left_out() -> None:
    assert summary(["Skipped: elsewhere: root runs it in a namespace"]) == ""
