"""The WireServer by the facts of the agents: what is served, what is refused, and what is said about it."""

from urllib.parse import urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.fabric.ledger import Exchange, HealthReport, Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol import goalstate, wireserver
from azready.fabric.protocol.messages import Answer, Request, Rules

MACHINE = Machine(name="vm1", incarnation="4")
VERSION = (("x-ms-version", "2012-11-30"), ("Host", "168.63.129.16"))
POST_XML = (*VERSION, ("Content-Type", "text/xml;charset=utf-8"), ("x-ms-agent-name", "test"))
POST_JSON = (("Content-Type", "application/json"), ("x-ms-guest-agent-name", "test v1"))
GOOD = {"incarnation": "4", "container": MACHINE.container_id, "instance": MACHINE.instance_id, "state": "Ready"}


def asked_goal_state() -> Ledger:
    ledger = Ledger()
    ledger.record(Exchange(0.0, "wireserver", "GET", "/machine?comp=goalstate", 200))
    return ledger


def send(
    method: str,
    target: str,
    headers: tuple[tuple[str, str], ...] = VERSION,
    body: bytes = b"",
    rules: Rules = Rules(),
    ledger: Ledger | None = None,
    machine: Machine = MACHINE,
) -> Answer:
    return wireserver.answer(Request(method, target, headers, body), machine, ledger or asked_goal_state(), rules)


def report(details: str = "", **other: str) -> bytes:
    values = {**GOOD, **other}
    return (
        '<?xml version="1.0" encoding="utf-8"?><Health xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<GoalStateIncarnation>{values['incarnation']}</GoalStateIncarnation><Container>"
        f"<ContainerId>{values['container']}</ContainerId><RoleInstanceList><Role>"
        f"<InstanceId>{values['instance']}</InstanceId><Health><State>{values['state']}</State>{details}</Health>"
        "</Role></RoleInstanceList></Container></Health>"
    ).encode()


def post(body: bytes, **more: object) -> Answer:
    return send("POST", "/machine?comp=health", POST_XML, body, **more)  # type: ignore[arg-type]


def codes(answer: Answer) -> list[str]:
    return [note.code for note in answer.notes if not isinstance(note, HealthReport)]


def reports(answer: Answer) -> list[HealthReport]:
    return [note for note in answer.notes if isinstance(note, HealthReport)]


@pytest.mark.parametrize("path", ["/machine?comp=goalstate", "/machine/?comp=goalstate"])
def test_both_spellings_of_the_goal_state_are_served(path: str) -> None:
    root = ElementTree.fromstring(send("GET", path).response.body)
    assert root.findtext("Incarnation") == "4"
    assert root.findtext("Container/ContainerId") == MACHINE.container_id
    assert root.findtext("Container/RoleInstanceList/RoleInstance/InstanceId") == MACHINE.instance_id


@pytest.mark.parametrize("version", goalstate.VERSIONS)
def test_the_goal_state_is_of_the_version_that_was_asked_for(version: str) -> None:
    headers = (("x-ms-version", version), ("Host", "168.63.129.16"))
    root = ElementTree.fromstring(send("GET", "/machine?comp=goalstate", headers).response.body)
    assert root.findtext("Version") == version


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("168.63.129.16", "168.63.129.16:80"),
        ("168.63.129.16:80", "168.63.129.16:80"),
        ("127.0.0.1:16863", "127.0.0.1:16863"),
    ],
)
def test_links_have_their_port_and_the_instance_escaped_and_can_be_followed(host: str, authority: str) -> None:
    headers = (("x-ms-version", "2012-11-30"), ("Host", host))
    root = ElementTree.fromstring(send("GET", "/machine?comp=goalstate", headers).response.body)
    configuration = root.find("Container/RoleInstanceList/RoleInstance/Configuration")
    assert configuration is not None
    for link in (element.text or "" for element in configuration if element.tag != "ConfigName"):
        assert link.startswith(f"http://{authority}/machine/{MACHINE.container_id}/")
        instance = urlsplit(link).path.rpartition("/")[2]
        assert not set("-_") & set(instance)
        assert send("GET", link.removeprefix(f"http://{authority}")).response.status == 200
    assert (configuration.findtext("ConfigName") or "").count(".0.") == 2


def test_shared_config_has_the_endpoints_that_every_recording_has() -> None:
    target = f"/machine/{MACHINE.container_id}/{MACHINE.instance_id}?comp=config&type=sharedConfig"
    root = ElementTree.fromstring(send("GET", target).response.body)
    assert root.find("Instances/Instance/InputEndpoints") is not None
    assert root.find("OutputEndpoints") is not None
    assert root.find("Incarnation").attrib["number"] == "4"  # type: ignore[union-attr]


