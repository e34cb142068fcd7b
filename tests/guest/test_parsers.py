"""What the platform sends, and what becomes of it: goal state, HTTP answers, DHCP leases, ids, settings."""

import itertools
import uuid
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

GOAL_STATE = """<?xml version="1.0" encoding="utf-8"?>
<GoalState xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><Version>2012-11-30</Version>
<Incarnation>7</Incarnation><Machine><ExpectedState>Started</ExpectedState></Machine>
<Container><ContainerId>c-1</ContainerId><RoleInstanceList>
<RoleInstance><InstanceId>i-1._vm&amp;1</InstanceId><Configuration><ConfigName>n.xml</ConfigName></Configuration></RoleInstance>
<RoleInstance><InstanceId>other</InstanceId></RoleInstance>
</RoleInstanceList></Container></GoalState>"""


def test_a_goal_state_gives_its_three_values(guest: ModuleType) -> None:
    for document in (GOAL_STATE.encode(), b"\xef\xbb\xbf" + GOAL_STATE.encode()):
        goal = guest.parse_goal_state(document)
        assert (goal.container, goal.instance, goal.incarnation) == ("c-1", "i-1._vm&1", "7")


@pytest.mark.parametrize("name", ["ContainerId", "Incarnation", "InstanceId"])
def test_a_goal_state_without_a_value_says_which(guest: ModuleType, name: str) -> None:
    emptied = GOAL_STATE.replace(f"<{name}>", f"<X{name}>").replace(f"</{name}>", f"</X{name}>")
    with pytest.raises(ValueError, match=name):
        guest.parse_goal_state(emptied.encode())


@pytest.mark.parametrize(("size", "taken"), [(512, True), (513, False)])
def test_a_value_of_a_goal_state_has_512_characters_at_most(guest: ModuleType, size: int, taken: bool) -> None:
    document = GOAL_STATE.replace("<Incarnation>7<", f"<Incarnation>{'7' * size}<").encode()
    if taken:
        assert len(guest.parse_goal_state(document).incarnation) == size
        return
    with pytest.raises(ValueError, match="Incarnation"):
        guest.parse_goal_state(document)


def test_a_goal_state_without_a_role_yet_is_no_goal_state(guest: ModuleType) -> None:
    head, _, rest = GOAL_STATE.partition("<RoleInstance>")
    with pytest.raises(ValueError, match="InstanceId"):
        guest.parse_goal_state((head + rest.rpartition("</RoleInstance>")[2]).encode())


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<GoalState>",
        b"not xml",
        b'<!DOCTYPE x [<!ENTITY a "b">]><GoalState/>',
        b"<GoalState/>",
        b"<a>" * 40 + b"</a>" * 40,
        b"<GoalState>" + b" " * (1 << 20) + b"</GoalState>",
    ],
)
def test_what_is_no_goal_state_is_a_value_error(guest: ModuleType, document: bytes) -> None:
    with pytest.raises(ValueError):
        guest.parse_goal_state(document)


@settings(max_examples=200, deadline=None)
@given(document=st.binary(max_size=200))
def test_no_bytes_break_the_xml_readers(guest: ModuleType, document: bytes) -> None:
    for parse in (guest.parse_goal_state, guest.parse_medium):
        with pytest.raises(ValueError):
            parse(document)


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One:  two \r\n\r\nhello"
CHUNKED = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
UNTIL_END = b"HTTP/1.0 404 Not Found\r\n\r\nhello"


@pytest.mark.parametrize(("answer", "status"), [(ANSWER, 200), (CHUNKED, 503)])
def test_an_answer_is_complete_at_its_last_byte_and_not_before(guest: ModuleType, answer: bytes, status: int) -> None:
    needed = len(answer) - (4 if answer is CHUNKED else 0)
    for length in range(len(answer) + 1):
        response = guest.parse_response(answer[:length], False)
        if length < needed - 1:
            assert response is None, length
    response = guest.parse_response(answer, False)
    assert (response.status, response.body) == (status, b"hello")


