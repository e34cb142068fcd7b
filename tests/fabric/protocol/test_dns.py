"""DNS: the machine's own name has an address, in its network's domain and nowhere else."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.fabric.machine import Machine
from azready.fabric.protocol import dns
from azready.fabric.protocol.dhcp import domain

MACHINE = Machine(computer_name="Web-1", address6="fd00:a2::4")
NAME = f"web-1.{domain(MACHINE)}"


def question(name: str, kind: int = dns.A, flags: int = 0x0100, count: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, flags, count, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def ask(name: str, kind: int = dns.A, machine: Machine = MACHINE) -> tuple[int, list[str]]:
    """Response code, and the addresses."""
    query = question(name, kind)
    said = dns.answer(query, machine)
    assert said is not None
    number, flags, questions, answers, *_ = struct.unpack_from("!6H", said)
    assert (number, questions, flags & 0x8180) == (7, 1, 0x8180)
    assert said[12 : len(query)] == query[12:]
    rest, found = said[len(query) :], []
    while rest:
        pointer, _, network, seconds, size = struct.unpack_from("!3HIH", rest)
        assert (pointer, network, seconds) == (0xC00C, 1, 10), "of the name asked for, class IN, ten seconds"
        found.append(str(ipaddress.ip_address(rest[12 : 12 + size])))
        rest = rest[12 + size :]
    assert len(found) == answers
    return flags & 15, found


def test_the_machines_own_name_has_its_addresses_in_any_case() -> None:
    assert ask(NAME) == ask(NAME.upper()) == (0, ["10.1.0.4"])
    assert ask(NAME, dns.AAAA) == (0, ["fd00:a2::4"])
    assert ask(NAME, dns.AAAA, Machine(computer_name="web-1")) == (0, [])
    assert ask(NAME, 16) == (0, [])


def test_a_question_must_be_whole() -> None:
    whole = question(NAME)
    assert struct.unpack_from("!H", dns.answer(whole, MACHINE) or b"", 2)[0] & 15 == 0
    for cut in (whole[:-1], whole[:-5], whole[:20]):
        said = dns.answer(cut, MACHINE)
        assert said is not None and said[3] & 15 == dns.MALFORMED


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (f"web-2.{domain(MACHINE)}", dns.NO_SUCH_NAME),
        ("4.0.1.10.in-addr.arpa", dns.NO_SUCH_NAME),
        ("web-1", dns.REFUSED),
        ("deb.debian.org", dns.REFUSED),
        (f"evil{domain(MACHINE)}", dns.REFUSED),
        (domain(MACHINE), 0),
    ],
)
def test_other_names_have_none(name: str, code: int) -> None:
    assert ask(name) == (code, [])


def test_what_is_no_question_gets_no_answer_and_a_broken_one_is_told_so() -> None:
    assert dns.answer(b"", MACHINE) is None
    assert dns.answer(question(NAME, flags=0x8180), MACHINE) is None
    for broken in (
        question(NAME)[:-3],
        question(NAME, count=2),
        question(NAME, flags=0x2800),
        question(NAME)[:12] + b"\xc0",
    ):
        assert (dns.answer(broken, MACHINE) or b"\0" * 4)[3] & 15 == dns.MALFORMED


@given(st.binary(max_size=80))
def test_no_packet_breaks_it(data: bytes) -> None:
    dns.answer(data, MACHINE)
    dns.answer(question(NAME)[:12] + data, MACHINE)
