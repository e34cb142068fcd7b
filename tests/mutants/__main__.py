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
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.asking import Asking
from tests.mutants.changes import Mutant, mutants
from tests.mutants.selection import Selection, is_within_a_function, measure, statement

TOP = Path(__file__).parents[2]
_COPIED = ("src", "tests", "pyproject.toml", "docs", "recipes", "scripts", "bench", "README.md")
_LONGEST, _TIMES = 60, 5
"""A change may make its tests hang, and is noticed then: after so many seconds, and so many times what they took."""
_MEMORY = Path("/dev/shm")
"""Where the copy lies and tests make their trees: no disk waits for what the next change makes anew."""
_NEAR = 200
"""Tests that run a line which are asked first: a line that everything runs needs no more to show a change."""
_NOT_ASKED = (0, 4, 5)
"""How pytest ends where the tests passed, or where it cannot find one by its name."""
_WORDS = ("-q", "-n", "0", "-m", "not slow", "-p", "no:cacheprovider", "-o", "addopts=")


@dataclass(frozen=True)
class Part:
    """What is changed, below src/azready, and the tests that are held to notice it."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]
    program: str = ""
    """The source that tests start as a program of its own."""


_OF_THE_GUEST = (
    "access access_bounds again bounds decisions files grow json medium outcomes pam parsers programs requests run "
    "ssh_steps steps story verbs waiting words"
)
"""What runs in-process, or on a scratch tree: all but containers, real trees and what traces the program."""

PARTS = {
    "protocol": Part(("fabric/protocol/*.py",), ("tests/fabric/protocol", "tests/fabric/test_fidelity.py")),
    "faults": Part(("fabric/faults.py",), ("tests/fabric/test_faults.py", "tests/fabric/test_scenario.py")),
    "verdict": Part(("fabric/verdict.py",), ("tests/fabric/test_verdict.py",)),
    "rules": Part(
        ("image/rules/*.py",),
        (
            "tests/image/rules",
            "tests/image/test_check.py",
            "tests/image/test_boot_chain.py",
            "tests/image/network/test_macs.py",
        ),
    ),
    "decisions": Part(
        ("boot/diagnosis/*.py", "boot/waiting.py", "boot/compare.py", "boot/record.py"),
        (
            "tests/boot/test_decisions.py",
            "tests/boot/test_waiting.py",
            "tests/boot/test_timeline.py",
            "tests/boot/test_causes.py",
            "tests/boot/test_compare.py",
            "tests/boot/test_record.py",
        ),
    ),
    "guest": Part(
        ("guest/provision.py",),
        (
            *(f"tests/guest/test_{name}.py" for name in _OF_THE_GUEST.split()),
            "tests/guest/test_units.py::test_the_settings_are_those_of_the_program",
            "tests/guest/test_units.py::test_the_places_are_those_of_the_program",
            "tests/guest/test_units.py::test_the_drop_in_of_the_image_is_the_one_that_the_program_writes",
            "tests/contract/test_contract.py::test_both_say_the_same",
            "tests/contract/test_contract.py::test_python",
        ),
        "src/azready/guest/provision.py",
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
    with tempfile.TemporaryDirectory(prefix="azready-mutants-", dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        copy = Path(folder)
        _copy(copy)
        found = [m for pattern in part.sources for path in _files(copy, pattern) for m in mutants(path)]
        picked = random.Random(seed).sample(found, min(runs, len(found)))
        survived = []
        folders = sorted({str(Path("src/azready", pattern).parent) for pattern in part.sources})
        argv = [sys.executable, "-m", "pytest", *_WORDS]
        if (selection := measure(argv, part.tests, copy, folders, part.program, _environment(copy))) is None:
            sys.exit(f"{name}: its tests fail without any change: {' '.join(part.tests)}")
        asking = Asking(copy, _environment(copy))
        asking.warm([*_WORDS, *part.tests])
        if asking.status([*_WORDS, *selection.quickest(20)], _LONGEST) != 0:
            sys.exit(f"{name}: its tests fail in a fork without any change")
        for number, mutant in enumerate(picked, 1):
            if _survives(asking, part, selection, mutant):
                survived.append(mutant)
                print(f"  not noticed: {mutant.path.relative_to(copy)}:{mutant.line}: {mutant.what}", flush=True)
            print(f"{name}: {number - len(survived)} of {number} noticed", end="\r", file=sys.stderr, flush=True)
    print(f"{name}: {len(picked) - len(survived)} of {len(picked)} changes noticed (seed {seed})", flush=True)


def _environment(copy: Path) -> dict[str, str]:
    """Modules are those of the copy, and their bytecode is kept beside them; of Pythons, those of PATH."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return env | {
        "PYTHONPATH": str(copy / "src"),
        "PYTHONPYCACHEPREFIX": str(copy / "bytecode"),
        "PYENV_ROOT": str(copy),
        "TMPDIR": str(copy / "tmp"),
    }


def _files(copy: Path, pattern: str) -> list[Path]:
    return sorted((copy / "src/azready").glob(pattern))


def _copy(folder: Path) -> None:
    folder.chmod(0o755)
    (folder / "tmp").mkdir()
    for name in _COPIED:
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(TOP / name, folder / name)


def _survives(asking: Asking, part: Part, selection: Selection, mutant: Mutant) -> bool:
    place = mutant.path
    path, before, times = place.relative_to(asking.copy), place.read_text(), place.stat()
    lines = statement(before, mutant.line)
    near = selection.of(str(path), lines)
    place.write_text(mutant.text())
    os.utime(place, (times.st_atime, times.st_mtime + 60))  # or bytecode of the same second and size would be run
    try:
        if near and _notices(asking, selection, near[:_NEAR]):
            return False
        known = selection.is_known(str(path), lines) and is_within_a_function(before, mutant.line)
        rest = near[_NEAR:] if known else part.tests
        return not rest or not _notices(asking, selection, rest)
    finally:
        place.write_text(before)
        os.utime(place, (times.st_atime, times.st_mtime))


def _notices(asking: Asking, selection: Selection, tests: Sequence[str]) -> bool:
    took = selection.takes(tests) if set(tests) <= set(selection.seconds) else selection.whole
    return asking.status([*_WORDS, "-x", *tests], _LONGEST + _TIMES * took) not in _NOT_ASKED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
