"""How QEMU's programs are told of a disk file: by a description that leaves them nothing to guess.

Each gets the file's whole path, for qemu-img takes the names of a disk's other parts as relative to where it is run;
and the size of a VHD from its footer, where Azure takes it from too: for creators that QEMU does not know
(VirtualBox is one) it would take the cylinders, which describe less, and the end of the disk would be lost.
"""

import json
from pathlib import Path

from azready.image.disk.formats.identify import QEMU_NAMES, DiskFormat

Node = dict[str, object]


def node(path: Path, kind: DiskFormat) -> Node:
    """The disk in a file, as QEMU's block layer describes it (QAPI, BlockdevOptions)."""
    size = {"force_size_calc": "current_size"} if QEMU_NAMES[kind] == "vpc" else {}
    return {"driver": QEMU_NAMES[kind], **size, "file": {"driver": "file", "filename": str(path.resolve())}}


def name(described: Node) -> str:
    """A description where a program wants a file name."""
    return f"json:{json.dumps(described)}"
