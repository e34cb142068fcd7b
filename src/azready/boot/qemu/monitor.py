"""QEMU's monitor (QMP): its events as they come, the state it says to be in, and the few commands that a boot gives."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

Event = Callable[[str, dict[str, Any]], None]


class Monitor:
    """A connected socket whose other end is QEMU's monitor. `on_event(name, data)` is called on a thread of its own.

    Where QEMU stops the guest (the event STOP), it is asked why, which `status` then says.
    """

    def __init__(self, connection: socket.socket, on_event: Event) -> None:
        self.status = ""
        """QEMU's run state as last told (`running`, `internal-error`, `io-error`, `paused` …); empty: not asked yet."""
        self.heard = time.monotonic()
        """When QEMU last said anything at all."""
        self._socket, self._on_event = connection, on_event
        self._sending = threading.Lock()
        self._thread = threading.Thread(target=self._read, name="azready-qmp", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.tell("qmp_capabilities")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()

    def tell(self, command: str, **arguments: str) -> None:
        """Give a command, with `_` for `-` in the names of its arguments; harmless when QEMU has ended."""
        words = {name.replace("_", "-"): value for name, value in arguments.items()}
        with self._sending, contextlib.suppress(OSError):
            self._socket.sendall(json.dumps({"execute": command, "arguments": words}).encode() + b"\n")

    def _read(self) -> None:
        with self._socket.makefile("rb") as lines, contextlib.suppress(OSError, ValueError, RecursionError):
            for line in lines:
                if isinstance(message := json.loads(line), dict):
                    self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        self.heard = time.monotonic()
        if "event" in message:
            if message["event"] == "STOP":
                self.tell("query-status")
            self._on_event(message["event"], message.get("data", {}))
        elif isinstance(answer := message.get("return"), dict) and "status" in answer:
            self.status = str(answer["status"])
