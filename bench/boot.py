"""`python -m bench.boot`: how long after the system is up does the platform hear Ready (R8, R9)?

Boots one prepared Debian tree several times in a container with its own systemd. Both figures are ratios of times of
one and the same boot, or nearly: a slow machine slows both sides.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from azready.pipelines import trees
from bench.__main__ import KEY, show
from bench.lab import INSIDE, LAUNCH, Lab, debian, reexec, run
from bench.table import Row

BOOTS = 7


def main() -> int:
    if os.environ.get(INSIDE) == "1":
        return _print_wall(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        trees.unpack(trees.tree("bookworm", ("python3-minimal",)), tree)
        try:
            _azready("prepare", str(tree))
            machine = Path(folder) / "machine.toml"
            machine.write_text(f'name = "vm1"\npublic_keys = ["{KEY}"]\n')
            marks = [_boot(tree, machine) for _ in range(BOOTS)]
            twice = [_two_boots(tree, machine) for _ in range(BOOTS // 2)]
        finally:
            trees.remove(tree)
        debian("bookworm")
        wall_file = Path(folder) / "wall"
        reexec("bench.boot", str(wall_file))
        wall = float(wall_file.read_text())
    ready = [mark["ready"] / mark["basic.target"] for mark in marks]
    after = median(mark["ready"] - mark["imds"] for mark in marks)
    spread = f"{min(ready):.2f} to {max(ready):.2f} in {BOOTS} boots"
    return show(
        "boot",
        [
            Row("R8", "boot: Ready / basic.target", median(ready), 1.25, 3.0, spread),
            Row("R9", "boot: from IMDS's answer to Ready / whole run outside a boot", after / wall, 4.0, 8.0,
                f"{after * 1000:.0f} ms / {wall * 1000:.0f} ms"),
            Row("T1", "boot TREE, two boots with login: seconds", median(twice), 1.2, 20.0, f"{len(twice)} runs, here"),
        ]
    )  # fmt: skip


def _azready(*words: str) -> str:
    return subprocess.run([sys.executable, "-m", "azready", *words], check=True, capture_output=True, text=True).stdout


def _boot(tree: Path, machine: Path) -> dict[str, float]:
    """One first boot; the times of its milestones in seconds since init started."""
    options = ["--machine", str(machine), "--boots", "1", "--no-ssh-check", "--output", "json"]
    boots = json.loads(_azready("boot", str(tree), *options))["boots"]
    return {mark["name"]: mark["at"] for mark in boots[0]["milestones"]}


def _two_boots(tree: Path, machine: Path) -> float:
    """Wall seconds of the whole command: both boots, and the owner's login in each."""
    started = time.perf_counter()
    _azready("boot", str(tree), "--machine", str(machine))
    return time.perf_counter() - started


def _print_wall(target: Path) -> int:
    """Inside the lab: the median wall time of the whole run on a system that does nothing else."""
    with Lab() as lab:
        walls = []
        for _ in range(BOOTS):
            with lab.tree(debian("bookworm")) as root:
                lab.install(root)
                walls.append(run(root, LAUNCH).wall)
    target.write_text(str(median(walls)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
