"""systemd 261 and newer read IMDS themselves: a generator finds the cloud, systemd-imdsd asks, and what it says is
imported as credentials. In a container neither works by itself: the generator declines, and no udev tells the daemon
what its hardware database says of the machine. Both are made up for by what init is told, as the kernel's command line
would.

Facts: systemd's src/imds/imds-generator.c, imdsd.c, hwdb.d/40-imds.hwdb, rules.d/60-dmi-id.rules.
"""

import os
import stat
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

DAEMON = "usr/lib/systemd/systemd-imdsd"
DATABASE = "usr/lib/udev/hwdb.d/40-imds.hwdb"
_MOST = 1 << 20
"""Bytes read of it; Debian's has 8 thousand."""


_LONGEST = 2048
"""Characters of a pattern, as systemd has it for a line of any file of its own (LINE_MAX)."""


def reads_imds(tree: Path) -> bool:
    """Whether a tree has systemd's own client of IMDS and knows Azure's."""
    return (tree / DAEMON).exists() and (tree / DATABASE).exists()


def arguments(tree: Path, dmi: Mapping[str, str]) -> tuple[str, ...]:
    """Words of the kernel's command line that say what generator and daemon find for themselves in a VM: that there is
    IMDS, and what the tree's own hardware database says of this machine."""
    if not reads_imds(tree):
        return ()
    found = properties(_read(tree / DATABASE), f"{dmi['modalias']}cat{dmi['chassis_asset_tag']}:")
    return ("systemd.imds=yes", *(f"{_option(key)}={value}" for key, value in found.items()))


def _read(path: Path) -> str:
    """A file of a tree that may be hostile: nothing where it is a link, a pipe or a device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return file.read(_MOST).decode("utf-8", "replace") if is_file else ""


def _option(key: str) -> str:
    """The option of systemd-imdsd that stands for a property: IMDS_KEY_REGION, systemd.imds.key.region; headers beyond
    the first have numbers, and options none."""
    name = key.removeprefix("IMDS_").lower()
    if name.startswith("extra_header"):
        name = "extra_header"
    return f"systemd.imds.{name.replace('key_', 'key.', 1) if name.startswith('key_') else name}"


def properties(database: str, alias: str) -> dict[str, str]:
    """The properties that a hardware database (hwdb(7)) has for an alias; a later record overrides."""
    found: dict[str, str] = {}
    matches = heads = False
    for line in database.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if not line[0].isspace():
            fits = len(line) <= _LONGEST and fnmatchcase(alias, line.strip())
            matches, heads = (heads and matches) or fits, True
            continue
        heads = False
        if matches:
            key, _, value = line.strip().partition("=")
            found[key] = value
    return found
