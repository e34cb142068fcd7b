"""The pages of docs/rules are what the table says."""

from pathlib import Path

import pytest

from azready.errors import UsageFailure
from azready.image.rules import RULES
from azready.image.rules.pages import documents, named, page, table

ROOT = Path(__file__).parents[3]


def test_the_pages_are_up_to_date() -> None:
    """To renew them: python -m azready.image.rules.pages docs/rules"""
    for name, text in documents().items():
        assert (ROOT / "docs/rules" / name).read_text() == text, name


def test_a_rule_is_explained() -> None:
    first = page(named("N02")).splitlines()[:3]
    assert first == ["N02  no network card is known by its MAC address", "", "Severity  fatal"]
    lines = {line.partition(" ")[0]: line for line in page(named("B02")).splitlines()}
    assert lines["Severity"] == "Severity  info; marketplace: warning"
    assert lines["Fix"] == "Fix       add earlyprintk=ttyS0 to the kernel command line"
    assert "Source    " in page(named("B02")) and ": https://" in page(named("B02"))


@pytest.mark.parametrize(
    ("id", "by"), [("B02", "azready generalize --fix"), ("A03", "azready generalize"), ("A04", "")]
)
def test_it_says_who_fixes_it(id: str, by: str) -> None:
    said = [line.removeprefix("          done by ") for line in page(named(id)).splitlines() if "  done by " in line]
    assert said == ([by] if by else [])


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(UsageFailure, match="there is no rule Z99"):
        named("Z99")


def test_the_table_has_a_line_for_each_rule_below_its_area() -> None:
    lines = table().splitlines()
    assert lines[0] and not lines[0].startswith(" "), "an area comes first"
    assert [line.split()[0] for line in lines if line.startswith("  ")] == [rule.id for rule in RULES]
    starts = {line.index(rule.title) for rule in RULES for line in lines if line.startswith(f"  {rule.id}  ")}
    assert len(starts) == 1, "the titles stand in one column"
