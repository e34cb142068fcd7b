"""What every provider of the fake shares: resources, long-running operations, errors, routes."""

import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

Json = dict[str, Any]

SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
TENANT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


class Refused(Exception):
    """An error answer as ARM gives it."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(code, message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    def body(self) -> Json:
        return {"error": {"code": self.code, "message": self.message}}


@dataclass
class Ask:
    """A request, taken apart. `path` keeps its case; `parts` are the named groups of the route."""

    method: str
    path: str
    query: dict[str, str]
    body: Json
    base: str
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        return self.query.get("api-version", "")


@dataclass
class Reply:
    status: int
    body: Json | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Operation:
    """A long-running operation. `settled` tells whether it has come to its end; then `finish` runs, once."""

    url: str
    settled: Callable[[], bool]
    finish: Callable[[], Json | None]
    name: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "InProgress"
    error: Json | None = None
    output: Json | None = None


Handler = Callable[["Arm", Ask], Reply]
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []

COMPUTE = "providers/Microsoft.Compute"
NETWORK = "providers/Microsoft.Network"
GROUP = "/subscriptions/{sub}/resourceGroups/{group}"
PAGE = 50
"""Lists of a group come in pages of 50. Source: Azure/azure-powershell issues 7321 and 7292."""


def route(method: str, template: str) -> Callable[[Handler], Handler]:
    """Register a handler; `{name}` matches one part of the path, in any case."""
    pattern = re.compile("^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template) + "/?$", re.IGNORECASE)

    def keep(handler: Handler) -> Handler:
        ROUTES.append((method, pattern, handler))
        return handler

    return keep


@dataclass
class Guest:
    """What a created VM does: `state()` is "" while it boots, then "ready" or an error code with its reason."""

    state: Callable[[], tuple[str, str]]
    console: Callable[[], bytes] = lambda: b""
    stop: Callable[[], None] = lambda: None


def ready_guest(_: Json, console: bytes = b"azready-test login: ") -> Guest:
    return Guest(lambda: ("ready", ""), lambda: console)


@dataclass
class Arm:
    """The whole state of the fake."""

    retry_after: int = 0
    """Sent with every accepted operation; 0 sends no such header, as Azure sometimes does not."""
    takes: float = 0.0
    """How long an operation takes, in seconds."""
    boot: Callable[[Json], Guest] = ready_guest
    blob_base: str = ""
    """Where the page blobs of managed disks are; see blobs.py."""
    on_disk: Callable[[str, Json], str] = lambda identity, body: ""
    """Called when a disk is granted write access: makes its blob and returns a SAS URL."""
    vcpu_limit: int = 100
    locations: tuple[str, ...] = ("westeurope", "northeurope", "eastus")
    resources: dict[str, Json] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    guests: dict[str, Guest] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    """Types (such as `virtualMachines`) that the caller has no right to write."""
    roles: tuple[Any, ...] = ()
    """The caller's roles (`rights.Role`); none: everything is allowed."""
    capacity: int | None = None
    """How many VMs there is room for; more end in AllocationFailed, a set is made in part."""
    page: int = PAGE
    reserved_asks: int = 2
    """How often a reserved interface is refused before it is free again. In Azure it is free after 180 seconds."""

    def answer(self, ask: Ask) -> Reply:
        """Answer one request. Raises Refused."""
        for operation in list(self.operations.values()):
            self._settle(operation)
        known = False
        for method, pattern, handler in ROUTES:
            if match := pattern.match(ask.path):
                known = True
                if method == ask.method:
                    ask.parts = match.groupdict()
                    if "sub" in ask.parts and ask.parts["sub"] != SUBSCRIPTION:
                        raise Refused(
                            404, "SubscriptionNotFound", f"The subscription '{ask.parts['sub']}' could not be found."
                        )
                    return self._paged(ask, handler(self, ask))
        if known:
            raise Refused(405, "MethodNotAllowed", f"{ask.method} is not allowed on {ask.path}")
        raise Refused(404, "InvalidResourceType", f"The fake has no such route: {ask.method} {ask.path}")

    def _paged(self, ask: Ask, reply: Reply) -> Reply:
        """A long list in pages, each but the last with a `nextLink`."""
        values = reply.body.get("value") if isinstance(reply.body, dict) else None
        if ask.method != "GET" or not isinstance(values, list) or "nextLink" in (reply.body or {}):
            return reply
        token = ask.query.get("$skiptoken", "")
        skip = int(token.removeprefix("page-")) if token.startswith("page-") else 0
        body = {**(reply.body or {}), "value": values[skip : skip + self.page]}
        if skip + self.page < len(values):
            rest = {key: value for key, value in ask.query.items() if key != "$skiptoken"}
            query = urlencode(rest | {"$skiptoken": f"page-{skip + self.page}"}, quote_via=quote)
            body["nextLink"] = f"{ask.base}{quote(ask.path)}?{query}"
        return Reply(reply.status, body, reply.headers)

    def _settle(self, operation: Operation) -> None:
        if operation.status != "InProgress" or not operation.settled():
            return
        try:
            operation.output = operation.finish()
            operation.status = "Succeeded"
        except Refused as refused:
            operation.status = "Failed"
            operation.error = refused.body()["error"]

    def get(self, identity: str) -> Json | None:
        return self.resources.get(identity.lower())

    def need(self, identity: str) -> Json:
        """The resource; raises the 404 that Azure gives."""
        found = self.get(identity)
        if found is None:
            name = "/".join(identity.split("/")[-2:])
            group = identity.split("/")[4]
            self.need_group(identity)
            raise Refused(
                404,
                "ResourceNotFound",
                f"The Resource 'Microsoft.Compute/{name}' under resource group '{group}' was not found. "
                "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
            )
        return found

    def need_group(self, identity: str) -> None:
        parts = identity.split("/")
        if "/".join(parts[:5]).lower() not in self.resources:
            raise Refused(404, "ResourceGroupNotFound", f"Resource group '{parts[4]}' could not be found.")

    def referenced(self, identity: str, by: str) -> Json:
        """The resource that another one names; raises the 400 that Azure gives when it is not there."""
        found = self.get(identity)
        if found is None:
            raise Refused(
                400, "InvalidResourceReference", f"Resource {identity} referenced by resource {by} was not found."
            )
        return found

    def store(self, ask: Ask, kind: str, properties: Json, **more: Any) -> tuple[Json, bool]:
        """Put a resource; returns it and whether it is new."""
        self.need_group(ask.path)
        if kind.split("/")[-1] in self.forbidden:
            raise Refused(
                403,
                "AuthorizationFailed",
                f"The client 'tester' with object id '0' does not have authorization to perform action "
                f"'{kind}/write' over scope '{ask.path}' or the scope is invalid.",
            )
        if not isinstance(ask.body.get("location"), str):
            raise Refused(400, "LocationRequired", "The location property is required for this definition.")
        if ask.body["location"].replace(" ", "").lower() not in self.locations:
            raise Refused(
                400,
                "LocationNotAvailableForResourceType",
                f"The provided location '{ask.body['location']}' is not available for resource type '{kind}'.",
            )
        new = self.get(ask.path) is None
        resource: Json = {
            "id": ask.path.rstrip("/"),
            "name": ask.path.rstrip("/").split("/")[-1],
            "type": kind,
            "location": ask.body["location"].replace(" ", "").lower(),
            "properties": properties,
            **more,
        }
        if ask.body.get("tags"):
            resource["tags"] = ask.body["tags"]
        self.resources[ask.path.rstrip("/").lower()] = resource
        return resource, new

    def begin(
        self,
        ask: Ask,
        where: str,
        finish: Callable[[], Json | None],
        *,
        settled: Callable[[], bool] | None = None,
        location: bool = False,
        aao: bool = True,
    ) -> dict[str, str]:
        """Start an operation; returns its headers. `where` is the provider's folder of poll addresses."""
        due = time.monotonic() + self.takes
        operation = Operation("", settled or (lambda: time.monotonic() >= due), finish)
        operation.url = f"{ask.base}/subscriptions/{SUBSCRIPTION}/{where}/{operation.name}?api-version={ask.version}"
        self.operations[operation.name] = operation
        headers: dict[str, str] = {}
        if aao:
            headers["Azure-AsyncOperation"] = operation.url
        if location:
            headers["Location"] = operation.url + "&monitor=true"
        if self.retry_after:
            headers["Retry-After"] = str(self.retry_after)
        return headers

    def succeed(self, resource: Json) -> Callable[[], Json | None]:
        """The usual end of a creation."""

        def finish() -> None:
            resource["properties"]["provisioningState"] = "Succeeded"

        return finish

    def of_kind(self, kind: str, group: str = "") -> list[Json]:
        """All resources of a type, in a group or anywhere."""
        return [
            item
            for key, item in self.resources.items()
            if item.get("type", "").lower() == kind.lower()
            and (not group or f"/resourcegroups/{group.lower()}/" in key)
        ]


