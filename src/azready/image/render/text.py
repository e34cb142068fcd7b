"""The answers of a check for people. Pure."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from azready.image.checking import (
    Found,
    Passed,
    Result,
    Skipped,
    Unseen,
)
from azready.image.rules.model import Finding, Rule, Severity

_SHOWN = 5
"""Findings of one rule that are shown one by one."""


def ordered(results: Sequence[Result]) -> list[Result]:
    """Worst first, then by id."""
    return sorted(results, key=lambda result: (-(result.worst or 0), result.rule.id))


def as_text(results: Sequence[Result], target: str, verbose: bool = False) -> str:
    """Findings grouped by severity, worst first; then what could not be looked at; then one line that counts."""
    lines = list(_found(results))
    waived = [result for result in results if result.waiver and isinstance(result.answer, Found)]
    if waived:
        lines += ["", "WAIVED"]
        lines += [f"  {r.rule.id}  {r.rule.title}: {r.waiver.reason}" for r in waived if r.waiver]
    if verbose:
        lines += ["", "PASSED", *(f"  {r.rule.id}  {r.rule.title}" for r in results if isinstance(r.answer, Passed))]
        lines += ["", "SKIPPED"]
        lines += [f"  {r.rule.id}  {r.answer.reason}" for r in results if isinstance(r.answer, Skipped)]
    return "\n".join([*lines, "", f"{target}: {summary(results)}", *_what_fixes(results)]).lstrip("\n")


def findings(results: Sequence[Result]) -> str:
    """What was found, and what could not be looked at, and nothing else."""
    return "\n".join(_found(results)).strip("\n")


def _found(results: Sequence[Result]) -> Iterator[str]:
    """Findings grouped by severity, worst first; then what could not be looked at."""
    group: Severity | None = None
    for result in ordered(results):
        if not isinstance(result.answer, Found) or result.waiver:
            continue
        if result.worst != group and result.worst is not None:
            group = result.worst
            yield from ("", group.word.upper())
        yield from finding_lines(result, result.answer.findings)
    unseen: dict[str, list[Rule]] = {}
    for result in results:
        if isinstance(result.answer, Unseen):
            unseen.setdefault(result.answer.reason, []).append(result.rule)
    if unseen:
        yield from ("", "COULD NOT LOOK")
    for reason, rules in unseen.items():
        if len(rules) <= _NAMED_ALONE:
            yield from (f"  {rule.id}  {rule.title}: {reason}" for rule in rules)
        else:
            yield from (
                f"  {reason}",
                *wrap(" ".join(rule.id for rule in rules), 100, initial_indent=_DEEP, subsequent_indent=_DEEP),
            )


_NAMED_ALONE = 3
_DEEP = " " * 7


def _what_fixes(results: Sequence[Result]) -> Iterator[str]:
    """Which findings one command takes away."""
    by: dict[str, list[str]] = {}
    for result in results:
        if not isinstance(result.answer, Found) or result.waiver:
            continue
        rule = result.rule
        if any((finding.fix or rule.fix).startswith("azready prepare") for finding in result.answer.findings):
            by.setdefault("azready prepare", []).append(rule.id)
        elif rule.repair and not all(finding.by_hand for finding in result.answer.findings):
            in_part = " in part" if any(finding.by_hand for finding in result.answer.findings) else ""
            command = "azready generalize" if rule.seals else "azready generalize --fix"
            by.setdefault(command, []).append(rule.id + in_part)
    for command, ids in sorted(by.items(), reverse=True):
        yield f"`{command}` fixes {', '.join(sorted(ids))}"


def finding_lines(result: Result, findings: Sequence[Finding]) -> Iterator[str]:
    """The rule, the first findings, and each fix of theirs once; control characters are shown, not sent."""
    yield f"  {result.rule.id}  {result.rule.fault}"
    for finding in findings[:_SHOWN]:
        where = f"/{finding.where}: " if finding.where and f"/{finding.path} " not in f"{finding.what} " else ""
        yield f"       {printable(where + finding.what)}"
    if len(findings) > _SHOWN:
        yield f"       and {len(findings) - _SHOWN} more"
    for fix in dict.fromkeys(finding.fix or result.rule.fix for finding in findings[:_SHOWN]):
        yield f"       → {fix}"


def printable(text: str) -> str:
    """What a hostile image puts into names and lines must not move the cursor."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def summary(results: Sequence[Result]) -> str:
    """`2 fatal, 1 error, 3 warnings, 61 passed, 12 skipped`; waived findings and what could not be seen, too."""
    counts = dict.fromkeys(reversed(Severity), 0)
    for result in results:
        if result.worst and not result.waiver:
            counts[result.worst] += 1
    words = {Severity.WARNING: "warning", Severity.ERROR: "error", Severity.INFO: "note", Severity.FATAL: "fatal"}
    parts = [_counted(number, words[severity]) for severity, number in counts.items() if number]
    kinds = ((Unseen, "could not be looked at"), (Passed, "passed"), (Skipped, "skipped"))
    for kind, word in kinds:
        number = sum(isinstance(result.answer, kind) for result in results)
        if number or kind is Passed:
            parts.append(f"{number} {word}")
    waived = sum(bool(result.waiver and isinstance(result.answer, Found)) for result in results)
    if waived:
        parts.append(f"{waived} waived")
    return ", ".join(parts)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" + ("s" if number != 1 and word != "fatal" else "")
