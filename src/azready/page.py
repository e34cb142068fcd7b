"""The frame of every page: one self-contained HTML file in the same dress; nothing is fetched from anywhere."""

from functools import cache
from html import escape
from importlib import resources

from azready import __version__


@cache
def style() -> str:
    """The style sheet of all pages."""
    return (resources.files("azready") / "page.css").read_text(encoding="utf-8")


def whole(title: str, body: str, *, tone: str = "", mark: str = "", about: str = "", head: str = "") -> str:
    """A page: its title with a mark in front, a line about it, and `body`, which is HTML, as `head` is.

    `tone` is `good`, `warn`, `bad` or empty.
    """
    heading = f"{mark} {title}".strip()
    meta = f"{about} · azready {__version__}" if about else f"azready {__version__}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title><style>
{style()}</style>{head}</head><body><main>
<h1 class="{tone}">{escape(heading)}</h1>
<p class="meta">{escape(meta)}</p>
{body}
</main></body></html>
"""
