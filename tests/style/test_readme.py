"""README names every verb, and only pages that exist."""

import re
from pathlib import Path

from azready.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_readme_lists_every_verb() -> None:
    listed = set(re.findall(r"^\| \[`azready (\w+)", README, re.MULTILINE))
    assert listed == set(app.VERBS)


def test_links_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "DEVELOPERS.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"
