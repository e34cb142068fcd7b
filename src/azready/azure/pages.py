"""The page-blob calls of an upload to a managed disk, over a SAS URL, with the standard library.

Source: Microsoft's Blob service REST reference (Put Page, Get Page Ranges, Get Blob Properties). A SAS is a
secret: it is in no error, no log and no repr.
"""

import email.utils
import http.client
import ssl
import time
import urllib.request
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from azready.azure.ranges import Range
from azready.errors import Failure

API = "2020-10-02"
TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as lost."""


@dataclass(frozen=True)
class Sas:
    """A URL that gives access by itself. Printing it shows the host only."""

    url: str

    def __repr__(self) -> str:
        return f"Sas({self.host})"

    __str__ = __repr__

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        return self.parts.hostname or ""


@dataclass(frozen=True)
class Reply:
    """A whole answer: status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Azure Storage's name of the error."""
        return self.headers.get("x-ms-error-code") or f"HTTP {self.status}"

    @property
    def wait(self) -> float:
        """Retry-After in seconds; 0 when absent or unreadable."""
        text = self.headers.get("retry-after", "")
        if text.isdecimal():
            return float(text)
        try:
            return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            return 0.0


class Connection:
    """One connection to the blob of a SAS; made when first used, again after it was lost. For one thread."""

    def __init__(self, sas: Sas, ca: str | None = None) -> None:
        self.sas = sas
        self._ca = ca
        self._open: http.client.HTTPConnection | None = None

    def use(self, sas: Sas) -> None:
        """Go on with another SAS of the same disk."""
        self.sas = sas
        self.close()

    def close(self) -> None:
        if self._open:
            self._open.close()
            self._open = None

    def size(self) -> Reply:
        """Get Blob Properties: `content-length`, `x-ms-blob-type`."""
        return self._ask("HEAD", "")

    def page_ranges(self, marker: str = "") -> Reply:
        return self._ask("GET", "comp=pagelist" + (f"&marker={marker}" if marker else ""))

    def put(self, at: Range, data: bytes) -> Reply:
        """Put Page: write `data`, which fills `at`."""
        headers = {
            "x-ms-page-write": "update",
            "x-ms-range": f"bytes={at.start}-{at.end - 1}",
            "Content-Type": "application/octet-stream",
        }
        return self._ask("PUT", "comp=page", headers, data)

    def _ask(self, method: str, query: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Reply:
        """Raises OSError or http.client.HTTPException when the connection breaks; the next call makes a new one."""
        parts = self.sas.parts
        target = f"{parts.path}?{'&'.join(item for item in (query, parts.query) if item)}"
        try:
            if self._open is None:
                self._open = _connect(parts, self._ca)
            self._open.request(method, target, body, {"x-ms-version": API, **(headers or {})})
            answer = self._open.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise


def _connect(parts: SplitResult, ca: str | None) -> http.client.HTTPConnection:
    host, port = parts.hostname or "", parts.port
    proxy = urllib.request.getproxies().get(parts.scheme, "")
    if urllib.request.proxy_bypass(host):
        proxy = ""
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    context = ssl.create_default_context(cafile=ca)
    if not proxy:
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context)
    through = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    connection = http.client.HTTPSConnection(through.hostname or "", through.port, timeout=TIMEOUT, context=context)
    connection.set_tunnel(host, port or 443)
    return connection


def parse_page_ranges(body: bytes) -> tuple[list[Range], str]:
    """The ranges that a blob holds, and the marker of the next list (empty at the end). Raises Failure."""
    try:
        tree = ElementTree.fromstring(body)
        found = [
            Range(int(item.findtext("Start", "0")), int(item.findtext("End", "-1")) + 1)
            for item in tree.iter("PageRange")
        ]
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Failure(f"what the disk holds could not be listed: {error}", "run the same command again") from error
    return found, tree.findtext("NextMarker") or ""
