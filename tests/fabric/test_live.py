"""The running fabric: whole exchanges over loopback, as an agent makes them."""

import contextlib
import http.client
import json
import re
import socket
from xml.etree import ElementTree

import pytest

from azready.errors import Failure
from azready.fabric import Exchange, Fabric, Fault, Machine
from azready.fabric.ledger import Service
from tests.fabric.client import ask

WIRE = {"x-ms-version": "2012-11-30", "x-ms-agent-name": "test"}
XML = {**WIRE, "Content-Type": "text/xml; charset=utf-8"}
JSON = {"Content-Type": "application/json", "x-ms-guest-agent-name": "test v1"}
READY = b'{"state":"Ready"}'
METADATA = {"Metadata": "true"}
GOAL_STATE = "/machine?comp=goalstate"
HEALTH = "/machine?comp=health"


def ready(fabric: Fabric, incarnation: str = "", state: str = "<State>Ready</State>") -> bytes:
    """A health report on the goal state that the fabric serves now."""
    root = ElementTree.fromstring(ask(fabric.wireserver_url, GOAL_STATE, WIRE).body)
    ids = {name: root.findtext(f".//{name}") for name in ("ContainerId", "InstanceId", "Incarnation")}
    return (
        f"<Health><GoalStateIncarnation>{incarnation or ids['Incarnation']}</GoalStateIncarnation>"
        f"<Container><ContainerId>{ids['ContainerId']}</ContainerId><RoleInstanceList><Role>"
        f"<InstanceId>{ids['InstanceId']}</InstanceId><Health>{state}</Health>"
        "</Role></RoleInstanceList></Container></Health>"
    ).encode()


def test_a_guest_that_does_it_right_is_provisioned_without_findings(azure_fabric: Fabric) -> None:
    name = ask(azure_fabric.imds_url, "/metadata/instance/compute/name?api-version=2019-06-01&format=text", METADATA)
    assert name.text == azure_fabric.machine.name
    assert ask(azure_fabric.wireserver_url, HEALTH, XML, "POST", ready(azure_fabric)).status == 200
    verdict = azure_fabric.verdict(deadline=60)
    assert verdict.provisioned
    assert verdict.findings == ()
    assert [exchange.service for exchange in azure_fabric.ledger.exchanges] == ["imds", "wireserver", "wireserver"]


def test_a_hard_coded_incarnation_is_refused_and_named() -> None:
    with Fabric(Machine(incarnation="7")) as fabric:
        assert ask(fabric.wireserver_url, HEALTH, XML, "POST", ready(fabric, incarnation="1")).status == 410
        verdict = fabric.verdict(deadline=0.1)
    assert verdict.code == "OSProvisioningTimedOut"
    assert "health-incarnation" in [finding.code for finding in verdict.findings]


def test_a_failure_report_is_a_client_error_with_its_reason(azure_fabric: Fabric) -> None:
    state = (
        "<State>NotReady</State><Details><SubStatus>ProvisioningFailed</SubStatus>"
        "<Description>no user</Description></Details>"
    )
    assert ask(azure_fabric.wireserver_url, HEALTH, XML, "POST", ready(azure_fabric, state=state)).status == 200
    verdict = azure_fabric.verdict(deadline=60)
    assert (verdict.code, verdict.because) == ("OSProvisioningClientError", "no user")


def test_the_json_form_is_as_good(azure_fabric: Fabric) -> None:
    headers = {"Content-Type": "application/json", "x-ms-guest-agent-name": "test v1"}
    answer = ask(azure_fabric.wireserver_url, "/provisioning/health", headers, "POST", b'{"state":"Ready"}')
    assert answer.status == 201
    assert azure_fabric.verdict(deadline=60).provisioned


def test_links_of_the_goal_state_lead_to_documents(azure_fabric: Fabric) -> None:
    goal_state = ask(azure_fabric.wireserver_url, "/machine/?comp=goalstate", WIRE).text
    links = re.findall(r"<(\w+)>(http://[^<]*)<", goal_state)
    assert {name for name, _ in links} >= {"HostingEnvironmentConfig", "SharedConfig", "ExtensionsConfig"}
    for _, link in links:
        assert link.startswith(azure_fabric.wireserver_url)
        target = link.removeprefix(azure_fabric.wireserver_url).replace("&amp;", "&")
        document = ask(azure_fabric.wireserver_url, target, WIRE)
        assert document.status == 200
        ElementTree.fromstring(document.body)


