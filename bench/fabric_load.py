"""One fabric, ten thousand machines: 2,000 requests a second on loopback, beside a plain h11 echo in the same run.

Every machine (known by its Host header) asks IMDS, asks for its goal state, and reports Ready. Servers and client
are processes of their own; both servers meet the same stream, one after the other.
"""

import asyncio
import contextlib
import multiprocessing
import os
import re
import socket
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from bench.__main__ import show
from bench.table import Row

MACHINES = 10_000
RATE = 2_000.0
CONNECTIONS = 200
WANTED_MS = 50.0


@dataclass(frozen=True)
class Figures:
    requests: int
    failed: int
    seconds: float
    p50: float
    p99: float
    cpu: float
    """Of the server, in microseconds a request: what to trust on a busy machine."""
    memory: float
    """Peak of the server, in MiB."""


def _fabric_server(sockets: dict[str, socket.socket], pipe: Connection) -> None:
    from azready.fabric import Fabric, Machine

    machines = {_host(number): Machine(name=f"vm{number}") for number in range(MACHINES)}
    with Fabric(sockets=sockets, machines=machines) as fabric:  # type: ignore[arg-type]
        began = time.process_time()
        pipe.send(None)
        pipe.recv()
        ready = sum(fabric.ledger_of(host).ready is not None for host in machines)
        findings = sum(len(fabric.ledger_of(host).findings) for host in machines)
        pipe.send((ready, findings, time.process_time() - began, _peak()))


def _echo_server(sockets: dict[str, socket.socket], pipe: Connection) -> None:
    """The least that an HTTP server by h11 and asyncio can do: read a request, answer three bytes."""
    asyncio.run(_echo(sockets, pipe))


async def _echo(sockets: dict[str, socket.socket], pipe: Connection) -> None:
    import h11

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        with contextlib.suppress(ConnectionError, h11.RemoteProtocolError):
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(65536))
                elif isinstance(event, h11.ConnectionClosed):
                    break
                elif isinstance(event, h11.EndOfMessage):
                    head = h11.Response(status_code=200, headers=[("Content-Length", "3")])
                    parts = (head, h11.Data(data=b"ok\n"), h11.EndOfMessage())
                    writer.write(b"".join(connection.send(part) or b"" for part in parts))
                    await writer.drain()
                    if connection.our_state is h11.MUST_CLOSE:
                        break
                    connection.start_next_cycle()
        writer.close()

    for sock in sockets.values():
        await asyncio.start_server(serve, sock=sock, backlog=4096)
    began = time.process_time()
    pipe.send(None)
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    pipe.send((0, 0, time.process_time() - began, _peak()))
    await asyncio.Event().wait()  # the parent ends this process


def _peak() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    match = re.search(r"VmHWM:\s+(\d+)", status)
    return int(match[1]) / 1024 if match else 0.0


def _host(number: int) -> str:
    return f"vm{number}.test"


