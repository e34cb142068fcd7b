"""A boot's record as lines for the terminal: one axis of time, who did what, then the verdict."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from azready import installed
from azready.agents import AGENTS
from azready.boot.record import (
    BootRecord,
    Check,
    Event,
    as_json,
    events,
    from_json,
)
from azready.console import printable
from azready.fabric.render import fault_words

AXIS, NARROW_AXIS = 22, 5
"""Columns of the drawn axis, where there is room for it, and at least."""
_BESIDE = 56
"""Columns that the words of an event want."""

PROVISIONERS = frozenset({installed.CLONE_UNIT, *(name for agent in AGENTS.values() for name in agent.starts)})
"""Journal identifiers and units whose lines belong in the picture."""

_CHATTER = ("systemd: ", "useradd: ", "usermod: ", "chpasswd: ", "groupadd: ", "dhclient: ")
"""Of those units, what others say about them, or what they have told themselves already."""

_ORNAMENT = re.compile(
    r"cloud-init: (ci-info: |\||\+-|Generating public|Your (identification|public key)|The key's|The key fing|SHA256)"
)
"""Tables and pictures of keys."""

_STYLES = {"": "", "good": "bold green", "warning": "yellow", "error": "bold red"}
_SOURCES = {"journal": "guest", "systemd": "init"}
_COLOURS = {
    "journal": "cyan",
    "systemd": "blue",
    "dhcp": "magenta",
    "imds": "magenta",
    "wireserver": "magenta",
    "platform": "bold",
    "check": "bold",
}
_MARKS = {"passed": ("✓", "green"), "failed": ("✗", "bold red"), "skipped": ("–", "dim")}


def draw(record: BootRecord, console: Console) -> None:
    """Print one boot: its timeline and its verdict. Long lines are cut on a terminal, never in a pipe."""
    record = presentable(record)
    title = f"{record.title} · {record.machine.name} · {record.how}"
    console.rule(Text(title, style="bold"), align="left", style="dim")
    shown = tuple(picture(record))
    span = max((event.at for event in shown), default=0.0)
    width = console.width if console.is_terminal else 10_000
    for event in shown:
        console.print(_line(event, span, width), soft_wrap=True)
    for line in conclusion(record):
        console.print(line, soft_wrap=True)


def presentable(record: BootRecord) -> BootRecord:
    """The record with all that the guest or its requests wrote as harmless text."""
    return from_json(_presentable(as_json(record)))


def _presentable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {key: _presentable(each) for key, each in value.items()}
    return [_presentable(each) for each in value] if isinstance(value, list | tuple) else value


def picture(record: BootRecord) -> Iterator[Event]:
    """The events that a person wants to see: of DHCP only the leases, each finding once, no empty lines."""
    leased = any(each.method == "DHCPACK" for each in record.exchanges)
    seen: set[str] = set()
    for event in events(record, PROVISIONERS):
        if event.source == "dhcp" and leased:
            if not event.text.startswith("DHCPACK") or event.text in seen:
                continue
            seen.add(event.text)
            event = Event(event.at, "dhcp", f"lease of {event.text.removeprefix('DHCPACK ')}", event.took)
        if event.source == "platform" and event.text in seen:
            continue
        if event.source == "platform":
            seen.add(event.text)
        if event.source == "journal":
            if (event.text.startswith(_CHATTER) and not event.severity) or _ORNAMENT.match(event.text):
                continue
            event = Event(event.at, "journal", _untagged(event.text), event.took, event.severity)
        if event.text.strip():
            yield event


def _untagged(text: str) -> str:
    """Without the identifier, where everybody knows whose words these are."""
    return text.removeprefix(f"{installed.NAME}: ")


def _line(event: Event, span: float, width: int) -> Text:
    axis = min(AXIS, max(NARROW_AXIS, width - _BESIDE))
    at = round(event.at / span * (axis - 1)) if span > 0 else 0
    mark = "●" if event.source in ("platform", "check") else "▪"
    line = Text(f"{event.at:8.3f} s ")
    line.append("┊", "dim").append(" " * at).append(mark, _STYLES[event.severity] or _COLOURS.get(event.source, ""))
    line.append(" " * (axis - 1 - at)).append("┊ ", "dim")
    line.append(f"{_SOURCES.get(event.source, event.source):<10} ", _COLOURS.get(event.source, ""))
    text = " ".join(event.text.split("\n"))
    room = width - line.cell_len
    if cell_len(text) > room > 1:
        text = text[: room - 1] + "…"
    line.append(text, _STYLES[event.severity])
    return line


def conclusion(record: BootRecord) -> Iterator[Text]:
    """The verdict, what was checked, what the platform found, and why it failed where that is known."""
    mark, style = ("?", "bold yellow") if record.undecided else ("✔", "bold green")
    if not record.undecided and not record.passed:
        mark, style = "✘", "bold red"
    yield Text(f"{mark} {record.headline}", style)
    if record.checks:
        yield Text("  ").append_text(Text(" · ").join(_check(check) for check in record.checks))
    if record.cause is not None:
        yield from (Text(f"  {line}") for line in record.cause.lines())
    for code, message, fix, times in counted(record):
        yield Text(f"  {code}: {message}{f' ({times} times)' if times > 1 else ''}", "yellow")
        if fix:
            yield Text(f"    {fix}", "dim")
    if record.host.accel == "tcg":
        yield Text(f"  {record.host.why}", "dim")
    if record.faults:
        yield Text(f"  faults in force: {'; '.join(map(fault_words, record.faults))}", "dim")


def _check(check: Check) -> Text:
    mark, style = _MARKS[check.outcome]
    return Text(f"{mark} {check.name}: {check.detail or check.outcome}", style)


def counted(record: BootRecord) -> list[tuple[str, str, str, int]]:
    """(code, message, fix, times) of each error or warning of the platform, in the order of their first times."""
    times: dict[tuple[str, str, str], int] = {}
    for finding in record.findings:
        if finding.severity != "note":
            key = (finding.code, finding.message, finding.fix)
            times[key] = times.get(key, 0) + 1
    return [(*key, count) for key, count in times.items()]


def summary(records: Iterable[BootRecord]) -> str:
    """All boots in one sentence."""
    words = [f"{record.title}: {record.headline}" for record in records]
    return "; ".join(words)
