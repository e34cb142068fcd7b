"""Metadata Security Protocol: unsigned requests are refused or noted, signed ones served, the key given once."""

import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from azready.fabric.ledger import Exchange, Finding, Ledger, Service
from azready.fabric.machine import Machine
from azready.fabric.protocol import platform, secure_channel
from azready.fabric.protocol.messages import Answer, Request, Rules
from azready.fabric.verdict import judge

MACHINE = Machine(name="vm1", msp="enforce")
KEY, GUID = secure_channel.machine_key(MACHINE)
NAMES = "/metadata/instance/compute/name?api-version=2019-06-01&format=text"
GOAL_STATE = "/machine?comp=goalstate"
PLAIN = (("Host", "168.63.129.16"), ("x-ms-version", "2012-11-30"), ("Metadata", "true"))


def ask(service: Service, request: Request, machine: Machine = MACHINE, ledger: Ledger | None = None) -> Answer:
    ledger = ledger or Ledger()
    answer = platform.answer(service, request, machine, ledger, Rules())
    ledger.record(Exchange(0.0, service, request.method, request.target, answer.response.status), *answer.notes)
    return answer


def codes(answer: Answer) -> list[str]:
    return [note.code for note in answer.notes if isinstance(note, Finding)]


def signed(request: Request, key: str = KEY, guid: str = GUID) -> Request:
    """The request as the agent passes it on: with date, claims and signature."""
    claims = (
        ("x-ms-azure-host-date", "Thu, 26 Nov 2026 12:00:00 GMT"),
        ("x-ms-azure-host-claims", '{ "isRoot": "true"}'),
    )
    request = replace(request, headers=request.headers + claims)
    value = f"{secure_channel.SCHEME} {guid} {secure_channel.signed(request, key)}"
    return replace(request, headers=(*request.headers, ("x-ms-azure-host-authorization", value)))


def test_a_signature_is_computed_as_the_agent_computes_it() -> None:
    """Worked out with the agent's rules by hand: method, body, sorted headers, path, sorted parameters."""
    headers = (("Metadata", " True "), ("Host", "h"), ("x-ms-azure-host-authorization", "left out"))
    request = Request("POST", "/a%2Db/?comp=b&keyOnly&comp=a&X=%2F", headers, b"body")
    text = b"POST\nbody\nhost:h\nmetadata:True\n/a%2Db/\ncomp=a&comp=b&keyonly&x=%2F"
    assert secure_channel.signed(request, "4A40") == hmac.new(b"\x4a\x40", text, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("service", "target"), [("imds", NAMES), ("wireserver", GOAL_STATE), ("hostplugin", "/versions")]
)
@pytest.mark.parametrize(
    ("mode", "status", "code"),
    [("enforce", 401, ["msp-unsigned"]), ("audit", 200, ["msp-audit"]), ("disabled", 200, [])],
)
def test_what_is_not_signed_is_refused_noted_or_served(
    service: Service, target: str, mode: str, status: int, code: list[str]
) -> None:
    answer = ask(service, Request("GET", target, PLAIN), replace(MACHINE, msp=mode))
    assert (answer.response.status, codes(answer)) == (status, code)


def test_each_endpoint_has_a_mode_of_its_own() -> None:
    machine = replace(MACHINE, msp="imds=enforce,wireserver=audit")
    assert ask("imds", Request("GET", NAMES, PLAIN), machine).response.status == 401
    assert ask("wireserver", Request("GET", GOAL_STATE, PLAIN), machine).response.status == 200
    assert ask("hostplugin", Request("GET", "/versions", PLAIN), machine).response.status == 200


@pytest.mark.parametrize(("service", "target"), [("imds", NAMES), ("wireserver", GOAL_STATE)])
def test_what_is_signed_is_served(service: Service, target: str) -> None:
    answer = ask(service, signed(Request("GET", target, PLAIN)))
    assert (answer.response.status, answer.notes) == (200, ())


