"""What each of Azure's refusals means, and the next step that can be done: a table.

Sources: Microsoft's "Common error codes" of Resource Manager and its error pages of Compute, and the texts that public
reports quote. Rows with a `text` are for messages that match it; `\\1` in a row is what the first group matched.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

Act = Literal["stop", "wait", "gone", "login"]
"""stop: only the user can put it right; wait: ask again later; gone: there is no such thing; login: get a new token."""


@dataclass(frozen=True)
class Advice:
    """One row: which errors it is for, and what to do. Without `codes` it is for every code."""

    codes: tuple[str, ...]
    act: Act
    means: str
    hint: str
    text: str = ""
    weak: bool = False
    """Says little: another error of the same answer is asked first."""


REFUSED = ("BadRequest", "InvalidParameter", "OperationNotAllowed", "Conflict", "InvalidRequestContent", "NotSupported")
"""Codes that stand for anything: only the text tells."""

ROLE = "`azready capture|publish|verify … --print-role` prints a custom role with just what is needed"
SIZES = "`az vm list-skus -l LOCATION --resource-type virtualMachines --output table` lists those that are"
DEFINITION = "a definition cannot be changed: give another --gallery-image-definition"
AGAIN = "run the same command again in a few minutes: it goes on where it stopped"
UPGRADE = "upgrade azready; until then use a region or cloud that has this version"
HOME = "read its console (below), fix the image, and try it at home first: `azready boot DISK`"
REGIONS = "`az account list-locations --query [].name --output tsv` lists the regions; give one with --location"
SECURITY = "https://learn.microsoft.com/azure/virtual-machines/trusted-launch-portal says which source fits which"

ADVICE: tuple[Advice, ...] = (
    # Who may what
    Advice(
        ("AuthorizationFailed",),
        "stop",
        "this login lacks a right on the subscription",
        f"a role on the resource group (Contributor too) does not reach there. {ROLE}: have it assigned on the "
        "subscription, then run the same command again",
        r"over scope '/subscriptions/[^/']+/?'|over scope '/subscriptions/[^/']+/providers/",
    ),
    Advice(
        ("AuthorizationFailed",),
        "stop",
        "this login lacks a right",
        f"ask for the action that Azure names, on the scope that it names (the role Contributor has all). {ROLE}. "
        "Then run the same command again",
    ),
    Advice(
        ("LinkedAuthorizationFailed",),
        "stop",
        "this login lacks a right on something that is used: a subnet, a disk, an image of another group",
        f"ask for the action that Azure names, on the linked scope that it names. {ROLE}",
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
        ("ReadOnlyDisabledSubscription", "SubscriptionNotActive", "SubscriptionDisabled", "DisallowedOperation"),
        "stop",
        "the subscription is disabled",
        "its owner has to enable it again in the portal (Subscriptions), or give another with --subscription",
    ),
    Advice(
        ("MissingSubscriptionRegistration", "SubscriptionNotRegistered"),
        "stop",
        "the subscription has not registered a resource provider",
        "az provider register -n Microsoft.Compute --wait; az provider register -n Microsoft.Network --wait",
    ),
    # Regions and versions of Azure's own API
    Advice(
        ("NoRegisteredProviderFound",),
        "stop",
        r"there is no region \1 (for this)",
        REGIONS,
        # a location that is not among those listed behind it
        r"location '([^']+)'(?=.*supported locations are)(?!.*supported locations are '(?:[^']*[ ,'])?\1[,'])",
    ),
    Advice(
        ("NoRegisteredProviderFound",),
        "stop",
        r"Azure does not take the api-version \1 there, in which this azready asks",
        UPGRADE,
        r"API version '([^']+)'(?=.*supported api-versions are)(?!.*supported api-versions are '[^']*\1)",
    ),
    Advice(
        ("NoRegisteredProviderFound",),
        "stop",
        "the subscription has not registered a resource provider",
        "az provider register -n Microsoft.Compute --wait; az provider register -n Microsoft.Network --wait",
    ),
    Advice(
        ("InvalidApiVersionParameter", "UnsupportedApiVersion", "InvalidResourceType", "ApiVersionNotSupported"),
        "stop",
        "Azure does not take the api-version there, in which this azready asks",
        UPGRADE,
    ),
    Advice(
        ("LocationNotAvailableForResourceType", "LocationNotAvailableForResourceGroup", "InvalidLocation"),
        "stop",
        "there is no such region (for this)",
        REGIONS,
    ),
    Advice(
        ("RequestDisallowedByAzure",),
        "stop",
        "Azure has closed this region for the subscription",
        "choose another --location; Microsoft's support opens regions",
    ),
    Advice(
        ("InvalidResourceGroupLocation",),
        "stop",
        "the resource group lies in another region",
        "use its region with --location, or another --resource-group",
    ),
    # Images
    Advice(
        ("NotFound", "ImageNotFound", "ResourceNotFound"),
        "stop",
        r"a managed image can be used in its own region only, and this one is not in \1",
        "use the image's region with --location, or publish to a gallery with --target-regions",
        r"[Ii]mage .*cannot be found in '?([\w ]+?)'? region",
    ),
    Advice(
        ("GalleryImageNotFound", "ImageNotFound", "NotFound", "ResourceNotFound"),
        "stop",
        "the gallery version is not replicated to this region",
        "`az sig image-version update … --add publishingProfile.targetRegions name=REGION` copies it there; or use a "
        "--location that it has",
        r"not (?:available|replicated|found) in .{0,60}region|replicate",
    ),
    Advice(
        ("GalleryImageNotFound",),
        "stop",
        "there is no such version, or every version is excluded from latest or not in this region",
        "`az sig image-version list -g GROUP -r GALLERY -i DEFINITION --output table` shows the versions; "
        "give one by its whole id",
    ),
    Advice(
        ("PlatformImageNotFound", "ImageNotFound", "VMImageNotFound", "ImageVersionDeprecated"),
        "stop",
        "there is no such image in this region",
        "`az vm image list --all --publisher PUBLISHER --location LOCATION --output table` lists those that are left",
    ),
    Advice(
        ("MarketplacePurchaseEligibilityFailed", "ResourcePurchaseValidationFailed", "ResourcePurchaseCanceled"),
        "stop",
        "the image's purchase terms are not accepted, or it may not be bought with this subscription",
        "az vm image terms accept --urn PUBLISHER:OFFER:SKU:VERSION, then run the same command again",
    ),
    Advice(
        ("VMMarketplaceInvalidInput",),
        "stop",
        "the image comes from a marketplace image with a purchase plan, which every VM of it has to name",
        "give it with --plan PUBLISHER:PRODUCT:NAME; `az vm image show --urn URN --query plan` prints it",
    ),
    Advice(
        ("InvalidVhd", "VhdInvalid", "InvalidVhdFormat", "UnsupportedVhd"),
        "stop",
        "Azure cannot use the disk that was uploaded",
        "`azready check DISK` says what is wrong with it, `azready convert DISK OUT.vhd` makes a right one; then "
        "publish that one with --restart",
    ),
    # Security types: image, definition, VM
    Advice(
        REFUSED,
        "stop",
        "this image makes Trusted Launch VMs only",
        "leave out --security-type, or say --security-type TrustedLaunch",
        r"only supports creation of VMs.*'?TrustedLaunch",
    ),
    Advice(
        REFUSED,
        "stop",
        "there can be no managed image of a Trusted Launch VM",
        "make a gallery version: --gallery-name and --gallery-image-definition",
        r"(?i)managed images? .*not supported.*TrustedLaunch|TrustedLaunch.*managed image",
    ),
    Advice(
        REFUSED,
        "stop",
        "a definition with SecurityType TrustedLaunchSupported takes neither a VM nor a disk as its source",
        f"{DEFINITION}; azready chooses its SecurityType by the source",
        r"'TrustedLaunch\w*Supported' is not supported for the source",
    ),
    Advice(
        REFUSED,
        "stop",
        "what comes from a Trusted Launch VM needs a definition with SecurityType TrustedLaunch",
        f"{DEFINITION}; azready chooses its SecurityType by the source",
        r"contains TrustedLaunch or ConfidentialVM security data",
    ),
    Advice(
        REFUSED,
        "stop",
        "the security types of image, disk, definition or VM size do not go together",
        f"try --security-type Standard or TrustedLaunch, or another --size; {SECURITY}",
        r"(?i)security ?type|trusted ?launch|confidential ?vm",
    ),
    # Sizes
    Advice(
        REFUSED,
        "stop",
        "the image and the VM size (or the definition) are of different generations",
        "choose a --size that has the image's generation, or convert the disk to the other one",
        r"[Hh]ypervisor [Gg]eneration",
    ),
    Advice(
        REFUSED,
        "stop",
        "the VM size and the image have no disk controller in common (sizes from v6 on have NVMe alone)",
        "choose a --size of the v5 families; or make the image anew in a definition with "
        "--disk-controller-types 'SCSI, NVMe', if `azready check` finds its NVMe drivers",
        r"[Dd]isk ?[Cc]ontroller",
    ),
    Advice(
        REFUSED,
        "stop",
        "the image and the VM size are of different architectures",
        "choose a --size of the image's architecture (Arm64 sizes have a `p` in their name: Standard_D2ps_v5)",
        r"(?i)cpu architecture|architecture '(x64|arm64)'",
    ),
    Advice(("SkuNotAvailable",), "stop", "this VM size is not to be had in this region", SIZES),
    Advice(
        (
            "AllocationFailed",
            "ZonalAllocationFailed",
            "OverconstrainedAllocationRequest",
            "OverconstrainedZonalAllocationRequest",
        ),
        "stop",
        "Azure has no room for this VM size just now",
        "try again later, or with another --size or --location",
    ),
    Advice(
        ("QuotaExceeded", "ResourceQuotaExceeded"),
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
        (
            "PublicIPCountLimitReached",
            "StandardSkuPublicIPCountLimitReached",
            "NetworkCountLimitReached",
            "NetworkSecurityGroupCountLimitReached",
            "NetworkInterfaceCountLimitReached",
        ),
        "stop",
        "the subscription's quota of network resources is used up",
        "remove some, ask for more (`az network list-usages -l LOCATION --output table`), or use what exists: "
        "--subnet ID and --no-public-ip",
    ),
    Advice(
        ("SubnetIsFull", "InsufficientSubnetSize"),
        "stop",
        "the subnet has no address left",
        "give another with --subnet, or leave it out: azready makes a network of its own",
    ),
    # Names and values
    Advice(
        REFUSED,
        "stop",
        "the name of the image makes a host name that Azure does not take",
        "choose a --name of letters, digits and hyphens",
        r"(?i)host name cannot|computer ?name",
    ),
    Advice(
        ("InvalidParameter", "BadRequest", "DisallowedUsername"),
        "stop",
        "Azure does not take this user name",
        "choose another --admin-username",
        r"(?i)admin ?user ?name",
    ),
    Advice(
        ("InvalidParameter", "BadRequest"),
        "stop",
        "Azure does not take this ssh key",
        "give an RSA key of 2048 bits and more, or an Ed25519 one, with --ssh-key",
        r"(?i)keyData|ssh public key",
    ),
    # The guest
    Advice(
        ("OperationNotAllowed",),
        "stop",
        "the VM is generalized and can never start again",
        "take the image from it, or remove it; a new VM comes from the image",
        r"generalized",
    ),
    Advice(
        ("OSProvisioningTimedOut",),
        "stop",
        "the guest never reported Ready",
        f"the VM is kept and may be reachable: {HOME}. Trying again here will not help",
    ),
    Advice(
        ("OSProvisioningClientError", "OSProvisioningInternalError"),
        "stop",
        "the guest reported that provisioning failed, or the image was not generalized",
        HOME,
    ),
    Advice(
        (
            "VMExtensionProvisioningError",
            "VMExtensionProvisioningTimeout",
            "VMExtensionHandlerNonTransientError",
            "VMAgentStatusCommunicationError",
        ),
        "stop",
        "something adds an extension to a VM that has no agent; it cannot answer",
        "exempt the VM from the policy that adds it, or install an agent in the image",
    ),
    # Rules of the organisation
    Advice(
        ("RequestDisallowedByPolicy",),
        "stop",
        "a policy of the organisation wants a tag",
        "give it with --tags KEY=VALUE: azready puts it on everything that it makes, the group too",
        r"(?i)\btags?\b",
    ),
    Advice(
        ("RequestDisallowedByPolicy",),
        "stop",
        "a policy of the organisation forbids public addresses",
        "use a network that exists: --subnet ID and --no-public-ip (ssh then goes by your own ssh configuration)",
        r"(?i)public ?ip|public address",
    ),
    Advice(
        ("RequestDisallowedByPolicy",),
        "stop",
        "a policy of the organisation forbids it",
        "Azure's words name the policy: ask its owner for an exemption, or use another resource group",
    ),
    Advice(
        ("ScopeLocked",),
        "stop",
        "a lock keeps it from being changed or removed",
        "`az lock list --resource-group GROUP --output table` shows the lock, `az lock delete --ids ID` removes it; "
        "then run the same command again, or remove what is left with the lines below",
    ),
    # What is there already, what is in use
    Advice(
        ("StorageAccountAlreadyTaken", "DnsRecordInUse", "PropertyChangeNotAllowed"),
        "stop",
        "the name is taken, or what it names cannot be changed",
        "choose another name, or remove what is there",
    ),
    Advice(
        (
            "NicInUse",
            "InUseSubnetCannotBeDeleted",
            "InUseNetworkSecurityGroupCannotBeDeleted",
            "PublicIPAddressInUse",
            "PublicIPAddressCannotBeDeleted",
            "CannotDeleteResource",
        ),
        "stop",
        "something else uses it",
        "Azure's words name what: remove that first, then run the same command again",
    ),
    Advice(
        ("NicReservedForAnotherVm",),
        "wait",
        "Azure keeps the interface for 180 seconds after a VM that could not be made",
        "run the same command again in three minutes: it goes on where it stopped",
    ),
    Advice(
        ("ResourceGroupBeingDeleted",),
        "wait",
        "the resource group is being deleted",
        "wait until it is gone, or use another --resource-group; then run the same command again",
    ),
    Advice(
        (
            "OperationPreempted",
            "RetryableError",
            "RetryableErrorDueToAnotherOperation",
            "AnotherOperationInProgress",
            "ReferencedResourceNotProvisioned",
            "ResourceCollectionRequestsThrottled",
            "SubscriptionRequestsThrottled",
            "TooManyRequests",
            "ResourceNotReady",
        ),
        "wait",
        "Azure is busy with another operation on it",
        AGAIN,
    ),
    Advice(
        ("Conflict", "OperationNotAllowed"),
        "wait",
        "Azure is busy with another operation on it",
        AGAIN,
        r"concurrent|another operation|in progress|being (?:updated|provisioned)",
    ),
    Advice(
        (
            "InternalOperationError",
            "InternalServerError",
            "InternalExecutionError",
            "InternalDiskManagementError",
            "NetworkingInternalOperationError",
            "ServiceUnavailable",
            "ServerTimeout",
            "GatewayTimeout",
            "OperationTimedOut",
        ),
        "stop",
        "a fault within Azure",
        "run the same command again: it goes on where it stopped. If it stays, give Microsoft's support the ids above",
    ),
    Advice(
        ("ResourceNotFound", "ResourceGroupNotFound", "NotFound", "ParentResourceNotFound"),
        "gone",
        "there is no such thing",
        "check the name, the resource group and the subscription",
    ),
    Advice(
        ("InvalidResourceReference", "LinkedInvalidPropertyId", "InvalidResourceId"),
        "stop",
        "something that is named does not exist, or its id is wrong",
        "Azure's words name it: check the ids that were given; if it was removed meanwhile, run the same command again",
    ),
    Advice(
        ("InvalidParameter", "InvalidRequestContent", "InvalidRequestFormat", "BadRequest", "PropertyNotSupported"),
        "stop",
        "",
        "Azure's words name the value that it does not take; --dry-run prints every request as it is sent",
        weak=True,
    ),
)

UNKNOWN = Advice(
    (),
    "stop",
    "",
    "look for the code at https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-"
    "errors and https://learn.microsoft.com/troubleshoot/azure/virtual-machines; Microsoft's support asks for the ids "
    "above",
)


def advice_for(code: str, message: str, *, weak: bool = False) -> Advice | None:
    """The first row for an error, with what its message names put in; None when there is none of that strength."""
    for row in ADVICE:
        if code not in row.codes or row.weak != weak:
            continue
        match = re.search(row.text, message, re.DOTALL)
        if match:
            return replace(row, means=match.expand(row.means)) if match.groups() else row
    return None


def advice_for_status(status: int) -> Advice:
    """For an error that the table does not know."""
    return Advice((), "gone", "there is no such thing", UNKNOWN.hint) if status == 404 else UNKNOWN