def test_an_answer_without_a_length_ends_with_the_connection(guest: ModuleType) -> None:
    assert guest.parse_response(UNTIL_END, False) is None
    response = guest.parse_response(UNTIL_END, True)
    assert (response.status, response.phrase, response.body) == (404, "Not Found", b"hello")


@pytest.mark.parametrize("answer", [ANSWER[:-1], CHUNKED[:-9], b"", b"HTTP/1.1 200 OK\r\n"])
def test_a_cut_answer_is_an_error(guest: ModuleType, answer: bytes) -> None:
    with pytest.raises(ValueError):
        guest.parse_response(answer, True)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"x" * 70000,
    ],
)
def test_what_is_no_http_is_an_error(guest: ModuleType, answer: bytes) -> None:
    with pytest.raises(ValueError):
        guest.parse_response(answer, False)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=120), ended=st.booleans(), head=st.booleans())
def test_no_bytes_break_the_http_reader(guest: ModuleType, data: bytes, ended: bool, head: bool) -> None:
    data = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" if head else b"") + data
    try:
        response = guest.parse_response(data, ended)
    except ValueError:
        return
    assert response is None or 100 <= response.status < 600


def _response(guest: ModuleType, **headers: str) -> object:
    return guest.Response(503, "", {name.replace("_", "-"): value for name, value in headers.items()}, b"")


def test_retry_after_is_seconds_or_a_date_of_the_answers_own_clock(guest: ModuleType) -> None:
    assert guest.retry_after(_response(guest, retry_after="7")) == 7
    then = _response(guest, retry_after="Thu, 01 Mar 2029 00:00:05 GMT", date="Wed, 28 Feb 2029 23:59:58 GMT")
    assert guest.retry_after(then) == 7
    for value in ("", "soon", "-3", "1.5", "Thu, 01 Foo 2029 00:00:05 GMT"):
        assert guest.retry_after(_response(guest, retry_after=value, date="Wed, 28 Feb 2029 23:59:58 GMT")) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Thu, 29 Feb 2024 12:00:00 GMT", 1709208000),
    ],
)
def test_http_dates(guest: ModuleType, text: str, seconds: int) -> None:
    assert guest.http_date(text) == seconds


PACKET = bytes(236) + b"\x63\x82\x53\x63" + b"\x35\x01\x05\x00\x00\xf5\x04\xa8\x3f\x81\x10\xff\xf5\x04\x01\x02\x03\x04"


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=60), kind=st.sampled_from([b"OPTION_245=", b'unknown-245 "', PACKET[:240], b""]))
def test_no_lease_breaks_the_reader(guest: ModuleType, data: bytes, kind: bytes) -> None:
    address = guest.lease_option_245(kind + data)
    assert address == "" or guest.parse_ipv4(address) == address


LEASE_LINES = r"""
lease {
}
OPTION_245=a83f8110
  option unknown-245 a8:3f:81:10;
  interface "eth0";
interface
expire 4 2030/04/01 10:00:00;
expire 4 2030/13/99 99:99:99;
expire 4 //// ::::
expire never;
expire epoch 99999999999999999999;
expire epoch
EXPIRY=
EXPIRY=٣
opt245="\
option-245
"""
LINES = st.lists(st.sampled_from(LEASE_LINES.splitlines()) | st.text(max_size=20))


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(lines=LINES, written=st.none() | st.floats(0, 2e9), interfaces=st.sampled_from([[], ["lo"], ["lo", "eth0"]]))
def test_no_lines_of_a_lease_break_the_reader(
    guest: ModuleType, lines: list[str], written: float | None, interfaces: list[str]
) -> None:
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    address = guest.lease_option_245(data, written, interfaces)
    assert address == "" or guest.parse_ipv4(address) == address


