"""Sends requests to Azure Resource Manager and waits for long-running operations.

azure-core does authentication, retries and polling; what is ours: every throttling wait is shown and capped, lost
answers of POST are asked for again (those that we send may be repeated), errors become `AzureFailure`.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from azready.azure import problems
from azready.azure.clouds import Cloud
from azready.azure.problems import AzureFailure
from azready.azure.requests.model import Json, Request
from azready.console import SILENT, Console
from azready.errors import Failure

if TYPE_CHECKING:
    from azure.core import PipelineClient
    from azure.core.credentials import TokenCredential

REPEATABLE = frozenset({"GET", "PUT", "DELETE", "POST"})
"""deallocate, generalize, beginGetAccess, endGetAccess and retrieveBootDiagnosticsData may all be sent twice."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds. Tests make everything shorter."""

    poll: float = 5.0
    """Between two looks at an operation, when Azure does not say."""
    backoff: float = 0.8
    """The factor of exponential waits after lost connections and server errors."""
    throttled: float = 300.0
    """The longest Retry-After that is waited for."""
    busy: float = 10.0
    """Between two tries when another operation holds the resource."""
    busy_tries: int = 30
    tell: float = 30.0
    """Between two lines about an operation that still runs."""
    settle: float = 7200.0
    """How long a resource without an operation is read until it is made. Replication to many regions takes an hour."""


@dataclass(frozen=True)
class Answer:
    """An answer that is not an error. After a long-running operation it is the final one."""

    status: int
    body: Json
    headers: dict[str, str] = field(default_factory=dict)


SETTLED = ("", "succeeded", "failed", "canceled")
"""The states in which a resource stays. Source: Azure's Async API reference (provisioningState); "" is: has none."""


def provisioning_state(body: Json) -> str:
    """In lower case, as Azure's own spelling varies; empty when the resource has no such state."""
    properties = body.get("properties")
    return str(properties.get("provisioningState") or "").lower() if isinstance(properties, dict) else ""


class Vanished(Failure):
    """What was being made is gone."""


