"""Which users of this machine the guest's users are. The guest's root is never this machine's.

The kernel judges files of /proc/sys, of /sys and of control groups by their owner, which is root of the machine: a
guest whose uid 0 were the same would be stopped by nothing but mounts, and mounts it may take away.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from azready import userns
from azready.errors import Failure
from azready.proc import find_tool

FIRST = 0x70000000
"""The first id of this machine that a guest booted by root gets: above all that systemd's table of ids hands out."""
COUNT = 1 << 24
_FEW = 1 << 16

Row = tuple[int, int, int]
"""One line of /proc/PID/uid_map: first id inside, first id outside, how many."""


def id_maps() -> dict[str, Any]:
    """How users map into the guest, in the form that `inside.py` takes.

    For root a range that nobody has, from FIRST on; for an ordinary user 0 is that user and the rest sub-ids. Root of
    a namespace that has too few ids for both is mapped to itself: it is not the machine's root either.
    """
    if os.geteuid() == 0:
        return {kind: [list(row) for row in _of_root(_rows(kind))] for kind in ("uid", "gid")}
    return {
        "newuidmap": [_helper("newuidmap", os.getuid(), Path("/etc/subuid"))],
        "newgidmap": [_helper("newgidmap", os.getgid(), Path("/etc/subgid"))],
    }


def owner(maps: dict[str, Any]) -> tuple[int, int]:
    """The uid and gid that the guest's root has here."""
    if "uid" in maps:
        return maps["uid"][0][1], maps["gid"][0][1]
    return os.getuid(), os.getgid()


def is_shifted(maps: dict[str, Any]) -> bool:
    """Whether the guest's root is someone else than who calls, so that a tree must be shown to it with other owners."""
    return "uid" in maps and owner(maps) != (0, 0)


def spare(rows: Sequence[Row]) -> Row | None:
    """Ids that may be given away, of a process with these maps; None where there are not enough."""
    if any(inside <= FIRST and inside + count >= FIRST + COUNT for inside, _, count in rows):
        return (0, FIRST, COUNT)
    inside, _, count = max(rows, key=lambda row: row[2], default=(0, 0, 0))
    return (0, inside + count - _FEW, _FEW) if count >= 2 * _FEW else None


def _of_root(rows: Sequence[Row]) -> list[Row]:
    found = spare(rows)
    return [found] if found else [(inside, inside, count) for inside, _, count in rows]


def _rows(kind: str) -> list[Row]:
    lines = Path(f"/proc/self/{kind}_map").read_text().splitlines()
    return [(int(inside), int(outside), int(count)) for inside, outside, count in map(str.split, lines)]


def _helper(tool: str, own: int, table: Path) -> list[str]:
    ranges = userns.own_sub_ids(table)
    if not ranges:
        name = userns.user_name()
        raise Failure(
            f"{name} has no sub-ids in {table}",
            f"give them some: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}",
        )
    words, inside = [find_tool(tool, "uidmap"), "0", str(own), "1"], 1
    for first, count in ranges:
        words += [str(inside), str(first), str(count)]
        inside += count
    return words
