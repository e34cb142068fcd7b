# ruff: noqa: E501 (a table)
"""What the platform says to each kind of question, whole: status, headers, body, and what it notes about the asker.

`answers-*.txt` are read by people, beside docs/fidelity.md; `pytest tests/fabric/protocol/test_answers.py --approve`
writes them anew; look at the difference before it is committed.
"""

import json
import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from azready.fabric.ledger import Exchange, Finding, HealthReport, Ledger, Service
from azready.fabric.machine import DataDisk, Machine
from azready.fabric.protocol import dhcp, dns, events, instance, kvp, media, platform, provisiondata
from azready.fabric.protocol.messages import Request, Rules

APPROVED = Path(__file__).with_name("answers.txt")
VM = Machine(
    name="vm1",
    computer_name="web-1",
    public_keys=("ssh-ed25519 AAAA a",),
    custom_data="<secret>",
    user_data="hällo",
    vm_id="0d1f6a1f-0a7e-4f7e-8a3b-5ec2a6f49d0c",
    container_id="c-1",
    instance_id="i-1",
    tags=(("owner", "me"), ("cost", "1;2")),
    zone="2",
    public_address="192.0.2.7",
    secondary_nics=(("00:0d:3a:6e:00:99", "10.1.0.9"),),
    data_disks=(DataDisk(0, 32), DataDisk(3, 64, "ReadOnly", "Premium_LRS")),
    address6="fd00:a2::4",
    identity=("system", "11111111-0000-4000-8000-000000000001"),
    scheduled_events=("Freeze", "Terminate"),
)
BARE = Machine(name="vm2", vm_id=VM.vm_id, container_id="c-1", instance_id="i-1", generation=1)
LOOSE = Rules(strict=False)
WITH = (("Metadata", "true"),)
AGENT = (("x-ms-version", "2012-11-30"), ("x-ms-agent-name", "test"), ("Content-Type", "text/xml; charset=utf-8"))
NEWEST, EVENTS, PROPOSAL = instance.VERSIONS[-1], events.VERSIONS[-1], provisiondata.VERSIONS[-1]
READY = HealthReport(1.5, "xml", "Ready")


def _imds(target: str, machine: Machine = VM, headers: tuple[tuple[str, str], ...] = WITH, **more: str) -> str:
    return _said("imds", Request(more.get("method", "GET"), target, headers, more.get("body", "").encode()), machine)


def _wire(
    target: str, machine: Machine = VM, body: str = "", method: str = "", rules: Rules = Rules(), **more: object
) -> str:
    headers = more.get("headers", AGENT)
    assert isinstance(headers, tuple)
    request = Request(method or ("POST" if body else "GET"), target, headers, body.encode(), at=2.0)
    return _said("wireserver", request, machine, rules, *more.get("before", ()))  # type: ignore[misc]


def _said(service: Service, request: Request, machine: Machine, rules: Rules = Rules(), *before: object) -> str:
    ledger = Ledger()
    ledger.record(*before)  # type: ignore[arg-type]
    answer = platform.answer(service, request, machine, ledger, rules)
    lines = [f"{answer.response.status} {answer.response.reason}".rstrip()]
    lines += [f"{name}: {value}" for name, value in answer.response.headers]
    lines += [_neutral(answer.response.body.decode())] if answer.response.body else []
    return "\n".join([*lines, *(_note(each) for each in answer.notes)])


def _note(entry: object) -> str:
    if isinstance(entry, Finding):
        return f"! {entry.severity} {entry.code}: {entry.message} [{entry.fix}]"
    return f"= {entry}"


