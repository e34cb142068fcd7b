"""The site is built as the workflow builds it: strict, so that no link leads nowhere; with the Python API in it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT


@pytest.mark.long
def test_the_site_is_whole(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(tmp_path / "site").as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert "wireserver_url" in pages["api/fabric/index.html"] and "Plan" in pages["api/boot/index.html"]
    led_out = re.search(r'href="([^"]*CHANGELOG.md)"', pages["compatibility/index.html"])
    assert led_out and led_out[1] == "https://github.com/azready/azready/blob/main/CHANGELOG.md"
    assert not [name for name, text in pages.items() if "../../README" in text]
