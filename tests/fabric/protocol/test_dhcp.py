"""DHCP: a client's packet in, Azure's answer out, option by option as in the recorded lease."""

import ipaddress
import socket
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.fabric.faults import Fault
from azready.fabric.ledger import Exchange, Finding
from azready.fabric.machine import Machine
from azready.fabric.protocol import dhcp

MACHINE = Machine(computer_name="web-1", secondary_nics=(("00:0d:3a:6e:00:99", "10.1.0.9"),))
OTHER = "00:0d:3a:6e:00:99"
ASKED = bytes([1, 3, 6, 12, 15, 28, 42, 121, 245])


def packet(kind: int, mac: str = MACHINE.mac, client: str = "0.0.0.0", flags: int = 0x8000, **options: bytes) -> bytes:
    """A client's message; options as `o50=…`."""
    header = struct.pack("!BBBBIHH", 1, 1, 6, 0, 0x1234, 0, flags) + socket.inet_aton(client) + bytes(12)
    header += bytes.fromhex(mac.replace(":", "")) + bytes(10 + 64 + 128) + b"\x63\x82\x53\x63"
    data = {53: bytes([kind]), 55: ASKED} | {int(name[1:]): value for name, value in options.items()}
    return header + b"".join(bytes([number, len(value)]) + value for number, value in data.items()) + b"\xff"


def asked(
    question: bytes, machine: Machine = MACHINE, *faults: Fault, wireserver: str = dhcp.WIRESERVER
) -> dhcp.Message:
    said = dhcp.answer(question, machine, faults, wireserver)
    assert said is not None
    message = dhcp.parse(said)
    assert message is not None
    return message


def wanted(address: str, **more: bytes) -> bytes:
    return packet(dhcp.REQUEST, o50=socket.inet_aton(address), **more)


def test_the_options_are_those_of_the_recorded_lease_asked_for_or_not() -> None:
    recorded = [1, 3, 6, 15, 51, 53, 54, 58, 59, 245, 121]
    for question in (packet(dhcp.DISCOVER), wanted("10.1.0.4"), packet(dhcp.DISCOVER, o55=b"\x01")):
        assert list(asked(question).options) == recorded
    assert 12 not in asked(packet(dhcp.DISCOVER, o12=b"web-1")).options


def test_values_are_azures() -> None:
    lease = asked(packet(dhcp.DISCOVER)).options
    azure = socket.inet_aton("168.63.129.16")
    assert lease[54] == lease[6] == lease[245] == azure
    assert lease[51] == lease[58] == lease[59] == b"\xff\xff\xff\xff"
    assert lease[3] == socket.inet_aton("10.1.0.1")
    assert lease[121].hex() == "000a01000120a83f81100a01000120a9fea9fe0a010001", "the recorded one, to the byte"
    name, _, rest = lease[15].decode().partition(".")
    assert (len(name), rest) == (26, "gx.internal.cloudapp.net")


def test_the_header_names_azure_as_server_and_gateway() -> None:
    said = dhcp.answer(packet(dhcp.DISCOVER), MACHINE) or b""
    assert socket.inet_ntoa(said[16:20]) == "10.1.0.4"
    assert said[20:24] == said[24:28] == socket.inet_aton("168.63.129.16")
    assert said[44:47] == b"DSM"
    assert said[4:12] == packet(dhcp.DISCOVER)[4:8] + bytes(2) + b"\x80\x00"
    assert len(said) >= 300
    short = dhcp.answer(packet(dhcp.DISCOVER), MACHINE, [Fault(service="dhcp", without=(15, 121, 245))])
    assert short is not None and len(short) == 300, "BOOTP's least"


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        (packet(dhcp.DISCOVER), dhcp.OFFER),
        (wanted("10.1.0.4"), dhcp.ACK),
        (wanted("10.1.0.4", o54=socket.inet_aton("168.63.129.16")), dhcp.ACK),
        (packet(dhcp.REQUEST, client="10.1.0.4"), dhcp.ACK),
        (wanted("10.9.9.9"), dhcp.NAK),
        (packet(dhcp.REQUEST, client="10.1.0.9"), dhcp.NAK),
        (packet(dhcp.INFORM, client="10.1.0.4"), dhcp.ACK),
    ],
)
def test_who_asks_is_answered(question: bytes, kind: int) -> None:
    assert asked(question).kind == kind


