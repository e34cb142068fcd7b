"""The ledger: everything that a guest asked, told and did wrong, in order, with times. Append-only.

Times are seconds since `Ledger.epoch`, which `restart` sets (a boot restarts it when it starts the guest).
Entries are plain values; `entry_as_json` is the form of `--output json`, of the log and of `fabric replay`.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Service = Literal["wireserver", "imds", "hostplugin", "dhcp", "dns", "dns-tcp", "media", "kvp"]
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Exchange:
    """One request and its answer; for dhcp, media and kvp the nearest likeness of one."""

    at: float
    service: Service
    method: str
    target: str
    status: int | None
    """The HTTP status answered; None when no answer was sent (reset, silence)."""
    source: str = ""
    request_headers: tuple[tuple[str, str], ...] = ()
    request_body: str = ""
    response_body: str = ""
    took: float = 0.0
    fault: str = ""
    """The name of the fault that was applied to this exchange; empty when the platform behaved."""


@dataclass(frozen=True)
class Finding:
    """Something a guest did that the real platform refuses, ignores or warns of."""

    at: float
    code: str
    severity: Severity
    message: str
    fix: str = ""


@dataclass(frozen=True)
class HealthReport:
    """A health report that reached the platform. Only an accepted one changes the VM's state."""

    at: float
    form: Literal["xml", "json"]
    state: str
    substatus: str = ""
    description: str = ""
    accepted: bool = True
    agent: str = ""


REPORTS_LIMIT = 1000
"""Health reports kept; a guest that reports in a loop must not fill the memory."""

Entry = Exchange | Finding | HealthReport


@dataclass
class Ledger:
    """An append-only list of entries, safe to write from several threads."""

    clock: Callable[[], float] = time.monotonic
    epoch: float = 0.0
    limit: int = 100_000
    """Entries kept; of a longer story the oldest are forgotten, health reports never."""
    bodies: bool = True
    """Whether exchanges keep what was asked and answered, or only that it was."""
    _entries: deque[Entry] = field(default_factory=deque)
    _reports: list[HealthReport] = field(default_factory=list)
    _followers: list[Callable[[Entry], None]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.epoch = self.clock()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock() - self.epoch

    def restart(self) -> None:
        """Set the epoch to now and forget all entries: a new boot begins."""
        with self._changed:
            self.epoch = self.clock()
            self._entries.clear()
            self._reports.clear()

    def record(self, *entries: Entry) -> None:
        """Take entries in and tell the followers; the oldest go where the limit is reached, but no report does."""
        with self._changed:
            for entry in entries:
                self._entries.append(entry)
                for follower in self._followers:
                    follower(entry)
                if isinstance(entry, HealthReport) and len(self._reports) < REPORTS_LIMIT:
                    self._reports.append(entry)
            while len(self._entries) > self.limit:
                self._entries.popleft()
            self._changed.notify_all()

    def follow(self, follower: Callable[[Entry], None]) -> None:
        """Call `follower` with every further entry, in the thread that records it; it must be quick."""
        with self._changed:
            self._followers.append(follower)

    def wait_for(self, condition: Callable[["Ledger"], bool], timeout: float) -> bool:
        """Wait until `condition(self)` holds, at most `timeout` seconds; tell whether it does."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout)

    @property
    def entries(self) -> tuple[Entry, ...]:
        with self._changed:
            return tuple(self._entries)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, Exchange))

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, Finding))

    @property
    def reports(self) -> tuple[HealthReport, ...]:
        return tuple(self._reports)

    def answered_since(
        self, service: Service, since: float, at_most: int, prefix: str = "", with_prefix: bool = True
    ) -> int:
        """How many requests to `service` were answered after `since` (429 does not count), of the targets with, or
        without, the prefix; counting stops at `at_most`."""
        count = 0
        with self._changed:
            for entry in reversed(self._entries):
                if entry.at <= since or count >= at_most:
                    break
                if isinstance(entry, Exchange) and entry.service == service:
                    count += (
                        entry.status is not None
                        and entry.status != 429
                        and entry.target.startswith(prefix) == with_prefix
                    )
        return count

    @property
    def ready(self) -> HealthReport | None:
        """The first accepted Ready report."""
        return next((r for r in self.reports if r.accepted and r.state.lower() == "ready"), None)

    @property
    def failed(self) -> HealthReport | None:
        """The first accepted report of failed provisioning."""
        return next((r for r in self.reports if r.accepted and r.substatus == "ProvisioningFailed"), None)


def entry_as_json(entry: Entry) -> dict[str, Any]:
    return {"kind": type(entry).__name__, **asdict(entry)}
