"""What each rule says of each image that breaks it: its words, place, severity and fix, as users read them; and what
its repair does there, line by line.

`findings.txt` is read by people: a change of it is a change of what users read. `pytest tests/image/rules --approve`
writes it anew; look at the difference before it is committed.
"""

from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import pytest

from azready.image.actions import Write
from azready.image.checking import Answer, Found, Skipped, Unseen, ask
from azready.image.facts import Facts
from azready.image.rules import RULES
from azready.image.rules.model import Rule
from azready.image.targets.tree import Tree
from tests.image.rules.cases import CASES, Case
from tests.image.sample import good_image

APPROVED = Path(__file__).with_name("findings.txt")


def _sections() -> dict[str, str]:
    """The file's text by rule."""
    parts = APPROVED.read_text().split("\n# ") if APPROVED.exists() else []
    return {id: text for part in parts[1:] for id, _, text in [part.partition("\n")]}


def _said(rule: Rule, folder: Path) -> str:
    """The answers to all cases of a rule, a block each."""
    return "\n".join(_block(*each) for each in _answers(rule, folder))


def _answers(rule: Rule, folder: Path) -> Iterator[tuple[str, Answer, list[str]]]:
    case = CASES.get(rule.id, Case())
    for number, change in enumerate(case.bad):
        (place := folder / str(number)).mkdir()
        sample = good_image(place)
        case.base(sample)
        change(sample)
        facts = Facts(Tree(sample.root))
        yield f"image {number}", (answer := ask(rule, facts)), list(_done(rule, facts, answer))
    plain = good_image(folder)
    for number, disk in enumerate(case.bad_disks):
        yield f"disk {number}", ask(rule, Facts(Tree(plain.root), disk=disk)), []


def _done(rule: Rule, facts: Facts, answer: Answer) -> Iterator[str]:
    """What the repair does, and which lines of a file it changes."""
    if rule.repair is None or not isinstance(answer, Found):
        return
    for action in rule.repair(facts, answer.findings):
        yield f"    does: {action.describe()}"
        if isinstance(action, Write):
            before = facts.files.read_bytes(action.path) if facts.files.exists(action.path) else b""
            texts = (data.decode("utf-8", "replace").splitlines() for data in (before, action.data))
            changed = [line for line in unified_diff(*texts, n=0) if not line.startswith(("---", "+++", "@@"))]
            yield from (f"        {line}".rstrip() for line in changed)


def _block(name: str, answer: Answer, done: list[str]) -> str:
    match answer:
        case Found(findings):
            lines = []
            for each in findings:
                severity = f" ({each.severity.word})" if each.severity else ""
                hand = ", by hand" if each.by_hand else ""
                lines.append(f"    {each.where or '-'}: {each.what}{severity}")
                lines += [f"        fix{hand}: {each.fix}".rstrip()] if each.fix or hand else []
        case Skipped(reason) | Unseen(reason):
            lines = [f"    {type(answer).__name__}: {reason}"]
        case _:
            lines = ["    passed"]
    return "\n".join([f"  {name}", *lines, *done])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_findings_are_said_in_the_approved_words(rule: Rule, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    said = _said(rule, tmp_path).replace(str(tmp_path), "…")
    if pytestconfig.getoption("--approve"):
        _approve(rule.id, said)
    assert said == _sections().get(rule.id, "").rstrip("\n")


def _approve(id: str, said: str) -> None:
    """One process at a time: `-n 0`."""
    texts = {**_sections(), id: said}
    blocks = [f"# {each.id}\n{texts[each.id].rstrip()}\n" for each in RULES if each.id in texts]
    APPROVED.write_text("What the rules say of the cases of cases.py; see test_findings.py.\n\n" + "\n".join(blocks))
