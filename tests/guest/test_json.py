# ruff: noqa: E501 (tables)
"""The guest's own JSON reader against the standard one: the same values, the same refusals."""

import json
import math
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
PIECES = [
    '"',
    "\\",
    "\\u12",
    "\\ud83d",
    "\\ude00",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "true",
    "null",
    "-",
    "0",
    "1",
    ".",
    "e+",
]
NOISE = st.lists(st.sampled_from([*PIECES, " ", "\n", "\0", "é", "NaN", "Infinity", "E5", "01"]), max_size=12).map(
    "".join
)


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _standard(text: str) -> object:
    """What the standard module makes of a text; the exception class when it refuses."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return ValueError


def _ours(guest: ModuleType, text: str) -> object:
    try:
        return guest.read_json(text)
    except ValueError:
        return ValueError


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(value=VALUES, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_it_reads_what_the_standard_module_writes(
    guest: ModuleType, value: object, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    read = guest.read_json(text)
    assert read == value
    assert repr(read) == repr(json.loads(text)), "the types are the same, too"


@pytest.mark.long
@settings(max_examples=500, deadline=None)
@given(text=NOISE)
def test_it_refuses_what_the_standard_module_refuses(guest: ModuleType, text: str) -> None:
    assert repr(_ours(guest, text)) == repr(_standard(text))


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(value=VALUES, at=st.integers(min_value=0, max_value=200), noise=st.sampled_from(PIECES))
def test_damaged_documents_are_judged_alike(guest: ModuleType, value: object, at: int, noise: str) -> None:
    text = json.dumps(value)
    damaged = text[:at] + noise + text[at + 1 :]
    assert repr(_ours(guest, damaged)) == repr(_standard(damaged))


@pytest.mark.parametrize(
    "text", ["", " ", "nan", "NaN", "[1,]", '{"a":1,}', '"\t"', '"\\x"', "1 2", "tru", "-", "\0", '"', "['a']"]
)
def test_it_refuses(guest: ModuleType, text: str) -> None:
    with pytest.raises(ValueError):
        guest.read_json(text)


EDGES = ["0", "00", "01", "-0", "-01", "10", "-5", "0.5", ".5", "5.", "5.x", "1.05", "1e5", "1E5", "1e+5", "1e-5", "1e", "1e+", "1ex", "0e0", "0x1", "-x", "1-", "1.5e3", "1.e3", "+1", '"\\u0041"', '"\\u004"', '"\\u004g"', '"\\uFFfF"', '"\\ud83d\\ude00"', '"\\ud83d\\ud83d"', '"\\udbff\\udfff"', '"\\ud800\\udc00"', '"\\ud83d\\u"', '"\\ud83dx"', '"\\udc00\\ud83d"', '"\\udfff"', '"\\ud7ff\\udc00"', '"\\udc00\\udc00"', '"\\ud83d\\udbff"', '"\\ud83d\\ue000"', '"a\\nb\\t\\r\\b\\f\\/\\\\\\""', '"\\"', '"\\a"', '"x\\"']  # fmt: skip
BLANKS = (
    '{"a":1}', ' { "a" : 1 , "b" : [ ] } ', "{}", "{ }", "[]", "[ ]", "[1 ,2]", "[1,\t2\n]\r", "[,1]", "[1 2]", '{"a" 1}', '{"a":1 "b":2}', '{a:1}', '{"a":1,b}',
    '"\x1f"', '" "', '"\x7f\x80"', '"a\tb"', '"é\x1e"', "true", "false", "null", "trux", "nulll", "\x0b1", "1\x0c", "[1]]", '{"a":{"a":[{}]}}', '{"a":1,"a":2}',
)  # fmt: skip


@pytest.mark.parametrize("text", [*EDGES, *BLANKS])
def test_at_its_edges_it_reads_what_the_standard_module_reads(guest: ModuleType, text: str) -> None:
    assert repr(_ours(guest, text)) == repr(_standard(text))


def test_nesting_has_an_end(guest: ModuleType) -> None:
    assert guest.read_json("[" * 64 + "]" * 64)
    with pytest.raises(ValueError, match="deep"):
        guest.read_json("[" * 65 + "]" * 65)


def test_large_numbers_are_read_as_the_standard_module_reads_them(guest: ModuleType) -> None:
    assert guest.read_json("1e999") == math.inf
    assert guest.read_json("123456789012345678901234567890") == 123456789012345678901234567890
