"""The only way out of an image whose package manager asks its repositories: an HTTP proxy of ours.

The image's programs have a network of their own with loopback alone. There the proxy's socket listens; whoever accepts
on it stands outside. So names are resolved here, and each address is looked at before anything is sent to it: the
platform's own (Azure's WireServer and IMDS, link-local), this machine's loopback and what is no address of one machine
are refused. A proxy that this machine's environment names (http_proxy, https_proxy) is gone through.
"""

import base64
import contextlib
import ipaddress
import logging
import re
import selectors
import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterator

from azready.addresses import WIRESERVER

PORT = 3128
"""On loopback of the image's own network."""
ENVIRONMENT = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), f"http://127.0.0.1:{PORT}")
"""As apt, dnf, zypper, apk and pacman look for a proxy."""

_LOG = logging.getLogger("azready")
_WIRESERVER = ipaddress.ip_address(WIRESERVER)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_HEAD, _CHUNK, _SAID = 64 * 1024, 256 * 1024, 20
_TIMEOUT = 60.0
"""Seconds in which a server must be reached, or say something."""
_REQUEST = re.compile(rb"(?P<method>[A-Z]+) (?P<target>\S+) HTTP/1\.[01]\r\n")
_OF_ONE_HOP = re.compile(rb"(?im)^(?:Connection|Proxy-Connection|Keep-Alive|Proxy-Authorization):[^\n]*\n")


class Refused(Exception):
    """An answer of the proxy itself: a status and a sentence."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def allowed(address: str) -> bool:
    """Whether an image may speak to this address: not to the platform, nor to this machine by loopback."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None)
        ip = inner or ip
    return not (ip == _WIRESERVER or ip.is_link_local or ip.is_loopback or ip.is_multicast or ip.is_unspecified)


@contextlib.contextmanager
def proxy(channel: socket.socket, may: Callable[[str], bool] = allowed) -> Iterator[list[str]]:
    """Serve on the socket that comes over `channel` from inside, while the block lasts. Yields what was refused, and
    why: package managers say the status only."""
    stopped, stopper = socket.socketpair()
    said: list[str] = []
    serving = threading.Thread(target=_serve, args=(channel, stopped, may, said), name="azready-outward", daemon=True)
    serving.start()
    try:
        yield said
    finally:
        stopper.close()
        serving.join(5)


