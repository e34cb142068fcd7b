"""Faults as data: which requests they meet, what they make of an answer, and the same again from the same seed."""

import pytest

from azready.errors import UsageFailure
from azready.fabric.faults import (
    Counts,
    Fault,
    Hang,
    Reset,
    Send,
    Wait,
    changed,
    choose,
    from_table,
    from_words,
    spoil,
    steps,
)
from azready.fabric.machine import Machine
from azready.fabric.protocol.messages import Request, Response

REQUEST = Request("GET", "/machine?comp=goalstate")
LATER = "Thu, 01 Jan 1970 00:00:02 GMT"


def met(fault: Fault, times: int = 5, service: str = "wireserver", seed: int = 0, at: float = 0.0) -> str:
    counts: Counts = {}
    request = Request("GET", "/machine?comp=goalstate", at=at)
    return "".join("x" if choose([fault], counts, service, request, seed) else "." for _ in range(times))


@pytest.mark.parametrize(
    ("fault", "pattern"),
    [
        (Fault(), "xxxxx"),
        (Fault(attempts="2"), ".x..."),
        (Fault(attempts="1-3"), "xxx.."),
        (Fault(attempts="4-"), "...xx"),
        (Fault(service="imds"), "....."),
        (Fault(method="POST"), "....."),
        (Fault(path="*comp=goalstate*"), "xxxxx"),
        (Fault(path="*comp=health*"), "....."),
        (Fault(seconds="1-2"), "....."),
        (Fault(probability=0.0), "....."),
        (Fault(service="wireserver"), "xxxxx"),
        (Fault(method="G*"), "xxxxx"),
        (Fault(method="get"), "....."),
        (Fault(path="/machine?comp=goalstate"), "xxxxx"),
        (Fault(seconds="0"), "xxxxx"),
        (Fault(seconds="0.0-1"), "xxxxx"),
        (Fault(attempts="5"), "....x"),
        (Fault(attempts="2-2", seconds="0-"), ".x..."),
    ],
)
def test_which_requests_a_fault_meets(fault: Fault, pattern: str) -> None:
    assert met(fault) == pattern


@pytest.mark.parametrize(("at", "pattern"), [(0.9, "."), (1.0, "x"), (1.5, "x"), (2.5, "x"), (2.6, ".")])
def test_seconds_count_from_the_boot_and_its_ends_belong_to_a_span(at: float, pattern: str) -> None:
    assert met(Fault(seconds="1-2.5"), 1, at=at) == pattern


def test_a_probability_is_a_share_of_the_requests() -> None:
    drawn = met(Fault(probability=0.25), 2000)
    assert 400 < drawn.count("x") < 600
    assert met(Fault(probability=1.0), 200) == "x" * 200


def test_each_fault_of_a_plan_draws_for_itself() -> None:
    plan = [Fault(name="a", probability=0.5), Fault(name="b", probability=0.5)]
    counts: Counts = {}
    chosen = [fault and fault.name for fault in (choose(plan, counts, "imds", REQUEST, 3) for _ in range(60))]
    assert {"a", "b", None} == set(chosen)
    assert counts == {0: 60, 1: 60}


def test_the_seed_repeats_a_draw() -> None:
    fault = Fault(probability=0.5)
    assert met(fault, 40, seed=1) == met(fault, 40, seed=1) != met(fault, 40, seed=2)


def test_a_second_fault_counts_what_the_first_one_took() -> None:
    plan, counts = [Fault(name="a", attempts="1"), Fault(name="b", attempts="2")], {}
    chosen = [choose(plan, counts, "imds", REQUEST, 0) for _ in range(3)]
    assert [fault and fault.name for fault in chosen] == ["a", "b", None]


GOOD = Response(200, b"<a><b>one</b><c/></a>", (("Content-Type", "text/xml"),))


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        (Fault(bom=True), b"\xef\xbb\xbf<a><b>one</b><c/></a>"),
        (Fault(drop="b"), b"<a><c/></a>"),
        (Fault(drop="c"), b"<a><b>one</b></a>"),
        (Fault(swap=(("one", "two"),)), b"<a><b>two</b><c/></a>"),
        (Fault(body=""), b""),
        (Fault(status=500), b""),
        (Fault(status=500, body="oops"), b"oops"),
        (Fault(oversize=3), b"<a><b>one</b><c/></a>   "),
        (Fault(), b"<a><b>one</b><c/></a>"),
        (Fault(status=204, body="\u00fc"), b"\xc3\xbc"),
        (Fault(body="<b>1</b> <c/>", drop="b", swap=(("c", "d"), ("d", "e"))), b"<e/>"),
        (Fault(body="<b x='1'>1</b><bb/>", drop="b"), b"<bb/>"),
        (Fault(body="<b x='1'/><a/>", drop="b"), b"<a/>"),
        (Fault(body="<b>\n1\n</b><b/>\n<a/>", drop="b"), b"<a/>"),
        (Fault(body="<b.c/>", drop="b-c"), b"<b.c/>"),
        (Fault(body="", garble=True, bom=True, oversize=1), b"\xef\xbb\xbf "),
    ],
)
def test_what_becomes_of_a_body(fault: Fault, body: bytes) -> None:
    spoilt = spoil(GOOD, fault, 0, LATER)
    assert (spoilt.status, spoilt.body) == (fault.status or 200, body)


