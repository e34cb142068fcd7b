"""What README and docs/ print can be typed: blocks are run, options exist, files are what they are said to be."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hcl2  # type: ignore[import-untyped]
import pytest
import yaml

from tests.cli.test_common import EVERY
from tests.docs.pages import PAGES, ROOT, Block, azready_commands, blocks

BLOCKS = [block for page in PAGES for block in blocks(page)]
RUNNABLE = ("console", "sh", "python")
READ: dict[str, Callable[[str], Any]] = {"toml": tomllib.loads, "yaml": yaml.safe_load, "hcl": hcl2.loads}
SHOWN_ONLY = ("text", "ini", "bicep")
MARK = re.compile(r"run(, exit code \d)?|file [\w.-]+|shown by( tests/[\w/]+\.py::\w+)+|not run: .{10,}")


def _id(each: Block | Path) -> str:
    return each.name


@pytest.mark.parametrize("block", BLOCKS, ids=_id)
def test_every_block_is_run_read_or_says_why_not(block: Block) -> None:
    assert block.language in (*RUNNABLE, *READ, *SHOWN_ONLY), "name the language: console, sh, python, toml, text …"
    if block.language in READ:
        READ[block.language](block.body)
    if block.language in RUNNABLE:
        assert MARK.fullmatch(block.mark), "put a mark above it: see tests/docs/pages.py"
    for test in re.findall(r"tests/\S+", block.mark):
        file, _, name = test.partition("::")
        tests = ast.walk(ast.parse((ROOT / file).read_text()))
        assert name in {each.name for each in tests if isinstance(each, ast.FunctionDef)}, test


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_no_command_hides_outside_of_blocks(page: Path) -> None:
    assert not re.findall(r"(?:^|\n)\n(?: {4}(?:\$ |azready |sudo |make |/)[^\n]*)", page.read_text())


@pytest.mark.long
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(each.mark[:3] == "run" for each in blocks(page))], ids=_id
)
def test_the_blocks_of_a_page_run_as_printed(page: Path, tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:unshare", "tool:qemu-img")
    for block in blocks(page):
        if block.mark.startswith("file "):
            (tmp_path / block.mark.removeprefix("file ")).write_text(block.body)
        elif block.mark.startswith("run"):
            _run(block, tmp_path)


def _run(block: Block, folder: Path) -> None:
    program = [sys.executable, "-c"] if block.language == "python" else ["sh", "-euc"]
    done = subprocess.run(
        [*program, block.commands],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    wanted = int(block.mark[-1]) if "exit code" in block.mark else 0
    said = done.stdout + done.stderr
    assert done.returncode == wanted, f"{block.name}: {said}"
    assert {_timeless(line) for line in block.shown} <= {_timeless(line) for line in said.splitlines()}, said


def _timeless(line: str) -> str:
    return re.sub(r"\d+\.\d+", "T", line).strip()


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_command_has_a_verb_and_options_that_there_are(page: Path) -> None:
    known = {
        name: {option for param in each.params for option in (*param.opts, *param.secondary_opts)}
        for name, each in EVERY
    }
    for words in azready_commands(page):
        verb = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        assert verb in known, f"there is no verb: azready {' '.join(words)}"
        said = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert said <= known[verb] | {"-h", "--help"}, f"azready {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_target_of_make_is_one(page: Path) -> None:
    there = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"`make ([\w-]+)", page.read_text())) | {
        target for block in blocks(page) for target in re.findall(r"^(?:\$ )?make ([\w-]+)", block.body, re.M)
    }
    assert named <= there, named - there