@pytest.mark.parametrize("other", [{}, {"incarnation": "1"}, {"state": "Well"}, {"container": "x"}])
def test_every_answer_to_a_report_names_the_newest_incarnation(other: dict[str, str]) -> None:
    headers = dict(post(report(**other)).response.headers)
    assert headers["x-ms-latest-goal-state-incarnation-number"] == "4"
    json = send("POST", "/provisioning/health", POST_JSON, b'{"state":"Ready"}')
    assert dict(json.response.headers)["x-ms-latest-goal-state-incarnation-number"] == "4"


def test_versions_are_told_to_those_who_send_no_header() -> None:
    root = ElementTree.fromstring(send("GET", "/?comp=versions", ()).response.body)
    assert "2012-11-30" in [version.text for version in root.iterfind("Supported/Version")]


def test_a_goal_state_needs_its_header_when_strict() -> None:
    refused = send("GET", "/machine?comp=goalstate", ())
    assert (refused.response.status, codes(refused)) == (400, ["wire-no-version"])
    lenient = send("GET", "/machine?comp=goalstate", (), rules=Rules(strict=False))
    assert (lenient.response.status, codes(lenient)) == (200, ["wire-no-version"])


def test_an_unknown_version_is_always_refused() -> None:
    answer = send("GET", "/machine?comp=goalstate", (("x-ms-version", "2022-01-01"),), rules=Rules(strict=False))
    assert (answer.response.status, codes(answer)) == (400, ["wire-version"])


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/", 404, "wire-unknown-path"),
        ("GET", "/metadata/instance", 404, "wire-unknown-path"),
        ("GET", "/machine?comp=nix", 404, "wire-unknown-path"),
        ("GET", "/machine/a/b?comp=config&type=nix", 404, "wire-unknown-path"),
        ("GET", "/machine/a/b?comp=certificates", 404, "wire-unknown-path"),
        ("GET", "/machine?comp=health", 405, "wire-method"),
        ("POST", "/machine?comp=goalstate", 405, "wire-method"),
        ("GET", "/provisioning/health", 405, "wire-method"),
        ("GET", "/machine/a/b?comp=config&type=sharedConfig", 410, "wire-stale-link"),
    ],
)
def test_what_does_not_exist_is_refused_and_noted(method: str, target: str, status: int, code: str) -> None:
    answer = send(method, target)
    assert (answer.response.status, codes(answer)) == (status, [code])


def test_links_of_an_old_goal_state_are_stale() -> None:
    link = f"/machine/{MACHINE.container_id}/{MACHINE.instance_id}?comp=config&type=sharedConfig&incarnation="
    assert send("GET", link + "4").response.status == 200
    assert send("GET", link + "3").response.status == 410
    assert send("GET", link + "3", rules=Rules(strict=False)).response.status == 200


def test_ids_that_need_escaping_survive_the_goal_state_and_its_links() -> None:
    odd = Machine(container_id="a b&<c>", instance_id="x é&.y", incarnation="1&2")
    root = ElementTree.fromstring(send("GET", "/machine?comp=goalstate", machine=odd).response.body)
    link = root.findtext("Container/RoleInstanceList/RoleInstance/Configuration/SharedConfig") or ""
    assert root.findtext("Container/ContainerId") == "a b&<c>"
    target = link.removeprefix("http://168.63.129.16:80")
    assert send("GET", target, machine=odd).response.status == 200
    assert link.startswith("http://168.63.129.16:80/machine/a%20b%26%3Cc%3E/x%20%C3%A9%26.y?")


def test_ready_is_accepted() -> None:
    answer = post(report())
    assert (answer.response.status, codes(answer)) == (200, [])
    assert [(one.state, one.accepted) for one in reports(answer)] == [("Ready", True)]


def test_failure_is_accepted_with_its_description_unescaped() -> None:
    details = "<Details><SubStatus>ProvisioningFailed</SubStatus><Description>a &lt; b</Description></Details>"
    (told,) = reports(post(report(details, state="NotReady")))
    assert (told.substatus, told.description, told.accepted) == ("ProvisioningFailed", "a < b", True)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "health-malformed"),
        (b"<Health>", 400, "health-malformed"),
        (b"<GoalState/>", 400, "health-malformed"),
        (b"<!DOCTYPE Health>" + report().partition(b"?>")[2], 400, "health-malformed"),
        (b'<!DOCTYPE Health [<!ENTITY a "b">]>' + report().partition(b"?>")[2], 400, "health-malformed"),
        (report(state=""), 400, "health-incomplete"),
        (report(incarnation=""), 400, "health-incomplete"),
        (report(container="other"), 410, "health-container"),
        (report(instance="other"), 410, "health-instance"),
        (report(incarnation="1"), 410, "health-incarnation"),
        (report(state="ready"), 400, "health-state"),
        (report(state="Done"), 400, "health-state"),
        (report(state="NotReady"), 400, "health-substatus"),
        (report("<Details><SubStatus>None</SubStatus></Details>", state="NotReady"), 400, "health-substatus"),
        (report("<Details><Description>" + "x" * 4097 + "</Description></Details>"), 400, "health-too-long"),
        (report("<Details><Description>" + "&amp;" * 820 + "</Description></Details>"), 400, "health-too-long"),
    ],
)
def test_a_wrong_report_is_refused_by_name(body: bytes, status: int, code: str) -> None:
    answer = post(body)
    assert answer.response.status == status
    assert codes(answer) == [code]
    assert not any(one.accepted for one in reports(answer))