def _neutral(body: str) -> str:
    body = re.sub(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", "DATE", body)
    body = re.sub(r'"(access_token|expires_on|not_before|issued|signature)":"[^"]*"', r'"\1":"…"', body)
    return (
        json.dumps(json.loads(body), indent=1, ensure_ascii=False) if body.startswith("{") and len(body) > 200 else body
    )


def _report(
    state: str = "Ready", details: str = "", container: str = "c-1", instance: str = "i-1", at: str = "1"
) -> str:
    return (
        f"<Health><GoalStateIncarnation>{at}</GoalStateIncarnation><Container><ContainerId>{container}</ContainerId>"
        f"<RoleInstanceList><Role><InstanceId>{instance}</InstanceId><Health><State>{state}</State>{details}</Health>"
        "</Role></RoleInstanceList></Container></Health>"
    )


def _properties(container: str = "c-1", tag: str = "RoleProperties") -> str:
    return (
        f"<{tag}><Container><ContainerId>{container}</ContainerId><RoleInstances><RoleInstance><Id>i-1</Id><Properties>"
        f'<Property name="k" value="v"/></Properties></RoleInstance></RoleInstances></Container></{tag}>'
    )


_HEALTH, _JSON, _GOAL = "/machine?comp=health", "/provisioning/health", "/machine/?comp=goalstate"
_DETAILS = "<Details><SubStatus>{}</SubStatus><Description>{}</Description></Details>"
_FAILED = _DETAILS.format("ProvisioningFailed", "why &lt;it&gt;")
_JSON_HEADERS = (("Content-Type", "application/json"), ("x-ms-guest-agent-name", "test"))
_ASKED = Exchange(1.0, "wireserver", "GET", _GOAL, 200)
_CONFIG = "/machine/c-1/i-1?comp=config&type={}&incarnation=1"
_TOKEN = f"/metadata/identity/oauth2/token?api-version={NEWEST}"


def _http() -> Iterator[tuple[str, str]]:
    """Every question and its answer."""
    for version in (instance.VERSIONS[0], "2019-06-01", NEWEST):
        yield f"instance {version}", _imds(f"/metadata/instance?api-version={version}")
    yield "instance of a bare machine", _imds(f"/metadata/instance?api-version={NEWEST}", BARE)
    for path in ("", "/compute", "/compute/tagsList", "/compute/name", "/compute/tagsList/1/name", "/compute/tagsList/2",
                 "/compute/nothing", "/network/interface/0/ipv4/ipAddress", "/compute/isHostCompatibilityLayerVm"):  # fmt: skip
        yield f"text of {path or '/'}", _imds(f"/metadata/instance{path}?api-version={NEWEST}&format=text")
    for target in ("/metadata/versions", "/metadata", "/metadata/", "/else", f"/metadata/else?api-version={NEWEST}",
                   "/metadata/instance", "/metadata/instance?api-version=2016-01-01", f"/metadata/instance/compute/name?api-version={NEWEST}",
                   f"/metadata/instance?api-version={NEWEST}&format=xml", f"/metadata/instance?api-version={NEWEST}&api-version=1",
                   f"/metadata/loadbalancer?api-version={NEWEST}", "/metadata/loadbalancer?api-version=2019-06-01",
                   f"/metadata/reprovisiondata?api-version={NEWEST}", f"/metadata/attested/else?api-version={NEWEST}",
                   f"/metadata/identity/info?api-version={NEWEST}", f"/metadata/identity/else?api-version={NEWEST}",
                   _TOKEN, f"{_TOKEN}&resource=https://x", f"{_TOKEN}&resource=r&client_id=11111111-0000-4000-8000-000000000001",
                   f"{_TOKEN}&resource=r&client_id=2", f"/metadata/scheduledevents?api-version={EVENTS}", "/metadata/scheduledevents",
                   "/metadata/scheduledevents?api-version=2016-01-01", f"/metadata/scheduledevents/x?api-version={EVENTS}",
                   f"/metadata/scheduledevents?api-version={events.VERSIONS[0]}"):  # fmt: skip
        yield target, _imds(target)
    yield "a token, without identity", _imds(f"{_TOKEN}&resource=r", BARE)
    yield "without the header", _imds("/metadata/instance", headers=())
    yield "a probe for identity", _imds(_TOKEN, headers=())
    yield "through a proxy", _imds("/metadata/versions", headers=(*WITH, ("X-Forwarded-For", "10.0.0.1")))
    yield "another method", _imds("/metadata/versions", method="PUT")
    event = {"StartRequests": [{"EventId": events.event_id(VM, 0)}]}
    yield (
        "events: started",
        _imds(f"/metadata/scheduledevents?api-version={EVENTS}", method="POST", body=json.dumps(event)),
    )
    for body in ('{"StartRequests":[{"EventId":"x"}]}', "", "[]"):
        yield f"events: {body!r}", _imds(f"/metadata/scheduledevents?api-version={EVENTS}", method="POST", body=body)

    for target in ("/?comp=versions", _GOAL, *(_CONFIG.format(kind) for kind in ("hostingEnvironmentConfig", "sharedConfig", "extensionsConfig", "else")),
                   "/machine/c-1/i-2?comp=config&type=sharedConfig", "/machine/c-1/i-1?comp=config&type=sharedConfig&incarnation=9",
                   "/", "/x", "/machine?comp=x", "/machine/c-1/i-1?comp=certificates", "/provisiondata?api-version=1"):  # fmt: skip
        yield target, _wire(target)
    yield "a stale link, not strict", _wire("/machine/c-1/i-1?comp=config&type=sharedConfig&incarnation=9", rules=LOOSE)
    yield "no x-ms-version", _wire(_GOAL, headers=())
    yield "no x-ms-version, not strict", _wire(_GOAL, headers=(), rules=LOOSE)
    yield "an unknown x-ms-version, not strict", _wire(_GOAL, headers=(("x-ms-version", "1"),), rules=LOOSE)
    yield "a post for the goal state", _wire(_GOAL, method="POST")
    yield "certificates without a header", _wire("/machine/c-1/i-1?comp=certificates", replace(VM, certificates=True))
    for name, body in {"ready": _report(), "at work": _report("NotReady", _DETAILS.format("Provisioning", "")), "failed": _report("NotReady", _FAILED),
                       "failed, nothing said": _report("NotReady", _DETAILS.format("ProvisioningFailed", "")), "another case": _report("ready"),
                       "another sub-status": _report("NotReady", _DETAILS.format("X", "y")), "another container": _report(container="c-2"),
                       "another instance": _report(instance="i-2"), "another incarnation": _report(at="7"), "no state": _report(""),
                       "too long": _report("NotReady", _DETAILS.format("ProvisioningFailed", "x" * 4097)), "no report": "<x/>", "no XML": "x"}.items():  # fmt: skip
        yield f"report: {name}", _wire(_HEALTH, body=body, before=(_ASKED,))
    yield "report: another incarnation, not strict", _wire(_HEALTH, body=_report(at="7"), rules=LOOSE, before=(_ASKED,))
    yield "report: before a goal state", _wire(_HEALTH, body=_report(), headers=(("x-ms-version", "2012-11-30"),))
    yield "report: ready again", _wire(_HEALTH, body=_report(), before=(_ASKED, READY))
    yield "report: failed after ready", _wire(_HEALTH, body=_report("NotReady", _FAILED), before=(_ASKED, READY))
    for body in ('{"state":"Ready"}', '{"state":"ready"}', '{"state":"NotReady","details":{"subStatus":"ProvisioningFailed","description":"d"}}',
                 '{"state":"NotReady"}', '{"state":1}', "[]", "x", '{"state":"Ready","details":[]}'):  # fmt: skip
        yield f"report: {body}", _wire(_JSON, body=body, headers=_JSON_HEADERS)
    yield "report: JSON as text", _wire(_JSON, body='{"state":"Ready"}', headers=())
    yield "role properties", _wire("/machine?comp=roleProperties", body=_properties())
    yield "role properties of another", _wire("/machine?comp=roleProperties", body=_properties("c-2"))
    yield "role properties of another form", _wire("/machine?comp=roleProperties", body=_properties(tag="X"))
    yield "telemetry", _wire("/machine?comp=telemetrydata", body="x")
    yield "health service", _wire("/HealthService", body="x")
    for form in ("secrets", "ovf", "json"):
        for path in ("", "/customData", "/adminPassword", "/x"):
            target = f"/provisiondata{path}?api-version={PROPOSAL}"
            yield f"{form}: {target}", _wire(target, replace(VM, provisiondata=form))
    yield (
        "secrets as text",
        _wire(f"/provisiondata/customData?api-version={PROPOSAL}&format=text", replace(VM, provisiondata="secrets")),
    )
    yield (
        "provisiondata, provisioned",
        _wire(f"/provisiondata?api-version={PROPOSAL}", replace(VM, provisiondata="ovf"), before=(READY,)),
    )
    yield (
        "a proposed report",
        _wire(
            f"{_JSON}?api-version={PROPOSAL}",
            replace(VM, provisiondata="ovf"),
            '{"state":"error"}',
            headers=_JSON_HEADERS,
        ),
    )
    for mode in ("enforce", "audit"):
        signing = replace(VM, msp=mode)
        yield f"unsigned, {mode}", _wire("/?comp=versions", signing)
        yield f"the channel, {mode}", _wire("/secure-channel/status", signing)
    yield "the channel's key", _wire("/secure-channel/key", replace(VM, msp="enforce"), method="POST")
    for method, target in (
        ("GET", "/versions"),
        ("GET", "/health"),
        ("GET", "/vmSettings"),
        ("PUT", "/status"),
        ("GET", "/extensionArtifact"),
        ("GET", "/x"),
    ):
        yield f"host plugin: {method} {target}", _said("hostplugin", Request(method, target), VM)


def _packets() -> Iterator[tuple[str, str]]:
    for form in ("azure", "wa", "ns1", "default"):
        yield f"medium, {form}", media.ovf_env(replace(VM, medium_form=form, admin_password="p<&>w"))
    yield (
        "medium of a bare machine",
        media.ovf_env(replace(BARE, admin_username="", disable_password_authentication=False)),
    )
    for kind, name in dhcp.KINDS.items():
        for mac in (VM.mac, VM.secondary_nics[0][0], "00:00:00:00:00:01"):
            yield f"DHCP {name} of {mac}", _dhcp(kind, mac)
    for name in (
        f"web-1.{dhcp.domain(VM)}",
        dhcp.domain(VM),
        f"x.{dhcp.domain(VM)}",
        "example.org",
        "4.0.1.10.in-addr.arpa",
        "x" * 64,
    ):
        for type_ in (dns.A, dns.AAAA, dns.ANY, 15):
            yield f"DNS {name} {type_}", (dns.answer(_question(name, type_), VM) or b"").hex(" ", 2)
    for number, pool in enumerate(_pools()):
        noted = [_note(entry)[:300] for entry in kvp.entries(pool, VM, 1.0)]
        yield f"KVP {number}", "\n".join([f"{len(noted)} notes", *noted[:2], *noted[-2:]])
    yield "the host's KVP", json.dumps(kvp.host_pairs(VM), indent=1)


def _dhcp(kind: int, mac: str) -> str:
    said = dhcp.answer(_packet(kind, mac), VM)
    if said is None:
        return "nothing"
    message = dhcp.parse(said)
    assert message is not None
    noted = [_note(each) for packet in (_packet(kind, mac), said) for each in dhcp.entries(packet, 1.0, VM)]
    head = f"{len(said)} bytes, {said[:28].hex(' ', 4)}, {said[44:60]!r}"
    return "\n".join([head, *(f"{number}: {value.hex()}" for number, value in message.options.items()), *noted])


def _packet(kind: int, mac: str) -> bytes:
    header = struct.pack("!BBBBIHH", 1, 1, 6, 0, 0x1234, 0, 0x8000) + bytes(16) + bytes.fromhex(mac.replace(":", ""))
    options = bytes([53, 1, kind, 12, 1, 120, 50, 4]) + socket.inet_aton(VM.address) + b"\0\xff"
    return header + bytes(10 + 64 + 128) + b"\x63\x82\x53\x63" + options


def _question(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def _pools() -> Iterator[bytes]:
    def record(key: bytes, value: bytes) -> bytes:
        return key.ljust(512, b"\0") + value.ljust(2048, b"\0")

    report = f"result=success|agent=a|vm_id={VM.vm_id}".encode()
    yield b""
    yield record(b"PROVISIONING_REPORT", report)
    yield record(b"k", b"v") + b"x"
    yield record(b"k" * 254, b"v" * 1022) + record(b"k" * 255, b"v" * 1023)
    yield record(b"\xff", b"\xfe") + record(b"PROVISIONING_REPORT", b"result=maybe|vm_id=x")
    yield b"".join(record(b"%d" % number, b"") for number in range(1025))


PARTS = {"http": _http, "packets": _packets}


@pytest.mark.parametrize("part", PARTS)
def test_answers_are_the_approved_ones(part: str, pytestconfig: pytest.Config) -> None:
    place = APPROVED.with_stem(f"answers-{part}")
    said = "".join(f"# {name}\n{text}\n\n" for name, text in PARTS[part]())
    if pytestconfig.getoption("--approve"):
        place.write_text(said)
    assert said == place.read_text()
