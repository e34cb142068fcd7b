"""A series of boots in a browser while it happens: the timeline as the page of it will be, and the console beside it.

A small HTTP server on loopback. Whoever asks must know the token in the URL, and must ask for loopback by its name:
pages of other sites, which can make a browser send requests here, know neither.
"""

import hmac
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from azready.boot.drawing.page import Story, story
from azready.boot.record import BootRecord, ConsoleLine
from azready.console import printable
from azready.page import style

_LOG = logging.getLogger("azready")
_LAST_LOOK = 15.0
"""Seconds in which a page that is looking sees the end."""
_LOOKING = 6.0
"""Seconds after its last question in which a page counts as looking: it asks every other second at least."""
_LINES = 2000
"""Console lines sent at once."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle, or asks nonsense, is no news on the terminal of the boot."""
        _LOG.debug("live view: a request of %s failed", client_address, exc_info=True)


class LiveView:
    """Serves while the block lasts, on a port of loopback that is free; `url` is where. An Onlooker of a series."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._records: list[BootRecord] = []
        self._so_far: Callable[[], BootRecord] | None = None
        self._boot, self._asked = 0, float("-inf")
        self._is_over, self._end_was_seen = threading.Event(), threading.Event()
        self._token, self._nonce = secrets.token_urlsafe(24), secrets.token_urlsafe(16)
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{self._token}/"

    # ---- an onlooker

    def begun(self, so_far: Callable[[], BootRecord]) -> None:
        self._boot += 1
        self._so_far = so_far

    def over(self, record: BootRecord) -> None:
        self._records.append(record)
        self._so_far = None

    # ---- a block

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        if kind is None and time.monotonic() - self._asked < _LOOKING:
            self._end_was_seen.wait(_LAST_LOOK)
        self._server.shutdown()
        self._server.server_close()

    # ---- what is served

    def shell(self) -> str:
        """The page before anything is known; it asks for the rest by itself."""
        script = (resources.files("azready.boot.drawing") / "live.js").read_text(encoding="utf-8")
        title = escape(f"{printable(self._target)}: booting")
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><link rel="icon" href="data:,"><style>
{style()}</style></head><body class="live">
<main><h1>… {title}</h1></main>
<aside><h2 id="of-console">Console</h2><p role="status" id="said" class="meta">waiting for the guest</p>
<pre id="console" tabindex=0 role="region" aria-labelledby="of-console"></pre></aside>
<script nonce="{self._nonce}">{script}</script></body></html>
"""

    def state(self, boot: int, lines: int) -> dict[str, Any]:
        """What is new for a page that has seen so many console lines of that boot."""
        ended, so_far, records = self._is_over.is_set(), self._so_far, tuple(self._records)
        under_way = None if ended or so_far is None else so_far()
        console: tuple[ConsoleLine, ...] = ()
        if under_way is not None:
            console = under_way.console
        elif records:
            console = records[-1].console
        seen = lines if boot == self._boot else 0
        new = [f"{line.at:9.3f}  {printable(line.text)}" for line in console[seen : seen + _LINES]]
        told = self._told(records, under_way, ended)
        main = (
            f'<h1 class="{told.tone}">{told.mark} {escape(told.title)}</h1><p class="meta">{escape(told.about)}</p>'
            f"{told.body}"
        )
        return {
            "boot": self._boot,
            "console": new,
            "title": f"{told.mark} {told.title}",
            "main": main,
            "version": str(hash(main)),
            "said": "over; this page stays as it is" if ended else "booting",
            "over": ended and boot == self._boot and not new,
        }

    def _told(self, records: tuple[BootRecord, ...], under_way: BootRecord | None, ended: bool) -> Story:
        if under_way is None and not ended:
            return Story(f"{printable(self._target)}: the next boot is made ready", "", "…", f"{len(records)} over", "")
        return story(records, under_way and replace(under_way, console=()))  # the console stands beside it

    def answer(self, path: str, host: str) -> tuple[int, str, bytes]:
        """Status, content type and content for a request."""
        port = self._server.server_address[1]
        if host not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            return 403, "text/plain", b"ask for 127.0.0.1\n"
        url = urlsplit(path)
        token, _, name = url.path.removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), self._token.encode()) or name not in ("", "state"):
            return 404, "text/plain", b"not here\n"
        if not name:
            return 200, "text/html; charset=utf-8", self.shell().encode()
        asked = {key: int(words[-1]) for key, words in parse_qs(url.query).items() if words[-1].isdecimal()}
        self._asked = time.monotonic()
        state = self.state(asked.get("boot", 0), asked.get("lines", 0))
        if state["over"]:
            self._end_was_seen.set()
        return 200, "application/json", json.dumps(state).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        view = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 30

            def do_GET(self) -> None:
                status, kind, content = view.answer(self.path, self.headers.get("Host", ""))
                self.send_response(status)
                policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{view._nonce}'; "
                policy += (
                    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
                )
                headers = {**_HEADERS, "Content-Security-Policy": policy, "Content-Type": kind}
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *words: object) -> None:
                pass

        return Handler
