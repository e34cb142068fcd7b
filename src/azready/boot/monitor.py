"""QEMU's monitor (QMP): its events as they come, and the few commands that a boot gives."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Event = Callable[[str, dict[str, Any]], None]


class Monitor:
    """A connection to QEMU's monitor socket. `on_event(name, data)` is called on a thread of its own."""

    def __init__(self, path: Path, on_event: Event, patience: float = 10.0) -> None:
        self._path, self._on_event, self._patience = path, on_event, patience
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        until = time.monotonic() + self._patience
        while self._socket is None and time.monotonic() < until:
            one = socket.socket(socket.AF_UNIX)
            try:
                one.connect(str(self._path))
                self._socket = one
            except OSError:  # QEMU has not come so far, or has ended
                one.close()
                time.sleep(0.02)
        if self._socket is not None:
            self._thread = threading.Thread(target=self._read, name="azready-qmp", daemon=True)
            self._thread.start()
            self.tell("qmp_capabilities")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            if self._thread is not None:
                self._thread.join(5)
            self._socket.close()

    def tell(self, command: str) -> None:
        """Give a command without arguments; harmless when QEMU has ended."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendall(json.dumps({"execute": command}).encode() + b"\n")

    def _read(self) -> None:
        assert self._socket is not None
        with self._socket.makefile("rb") as lines, contextlib.suppress(OSError, ValueError):
            for line in lines:
                message = json.loads(line)
                if "event" in message:
                    self._on_event(message["event"], message.get("data", {}))
