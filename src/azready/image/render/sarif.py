"""The answers of a check for code scanning: SARIF 2.1.0 (OASIS), as GitHub, GitLab and Azure DevOps read it. Pure.

A finding's place is a file of the image, relative to its root (`uriBaseId` IMAGE). GitHub shows only results that have
a place, so a finding about the whole image is placed at the image itself.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from azready import __version__
from azready.image.checking import Found, Result, Unseen
from azready.image.render.text import printable
from azready.image.rules.model import Finding, Rule, Severity
from azready.image.rules.sources import SOURCES

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.FATAL: "error", Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_SCORES = {Severity.FATAL: "9.0", Severity.ERROR: "7.0", Severity.WARNING: "4.0", Severity.INFO: "1.0"}
"""GitHub's `security-severity`, by which it sorts: above 9 critical, 7 high, 4 medium, 0 low."""


def as_sarif(results: Sequence[Result], target: str) -> str:
    """One run: every rule that was asked, a result for each finding, a notification for what could not be seen."""
    run = {
        "tool": {"driver": {**_DRIVER, "rules": [_rule(result) for result in results]}},
        "invocations": [_invocation(results)],
        "originalUriBaseIds": {"IMAGE": {"description": {"text": f"the root of {printable(target)}"}}},
        "results": [found for index, result in enumerate(results) for found in _results(index, result, target)],
        "columnKind": "unicodeCodePoints",
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


_DRIVER = {
    "name": "azready",
    "semanticVersion": __version__,
    "shortDescription": {"text": "Will this Linux image be provisioned on Azure?"},
}


def _rule(result: Result) -> dict[str, Any]:
    rule = result.rule
    sources = [SOURCES[key] for key in rule.sources if key != "OWN"]
    links = "".join(f"\n- [{source.title}]({source.url})" for source in sources)
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why}\n\n{rule.fix}", "markdown": f"{rule.why}\n\n**Fix:** {rule.fix}\n{links}"},
        "defaultConfiguration": {"level": _LEVELS[result.severity]},
        "properties": {"tags": ["azure", "image"], "security-severity": _SCORES[result.severity]},
        **({"helpUri": sources[0].url} if sources else {}),
    }


def _invocation(results: Sequence[Result]) -> dict[str, Any]:
    unseen = [
        {
            "level": "warning",
            "message": {"text": printable(result.answer.reason)},
            "associatedRule": {"id": result.rule.id},
        }
        for result in results
        if isinstance(result.answer, Unseen)
    ]
    return {"executionSuccessful": True, "toolExecutionNotifications": unseen}


def _results(index: int, result: Result, target: str) -> list[dict[str, Any]]:
    if not isinstance(result.answer, Found):
        return []
    waived = [{"kind": "external", "justification": result.waiver.reason}] if result.waiver else []
    return [_result(index, result, finding, waived, target) for finding in result.answer.findings]


def _result(
    index: int, result: Result, finding: Finding, waived: Sequence[Mapping[str, str]], target: str
) -> dict[str, Any]:
    rule = result.rule
    return {
        "ruleId": rule.id,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity or result.severity],
        "message": {"text": printable(f"{rule.fault}: {finding.what}. Fix: {finding.fix or rule.fix}")},
        "locations": [{"physicalLocation": _place(finding, target)}],
        "partialFingerprints": {"finding/v1": _fingerprint(rule, finding)},
        **({"suppressions": list(waived)} if waived else {}),
    }


def _place(finding: Finding, target: str) -> dict[str, Any]:
    if not finding.where:
        return {"artifactLocation": {"uri": quote(target)}}
    region = {"region": {"startLine": finding.line}} if finding.line else {}
    return {"artifactLocation": {"uri": quote(finding.path), "uriBaseId": "IMAGE"}, **region}


def _fingerprint(rule: Rule, finding: Finding) -> str:
    """The same finding in the next build has the same one, though it moved to another line."""
    return hashlib.sha256(f"{rule.id}\0{finding.path}\0{finding.what}".encode()).hexdigest()[:32]
