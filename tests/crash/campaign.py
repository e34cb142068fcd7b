"""Boot once under the tracer, cut the power before each change, and let every disk that is left boot again."""

import dataclasses
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from azready.fabric.machine import Machine
from bench.lab import Lab
from tests.crash import disk, judge, tracer, units

Loss = Literal["lost", "written"]
"""What a cut does to what the file system has not written yet: it is lost, or all was written (as by a kill)."""


@dataclass(frozen=True)
class Row:
    """One set of cuts: a file system, a guest program, a machine, and where unwritten data goes."""

    fs: disk.Kind
    program: Literal["py", "sh"]
    machine: Literal["plain", "rich", "named"]
    loss: Loss = "lost"

    def __str__(self) -> str:
        return f"{self.fs} {self.program} {self.machine} {self.loss}"


@dataclass(frozen=True)
class Cut:
    """One point: before which call, how often Ready had been accepted, and what the disk is then."""

    change: tracer.Change
    readies: int
    image: Path


@dataclass(frozen=True)
class Point:
    """What became of one cut. `disk` names what the cut left: cuts with the same bytes have the same result. `lost` is
    what a disk lacked for which Ready had been sent; `differs` compares with an uncut boot."""

    change: tracer.Change
    disk: str
    readies: int
    result: units.Result
    readies_again: int
    lost: tuple[judge.Problem, ...]
    problems: tuple[judge.Problem, ...]
    differs: tuple[str, ...]


class Rig:
    """What all boots of one row share."""

    def __init__(self, row: Row, lab: Lab, tree: Path, place: Path, key: Path) -> None:
        self.row, self.lab, self.key, self.machine = row, lab, key, lab.machine
        self.shelf = disk.shelf(place)
        self.usr = disk.programs(tree, self.shelf)
        name = self.machine.name if row.machine == "named" else "localhost"
        medium = row.machine == "rich"
        self.base = disk.fresh(row.fs, tree, self.machine, self.shelf, name, medium)
        self.options = ["--medium=/srv/medium" if medium else "--medium=none"]

    def mounted(self, image: Path):  # type: ignore[no-untyped-def]  # contextlib's own type says it
        """The image as the root of this row's machine."""
        return disk.mounted(self.row.fs, image, self.usr, self.machine)

    def boot(self, root: Path, start: units.Start) -> units.Result:
        """One boot of the machine."""
        return units.boot(root, self.row.program, self.options, start)

    def readies(self) -> int:
        """How often the platform has accepted Ready since it was started anew."""
        return sum(report.accepted and report.state.lower() == "ready" for report in self.lab.fabric.ledger.reports)


def machine(row: Row, public_key: str) -> Machine:
    """Keys by IMDS alone; or all that a medium brings."""
    if row.machine != "rich":
        return Machine(name="vm1", public_keys=(public_key,))
    return Machine(
        name="vm1",
        admin_password="s3cret:pass",
        disable_password_authentication=False,
        public_keys=(public_key,),
        custom_data="#!/bin/sh\ntrue\n",
        user_data="hello",
    )


def make_key(folder: Path) -> Path:
    """The owner's key."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "owner", "-f", folder / "key"], check=True)
    return folder / "key"


def points(rig: Rig, every: int, first: int = 1) -> Iterator[Point]:
    """Cut before change `first` and each `every`-th after it, and after the end; judge each. Raises when even an uncut
    boot is not right."""
    whole = disk.clone(rig.base, rig.shelf / "whole.img")
    with rig.mounted(whole) as root:
        result = rig.boot(root, units.plain(root))
        uncut = judge.look(root)
        wrong = [*judge.problems(root, rig.machine), *judge.login(root, rig.key)]
        if result.status or wrong:
            raise RuntimeError(f"{rig.row}: an uncut boot is not right: {result.last} {wrong}")
    whole.unlink()
    known: dict[tuple[bytes, int], Point] = {}
    for cut in list(_cuts(rig, every, first)):
        same = (disk.digest(cut.image), cut.readies)  # most calls leave the disk as it was, until something is synced
        if same not in known:
            known[same] = _judged(rig, cut, same[0].hex(), uncut)
        yield dataclasses.replace(known[same], change=cut.change)
        cut.image.unlink()


def _cuts(rig: Rig, every: int, first: int) -> Iterator[Cut]:
    rig.lab.fabric.restart()
    running = disk.clone(rig.base, rig.shelf / "running.img")
    found: list[Cut] = []
    seen = 0
    with rig.mounted(running) as root:

        def cut(change: tracer.Change) -> None:
            nonlocal seen
            seen += 1
            if seen >= first and (seen - first) % every == 0:
                if rig.row.loss == "written":
                    disk.write_back(root)
                found.append(Cut(change, rig.readies(), disk.clone(running, rig.shelf / f"cut-{len(found)}.img")))

        def start(words: list[str]) -> tuple[int, str]:
            ended = tracer.run(root, words, units.ENV, cut)
            return ended.status, ended.said

        rig.boot(root, start)
        seen = first - 1  # the end is a point in any case
        cut(tracer.Change("end", ""))
    running.unlink()
    yield from found


def _judged(rig: Rig, cut: Cut, name: str, uncut: dict[str, tuple[str, ...]]) -> Point:
    rig.lab.fabric.restart()
    with rig.mounted(cut.image) as root:
        _number_locks_anew(root)
        lost = tuple(judge.problems(root, rig.machine)) if cut.readies else ()
        result = rig.boot(root, units.plain(root))
        found = tuple(judge.problems(root, rig.machine))
        now = judge.look(root)
        found += tuple(judge.login(root, rig.key))
    differs = tuple(sorted(name for name in {*now, *uncut} if now.get(name) != uncut.get(name)))
    return Point(cut.change, name, cut.readies, result, rig.readies(), lost, found, differs)


def _number_locks_anew(root: Path) -> None:
    """Boots are alike: the number in a lock that was left is likely some living process's in the next boot."""
    for path in (root / "etc").glob("*.lock"):
        if path.name != ".pwd.lock" and path.stat().st_size:
            path.write_text("1")


def lenient(lab: Lab) -> Lab:
    """Second reports are what this looks for, so they are no failure of the platform's."""
    lab.fabric.rules = dataclasses.replace(lab.fabric.rules, strict=False)
    return lab