NETWORKCTL = (
    '{"Interfaces":[{"Index":1,"Name":"lo","Type":"loopback"},{"Index":2,"Name":"eth0","Type":"ether","Driver":"hv_netvsc",'
    '"DHCPv4Client":{"Lease":{"LeaseTimestampUSec":8414021,"Timeout1USec":1,"Timeout2USec":2},"PrivateOptions":'
    '[{"Option":242,"PrivateOptionData":"0101"},{"Option":245,"PrivateOptionData":"%s"}]}}]}\n'
)
"""What `networkctl --json=short status` of systemd 262 prints, shortened."""


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (NETWORKCTL % "a83f8110", "168.63.129.16"),
        (NETWORKCTL % "0a01004d", "10.1.0.77"),
        (NETWORKCTL % "00000000", ""),
        (NETWORKCTL % "a83f81", ""),
        (NETWORKCTL % "rm -rf /", ""),
        (NETWORKCTL.replace("245", "246") % "a83f8110", ""),
        ('{"Interfaces":[]}', ""),
        ("[]", ""),
    ],
)
def test_option_245_is_found_in_what_networkd_tells(guest: ModuleType, text: str, address: str) -> None:
    assert guest.networkctl_option_245(text) == address


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=40) | st.text(max_size=12).map(lambda inner: NETWORKCTL % inner))
def test_nothing_that_networkd_tells_breaks_the_reader(guest: ModuleType, text: str) -> None:
    try:
        address = guest.networkctl_option_245(text)
    except ValueError:
        return
    assert address == "" or guest.parse_ipv4(address) == address


@settings(max_examples=100, deadline=None)
@given(number=st.uuids())
def test_vm_ids_are_equal_in_both_byte_orders_and_any_case(guest: ModuleType, number: uuid.UUID) -> None:
    other = str(uuid.UUID(bytes=number.bytes_le))
    assert guest.swapped(str(number)) == other
    for one, two in itertools.product((str(number), other, str(number).upper(), f" {other}\n"), repeat=2):
        assert guest.same_vm(one, two)
    assert not guest.same_vm(str(number), str(uuid.UUID(int=number.int ^ 1)))


@pytest.mark.parametrize("text", ["", "unknown", "1-2-3-4-5", "g0000000-0000-0000-0000-000000000000", "0" * 36])
def test_what_is_no_guid_equals_nothing(guest: ModuleType, text: str) -> None:
    assert guest.canonical(text) == ""
    assert not guest.same_vm(text, text)


def test_settings_are_text_and_never_more(guest: ModuleType) -> None:
    values, warnings = guest.parse_settings(
        "# c\n\nDEADLINE = 30\nKVP=no\nSKIP=grow\nREPORT=$(reboot)\nX=1\nGROW=\nSKIP=fly\n"
    )
    assert (values["DEADLINE"], values["KVP"], values["REPORT"], values["GROW"]) == ("30", "no", "auto", "no")
    assert values["SKIP"] == "grow"
    assert len(warnings) == 4
    assert "X is not known" in warnings[1]


@pytest.mark.parametrize(
    "words",
    [
        ["--root"],
        ["--root="],
        ["--only", "fly"],
        ["--imds", "https://x"],
        ["--deadline", "0"],
        ["--x"],
        ["stop"],
        ["--failed", "x"],
        ["--report", "yaml"],
        ["--vm-id", "7"],
        ["--dry-run=1"],
    ],
)
def test_a_wrong_command_line_says_what_is_allowed(guest: ModuleType, words: list[str]) -> None:
    with pytest.raises(guest.Usage) as raised:
        guest.parse_options(words)
    assert str(raised.value)


@pytest.mark.parametrize(
    "words", [["--only=keys,user", "--imds=http://h:80/"], ["--only", "keys,user", "--imds", "http://h/"]]
)
def test_options_are_read_in_both_spellings(guest: ModuleType, words: list[str]) -> None:
    options = guest.parse_options(["report", *words])
    assert (options.verb, options.only, guest.parse_url(options.imds)) == ("report", ("keys", "user"), ("h", 80))
