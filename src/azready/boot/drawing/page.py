"""Boots as one self-contained page: the verdict first, who did what when on one axis, findings, and the console.

Drawn from records and nothing else; no script, no font and no picture is fetched from anywhere.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

from azready.boot.diagnosis.questions import console_in_time, plain
from azready.boot.drawing.terminal import counted, picture, presentable
from azready.boot.record import BootRecord, Cause, ConsoleLine, Event, short
from azready.boot.watching.serial import over
from azready.page import whole

_LANES = (
    ("systemd", "init"),
    ("dhcp", "DHCP"),
    ("media", "medium"),
    ("journal", "provisioner"),
    ("imds", "IMDS"),
    ("wireserver", "WireServer"),
    ("platform", "platform"),
    ("check", "checks"),
)
_PHASES = (("firmware", "", "kernel"), ("kernel", "kernel", "init"), ("system", "init", "multi-user"))
_STEP = re.compile(r" \((\d+(?:\.\d+)?) ms\)$")
_AROUND = 25
"""Console lines shown before what went wrong."""


@dataclass(frozen=True)
class Scale:
    """From seconds to percent of the width."""

    span: float

    def at(self, seconds: float) -> str:
        return f"{100 * min(max(seconds, 0.0), self.span) / self.span:.2f}%"

    def wide(self, seconds: float) -> str:
        return f"{100 * seconds / self.span:.2f}%"

    def ticks(self) -> Iterator[float]:
        """Round times, at most eight or so."""
        step = next(each for each in _STEPS if self.span / each <= 8)
        at = 0.0
        while at <= self.span:
            yield at
            at += step


_STEPS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1e9)


@dataclass(frozen=True)
class Story:
    """A series of boots as the parts of a page; `body` is HTML, the others are text."""

    title: str
    tone: str
    mark: str
    about: str
    body: str


def page(records: Sequence[BootRecord]) -> str:
    """The whole page as text."""
    told = story(records)
    return whole(told.title, told.body, tone=told.tone, mark=told.mark, about=told.about)


def story(records: Sequence[BootRecord], under_way: BootRecord | None = None) -> Story:
    """What is to be said of these boots, and of one that is not over: it is described so far, and not judged."""
    records = [presentable(record) for record in records]
    sections = [_section(record) for record in records]
    count = f"{len(records)} boot{'s' if len(records) != 1 else ''}"
    if under_way is not None:
        record = presentable(under_way)
        title = f"{record.target}: {record.title}, {record.seconds:.0f} s so far"
        return Story(title, "", "…", f"{count} over", "\n".join((*sections, _so_far(record))))
    if not records:
        return Story("Nothing was booted", "bad", "✘", f"no boot · {count}", "")
    telling = next((record for record in records if not record.passed), records[0])
    tone, mark, judged = _outcome(records)
    summary = f"{telling.title}: {telling.headline} · {count}"
    return Story(f"{records[0].target} {judged}", tone, mark, summary, "\n".join(sections))


def _outcome(records: Sequence[BootRecord]) -> tuple[str, str, str]:
    """The tone of all boots together, its mark, and the words behind the target's name."""
    if all(record.passed for record in records):
        return "good", "✔", "provisions"
    if any(record.undecided for record in records):
        return "warn", "?", "was not judged: this machine failed"
    return "bad", "✘", _NOT_READY


_NOT_READY = "does not provision"


def _so_far(record: BootRecord) -> str:
    ready = record.verdict.provisioned
    said = f"Ready after {record.verdict.at:.2f} s; the rest is looked at" if ready else "nothing is decided yet"
    parts = [
        _header(record),
        f'<p class="headline {"good" if ready else "soft"}">{escape(said)}</p>',
        _chart(record),
        _findings(record),
        _list(record, opened=True),
    ]
    return f"<section>{''.join(parts)}</section>"


def _section(record: BootRecord) -> str:
    tone, mark = ("good", "✔") if record.passed else ("warn", "?") if record.undecided else ("bad", "✘")
    parts = [
        _header(record),
        f'<p class="headline {tone}">{mark} {escape(record.headline)}</p>',
        _why(record.cause),
        f'<p class="meta">{escape(record.host.why)}</p>' if record.host.accel == "tcg" else "",
        _checks(record),
        _chart(record),
        _findings(record),
        _excerpt(record),
        _list(record, opened=not record.passed),
    ]
    return f"<section>{''.join(parts)}</section>"


