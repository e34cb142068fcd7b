"""`python -m tests.crash`: all rows, or those named (`xfs py plain lost`); prints the table and what was not right.

Needs root. `--every N` takes each N-th change only, `--first N` begins there; `--out FILE` keeps the table.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import run
from typing import Any

from bench.lab import Lab, command, debian
from tests.crash import campaign
from tests.crash.campaign import Point, Row

ROWS = (
    *(
        Row(fs, program, machine)
        for fs in ("ext4", "xfs", "btrfs")
        for program in ("py", "sh")
        for machine in ("plain", "rich")
    ),
    *(Row("ext4", program, machine, "written") for program in ("py", "sh") for machine in ("plain", "rich")),
    *(Row(fs, "py", "named") for fs in ("ext4", "xfs", "btrfs")),
    Row("xfs", "sh", "named"),
)
Holds = Callable[[dict[str, Any]], bool]
MUST_BE_ZERO: dict[str, Holds] = {
    "next boot failed": lambda point: point["result"]["status"] != 0,
    "no login": lambda point: _has(point, "problems", "login"),
    "host keys": lambda point: _has(point, "problems", "host keys"),
    "left over": lambda point: _has(point, "problems", "left over"),
    "home": lambda point: _has(point, "problems", "home"),
    "settings": lambda point: _has(point, "problems", "settings"),
    "tree differs": lambda point: bool(point["differs"]),
    "lost after Ready": lambda point: any(problem["kind"] != "left over" for problem in point["lost"]),
}
COUNTED: dict[str, Holds] = {
    "points after Ready": lambda point: point["readies"] > 0,
    "of them: Ready again": lambda point: point["readies"] > 0 and point["readies_again"] > 0,
}
"""Between the accepted Ready and its stamp on the disk lies a moment that no program can close."""


def _has(point: dict[str, Any], where: str, kind: str) -> bool:
    return any(problem["kind"] == kind for problem in point[where])


def judged(row: Row, every: int = 1, first: int = 1) -> list[dict[str, Any]]:
    """The points of one row, made in namespaces of their own, as JSON has them."""
    with tempfile.TemporaryDirectory(prefix="azready-crash-") as folder:
        words = [sys.executable, "-m", "tests.crash", *str(row).split(), "--every", str(every), "--first", str(first)]
        out = Path(folder) / "out.json"
        done = run(command([*words, "--inside", folder, "--out", out]), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{row}: {done.stderr[-3000:]}")
        points: list[dict[str, Any]] = json.loads(out.read_text())
        return points


def wrong(points: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each point that is not as it must be."""
    lines = []
    for point in points:
        names = [name for name, holds in MUST_BE_ZERO.items() if holds(point)]
        if names:
            said = [problem["text"] for problem in point["problems"] + point["lost"]]
            at = f"{point['change']['call']} {point['change']['path']}"
            lines.append(
                f"cut before {at}: {', '.join(names)}: {said} {point['differs'][:6]} {point['result']['last']}"
            )
    return lines


def table(done: dict[Row, list[dict[str, Any]]]) -> str:
    """The table in Markdown: each row's numbers of points."""
    columns = {**MUST_BE_ZERO, **COUNTED}
    lines = [
        f"| file system, program, machine, unwritten data | points | disks | {' | '.join(columns)} |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for row, points in done.items():
        counts = [sum(map(holds, points)) for holds in columns.values()]
        disks = len({point["disk"] for point in points})
        lines.append(f"| {row} | {len(points)} | {disks} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines) + "\n"


def _inside(row: Row, place: Path, every: int, first: int, out: Path) -> None:
    tree = debian("bookworm", "curl", "python3")
    (place / "mount").mkdir()
    key = campaign.make_key(place)
    with campaign.lenient(Lab(campaign.machine(row, key.with_suffix(".pub").read_text().strip()))) as lab:
        rig = campaign.Rig(row, lab, tree, place / "mount", key)
        points: list[Point] = list(campaign.points(rig, every, first))
    out.write_text(json.dumps([dataclasses.asdict(point) for point in points]))


def main() -> int:
    """Run the rows one after another; 1 when anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("row", nargs="*", help="FS PROGRAM MACHINE LOSS; all rows without")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    rows = [row for row in ROWS if not given.row or str(row) == " ".join(given.row)] or [Row(*given.row)]
    if given.inside:
        _inside(rows[0], given.inside, given.every, given.first, given.out)
        return 0
    debian("bookworm", "curl", "python3")  # the namespaces have no network to fetch it by
    done, red = {}, []
    for row in rows:
        done[row] = judged(row, given.every, given.first)
        lines = wrong(done[row])
        red += lines
        print(f"{row}: {len(done[row])} points, {len(lines)} not right", *lines, sep="\n  ", flush=True)
    text = table(done)
    print(text)
    if given.out:
        given.out.write_text(text)
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
