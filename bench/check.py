"""`python -m bench.check`: what checking a tree costs, as ratios measured interleaved in one run.

The tree is a Debian with kernel, initramfs and boot loader (some 600 MB), in the page cache. Beside it run: the command
that asks one small rule (what Python and the command line cost); `azready --help`; `find`, which only walks the tree;
`zstd`, which only unpacks the initramfs, where the driver of Azure's disk must be; and virt-inspector on a disk made of
it, where that is installed (it says what is in an image, not whether Azure will take it: the nearest thing there is).
CPU is user + system of the program and its children: it bears a busy machine, wall time does not. azready has its
bytecode, as pip installs it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from azready.console import Console
from azready.pipelines import trees
from bench.__main__ import show
from bench.table import Row

PACKAGES = ("linux-image-amd64", "udev", "zstd", "chrony", "grub-efi-amd64")
ROUNDS = 7


def _cpu(argv: Sequence[str | Path], bytecode: Path) -> float:
    """Seconds of CPU of one run, of all its processes."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_utime + usage.ru_stime


def _competitors(tree: Path, scratch: Path) -> dict[str, list[str | Path]]:
    azready = [sys.executable, "-m", "azready"]
    found: dict[str, list[str | Path]] = {
        "azready check TREE": [*azready, "check", tree],
        "azready check TREE --only K15": [*azready, "check", tree, "--only", "K15"],
        "azready --help": [*azready, "--help"],
        "find TREE -xdev": ["find", tree, "-xdev"],
        "zstd -dc INITRD": ["zstd", "-dc", *tree.glob("boot/initrd.img-*")],
    }
    if shutil.which("virt-inspector") and shutil.which("virt-make-fs"):
        disk = scratch / "disk.raw"
        subprocess.run(["virt-make-fs", "--type=ext4", "--size=+200M", tree, disk], check=True)
        found["virt-inspector DISK"] = ["virt-inspector", "-a", disk]
    return found


def main() -> int:
    tree = trees.unpacked("bookworm", PACKAGES, console=Console())
    with tempfile.TemporaryDirectory(prefix="azready-bench-") as name:
        scratch = Path(name)
        competitors = _competitors(tree, scratch)
        costs: dict[str, list[float]] = {title: [] for title in competitors}
        for _ in range(1 + ROUNDS):  # the first writes the bytecode and fills the page cache
            for title, argv in competitors.items():
                costs[title].append(_cpu(argv, scratch / "bytecode"))
    own, small, help_, find, unpack, *_ = cpu = {title: median(values[1:]) for title, values in costs.items()}
    least = cpu[find] + cpu[unpack]
    parts = f"{cpu[find]:.3f} s + {cpu[unpack]:.3f} s"
    return show(
        "check",
        [
            Row("C1", "check of a tree with a kernel: seconds of CPU", cpu[own], 0.35, 4.0, f"{ROUNDS} runs, here"),
            Row("C2", "... / asking one small rule", cpu[own] / cpu[small], note=f"{cpu[small]:.2f} s"),
            Row("C3", "... / find, and zstd unpacking the initramfs", cpu[own] / least, note=parts),
            Row("C4", "azready --help: seconds of CPU", cpu[help_], 0.15, 1.0, "here"),
            *(Row("", f"... / {other}", cpu[own] / cpu[other], note=f"{cpu[other]:.2f} s") for other in [*cpu][5:]),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
