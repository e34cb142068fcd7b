"""The answers of a check for programs: JSON, whose schema is `check.schema.json` beside this. Pure."""

import json
from collections.abc import Sequence

from azready import __version__
from azready.image.checking import Found, Passed, Result, Skipped, Unseen
from azready.image.render.text import ordered, summary

VERSION = 1
"""Of the JSON: raised when a reader of the former one would be misled; fields may be added without."""


def as_json(results: Sequence[Result], target: str) -> str:
    """One object: the target, and a row for every rule that was asked."""
    head = {"version": VERSION, "azready": __version__, "target": target, "summary": summary(results)}
    return json.dumps({**head, "counts": counts(results), "results": rows(results)}, indent=2)


def counts(results: Sequence[Result]) -> dict[str, int]:
    """How many rules gave each answer; of those with findings, how many by the gravest: `fatal`, `error` …"""
    words = [_word(result) if result.waiver or not result.worst else result.worst.word for result in results]
    return {word: words.count(word) for word in _COUNTED}


_COUNTED = ("fatal", "error", "warning", "info", "waived", "could-not-look", "pass", "skipped")


def rows(results: Sequence[Result]) -> list[dict[str, object]]:
    """A row for every rule that was asked, worst first."""
    return [_row(result) for result in ordered(results)]


def _row(result: Result) -> dict[str, object]:
    row: dict[str, object] = {
        "id": result.rule.id,
        "title": result.rule.title,
        "severity": result.severity.word,
        "answer": _word(result),
    }
    match result.answer:
        case Found(findings):
            row["fault"] = result.rule.fault
            row["why"] = result.rule.why
            row["findings"] = [
                {
                    "what": finding.what,
                    "where": f"/{finding.where}" if finding.where else "",
                    "fix": finding.fix or result.rule.fix,
                    "severity": (finding.severity or result.severity).word,
                }
                for finding in findings
            ]
        case Skipped(reason) | Unseen(reason):
            row["reason"] = reason
    if result.waiver:
        row["waiver"] = result.waiver.reason
    return row


def _word(result: Result) -> str:
    match result.answer:
        case Found():
            return "waived" if result.waiver else "finding"
        case Skipped():
            return "skipped"
        case Unseen():
            return "could-not-look"
        case Passed():
            return "pass"