def _header(record: BootRecord) -> str:
    facts = [record.how, record.machine.name, f"generation {record.machine.generation}", record.started]
    if record.machine.nics > 1:
        facts.insert(3, f"{record.machine.nics} NICs")
    title = record.title[0].upper() + record.title[1:]
    return f"<header><h2>{escape(title)}</h2><span class=meta>{escape(' · '.join(facts))}</span></header>"


def _why(cause: Cause | None) -> str:
    """The cause, its evidence and what to do; commands are set apart."""
    if cause is None:
        return ""
    rows = [("cause", f"{_with_code(cause.says)} <small>{escape(cause.code)}</small>")]
    rows += [("seen", escape(short(line))) for line in cause.evidence]
    rows += [("fix", _with_code(cause.fix))] if cause.fix else []
    items = (f'<li class="{kind}"><b>{kind}</b><span>{text}</span></li>' for kind, text in rows)
    return f'<ul class="cause">{"".join(items)}</ul>'


def _with_code(words: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(words))


def _checks(record: BootRecord) -> str:
    marks = {"passed": ("✓", "good"), "failed": ("✗", "bad"), "skipped": ("–", "soft")}
    items = "".join(
        f'<li><span class="{marks[check.outcome][1]}">{marks[check.outcome][0]}</span> '
        f"{escape(check.name)}: {escape(check.detail or check.outcome)}</li>"
        for check in record.checks
    )
    return f'<ul class="checks">{items}</ul>' if items else ""


# --- the chart ---


def _chart(record: BootRecord) -> str:
    shown = [_with_duration(event) for event in picture(record)]
    last = max([event.at for event in shown] + [stone.at for stone in record.milestones] + [0.001])
    scale = Scale(last * 1.02)
    rows = [_row("boot", _phases(record, scale), scale, record)]
    for source, name in _LANES:
        events = [event for event in shown if event.source == source]
        if events:
            rows.append(_row(name, "".join(_mark(event, scale) for event in events), scale, record))
    axis = "".join(
        f'<span style="left:{scale.at(at)}"{" class=end" if at > 0.95 * scale.span else ""}>{at:g} s</span>'
        for at in scale.ticks()
    )
    about = f"What happened in {last:.1f} seconds, by who did it; the events stand as text in the table below"
    return (
        f'<div class="chart" role="img" aria-label="{about}">'
        f'{"".join(rows)}<div></div><div class="lane axis">{axis}</div></div>'
    )


def _with_duration(event: Event) -> Event:
    """A step of the guest program says at its end how long it took: then it is a bar that ends there."""
    said = _STEP.search(event.text) if event.source == "journal" else None
    if said is None:
        return event
    took = float(said[1]) / 1000
    return replace(event, at=max(0.0, event.at - took), took=took)


def _row(name: str, content: str, scale: Scale, record: BootRecord) -> str:
    lines = "".join(f'<i class="grid" style="left:{scale.at(at)}"></i>' for at in scale.ticks())
    at = record.verdict.at
    if at is not None:
        tone = "good" if record.verdict.provisioned else "error"
        lines += f'<i class="verdict-line is-{tone}" style="left:{scale.at(at)}"></i>'
    return f'<div class="who">{escape(name)}</div><div class="lane">{lines}{content}</div>'


def _phases(record: BootRecord, scale: Scale) -> str:
    """Firmware, kernel and system as bars, as far as their ends are known."""
    end = record.milestone("multi-user") or record.verdict.at or scale.span / 1.02
    parts = []
    for name, begin, finish in _PHASES:
        start = record.milestone(begin) if begin else 0.0
        stop = record.milestone(finish)
        if start is None or (name == "firmware" and (stop is None or stop <= 0)):
            continue
        until = min(end if stop is None else stop, scale.span)
        if until > start:
            place = f"left:{scale.at(start)};width:{scale.wide(until - start)}"
            label = f"{name} {until - start:.1f} s"
            parts.append(
                f'<b class="bar phase" style="{place}" title="{escape(label)}"><span>{escape(label)}</span></b>'
            )
    return "".join(parts)