@pytest.mark.parametrize(
    "question",
    [
        packet(dhcp.DISCOVER, mac="00:0d:3a:00:00:00"),
        wanted("10.1.0.4", o54=socket.inet_aton("10.1.0.1")),
        packet(dhcp.RELEASE),
        packet(dhcp.DECLINE),
        packet(dhcp.OFFER),
        b"",
        b"\x01" * 236,
        dhcp.answer(packet(dhcp.DISCOVER), MACHINE) or b"",
    ],
)
def test_strangers_other_servers_clients_and_what_is_no_question_are_not(question: bytes) -> None:
    assert dhcp.answer(question, MACHINE) is None


def test_options_may_be_padded_split_and_cut() -> None:
    """RFC 2132 (a pad is one byte, 255 ends), RFC 3396 (an option that comes twice is one long one)."""
    header = packet(dhcp.DISCOVER)[:240]
    options = (
        b"\0" + bytes([53, 1, 1]) + b"\0\0\0" + bytes([60, 2]) + b"ab" + bytes([60, 1]) + b"c" + bytes([50, 0, 255, 12])
    )
    message = dhcp.parse(header + options)
    assert message is not None
    assert message.options == {53: b"\x01", 60: b"abc"}
    cut = dhcp.parse(header + bytes([53, 1, 1, 60, 9]) + b"ab")
    assert cut is not None
    assert cut.options == {53: b"\x01", 60: b"ab"}


def test_a_refusal_leaves_the_client_without_an_address() -> None:
    refused = asked(wanted("10.9.9.9"))
    assert refused.yours == bytes(4)
    assert set(refused.options) == {53, 54}


def test_a_secondary_nic_gets_an_address_and_no_way_out() -> None:
    lease = asked(packet(dhcp.DISCOVER, mac=OTHER))
    assert socket.inet_ntoa(lease.yours) == "10.1.0.9"
    assert not {3, 6, 121} & set(lease.options)


def test_a_fault_leaves_options_out_or_says_nothing() -> None:
    lease = asked(packet(dhcp.DISCOVER), MACHINE, Fault(service="dhcp", without=(245, 121)), Fault(without=(3,)))
    assert not {245, 121} & set(lease.options)
    assert 3 in lease.options
    assert dhcp.answer(packet(dhcp.DISCOVER), MACHINE, [Fault(service="dhcp", silent=True)]) is None
    assert dhcp.delay([Fault(service="dhcp", delay=2), Fault(service="imds", delay=9)]) == 2


def test_a_wireserver_elsewhere_is_told_by_option_245_and_a_route_and_the_server_stays_azures() -> None:
    lease = asked(packet(dhcp.DISCOVER), wireserver="10.9.9.9").options
    assert lease[245] == socket.inet_aton("10.9.9.9")
    assert b"\x20" + socket.inet_aton("10.9.9.9") + socket.inet_aton("10.1.0.1") in lease[121]
    assert lease[54] == lease[6] == socket.inet_aton("168.63.129.16")


def test_another_subnet_has_its_own_mask_and_router() -> None:
    lease = asked(packet(dhcp.DISCOVER), replace(MACHINE, subnet="10.7.16.0/20", address="10.7.17.5")).options
    assert ipaddress.ip_address(lease[1]) == ipaddress.ip_address("255.255.240.0")
    assert lease[3] == socket.inet_aton("10.7.16.1")


def test_both_sides_become_entries() -> None:
    question = packet(dhcp.DISCOVER, o12=b"debian")
    entries = [
        *dhcp.entries(question, 1.0, MACHINE),
        *dhcp.entries(dhcp.answer(question, MACHINE) or b"", 1.0, MACHINE),
    ]
    entries += dhcp.entries(dhcp.answer(wanted("10.9.9.9"), MACHINE) or b"", 1.0, MACHINE)
    exchanges = [entry for entry in entries if isinstance(entry, Exchange)]
    assert [(one.method, one.target, one.status) for one in exchanges] == [
        ("DHCPDISCOVER", MACHINE.mac, None),
        ("DHCPOFFER", "10.1.0.4", 200),
        ("DHCPNAK", MACHINE.mac, 403),
    ]
    assert [entry.code for entry in entries if isinstance(entry, Finding)] == ["dhcp-hostname"]
    assert len(dhcp.entries(packet(dhcp.DISCOVER, o12=b"web-1.example"), 1.0, MACHINE)) == 1


@given(st.binary(max_size=600))
def test_no_packet_breaks_it(data: bytes) -> None:
    dhcp.answer(data, MACHINE)
    dhcp.answer(packet(dhcp.DISCOVER)[:240] + data, MACHINE)
    dhcp.entries(packet(dhcp.REQUEST)[:240] + data, 0.0, MACHINE)
