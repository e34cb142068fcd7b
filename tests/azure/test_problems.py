"""Azure's errors, nested and flat, and what the user is told to do."""

import json
import re

import pytest

from azready.azure.advice import ADVICE
from azready.azure.problems import AzureFailure, advise, parse

TEMPLATE = {
    "error": {
        "code": "DeploymentFailed",
        "message": "At least one resource deployment operation failed.",
        "details": [
            {
                "code": "Conflict",
                "message": json.dumps(
                    {
                        "error": {
                            "code": "ResourceDeploymentFailure",
                            "message": "The resource operation completed with terminal provisioning state 'Failed'.",
                            "details": [{"code": "OSProvisioningTimedOut", "message": "did not finish in time"}],
                        }
                    }
                ),
            }
        ],
    }
}


def test_the_innermost_error_is_told() -> None:
    told = parse(TEMPLATE, 200).told
    assert (told.code, told.message) == ("OSProvisioningTimedOut", "did not finish in time")


@pytest.mark.parametrize("body", ["<html>502</html>", "", None, {}, {"error": {}}, {"error": {"message": "{broken"}}])
def test_an_answer_that_is_no_error_table_is_still_a_sentence(body: object) -> None:
    failure = AzureFailure("cannot create x", parse(body, 502))
    assert failure.message.startswith("cannot create x: HTTP 502")
    assert failure.hint


def test_ids_for_support_are_shown() -> None:
    headers = {"X-Ms-Request-Id": "r-1", "x-ms-correlation-request-id": "c-1"}
    text = AzureFailure("cannot create x", parse({"error": {"code": "Odd", "message": "m"}}, 400, headers)).message
    assert "request id r-1" in text and "correlation id c-1" in text


@pytest.mark.parametrize(
    ("code", "message", "status", "act", "hint"),
    [
        ("AuthorizationFailed", "", 403, "stop", "Contributor"),
        ("InvalidAuthenticationTokenTenant", "", 401, "stop", "--tenant"),
        ("ExpiredAuthenticationToken", "", 401, "login", "az login"),
        ("SubscriptionNotFound", "", 404, "stop", "--subscription"),
        ("PlatformImageNotFound", "", 404, "stop", "az vm image list"),
        ("ResourcePurchaseValidationFailed", "", 400, "stop", "terms accept"),
        ("OperationNotAllowed", "exceeding approved Total Regional Cores quota", 409, "stop", "list-usage"),
        ("OperationNotAllowed", "since the VM is generalized", 409, "stop", "image"),
        ("OperationNotAllowed", "something new", 409, "stop", "support"),
        ("SkuNotAvailable", "", 409, "stop", "list-skus"),
        ("AllocationFailed", "", 200, "stop", "try again later"),
        ("BadRequest", "cannot boot Hypervisor Generation '1'", 400, "stop", "--size"),
        ("OSProvisioningTimedOut", "", 200, "stop", "azready boot"),
        ("OSProvisioningClientError", "", 200, "stop", "azready boot"),
        ("Conflict", "conflict with a concurrent request", 409, "wait", "goes on"),
        ("Conflict", "is in state ReadyToUpload", 409, "stop", ""),
        ("TooManyRequests", "", 429, "wait", "goes on"),
        ("MissingSubscriptionRegistration", "", 409, "stop", "az provider register"),
        ("RequestDisallowedByPolicy", "", 403, "stop", "exemption"),
        ("ResourceGroupNotFound", "", 404, "gone", "name"),
        ("Unheard", "", 404, "gone", ""),
        ("VMExtensionProvisioningError", "", 200, "stop", "extension|policy"),
    ],
)
def test_each_error_has_its_next_step(code: str, message: str, status: int, act: str, hint: str) -> None:
    advice = advise(parse({"error": {"code": code, "message": message}}, status))
    assert advice.act == act
    assert re.search(hint, advice.hint)


def test_no_row_of_the_table_is_hidden_by_one_above_it() -> None:
    for number, row in enumerate(ADVICE):
        for code in row.codes:
            above = [one for one in ADVICE[:number] if code in one.codes and not one.text]
            assert not above, f"{code} in row {number} is never reached"


