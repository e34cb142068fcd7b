"""JSON on stdout: that of every verb says its version, and has a schema in `schemas/`; check's lies beside its own."""

import json
from collections.abc import Mapping
from typing import Any

VERSION = 1
"""Raised when a reader of the former one would be misled; fields may be added without."""


def as_json(table: Mapping[str, Any]) -> str:
    """A verb's result for programs."""
    return json.dumps({"version": VERSION, **table}, indent=2, ensure_ascii=False)