def test_six_requests_in_a_second_are_one_too_many(azure_fabric: Fabric) -> None:
    target = "/metadata/instance?api-version=2021-02-01"
    statuses = [ask(azure_fabric.imds_url, target, METADATA).status for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    assert [finding.code for finding in azure_fabric.ledger.findings] == ["imds-rate"]


@pytest.mark.azure_machine(name="scale_0", computer_name="web-1", public_keys=("ssh-ed25519 AAAA me",))
def test_the_fixture_serves_the_machine_that_is_asked_for(azure_fabric: Fabric) -> None:
    whole = json.loads(ask(azure_fabric.imds_url, "/metadata/instance?api-version=2021-02-01", METADATA).body)
    assert whole["compute"]["name"] == "scale_0"
    assert whole["compute"]["osProfile"]["computerName"] == "web-1"
    assert whole["compute"]["publicKeys"][0]["keyData"] == "ssh-ed25519 AAAA me"


def test_another_boot_starts_with_an_empty_ledger_and_maybe_another_machine(azure_fabric: Fabric) -> None:
    ask(azure_fabric.wireserver_url, HEALTH, XML, "POST", ready(azure_fabric))
    old = azure_fabric.machine
    azure_fabric.restart(old.recaptured())
    assert azure_fabric.ledger.entries == ()
    assert azure_fabric.machine.container_id in ask(azure_fabric.wireserver_url, GOAL_STATE, WIRE).text


def test_a_fault_meets_the_first_three_attempts_only() -> None:
    fault = Fault(service="wireserver", path="*comp=goalstate*", attempts="1-3", status=503, retry_after="1")
    with Fabric(faults=[fault]) as fabric:
        answers = [ask(fabric.wireserver_url, GOAL_STATE, WIRE) for _ in range(4)]
    assert [answer.status for answer in answers] == [503, 503, 503, 200]
    assert answers[0].headers["retry-after"] == "1"


def test_sockets_may_come_from_elsewhere_and_are_closed_at_the_end() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    with Fabric(sockets={"wireserver": sock}) as fabric:
        assert fabric.wireserver_url == f"http://127.0.0.1:{port}"
        assert ask(fabric.wireserver_url, "/?comp=versions").status == 200
    with pytest.raises(ConnectionRefusedError):
        ask(f"http://127.0.0.1:{port}", "/?comp=versions")


def test_one_fabric_serves_many_machines_by_host_header_and_by_address() -> None:
    fleet = {f"vm{number}.test": Machine(name=f"vm{number}") for number in range(50)}
    fleet["127.0.0.1"] = Machine(name="by-address")
    target = "/metadata/instance/compute/name?api-version=2019-06-01&format=text"
    with Fabric(machines=fleet) as fabric:
        for number in range(50):
            host = f"vm{number}.test"
            assert ask(fabric.imds_url, target, {**METADATA, "Host": host}).text == f"vm{number}"
            assert (
                ask(fabric.wireserver_url, "/provisioning/health", {**JSON, "Host": host}, "POST", READY).status == 201
            )
        assert ask(fabric.imds_url, target, METADATA).text == "by-address"
        assert all(fabric.ledger_of(host).ready for host in fleet if host != "127.0.0.1")
        assert fabric.ledger_of("vm7.test").findings == ()
        assert fabric.ledger_of("127.0.0.1").ready is None


def test_a_machine_of_many_that_asks_for_ever_does_not_fill_the_memory() -> None:
    with Fabric(machines={"vm.test": Machine()}, strict=False) as fabric:
        connection = http.client.HTTPConnection(*fabric.address("imds"), timeout=60)
        for _ in range(200):
            connection.request("GET", "/metadata/versions", headers={**METADATA, "Host": "vm.test"})
            connection.getresponse().read()
        connection.close()
        entries = fabric.ledger_of("vm.test").entries
    assert len(entries) == 64
    assert all(not one.response_body for one in entries if isinstance(one, Exchange))


def _raw(fabric: Fabric, data: bytes) -> bytes:
    with socket.create_connection(fabric.address("wireserver"), timeout=60) as sock:
        sock.sendall(data)
        got = b""
        while piece := sock.recv(65536):
            got += piece
        return got


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 1_100_000, b"413"),
    ],
)
def test_what_is_not_http_is_refused_and_noted(azure_fabric: Fabric, data: bytes, status: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # it closes before all of a long body was sent
        assert _raw(azure_fabric, data).startswith(b"HTTP/1.1 " + status)
    assert [finding.code for finding in azure_fabric.ledger.findings] == ["http-malformed"]


@pytest.mark.parametrize(
    ("fault", "happens"),
    [
        (Fault(reset=True), ConnectionResetError),
        (Fault(cut=10), http.client.IncompleteRead),
        (Fault(length=50), http.client.IncompleteRead),
        (Fault(silent=True), TimeoutError),
    ],
)
def test_what_a_client_sees_of_a_disturbed_answer(fault: Fault, happens: type[Exception]) -> None:
    with Fabric(faults=[fault]) as fabric, pytest.raises(happens):
        ask(fabric.wireserver_url, GOAL_STATE, WIRE, timeout=0.5 if happens is TimeoutError else 60)


def test_a_lost_answer_is_a_report_that_arrived_and_a_reset_one_did_not() -> None:
    for fault, arrived in ((Fault(method="POST", lost=True), True), (Fault(method="POST", reset=True), False)):
        with Fabric(faults=[fault]) as fabric:
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                ask(fabric.wireserver_url, "/provisioning/health", JSON, "POST", READY)
            assert (fabric.ledger.ready is not None) is arrived


def test_a_goal_state_that_changes_between_get_and_post() -> None:
    fault = Fault(path="*comp=goalstate*", attempts="1", change="incarnation")
    with Fabric(faults=[fault]) as fabric:
        assert ask(fabric.wireserver_url, HEALTH, XML, "POST", ready(fabric)).status == 410
        assert ask(fabric.wireserver_url, HEALTH, XML, "POST", ready(fabric)).status == 200


def test_stopping_ends_silent_connections_too() -> None:
    fabric = Fabric(faults=[Fault(silent=True)]).start()
    with socket.create_connection(fabric.address("imds"), timeout=60) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert fabric.ledger.wait_for(lambda ledger: len(ledger.exchanges) == 1, 60)
        fabric.stop()
        assert sock.recv(1) == b""
    fabric.stop()


def test_a_socket_that_cannot_serve_is_told_at_once() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    fabric = Fabric(sockets={"imds": sock})
    sock.detach()
    with pytest.raises((Failure, OSError)):
        fabric.start()


@pytest.mark.parametrize("service", ["wireserver", "imds", "hostplugin"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "PATCH", "PUT"])
def test_a_method_that_nobody_serves_is_answered_and_the_connection_lives_on(
    azure_fabric: Fabric, service: Service, method: str
) -> None:
    connection = http.client.HTTPConnection(*azure_fabric.address(service), timeout=60)
    with contextlib.closing(connection):
        for _ in range(2):
            connection.request(method, "/metadata/instance?api-version=2021-02-01", headers={**WIRE, **METADATA})
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status in (404, 405)
            assert answer.getheader("Content-Length") is not None
            assert (body == b"") or method != "HEAD"
    assert [one.status for one in azure_fabric.ledger.exchanges] == [answer.status] * 2


@pytest.mark.parametrize("status", [503, 204, 304])
@pytest.mark.parametrize("drip", [0.0, 1e6])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_fault_never_gives_a_body_to_what_must_have_none(status: int, drip: float, method: str) -> None:
    with Fabric(faults=[Fault(status=status, body="late", drip=drip)]) as fabric:
        answer = ask(fabric.imds_url, "/metadata/versions", METADATA, method)
        assert answer.status == status
        has = method == "GET" and status == 503
        assert answer.body == (b"late" if has else b"")
        assert ask(fabric.imds_url, "/metadata/versions", METADATA, method).status == status
