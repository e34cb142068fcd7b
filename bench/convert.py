"""Converting a disk to a VHD: azready against qemu-img, interleaved in one run, as ratios of the fastest of each.

A sparse Gen2-like raw disk and its qcow2, a third of them data. Warm page cache on both sides: what is compared is
the programs. `azready` is timed as a process, its start included.
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
SIZE_MIB, DATA_MIB, ROUNDS = 8192, 3072, 5


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
            theirs = ["qemu-img", "convert", "-f", form, *options, str(source), str(out)]
            ours = [sys.executable, "-m", "azready", "convert", "-q", "--blank", str(source), str(out)]
            times = [(_seconds(ours, out), _seconds(theirs, out)) for _ in range(ROUNDS)]
            best, reference = min(a for a, _ in times), min(b for _, b in times)
            note = f"{best:.2f} s / {reference:.2f} s, the fastest of {ROUNDS}"
            rows.append(Row(row, f"convert {form}: time / qemu-img's", best / reference, 1.0, 2.5, note))
    return show("convert", rows)


if __name__ == "__main__":
    sys.exit(main())
