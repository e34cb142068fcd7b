"""Which rights a run needs, read off its own requests: a custom role with just these, and the look beforehand.

Sources: Microsoft's "Azure resource provider operations" (an action is the resource's type and read, write, delete or
the verb), "Virtual network permissions" (what is named in a body needs its join), "Azure custom roles", and the REST
reference of Authorization (Permissions: what the caller may do on a scope).
"""

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from azready.azure.known import Known, planned
from azready.azure.requests.model import Json, Place, Request, read
from azready.azure.steps import Ensure, Read, Step, Work
from azready.errors import Failure

PERMISSIONS = "2022-04-01"
UNSEEN = "a missing right shows when Azure refuses"
NAMED: tuple[tuple[str, str], ...] = (
    ("/subnets/[^/]+", "Microsoft.Network/virtualNetworks/subnets/join/action"),
    ("/networkSecurityGroups/[^/]+", "Microsoft.Network/networkSecurityGroups/join/action"),
    ("/publicIPAddresses/[^/]+", "Microsoft.Network/publicIPAddresses/join/action"),
    ("/networkInterfaces/[^/]+", "Microsoft.Network/networkInterfaces/join/action"),
    ("/versions/[^/]+", "Microsoft.Compute/galleries/images/versions/read"),
    ("/galleries/[^/]+/images/[^/]+", "Microsoft.Compute/galleries/images/read"),
    ("/Microsoft.Compute/images/[^/]+", "Microsoft.Compute/images/read"),
    ("/virtualMachines/[^/]+", "Microsoft.Compute/virtualMachines/read"),
    ("/snapshots/[^/]+", "Microsoft.Compute/snapshots/beginGetAccess/action"),
    ("/disks/[^/]+", "Microsoft.Compute/disks/beginGetAccess/action"),
    ("/diskEncryptionSets/[^/]+", "Microsoft.Compute/diskEncryptionSets/read"),
)
"""What a body names, and the action that it takes to name it (a snapshot, for one, reads the disk)."""


@dataclass(frozen=True, order=True)
class Right:
    """An action on a scope: a resource group, or the subscription."""

    action: str
    scope: str

    @property
    def of_subscription(self) -> bool:
        return self.scope.count("/") == 2


def of_requests(requests: Iterable[Request]) -> frozenset[Right]:
    """Every right that sending them needs."""
    return frozenset(right for request in requests for right in _of_request(request))


def of_steps(steps: Iterable[Step], known: Known, more: Iterable[Request] = ()) -> frozenset[Right]:
    """Every right that carrying out the steps needs, as far as it is `known` how the run goes; `more` is asked besides.

    What is to exist is looked for first, and read while it is being made.
    """
    requests = list(more)
    for step in steps:
        if not step.when(known):
            continue
        request = step.request if isinstance(step, Work) else step.request(known)
        if request is None:
            continue
        requests.append(request)
        if isinstance(step, Ensure):
            requests += [read(request.path, request.api_version), *([step.watch(known)] if step.watch else [])]
    return of_requests(requests)


def _of_request(request: Request) -> Iterator[Right]:
    before, _, rest = request.path.rstrip("/").partition("/providers/")
    scope = _scope(before)
    verb = {"GET": "read", "PUT": "write", "DELETE": "delete", "POST": "action"}[request.method]
    if not rest:
        kind = "subscriptions/resourceGroups" if scope.count("/") > 2 else "subscriptions"
        # A group is made, and removed, by who may do so on the subscription.
        yield Right(f"Microsoft.Resources/{kind}/{verb}", scope if verb == "read" else "/".join(scope.split("/")[:3]))
        return
    provider, *names = rest.split("/")
    yield Right(f"{provider}/{'/'.join(names[0::2])}/{verb}", scope)
    if request.method == "PUT":
        yield from _of_body(request, scope)


