"""`python -m bench.levels`: what a boot test costs by level, and the fabric's own share of it.

Wall time from the command to the verdict, the best of the rounds: a Debian tree in a container, a real kernel with a
mini initramfs in QEMU, and (with `--disk`) a whole Debian disk by UEFI. The fabric's share is the time in which it
was answering, of the time to Ready.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from azready.boot.container.tree import boot_tree
from azready.boot.qemu.command import Bootable, Hardware
from azready.boot.qemu.disk import boot_disk
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.fabric import Machine
from azready.pipelines import bootdisk, trees
from azready.proc import run
from tests.boot import machines

ROUNDS = 3


def _tree(folder: Path) -> Path:
    tree = folder / "tree"
    trees.unpack(trees.tree("bookworm", ("python3-minimal",)), tree)
    run([sys.executable, "-m", "azready", "prepare", tree])
    return tree


def _measured(name: str, boot: Callable[[], tuple[BootRecord, ...]], rounds: int = ROUNDS) -> None:
    best, ready, share = float("inf"), 0.0, 0.0
    for _ in range(rounds):
        started = time.perf_counter()
        (record,) = boot()
        wall = time.perf_counter() - started
        assert record.verdict.provisioned, record.headline
        if wall < best:
            best, ready = wall, record.verdict.at or 0.0
            share = sum(exchange.took for exchange in record.exchanges) / ready
    print(f"{name:12} whole test {best:6.2f} s   Ready after {ready:6.2f} s   fabric {100 * share:.2f} %")


def main() -> None:
    once = Plan(boots=1, login=False, deadline=300.0)
    with tempfile.TemporaryDirectory(prefix="azready-bench-") as name:
        tree = _tree(Path(name))
        _measured("container", lambda: boot_tree(tree, Machine(), once))
        trees.remove(tree)
        kernel = machines.mini(f"{machines.NETWORK}{machines.REPORT}echo login:\nsleep 1\npoweroff -f\n")
        mini = Bootable(kernel=kernel, hardware=Hardware(memory=256))
        _measured("mini kernel", lambda: boot_disk(mini, Machine(), once, target="mini"))
        if "--disk" in sys.argv[1:]:
            disk = Path(name) / "disk.raw"
            run([sys.executable, "-m", "azready", "prepare", machines.debian_disk(2), "--to", disk])
            _measured("whole disk", lambda: bootdisk.boot(disk, Machine(), once), rounds=1)


if __name__ == "__main__":
    main()
