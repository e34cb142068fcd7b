"""What Azure answers when it refuses: read it, find what it means, say what to do next.

Azure wraps errors: `details` holds more of them, and a `message` may hold the whole story as JSON in a text. The
innermost error with a name of its own is the one that helps. Sources: Microsoft's "Troubleshoot common Azure
deployment errors" and the error pages of Compute; what recordings of real traffic show.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from azready.errors import Exit, Failure

Act = Literal["stop", "wait", "gone", "login"]
"""stop: only the user can fix it; wait: ask again later; gone: there is no such thing; login: get a new token."""

WRAPPERS = {"", "DeploymentFailed", "ResourceDeploymentFailure", "Conflict", "BadRequest", "InvalidTemplateDeployment"}
"""Codes that say nothing as long as there is another one inside."""


@dataclass(frozen=True)
class Problem:
    """One error as Azure told it, with the ids that Microsoft's support asks for."""

    code: str
    message: str
    status: int = 0
    request_id: str = ""
    correlation_id: str = ""
    inner: tuple["Problem", ...] = ()

    @property
    def told(self) -> "Problem":
        """The error inside that tells most: the deepest one whose code is not a mere wrapper."""
        named = [problem for problem in _flat(self) if problem.code not in WRAPPERS]
        return named[-1] if named else next((p for p in reversed([*_flat(self)]) if p.message), self)


def _flat(problem: Problem) -> Iterator[Problem]:
    yield problem
    for inner in problem.inner:
        yield from _flat(inner)


def parse(body: Any, status: int = 0, headers: Mapping[str, str] | None = None) -> Problem:
    """Read an error answer (a table, or what was sent instead of one)."""
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    found = _error(body if isinstance(body, dict) else {"message": str(body or "")})
    return Problem(
        found.code or f"HTTP {status}",
        found.message or "Azure gave no reason",
        status,
        lower.get("x-ms-request-id", ""),
        lower.get("x-ms-correlation-request-id", ""),
        found.inner,
    )


def _error(table: dict[str, Any]) -> Problem:
    table = table["error"] if isinstance(table.get("error"), dict) else table
    message = str(table.get("message") or "")
    inner = [_error(item) for item in table.get("details") or () if isinstance(item, dict)]
    if message.lstrip().startswith("{"):
        try:
            inner.append(_error(json.loads(message)))
        except ValueError:
            pass
    return Problem(str(table.get("code") or ""), message, inner=tuple(inner))


@dataclass(frozen=True)
class Advice:
    """One row of the table: which errors it is for, and what to do. `text` is looked for in the message."""

    codes: tuple[str, ...]
    act: Act
    means: str
    hint: str
    text: str = ""


