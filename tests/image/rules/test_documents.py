"""The pages of docs/rules are what the table says."""

from pathlib import Path

from azready.image.rules.pages import documents

ROOT = Path(__file__).parents[3]


def test_the_pages_are_up_to_date() -> None:
    """To renew them: python -m azready.image.rules.pages docs/rules"""
    for name, text in documents().items():
        assert (ROOT / "docs/rules" / name).read_text() == text, name
