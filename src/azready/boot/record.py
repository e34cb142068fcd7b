"""One boot as a value: what happened, when, who saw it, and what Azure would have said.

A container boot and a QEMU boot fill the same `BootRecord`; the terminal, `--output json` and the HTML page are drawn
from it and from nothing else. All times are seconds since the guest started (its PID 1, or its firmware).
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from azready.fabric.faults import Fault
from azready.fabric.fields import held
from azready.fabric.ledger import Exchange, Finding, HealthReport
from azready.fabric.render import fault_words
from azready.fabric.verdict import Verdict

Expectation = Literal["ready", "silence", "any"]
Outcome = Literal["passed", "failed", "skipped"]
Source = Literal["host", "console", "journal", "systemd", "dhcp", "imds", "wireserver", "platform", "media", "check"]


@dataclass(frozen=True)
class Milestone:
    """A point that boots are compared by; `name` is one of `MILESTONES`, other names are allowed."""

    name: str
    at: float


MILESTONES = ("kernel", "init", "basic.target", "lease", "imds", "goal state", "ready", "sshd", "multi-user")
"""In their usual order."""


@dataclass(frozen=True)
class ConsoleLine:
    """A line of the serial console, without its line end; control sequences are taken out."""

    at: float
    text: str


@dataclass(frozen=True)
class JournalLine:
    """An entry of the guest's own journal. `priority` is syslog's, 0 (emergency) to 7 (debug)."""

    at: float
    identifier: str
    text: str
    priority: int = 6
    unit: str = ""


@dataclass(frozen=True)
class Check:
    """Something looked at from outside after the boot: a login, the host name, that the unit is off."""

    name: str
    outcome: Outcome
    detail: str = ""
    at: float | None = None


@dataclass(frozen=True)
class Cause:
    """Why a boot failed: a short name for scripts, a sentence, the evidence as it was seen, and what to do.

    `blames` is `host` where this machine failed and nothing can be said of the image.
    """

    code: str
    says: str
    evidence: tuple[str, ...] = ()
    fix: str = ""
    blames: Literal["image", "host"] = "image"

    def lines(self) -> tuple[str, ...]:
        """To print: what it is, what was seen, and what to do."""
        seen = tuple(f"  seen: {short(line)}" for line in self.evidence)
        return (f"cause: {self.says} [{self.code}]", *seen, *((f"  fix: {self.fix}",) if self.fix else ()))


_LONG = 300
"""Characters of a line that are quoted."""


def short(text: str, longest: int = _LONG) -> str:
    """One line to quote: white space is folded, and what is too long to read is cut."""
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


@dataclass(frozen=True)
class MachineFacts:
    """What the platform was asked for. `nics` and `keys` are numbers; `keys_broken`: one has CR or LF inside."""

    name: str = ""
    computer_name: str = ""
    admin_username: str = ""
    vm_id: str = ""
    generation: int = 2
    address: str = ""
    mac: str = ""
    location: str = ""
    size: str = ""
    nics: int = 1
    keys: int = 0
    keys_broken: bool = False


@dataclass(frozen=True)
class HostFacts:
    """What of this machine shaped the boot."""

    accel: str = ""
    """`kvm` or `tcg` (emulated); empty for a container."""
    why: str = ""
    """Why so, in a sentence."""
    slowness: float = 1.0
    """How much longer than an idle machine of today this one took to emulate, when it was measured before the boot."""
    cpu_share: float = 1.0
    """How much of the processor time that the guest could use it got: 1.0 on an idle machine."""


@dataclass(frozen=True)
class BootRecord:
    """Everything known of one boot."""

    number: int
    title: str
    """`first boot`, `second boot`, `first boot of a copy` …"""
    target: str
    how: str
    """`container`, `qemu/kvm/uefi`, `qemu/tcg/bios` …"""
    started: str
    """UTC, ISO 8601."""
    seconds: float
    """How long the guest was up when the record was closed."""
    deadline: float
    verdict: Verdict
    host: HostFacts = HostFacts()
    expected: Expectation = "ready"
    """`silence`: this VM is provisioned already, so nothing may be reported; `any`: an agent of unknown habits."""
    kind: Literal["container", "qemu"] = "container"
    copy: bool = False
    """The image was used before, by another VM."""
    machine: MachineFacts = MachineFacts()
    faults: tuple[Fault, ...] = ()
    """The faults in force; they repeat this boot."""
    milestones: tuple[Milestone, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    findings: tuple[Finding, ...] = ()
    reports: tuple[HealthReport, ...] = ()
    journal: tuple[JournalLine, ...] = ()
    console: tuple[ConsoleLine, ...] = ()
    checks: tuple[Check, ...] = ()
    cause: Cause | None = None
    """Why it failed and what to do, where that could be told."""

    @property
    def undecided(self) -> bool:
        """Whether this machine failed: then the boot says nothing of the image."""
        return self.cause is not None and self.cause.blames == "host"

    @property
    def passed(self) -> bool:
        """Whether the boot did what was expected, and no check failed."""
        return self.as_expected and all(check.outcome != "failed" for check in self.checks)

    @property
    def as_expected(self) -> bool:
        """Whether it was reported, or nothing was, as the platform wants of this boot."""
        if self.undecided:
            return False
        failed = self.verdict.code not in ("", "OSProvisioningTimedOut")
        return {"ready": self.verdict.provisioned, "silence": not self.reports, "any": not failed}[self.expected]

    @property
    def headline(self) -> str:
        """The verdict in one line, with what else went wrong."""
        if self.cause is not None and self.undecided:
            return f"No verdict: {self.cause.says}"
        return self._outcome + self._failed_checks

    @property
    def _outcome(self) -> str:
        if self.expected == "ready" or (self.expected == "any" and self.reports):
            return " ".join(str(self.verdict).split())
        if self.expected == "any":
            return "Nothing was reported again"
        if self.reports:
            return f"Reported again: {len(self.reports)} health report(s) of a VM that is provisioned already"
        return "Silent, as it should be: nothing was reported again"

    @property
    def _failed_checks(self) -> str:
        failed = [check.name for check in self.checks if check.outcome == "failed"]
        counts = self.expected != "ready" or self.verdict.provisioned
        return f", but {' and '.join(failed)} failed" if failed and counts else ""

    def milestone(self, name: str) -> float | None:
        return next((stone.at for stone in self.milestones if stone.name == name), None)


@dataclass(frozen=True)
class Event:
    """One line or bar of the drawn timeline."""

    at: float
    source: Source
    text: str
    took: float = 0.0
    severity: Literal["", "good", "warning", "error"] = ""


def events(record: BootRecord, journal_of: Iterable[str] = ()) -> tuple[Event, ...]:
    """All that happened, in order of time; of the journal only the identifiers and units in `journal_of`."""
    wanted = frozenset(journal_of)
    found = [
        *_milestone_events(record),
        *(_exchange_event(exchange) for exchange in record.exchanges),
        *(_report_event(report) for report in record.reports),
        *(
            Event(finding.at, "platform", f"{finding.code}: {finding.message}", 0.0, _SEVERITIES[finding.severity])
            for finding in record.findings
        ),
        *(
            Event(line.at, "journal", f"{line.identifier}: {line.text}", 0.0, "warning" if line.priority <= 4 else "")
            for line in record.journal
            if line.identifier in wanted or line.unit in wanted
        ),
        *(
            Event(check.at, "check", f"{check.name}: {check.detail or check.outcome}", 0.0, _OUTCOMES[check.outcome])
            for check in record.checks
            if check.at is not None
        ),
    ]
    return tuple(sorted(found, key=lambda event: event.at))


_SEVERITIES: dict[str, Literal["", "warning", "error"]] = {"error": "error", "warning": "warning", "note": ""}
_OUTCOMES: dict[str, Literal["", "good", "error"]] = {"passed": "good", "failed": "error", "skipped": ""}
_TOLD_BY_EXCHANGES = frozenset({"lease", "imds", "goal state", "ready"})
_TEXTS = {
    "kernel": "the kernel starts",
    "init": "init starts",
    "basic.target": "basic.target: services may start",
    "sshd": "sshd answers",
    "multi-user": "multi-user.target: the boot is complete",
}


def _milestone_events(record: BootRecord) -> Iterator[Event]:
    for stone in record.milestones:
        if stone.name not in _TOLD_BY_EXCHANGES:
            yield Event(stone.at, "systemd", _TEXTS.get(stone.name, stone.name))


def _exchange_event(exchange: Exchange) -> Event:
    source: Source = {"imds": "imds", "dhcp": "dhcp", "media": "media"}.get(exchange.service, "wireserver")  # type: ignore[assignment]
    if exchange.service == "dhcp":  # a conversation: questions have no status of their own
        return Event(exchange.at, source, f"{exchange.method} {exchange.target}")
    named = f": {exchange.fault}" if exchange.fault != "fault" else ""
    fault = f"  [fault{named}]" if exchange.fault else ""
    text = f"{exchange.method} {exchange.target} → {exchange.status or 'no answer'}{fault}"
    wrong = exchange.status is None or exchange.status >= 400
    return Event(exchange.at, source, text, exchange.took, "warning" if wrong else "")


def _report_event(report: HealthReport) -> Event:
    state = report.state + (f"/{report.substatus}" if report.substatus else "")
    if not report.accepted:
        return Event(report.at, "platform", f"health report {state} refused", 0.0, "error")
    text = f"health report {state} accepted" + (f": {report.description}" if report.description else "")
    return Event(report.at, "platform", text, 0.0, "good" if report.state.lower() == "ready" else "warning")


VERSION = 1
"""Of the JSON: raised when a reader of the former one would be misled; fields may be added without."""


def document(records: Sequence[BootRecord], passed: bool | None = None) -> str:
    """The JSON of `boot`, `build` and `timeline`: its version, whether all passed (null: not decided), every boot.

    `passed` for a caller who knows better than that each boot passed by itself.
    """
    if passed is None and not any(record.undecided for record in records):
        passed = all(record.passed for record in records)
    table = {"version": VERSION, "passed": passed, "boots": [as_json(record) for record in records]}
    return json.dumps(table, indent=1)


def as_json(record: BootRecord) -> dict[str, Any]:
    """The record as a table of plain values: a boot of `document`."""
    passed = None if record.undecided else record.passed
    faults = [{"words": fault_words(fault), **asdict(fault)} for fault in record.faults]
    return {**asdict(record), "faults": faults, "passed": passed, "headline": record.headline}


_DERIVED = ("passed", "headline")


def from_json(table: dict[str, Any]) -> BootRecord:
    """The record that `as_json` made a table of. Raises KeyError or TypeError for a table that is not one."""
    lists: dict[str, type[Any]] = {
        "milestones": Milestone,
        "findings": Finding,
        "reports": HealthReport,
        "journal": JournalLine,
        "console": ConsoleLine,
        "checks": Check,
    }
    values = {key: value for key, value in table.items() if key not in _DERIVED}
    for key, kind in lists.items():
        values[key] = tuple(kind(**row) for row in values[key])
    values["exchanges"] = tuple(_exchange(row) for row in values["exchanges"])
    verdict = dict(values["verdict"])
    verdict["findings"] = tuple(Finding(**row) for row in verdict["findings"])
    values["verdict"] = Verdict(**verdict)
    values["host"] = HostFacts(**values.get("host", {}))
    values["faults"] = tuple(_fault(row) for row in values["faults"])
    values["machine"] = MachineFacts(**values["machine"])
    values["cause"] = _cause(values["cause"]) if values["cause"] else None
    return held(BootRecord(**values))


def _cause(row: dict[str, Any]) -> Cause:
    return Cause(**{**row, "evidence": tuple(row["evidence"])})


def _fault(row: dict[str, Any]) -> Fault:
    values = {key: value for key, value in row.items() if key != "words"}
    pairs = {key: tuple((old, new) for old, new in values[key]) for key in ("headers", "swap")}
    return Fault(**{**values, **pairs, "without": tuple(values["without"])})


def _exchange(row: dict[str, Any]) -> Exchange:
    headers = tuple((name, value) for name, value in row["request_headers"])
    return Exchange(**{**row, "request_headers": headers})