@pytest.mark.parametrize("how", ["key", "guid", "body", "target", "header", "scheme", "claims"])
def test_a_signature_that_does_not_fit_is_as_good_as_none(how: str) -> None:
    request = Request("GET", NAMES, PLAIN)
    good = signed(request)
    bad = {
        "key": signed(request, key="00" * 32),
        "guid": signed(request, guid="00000000-0000-0000-0000-000000000000"),
        "body": replace(good, body=b"x"),
        "target": replace(good, target=NAMES.replace("name", "vmId")),
        "header": replace(good, headers=(*good.headers, ("x-more", "y"))),
        "scheme": replace(good, headers=tuple((k, v.replace("SHA256", "SHA1")) for k, v in good.headers)),
        "claims": replace(good, headers=tuple(pair for pair in good.headers if "claims" not in pair[0])),
    }[how]
    assert ask("imds", bad).response.status == 401


@pytest.mark.parametrize(
    ("service", "method", "target"),
    [("wireserver", "POST", "/machine/?comp=telemetrydata"), ("hostplugin", "PUT", "/vmAgentLog")],
)
def test_what_the_agent_never_signs_needs_no_signature(service: Service, method: str, target: str) -> None:
    assert ask(service, Request(method, target, PLAIN)).response.status != 401
    assert ask(service, Request("GET", target, PLAIN)).response.status == 401


def test_the_key_is_given_until_it_is_attested_and_then_no_more() -> None:
    ledger = Ledger()
    before = json.loads(ask("wireserver", Request("GET", "/secure-channel/status", PLAIN), ledger=ledger).response.body)
    assert (before["secureChannelEnabled"], before["keyGuid"], before["version"]) == (True, None, "2.0")
    assert {name: rule["mode"] for name, rule in before["authorizationRules"].items()} == dict.fromkeys(
        ("imds", "wireserver", "hostga"), "enforce"
    )
    key = json.loads(ask("wireserver", Request("POST", "/secure-channel/key", PLAIN), ledger=ledger).response.body)
    assert (key["key"], key["guid"], key["authorizationScheme"]) == (KEY, GUID, "Azure-HMAC-SHA256")
    attest = Request("POST", f"/secure-channel/key/{GUID}/key-attestation", PLAIN)
    assert ask("wireserver", attest, ledger=ledger).response.status == 401
    assert ask("wireserver", signed(attest), ledger=ledger).response.status == 200
    after = json.loads(ask("wireserver", Request("GET", "/secure-channel/status", PLAIN), ledger=ledger).response.body)
    assert after["keyGuid"] == GUID
    assert ask("wireserver", Request("POST", "/secure-channel/key", PLAIN), ledger=ledger).response.status == 403


def test_a_machine_without_the_protocol_says_so() -> None:
    told = json.loads(ask("wireserver", Request("GET", "/secure-channel/status"), Machine()).response.body)
    assert (told["secureChannelEnabled"], told["authorizationRules"]) == (False, None)


READY = Request(
    "POST",
    "/provisioning/health",
    (("Content-Type", "application/json"), ("x-ms-guest-agent-name", "t")),
    b'{"state":"Ready"}',
)


@pytest.mark.parametrize(("mode", "at"), [("enforce", None), ("audit", 0.0)])
def test_without_the_agent_the_platform_fails_whatever_the_guest_believes(mode: str, at: float | None) -> None:
    ledger = Ledger()
    ask("wireserver", READY, replace(MACHINE, msp=mode), ledger)
    verdict = judge(ledger, 5)
    assert (verdict.code, verdict.at) == ("OSProvisioningInternalError", at)
    assert "Guest Proxy Agent" in verdict.because


def test_with_the_agent_an_early_question_does_no_harm() -> None:
    ledger = Ledger()
    ask("imds", Request("GET", NAMES, PLAIN), ledger=ledger)
    ask("wireserver", signed(Request("POST", f"/secure-channel/key/{GUID}/key-attestation", PLAIN)), ledger=ledger)
    ask("wireserver", signed(READY), ledger=ledger)
    assert judge(ledger, 5).provisioned
