"""The fabric's story as lines of text and as JSON; pure, for whoever prints it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from azready.fabric.ledger import Entry, Exchange, Finding, HealthReport, Ledger
from azready.fabric.protocol import hostplugin, imds, wireserver
from azready.fabric.settings import Settings
from azready.fabric.verdict import Verdict

ROUTES = {"wireserver": wireserver.ROUTES, "imds": imds.ROUTES, "hostplugin": hostplugin.ROUTES}


def introduction(settings: Settings, urls: Mapping[str, str], routes: bool) -> Iterator[str]:
    """What is served where, for which machine, and how the platform will behave; with every route on demand."""
    machine = settings.machine
    keys = len(machine.public_keys)
    yield (
        f"machine {machine.name}: computer name {machine.computer_name}, user {machine.admin_username or '(none)'}, "
        f"{keys} public key{'' if keys == 1 else 's'}, vmId {machine.vm_id}, incarnation {machine.incarnation}"
    )
    yield f"{'strict' if settings.strict else 'not strict'}, seed {settings.seed}" + (
        f", scenario {settings.scenario}" if settings.scenario else ""
    )
    yield from (f"fault: {fault_words(fault)}" for fault in settings.faults)
    for service, url in urls.items():
        yield f"{service} at {url}"
        if routes:
            yield from (f"  {method:<4} {path:<57} {meaning}" for method, path, meaning in ROUTES[service])


def fault_words(fault: Any) -> str:
    """A fault in few words: only what it states."""
    stated = {
        name: getattr(fault, name)
        for name, field in fault.__dataclass_fields__.items()
        if getattr(fault, name) != field.default
    }
    return ", ".join(f"{name}={value}" for name, value in stated.items())


def entry_line(entry: Entry) -> str:
    """One entry of the ledger as one line, the time in seconds first."""
    match entry:
        case Exchange():
            status = "no answer" if entry.status is None and entry.service != "dhcp" else entry.status or ""
            fault = f"  [fault: {entry.fault}]" if entry.fault else ""
            return f"{entry.at:8.3f} {entry.service:<10} {entry.method:<5} {entry.target}  {status}{fault}"
        case HealthReport():
            what = " ".join(part for part in (entry.state, entry.substatus, entry.description) if part)
            return f"{entry.at:8.3f} report     {what}{'' if entry.accepted else '  (refused)'}"
        case Finding():
            return f"{entry.at:8.3f} {entry.severity:<10} {entry.code}: {entry.message}; {entry.fix}"


def verdict_lines(verdict: Verdict, ledger: Ledger) -> Iterator[str]:
    """The verdict, what was found, and how many requests it took."""
    yield str(verdict)
    counted = _counted(verdict.findings)
    for finding, times in counted:
        yield f"  {finding.severity}: {finding.message}{f' ({times} times)' if times > 1 else ''}"
        if finding.fix:
            yield f"    {finding.fix}"
    exchanges = ledger.exchanges
    parts = {service: sum(one.service == service for one in exchanges) for service in ROUTES}
    counts = ", ".join(f"{count} {service}" for service, count in parts.items() if count)
    yield f"  requests: {counts or 'none'}"


def _counted(findings: Sequence[Finding]) -> list[tuple[Finding, int]]:
    """Each finding once, at its first place, with the number of times that it was made."""
    first: dict[tuple[str, str], Finding] = {}
    times: dict[tuple[str, str], int] = {}
    for finding in findings:
        key = (finding.code, finding.message)
        first.setdefault(key, finding)
        times[key] = times.get(key, 0) + 1
    return [(finding, times[key]) for key, finding in first.items()]


def verdict_as_json(verdict: Verdict, ledger: Ledger) -> dict[str, Any]:
    """The verdict for machines: code ("" when provisioned), seconds, reason, and the findings."""
    return {
        "provisioned": verdict.provisioned,
        "code": verdict.code,
        "at": verdict.at,
        "because": verdict.because,
        "requests": len(ledger.exchanges),
        "findings": [
            {"code": one.code, "severity": one.severity, "message": one.message, "fix": one.fix, "times": times}
            for one, times in _counted(verdict.findings)
        ],
    }


def repeat_line(words: Sequence[str], seed: int) -> str:
    """The command line that repeats a run, its seed made explicit."""
    if any(word.split("=")[0] == "--seed" for word in words):
        return f"azready {shlex.join(words)}"
    at = words.index("--") if "--" in words else len(words)
    return f"azready {shlex.join([*words[:at], '--seed', str(seed), *words[at:]])}"
