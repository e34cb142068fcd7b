"""What a program may rely on: the schemas in the package, held against what verbs really print."""

import json
from importlib import resources
from typing import Any

import jsonschema


def schema(name: str) -> dict[str, Any]:
    """The schema of a verb's JSON."""
    found: dict[str, Any] = json.loads((resources.files("azready.cli") / "schemas" / f"{name}.schema.json").read_text())
    return found


def conforms(name: str, text: str) -> Any:
    """The document, when it is as the schema says; else jsonschema.ValidationError."""
    document = json.loads(text)
    jsonschema.validate(document, schema(name))
    return document