def _serve(channel: socket.socket, stopped: socket.socket, may: Callable[[str], bool], said: list[str]) -> None:
    with selectors.DefaultSelector() as selector, stopped, contextlib.ExitStack() as stack:
        selector.register(stopped, selectors.EVENT_READ)
        selector.register(channel, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is stopped:
                    return
                if key.fileobj is channel:
                    selector.unregister(channel)
                    for number in socket.recv_fds(channel, 16, 1)[1]:
                        listening = stack.enter_context(socket.socket(fileno=number))
                        selector.register(listening, selectors.EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    client = key.fileobj.accept()[0]
                    threading.Thread(target=_answer, args=(client, may, said), daemon=True).start()


def _answer(client: socket.socket, may: Callable[[str], bool], said: list[str]) -> None:
    with client, contextlib.suppress(OSError):
        client.settimeout(_TIMEOUT)
        head, rest = _head(client)
        try:
            server, opening, tunnel = _forward(head, may)
        except Refused as refused:
            _LOG.debug("proxy: %s", refused)
            if str(refused) not in said and len(said) < _SAID:
                said.append(str(refused))
            text = f"azready: {refused}\n"
            client.sendall(
                f"HTTP/1.1 {refused.status} {refused}\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                f"Content-Length: {len(text)}\r\n\r\n{text}".encode("ascii", "replace")
            )
            return
        with server:
            if tunnel:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            server.sendall(opening + rest)
            _relay(client, server)


def _head(client: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data and len(data) < _HEAD:
        piece = client.recv(_CHUNK)
        if not piece:
            break
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n", rest


def _target(method: str, target: str) -> tuple[urllib.parse.SplitResult, str, int]:
    """What is asked for, and the host and port that have it. Raises Refused."""
    try:
        url = urllib.parse.urlsplit(f"//{target}" if method == "CONNECT" else target)
        host, port = url.hostname, url.port or (443 if method == "CONNECT" else 80)
    except ValueError as error:
        raise Refused(400, f"{target} is nothing that a proxy reaches") from error
    if not host or (method != "CONNECT" and url.scheme != "http"):
        raise Refused(400, f"{target} is nothing that a proxy reaches")
    return url, host, port


def _forward(head: bytes, may: Callable[[str], bool]) -> tuple[socket.socket, bytes, bool]:
    """A connection to who is asked, what to send it first, and whether the client is told that it stands."""
    asked = _REQUEST.match(head)
    if asked is None:
        raise Refused(400, "this is no request to a proxy")
    method = asked["method"].decode()
    url, host, port = _target(method, asked["target"].decode(errors="replace"))
    fields = _OF_ONE_HOP.sub(b"", head[asked.end() :])
    _LOG.debug("proxy: %s to %s:%s", method, host, port)  # a path may hold a token, an address a password
    if (upstream := _upstream("https" if method == "CONNECT" else "http", host)) is not None:
        _require_literal(host, may)
        login = _login(upstream)
        opening = asked[0] + fields + login + (b"" if method == "CONNECT" else b"Connection: close\r\n") + b"\r\n"
        return _connect(upstream.hostname or "", upstream.port or 80, lambda address: True), opening, False
    server = _connect(host, port, may)
    if method == "CONNECT":
        return server, b"", True
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")  # urlunsplit would double slashes at its head
    return server, f"{method} {path} HTTP/1.1\r\n".encode() + fields + b"Connection: close\r\n\r\n", False


def _upstream(scheme: str, host: str) -> urllib.parse.SplitResult | None:
    """The proxy that this machine itself goes through to such an address. Raises Refused for one of another kind."""
    import urllib.request  # brings all of HTTP and TLS, and few targets run a program that goes outward

    found = urllib.request.getproxies().get(scheme, "")
    if not found or urllib.request.proxy_bypass(host):
        return None
    url = urllib.parse.urlsplit(found if "://" in found else f"http://{found}")
    if url.scheme != "http":
        raise Refused(502, f"{scheme}_proxy of this machine is a {url.scheme} proxy: azready goes through http alone")
    return url


def _login(upstream: urllib.parse.SplitResult) -> bytes:
    if not upstream.username:
        return b""
    words = ":".join(urllib.parse.unquote(each or "") for each in (upstream.username, upstream.password))
    return b"Proxy-Authorization: Basic " + base64.b64encode(words.encode()) + b"\r\n"


def _require_literal(host: str, may: Callable[[str], bool]) -> None:
    """Names are the other proxy's to resolve; an address that is written out is judged here, too, however it is
    (0xa9fea9fe)."""
    named = host.removesuffix(".")
    try:
        found = socket.getaddrinfo(named, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        found = []
    if named.endswith(".localhost") or named == "localhost" or not all(may(str(place[0])) for *_, place in found):
        raise Refused(403, f"{host} is not reached from an image")


def _connect(host: str, port: int, may: Callable[[str], bool]) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(502, f"{host} is not found: {getattr(error, 'strerror', None) or error}") from error
    why = ""
    for family, kind, protocol, _, place in found:
        if not may(str(place[0])):
            raise Refused(403, f"{host} ({place[0]}) is not reached from an image")
        server = socket.socket(family, kind, protocol)
        try:
            server.settimeout(_TIMEOUT)
            server.connect(place)
        except OSError as error:
            server.close()
            why = error.strerror or str(error)
            continue
        return server
    raise Refused(502, f"{host} does not answer: {why}")


def _relay(client: socket.socket, server: socket.socket) -> None:
    """Carry bytes both ways until one side is done with it; a side that has said all may still listen."""
    other = {client: server, server: client}
    with selectors.DefaultSelector() as selector:
        for each in other:
            selector.register(each, selectors.EVENT_READ)
        while selector.get_map() and (ready := selector.select(_TIMEOUT)):
            for key, _ in ready:
                if not isinstance(source := key.fileobj, socket.socket):
                    continue
                if data := source.recv(_CHUNK):
                    other[source].sendall(data)
                    continue
                selector.unregister(source)
                with contextlib.suppress(OSError):
                    other[source].shutdown(socket.SHUT_WR)
                if source is server:
                    return
