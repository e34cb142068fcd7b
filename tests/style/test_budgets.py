"""The tail is what makes a codebase hard: nothing long, nothing that decides much, unless listed with its reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.style.modules import SOURCE, parsed

FUNCTION_LINES = 60
MODULE_LINES = 450
LONG_MODULES = {
    "guest/provision.py": "one file by design: it is copied into images as it is",
}
DECISIONS = 15
"""Of a function: branches, loops, cases, handlers, conditional expressions, `and`, `or`, and the parts of
comprehensions. ruff's C901 counts less: no `and`, no conditional expression."""
MANY_DECISIONS = {
    "boot/qemu/trial.py:_listened": "a loop by the clock: what ends it stands together",
    "cli/survey.py:survey": "a command: one refusal after another",
    "cli/values.py:plain": "a case for each type",
    "image/apply.py:_change": "a case for each action",
    "image/facts/grub.py:read_menu": "a case for each command of GRUB's language, over one state",
    "image/targets/disk.py:cannot_mount": "a list of reasons, each for itself",
}
PARAMETERS = 6
MANY_PARAMETERS = {
    "azure/requests/disks.py:create_upload_disk": "a field of Azure's document each",
    "azure/requests/images.py:create_version": "a field of Azure's document each",
    "boot/qemu/command.py:command": "what is plugged into the machine, each by its name",
    "boot/qemu/disk.py:_started": "what a start of QEMU needs",
    "boot/qemu/disk.py:boot_disk": "most have a default",
    "cli/azure_options.py:open_state": "what tells one run from another",
    "cli/convert.py:convert": "a command's options",
    "cli/diagnose.py:diagnose": "a command's options",
    "cli/fabric.py:matrix": "a command's options",
    "cli/survey.py:survey": "a command's options",
    "fabric/serve/live.py:__init__": "most have a default",
    "fabric/serve/trials.py:_run_one": "what one trial is made of",
    "image/conversion.py:convert": "most have a default",
    "image/facts/kernels.py:_kernel": "a fact each",
    "image/rules/model.py:rule": "what a rule says of itself, each by its name",
    "image/targets/image_programs.py:run_in": "most have a default where it is called from",
    "image/targets/rehearsal.py:_put": "what a file is",
    "pipelines/bootdisk.py:boot": "most have a default",
    "proc.py:run": "most have a default",
}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_long_function_and_no_long_module(path: Path) -> None:
    if str(path.relative_to(SOURCE)) not in LONG_MODULES:
        assert len(path.read_text().splitlines()) <= MODULE_LINES
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{node.name} has {length} lines"


def test_no_function_decides_too_much() -> None:
    assert {name for name, node in _functions() if _decisions(node) > DECISIONS} == {*MANY_DECISIONS}


def test_no_function_takes_too_much() -> None:
    assert {name for name, node in _functions() if _parameters(node) > PARAMETERS} == {*MANY_PARAMETERS}


def test_decisions_are_counted() -> None:
    text = "def f(a):\n if a and a > 1 or not a:\n  return [x for x in a if x] if a else 0\n def g():\n  if a: pass\n"
    (outer,) = ast.parse(text).body
    assert isinstance(outer, ast.FunctionDef)
    assert _decisions(outer) == 1 + 3 + 1 + 2


def _functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Those of the host side; the guest is one file, and has measures of its own."""
    for path in SOURCE.rglob("*.py"):
        if path.relative_to(SOURCE).parts[0] != "guest":
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{path.relative_to(SOURCE)}:{node.name}", node


def _decisions(function: ast.AST) -> int:
    return 1 + sum(_adds(node) for node in _own(function))


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """What is below a function, without the functions in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child
            yield from _own(child)


def _adds(node: ast.AST) -> int:
    match node:
        case ast.If() | ast.IfExp() | ast.For() | ast.AsyncFor() | ast.While() | ast.ExceptHandler() | ast.match_case():
            return 1
        case ast.comprehension(ifs=conditions):
            return 1 + len(conditions)
        case ast.BoolOp(values=values):
            return len(values) - 1
    return 0


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    more = [each for each in (given.vararg, given.kwarg) if each]
    return len(names) + len(more) - (names[:1] in (["self"], ["cls"]))
