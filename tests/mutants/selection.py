"""Which tests run a line: asked once, so that each change is first held to the few that could notice it."""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coverage import CoverageData


@dataclass(frozen=True)
class Selection:
    """By file, below the checkout, and line: the tests that ran it while they ran, not only while it was imported."""

    tests: Mapping[str, Mapping[int, frozenset[str]]]

    def of(self, path: str, lines: range) -> frozenset[str]:
        """The tests that ran any of these lines; none where it was run by another process, or by the import alone."""
        by_line = self.tests.get(path, {})
        return frozenset[str]().union(*(by_line.get(line, frozenset()) for line in lines))


def measure(argv: list[str], folder: Path, sources: list[str]) -> Selection | None:
    """Run pytest (`argv`) in `folder` and note who runs what; None where a test fails."""
    data = folder / ".coverage"
    words = ["--cov-context=test", "--cov-report=", *(f"--cov={source}" for source in sources)]
    env = os.environ | {"PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1", "COVERAGE_FILE": str(data)}
    env |= {"COVERAGE_CORE": "ctrace"}
    done = subprocess.run([*argv, *words], cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout[-2000:], file=sys.stderr)
        return None
    return _read(CoverageData(str(data)), folder)


def _read(data: CoverageData, folder: Path) -> Selection:
    data.read()
    found = {}
    for name in data.measured_files():
        by_line = data.contexts_by_lineno(name)
        found[os.path.relpath(name, folder)] = {
            line: frozenset(context.rpartition("|")[0] for context in contexts if context)
            for line, contexts in by_line.items()
        }
    return Selection(found)


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
