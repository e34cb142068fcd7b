"""Which tests run a line: asked once, so that each change is held to the few that could notice it."""

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from coverage import CoverageData

from tests.mutants.noted import noting


@dataclass(frozen=True)
class Selection:
    """By file, below the checkout, and line: the tests that ran it, and "" where it was run while tests were read."""

    tests: Mapping[str, Mapping[int, frozenset[str]]]
    seconds: Mapping[str, float]
    whole: float
    """Seconds that all tests took."""

    def of(self, path: str, lines: range) -> list[str]:
        """The tests that ran any of these lines, quick ones first."""
        return sorted(self._ran(path, lines) - {""}, key=lambda name: (self.seconds.get(name, 0.0), name))

    def is_known(self, path: str, lines: range) -> bool:
        """Whether the tests of `of` are all: what an import runs, or another process, any test may notice."""
        return bool(ran := self._ran(path, lines)) and "" not in ran

    def takes(self, tests: Iterable[str]) -> float:
        """The seconds that these took."""
        return sum(self.seconds.get(name, 0.0) for name in tests)

    def quickest(self, number: int) -> list[str]:
        """The names of so many tests that take the least time."""
        return sorted(self.seconds, key=lambda name: self.seconds[name])[:number]

    def _ran(self, path: str, lines: range) -> frozenset[str]:
        by_line = self.tests.get(path, {})
        return frozenset[str]().union(*(by_line.get(line, frozenset()) for line in lines))


def measure(
    argv: list[str], tests: tuple[str, ...], folder: Path, sources: list[str], program: str, env: Mapping[str, str]
) -> Selection | None:
    """Run pytest (`argv`) on `tests` in `folder` and note who runs what; None where a test fails.

    `program`: the file, below `folder`, that tests start as a program of its own, or nothing.
    """
    notes = folder / "notes"
    notes.mkdir()
    env = {**env, "COVERAGE_FILE": str(folder / ".coverage"), "COVERAGE_CORE": "ctrace", "MUTANTS_NOTES": str(notes)}
    before = (folder / program).read_text() if program else ""
    if program:
        (folder / program).write_text(noting(before, Path(program).name, notes))
    begun = time.monotonic()
    covered = ["--cov-context=test", "--cov-report=", *(f"--cov={source}" for source in sources)]
    _run([*argv, *tests, "-p", "tests.mutants.noted", *covered], folder, env)
    whole = time.monotonic() - begun
    if program:
        (folder / program).write_text(before)
    noted = json.loads(notes.with_suffix(".json").read_text())
    if failed := [name for name, each in noted.items() if each.get("failed")]:  # by being noted, or by themselves?
        done = _run([*argv, *failed], folder, env)
        if done.returncode != 0:
            print(done.stdout[-2000:], file=sys.stderr)
            return None
    ran = _read(CoverageData(str(folder / ".coverage")), folder)
    of_program = ran.setdefault(program, {})
    for name, each in noted.items():
        for line in each["lines"]:
            of_program[line] = of_program.get(line, frozenset()) | {name}
    return Selection(ran, {name: each.get("seconds", 0.0) for name, each in noted.items()}, whole)


def _run(argv: list[str], folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)


def _read(data: CoverageData, folder: Path) -> dict[str, dict[int, frozenset[str]]]:
    data.read()
    found = {}
    for name in data.measured_files():
        by_line = data.contexts_by_lineno(name)
        found[os.path.relpath(name, folder)] = {
            line: frozenset(context.rpartition("|")[0] for context in contexts) for line, contexts in by_line.items()
        }
    return found


def statement(text: str, line: int) -> range:
    """The lines of the innermost statement that `line` belongs to: of a compound one only its head."""
    best = range(line, line + 1)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno):
            body = getattr(node, "body", None)
            end = body[0].lineno if body else (node.end_lineno or node.lineno) + 1
            if line < max(end, node.lineno + 1):
                best = range(node.lineno, max(end, node.lineno + 1))
    return best


def is_within_a_function(text: str, line: int) -> bool:
    """What is outside of all runs when a test reads the file first, and each that comes later may notice it."""
    return any(
        isinstance(node, ast.FunctionDef) and node.body[0].lineno <= line <= (node.end_lineno or 0)
        for node in ast.walk(ast.parse(text))
    )