def _mark(event: Event, scale: Scale) -> str:
    tone = f" is-{event.severity}" if event.severity else ""
    title = escape(f"{event.at:.3f} s: {event.text}", quote=True)
    if event.took >= scale.span / 150:
        place = f"left:{scale.at(event.at)};width:{scale.wide(event.took)}"
        return f'<b class="bar thin {event.source}{tone}" style="{place}" title="{title}"></b>'
    size = " big" if event.source == "platform" and event.severity in ("good", "error") else ""
    return f'<b class="dot{size} {event.source}{tone}" style="left:{scale.at(event.at)}" title="{title}"></b>'


# --- words ---


def _findings(record: BootRecord) -> str:
    rows = "".join(
        f"<tr><td>{escape(code)}</td><td class=what>{escape(message)}{f' ({times} times)' if times > 1 else ''}</td>"
        f"<td class=what>{escape(fix)}</td></tr>"
        for code, message, fix, times in counted(record)
    )
    return f"<h3>What the platform found</h3>{_table(('code', 'what', 'fix'), rows)}" if rows else ""


def _table(columns: Iterable[str], rows: str) -> str:
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def excerpt(record: BootRecord) -> tuple[tuple[ConsoleLine, ...], int | None]:
    """The console around what went wrong: its lines, and the index of the one that says so."""
    lines = tuple(_still(tuple(console_in_time(record))))
    at = _shown_in(lines, record)
    if at is None and (end := over(lines)) is not None:
        at = lines.index(end[1])
    if at is None:
        return lines[-_AROUND:], None
    return _around(lines, at)


_FRAME = re.compile(r"\[[ *]*\*[ *]*\] ")
"""A frame of systemd's spinner, which it draws once a second while a job runs."""


def _still(lines: Sequence[ConsoleLine]) -> Iterator[ConsoleLine]:
    """Of each run of the spinner's frames the last: it says what was waited for, and how long."""
    for line, following in zip(lines, [*lines[1:], None], strict=True):
        if not (_FRAME.match(plain(line.text)) and following and _FRAME.match(plain(following.text))):
            yield line


def _around(lines: tuple[ConsoleLine, ...], at: int) -> tuple[tuple[ConsoleLine, ...], int]:
    first = max(0, at - _AROUND)
    return lines[first : at + 10], at - first


def _shown_in(lines: Sequence[ConsoleLine], record: BootRecord) -> int | None:
    """Where the first piece of evidence stands."""
    evidence = {plain(short(line)) for line in record.cause.evidence} if record.cause else set()
    return next((index for index, line in enumerate(lines) if short(plain(line.text)) in evidence), None)


def _excerpt(record: BootRecord) -> str:
    """The console around what went wrong; the journal, where only that shows it."""
    journal = tuple(ConsoleLine(line.at, f"{line.identifier}: {line.text}") for line in record.journal)
    if record.passed or not (record.console or journal):
        return ""
    where, (lines, wrong) = "console", excerpt(record)
    if wrong is None and (at := _shown_in(journal, record)) is not None:
        where, (lines, wrong) = "journal", _around(journal, at)
    return f"<h3>The {where} around it</h3><pre tabindex=0>{_console(lines, wrong)}</pre>"


def _console(lines: Iterable[ConsoleLine], wrong: int | None = None) -> str:
    shown = [f"{line.at:9.3f}  {escape(line.text)}" for line in lines]
    return "\n".join(f"<mark>{text}</mark>" if index == wrong else text for index, text in enumerate(shown))


def _list(record: BootRecord, opened: bool) -> str:
    names = dict(_LANES)
    rows = "".join(
        f"<tr><td class=at>{event.at:.3f} s</td>"
        f'<td class="who soft">{escape(names.get(event.source, event.source))}</td>'
        f'<td class="what {_TONES.get(event.severity, "")}">{escape(event.text)}</td></tr>'
        for event in picture(record)
    )
    console = (
        f"<details><summary>The whole console, {len(record.console)} lines</summary><pre tabindex=0>"
        if record.console
        else ""
    )
    console += f"{_console(record.console)}</pre></details>" if record.console else ""
    table = _table(("at", "who", "what"), rows)
    return f"<details{' open' if opened else ''}><summary>All events, by time</summary>{table}</details>{console}"


_TONES = {"good": "good", "warning": "warn", "error": "bad"}
