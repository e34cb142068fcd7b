"""The findings of a check as GitHub's workflow commands: lines that its runner turns into annotations. Pure.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from collections.abc import Sequence

from azready.image.checking import Found, Result
from azready.image.render.text import ordered, printable, summary
from azready.image.rules.model import Severity

_LEVELS = {Severity.FATAL: "error", Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def as_github(results: Sequence[Result], target: str) -> str:
    """A line a finding, worst first, and a notice that counts. Waived findings are left out."""
    lines = []
    for result in ordered(results):
        if result.waiver or not isinstance(result.answer, Found):
            continue
        for finding in result.answer.findings:
            level = _LEVELS[finding.severity or result.severity]
            where = f" (/{finding.where})" if finding.where else ""
            title = _escaped(f"{result.rule.id} {result.rule.title}", ":,")
            said = _escaped(f"{finding.what}{where}; fix: {finding.fix or result.rule.fix}")
            lines.append(f"::{level} title={title}::{said}")
    return "\n".join([*lines, f"::notice title=azready check::{_escaped(f'{target}: {summary(results)}')}"])


def _escaped(text: str, more: str = "") -> str:
    """What the runner would take for its own; an image's words stay words."""
    for sign in f"%\r\n{more}":
        text = text.replace(sign, f"%{ord(sign):02X}")
    return printable(text)
