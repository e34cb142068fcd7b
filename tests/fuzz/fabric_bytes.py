"""What a guest sends to the local Azure: reports, DHCP and DNS packets, KVP pools. Any guest may be strange."""

from collections.abc import Callable, Iterator
from typing import Literal

from azready.fabric.ledger import Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol import dhcp, dns, health, kvp, platform
from azready.fabric.protocol.messages import Request, Rules
from tests.fuzz import _bytes
from tests.fuzz._bytes import Reader

MACHINE = Machine(name="vm1")
HEADERS = (("Host", "x"), ("Metadata", "true"), ("x-ms-version", "2012-11-30"), ("Content-Type", "text/xml"))
ROLE = (
    b"<RoleProperties><Container><ContainerId>c</ContainerId><RoleInstances><RoleInstance><Id>i</Id><Properties>"
    b"<Property name='a' value='b'/></Properties></RoleInstance></RoleInstances></Container></RoleProperties>"
)
NOBODYS, DEEP = b"<?xml version='1.0' encoding='nobodys'?><Health/>", b"[" * 100000
"""What XML and JSON of Python's library answer with other errors than a malformed document."""
EVENTS = b'{"StartRequests": [{"EventId": "f020ba2e-3bc0-4c40-a10b-86575a9eabd5"}]}'
XML = (
    b"<?xml version='1.0' encoding='utf-8'?><Health><GoalStateIncarnation>1</GoalStateIncarnation><Container>"
    b"<ContainerId>c</ContainerId><RoleInstanceList><Role><InstanceId>i</InstanceId><Health><State>NotReady</State>"
    b"<Details><SubStatus>Provisioning</SubStatus><Description>d</Description></Details></Health></Role>"
    b"</RoleInstanceList></Container></Health>"
)
JSON = b'{"state": "NotReady", "details": {"subStatus": "Provisioning", "description": "d"}}'
DISCOVER = (
    b"\x01\x01\x06\0" + b"\x12\x34\x56\x78" + bytes(228) + b"\x63\x82\x53\x63" + b"\x35\x01\x01\x37\x03\x01\x03\xf5\xff"
)
QUESTION = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x03vm1\x08internal\0\0\x01\0\x01"
RECORD = b"PROVISIONING_REPORT".ljust(512, b"\0") + b"result=success|agent=x|vm_id=1".ljust(2048, b"\0")


def _posted(target: str, service: Literal["wireserver", "imds"]) -> Callable[[bytes], object]:
    def post(data: bytes) -> object:
        return platform.answer(service, Request("POST", target, HEADERS, data), MACHINE, Ledger(), Rules())

    return post


def readers() -> dict[str, Reader]:
    """Each reader by its module and function. None of them refuses: what is wrong becomes a finding."""
    return {
        "health.read_xml": Reader(lambda data: health.read_xml(data, 0.0), (XML, NOBODYS)),
        "health.read_json": Reader(lambda data: health.read_json(data, 0.0), (JSON,), (), (DEEP,)),
        "role properties": Reader(_posted("/machine?comp=roleProperties", "wireserver"), (ROLE, NOBODYS)),
        "report": Reader(_posted("/machine?comp=health", "wireserver"), (XML,)),
        "events": Reader(_posted("/metadata/scheduledevents?api-version=2020-07-01", "imds"), (EVENTS,), (), (DEEP,)),
        "dhcp.answer": Reader(lambda data: dhcp.answer(data, MACHINE), (DISCOVER,)),
        "dhcp.entries": Reader(lambda data: dhcp.entries(data, 0.0, MACHINE), (DISCOVER,)),
        "dns.answer": Reader(lambda data: dns.answer(data, MACHINE), (QUESTION,)),
        "kvp.entries": Reader(lambda data: kvp.entries(data, MACHINE, 0.0), (RECORD, RECORD + RECORD)),
        "kvp.host_view": Reader(kvp.host_view, (RECORD,)),
    }


def campaign(seed: int, runs: int) -> Iterator[str]:
    """`runs` inputs for each reader."""
    yield from _bytes.campaign(readers(), seed, runs)
