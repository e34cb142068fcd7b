"""`python -m bench [-n ROUNDS] [PART …]`: measure, print the table, and end with 1 when a row fails."""

import argparse
import importlib
import os
import sys

from rich.console import Console

from azready.fabric.machine import Machine
from bench.lab import INSIDE, Lab, debian, reexec
from bench.table import Row, as_table

PARTS = ["guest"]
"""Modules of this package with `rows(lab, rounds)`."""

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMlZb0mFpOVY5rT0gIFbKxZ8Wcx3bqLJ9D2dJ0rCkq7Q someone@laptop"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("-n", "--rounds", type=int, default=20, help="measurements of each (default 20)")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"of: {', '.join(PARTS)}")
    options = parser.parse_args()
    if os.environ.get(INSIDE) != "1":
        debian("bookworm", "curl", "python3")  # built out here, where there is a network
        return reexec("bench", *sys.argv[1:])
    rows: list[Row] = []
    with Lab(Machine(name="vm1", public_keys=(KEY,))) as lab:
        for part in options.parts or PARTS:
            rows += importlib.import_module(f"bench.{part}").rows(lab, options.rounds)
    Console(width=None if sys.stdout.isatty() else 140).print(as_table(rows))
    return 1 if any(row.verdict == "FAIL" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
