"""Every test stays in the run once, and each worker's part begins with longer ones."""

from tests.longest_first import dealt


def test_each_part_has_its_share_and_the_longer_ones_first() -> None:
    longer, short = list("ABCDEFG"), list("0123456789")
    assert "".join(dealt(longer, short, 3)) == "AB012CD345EFG6789"


def test_a_worker_more_than_tests_changes_nothing() -> None:
    assert list(dealt(["A"], [], 4)) == ["A"]
