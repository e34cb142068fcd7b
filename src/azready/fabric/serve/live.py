"""The fabric, running: a thread that serves one machine's platform (or many machines') on given sockets.

with Fabric(Machine(name="web-1")) as fabric:
    run_the_guest(fabric.imds_url, fabric.wireserver_url)
    print(fabric.verdict(deadline=30))
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from types import TracebackType
from typing import Self

from azready.errors import Failure
from azready.fabric import faults as faulty
from azready.fabric.faults import Fault
from azready.fabric.ledger import Entry, Exchange, Ledger, Service
from azready.fabric.machine import Machine
from azready.fabric.protocol import dhcp, dns, instance, platform
from azready.fabric.protocol.findings import found
from azready.fabric.protocol.messages import Answer, Request, Response, Rules
from azready.fabric.serve import datagrams
from azready.fabric.serve.http import Delivery, Malformed, has_body, head, serve_connection
from azready.fabric.verdict import Verdict, decided, judge

START_SECONDS = 10.0


@dataclass
class Vm:
    """One machine as it lives in the fabric: what was asked for, what it did, how often each fault met it."""

    machine: Machine
    ledger: Ledger
    counts: faulty.Counts = field(default_factory=dict)


class Fabric:
    """A local Azure in this process, on a thread of its own.

    `sockets` maps services (`wireserver`, `imds`, `hostplugin`; `dhcp`, `dns`, `dns-tcp`) to sockets that are bound,
    and listening if they are of streams, made anywhere (a network namespace too); the fabric closes them. Without
    it: ephemeral ports of 127.0.0.1. `machines` adds machines by the address they ask from or by the Host header they
    send; all others are `machine`.
    """

    def __init__(
        self,
        machine: Machine | None = None,
        *,
        strict: bool = True,
        faults: Sequence[Fault] = (),
        sockets: Mapping[Service, socket.socket] | None = None,
        machines: Mapping[str, Machine] | None = None,
        rules: Rules | None = None,
        seed: int = 0,
    ) -> None:
        self.rules = replace(rules or Rules(), strict=strict)
        self.seed = seed
        self.faults: tuple[Fault, ...] = tuple(faults)
        self._vm = Vm(machine or Machine(), Ledger())
        self._vms = {key: Vm(other, Ledger(limit=FLEET_LIMIT, bodies=False)) for key, other in (machines or {}).items()}
        self._sockets = dict(sockets) if sockets is not None else None
        self._addresses: dict[Service, tuple[str, int]] = {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    # --- life ---

    def start(self) -> Self:
        """Listen and serve. Raises Failure when a socket cannot be had, UsageFailure for what IMDS cannot show."""
        for vm in (self._vm, *self._vms.values()):  # what cannot be shown is said before a guest asks for it
            instance.document(vm.machine, instance.VERSIONS[-1], True)
        sockets = self._sockets if self._sockets is not None else loopback_sockets()
        self._addresses = {service: sock.getsockname()[:2] for service, sock in sockets.items()}
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(sockets, started), name="azready-fabric", daemon=True)
        self._thread.start()
        try:
            started.result(START_SECONDS)
        except (OSError, ValueError, TimeoutError) as error:
            raise Failure(
                f"the fabric cannot serve on its sockets: {error}", "give sockets that are listening"
            ) from error
        return self

    def stop(self) -> None:
        """End every connection and close the sockets. Harmless when it was never started, or twice."""
        if self._loop is not None and self._stopping is not None and self._thread is not None:
            try:
                self._loop.call_soon_threadsafe(self._stopping.set)
            except RuntimeError:  # the loop is closed already
                pass
            self._thread.join(START_SECONDS)
        self._thread = self._loop = self._stopping = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- the machine, and its boots ---

    @property
    def machine(self) -> Machine:
        return self._vm.machine

    @machine.setter
    def machine(self, machine: Machine) -> None:
        self._vm.machine = machine

    @property
    def ledger(self) -> Ledger:
        """What the machine did since the last `restart`. Boots add DHCP, medium and KVP entries with `record`."""
        return self._vm.ledger

    def ledger_of(self, key: str) -> Ledger:
        """The ledger of one of `machines`."""
        return self._vms[key].ledger

    def record(self, *entries: Entry) -> None:
        """Take entries that others observed (DHCP, medium, KVP) into the ledger."""
        self._vm.ledger.record(*entries)

    def restart(self, machine: Machine | None = None, faults: Sequence[Fault] | None = None) -> None:
        """Another boot begins: an empty ledger with a new epoch, faults counted anew; another machine when given."""
        self._vm.counts.clear()
        if machine is not None:
            self._vm.machine = machine
        if faults is not None:
            self.faults = tuple(faults)
        self._vm.ledger.restart()

    def new_goal_state(self) -> None:
        """The platform changes its mind: the goal state's incarnation goes up."""
        self._vm.machine = self._vm.machine.with_next_incarnation()

    def verdict(self, deadline: float) -> Verdict:
        """Wait until the platform knows how provisioning went, at most until `deadline` s after the boot began."""
        remaining = max(0.0, deadline - self.ledger.now())
        self.ledger.wait_for(decided, remaining)
        return judge(self.ledger, deadline)

    # --- where it is ---

    def address(self, service: Service) -> tuple[str, int]:
        """Host and port of a service."""
        return self._addresses[service]

    def url(self, service: Service) -> str:
        host, port = self._addresses[service]
        return f"http://{host}" if port == 80 else f"http://{host}:{port}"

    @property
    def urls(self) -> dict[str, str]:
        """HTTP service → its URL."""
        return {service: self.url(service) for service in self._addresses if service in platform.PROTOCOLS}

    @property
    def imds_url(self) -> str:
        """`http://HOST:PORT` of IMDS, without a path."""
        return self.url("imds")

    @property
    def wireserver_url(self) -> str:
        """`http://HOST:PORT` of the WireServer, without a path."""
        return self.url("wireserver")

    # --- serving ---

    def _run(self, sockets: Mapping[Service, socket.socket], started: Future[None]) -> None:
        try:
            asyncio.run(self._main(sockets, started))
        except (OSError, ValueError) as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _main(self, sockets: Mapping[Service, socket.socket], started: Future[None]) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()
        servers = []
        ends = []
        for service, sock in sockets.items():
            sock.setblocking(False)
            if sock.type == socket.SOCK_DGRAM:
                ends.append(datagrams.hear(sock, self._datagram(service, sock)))
            else:
                servers.append(await asyncio.start_server(self._connected(service, tasks), sock=sock, backlog=4096))
        started.set_result(None)
        await self._stopping.wait()
        for end in ends:
            end()
        for server in servers:
            server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _connected(
        self, service: Service, tasks: set[asyncio.Task[None]]
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving = (
                datagrams.answer_stream(reader, writer, lambda query: dns.answer(query, self._vm.machine))
                if service == "dns-tcp"
                else serve_connection(reader, writer, lambda request: self._handle(service, request))
            )
            task = asyncio.ensure_future(serving)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        return connected

    def _datagram(self, service: Service, sock: socket.socket) -> Callable[[bytes, tuple[str, int]], None]:
        def asked(query: bytes, source: tuple[str, int]) -> None:
            said = dns.answer(query, self._vm.machine)
            if said is not None:
                with contextlib.suppress(OSError):
                    sock.sendto(said, source)

        def wants_address(packet: bytes, source: tuple[str, int]) -> None:
            machine, ledger = self._vm.machine, self._vm.ledger
            ledger.record(*dhcp.entries(packet, ledger.now(), machine))
            said = dhcp.answer(packet, machine, self.faults, self._addresses["wireserver"][0])
            if said is not None:
                wait = dhcp.delay(self.faults)
                asyncio.get_running_loop().call_later(wait, self._lease, sock, said, source[0])

        return wants_address if service == "dhcp" else asked

    def _lease(self, sock: socket.socket, answer: bytes, client: str) -> None:
        self._vm.ledger.record(*dhcp.entries(answer, self._vm.ledger.now(), self._vm.machine))
        datagrams.send_lease(sock, answer, client, dhcp.WIRESERVER)

    def _vm_of(self, request: Request | Malformed) -> Vm:
        if self._vms:
            host = (request.header("Host") or "").partition(":")[0] if isinstance(request, Request) else ""
            return self._vms.get(host) or self._vms.get(request.source) or self._vm
        return self._vm

    def _handle(self, service: Service, request: Request | Malformed) -> Delivery:
        vm = self._vm_of(request)
        if isinstance(request, Malformed):
            return _refuse(vm, service, request)
        began = time.perf_counter()
        request = replace(request, at=vm.ledger.now())
        fault = faulty.choose(self.faults, vm.counts, service, request, self.seed) if self.faults else None
        if fault is not None:
            return self._disturbed(vm, service, request, fault)
        answer = platform.answer(service, request, vm.machine, vm.ledger, self.rules)
        took = time.perf_counter() - began
        vm.ledger.record(_exchange(service, request, answer.response, took, vm.ledger.bodies), *answer.notes)
        return Delivery(answer.response)

    def _disturbed(self, vm: Vm, service: Service, request: Request, fault: Fault) -> Delivery:
        """Answer with a fault. What it replaces was never seen by the platform: such a report changes nothing."""
        if fault.unseen:
            answer = Answer(Response(fault.status or 500))
        else:
            answer = platform.answer(service, request, vm.machine, vm.ledger, self.rules)
        response = faulty.spoil(answer.response, fault, self.seed, formatdate(time.time() + 2, usegmt=True))
        entry = _exchange(service, request, None if fault.unanswered else response, fault.delay, vm.ledger.bodies)
        vm.ledger.record(replace(entry, fault=fault.name or "fault"), *answer.notes)
        vm.machine = faulty.changed(vm.machine, fault)
        if fault.disturbs:
            body = response.body if has_body(request.method, response.status) else b""
            return Delivery(steps=faulty.steps(head(response, fault.length), body, fault))
        return Delivery(response, fault.delay)


FLEET_LIMIT = 64
"""Entries kept for each of many machines; reports are kept beside them."""


def _refuse(vm: Vm, service: Service, request: Malformed) -> Delivery:
    at = vm.ledger.now()
    response = Response(request.status)
    vm.ledger.record(
        Exchange(at, service, "?", "?", request.status, request.source),
        found(at, "http-malformed", fault=request.fault),
    )
    return Delivery(response)


def _exchange(service: Service, request: Request, response: Response | None, took: float, bodies: bool) -> Exchange:
    status = None if response is None else response.status
    if not bodies:
        return Exchange(request.at, service, request.method, request.target, status, request.source, took=took)
    return Exchange(
        request.at,
        service,
        request.method,
        request.target,
        status,
        request.source,
        request.headers,
        request.body.decode("utf-8", "replace"),
        "" if response is None else response.body.decode("utf-8", "replace"),
        took,
    )


def loopback_sockets(ports: Mapping[Service, int] | None = None) -> dict[Service, socket.socket]:
    """Listening sockets on 127.0.0.1; port 0, or none given, is any free one. Raises Failure when one is taken."""
    sockets: dict[Service, socket.socket] = {}
    for service in platform.PROTOCOLS:
        port = (ports or {}).get(service, 0)
        try:
            sockets[service] = socket.create_server(("127.0.0.1", port), backlog=4096)
        except OSError as error:
            for sock in sockets.values():
                sock.close()
            message = f"port {port} of 127.0.0.1, for the {service}, cannot be had: {error.strerror}"
            raise Failure(message, f"give another with --{service}-port, or 0 for any free one") from error
    return sockets
