"""Faults as data: which requests they meet, what they make of an answer, and the same again from the same seed."""

import pytest

from azready.errors import UsageFailure
from azready.fabric.faults import Counts, Fault, Hang, Reset, Send, Wait, choose, from_table, from_words, spoil, steps
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
    ],
)
def test_which_requests_a_fault_meets(fault: Fault, pattern: str) -> None:
    assert met(fault) == pattern


def test_seconds_count_from_the_boot() -> None:
    assert met(Fault(seconds="1-2"), at=1.5) == "xxxxx"


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
    ],
)
def test_what_becomes_of_a_body(fault: Fault, body: bytes) -> None:
    spoilt = spoil(GOOD, fault, 0, LATER)
    assert (spoilt.status, spoilt.body) == (fault.status or 200, body)


def test_garbled_is_the_same_from_the_same_seed() -> None:
    first, again, other = (spoil(GOOD, Fault(garble=True), seed, LATER).body for seed in (1, 1, 2))
    assert first == again != GOOD.body
    assert first != other


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
    ],
)
def test_how_a_disturbed_answer_goes_out(fault: Fault, wanted: tuple[object, ...]) -> None:
    assert steps(b"HEAD", b"abcd", fault) == wanted


def test_a_drip_sends_everything_at_its_rate() -> None:
    sent = steps(b"HEAD", b"x" * 96, Fault(drip=100))
    assert b"".join(step.data for step in sent if isinstance(step, Send)) == b"HEAD" + b"x" * 96
    assert sum(step.seconds for step in sent if isinstance(step, Wait)) == pytest.approx(1.0)


def test_words_of_the_command_line() -> None:
    fault = from_words("service=imds,path=/metadata/*,attempts=1-3,status=503,retry-after=2,reset")
    assert fault == Fault(service="imds", path="/metadata/*", attempts="1-3", status=503, retry_after="2", reset=True)
    assert from_words("service=dhcp,without=245+121,delay=2") == Fault(service="dhcp", without=(245, 121), delay=2.0)


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
