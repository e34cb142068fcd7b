"""The client against the fake: one call of each kind, and every way in which Azure makes one wait or refuses."""

import io
import time
from collections.abc import Callable

import pytest

from azready.azure.client import Client
from azready.azure.problems import AzureFailure
from azready.azure.requests import disks, groups, images, network
from azready.azure.requests.model import Place
from azready.console import Console
from azready.errors import Failure
from tests.azure.conftest import HURRIED, Token
from tests.azure.fake_arm.entra import EXPIRED, make_token
from tests.azure.fake_arm.model import SUBSCRIPTION, Arm
from tests.azure.fake_arm.server import Fault, Server

PLACE = Place(SUBSCRIPTION, "rg", "westeurope", (("azready-run", "r1"),))
Connect = Callable[..., Client]


def test_a_group_is_made_at_once_and_a_network_when_its_operation_ends(azure: Server, connect: Connect) -> None:
    client = connect()
    assert client.send(groups.create_group(PLACE)).status == 201
    made = client.send(network.create_network(PLACE, "net"))
    assert made.body["properties"]["provisioningState"] == "Succeeded"


def test_throttling_is_waited_for_and_told(azure: Server, connect: Connect) -> None:
    azure.faults.append(Fault("PUT", "resourcegroups/rg$", 429, "TooManyRequests", retry_after=1))
    said = io.StringIO()
    started = time.monotonic()
    connect(console=Console(said)).send(groups.create_group(PLACE))
    assert time.monotonic() - started >= 1
    assert "429 (TooManyRequests): it asks to wait 1 s" in said.getvalue()
    assert "request id 00000000-" in said.getvalue()


def test_a_wait_that_is_too_long_is_refused_with_its_length(azure: Server, connect: Connect) -> None:
    azure.faults.append(Fault("PUT", "resourcegroups/rg$", 429, "TooManyRequests", retry_after=6))
    with pytest.raises(Failure, match=r"asks to wait 6 s, longer than azready waits \(5 s\)"):
        connect().send(groups.create_group(PLACE))


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_is_tried_again(azure: Server, connect: Connect, status: int) -> None:
    azure.faults.append(Fault("PUT", "resourcegroups/rg$", status, "InternalServerError", times=2))
    assert connect().send(groups.create_group(PLACE)).status == 201


@pytest.mark.parametrize(
    "fault", [Fault("PUT", "virtualNetworks", cut=True), Fault("PUT", "virtualNetworks", refuse=True)]
)
def test_a_lost_answer_is_asked_for_again(azure: Server, connect: Connect, fault: Fault) -> None:
    client = connect()
    client.send(groups.create_group(PLACE))
    azure.faults.append(fault)
    assert client.send(network.create_network(PLACE, "net")).status == 200
    assert fault.times == 0


def test_a_connection_lost_while_polling_does_not_lose_the_operation(azure: Server, arm: Arm, connect: Connect) -> None:
    arm.takes = 0.1
    client = connect()
    client.send(groups.create_group(PLACE))
    azure.faults.append(Fault("GET", "/operations/", cut=True, times=3))
    azure.faults.append(Fault("GET", "/operations/", 429, "TooManyRequests", retry_after=1))
    made = client.send(network.create_network(PLACE, "net"))
    assert made.body["properties"]["provisioningState"] == "Succeeded"
    assert azure.faults[0].times == 0


def test_a_refusal_is_told_with_azures_own_words(azure: Server, connect: Connect) -> None:
    client = connect()
    client.send(groups.create_group(PLACE))
    client.send(disks.create_upload_disk(PLACE, "disk", 20_972_032, "V2", "x64", "Standard_LRS"))
    with pytest.raises(AzureFailure) as caught:
        client.send(images.create_image(PLACE, "image", "V2", disk=disks.disk_id(PLACE, "disk")))
    assert caught.value.code == "OperationNotAllowed"
    assert "ReadyToUpload" in caught.value.message


def test_a_conflict_with_another_operation_is_waited_for(azure: Server, connect: Connect) -> None:
    text = "The request failed due to conflict with a concurrent request."
    azure.faults.append(Fault("PUT", "resourcegroups/rg$", 409, "Conflict", text, times=3))
    said = io.StringIO()
    connect(console=Console(said)).send(groups.create_group(PLACE))
    assert said.getvalue().count("is busy (Conflict)") == 3


def test_an_expired_token_is_renewed_once(azure: Server, connect: Connect) -> None:
    fresh = Token(EXPIRED, make_token())
    assert connect(credential=fresh).send(groups.create_group(PLACE)).status == 201
    stale = Token(EXPIRED)
    with pytest.raises(AzureFailure, match="the login has expired") as caught:
        connect(credential=stale).send(groups.create_group(PLACE))
    assert "az login" in caught.value.hint


def test_an_absent_resource_is_none_and_an_absent_group_too(azure: Server, connect: Connect) -> None:
    client = connect()
    assert client.find(images.list_versions(PLACE, "g", "d")) is None
    client.send(groups.create_group(PLACE))
    assert client.find(images.list_versions(PLACE, "g", "d")) is None


def test_the_sas_of_a_disk_is_the_final_result(arm: Arm, azure: Server, connect: Connect) -> None:
    arm.on_disk = lambda identity, body: "https://md-fake.blob.storage.azure.net/x/abcd?sig=secret"
    client = connect()
    client.send(groups.create_group(PLACE))
    client.send(disks.create_upload_disk(PLACE, "disk", 20_972_032, "V2", "x64", "Standard_LRS"))
    assert client.send(disks.grant_access(PLACE, "disk")).body["accessSAS"].endswith("sig=secret")
    azure.faults.append(Fault("POST", "endGetAccess", cut=True))  # a POST whose answer is lost is repeated as well
    client.send(disks.revoke_access(PLACE, "disk"))
    assert arm.resources[disks.disk_id(PLACE, "disk").lower()]["properties"]["diskState"] == "Unattached"


def test_an_unreachable_azure_is_a_sentence(azure: Server, connect: Connect) -> None:
    azure.faults.append(Fault("PUT", "resourcegroups/rg$", refuse=True, times=100))
    with pytest.raises(Failure, match="cannot create resourcegroups/rg: Azure broke off the connection"):
        connect(patience=HURRIED).send(groups.create_group(PLACE))


def test_a_long_operation_says_that_it_still_runs(arm: Arm, azure: Server, connect: Connect) -> None:
    arm.takes = 0.6
    client = connect(console=Console(said := io.StringIO()))
    client.send(groups.create_group(PLACE))
    client.send(network.create_network(PLACE, "net"))
    assert "virtualNetworks/net: still at it after 0 s (usually 3 s, up to 12 s seen)" in said.getvalue()
