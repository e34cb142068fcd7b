"""Whether the tests of a part would notice a mistake in it: small random changes of its code, held to its own tests.

    python -m tests.mutants verdict --runs 60 --seed 1

Each change is made in a copy of the checkout, one at a time, and held to the tests that run its line, then to all of
the part. A change that no test notices is printed: either a test is missing, or the change makes no difference that
anybody could see.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.changes import Mutant, mutants
from tests.mutants.selection import Selection, measure, statement

TOP = Path(__file__).parents[2]
_COPIED = ("src", "tests", "pyproject.toml", "docs", "recipes", "scripts", "bench", "README.md")
_LONGEST = 600
"""Seconds that the tests of one change may take: it may make them hang, and is noticed then."""
_NEAR = 200
"""Tests that run a line which are asked first: a line that everything runs needs no more to show a change."""
_NOT_ASKED = (0, 4, 5)
"""How pytest ends where the tests passed, or where it cannot find one by its name: then all are asked."""
_PYTEST = (
    *(sys.executable, "-B", "-m", "pytest", "-x", "-q", "-n", "0", "-m", "not slow", "-p", "no:cacheprovider"),
    *("-o", "addopts="),
)


@dataclass(frozen=True)
class Part:
    """What is changed, below src/azready, and the tests that are held to notice it."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]


PARTS = {
    "protocol": Part(("fabric/protocol/*.py",), ("tests/fabric/protocol", "tests/fabric/test_fidelity.py")),
    "faults": Part(("fabric/faults.py",), ("tests/fabric/test_faults.py", "tests/fabric/test_scenario.py")),
    "verdict": Part(("fabric/verdict.py",), ("tests/fabric/test_verdict.py",)),
    "rules": Part(("image/rules/*.py",), ("tests/image/rules", "tests/image/test_check.py")),
    "decisions": Part(
        ("boot/diagnosis/*.py", "boot/waiting.py", "boot/compare.py", "boot/record.py"),
        (
            "tests/boot/test_decisions.py",
            "tests/boot/test_waiting.py",
            "tests/boot/test_timeline.py",
            "tests/boot/test_causes.py",
            "tests/boot/test_compare.py",
        ),
    ),
    "guest": Part(
        ("guest/provision.py",),
        tuple(f"tests/guest/test_{name}.py" for name in ("decisions", "parsers", "json", "medium", "run")),
    ),
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all of them where none is named")
    parser.add_argument("--runs", type=int, default=60, help="changes of each part")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(argv)
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: use one of {', '.join(PARTS)}")
    for name in chosen.parts or PARTS:
        _measure(name, PARTS[name], chosen.runs, chosen.seed)
    return 0


def _measure(name: str, part: Part, runs: int, seed: int) -> None:
    found = [mutant for pattern in part.sources for path in _files(pattern) for mutant in mutants(path)]
    picked = random.Random(seed).sample(found, min(runs, len(found)))
    survived = []
    with tempfile.TemporaryDirectory(prefix="azready-mutants-") as folder:
        copy = Path(folder)
        _copy(copy)
        folders = sorted({str(Path("src/azready", pattern).parent) for pattern in part.sources})
        if (selection := measure([*_PYTEST, *part.tests], copy, folders)) is None:
            sys.exit(f"{name}: its tests fail without any change: {' '.join(part.tests)}")
        for number, mutant in enumerate(picked, 1):
            if _survives(copy, part, selection, mutant):
                survived.append(mutant)
                print(f"  not noticed: {mutant.path.relative_to(TOP)}:{mutant.line}: {mutant.what}", flush=True)
            print(f"{name}: {number - len(survived)} of {number} noticed", end="\r", file=sys.stderr, flush=True)
    print(f"{name}: {len(picked) - len(survived)} of {len(picked)} changes noticed (seed {seed})", flush=True)


def _files(pattern: str) -> list[Path]:
    return sorted((TOP / "src/azready").glob(pattern))


def _copy(folder: Path) -> None:
    for name in _COPIED:
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(TOP / name, folder / name)


def _survives(copy: Path, part: Part, selection: Selection, mutant: Mutant) -> bool:
    path = mutant.path.relative_to(TOP)
    place = copy / path
    before = place.read_text()
    near = sorted(selection.of(str(path), statement(before, mutant.line)))[:_NEAR]
    place.write_text(mutant.text())
    try:
        return (not near or _status(copy, near) in _NOT_ASKED) and _status(copy, part.tests) == 0
    finally:
        place.write_text(before)


def _status(copy: Path, tests: Sequence[str]) -> int:
    """How pytest ends in the copy; bytecode of nobody used. Tests that hang have failed."""
    env = os.environ | {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run([*_PYTEST, *tests], cwd=copy, env=env, capture_output=True, check=False, timeout=_LONGEST)
    except subprocess.TimeoutExpired:
        return 1
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
