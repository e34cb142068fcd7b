"""The fake on a socket: TLS, rights, faults, and the record of every exchange."""

import contextlib
import itertools
import json
import re
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.azure.fake_arm import compute, deployments, disks, entra, galleries, groups, network, rights
from tests.azure.fake_arm.model import Arm, Ask, Json, Refused, Reply

PROVIDERS = (compute, deployments, disks, entra, galleries, groups, network)


@dataclass
class Fault:
    """Applied to the requests that `method` and `path` (a pattern) fit: the `skip` first go through, `times` are hit.

    `status`: answer this; `cut`: do the work, then break the connection without an answer; `refuse`: break it first.
    """

    method: str
    path: str
    status: int = 0
    code: str = ""
    message: str = "The fake was told to fail."
    retry_after: int = 0
    cut: bool = False
    refuse: bool = False
    times: int = 1
    skip: int = 0

    def hits(self, method: str, path: str) -> bool:
        if self.times <= 0 or method != self.method or not re.search(self.path, path, re.IGNORECASE):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, for the contract check and for the tests to look at."""

    method: str
    url: str
    body: Json | None
    status: int
    answer: Any
    headers: dict[str, str]
    """Those of the request."""


@dataclass
class Server:
    """The fake, listening. Use `serving`."""

    arm: Arm
    base: str
    faults: list[Fault] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def sent(self, *methods: str) -> list[tuple[str, str]]:
        """What was asked: method and path, without polls and tokens."""
        return [
            (item.method, urlsplit(item.url).path)
            for item in self.exchanges
            if item.method in (methods or ("GET", "PUT", "POST", "DELETE"))
            and not re.search(r"perations/|operationresults/|oauth2|openid|bootdiagnostics", item.url, re.IGNORECASE)
        ]

    def handle(self, method: str, target: str, headers: dict[str, str], raw: bytes) -> Reply | None:
        """Answer, or None to break the connection."""
        parts = urlsplit(target)
        with self.lock:
            hit = next((fault for fault in self.faults if fault.hits(method, unquote(parts.path))), None)
            if hit and hit.refuse:
                return None
            if hit and hit.status:
                refused = Refused(hit.status, hit.code, hit.message)
                extra = {"Retry-After": str(hit.retry_after)} if hit.retry_after else {}
                reply = Reply(hit.status, refused.body(), extra)
            else:
                reply = self._answer(method, parts.path, parts.query, headers, raw)
            self._record(method, target, headers, raw, reply)
            return None if hit and hit.cut else reply

    def _answer(self, method: str, path: str, query: str, headers: dict[str, str], raw: bytes) -> Reply:
        flat = {name: values[0] for name, values in parse_qs(query).items()}
        form = "x-www-form-urlencoded" in headers.get("content-type", "")
        body: Json = {}
        if raw:
            body = {k: v[0] for k, v in parse_qs(raw.decode()).items()} if form else json.loads(raw)
        # `az vmss create` writes Microsoft.Network//virtualNetworks, and Azure reads it
        ask = Ask(method, re.sub(r"/{2,}", "/", unquote(path)), flat, body, self.base)
        try:
            if not entra.open_to_all(ask.path):
                entra.check_token(headers)
                if "api-version" not in flat:
                    raise Refused(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
                if self.arm.roles:
                    rights.check(self.arm.roles, ask)
            return self.arm.answer(ask)
        except Refused as refused:
            return Reply(refused.status, refused.body(), refused.headers)

    def _record(self, method: str, target: str, headers: dict[str, str], raw: bytes, reply: Reply) -> None:
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = None
        answer = public(reply.body)
        self.exchanges.append(Exchange(method, target, body, reply.status, answer, headers))


def public(value: Any) -> Any:
    """Without what the fake keeps for itself (names that begin with an underscore)."""
    if isinstance(value, dict):
        return {key: public(item) for key, item in value.items() if not key.startswith("_")}
    if isinstance(value, list):
        return [public(item) for item in value]
    return value


@contextlib.contextmanager
def serving(
    arm: Arm, cert: Path, port: int = 0, name: str = "localhost", consoles: Callable[[str], bytes] | None = None
) -> Iterator[Server]:
    """Serve `arm` on 127.0.0.1 with TLS until the block ends."""
    numbers = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60
        wbufsize = 65536  # head and body in one packet: two would meet Nagle and a delayed ACK, 40 ms a request

        def setup(self) -> None:
            # The handshake belongs here, in the connection's own thread: a client that connects and says
            # nothing must not hold up the others.
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def log_message(self, *_: object) -> None:
            pass

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            lower = {key.lower(): value for key, value in self.headers.items()}
            if self.path.startswith("/bootdiagnostics/"):
                return self._console()
            reply = server.handle(self.command, self.path, lower, raw)
            if reply is None:
                self.close_connection = True
                self.connection.close()
                return None
            data = b"" if reply.body is None else json.dumps(public(reply.body)).encode()
            self.send_response(reply.status)
            for key, value in reply.headers.items():
                self.send_header(key, value)
            self.send_header("x-ms-request-id", f"00000000-0000-4000-8000-{next(numbers):012d}")
            self.send_header("x-ms-correlation-request-id", str(uuid.UUID(int=7)))
            if data:
                self.send_header("Content-Type", "application/json; charset=utf-8")
            if reply.status != 204:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
            return None

        def _console(self) -> None:
            machine = self.path.split("/")[2]
            found = b""
            for vm in arm.of_kind("Microsoft.Compute/virtualMachines"):
                guest = arm.guests.get(vm["id"].lower())
                if guest and vm["properties"]["vmId"] == machine and "sig=console-secret" in self.path:
                    found = guest.console()
            self.send_response(200)
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = _serve

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # broken connections are what some tests ask for

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert)
    http = Quiet(("127.0.0.1", port), Handler)
    suffix = "" if http.server_port == 443 else f":{http.server_port}"
    server = Server(arm, f"https://{name}{suffix}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        for guest in arm.guests.values():
            guest.stop()