def test_a_fault_of_no_words_does_nothing() -> None:
    assert spoil(GOOD, Fault(), 0, LATER) == GOOD
    assert steps(b"HEAD", b"abcd", Fault()) == (Send(b"HEADabcd"),)
    assert not Fault().imds_locked and not Fault().without and not Fault().jump


def test_garbled_is_the_same_from_the_same_seed() -> None:
    first, again, other = (spoil(GOOD, Fault(garble=True), seed, LATER).body for seed in (1, 1, 2))
    assert first == again != GOOD.body
    assert first != other


def test_a_twentieth_of_the_bytes_is_garbled_and_one_at_least() -> None:
    long = Response(200, b"a" * 400, ())
    differ = sum(one != ord("a") for one in spoil(long, Fault(garble=True), 5, LATER).body)
    assert 15 <= differ <= 20
    assert sum(one != ord("a") for one in spoil(Response(200, b"aaa", ()), Fault(garble=True), 5, LATER).body) == 1


def test_an_answer_keeps_its_headers_unless_its_status_is_another() -> None:
    assert spoil(GOOD, Fault(oversize=1), 0, LATER).headers == GOOD.headers
    assert spoil(GOOD, Fault(status=503), 0, LATER).headers == (("Content-Type", "text/plain"),)
    fault = Fault(status=302, location="http://elsewhere/", headers=(("X-One", "1"), ("Content-Type", "text/html")))
    assert dict(spoil(GOOD, fault, 0, LATER).headers) == {
        "Content-Type": "text/html",
        "X-One": "1",
        "Location": "http://elsewhere/",
    }


def test_retry_after_as_seconds_and_as_date() -> None:
    for written, sent in (("7", "7"), ("date", LATER)):
        assert ("Retry-After", sent) in spoil(GOOD, Fault(status=503, retry_after=written), 0, LATER).headers


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        (Fault(cut=2), (Send(b"HEADab"),)),
        (Fault(cut=0, reset=True), (Send(b"HEAD"), Reset())),
        (Fault(reset=True), (Reset(),)),
        (Fault(silent=True, delay=1), (Wait(1), Hang())),
        (Fault(lost=True, delay=2), (Wait(2), Reset())),
        (Fault(lost=True, cut=2), (Reset(),)),
        (Fault(reset=True, cut=2), (Send(b"HEADab"), Reset())),
        (Fault(length=5, delay=1), (Wait(1), Send(b"HEADabcd"))),
        (Fault(cut=9), (Send(b"HEADabcd"),)),
        (Fault(drip=40, cut=1), (Send(b"HEAD"), Wait(0.1), Send(b"a"), Wait(0.025))),
        (
            Fault(drip=1, cut=0, reset=True),
            (*(step for one in b"HEAD" for step in (Send(bytes([one])), Wait(1))), Reset()),
        ),
    ],
)
def test_how_a_disturbed_answer_goes_out(fault: Fault, wanted: tuple[object, ...]) -> None:
    assert steps(b"HEAD", b"abcd", fault) == wanted


@pytest.mark.parametrize(
    ("fault", "disturbs", "unseen", "unanswered"),
    [
        (Fault(), False, False, False),
        (Fault(delay=3, bom=True, garble=True, oversize=9), False, False, False),
        (Fault(status=503), False, True, False),
        (Fault(drip=10), True, False, False),
        (Fault(cut=0), True, False, False),
        (Fault(cut=5, reset=True), True, False, False),
        (Fault(cut=0, reset=True), True, False, False),
        (Fault(length=-1), True, False, False),
        (Fault(length=1), True, False, False),
        (Fault(reset=True), True, True, True),
        (Fault(lost=True), True, False, True),
        (Fault(silent=True), True, True, True),
    ],
)
def test_what_a_fault_means_for_the_request(fault: Fault, disturbs: bool, unseen: bool, unanswered: bool) -> None:
    """A report that the platform has not seen changes nothing; one whose answer is lost does."""
    assert (fault.disturbs, fault.unseen, fault.unanswered) == (disturbs, unseen, unanswered)


def test_the_goal_state_changes_after_an_answer() -> None:
    machine = Machine()
    assert changed(machine, Fault()) == machine
    assert changed(machine, Fault(change="incarnation")) == machine.with_next_incarnation() != machine
    assert changed(machine, Fault(change="container")) == machine.moved() != machine


