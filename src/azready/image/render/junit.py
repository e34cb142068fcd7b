"""The answers of a check for build servers: JUnit's XML. Pure.

Escaped as HTML is, which is XML's way too: `xml.sax` would load all of urllib, http and email at every start.
"""

from collections.abc import Sequence
from html import escape

from azready.image.checking import Found, Result, Skipped, Unseen
from azready.image.render.text import finding_lines, printable
from azready.image.rules.model import Severity


def as_junit(results: Sequence[Result], target: str, fail_on: Severity) -> str:
    """A test case a rule: findings below `fail_on` are output, not failures; what could not be seen is an error."""
    cases = "\n".join(_case(result, fail_on) for result in results)
    failures = sum((result.worst or 0) >= fail_on and not result.waiver for result in results)
    errors = sum(isinstance(result.answer, Unseen) for result in results)
    skipped = sum(isinstance(result.answer, Skipped) for result in results)
    seconds = sum(result.seconds for result in results)
    head = f'tests="{len(results)}" failures="{failures}" errors="{errors}" skipped="{skipped}" time="{seconds:.3f}"'
    suite = f"<testsuite name={_attribute(f'azready check {target}')} {head}>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n{suite}\n{cases}\n</testsuite>'


def _case(result: Result, fail_on: Severity) -> str:
    name = _attribute(f"{result.rule.id} {result.rule.title}")
    inside = ""
    match result.answer:
        case Found(findings):
            text = escape("\n".join(printable(line.strip()) for line in finding_lines(result, findings)))
            failed = (result.worst or 0) >= fail_on and not result.waiver
            message = _attribute(findings[0].what)
            inside = f"<failure message={message}>{text}</failure>" if failed else f"<system-out>{text}</system-out>"
        case Skipped(reason):
            inside = f"<skipped message={_attribute(reason)}/>"
        case Unseen(reason):
            inside = f"<error message={_attribute(reason)}/>"
    return f'  <testcase classname="azready" name={name} time="{result.seconds:.3f}">{inside}</testcase>'


def _attribute(text: str) -> str:
    return f'"{escape(printable(text))}"'
