"""Who may what, in which subscription, in which region."""

from azready.azure.refusals.row import REGIONS, ROLE, UPGRADE, Advice

ACCESS: tuple[Advice, ...] = (
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
        ("AuthenticationFailed",),
        "stop",
        "the address of the upload has expired, or this machine's clock is wrong",
        "look at the clock (`timedatectl`), then run the same command again: it asks for a new address and goes on "
        "where it stopped",
        r"(?i)signature (?:not valid|did not match)|specified time frame|Server failed to authenticate the request",
    ),
    Advice(
        ("RequestDisallowedByAzure", "RequestDisallowedByPolicy", "InvalidAuthenticationToken"),
        "stop",
        "Azure wants a login with multi-factor authentication",
        "az logout, az login with a second factor; in CI log in as a workload (az login --service-principal, "
        "--identity or --federated-token), which needs none",
        r"(?i)multi-?factor auth|\bMFA\b",
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
)
