"""Rights: which action a request needs, on which scope, and whether the caller's roles have it.

Sources: Microsoft's "Azure resource provider operations" (an action is the type and read, write, delete or the name of
the verb); kubernetes-sigs/cluster-api-provider-azure issue 2318 (sizes are the subscription's); Azure/OpenShift issue
186 (a snapshot needs beginGetAccess on the disk); Microsoft's "Virtual network permissions" (join of what is linked).
"""

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.azure.fake_arm.model import Ask, Json, Refused

POLLS = re.compile(r"/(disk|caps)?operations/|/operationresults/|/operationstatuses/|/bootdiagnostics/", re.IGNORECASE)
VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "DELETE": "delete", "PATCH": "write"}


@dataclass(frozen=True)
class Role:
    """Actions (with `*`) that the caller has on a scope and what lies in it."""

    scope: str
    actions: tuple[str, ...] = ("*",)

    def allows(self, action: str, scope: str) -> bool:
        inside = scope.lower() == self.scope.lower() or scope.lower().startswith(self.scope.lower() + "/")
        return inside and any(fnmatch.fnmatchcase(action.lower(), mine.lower()) for mine in self.actions)


def needed(ask: Ask) -> tuple[str, str] | None:
    """The action and the scope of a request; None for what needs no right of its own."""
    parts = ask.path.strip("/").split("/")
    if parts[0].lower() != "subscriptions" or len(parts) < 3 or POLLS.search(ask.path + "/"):
        return None
    if "/providers/" not in ask.path.lower():
        verb = VERBS.get(ask.method, "action")
        if parts[2].lower() == "resourcegroups":
            what = "subscriptions/resourceGroups" + ("/resources" if len(parts) > 4 else "")
            return f"Microsoft.Resources/{what}/{verb}", ask.path
        return f"Microsoft.Resources/subscriptions/{parts[2]}/{verb}", ask.path
    before, _, rest = ask.path.partition("/providers/")
    provider, *names = rest.strip("/").split("/")
    kinds = "/".join(names[0::2])
    scope = ask.path if len(names) % 2 == 0 else ask.path.rsplit("/", 1)[0] if ask.method == "POST" else before
    if provider == "Microsoft.Authorization":
        return f"{provider}/{kinds}/read", before
    if before.count("/") == 2:  # no group: the subscription's own
        scope = before
    verb = "action" if ask.method == "POST" else VERBS[ask.method]
    return f"{provider}/{kinds}/{verb}", scope


LINKS: tuple[tuple[str, str], ...] = (
    (r"/subnets/[^/]+$", "Microsoft.Network/virtualNetworks/subnets/join/action"),
    (r"/networkSecurityGroups/[^/]+$", "Microsoft.Network/networkSecurityGroups/join/action"),
    (r"/publicIPAddresses/[^/]+$", "Microsoft.Network/publicIPAddresses/join/action"),
    (r"/networkInterfaces/[^/]+$", "Microsoft.Network/networkInterfaces/join/action"),
    (r"/diskEncryptionSets/[^/]+$", "Microsoft.Compute/diskEncryptionSets/read"),
    (r"/galleries/[^/]+/images/[^/]+/versions/[^/]+$", "Microsoft.Compute/galleries/images/versions/read"),
    (r"/Microsoft\.Compute/images/[^/]+$", "Microsoft.Compute/images/read"),
    (r"/virtualMachines/[^/]+$", "Microsoft.Compute/virtualMachines/read"),
    (r"/snapshots/[^/]+$", "Microsoft.Compute/snapshots/beginGetAccess/action"),
    (r"/disks/[^/]+$", "Microsoft.Compute/disks/beginGetAccess/action"),
)
"""What a request names in its body, and the action that naming it needs."""


def linked(ask: Ask) -> Iterator[tuple[str, str]]:
    """The actions that the resources named in a body need."""
    if ask.method != "PUT" or "/deployments/" in ask.path:
        return
    if re.search(r"/virtualMachines(caleSets)?/[^/]+$", ask.path, re.IGNORECASE):
        yield "Microsoft.Compute/disks/write", ask.path.split("/providers/")[0]
    for identity in _ids(ask.body):
        for pattern, action in LINKS:
            if re.search(pattern, identity, re.IGNORECASE):
                if "/virtualMachines/" in ask.path and action.endswith("disks/beginGetAccess/action"):
                    action = "Microsoft.Compute/disks/write"  # a disk that is attached
                yield action, identity
                break


def _ids(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _ids(item)
    elif isinstance(value, list):
        for item in value:
            yield from _ids(item)
    elif isinstance(value, str) and value.startswith("/subscriptions/"):
        yield value


def check(roles: tuple[Role, ...], ask: Ask) -> None:
    """Raise the 403 that Azure gives."""
    found = needed(ask)
    if found is None:
        return
    action, scope = found
    if not any(role.allows(action, scope) for role in roles):
        raise Refused(
            403,
            "AuthorizationFailed",
            f"The client 'tester' with object id '0' does not have authorization to perform action '{action}' over "
            "scope "
            f"'{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
        )
    for other, where in linked(ask):
        if not any(role.allows(other, where) for role in roles):
            raise Refused(
                403,
                "LinkedAuthorizationFailed",
                f"The client 'tester' with object id '0' has permission to perform action '{action}' on scope "
                f"'{scope}'; "
                f"however, it does not have permission to perform action(s) '{other}' on the linked scope(s) '{where}' "
                "(respectively) or the linked scope(s) are invalid.",
            )


def permissions(roles: tuple[Role, ...], scope: str) -> list[Json]:
    """What the caller may do on a scope, as `Microsoft.Authorization/permissions` lists it: one row a role."""
    return [
        {"actions": list(role.actions), "notActions": [], "dataActions": [], "notDataActions": []}
        for role in roles
        if scope.lower() == role.scope.lower() or scope.lower().startswith(role.scope.lower() + "/")
    ]
