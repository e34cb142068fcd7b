"""A fix that is a command is run as it is printed, on an image with the fault: the finding is gone."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from azready.cli import generalize, prepare
from azready.image.checking import Found, ask
from azready.image.facts import Facts
from azready.image.rules import RULES
from azready.image.targets.tree import Tree
from tests.image.rules.cases import CASES
from tests.image.sample import good_image

_COMMAND = re.compile(
    r"azready generalize( --fix| --user \w+)?(?! --)|azready prepare( --grow| --guest sh)?|touch /\S+|"
    r"chmod \d+ /\S+|passwd -l \w+|systemctl \w+ [\w@.-]+( && systemctl \w+ [\w@.-]+)?"
)
_BY_ID = {rule.id: rule for rule in RULES}
_OF_FINDINGS = ("A01", "A02", "A05", "A09", "A10", "B12", "D09", "P22", "S01", "S07", "P19")
"""Rules that print a command for what they find, and not for every image."""


def _printed(root: Path, id: str) -> list[str]:
    answer = ask(_BY_ID[id], Facts(Tree(root)))
    if not isinstance(answer, Found):
        return []
    texts = [each.fix or _BY_ID[id].fix for each in answer.findings]
    return [found[0] for text in dict.fromkeys(texts) if (found := _COMMAND.match(text))]


def _run(command: str, root: Path) -> None:
    """As printed, but for the target: the tree's path stands where the command names none, and before its paths."""
    if command.startswith("azready"):
        app = typer.Typer()
        verb, *words = shlex.split(command)[1:]
        {"generalize": generalize, "prepare": prepare}[verb].register(app)
        done = CliRunner().invoke(app, [*words, str(root), *(["--yes"] if verb == "generalize" else [])])
        assert (done.exit_code in (0, 1) and not done.exception) or isinstance(done.exception, SystemExit), done
        return
    for part in command.split(" && "):
        words = [f"{root}{word}" if word.startswith("/") else word for word in shlex.split(part)]
        if words[0] == "passwd":
            words[1:1] = ["-R", str(root)]
        if words[0] == "systemctl":
            words.insert(1, f"--root={root}")
        subprocess.run(words, check=True)


_ELSEWHERE = {"P04"}
"""The removal of packages takes their real manager: tests/image/test_removal.py."""


def _commanding() -> list[str]:
    return sorted(({rule.id for rule in RULES if _COMMAND.match(rule.fix)} | set(_OF_FINDINGS)) - _ELSEWHERE)


@pytest.mark.long
@pytest.mark.parametrize("id", _commanding())
def test_a_fix_does_what_it_says(id: str, tmp_path: Path, need: Callable[..., None]) -> None:
    need("root")
    ran = 0
    for number, bad in enumerate(dict.fromkeys((*CASES[id].bad[:1], *CASES[id].bad[-2:]))):
        root = tmp_path / str(number)
        root.mkdir()
        sample = good_image(root).write("usr/bin/curl", "", 0o755)
        for folder in ("proc", "sys", "dev", "run", "tmp"):
            (root / folder).mkdir(exist_ok=True)
        CASES[id].base(sample)
        bad(sample)
        commands = _printed(root, id)
        for command in commands:
            _run(command, root)
        assert not set(_printed(root, id)) & set(commands), (number, commands)
        ran += len(commands)
    assert ran, "no image of the cases asks for the command"
