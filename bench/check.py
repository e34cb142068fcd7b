"""`python -m bench.check`: what checking a tree costs, as ratios measured interleaved in one run.

The tree is a Debian with kernel, initramfs and boot loader (some 600 MB), in the page cache. Beside it run: the command
that asks one small rule (what Python and the command line cost); `find`, which only walks the tree; and virt-inspector
on a disk made of it, where that is installed (it says what is in an image, not whether Azure will take it: the nearest
thing there is). CPU is user + system of the program and its children: it bears a busy machine, wall time does not.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from azready.console import Console
from azready.pipelines import trees
from bench.__main__ import show
from bench.table import Row

PACKAGES = ("linux-image-amd64", "udev", "zstd", "chrony", "grub-efi-amd64")
ROUNDS = 7


def _costs(argv: Sequence[str | Path]) -> tuple[float, float]:
    """Wall and CPU seconds of one run."""
    started = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def _competitors(tree: Path, scratch: Path) -> dict[str, list[str | Path]]:
    azready = [sys.executable, "-m", "azready", "check", tree]
    found: dict[str, list[str | Path]] = {
        "azready check TREE": azready,
        "azready check TREE --only K15": [*azready, "--only", "K15"],
        "find TREE -xdev": ["find", tree, "-xdev"],
    }
    if shutil.which("virt-inspector") and shutil.which("virt-make-fs"):
        disk = scratch / "disk.raw"
        subprocess.run(["virt-make-fs", "--type=ext4", "--size=+200M", tree, disk], check=True)
        found["virt-inspector DISK"] = ["virt-inspector", "-a", disk]
    return found


def main() -> int:
    tree = trees.unpacked("bookworm", PACKAGES, console=Console())
    with tempfile.TemporaryDirectory(prefix="azready-bench-") as name:
        competitors = _competitors(tree, Path(name))
        costs: dict[str, list[tuple[float, float]]] = {title: [] for title in competitors}
        for _ in range(ROUNDS):
            for title, argv in competitors.items():
                costs[title].append(_costs(argv))
    cpu = {title: median(each for _, each in values) for title, values in costs.items()}
    own, small, find, *others = cpu
    return show(
        "check",
        [
            Row("C1", "check of a tree with a kernel: seconds of CPU", cpu[own], 0.35, 4.0, f"{ROUNDS} runs, here"),
            Row("C2", "... / asking one small rule", cpu[own] / cpu[small], 2.0, 4.0, f"{cpu[small]:.2f} s"),
            Row("C3", "... / find, which only walks the tree", cpu[own] / cpu[find], note=f"{cpu[find]:.3f} s"),
            *(Row("", f"... / {other}", cpu[own] / cpu[other], note=f"{cpu[other]:.2f} s") for other in others),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
