"""A stand-in for Azure's Guest Proxy Agent: latches the machine's key, then signs what it passes on.

Written after Azure/GuestProxyAgent (key_keeper/key.rs, hyper_client.rs), and apart from the fabric's own reading.
The real one redirects connections by eBPF. Guests of tests are pointed at this one; or it is installed as
`azure-proxy-agent`, run by a unit, and lets nftables redirect what does not bear its mark. It imports nothing of ours.
"""

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

READY = Path("/run/azure-proxy-agent/ready")
PLATFORM = ("168.63.129.16:80", "168.63.129.16:32526", "169.254.169.254:80")
MARK = 0x6A


@dataclass(frozen=True)
class Got:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Channel:
    """The key that an agent has latched."""

    guid: str
    key: bytes


def _canonical_query(query: str) -> str:
    parts = [word.partition("=") for word in query.split("&") if word and not word.startswith("=")]
    ordered = sorted({name.lower() + value: (name.lower(), value) for name, _, value in parts}.items())
    return "&".join(f"{name}={value}" if value else name for _, (name, value) in ordered)


def send(url: str, method: str, target: str, headers: dict[str, str], body: bytes, channel: Channel | None) -> Got:
    """Send a request as the agent does; signed where there is a channel."""
    base = urlsplit(url)
    sent = {name.lower(): value for name, value in headers.items()}
    sent |= {"host": base.hostname or "", "x-ms-azure-host-date": formatdate(usegmt=True)}
    sent |= {"x-ms-azure-host-claims": '{ "isRoot": "true"}', "content-length": str(len(body))}
    for dropped in ("connection", "accept-encoding", "x-ms-azure-host-authorization"):
        sent.pop(dropped, None)
    if channel is not None:
        parts = urlsplit(target)
        lines = "".join(f"{name}:{sent[name].strip()}\n" for name in sorted(sent))
        text = f"{method}\n".encode() + body + b"\n" + lines.encode() + f"{parts.path}\n".encode()
        text += _canonical_query(parts.query).encode()
        signature = hmac.new(channel.key, text, hashlib.sha256).hexdigest()
        sent["x-ms-azure-host-authorization"] = f"Azure-HMAC-SHA256 {channel.guid} {signature}"
    connection = http.client.HTTPConnection(base.hostname or "", base.port, timeout=10)
    with contextlib.closing(connection):
        connection.sock = _connected(base.hostname or "", base.port or 80)
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return Got(answer.status, dict(answer.getheaders()), answer.read())


def _connected(host: str, port: int) -> socket.socket:
    """A connection that the redirection leaves alone, where we may mark it."""
    sock = socket.socket()
    sock.settimeout(10)
    with contextlib.suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
    sock.connect((host, port))
    return sock


def latch(wireserver: str) -> Channel:
    """Ask for the channel's state, get the key, and attest it."""
    metadata = {"Metadata": "True "}
    status = json.loads(send(wireserver, "GET", "/secure-channel/status", metadata, b"", None).body)
    assert status["authorizationScheme"] == "Azure-HMAC-SHA256" and status["secureChannelEnabled"]
    wanted = b'{"authorizationScheme": "Azure-HMAC-SHA256"}'
    given = json.loads(send(wireserver, "POST", "/secure-channel/key", metadata, wanted, None).body)
    channel = Channel(given["guid"], bytes.fromhex(given["key"]))
    attested = send(wireserver, "POST", f"/secure-channel/key/{channel.guid}/key-attestation", metadata, b"", channel)
    assert attested.status == 200
    return channel


@contextlib.contextmanager
def standing_in(upstream: str, channel: Channel) -> Iterator[str]:
    """A URL of loopback at which every request is signed and passed on to `upstream`."""

    class Passing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            got = send(upstream, self.command, self.path, dict(self.headers), body, channel)
            self.send_response(got.status)
            for name, value in got.headers.items():
                if name.lower() not in ("connection", "date", "server"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(got.body)

        do_POST = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def redirect(number: int, upstream: str, port: int) -> str:
    """What nft makes of a connection to the platform that is not ours."""
    host, _, there = upstream.partition(":")
    table = f"table ip guest_proxy_{number}"
    rule = f"meta mark != {MARK} ip daddr {host} tcp dport {there} redirect to :{port}"
    return f"{table} {{ chain output {{ type nat hook output priority -100; {rule}; }}; }}"


def serve() -> None:
    """Latch the key as soon as the platform can be reached, take over its addresses, say so, and stay."""
    while True:
        try:
            channel = latch(f"http://{PLATFORM[0]}")
            break
        except OSError:
            time.sleep(0.2)
    with contextlib.ExitStack() as stack:
        for number, upstream in enumerate(PLATFORM):
            url = stack.enter_context(standing_in(f"http://{upstream}", channel))
            rules = redirect(number, upstream, urlsplit(url).port or 0)
            subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
        READY.parent.mkdir(exist_ok=True)
        READY.touch()
        threading.Event().wait()


def wait(seconds: float) -> int:
    """`--status --wait`: whether the agent is ready within that time."""
    deadline = time.monotonic() + seconds
    while not READY.exists():
        if time.monotonic() > deadline:
            return 1
        time.sleep(0.1)
    return 0


if __name__ == "__main__":
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    if sys.argv[1:3] == ["--status", "--wait"]:
        sys.exit(wait(float(sys.argv[3])))
    serve()
