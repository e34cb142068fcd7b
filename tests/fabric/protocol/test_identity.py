"""Managed identity: a token for whom the machine has, the recorded refusal for everybody else."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from azready.fabric.ledger import Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol import imds
from azready.fabric.protocol.messages import Answer, Request, Rules

ONE, TWO = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
TOKEN = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net"


def ask(target: str, *identity: str) -> Answer:
    request = Request("GET", target, (("Metadata", "true"),))
    return imds.answer(request, Machine(identity=identity), Ledger(), Rules())


def claims(answer: Answer) -> dict[str, Any]:
    head, body, signature = json.loads(answer.response.body)["access_token"].split(".")
    assert signature == ""
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["alg"] == "none"
    return dict(json.loads(base64.urlsafe_b64decode(body + "==")))


@pytest.mark.parametrize("more", ["", f"&client_id={ONE}", f"&object_id={ONE}", "&mi_res_id=/subscriptions/x"])
def test_a_machine_without_identity_gets_the_recorded_refusal(more: str) -> None:
    answer = ask(TOKEN + more)
    assert answer.response.status == 400
    assert answer.response.body == b'{"error":"invalid_request","error_description":"Identity not found"}'
    assert dict(answer.response.headers)["Content-Type"] == "application/json; charset=utf-8"


def test_the_system_identity_gets_a_token_that_says_that_it_opens_nothing() -> None:
    answer = ask(TOKEN, "system")
    token = json.loads(answer.response.body)
    assert all(isinstance(value, str) for value in token.values())
    assert token["resource"] == "https://vault.azure.net"
    told = claims(answer)
    assert "no-real-tokens" in told["iss"]
    assert told["aud"] == "https://vault.azure.net"
    assert told["xms_mirid"] == Machine().resource_id
    assert {"oid", "tid", "appid", "exp", "nbf"} <= set(told)
    assert answer.notes == ()


@pytest.mark.parametrize("name", ["client_id", "object_id", "principal_id", "mi_res_id", "msi_res_id"])
def test_an_assigned_identity_is_found_by_each_of_its_names_and_a_foreign_one_is_not(name: str) -> None:
    mine = claims(ask(f"{TOKEN}&client_id={TWO}", ONE, TWO))
    value = {"client_id": TWO, "object_id": mine["oid"], "principal_id": mine["oid"]}.get(name, mine["xms_mirid"])
    answer = ask(f"{TOKEN}&{name}={quote(value)}", ONE, TWO)
    assert claims(answer)["appid"] == TWO
    assert ask(f"{TOKEN}&{name}={quote(value)}", ONE, "system").response.status == 400


def test_one_of_several_identities_has_to_be_named_unless_the_machine_has_its_own() -> None:
    assert claims(ask(TOKEN, ONE))["appid"] == ONE
    assert "Multiple user assigned identities" in ask(TOKEN, ONE, TWO).response.body.decode()
    assert claims(ask(TOKEN, ONE, TWO, "system"))["xms_mirid"] == Machine().resource_id


def test_the_tenant_is_told_to_every_machine() -> None:
    answer = ask("/metadata/identity/info?api-version=2018-02-01")
    assert (answer.response.status, json.loads(answer.response.body)) == (200, {"tenantId": Machine().tenant_id})