def test_a_description_of_4096_escaped_characters_is_accepted() -> None:
    assert post(report("<Details><Description>" + "&amp;" * 819 + "x</Description></Details>")).response.status == 200


def test_the_published_samples_misplaced_health_is_named() -> None:
    body = (
        f"<Health><GoalStateIncarnation>4</GoalStateIncarnation><Container><ContainerId>{MACHINE.container_id}"
        f"</ContainerId><RoleInstanceList><RoleInstance><InstanceId>{MACHINE.instance_id}</InstanceId></RoleInstance>"
        "<Health><State>Ready</State></Health></RoleInstanceList></Container></Health>"
    ).encode()
    answer = post(body)
    assert (answer.response.status, codes(answer)) == (400, ["health-path", "health-path"])
    messages = [note.message for note in answer.notes if not isinstance(note, HealthReport)]
    assert "Health/Container/RoleInstanceList/RoleInstance/InstanceId" in messages[0]


def test_a_wrong_incarnation_is_only_noted_when_not_strict() -> None:
    answer = post(report(incarnation="1"), rules=Rules(strict=False))
    assert (answer.response.status, codes(answer)) == (200, ["health-incarnation"])


def test_a_report_by_one_who_never_asked_is_noted() -> None:
    assert codes(post(report(), ledger=Ledger())) == ["health-unasked"]


def test_header_mistakes_are_noted_but_served() -> None:
    answer = send("POST", "/machine?comp=health", VERSION, report())
    assert (answer.response.status, codes(answer)) == (200, ["wire-content-type", "wire-no-agent-name"])


def test_a_report_after_ready_is_noted() -> None:
    ledger = asked_goal_state()
    ledger.record(HealthReport(2.0, "xml", "Ready"))
    assert codes(post(report(), ledger=ledger)) == ["health-again"]
    failed = report("<Details><SubStatus>Provisioning</SubStatus></Details>", state="NotReady")
    assert codes(post(failed, ledger=ledger)) == ["health-after-ready"]


@pytest.mark.parametrize(
    ("body", "status", "found"),
    [
        (b'{"state":"Ready"}', 201, []),
        (b'{"state":"ready"}', 201, ["health-case"]),
        (b'{"state":"NotReady","details":{"subStatus":"ProvisioningFailed","description":"x"}}', 201, []),
        (b'{"state":"NotReady","details":{"subStatus":"ProvisioningFailed"}}', 201, ["health-no-description"]),
        (b'{"state":"NotReady"}', 400, ["health-substatus"]),
        (b'{"state":1}', 400, ["health-malformed"]),
        (b'{"state":"Ready","details":[]}', 400, ["health-malformed"]),
        (b"[]", 400, ["health-malformed"]),
        (b"{", 400, ["health-malformed"]),
        (b"\xff\xfe", 400, ["health-malformed"]),
    ],
)
def test_the_json_form(body: bytes, status: int, found: list[str]) -> None:
    answer = send("POST", "/provisioning/health", POST_JSON, body)
    assert (answer.response.status, codes(answer)) == (status, found)


def test_role_properties_want_the_right_ids() -> None:
    body = (
        f"<RoleProperties><Container><ContainerId>{escape(MACHINE.container_id)}</ContainerId><RoleInstances>"
        f"<RoleInstance><Id>{MACHINE.instance_id}</Id><Properties>"
        '<Property name="CertificateThumbprint" value="AB"/></Properties></RoleInstance></RoleInstances></Container>'
        "</RoleProperties>"
    )
    assert send("POST", "/machine?comp=roleProperties", POST_XML, body.encode()).response.status == 202
    wrong = body.replace(MACHINE.instance_id, "other").encode()
    assert codes(send("POST", "/machine?comp=roleProperties", POST_XML, wrong)) == ["role-properties"]


@given(st.binary(max_size=200))
def test_no_body_breaks_a_report(body: bytes) -> None:
    assert post(body).response.status in (400, 410)
    assert send("POST", "/provisioning/health", POST_JSON, body).response.status in (201, 400)
