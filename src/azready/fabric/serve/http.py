"""HTTP/1.1 over asyncio streams, framed by h11; answers go out whole, or as a fault wants them."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate

import h11

from azready.fabric.faults import Hang, Reset, Send, Step, Wait
from azready.fabric.protocol.messages import Request, Response

BODY_LIMIT = 1 << 20
IDLE_SECONDS = 75.0
CHUNK = 1 << 16
HEAD_LIMIT = 1 << 15


@dataclass(frozen=True)
class Malformed:
    """What arrived is not a request that can be answered as one."""

    source: str
    fault: str
    status: int = 400


@dataclass(frozen=True)
class Delivery:
    """How to answer: a response, `delay` seconds late; or the steps of a disturbed one, which ends the connection."""

    response: Response | None = None
    delay: float = 0.0
    steps: tuple[Step, ...] = ()


Handle = Callable[[Request | Malformed], Delivery]


async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handle: Handle) -> None:
    """Answer requests of one connection until it ends; never raises for what the other side does."""
    peer = writer.get_extra_info("peername")
    source = peer[0] if isinstance(peer, tuple) else ""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
    try:
        while await _serve_one(connection, reader, writer, source, handle):
            connection.start_next_cycle()
    except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
        pass
    finally:
        with contextlib.suppress(ConnectionError):
            writer.close()


async def _serve_one(
    connection: h11.Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    source: str,
    handle: Handle,
) -> bool:
    """Answer one request; tell whether another one may follow on this connection."""
    try:
        request = await _read_request(connection, reader, writer, source)
    except h11.RemoteProtocolError as error:
        request = Malformed(source, str(error), error.error_status_hint)
    if request is None:
        return False
    delivery = handle(request)
    if delivery.delay:
        await asyncio.sleep(delivery.delay)
    if delivery.response is not None and isinstance(request, Request):
        writer.write(_framed(connection, delivery.response, request.method))
        await writer.drain()
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE
    if delivery.response is not None:
        writer.write(head(delivery.response) + delivery.response.body)
        await writer.drain()
    await _carry_out(delivery.steps, reader, writer)
    return False


async def _read_request(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str
) -> Request | Malformed | None:
    """The next request with its body; None at the end of the connection."""
    start: h11.Request | None = None
    parts: list[bytes] = []
    size = 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                writer.write(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            async with asyncio.timeout(IDLE_SECONDS):
                connection.receive_data(await reader.read(CHUNK))
        elif isinstance(event, h11.Request):
            start = event
        elif isinstance(event, h11.Data):
            size += len(event.data)
            if size > BODY_LIMIT:
                return Malformed(source, f"a body of more than {BODY_LIMIT} bytes", 413)
            parts.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and start is not None:
            return _request(start, b"".join(parts), source)
        else:
            return None


def _request(start: h11.Request, body: bytes, source: str) -> Request:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in start.headers.raw_items())
    return Request(start.method.decode("latin-1"), start.target.decode("latin-1"), headers, body, source)


def _framed(connection: h11.Connection, response: Response, method: str) -> bytes:
    """The bytes of an undisturbed answer; h11 decides whether the connection lives on."""
    headers = [*response.headers, ("Date", formatdate(usegmt=True)), *_length(response)]
    pieces = [
        connection.send(h11.Response(status_code=response.status, headers=headers, reason=response.reason.encode())),
        connection.send(h11.Data(data=response.body)) if has_body(method, response.status) else b"",
        connection.send(h11.EndOfMessage()),
    ]
    return b"".join(piece or b"" for piece in pieces)


def has_body(method: str, status: int) -> bool:
    """Whether an answer may have one: not to HEAD, and never 204 and 304 (RFC 9110, section 6.4.1)."""
    return method != "HEAD" and status not in (204, 304)


def _length(response: Response, falsified: int = 0) -> list[tuple[str, str]]:
    """Content-Length, which HEAD is told as well, but 204 and 304 must not have."""
    if not has_body("", response.status):
        return []
    return [("Content-Length", str(max(0, len(response.body) + falsified)))]


def head(response: Response, length: int = 0) -> bytes:
    """Status line and headers of an answer after which the connection is closed; `length` falsifies Content-Length."""
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in (*response.headers, *_length(response, length))]
    lines += ["Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def _carry_out(steps: tuple[Step, ...], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for step in steps:
        match step:
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case Send(data):
                writer.write(data)
                await writer.drain()
            case Hang():
                while await reader.read(CHUNK):
                    pass
            case Reset():
                _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End with RST: a linger time of zero makes close() drop what is unsent and reset."""
    sock: socket.socket | None = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
