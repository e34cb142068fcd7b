"""Who we are for Azure. The order is fixed and written down, and the choice is told to the user.

1. AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH: a service principal
2. AZURE_FEDERATED_TOKEN_FILE with AZURE_CLIENT_ID and AZURE_TENANT_ID: workload identity (AKS and others)
3. ACTIONS_ID_TOKEN_REQUEST_URL with AZURE_CLIENT_ID and AZURE_TENANT_ID: a GitHub Actions job with `id-token: write`
4. the Azure CLI, when `az` is installed; 5. the Azure Developer CLI, when `azd` is

On request alone: a device code (`--auth device-code`), typed into a browser on any machine.

A managed identity only on request (`--auth managed-identity`): looking for one sends packets to a link-local
address, which nobody who did not ask for it expects.
"""

import json
import logging
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, get_args

from azready.azure.clouds import Cloud
from azready.errors import Failure, UsageFailure

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

Way = Literal["environment", "workload-identity", "github", "az", "azd", "device-code", "managed-identity"]
WAYS: tuple[str, ...] = get_args(Way)

DESCRIPTIONS: dict[Way, str] = {
    "environment": "the service principal in AZURE_CLIENT_ID",
    "workload-identity": "the workload identity in AZURE_FEDERATED_TOKEN_FILE",
    "github": "the GitHub Actions identity of AZURE_CLIENT_ID",
    "az": "the Azure CLI's login",
    "azd": "the Azure Developer CLI's login",
    "device-code": "a device code",
    "managed-identity": "this machine's managed identity",
}

LOG_IN = "log in with `az login`, or set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET"


def choose(asked: str, environment: Mapping[str, str], installed: Callable[[str], bool]) -> Way:
    """Which way is taken. Pure: `installed` tells whether a program is on the PATH. Raises Failure with what to do."""
    if asked and asked != "auto":
        for way in get_args(Way):
            if way == asked:
                return way  # type: ignore[no-any-return]
        raise UsageFailure(f"{asked!r} is not a way to log in", f"use --auth with one of: auto, {', '.join(WAYS)}")

    def given(*names: str) -> bool:
        return all(environment.get(name) for name in names)

    application = given("AZURE_CLIENT_ID", "AZURE_TENANT_ID")
    if application and (given("AZURE_CLIENT_SECRET") or given("AZURE_CLIENT_CERTIFICATE_PATH")):
        return "environment"
    if application and given("AZURE_FEDERATED_TOKEN_FILE"):
        return "workload-identity"
    if application and given("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
        return "github"
    if installed("az"):
        return "az"
    if installed("azd"):
        return "azd"
    raise Failure("no Azure login was found", LOG_IN)


def make(
    way: Way, cloud: Cloud, environment: Mapping[str, str], subscription: str = "", say: Callable[[str], None] = print
) -> "TokenCredential":
    """The credential of a way; loads azure-identity. Sends nothing yet.

    `subscription` is an id or a name: with it the Azure CLI gives a token of that subscription's tenant, which need not
    be the one it is set to. `say` shows the device code.
    """
    from azure import identity

    # What the library logs of its own tries stands in our failures' words; twice it is noise.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    logging.getLogger("msal").setLevel(logging.CRITICAL)

    tenant, client = environment.get("AZURE_TENANT_ID", ""), environment.get("AZURE_CLIENT_ID", "")
    match way:
        case "environment":
            return identity.EnvironmentCredential(authority=cloud.authority)
        case "workload-identity":
            return identity.WorkloadIdentityCredential(authority=cloud.authority)
        case "github":
            return identity.ClientAssertionCredential(
                tenant, client, lambda: github_assertion(environment), authority=cloud.authority
            )
        case "az":
            named = subscription if re.fullmatch(r"[-\w. ]+", subscription) else None  # the library takes no other
            return identity.AzureCliCredential(process_timeout=30, subscription=named)
        case "azd":
            return identity.AzureDeveloperCliCredential(process_timeout=30)
        case "device-code":

            def prompt(where: str, code: str, _: object) -> None:
                say(f"To log in, open {where} in a browser and type {code}")

            return identity.DeviceCodeCredential(
                authority=cloud.authority, tenant_id=tenant or "organizations", prompt_callback=prompt
            )
        case "managed-identity":
            return identity.ManagedIdentityCredential(client_id=client or None)


def github_assertion(environment: Mapping[str, str]) -> str:
    """The OIDC token of a GitHub Actions job, for Entra's audience.

    Source: GitHub's documents, "OpenID Connect reference". Raises Failure.
    """
    request = urllib.request.Request(
        environment["ACTIONS_ID_TOKEN_REQUEST_URL"] + "&audience=api://AzureADTokenExchange",
        headers={"Authorization": f"Bearer {environment['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(json.load(answer)["value"])
    except (OSError, ValueError, KeyError, urllib.error.URLError) as error:
        raise Failure(
            f"GitHub gave no identity token: {error}", "give the job `permissions: id-token: write` and run it again"
        ) from error
