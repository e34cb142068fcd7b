"""What Azure answers when it refuses, read from every form in which it does so.

Azure wraps errors: `details`, `innererror` and `additionalInfo` hold more of them, and a `message` may hold the whole
story as JSON in a text. Sources: Microsoft's REST guidelines (error responses, OData's `innererror`), "Common error
codes" of Resource Manager, storage's XML errors, Entra's OAuth errors; and what recordings of real traffic show:
App Service and Insights write `Code` and `Message`, an operation keeps its error under `properties`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from azready.azure.advice import advice_for, advice_for_status
from azready.azure.refusals.row import Advice
from azready.errors import Exit, Failure

WRAPPERS = {"", "DeploymentFailed", "ResourceDeploymentFailure", "Conflict", "BadRequest", "InvalidTemplateDeployment"}
"""Codes that say nothing as long as there is another one inside."""

NO_REASON = "Azure gave no reason"
DEEPEST = 12
"""Levels of nesting that are followed: more is not an error but an attack, or a circle."""


@dataclass(frozen=True)
class Problem:
    """One error as Azure told it, with the ids that Microsoft's support asks for."""

    code: str
    message: str
    status: int = 0
    request_id: str = ""
    correlation_id: str = ""
    inner: tuple["Problem", ...] = ()
    target: str = ""
    """The part of the request that is wrong, where Azure names it."""

    @property
    def told(self) -> "Problem":
        """The error inside that tells most: the deepest one with advice, else the deepest that is no mere wrapper."""
        found = self.inside_out()
        named = [problem for problem in found if problem.code not in WRAPPERS]
        advised = (p for weak in (False, True) for p in found if advice_for(p.code, p.text, weak=weak))
        return next(advised, None) or next(iter(named), None) or next((p for p in found if p.message), self)

    @property
    def text(self) -> str:
        """Its message, and what stands in it without a code of its own: the policy that was violated, say."""
        return " ".join([self.message, *(inner.text for inner in self.inner if not inner.code)])

    def inside_out(self) -> list["Problem"]:
        """This error and all inside it, the deepest first; of one level in Azure's order."""
        return [problem for _, problem in sorted(_levels(self, 0), key=lambda pair: -pair[0])]

    def outside_in(self) -> list["Problem"]:
        """This error and all inside it, as they are nested."""
        return [problem for _, problem in _levels(self, 0)]


def _levels(problem: Problem, depth: int) -> Iterator[tuple[int, Problem]]:
    yield depth, problem
    for inner in problem.inner:
        yield from _levels(inner, depth + 1)


def parse(body: Any, status: int = 0, headers: Mapping[str, str] | None = None) -> Problem:
    """Read an error answer (a table, or what was sent instead of one)."""
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    found = _error(_table(body), 0)
    return Problem(
        found.code or f"HTTP {status}",
        found.message or NO_REASON,
        status,
        lower.get("x-ms-request-id", ""),
        lower.get("x-ms-correlation-request-id", ""),
        found.inner,
        found.target,
    )


def _table(body: Any) -> dict[str, Any]:
    if isinstance(body, dict):
        return body
    if isinstance(body, list):
        return {"details": body}
    text = str(body or "").strip()
    if not text.startswith("<"):
        return {"message": text}
    parts = {name: re.search(rf"<{name}>(.*?)</{name}>", text, re.DOTALL) for name in ("Code", "Message")}
    found = {name: match[1].strip() for name, match in parts.items() if match}
    return found or {"message": " ".join(re.sub(r"<[^>]*>", " ", text).split())[:300]}


def _error(raw: dict[str, Any], depth: int) -> Problem:
    table = _unwrapped({key.lower(): value for key, value in raw.items()})
    message = _sentence(table)
    inner = [_error(item, depth + 1) for item in _nested(table) if depth < DEEPEST]
    text, inside = _split(message)
    if inside is not None and depth < DEEPEST:
        message, inner = text, [*inner, _error(inside, depth + 1)]
    code = str(table.get("code") or table.get("errorcode") or "")
    return Problem(code, message, inner=tuple(inner), target=str(table.get("target") or ""))