class _Connection(asyncio.Protocol):
    """A kept-alive connection that asks one thing at a time; as light as a client can be beside what it measures."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if found and length and len(body) >= int(length[1]) and self._answer is not None and not self._answer.done():
            self._answer.set_result(self._got)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("closed"))

    async def ask(self, request: bytes) -> bytes:
        assert self._transport is not None
        self._got, self._answer = b"", asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


async def _load(ports: dict[str, int], latencies: list[float]) -> int:
    """CONNECTIONS workers, each with a machine in turn; machines start by the clock, whatever the server's pace.

    A latency counts from the moment when the machine was due, so that a server that stalls cannot hide it.
    Returns how many requests were not answered with 200.
    """
    loop = asyncio.get_running_loop()
    began = time.perf_counter() + 0.2

    async def worker(first: int) -> int:
        links = {
            name: (await loop.create_connection(_Connection, "127.0.0.1", port))[1] for name, port in ports.items()
        }
        failed = 0
        for number in range(first, MACHINES, CONNECTIONS):
            due = began + number * 3 / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            failed += await _one_machine(_host(number).encode(), links, due, latencies)
        return failed

    return sum(await asyncio.gather(*(worker(first) for first in range(CONNECTIONS))))


async def _one_machine(host: bytes, links: dict[str, _Connection], due: float, latencies: list[float]) -> int:
    failed = 0

    async def ask(link: str, head: bytes, body: bytes = b"") -> bytes:
        nonlocal due, failed
        answer = await links[link].ask(b"%s\r\nHost: %s\r\n\r\n%s" % (head, host, body))
        now = time.perf_counter()
        latencies.append(now - due)
        due = now
        failed += b" 200 " not in answer[:20]
        return answer

    await ask("imds", b"GET /metadata/instance?api-version=2021-08-01&extended=true HTTP/1.1\r\nMetadata: true")
    version = b"x-ms-version: 2012-11-30\r\nx-ms-agent-name: load"
    goal_state = await ask("wireserver", b"GET /machine?comp=goalstate HTTP/1.1\r\n" + version)
    ids = [_between(goal_state, tag) for tag in (b"Incarnation", b"ContainerId", b"InstanceId")]
    body = (
        b"<Health><GoalStateIncarnation>%s</GoalStateIncarnation><Container><ContainerId>%s</ContainerId>"
        b"<RoleInstanceList><Role><InstanceId>%s</InstanceId><Health><State>Ready</State></Health></Role>"
        b"</RoleInstanceList></Container></Health>" % tuple(ids)
    )
    post = b"POST /machine?comp=health HTTP/1.1\r\n%s\r\nContent-Type: text/xml\r\nContent-Length: %d"
    await ask("wireserver", post % (version, len(body)), body)
    return failed


def _between(text: bytes, tag: bytes) -> bytes:
    return text.partition(b"<" + tag + b">")[2].partition(b"</" + tag + b">")[0]


def _measure(server: Callable[[dict[str, socket.socket], Connection], None]) -> Figures:
    sockets = {name: socket.create_server(("127.0.0.1", 0), backlog=4096) for name in ("wireserver", "imds")}
    ports = {name: sock.getsockname()[1] for name, sock in sockets.items()}
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=server, args=(sockets, theirs), daemon=True)
    process.start()
    for sock in sockets.values():
        sock.close()
    try:
        ours.recv()
        latencies: list[float] = []
        began = time.perf_counter()
        failed = asyncio.run(_load(ports, latencies))
        seconds = time.perf_counter() - began
        ours.send(None)
        ready, findings, cpu, memory = ours.recv()
    finally:
        process.kill()
        process.join()
    if server is _fabric_server and (ready, findings) != (MACHINES, 0):
        failed += MACHINES - ready
        print(f"  only {ready} of {MACHINES} machines were Ready; {findings} findings")
    cuts = statistics.quantiles(latencies, n=100)
    return Figures(
        len(latencies), failed, seconds, cuts[49] * 1000, cuts[98] * 1000, cpu / len(latencies) * 1e6, memory
    )


def main() -> int:
    """Print figures and ratios; 1 when one fails."""
    print(f"{MACHINES} machines, {RATE:.0f} requests/s over {CONNECTIONS} connections")
    measured: dict[str, Figures] = {}
    for name, server in (("h11 echo", _echo_server), ("fabric", _fabric_server)):
        measured[name] = one = _measure(server)
        print(
            f"  {name:<9} {one.requests} requests in {one.seconds:.1f} s, {one.failed} failed, "
            f"p50 {one.p50:.1f} ms, p99 {one.p99:.1f} ms, {one.cpu:.0f} µs CPU a request, {one.memory:.0f} MiB"
        )
    fabric, echo = measured["fabric"], measured["h11 echo"]
    rows = [
        Row("F1", "CPU a request / h11 echo's", fabric.cpu / echo.cpu, 1.7, 3.0, f"{fabric.cpu:.0f} µs"),
        Row("F2", "p50 / h11 echo's", fabric.p50 / echo.p50, note=f"{fabric.p50:.1f} ms"),
        Row("F3", "p99 / h11 echo's", fabric.p99 / echo.p99, note=f"{fabric.p99:.1f} ms"),
        Row("F4", "requests that failed", fabric.failed, 0, 0, f"of {fabric.requests}", 0),
    ]
    if fabric.p99 > WANTED_MS:
        print(f"  p99 is over {WANTED_MS:.0f} ms; other work on this machine: load {os.getloadavg()[0]:.1f}")
    return show("fabric_load", rows)


if __name__ == "__main__":
    raise SystemExit(main())
