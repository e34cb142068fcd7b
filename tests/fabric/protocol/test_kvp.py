"""KVP records are read back, and what Hyper-V would spoil is found."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.fabric.ledger import Finding
from azready.fabric.machine import Machine
from azready.fabric.protocol import kvp

MACHINE = Machine()
ODD = "ab |'\"=\\\r\n\t,ä"


def record(key: bytes, value: bytes) -> bytes:
    """Hyper-V's own sizes, not those of the code under test."""
    return key.ljust(512, b"\0") + value.ljust(2048, b"\0")


def report(text: str) -> bytes:
    return record(b"PROVISIONING_REPORT", text.encode())


def faults(pool: bytes) -> list[str]:
    return [entry.message for entry in kvp.entries(pool, MACHINE, 0.0) if isinstance(entry, Finding)]


def test_a_good_report_is_read_and_has_no_faults() -> None:
    pool = record(b"other", b"x") + report(f"result=success|agent=a/1|vm_id={MACHINE.vm_id.upper()}|timestamp=t")
    assert (kvp.provisioning_report(pool) or {})["result"] == "success"
    assert faults(pool) == []


def test_quoted_fields_are_read() -> None:
    pool = report("result=error|'reason=a|b ''c'''|agent=x")
    assert (kvp.provisioning_report(pool) or {})["reason"] == "a|b 'c'"


def test_what_hyper_v_would_spoil_is_found() -> None:
    good = report(f"result=success|vm_id={MACHINE.vm_id}")
    for bad, says in (
        (record(b"k" * 255, b"v"), "has 255 bytes"),
        (record(b"k", b"v" * 1023), "has 1023 bytes"),
        (record(b"k", b"\xc3"), "not UTF-8"),
        (b"half", "no whole number"),
    ):
        (message,) = faults(good + bad)
        assert says in message


def test_what_is_just_short_enough_passes() -> None:
    good = report(f"result=success|vm_id={MACHINE.vm_id}")
    assert faults(good + record(b"k" * 254, b"v") + record(b"l", b"v" * 1022)) == []
    keys = b"".join(record(b"%d" % number, b"v") for number in range(1023))
    assert faults(good + keys) == []
    (message,) = faults(good + keys + record(b"one more", b"v"))
    assert message.endswith("1025 keys")


def test_a_report_of_another_vm_or_without_result_is_found() -> None:
    assert "vm_id" in faults(report("result=success|vm_id=00000000-0000-0000-0000-000000000000"))[0]
    assert "result" in faults(report(f"outcome=fine|vm_id={MACHINE.vm_id}"))[0]
    assert "there is none" in faults(record(b"k", b"v"))[0]
    assert faults(b"") == []


@pytest.mark.long
@pytest.mark.parametrize("quote", ["'", '"'])
@given(
    values=st.dictionaries(
        st.from_regex(r"[a-z_]{1,9}", fullmatch=True), st.text(alphabet=ODD, max_size=12), min_size=1
    )
)
def test_what_pythons_csv_writes_is_read_whichever_quote_it_uses(quote: str, values: dict[str, str]) -> None:
    """As cloud-init (') and azure-init (") write their reports."""
    out = io.StringIO()
    csv.writer(out, delimiter="|", quotechar=quote, lineterminator="").writerow([f"{k}={v}" for k, v in values.items()])
    assert kvp.provisioning_report(report(out.getvalue())) == values


def test_a_quote_that_is_not_closed_is_a_character() -> None:
    assert list(kvp.fields('\'a|b|"c"d|e=')) == ["'a", "b", '"c"d', "e="]


def test_the_host_sees_the_last_value_cut_to_what_is_carried_and_nothing_beside_a_broken_one() -> None:
    pool = record(b"k", b"old") + record(b"k", b"new") + record(b"l" * 300, b"v" * 2000)
    assert kvp.host_view(pool) == {"k": "new", "l" * 254: "v" * 1022}
    assert kvp.host_view(pool + record(b"x", b"\xff")) == {}
