"""The linters are tests, so that one command runs everything."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _passes(*argv: str) -> None:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    _passes(sys.executable, "-m", "ruff", "check", ".")


def test_ruff_would_format_nothing() -> None:
    _passes(sys.executable, "-m", "ruff", "format", "--check", ".")


@pytest.mark.long
def test_mypy_strict_finds_nothing() -> None:
    _passes(sys.executable, "-m", "mypy")


@pytest.mark.long
def test_shellcheck_finds_nothing(need: Callable[..., None]) -> None:
    need("tool:shellcheck")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    scripts = [name for name in listed.stdout.splitlines() if _is_shell(ROOT / name)]
    assert scripts
    _passes("shellcheck", *scripts)


def _is_shell(path: Path) -> bool:
    if path.suffix == ".sh":
        return True
    if path.suffix or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline().rstrip() in (b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash")
