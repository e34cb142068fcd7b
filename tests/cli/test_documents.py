"""Every verb that prints JSON says its version and has a schema, to which what is printed is held: here, or by
`conforms` in the verb's own tests."""

import ast
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer

from azready.azure.capture import Captured
from azready.boot.record import Check, document
from azready.cli import capture, fabric
from azready.cli.documents import as_json
from azready.fabric import matrix, scenario
from azready.fabric.verdict import Verdict
from azready.image.rules import RULES
from tests.boot.test_timeline import RECORD
from tests.cli.schemas import conforms, schema
from tests.cli.test_common import EVERY
from tests.image.sample import good_image

TESTS = Path(__file__).parents[1]
NAMES = sorted(
    path.name.removesuffix(".schema.json") for path in (resources.files("azready.cli") / "schemas").iterdir()
)


def _prints_json(name: str, command: Any) -> bool:
    with typer.Context(command, info_name=name, terminal_width=80, max_content_width=80) as context:
        told = command.get_help(context)
    return bool(re.search(r"--output(?:(?!\n {2}-).)*json", told, re.S))


def test_every_verb_with_json_has_a_schema() -> None:
    elsewhere = {"check": "beside its renderer", "fabric-run": "fabric's"}
    with_json = {name.replace(" ", "-") for name, command in EVERY if _prints_json(name, command)}
    assert with_json - set(NAMES) == set(elsewhere)
    assert set(NAMES) - with_json == {"plan", "dry-run", "rules"}, "of --dry-run, and of --list"


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one_and_wants_a_version(name: str) -> None:
    found = schema(name)
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["properties"]["version"]["const"] == 1 and "version" in found["required"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": 1}, found)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_verb_prints_is_held_to_it_somewhere(name: str) -> None:
    calls = (
        node.args[0].value
        for path in TESTS.rglob("test_*.py")
        if "conforms(" in (text := path.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "conforms"
        if isinstance(node.args[0], ast.Constant)
    )
    assert name in set(calls)


def _azready(*words: object) -> str:
    argv = [sys.executable, "-m", "azready", *map(str, words)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "80"})
    assert done.returncode in (0, 1, 3), done.stderr
    return done.stdout


@pytest.mark.long
def test_lists_of_rules() -> None:
    every = conforms("rules", _azready("check", "--list", "-o", "json"))["rules"]
    assert len(every) == len({rule["id"] for rule in every}) == len(RULES)
    (one,) = conforms("rules", _azready("check", "--explain", "n01", "-o", "json"))["rules"]
    assert one in every and one["severity"] == {"azure": "fatal"} and one["sources"][0]["url"].startswith("https://")
    sealing, more = (
        conforms("rules", _azready("generalize", "--list", *fix, "-o", "json")) for fix in ((), ("--fix",))
    )
    assert {rule["fixed_by"] for rule in sealing["rules"]} == {"azready generalize"}
    assert len(more["rules"]) > len(sealing["rules"])


@pytest.mark.long
def test_prepare_and_generalize(tmp_path: Path) -> None:
    good_image(tmp_path).write("usr/bin/curl", "", 0o755)
    assert conforms("prepare", _azready("prepare", tmp_path, "--dry-run", "-o", "json"))["actions"]
    conforms("generalize", _azready("generalize", tmp_path, "--dry-run", "-o", "json"))


@pytest.mark.long
def test_fabric_and_its_log_asked_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    served = _azready("fabric", "--deadline", "0.2", "--log", log, "-o", "json", "--imds-port", 0,
                      "--wireserver-port", 0, "--hostplugin-port", 0)  # fmt: skip
    assert conforms("fabric", served)["code"] == "OSProvisioningTimedOut"
    conforms("fabric-replay", _azready("fabric", "replay", log, "-o", "json"))


def test_two_boots_compared(tmp_path: Path) -> None:
    failed = replace(RECORD, checks=(Check("ssh login", "failed", "refused"),))
    for name, record in (("a", RECORD), ("b", failed)):
        (tmp_path / name).write_text(document([record]))
    assert conforms("timeline", _azready("timeline", tmp_path / "a", tmp_path / "b", "-o", "json"))["rows"]


def test_a_cell_of_a_matrix() -> None:
    verdict = Verdict("", 0.5, "")
    cell = matrix.Cell(scenario.load("incarnation-7"), matrix.guest("provision.py"), "ready", verdict, 1.0, 0)
    conforms("fabric-matrix", as_json({"cells": [fabric._cell(cell)]}))


def test_what_a_capture_made(capsys: pytest.CaptureFixture[str]) -> None:
    capture._render(Captured("/subscriptions/x", "V2", None, "one line"), keep=False, wanted={"json": None})
    assert conforms("capture", capsys.readouterr().out)["ready"] is None
