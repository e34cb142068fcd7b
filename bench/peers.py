"""`python -m bench.peers`: how long until Ready, and until the owner can log in, beside cloud-init (R10, R11)?

Both are Debian 12 trees in containers, booted one after the other in each round, so that what else the machine does
meets both. A login is seen from outside, over ssh, once the boot is complete. cloud-init says Ready before it has made
the user; the login tells.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from azready.boot.container.tree import boot_tree
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.fabric import Machine
from azready.pipelines import trees
from bench.__main__ import show
from bench.table import Row

OURS, THEIRS = ("python3-minimal",), ("cloud-init",)
ROUNDS = 5


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="azready-bench-") as folder:
        tree = Path(folder) / "tree"
        trees.unpack(trees.tree("bookworm", OURS), tree)
        try:
            subprocess.run([sys.executable, "-m", "azready", "prepare", tree], check=True, capture_output=True)
            theirs = trees.unpacked("bookworm", THEIRS)
            pairs = [(_boot(tree), _boot(theirs)) for _ in range(ROUNDS)]
        finally:
            trees.remove(tree)
    return show(
        "peers",
        [
            _row("R10", "boot: login / cloud-init's", [login(a) / login(b) for a, b in pairs], 0.08, 0.33),
            _row("R11", "boot: Ready / cloud-init's", [at(a, "ready") / at(b, "ready") for a, b in pairs], 0.9, 1.1),
        ],
    )


def _boot(tree: Path) -> BootRecord:
    (record,) = boot_tree(tree, Machine(name="bench"), Plan(boots=1, deadline=100.0))
    if not record.passed:
        raise SystemExit(f"{tree}: {record.headline}: {record.checks}")
    return record


def at(record: BootRecord, milestone: str) -> float:
    found = record.milestone(milestone)
    if found is None:
        raise SystemExit(f"{record.target} never reached {milestone}")
    return found


def login(record: BootRecord) -> float:
    return next(check.at for check in record.checks if check.name == "ssh login" and check.at is not None)


def _row(name: str, what: str, ratios: Sequence[float], goal: float, fail: float) -> Row:
    spread = f"{len(ratios)} boots: {min(ratios):.2f} to {max(ratios):.2f}"
    return Row(name, what, median(ratios), goal, fail, spread)


if __name__ == "__main__":
    sys.exit(main())
