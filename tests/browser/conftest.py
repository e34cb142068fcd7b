"""One Chromium for all tests of pages, driven by Playwright; it reaches loopback and nothing else."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium-headless-shell", "chromium", "google-chrome", "google-chrome-stable")
SHOTS = Path(__file__).parents[2] / "dist/pages"
"""Where the last run's screenshots are kept, to be looked at."""


@pytest.fixture(scope="session")
def browser(need: Callable[..., None]) -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    need(f"tool:{NAMES[0] if program is None else Path(program).name}")
    from playwright.sync_api import sync_playwright

    # Its own sandbox is neither for root nor where namespaces are forbidden; the pages are ours.
    words = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-sandbox"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=words)
        yield launched
        launched.close()


Opened = Callable[..., Any]


@pytest.fixture
def opened(browser: Any) -> Iterator[Opened]:
    """`opened(width=420)`: an empty page; at the end of the test it must have had nothing to complain of but
    what it `may`."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def opened(width: int = 1280, may: str = "nothing") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 1800}, color_scheme="light")
        contexts.append(context)
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if _grave(said) and may not in said.text else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: None if _near(asked.url) else complaints.append(asked.url))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def _grave(said: Any) -> bool:
    return said.type in ("error", "warning")


def _near(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "file:", "data:", "about:"))


def keep(page: Any, name: str) -> None:
    """A screenshot, for people; tests look at the page itself. Of a page that has no end Chromium makes none."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")
