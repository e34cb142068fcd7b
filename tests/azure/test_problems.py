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
