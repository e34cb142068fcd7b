"""The last line of a run is honest: every skipped test counts, with what would bring it."""

import ast
import re
from pathlib import Path

from tests.left_out import summary

TESTS = Path(__file__).parents[1]
SKIPPING = ("pytest.skip", "pytest.mark.skip", "pytest.mark.skipif")
READS = re.compile("needs [^:]+: .+|elsewhere: .+")


def test_what_one_remedy_brings_is_told_once() -> None:
    reasons = ["Skipped: needs qemu-img: make setup, as root", "Skipped: needs sfdisk: make setup, as root"]
    reasons += ["Skipped: needs root: sudo make test"] * 3
    assert summary(reasons) == "Left out: 2 (qemu-img, sfdisk): make setup, as root; 3 (root): sudo make test"


def test_a_reason_without_a_remedy_is_shown_as_it_is() -> None:
    assert summary(["Skipped: the moon is full"]) == "Left out: 1 (the moon is full): see the reasons above"


def test_what_another_test_shows_is_not_left_out() -> None:
    assert summary(["Skipped: elsewhere: root runs it in a namespace"]) == ""


def test_each_reason_to_skip_says_what_would_bring_the_test() -> None:
    texts = {path: path.read_text() for path in TESTS.rglob("*.py")}
    told = [(str(path), reason) for path, text in texts.items() if "skip" in text for reason in _reasons(text)]
    assert len(told) > 30
    assert [each for each in told if not READS.fullmatch(each[1])] == []


def test_a_reason_of_another_form_is_seen() -> None:
    source = 'pytest.skip("dark")\npytest.skip(f"needs {x}")\npytest.mark.skipif(True, reason="no moon")\n'
    assert [READS.fullmatch(each) for each in _reasons(source)] == [None] * 3


def _reasons(source: str) -> list[str]:
    """Why tests of a file are skipped, with an x for what is known only then; not those that have a name."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    found = [
        value
        for call in calls
        if ast.unparse(call.func) in SKIPPING
        for value in (*call.args, *(key.value for key in call.keywords))
    ]
    return [text for text in map(_text, found) if text]


def _text(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(part.value if isinstance(part, ast.Constant) else "x" for part in parts)
    return ""