SEEN = (
    ("KeyVaultAccessForbidden", "Unable to access key vault resource", 403, "cannot use its key"),
    ("Conflict", "Disk encryption set of source and target must match", 409, "needs the same key"),
    (
        "InvalidParameter",
        "The gallery image definition has architecture 'Arm64', the source 'x64'.",
        400,
        "another arch",
    ),
    (
        "OperationNotAllowed",
        "'Capture' is not supported on VM with TrustedLaunch security profile",
        409,
        "no managed",
    ),
    ("BadRequest", "not supported for creation of VMs with '<NULL>' security type.", 400, "do not go together"),
    (
        "NoRegisteredProviderFound",
        (
            "No registered resource provider found for location 'westeuropa' and API version "
            "'2024-03-01' for type 'locations/usages'. The supported api-versions are '2024-03-01'. The supported "
            "locations are "
            "'westeurope, northeurope'."
        ),
        400,
        "there is no region westeuropa",
    ),
    (
        "NoRegisteredProviderFound",
        (
            "No registered resource provider found for location 'westeurope' and API version "
            "'2024-03-01' for type 'virtualMachines'. The supported api-versions are '2025-04-01, 2025-11-01'."
        ),
        400,
        "does not take the api-version 2024-03-01",
    ),
    (
        "NoRegisteredProviderFound",
        (
            "No registered resource provider found for location 'west' and API version "
            "'2024-03-01' for type 'x'. The supported api-versions are '2024-03-01'. The supported locations are "
            "'westeurope,northeurope'."
        ),
        400,
        "there is no region west",
    ),
    ("InvalidApiVersionParameter", "The api-version '2024-03-01' is invalid.", 400, "api-version"),
    ("NotFound", "The Image '/images/web' cannot be found in 'eastus' region.", 404, "in its own region only"),
    ("GalleryImageNotFound", "The gallery image is not available in eastus region.", 404, "not replicated"),
    ("GalleryImageNotFound", "The gallery image has no version.", 404, "no such version"),
    ("NicReservedForAnotherVm", "Nic(s) in request is reserved for another VM.", 400, "180 seconds"),
    (
        "BadRequest",
        (
            "The provided gallery image only supports creation of VMs and VM Scale Sets with 'TrustedLaunch' "
            "security type."
        ),
        400,
        "Trusted Launch VMs only",
    ),
    (
        "OperationNotAllowed",
        "Creation of managed images are not supported for virtual machine with TrustedLaunch security type.",
        409,
        "no managed image",
    ),
    ("Conflict", "contains TrustedLaunch or ConfidentialVM security data that cannot be used", 409, "SecurityType"),
    (
        "InvalidParameter",
        "The security type 'TrustedLaunchSupported' is not supported for the source id 'x'.",
        400,
        "neither a VM nor a disk",
    ),
    (
        "InvalidParameter",
        "Please check that disk controller types supported by the OS image",
        400,
        "no disk controller",
    ),
    ("VMMarketplaceInvalidInput", "requires Plan information", 400, "purchase plan"),
    ("ScopeLocked", "The scope cannot perform delete operation", 409, "lock"),
    ("RequestDisallowedByAzure", "was disallowed by Azure", 403, "closed this region"),
    ("RequestDisallowedByPolicy", "CreationDate tag is required for resource groups.", 403, "wants a tag"),
    ("RequestDisallowedByPolicy", "Network interfaces should not have public IPs", 403, "forbids public addresses"),
    ("PublicIPCountLimitReached", "Cannot create more than 10 public IP addresses", 400, "quota of network"),
    ("InvalidVhd", "The VHD is not valid", 409, "cannot use the disk"),
    ("InternalOperationError", "x", 200, "fault within Azure"),
    ("", "", 502, "a proxy before it"),
    ("TooManyRequests", "x", 429, "more requests"),
    ("AuthenticationFailed", "Signature not valid in the specified time frame", 403, "address of the upload"),
    ("AuthenticationFailed", "Authentication failed.", 401, "login has expired"),
    ("RequestDisallowedByAzure", "you need to perform multi-factor authentication", 403, "multi-factor"),
    ("RequestDisallowedByPolicy", "MFA is required to create resources", 403, "multi-factor"),
    ("IPv4BasicSkuPublicIpCountLimitReached", "Cannot create more than 0", 400, "quota of network"),
    ("InvalidParameter", "The specified cookie value in VHD footer indicates", 400, "cannot use the disk"),
    (
        "InvalidParameter",
        "The specified VHD has an unsupported virtual size of 1073742336 bytes.",
        400,
        "cannot use the disk",
    ),
    ("OperationNotAllowed", "Disk x is in ActiveUpload state.", 409, "open for an upload"),
    ("DiskInActiveSasState", "Disk x has an active SAS", 409, "open for an upload"),
    ("PublicNetworkAccessDisabled", "x", 403, "rule of the organisation"),
    ("OverconstrainedZonalAllocationRequest", "x", 200, "no room"),
    ("InvalidParameter", "Linux host name cannot exceed 64 characters", 400, "host name"),
    ("AuthorizationFailed", "perform action 'a' over scope '/subscriptions/1' or", 403, "on the subscription"),
    (
        "AuthorizationFailed",
        "action 'a' over scope '/subscriptions/1/resourceGroups/g/providers/x' or",
        403,
        "a right\n",
    ),
)


@pytest.mark.parametrize(("code", "message", "status", "means"), SEEN)
def test_refusals_that_were_reported_say_what_they_mean(code: str, message: str, status: int, means: str) -> None:
    failure = AzureFailure("cannot create x", parse({"error": {"code": code, "message": message}}, status))
    assert means in failure.message
    assert failure.hint and "look for the code" not in failure.hint


