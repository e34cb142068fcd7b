"""How QEMU's programs are told of a disk file: by a description that leaves them nothing to guess.

Each gets the file's whole path, for qemu-img takes the names of a disk's other parts as relative to where it is run.
"""

import json
from pathlib import Path

from azready.image.disk.formats.identify import QEMU_NAMES, DiskFormat

Node = dict[str, object]


def node(path: Path, kind: DiskFormat) -> Node:
    """The disk in a file, as QEMU's block layer describes it (QAPI, BlockdevOptions)."""
    return described(path, QEMU_NAMES[kind])


def sized_by_footer(disk: Node) -> Node:
    """A VHD of the size that its footer says, where Azure takes it from too: for creators that QEMU does not know
    (VirtualBox is one) it would take the cylinders, which describe less, and the end of the disk would be lost.

    Only where a description may hold options of old: not of `--blockdev`, which refuses this one.
    """
    return {**disk, "force_size_calc": "current_size"}


def described(path: Path, driver: str) -> Node:
    """The same by QEMU's own name of the format."""
    return {"driver": driver, "file": file(path)}


def file(path: Path) -> Node:
    """A file's bytes; a device's, where a disk is one."""
    return {"driver": "host_device" if path.is_block_device() else "file", "filename": str(path.resolve())}


def name(disk: Node) -> str:
    """A description where a program wants a file name."""
    return f"json:{json.dumps(disk)}"