ADVICE: tuple[Advice, ...] = (
    Advice(
        ("AuthorizationFailed", "LinkedAuthorizationFailed"),
        "stop",
        "this login lacks a right",
        "ask for the role Contributor on the resource group (to create a group: on the subscription), "
        "then run the same command again",
    ),
    Advice(
        ("InvalidAuthenticationTokenTenant",),
        "stop",
        "the login is for another tenant than the subscription's",
        "az login --tenant TENANT, with the tenant of the subscription (`az account list --output table`)",
    ),
    Advice(
        ("ExpiredAuthenticationToken", "InvalidAuthenticationToken", "AuthenticationFailed"),
        "login",
        "the login has expired",
        "az login, then run the same command again: it goes on where it stopped",
    ),
    Advice(
        ("SubscriptionNotFound", "InvalidSubscriptionId"),
        "stop",
        "there is no such subscription for this login",
        "`az account list --output table` shows yours; give one with --subscription",
    ),
    Advice(
        ("PlatformImageNotFound", "ImageNotFound", "GalleryImageNotFound", "VMImageNotFound"),
        "stop",
        "there is no such image in this region",
        "`az vm image list --all --publisher PUBLISHER --location LOCATION --output table` lists those that are left",
    ),
    Advice(
        ("MarketplacePurchaseEligibilityFailed", "ResourcePurchaseValidationFailed", "ResourcePurchaseCanceled"),
        "stop",
        "the image's purchase terms are not accepted",
        "az vm image terms accept --urn PUBLISHER:OFFER:SKU:VERSION, then run the same command again",
    ),
    Advice(
        ("QuotaExceeded",),
        "stop",
        "the subscription's quota is used up",
        "choose another --size or --location, or ask for more: `az vm list-usage -l LOCATION --output table`",
    ),
    Advice(
        ("OperationNotAllowed",),
        "stop",
        "the subscription's quota is used up",
        "choose another --size or --location, or ask for more: `az vm list-usage -l LOCATION --output table`",
        r"quota",
    ),
    Advice(
        ("OperationNotAllowed",),
        "stop",
        "the VM is generalized and can never start again",
        "take the image from it, or remove it; a new VM comes from the image",
        r"generalized",
    ),
    Advice(
        ("SkuNotAvailable",),
        "stop",
        "this VM size is not to be had in this region",
        "`az vm list-skus -l LOCATION --resource-type virtualMachines --output table` lists those that are",
    ),
    Advice(
        ("AllocationFailed", "ZonalAllocationFailed", "OverconstrainedAllocationRequest"),
        "stop",
        "Azure has no room for this VM size just now",
        "try again later, or with another --size, --zone or --location",
    ),
    Advice(
        ("BadRequest", "InvalidParameter", "OperationNotAllowed", "Conflict"),
        "stop",
        "the image and the VM size (or the definition) are of different generations",
        "choose a --size that has the image's generation, or convert the disk to the other one",
        r"[Hh]ypervisor [Gg]eneration",
    ),
    Advice(
        ("OSProvisioningTimedOut",),
        "stop",
        "the guest never reported Ready",
        "the VM is kept and may be reachable: read its console (below), fix the image, and try it at home first: "
        "`azready boot DISK`. Trying again here will not help",
    ),
    Advice(
        ("OSProvisioningClientError", "OSProvisioningInternalError"),
        "stop",
        "the guest reported that provisioning failed, or the image was not generalized",
        "read its console (below), fix the image, and try it at home first: `azready boot DISK`",
    ),
    Advice(
        ("VMExtensionProvisioningError", "VMExtensionProvisioningTimeout", "VMAgentStatusCommunicationError"),
        "stop",
        "something adds an extension to a VM that has no agent; it cannot answer",
        "exempt the VM from the policy that adds it, or install an agent in the image",
    ),
    Advice(
        ("MissingSubscriptionRegistration", "NoRegisteredProviderFound"),
        "stop",
        "the subscription has not registered a resource provider",
        "az provider register -n Microsoft.Compute --wait; az provider register -n Microsoft.Network --wait",
    ),
    Advice(
        ("RequestDisallowedByPolicy",),
        "stop",
        "a policy of the organisation forbids it",
        "the message names the policy: ask its owner for an exemption, or use another resource group",
    ),
    Advice(
        ("StorageAccountAlreadyTaken", "DnsRecordInUse", "PropertyChangeNotAllowed"),
        "stop",
        "the name is taken, or what it names cannot be changed",
        "choose another name, or remove what is there",
    ),
    Advice(
        (
            "OperationPreempted",
            "RetryableErrorDueToAnotherOperation",
            "AnotherOperationInProgress",
            "ReferencedResourceNotProvisioned",
            "ResourceCollectionRequestsThrottled",
            "TooManyRequests",
        ),
        "wait",
        "Azure is busy with another operation on it",
        "run the same command again in a few minutes: it goes on where it stopped",
    ),
    Advice(
        ("Conflict",),
        "wait",
        "Azure is busy with another operation on it",
        "run the same command again in a few minutes: it goes on where it stopped",
        r"concurrent|another operation|in progress",
    ),
    Advice(
        ("ResourceNotFound", "ResourceGroupNotFound", "NotFound", "ParentResourceNotFound"),
        "gone",
        "there is no such thing",
        "check the name, the resource group and the subscription",
    ),
)

UNKNOWN = Advice((), "stop", "", "look for the code in Microsoft's documents; support will ask for the ids below")


def advise(problem: Problem) -> Advice:
    """The first row that fits; the rows with a `text` come before the general one of the same code."""
    told = problem.told
    for advice in ADVICE:
        if told.code in advice.codes and (not advice.text or re.search(advice.text, told.message)):
            return advice
    return Advice((), "gone", "there is no such thing", UNKNOWN.hint) if problem.status == 404 else UNKNOWN


class AzureFailure(Failure):
    """Azure refused or failed. `problem` is what it said, `advice` what that means."""

    exit_code = Exit.UNABLE

    def __init__(self, doing: str, problem: Problem) -> None:
        advice = advise(problem)
        told = problem.told
        text = f"{doing}: {told.code}"
        if advice.means:
            text += f", {advice.means}"
        text += f"\n  Azure says: {told.message}"
        ids = [("request id", problem.request_id), ("correlation id", problem.correlation_id)]
        text += "".join(f"\n  {name} {value}" for name, value in ids if value)
        super().__init__(text, advice.hint)
        self.problem = problem
        self.advice = advice

    @property
    def code(self) -> str:
        return self.problem.told.code