INSIDE = {"code": "BadRequest", "message": "Legal terms have not been accepted"}


WRAPPED = {"error": {"code": "Outer", "message": json.dumps({"error": INSIDE})}}
"""A message that is nothing but the inner error: its code is the one to tell."""


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "Outer", "message": "See inner errors.", "details": [INSIDE]}},
        {
            "error": {
                "code": "Outer",
                "message": "See.",
                "details": [{"code": "M", "message": "m", "details": [INSIDE]}],
            }
        },
        {"error": {"code": "Outer", "message": "See.", "innererror": INSIDE}},
        WRAPPED,
        {"error": {"code": "Outer", "message": "It failed: " + json.dumps({"Error": INSIDE})}},
        {"Code": "Outer", "Message": "See.", "Details": [{"Code": "BadRequest", "Message": INSIDE["message"]}]},
        {
            "status": "Failed",
            "error": {"code": "Outer", "message": "x", "details": [{"code": "A", "message": "a"}, INSIDE]},
        },
        {
            "properties": {
                "provisioningState": "Failed",
                "error": {"code": "Outer", "message": "x", "details": [INSIDE]},
            }
        },
        {"odata.error": {"code": "Outer", "message": {"lang": "en", "value": INSIDE["message"]}}},
        [{"code": "Outer", "message": "x", "details": [INSIDE]}],
        "<Error><Code>Outer</Code><Message>Legal terms have not been accepted</Message></Error>",
        {"error": "Outer", "error_description": "Legal terms have not been accepted"},
        {"error": {"code": "Outer", "additionalInfo": [{"type": "T", "info": {"why": INSIDE["message"]}}]}},
    ],
)
def test_every_level_is_told_in_whatever_form_it_comes(body: object) -> None:
    headers = {"x-ms-request-id": "r-1"}
    text = AzureFailure("cannot create x", parse(body, 400, headers)).message
    assert ("BadRequest" if body is WRAPPED else "Outer") in text
    assert "Legal terms have not been accepted" in text and "request id r-1" in text


def test_the_policy_that_forbids_is_named() -> None:
    info = {"policyDefinitionDisplayName": "Require a tag", "policyAssignmentName": "require-tag"}
    error = {"code": "RequestDisallowedByPolicy", "message": "no", "additionalInfo": [{"type": "P", "info": info}]}
    assert "Require a tag (assignment require-tag)" in AzureFailure("x", parse({"error": error}, 403)).message


def test_an_unknown_code_says_where_to_look() -> None:
    failure = AzureFailure("cannot create x", parse({"error": {"code": "NeverHeardOf", "message": "m"}}, 409))
    assert "NeverHeardOf" in failure.message and "https://learn.microsoft.com" in failure.hint


def test_errors_that_hold_themselves_are_followed_to_an_end() -> None:
    error: dict[str, object] = {"code": "A", "message": "a"}
    for _ in range(2000):
        error = {"code": "A", "message": "a", "details": [error]}
    assert AzureFailure("x", parse({"error": error}, 400)).code == "A"


@pytest.mark.parametrize(
    ("policy", "means"),
    [
        ("Require a tag on resource groups", "wants a tag"),
        ("Network interfaces should not have public IPs", "forbids public addresses"),
        ("Allowed locations", "allows other regions only"),
        ("Allowed virtual machine size SKUs", "allows other VM sizes only"),
        ("OS and data disks should be encrypted with a customer-managed key", "wants disks encrypted"),
        ("Something of our own", "forbids it"),
    ],
)
def test_a_policy_is_known_by_the_name_that_stands_beside_the_message(policy: str, means: str) -> None:
    info = {"policyDefinitionDisplayName": policy, "policyAssignmentName": "a1"}
    error = {"code": "RequestDisallowedByPolicy", "message": "Resource 'web' was disallowed by policy."}
    body = {"error": error | {"additionalInfo": [{"type": "PolicyViolation", "info": info}]}}
    text = AzureFailure("cannot create x", parse(body, 403)).message
    assert means in text and policy in text


@pytest.mark.parametrize(
    "body",
    [
        {
            "Code": "BadRequest",
            "Message": "No such zone.",
            "Details": [{"Message": "No such zone."}, {"Code": "BadRequest"}],
        },
        {"error": {"code": "TooManyRequests", "message": "No such zone.", "details": [{"code": "TooManyRequests"}]}},
        {"error": {"code": "Outer", "details": [{"code": "SkuNotAvailable", "message": "No such zone."}]}},
    ],
)
def test_words_are_found_on_whatever_level_they_stand(body: object) -> None:
    text = AzureFailure("cannot create x", parse(body, 400)).message
    assert "Azure says: No such zone." in text and "gave no reason" not in text
