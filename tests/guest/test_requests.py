# ruff: noqa: E501 (tables)
"""One HTTP request of the guest, as it is sent, and what becomes of its answer."""

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import pytest

Said = pytest.CaptureFixture[str]


@contextmanager
def _server(*pieces: bytes, hold: float = 0) -> Iterator[tuple[tuple[str, int], list[bytes]]]:
    """A server on loopback that takes one request and answers by these pieces."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65536))
                for piece in pieces:
                    connection.sendall(piece)
                done.wait(hold)

        done = threading.Event()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname(), heard
        done.set()
        thread.join(10)


def test_a_request_as_it_is_sent(guest: ModuleType) -> None:
    with _server(b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 2\r\n\r\no", b"k", hold=30) as (address, heard):
        response = guest.fetch(address, "POST", "/x?y", [("a", "b")], b"body")
    assert (str(response), response.body) == ("200 OK", b"ok")
    head = f"POST /x?y HTTP/1.1\r\nHost: 127.0.0.1:{address[1]}\r\nUser-Agent: azure-provisioning/{guest.VERSION}\r\n"
    assert heard == [f"{head}Accept: */*\r\nConnection: close\r\na: b\r\nContent-Length: 4\r\n\r\nbody".encode()]
    with _server(b"HTTP/1.1 404 Not Found\r\n\r\ngone") as (address, heard):
        response = guest.fetch(address, "GET", "/", [])
    assert (response.status, response.body, b"Content-Length" in heard[0]) == (404, b"gone", False)


@pytest.mark.parametrize(
    ("answer", "hold", "reason", "text"),
    [
        (b"no HTTP\r\n\r\n", 0, "error parsing IMDS metadata", "not an HTTP answer"),
        (b"", 0, "error parsing IMDS metadata", "an empty answer"),
        (b"HTTP/1.1 200 OK\r\n", 30, "connection timeout querying IMDS", "timed out"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (1 << 20) + b"y" * 66000, 0, "error parsing IMDS metadata", "the answer is too large"),
    ],
    ids=["no HTTP", "empty", "late", "large"],
)  # fmt: skip
def test_answers_that_are_none(
    guest: ModuleType, monkeypatch: pytest.MonkeyPatch, answer: bytes, hold: float, reason: str, text: str
) -> None:
    monkeypatch.setattr(guest, "ANSWER_LIMIT", 0.3 if hold else 60.0)
    with _server(answer, hold=hold) as (address, _):
        response, problem = guest.try_fetch(address, "GET", "/", [])
    assert (response, problem.reason, problem.text, problem.unreachable) == (None, reason, text, False)


class Wire:
    """A socket that nothing leaves: what is asked of it is noted, and it answers by these pieces."""

    def __init__(self, pieces: list[bytes], unmarked: bool) -> None:
        self.pieces, self.unmarked, self.asked = pieces, unmarked, list[tuple[object, ...]]()

    def setsockopt(self, *words: int) -> None:
        self.asked.append(("mark", *words))
        if self.unmarked:
            raise PermissionError

    def settimeout(self, seconds: float) -> None:
        self.asked.append(("limit", round(seconds)))

    def connect(self, address: tuple[str, int]) -> None:
        self.asked.append(("connect", *address))

    def sendall(self, data: bytes) -> None:
        self.asked.append(("send", data.split(b"\r\n")[1].decode()))

    def recv(self, size: int) -> bytes:
        self.asked.append(("receive",))
        return self.pieces.pop(0)

    def close(self) -> None:
        self.asked.append(("close",))


@pytest.mark.parametrize(("host", "marked"), [("192.0.2.1", True), ("192.0.2.2", False)])
@pytest.mark.parametrize("unmarked", [False, True])
def test_a_connection_from_its_beginning_to_its_end(
    guest: ModuleType, monkeypatch: pytest.MonkeyPatch, host: str, marked: bool, unmarked: bool
) -> None:
    """The mark that systemd's lock lets through; a limit for the connection, another for the answer; closed at last."""
    import _socket

    assert guest.IMDS == "http://169.254.169.254"
    monkeypatch.setattr(guest, "IMDS", "http://192.0.2.1")  # whatever becomes of the socket, nothing is sent to Azure's
    wire = Wire([b"HTTP/1.1 200 OK\r\n", b"Content-Length: 0\r\n\r\n"], unmarked)
    monkeypatch.setattr(_socket, "socket", lambda *_: wire)
    assert guest.fetch((host, 80), "GET", "/", []).status == 200
    assert wire.asked == [
        *([("mark", socket.SOL_SOCKET, socket.SO_MARK, 0x7FFF0815)] if marked else []),
        ("limit", 2),
        ("connect", host, 80),
        ("limit", 10),
        ("send", f"Host: {host}"),
        *[("limit", 10), ("receive",)] * 2,
        ("close",),
    ]


def test_an_answer_may_have_a_mebibyte(guest: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import _socket

    wire = Wire([b"HTTP/1.1 200 OK\r\n\r\n", b"x" * (1 << 20), b""], False)
    monkeypatch.setattr(_socket, "socket", lambda *_: wire)
    assert len(guest.fetch(("10.0.0.1", 80), "GET", "/", []).body) == 1 << 20


def test_an_answer_has_ten_seconds_in_all(guest: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import _socket

    wire, times = Wire([b"x"] * 9, False), iter([100.0, 104.0, 109.0, 110.0])
    monkeypatch.setattr(_socket, "socket", lambda *_: wire)
    monkeypatch.setattr(guest, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with pytest.raises(TimeoutError, match="timed out"):
        guest.fetch(("10.0.0.1", 8080), "GET", "/", [])
    limits = [words[1] for words in wire.asked if words[0] == "limit"]
    assert (limits, wire.asked[-1]) == ([2, 10, 6, 1], ("close",))


def test_a_port_that_nobody_serves(guest: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    response, problem = guest.try_fetch(address, "GET", "/", [])
    assert (response, problem.text, problem.unreachable) == (None, "Connection refused", False)


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN])
def test_a_network_that_is_not_there_yet(guest: ModuleType, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "not there")

    monkeypatch.setattr(guest, "fetch", fail)
    _, problem = guest.try_fetch(("127.0.0.1", 1), "GET", "/", [])
    assert (problem.reason, problem.text, problem.unreachable) == ("failure to obtain DHCP lease", "not there", True)


@pytest.mark.parametrize(
    ("answer", "reason", "text"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n{\"compute\": {}}", "", ""),
        (b"HTTP/1.1 500 Bad\r\n\r\n", "http error 500 querying IMDS", "500 Bad"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "error parsing IMDS metadata", "no compute in the IMDS document"),
    ],
)  # fmt: skip
def test_one_try_at_imds(guest: ModuleType, capfd: Said, answer: bytes, reason: str, text: str) -> None:
    for old, version in ((True, "2019-06-01"), (False, "2021-08-01&extended=true")):
        with _server(answer) as (address, heard):
            document, problem = guest.ask_imds(address, old)
        assert heard[0].startswith(f"GET /metadata/instance?api-version={version} HTTP".encode())
        assert b"\r\nMetadata: true\r\n" in heard[0]
        assert ((problem.reason, problem.text) if problem else ("", "")) == (reason, text)
        assert (document, capfd.readouterr().err) == (
            (None, "") if reason else ({"compute": {}}, "IMDS: 200 OK, 15 bytes\n")
        )
        assert not problem or problem.response
