"""The answers of a check as a page. Pure."""

import re
from collections.abc import Iterator, Sequence
from html import escape

from azready.errors import Exit
from azready.image.checking import Found, Passed, Result, Skipped, Unseen, exit_code
from azready.image.render.text import ordered, printable, summary
from azready.image.rules.model import Finding, Severity
from azready.page import whole

_TONES = {Severity.FATAL: "bad", Severity.ERROR: "bad", Severity.WARNING: "warn", Severity.INFO: "soft"}
_SHOWN = 50
"""Findings of one rule that are shown one by one."""


def as_html(results: Sequence[Result], target: str, threshold: Severity) -> str:
    """One self-contained page: what was found, worst first, each with its reason and its fix; the rest folded away.

    `threshold` is the least grave finding that is a no.
    """
    found = [result for result in ordered(results) if isinstance(result.answer, Found) and not result.waiver]
    tone, mark, judged = _JUDGED[exit_code(results, threshold)]
    body = "\n".join((*_cards(found), *_folded(results)))
    return whole(f"{printable(target)} {judged}", body, tone=tone, mark=mark, about=summary(results))


_JUDGED = {
    Exit.OK: ("good", "✔", "passes the check"),
    Exit.NEGATIVE: ("bad", "✘", "does not pass the check"),
    Exit.UNABLE: ("warn", "?", "was not looked at in whole"),
}


def _cards(found: Sequence[Result]) -> Iterator[str]:
    for result in found:
        if not isinstance(result.answer, Found):
            continue
        findings, rule = result.answer.findings, result.rule
        severity = result.worst or result.severity
        fixes = dict.fromkeys(finding.fix or rule.fix for finding in findings)
        more = len(findings) - _SHOWN
        rows = [_row("seen", _seen(finding)) for finding in findings[:_SHOWN]]
        rows += [_row("seen", f"and {more} more")] if more > 0 else []
        rows += [*(_row("fix", fix) for fix in fixes if fix), _row("why", rule.why)]
        yield (
            f'<section class="finding"><header><h2>{escape(rule.id)} {escape(rule.fault)}</h2>'
            f'<span class="{_TONES[severity]}">{escape(severity.word)}</span></header>'
            f'<ul class="cause is-{_LINES[severity]}">{"".join(rows)}</ul></section>'
        )


_LINES = {Severity.FATAL: "error", Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def _row(kind: str, words: str) -> str:
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(printable(words)))
    return f'<li class="{kind}"><b>{kind}</b><span>{text}</span></li>'


def _seen(finding: Finding) -> str:
    return f"/{finding.where}: {finding.what}" if finding.where else finding.what


def _folded(results: Sequence[Result]) -> Iterator[str]:
    """What is no finding, in tables that are closed at first; what could not be looked at is open."""
    kinds = (
        ("Could not be looked at", [(r, r.answer.reason) for r in results if isinstance(r.answer, Unseen)], True),
        ("Waived", [(r, r.waiver.reason) for r in results if r.waiver and isinstance(r.answer, Found)], False),
        ("Passed", [(r, "") for r in results if isinstance(r.answer, Passed)], False),
        ("Skipped", [(r, r.answer.reason) for r in results if isinstance(r.answer, Skipped)], False),
    )
    for title, rows, opened in kinds:
        if rows:
            table = "".join(
                f"<tr><td>{escape(result.rule.id)}</td><td class=what>{escape(result.rule.title)}</td>"
                f"<td class=what>{escape(printable(reason))}</td></tr>"
                for result, reason in rows
            )
            yield (
                f"<section><details{' open' if opened else ''}><summary>{title}: {len(rows)}</summary><table><thead>"
                '<tr><th scope="col">rule</th><th scope="col">asks</th><th scope="col">reason</th></tr></thead>'
                f"<tbody>{table}</tbody></table></details></section>"
            )