class Client:
    """One login at one cloud. `ca` is a file of certificates for tests and for proxies that break up TLS."""

    def __init__(
        self,
        cloud: Cloud,
        credential: "TokenCredential",
        console: Console = SILENT,
        *,
        ca: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.cloud = cloud
        self._credential = credential
        self._console = console
        self._ca = ca
        self._patience = patience or Patience()
        self._pipeline = self._connect()

    def send(self, request: Request, progress: Callable[[], str] | None = None) -> Answer:
        """Send, wait until the operation ends, return its last answer. Raises AzureFailure and Failure.

        A PUT that names no operation is waited for by reading what it makes; a list is read to its last page. Waits
        (bounded) while another operation holds the resource; renews the login once. `progress` is asked now and then,
        from another thread, how far a long operation is.
        """
        renewed = False
        for attempt in range(self._patience.busy_tries + 1):
            try:
                return self._send(request, progress)
            except AzureFailure as failure:
                match failure.advice.act:
                    case "wait" if attempt < self._patience.busy_tries:
                        self._console.say(
                            f"{request.resource} is busy ({failure.code}): trying again in {self._patience.busy:g} s"
                        )
                        time.sleep(self._patience.busy)
                    case "login" if not renewed:
                        renewed = True
                        self._console.say("the token was refused: asking for a new one")
                        self._pipeline = self._connect()
                    case _:
                        raise
        raise AssertionError("the last attempt returns or raises")

    def find(self, request: Request) -> Answer | None:
        """Like `send`, for a GET: None when there is no such thing."""
        try:
            return self.send(request)
        except AzureFailure as failure:
            if failure.advice.act == "gone":
                return None
            raise

    def settled(self, request: Request, found: Answer, progress: Callable[[], str] | None = None) -> Answer:
        """Wait until what `request` makes is made, by reading it: for what is half made and names no operation.

        Raises AzureFailure when it failed, Failure when it vanished or is not made in time.
        """
        if provisioning_state(found.body) in SETTLED:
            return _made(request, found)
        self._console.say(f"  {request.resource} is still {provisioning_state(found.body)}: waiting")
        look = Request("GET", request.path, request.api_version, query=request.query)
        deadline = time.monotonic() + self._patience.settle
        with self._telling(request, progress):
            while provisioning_state(found.body) not in SETTLED:
                if time.monotonic() > deadline:
                    raise Failure(
                        f"{request.resource} is still {provisioning_state(found.body)} after "
                        f"{self._patience.settle:.0f} s",
                        "look at it in the portal; the same command goes on waiting",
                    )
                time.sleep(self._patience.poll)
                again = self.find(look)
                if again is None:
                    raise Vanished(f"{request.resource} is gone: somebody removed it", "run the same command again")
                found = again
        return _made(request, found)

    def _with_all_pages(self, request: Request, first: Answer) -> Answer:
        """A list with what its further pages hold (`nextLink`); anything else as it is."""
        values, link, seen = first.body.get("value"), str(first.body.get("nextLink") or ""), set[str]()
        if not isinstance(values, list) or not link:
            return first
        items = list(values)
        while link:
            if link in seen or not link.lower().startswith(self.cloud.arm.lower() + "/"):
                raise Failure(
                    f"{_doing(request)}: Azure's list goes on at an address that cannot be right", "run it again"
                )
            seen.add(link)
            page = self.send(replace(request, link=link[len(self.cloud.arm) :])).body
            items += page.get("value") or []
            link = str(page.get("nextLink") or "")
        return replace(first, body={**first.body, "value": items, "nextLink": ""})

    def _connect(self) -> "PipelineClient[Any, Any]":
        from azure.core.pipeline import policies
        from azure.mgmt.core import ARMPipelineClient
        from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

        from azready import __version__
        from azready.azure.throttling import tell_and_cap

        patience = self._patience
        retry = policies.RetryPolicy(
            retry_total=12,
            retry_connect=7,
            retry_read=7,
            retry_status=7,
            retry_backoff_factor=patience.backoff,
            retry_backoff_max=60,
        )
        options: dict[str, Any] = {} if self._ca is None else {"connection_verify": self._ca}
        return ARMPipelineClient(
            self.cloud.arm,
            policies=[
                policies.RequestIdPolicy(),
                policies.UserAgentPolicy(base_user_agent=f"azready/{__version__}"),
                policies.ProxyPolicy(),
                retry,
                tell_and_cap(self._console, patience.throttled),
                ARMChallengeAuthenticationPolicy(self._credential, self.cloud.scope),
            ],
            **options,
        )

    def _send(self, request: Request, progress: Callable[[], str] | None) -> Answer:
        from azure.core.exceptions import AzureError
        from azure.core.rest import HttpRequest

        where = self.cloud.arm + (request.link or request.target)
        message = HttpRequest(request.method, where, json=request.body, headers={"Accept": "application/json"})
        try:
            first = self._pipeline._pipeline.run(message, retry_on_methods=REPEATABLE)
            response = first.http_response
            response.read()
            if response.status_code >= 400:
                raise AzureFailure(_doing(request), _problem(response))
            if request.method == "GET":
                return _answer(response) if request.link else self._with_all_pages(request, _answer(response))
            if _is_long_running(response.headers):
                return self._wait(request, first, progress)
            if request.method == "PUT":
                return self.settled(request, _answer(response), progress)
            return _answer(response)
        except AzureError as error:
            raise _translate(request, error) from error

    def _wait(self, request: Request, first: Any, progress: Callable[[], str] | None) -> Answer:
        """Poll until the operation ends, telling now and then that it still runs."""
        from azure.core.polling import LROPoller
        from azure.mgmt.core.polling.arm_polling import ARMPolling

        options = {"final-state-via": request.final_state_via} if request.final_state_via else None
        method: Any = ARMPolling(self._patience.poll, lro_options=options, retry_on_methods=REPEATABLE)
        poller: LROPoller[Answer] = LROPoller(self._pipeline, first, lambda done: _answer(done.http_response), method)
        with self._telling(request, progress):
            while not poller.done():
                poller.wait(1)  # short waits: a Ctrl-C is noticed between them
            return poller.result() or Answer(200, {})

    @contextmanager
    def _telling(self, request: Request, progress: Callable[[], str] | None) -> Iterator[None]:
        stop = threading.Event()
        threading.Thread(target=self._tell, args=(request, stop, progress), daemon=True).start()
        try:
            yield
        finally:
            stop.set()

    def _tell(self, request: Request, stop: threading.Event, progress: Callable[[], str] | None) -> None:
        started = time.monotonic()
        usual = f" ({request.usual})" if request.usual else ""
        while not stop.wait(self._patience.tell):
            try:
                more = progress() if progress else ""
            except Failure:  # a look that fails is no reason to stop waiting
                more = ""
            text = f"still at it after {time.monotonic() - started:.0f} s{usual}"
            self._console.say(f"  {request.resource}: {text}" + (f": {more}" if more else ""))


def _made(request: Request, found: Answer) -> Answer:
    """The answer, when it is of something made. Raises AzureFailure when it failed."""
    state = provisioning_state(found.body)
    if state in ("failed", "canceled"):
        raise AzureFailure(_doing(request), problems.parse(found.body, found.status, found.headers), state)
    return found


def _is_long_running(headers: Any) -> bool:
    return any(name in headers for name in ("Azure-AsyncOperation", "Location"))


def _doing(request: Request) -> str:
    verbs = {"GET": "cannot read", "PUT": "cannot create", "POST": "cannot do", "DELETE": "cannot remove"}
    return f"{verbs[request.method]} {request.resource}"


def _body(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text()


def _answer(response: Any) -> Answer:
    body = _body(response) if response.text().strip() else {}
    if isinstance(body, list):  # some lists come bare (marketplace versions), most as {"value": […]}
        body = {"value": body}
    return Answer(response.status_code, body if isinstance(body, dict) else {}, dict(response.headers))


def _problem(response: Any) -> problems.Problem:
    return problems.parse(_body(response), response.status_code, response.headers)


def _translate(request: Request, error: Any) -> Failure:
    """Azure's library error as ours. A failed operation arrives with HTTP 200: only its code tells."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError

    if isinstance(error, HttpResponseError) and error.response is not None:
        return AzureFailure(_doing(request), _problem(error.response))
    if isinstance(error, ClientAuthenticationError):
        from azready.azure.credentials import LOG_IN

        return Failure(f"the login failed: {str(error.message).splitlines()[0]}", LOG_IN)
    reached = "could not be reached" if isinstance(error, ServiceRequestError) else "broke off the connection"
    return Failure(
        f"{_doing(request)}: Azure {reached}: {str(error).splitlines()[0]}",
        "check the network and the proxy, then run the same command again: it goes on where it stopped",
    )
