"""The proposal for VMs without a medium: its three options, and that a host without it says so."""

import base64
import json

import pytest

from azready.fabric.ledger import HealthReport, Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol import imds, media, wireserver
from azready.fabric.protocol.messages import Answer, Request, Rules

WISHES = {"name": "vm1", "admin_password": "p w", "custom_data": "hä", "public_keys": ("ssh-ed25519 AAAA me",)}
VERSION = "api-version=2026-01-01"


def ask(target: str, form: str, ledger: Ledger | None = None, **other: object) -> Answer:
    machine = Machine(provisiondata=form, **{**WISHES, **other})  # type: ignore[arg-type]
    return wireserver.answer(Request("GET", target), machine, ledger or Ledger(), Rules())


def test_the_document_as_it_stands() -> None:
    answer = ask(f"/provisiondata?{VERSION}", "ovf")
    assert dict(answer.response.headers)["Content-Type"] == "application/xml"
    assert answer.response.body.decode() == media.ovf_env(Machine(provisiondata="ovf", **WISHES))  # type: ignore[arg-type]


def test_everything_as_json() -> None:
    told = json.loads(ask(f"/provisiondata?{VERSION}", "json").response.body)
    assert (told["hostname"], told["adminPassword"], told["hasCustomData"]) == ("vm1", "p w", True)
    assert base64.b64decode(told["customData"]).decode() == "hä"
    assert told["publicKeys"][0]["keyData"] == "ssh-ed25519 AAAA me"
    bare = json.loads(ask(f"/provisiondata?{VERSION}", "json", admin_password="", custom_data="").response.body)
    assert (bare["adminPassword"], bare["customData"], bare["hasCustomData"]) == (None, None, False)


@pytest.mark.parametrize(
    ("target", "other", "body"),
    [
        (f"/provisiondata/adminPassword?{VERSION}", {}, '"p w"'),
        (f"/provisiondata/adminPassword?{VERSION}&format=text", {}, "p w"),
        (f"/provisiondata/adminPassword?{VERSION}", {"admin_password": ""}, "null"),
        (f"/provisiondata/customData?{VERSION}&format=text", {}, base64.b64encode("hä".encode()).decode()),
        (f"/provisiondata/customData?{VERSION}&format=text", {"custom_data": ""}, ""),
    ],
)
def test_secrets_alone(target: str, other: dict[str, object], body: str) -> None:
    answer = ask(target, "secrets", **other)
    assert (answer.response.status, answer.response.body.decode()) == (200, body)


def test_imds_says_whether_there_is_a_password_to_fetch() -> None:
    def flags(machine: Machine) -> dict[str, object]:
        request = Request("GET", "/metadata/instance?api-version=2021-08-01&extended=true", (("Metadata", "true"),))
        return dict(json.loads(imds.answer(request, machine, Ledger(), Rules()).response.body)["extended"]["compute"])

    assert flags(Machine(provisiondata="secrets", admin_password="x"))["hasAdminPassword"] is True
    assert flags(Machine(provisiondata="secrets"))["hasAdminPassword"] is False
    assert "hasAdminPassword" not in flags(Machine(admin_password="x"))


@pytest.mark.parametrize(
    ("target", "form", "status"),
    [
        (f"/provisiondata?{VERSION}", "", 400),
        ("/provisiondata", "ovf", 400),
        ("/provisiondata?api-version=2025-01-01", "json", 400),
        (f"/provisiondata?{VERSION}", "secrets", 404),
        (f"/provisiondata/adminPassword?{VERSION}", "json", 404),
        (f"/provisiondata/sshKeys?{VERSION}", "secrets", 404),
    ],
)
def test_what_is_not_served(target: str, form: str, status: int) -> None:
    assert ask(target, form).response.status == status


@pytest.mark.parametrize("form", ["secrets", "ovf", "json"])
def test_nothing_is_served_once_the_vm_is_provisioned(form: str) -> None:
    ledger = Ledger()
    ledger.record(HealthReport(1.0, "json", "Ready"))
    target = "/provisiondata/adminPassword" if form == "secrets" else "/provisiondata"
    assert ask(f"{target}?{VERSION}", form, ledger).response.status == 404


@pytest.mark.parametrize(
    ("version", "body", "status", "state"),
    [
        ("2026-01-01", '{"state":"ready"}', 201, "Ready"),
        ("2026-01-01", '{"state":"error","details":{"description":"no key"}}', 201, "NotReady"),
        ("2026-01-01", '{"state":"Ready"}', 201, "Ready"),
        ("2020-01-01", '{"state":"ready"}', 400, ""),
    ],
)
def test_the_proposals_report_has_a_version_and_states_of_its_own(
    version: str, body: str, status: int, state: str
) -> None:
    headers = (("Content-Type", "application/json"), ("x-ms-guest-agent-name", "t"))
    request = Request("POST", f"/provisioning/health?api-version={version}", headers, body.encode())
    answer = wireserver.answer(request, Machine(provisiondata="json"), Ledger(), Rules())
    assert answer.response.status == status
    assert [note.state for note in answer.notes if isinstance(note, HealthReport)] == [state] * bool(state)
