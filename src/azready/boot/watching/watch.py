"""Watching a running guest: its console, its init's word that the boot is complete, and the DHCP server's log.

One thread reads them all and stamps every line with the moment it came.
"""

import codecs
import os
import re
import selectors
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from azready.boot.record import ConsoleLine

_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles, links
    r"|\x1b[@-Z\\-_78=>]|[\x00-\x08\x0b-\x1f\x7f]"
)
_CUT = re.compile(r"\x1b\[[0-9;]*…|…\[?[0-9;]*m")
"""systemd shortens long names without a look at the colours in them."""
CONSOLE_LIMIT = 20_000
"""Lines kept of a console; a guest that loops does not fill the memory."""
LINE_LIMIT = 8 * 1024
"""Characters after which a line is over, with its end or without."""


def clean(text: str) -> str:
    """A console line without control sequences and carriage returns."""
    return _CONTROL.sub("", _CUT.sub("…", text)).rstrip()


@dataclass
class Stream:
    """The lines of one descriptor, as they come."""

    take: Callable[[float, str], None]
    rest: str = ""
    decoder: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))

    def feed(self, at: float, data: bytes) -> None:
        """Take what came at that second; a line is told when it ends, or is longer than LINE_LIMIT."""
        *lines, self.rest = (self.rest + self.decoder.decode(data)).split("\n")
        for line in lines:
            self.take(at, line)
        if len(self.rest) > LINE_LIMIT:
            self.take(at, self.rest)
            self.rest = ""


@dataclass
class Watch:
    """What was seen of one guest since `epoch` (a time.monotonic()). Closes the descriptors that it was given."""

    epoch: float
    console: list[ConsoleLine] = field(default_factory=list)
    complete: float | None = None
    """Seconds until init said READY=1: for systemd, that its default target is reached."""

    def __post_init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._streams: dict[int, Stream] = {}
        self._notify = -1
        self._stop, self._stopped = os.pipe()
        self._selector.register(self._stop, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="azready-watch", daemon=True)
        self._completed = threading.Event()

    def follow_console(self, descriptor: int) -> None:
        self.follow(descriptor, self._take_console)

    def follow(self, descriptor: int, take: Callable[[float, str], None]) -> None:
        """Call `take(seconds, line)` for every line that comes from a descriptor."""
        self._streams[descriptor] = Stream(take)
        self._selector.register(descriptor, selectors.EVENT_READ)

    def follow_notify(self, descriptor: int) -> None:
        self._notify = descriptor
        self._selector.register(descriptor, selectors.EVENT_READ)

    def wait_complete(self, timeout: float) -> bool:
        """Wait until init has said that the boot is complete; tell whether it has."""
        return self._completed.wait(timeout)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._stopped)
        self._thread.join(5)
        self._selector.close()
        for descriptor in (self._stop, self._notify, *self._streams):
            if descriptor >= 0:
                os.close(descriptor)

    def _take_console(self, at: float, line: str) -> None:
        text = clean(line)
        if text and len(self.console) < CONSOLE_LIMIT:
            self.console.append(ConsoleLine(at, text))

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fd == self._stop:
                    return
                self._read(key.fd)

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # a terminal whose other end is closed
            data = b""
        at = round(time.monotonic() - self.epoch, 4)
        if not data:
            self._selector.unregister(descriptor)
        elif descriptor == self._notify:
            if b"READY=1" in data.split(b"\n") and self.complete is None:
                self.complete = at
                self._completed.set()
        else:
            self._streams[descriptor].feed(at, data)
