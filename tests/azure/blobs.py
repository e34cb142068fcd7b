"""The page blob behind a managed disk, as strict as the real one, over a file or in front of Azurite.

Azurite lets a SAS create a blob, and takes pages over 4 MiB: the real storage of managed disks does neither. So every
request passes these rules first: no creation, page writes aligned, at most 4 MiB, inside the blob; a SAS that is
expired or revoked is refused.
"""

import contextlib
import http.client
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

PAGE_WRITE = 4 * 1024 * 1024


class Store(Protocol):
    """What keeps the bytes."""

    size: int

    def write(self, start: int, data: bytes) -> None: ...

    def ranges(self) -> list[tuple[int, int]]:
        """What has been written, end exclusive, in order."""

    def content(self) -> bytes: ...


class FileStore:
    """A file, and the list of what was written to it."""

    def __init__(self, path: Path, size: int) -> None:
        self.size = size
        self._path = path
        self._written: set[int] = set()
        self._lock = threading.Lock()
        with path.open("wb") as file:
            file.truncate(size)

    def write(self, start: int, data: bytes) -> None:
        with self._lock, self._path.open("r+b") as file:
            file.seek(start)
            file.write(data)
            self._written.update(range(start // 512, (start + len(data)) // 512))

    def ranges(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for page in sorted(self._written):
            if found and found[-1][1] == page * 512:
                found[-1] = (found[-1][0], page * 512 + 512)
            else:
                found.append((page * 512, page * 512 + 512))
        return found

    def content(self) -> bytes:
        return self._path.read_bytes()


class AzuriteStore:
    """A page blob in Azurite. `path` is its path with a SAS that may do everything."""

    def __init__(self, port: int, path: str, size: int) -> None:
        self.size = size
        self._port = port
        self._path = path

    def _ask(self, method: str, more: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, self._path + more, body, {"x-ms-version": "2020-12-06", **headers})
            answer = connection.getresponse()
            data = answer.read()
            assert answer.status < 300, (answer.status, data)
            return data

    def write(self, start: int, data: bytes) -> None:
        where = f"bytes={start}-{start + len(data) - 1}"
        self._ask("PUT", "&comp=page", {"x-ms-page-write": "update", "x-ms-range": where}, data)

    def ranges(self) -> list[tuple[int, int]]:
        text = self._ask("GET", "&comp=pagelist", {}).decode()
        pairs = re.findall(r"<PageRange>\s*<Start>(\d+)</Start>\s*<End>(\d+)</End>", text)
        return [(int(start), int(end) + 1) for start, end in pairs]

    def content(self) -> bytes:
        return self._ask("GET", "", {})


@dataclass
class Blob:
    """The served blob, its rules and its troubles."""

    store: Store
    base: str = ""
    grants: int = 0
    valid: set[str] = field(default_factory=set)
    puts: list[tuple[int, int, bool]] = field(default_factory=list)
    """Accepted page writes: start, length, whether they were zeros."""
    refused: list[str] = field(default_factory=list)
    """Requests that the real storage never takes: a test that causes one has found a mistake."""
    expire_after: int = 0
    """Revoke the SAS after so many accepted writes."""
    busy: int = 0
    """Answer so many writes with 503 and Retry-After."""
    cut: int = 0
    """Break so many connections after a write was done."""
    dead_after: int = 0
    """From this write on break every connection."""
    page_size: int = 1000
    """Ranges in one page of the list."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def grant(self) -> str:
        """A new SAS URL; the earlier ones stay valid until they are revoked."""
        self.grants += 1
        signature = f"SECRET{self.grants}"
        self.valid.add(signature)
        return f"{self.base}/disk/abcd?sv=2018-03-28&sr=b&si=policy&sig={signature}"

    def revoke(self) -> None:
        self.valid.clear()

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes] | None:
        with self.lock:
            return self._answer(method, target, headers, body)

    def _answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes] | None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        if query.get("sig") not in self.valid:
            return 403, {"x-ms-error-code": "AuthenticationFailed"}, b""
        match method, query.get("comp", ""):
            case "HEAD", "":
                return 200, {"x-ms-blob-type": "PageBlob", "Content-Length": str(self.store.size)}, b""
            case "GET", "pagelist":
                return 200, {}, self._list(int(query.get("marker", "0")))
            case "PUT", "page":
                return self._put(headers, body)
        self.refused.append(f"{method} {query.get('comp', 'blob')}")
        return 403, {"x-ms-error-code": "AuthorizationPermissionMismatch"}, b""

    def _list(self, start: int) -> bytes:
        found = self.store.ranges()
        page = found[start : start + self.page_size]
        more = str(start + self.page_size) if start + self.page_size < len(found) else ""
        items = "".join(f"<PageRange><Start>{a}</Start><End>{b - 1}</End></PageRange>" for a, b in page)
        return f'<?xml version="1.0"?><PageList>{items}<NextMarker>{more}</NextMarker></PageList>'.encode()

    def _put(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes] | None:
        where = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("x-ms-range", ""))
        start, end = (int(where[1]), int(where[2]) + 1) if where else (1, 0)
        wrong = ""
        if headers.get("x-ms-page-write") != "update" or end - start != len(body):
            wrong = "InvalidHeaderValue"
        elif start % 512 or end % 512 or end > self.store.size:
            wrong = "InvalidPageRange"
        elif len(body) > PAGE_WRITE:
            wrong = "RequestBodyTooLarge"
        if wrong:
            self.refused.append(f"{wrong} {start}-{end}")
            return 400, {"x-ms-error-code": wrong}, b""
        if self.dead_after and len(self.puts) >= self.dead_after:
            return None
        if self.busy:
            self.busy -= 1
            return 503, {"x-ms-error-code": "ServerBusy", "Retry-After": "1"}, b""
        self.store.write(start, body)
        self.puts.append((start, len(body), not any(body)))
        if self.expire_after and len(self.puts) == self.expire_after:
            self.revoke()
        if self.cut:
            self.cut -= 1
            return None
        return 201, {}, b""


@contextlib.contextmanager
def serving_blob(store: Store) -> Iterator[Blob]:
    """Serve a blob on 127.0.0.1 until the block ends."""
    blob = Blob(store)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60
        wbufsize = 65536

        def log_message(self, *_: object) -> None:
            pass

        def _serve(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            lower = {key.lower(): value for key, value in self.headers.items()}
            # a sender that went away in the middle has asked for nothing
            reply = blob.answer(self.command, self.path, lower, body) if len(body) == size else None
            if reply is None:
                self.close_connection = True
                self.connection.close()
                return
            status, headers, data = reply
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _serve

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    blob.base = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield blob
    finally:
        server.shutdown()
        server.server_close()
