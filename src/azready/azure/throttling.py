"""Tells the user about every answer that makes us wait, and gives up on waits that are too long.

azure-core obeys Retry-After in silence, however long it is. This policy sits inside its retry policy, sees every
single answer, and nothing else. The only module whose import loads azure-core: import it late.
"""

from typing import Any

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy

from azready.azure import problems
from azready.console import Console
from azready.errors import Failure

BUSY = {408, 429, 500, 502, 503, 504}


class _Teller(SansIOHTTPPolicy[Any, Any]):
    def __init__(self, console: Console, longest: float) -> None:
        super().__init__()
        self._console = console
        self._longest = longest

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        answer = response.http_response
        if answer.status_code not in BUSY:
            return
        problem = problems.parse(_body(answer), answer.status_code, answer.headers)
        wait = _seconds(answer.headers.get("Retry-After"))
        if wait > self._longest:
            raise Failure(
                f"Azure answers {answer.status_code} ({problem.told.code}) and asks to wait {wait:.0f} s, longer than "
                f"azready waits ({self._longest:.0f} s)\n  request id {problem.request_id}",
                "run the same command again then: it goes on where it stopped",
            )
        left = answer.headers.get("x-ms-ratelimit-remaining-resource", "")
        self._console.say(
            f"  Azure answers {answer.status_code} ({problem.told.code}): "
            + (f"it asks to wait {wait:g} s" if wait else "trying again")
            + (f"; budget left: {left}" if left else "")
            + (f"; request id {problem.request_id}" if problem.request_id else "")
        )


def _body(answer: Any) -> Any:
    try:
        answer.read()
        return answer.json()
    except ValueError:
        return ""


def _seconds(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def tell_and_cap(console: Console, longest: float) -> SansIOHTTPPolicy[Any, Any]:
    """The policy; `longest` is the greatest Retry-After, in seconds, that is waited for."""
    return _Teller(console, longest)