def _of_body(request: Request, scope: str) -> Iterator[Right]:
    machines = re.search(r"/virtualMachine(s|ScaleSets)/[^/]+$", request.path)
    if machines:
        yield Right("Microsoft.Compute/disks/write", scope)
    for identity in _ids(request.body):
        action = next((action for end, action in NAMED if re.search(end + "$", identity, re.IGNORECASE)), "")
        if action.endswith("disks/beginGetAccess/action") and machines:
            action = "Microsoft.Compute/disks/write"  # a disk that is attached
        if action:
            yield Right(action, _scope(identity))


def _scope(path: str) -> str:
    """The resource group of an id, or its subscription, always spelled alike."""
    parts = path.split("/")[:5]
    return "/".join([*parts[:3], "resourceGroups", *parts[4:]] if len(parts) > 4 else parts)


def _ids(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _ids(item)
    elif isinstance(value, list):
        for item in value:
            yield from _ids(item)
    elif isinstance(value, str) and value.startswith("/subscriptions/"):
        yield value


def role(verb: str, subscription: str, rights: Iterable[Right]) -> Json:
    """A custom role as `az role definition create` takes it."""
    return {
        "Name": f"azready {verb}",
        "IsCustom": True,
        "Description": f"What `azready {verb}` needs, with the options it was printed for.",
        "Actions": sorted({right.action for right in rights} | {"Microsoft.Authorization/permissions/read"}),
        "NotActions": [],
        "AssignableScopes": [f"/subscriptions/{subscription or 'SUBSCRIPTION'}"],
    }


def look(place: Place, steps: Sequence[Step], more: Sequence[Request] = ()) -> list[Step]:
    """Ask what this login may do where the run works, and refuse what lacks a right before anything is made.

    What is read of the subscription is not among it: those looks are left out when they are not allowed. A login that
    may not even ask for its rights goes on.
    """

    def needed(known: Known) -> frozenset[Right]:
        return of_steps(steps, known, more)

    own = _scope(place.group_id)
    scopes = sorted({right.scope for right in needed(planned(place)) if not right.of_subscription})
    looks: list[Step] = [_look(scope, needed, scope == own) for scope in scopes]

    def may_make_group(body: Json, known: Known) -> Known:
        makes = {right.action for right in needed(known) if right.action.endswith("resourceGroups/write")}
        return _require(
            body, known, makes | {right.action for right in needed(known) if right.scope == own}, place.root
        )

    subscription = Read(
        "rights of the subscription",
        "rights to make a group",
        lambda _: _permissions(place.root),
        may_make_group,
        optional=UNSEEN,
        when=lambda known: known.group_missing,
    )
    return [*looks, subscription]


def _look(scope: str, needed: Callable[[Known], frozenset[Right]], own: bool) -> Read:
    def missing(_: Json, known: Known) -> Known:
        return replace(known, group_missing=True) if own else known

    def enough(body: Json, known: Known) -> Known:
        found = replace(known, group_missing=False) if own else known
        return _require(body, found, {right.action for right in needed(known) if right.scope == scope}, scope)

    title = f"rights in the group {scope.split('/')[-1]}"
    return Read(f"rights {scope}", title, lambda _: _permissions(scope), enough, missing, optional=UNSEEN)


def _permissions(scope: str) -> Request:
    return read(f"{scope}/providers/Microsoft.Authorization/permissions", PERMISSIONS)


def _require(body: Json, known: Known, actions: Set[str], scope: str) -> Known:
    lacking = sorted(action for action in actions if not allowed(body.get("value") or (), action))
    if lacking:
        raise Failure(
            f"this login lacks {len(lacking)} of the rights that are needed on {scope}:\n  " + "\n  ".join(lacking),
            "ask for the role Contributor there, or for a custom role with just what is needed: the same command with "
            "--print-role prints it. Rights that were given a minute ago may need another to arrive",
        )
    return known


def allowed(permissions: Iterable[Json], action: str) -> bool:
    """Whether one of the caller's roles, each a row of actions with `*` and of exceptions, has the action."""

    def fits(patterns: Iterable[str]) -> bool:
        return any(fnmatch.fnmatchcase(action.lower(), str(pattern).lower()) for pattern in patterns)

    return any(fits(row.get("actions") or ()) and not fits(row.get("notActions") or ()) for row in permissions)