def poll(arm: Arm, ask: Ask) -> Reply:
    operation = arm.operations.get(ask.parts["operation"])
    if operation is None:
        raise Refused(404, "NotFound", "The entity was not found.")
    headers = {"Retry-After": str(arm.retry_after)} if arm.retry_after else {}
    if ask.query.get("monitor"):
        if operation.status == "InProgress":
            return Reply(202, None, {"Location": operation.url + "&monitor=true", **headers})
        if operation.status == "Failed":
            return Reply(200, {"error": operation.error})
        return Reply(200, operation.output)
    body: Json = {"startTime": "2026-01-01T00:00:00+00:00", "status": operation.status, "name": operation.name}
    if operation.error:
        body["error"] = operation.error
    if operation.output:
        body["properties"] = {"output": operation.output}
    return Reply(200, body, headers)


for _where in (
    f"{COMPUTE}/locations/[^/]+/operations",
    f"{COMPUTE}/locations/[^/]+/DiskOperations",
    f"{COMPUTE}/locations/[^/]+/capsOperations",
    f"{NETWORK}/locations/[^/]+/operations",
    "operationresults",
    "resourcegroups/[^/]+/providers/Microsoft.Resources/deployments/[^/]+/operationStatuses",
):
    route("GET", f"/subscriptions/{{sub}}/{_where}/{{operation}}")(poll)
