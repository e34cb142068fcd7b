"""`python -m bench [-n ROUNDS] [--page FILE] [PART …]`: measure, print the tables, and end with 1 when a row fails.

A part is a module of this package. To add one, add a file and name it below: in `LAB` when it has
`rows(lab, rounds) -> list[Row]` and wants Azure's addresses and a throwaway tree; in `PROGRAMS` when it has a `main()`
that does everything by itself.
"""

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from azready.fabric.machine import Machine
from bench import page
from bench.lab import INSIDE, PEERS, Lab, debian, reexec
from bench.table import Row, as_table

LAB = ["guest"]
PROGRAMS = ["boot", "peers", "fabric_load", "convert", "check", "upload", "disk"]

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMlZb0mFpOVY5rT0gIFbKxZ8Wcx3bqLJ9D2dJ0rCkq7Q someone@laptop"


def main() -> int:
    parts = [*LAB, *PROGRAMS]
    parser = argparse.ArgumentParser(prog="python -m bench", description="Speed, as ratios measured in one run.")
    parser.add_argument("-n", "--rounds", type=int, default=15, help="measurements of each (default 15)")
    parser.add_argument("--page", type=Path, help="write the figures to this file, as Markdown")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=COMMAND",
        help="another agent beside ours in guest, as NAME=/path/of/a/program WORD…: it runs in a throwaway tree",
    )  # fmt: skip
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(parts)} (default: all)")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in parts]
    if unknown:
        parser.error(f"no part {unknown[0]!r}: they are {', '.join(parts)}")
    wanted = options.parts or parts
    if without := [peer for peer in options.peer if not Path(peer.partition("=")[2].partition(" ")[0]).is_file()]:
        parser.error(f"--peer {without[0]!r} is no NAME=COMMAND whose first word is a file")
    if options.peer:
        os.environ[PEERS] = "\n".join(options.peer)
    if os.environ.get(INSIDE) == "1":
        return _measure([part for part in wanted if part in LAB], options.rounds)
    for packages in (("curl", "python3"), ("busybox",)):  # built out here, where there is a network
        debian("bookworm", *packages)
    with tempfile.TemporaryDirectory(prefix="azready-bench-") as folder:
        rows = Path(folder) / "rows"
        rows.touch()
        os.environ[page.ROWS] = str(rows)
        status = _run(wanted, options.rounds)
        if options.page:
            options.page.write_text(page.as_page(page.kept(rows)), encoding="utf-8")
            print(f"\nwritten: {options.page}")
    return status


def _run(wanted: list[str], rounds: int) -> int:
    """Every part, each as a process: the worst exit status."""
    statuses = [0]
    if inside := [part for part in wanted if part in LAB]:
        statuses.append(reexec("bench", "-n", str(rounds), *inside))
    for part in (part for part in wanted if part in PROGRAMS):
        print(f"\n{part}", flush=True)
        statuses.append(subprocess.run([sys.executable, "-m", f"bench.{part}"], check=False).returncode)
    return max(statuses)


def _measure(parts: list[str], rounds: int) -> int:
    """Inside the lab: the rows of each part."""
    with Lab(Machine(name="vm1", public_keys=(KEY,))) as lab:
        return max(show(part, importlib.import_module(f"bench.{part}").rows(lab, rounds)) for part in parts)


def show(part: str, rows: list[Row]) -> int:
    """Print the table of a part; returns the exit status."""
    page.keep(part, rows)
    Console(width=None if sys.stdout.isatty() else 140).print(as_table(rows))
    return 1 if any(row.verdict == "FAIL" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