def _unwrapped(table: dict[str, Any]) -> dict[str, Any]:
    """The error itself, from within `error`, `odata.error` or the `properties` of an operation."""
    for name in ("error", "odata.error"):
        if isinstance(table.get(name), dict):
            return {key.lower(): value for key, value in table[name].items()}
    properties = table.get("properties")
    if "code" not in table and isinstance(properties, dict) and isinstance(properties.get("error"), dict):
        return {key.lower(): value for key, value in properties["error"].items()}
    if isinstance(table.get("error"), str):  # Entra: {"error": "invalid_client", "error_description": "AADSTS…"}
        return {"code": table["error"], "message": table.get("error_description", "")}
    return table


def _sentence(table: dict[str, Any]) -> str:
    message = table.get("message") or table.get("errordetail") or table.get("exceptionmessage") or ""
    if isinstance(message, dict):  # OData: {"lang": "en", "value": "…"}
        message = message.get("value") or ""
    return str(message)


def _nested(table: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The errors inside an error; a violated policy is one."""
    for name in ("details", "innererror", "innererrors"):
        found = table.get(name)
        yield from (item for item in (found if isinstance(found, list) else [found]) if isinstance(item, dict))
    more = table.get("additionalinfo")
    for item in more if isinstance(more, list) else ():
        info = item.get("info") if isinstance(item, dict) else None
        if isinstance(info, dict):
            yield {"message": _policy(info) or "; ".join(f"{name}: {value}" for name, value in info.items())[:500]}


def _policy(info: dict[str, Any]) -> str:
    """`Require a tag on resource groups (assignment require-tag)`; empty when it is no policy."""
    name = info.get("policyDefinitionDisplayName") or info.get("policyDefinitionName")
    where = info.get("policyAssignmentDisplayName") or info.get("policyAssignmentName")
    return f"{name}" + (f" (assignment {where})" if where else "") if name else ""


def _split(message: str) -> tuple[str, dict[str, Any] | None]:
    """A message with JSON in it, apart: what stands before, and the table."""
    start = message.find("{")
    if start < 0 or '"' not in message[start:]:
        return message, None
    try:
        found, _ = json.JSONDecoder().raw_decode(message[start:])
    except (ValueError, RecursionError):
        return message, None
    return (message[:start].strip(), found) if isinstance(found, dict) else (message, None)


def advise(problem: Problem) -> Advice:
    """What to do: the advice of the error that tells most, with what its message names put in."""
    told = problem.told
    for weak in (False, True):
        found = advice_for(told.code, told.text, weak=weak)
        if found:
            return found
    return advice_for_status(problem.status)


class AzureFailure(Failure):
    """Azure refused or failed. `problem` is what it said, `advice` what that means."""

    exit_code = Exit.UNABLE

    def __init__(self, doing: str, problem: Problem, state: str = "") -> None:
        """`state` is the provisioningState of something that failed without an operation to say why."""
        if state and problem.told.message == NO_REASON:
            problem = replace(problem, code=state.capitalize())
        advice = advise(problem)
        told = problem.told
        text = f"{doing}: {told.code}"
        if advice.means:
            text += f", {advice.means}"
        text += "".join(f"\n  {line}" for line in _said(problem, told))
        ids = [("request id", problem.request_id), ("correlation id", problem.correlation_id)]
        text += "".join(f"\n  {name} {value}" for name, value in ids if value)
        super().__init__(text, advice.hint)
        self.problem = problem
        self.advice = advice

    @property
    def code(self) -> str:
        return self.problem.told.code


def _said(problem: Problem, told: Problem) -> list[str]:
    """Azure's own words: those of the error that tells most, then every other level, none twice."""
    lines: list[str] = []
    seen = {"", NO_REASON}
    for each in (told, *problem.outside_in()):
        if each.message in seen:
            continue
        seen.add(each.message)
        named = f"{each.code}: " if each.code and each.code != told.code else ""
        lines.append(f"and: {named}{_words(each)}" if lines else f"Azure says: {_words(each)}")
    return lines or [f"Azure says: {NO_REASON}"]


def _words(problem: Problem) -> str:
    return " ".join(problem.message.split()) + (f" ({problem.target})" if problem.target else "")
