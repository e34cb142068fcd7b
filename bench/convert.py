"""Converting a disk to a VHD: azready against qemu-img, interleaved in one run, as ratios of the fastest of each.

A sparse Gen2-like raw disk and its qcow2, a third of them data, from a warm page cache. `azready` is timed as a
process, its start included, and ends when the bytes are on the disk. So does qemu-img here (`-t writeback`); by default
it leaves them in memory, which V3 and V4 show.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.__main__ import show
from bench.table import Row

MIB = 1 << 20
SIZE_MIB, DATA_MIB, ROUNDS = 8192, 3072, 3


def _disk(folder: Path) -> Path:
    path = folder / "disk.raw"
    with path.open("wb") as file:
        file.truncate(SIZE_MIB * MIB)
        for index in range(DATA_MIB // 8):
            file.seek(index * (SIZE_MIB // (DATA_MIB // 8)) * MIB)
            file.write(os.urandom(8 * MIB))
    return path


def _seconds(argv: list[str], out: Path) -> float:
    out.unlink(missing_ok=True)
    os.sync()  # what the run before has still to write is not this one's
    started = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> int:
    rows = []
    with tempfile.TemporaryDirectory(prefix="azready-bench-") as name:
        folder = Path(name)
        raw = _disk(folder)
        packed = folder / "disk.qcow2"
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, packed], check=True)
        for row, source, form in (("V1", raw, "raw"), ("V2", packed, "qcow2")):
            out = folder / "out.vhd"
            options = ["-O", "vpc", "-o", "subformat=fixed,force_size"]
            theirs = ["qemu-img", "convert", "-f", form, *options]
            commands = (
                [sys.executable, "-m", "azready", "convert", "-q", "--blank", str(source), str(out)],
                [*theirs, "-t", "writeback", str(source), str(out)],
                [*theirs, str(source), str(out)],
            )
            times = [[_seconds(argv, out) for argv in commands] for _ in range(ROUNDS)]
            best, settled, loose = (min(each) for each in zip(*times, strict=True))
            note = f"{best:.2f} s / {settled:.2f} s, the fastest of {ROUNDS}"
            rows.append(Row(row, f"convert {form}: time / qemu-img's", best / settled, 1.0, 2.5, note))
            note = f"{best:.2f} s / {loose:.2f} s"
            rows.append(Row("", "... / qemu-img's, whose bytes are still in memory", best / loose, note=note))
    return show("convert", rows)


if __name__ == "__main__":
    sys.exit(main())
