"""What a file gave for a field is held to the field's type."""

import math
from dataclasses import replace
from typing import Any

import pytest

from azready.boot.record import BootRecord, Check, as_json, from_json
from azready.fabric.faults import Fault
from azready.fabric.fields import held
from azready.fabric.ledger import Exchange
from tests.boot.test_page import RECORD


def test_what_azready_makes_fits() -> None:
    assert held(RECORD) is RECORD
    assert held(Exchange(0, "imds", "GET", "/", None)).status is None
    assert held(Fault(service="imds", headers=(("a", "b"),)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("at", "1"), ("at", True), ("at", math.nan), ("at", 10**400), ("service", "else"), ("status", 2.5),
        ("request_headers", (("a",),)), ("request_headers", [("a", "b")]), ("target", None),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(field: str, value: Any) -> None:
    exchange = Exchange(0.1, "imds", "GET", "/", 200)
    with pytest.raises(TypeError, match=f"^{field} is "):
        held(replace(exchange, **{field: value}))


def test_a_kept_boot_is_looked_through() -> None:
    table = as_json(replace(RECORD, checks=(Check("a", "passed"),)))
    assert isinstance(from_json(table), BootRecord)
    table["checks"][0]["outcome"] = "no such"
    with pytest.raises(TypeError, match="^outcome is 'no such'"):
        from_json(table)