def test_a_drip_sends_everything_at_its_rate() -> None:
    sent = steps(b"HEAD", b"x" * 96, Fault(drip=100))
    assert sent[0] == Send(b"HEADxxxxxx"), "ten pieces a second"
    assert b"".join(step.data for step in sent if isinstance(step, Send)) == b"HEAD" + b"x" * 96
    assert sum(step.seconds for step in sent if isinstance(step, Wait)) == pytest.approx(1.0)


def test_words_of_the_command_line() -> None:
    fault = from_words("service=imds,path=/metadata/*,attempts=1-3,status=503,retry-after=2,reset")
    assert fault == Fault(service="imds", path="/metadata/*", attempts="1-3", status=503, retry_after="2", reset=True)
    assert from_words("service=dhcp,without=245+121,delay=2") == Fault(service="dhcp", without=(245, 121), delay=2.0)
    assert from_words("cut=-1,length=-7,delay=0.25,bom=yes,lost=FALSE,attempts=3,path=/a=b") == Fault(
        cut=-1, length=-7, delay=0.25, bom=True, lost=False, attempts="3", path="/a=b"
    )
    assert from_words(" status=200,imds-locked") == Fault(status=200, imds_locked=True)
    assert from_words("status=599,retry-after=date,garble=No,body=5") == Fault(status=599, retry_after="date", body="5")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("servce=imds", "unknown key 'servce'"),
        ("service=dns", "of the service 'dns'"),
        ("attempts=a", "not a span"),
        ("status=abc", "must be a whole number"),
        ("reset=maybe", "must be a true or false"),
        ("change=name", "changes 'name'"),
        ("status=101", "answers with status 101"),
        ("status=600", "answers with status 600"),
        ("location=a\nb", "with the header 'Location'"),
        ("headers=x", "table of texts"),
        ("status=199", "answers with status 199"),
        ("status=1", "answers with status 1"),
        ("delay=x", "delay must be a number, not 'x'"),
        ("delay=1.", "delay must be a number"),
        ("status=5.0", "whole number"),
        ("without=245+", "list of DHCP options"),
        ("without=x", "list of DHCP options"),
        ("attempts=1-3-5", "not a span"),
        ("seconds=-3", "not a span"),
        ("retry-after=\0", "with the header 'Retry-After'"),
    ],
)
def test_wrong_words_are_explained(words: str, says: str) -> None:
    with pytest.raises(UsageFailure, match=says) as caught:
        from_words(words)
    assert caught.value.hint


def test_a_table_of_toml() -> None:
    table = {"service": "wireserver", "status": 503, "retry-after": 1, "headers": {"a": "b"}, "delay": 2}
    assert from_table(table, "x") == Fault(
        service="wireserver", status=503, retry_after="1", headers=(("a", "b"),), delay=2.0
    )


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"staus": 503}, r"^x: unknown key 'staus'"),
        ({"status": True}, "status must be a whole number, not True"),
        ({"attempts": True}, "attempts must be a text, not True"),
        ({"attempts": 1.5}, "attempts must be a text"),
        ({"delay": True}, "delay must be a number"),
        ({"delay": "1"}, "delay must be a number"),
        ({"delay": 10**400}, "delay must be a number"),
        ({"reset": 1}, "reset must be a true or false"),
        ({"body": 5}, "body must be a text"),
        ({"name": 5}, "name must be a text"),
        ({"headers": {"a": 1}}, "headers must be a table of texts"),
        ({"headers": [["a", "b"]]}, "headers must be a table of texts"),
        ({"headers": {"a b": "c"}}, "with the header 'a b'"),
        ({"headers": {"": "c"}}, "with the header ''"),
        ({"swap": "x"}, "swap must be a table of texts"),
        ({"without": 245}, "without must be a list of DHCP options"),
        ({"without": [True]}, "without must be a list of DHCP options"),
        ({"without": ["245"]}, "without must be a list of DHCP options"),
        ({"service": "medium"}, "of the service 'medium'"),
    ],
)
def test_a_wrong_table_is_explained(table: dict[str, object], says: str) -> None:
    with pytest.raises(UsageFailure, match=says) as caught:
        from_table(table, "x")
    assert caught.value.hint


def test_every_kind_of_value_of_a_table() -> None:
    table = {
        "seconds": 5,
        "retry_after": 3,
        "attempts": 2,
        "without": [3, 6],
        "swap": {"a": "b"},
        "drip": 0.5,
        "body": "x",
    }
    assert from_table(table, "x") == Fault(
        seconds="5", retry_after="3", attempts="2", without=(3, 6), swap=(("a", "b"),), drip=0.5, body="x"
    )
