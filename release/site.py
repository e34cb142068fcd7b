"""A hook of mkdocs: links of a page that lead out of docs/ (recipes, sources, the changelog) lead to the repository."""

import posixpath
import re
from typing import Any

_LINK = re.compile(r"\]\((?!\w+:|#|/)([^)\s#]+)([^)]*)\)")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Called by mkdocs with each page before it is drawn."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def led(found: "re.Match[str]") -> str:
        path = posixpath.normpath(posixpath.join(folder, found[1]))
        return found[0] if path.startswith("docs/") else f"]({config['repo_url']}/blob/main/{path}{found[2]})"

    return _LINK.sub(led, markdown)
