"""What a disk file says by itself: its format and size, its partition table, what each partition holds."""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from azready.image.disk.diskfile import DiskFile, inspect, reading
from azready.image.disk.formats import vhd
from azready.image.disk.formats.gpt import Partition
from azready.image.disk.formats.partitions import Table, read_table
from azready.image.disk.formats.superblocks import Superblock, probe
from azready.image.targets.volumes import Volume, find_volumes


@dataclass(frozen=True)
class Content:
    """A partition and what it holds; `superblock` is None for nothing known."""

    partition: Partition
    superblock: Superblock | None


@dataclass(frozen=True)
class Disk:
    """A disk: sizes in bytes."""

    file: DiskFile
    file_size: int
    table: Table
    contents: tuple[Content, ...]
    footer_problems: tuple[str, ...]
    first_mib_used: bool
    """Whether something beyond boot code and partition table lies before the first partition."""
    volumes: tuple[Volume, ...] = ()
    """What is in its volume groups, where it has one."""

    @property
    def size(self) -> int:
        """Of the disk itself, without a VHD's footer."""
        return self.file.size

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name by which something on it can be found, as `plain_name` spells it."""
        names = {name for volume in self.volumes for name in volume.names}
        for each in self.contents:
            names |= {f"PARTUUID={each.partition.uuid}", f"PARTLABEL={each.partition.name}"}
            if each.superblock:
                names |= {f"UUID={each.superblock.uuid}", f"LABEL={each.superblock.label}"}
        return frozenset(name.lower() for name in names if not name.endswith("="))

    @property
    def closed(self) -> bool:
        """Whether something on it cannot be looked into, so that what is not found may be in there."""
        kinds = {each.superblock.kind for each in self.contents if each.superblock}
        looked_into = any(name.startswith("/dev/mapper/") for name in self.names)
        return bool({"luks", "raid"} & kinds) or ("lvm" in kinds and not looked_into) or self.in_pieces

    @property
    def in_pieces(self) -> bool:
        """Whether a logical volume's bytes are not in one piece."""
        return any(volume.kind == "scattered" for volume in self.volumes)

    def kind_of(self, device: str) -> str:
        """The kind of file system on a partition, named as in fstab; empty where that is not known."""
        name = plain_name(device)
        for each in self.contents:
            block = each.superblock
            own = [f"partuuid={each.partition.uuid}", f"partlabel={each.partition.name}"]
            own += [f"uuid={block.uuid}", f"label={block.label}"] if block else []
            if name and block and name in (text.lower() for text in own if not text.endswith("=")):
                return block.kind
        return ""

    def lacks(self, device: str) -> bool:
        """Whether a device, named as in fstab or on the kernel's command line, is surely not on this disk.

        False for names that say nothing of what is on a disk (`/dev/sda1`, by-path), and where it cannot be known.
        """
        name = plain_name(device)
        if self.closed or not self.contents:
            return False
        return bool(name) and name not in self.names


_TAGS = ("UUID", "LABEL", "PARTUUID", "PARTLABEL")


def plain_name(device: str) -> str:
    """One spelling of what names a file system, a partition or a logical volume, in lower case; else an empty text.

    `UUID="x"` and `/dev/disk/by-uuid/x` are one (udev writes blanks and the like as `\\x20`); so are `/dev/vg/lv` and
    `/dev/mapper/vg-lv`.
    """
    tag, equals, value = device.partition("=")
    if equals and tag in _TAGS:
        return f"{tag}={value.strip(_QUOTES).partition('/PARTNROFF')[0]}".lower()
    by = re.match(r"/dev/disk/by-(uuid|label|partuuid|partlabel)/(.+)", device)
    if by:
        return f"{by[1]}={_ESCAPED.sub(lambda found: chr(int(found[1], 16)), by[2])}".lower()
    if device.startswith("/dev/mapper/") and not _UNLOCKED.match(device):
        return device.lower()
    group = re.match(r"/dev/([A-Za-z0-9_+.-]+)/([A-Za-z0-9_+.-]+)$", device)
    if group and group[1] not in _NO_GROUPS:
        return f"/dev/mapper/{group[1].replace('-', '--')}-{group[2].replace('-', '--')}".lower()
    return ""


_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")
_QUOTES = "\"'"
_UNLOCKED = re.compile(r"/dev/mapper/(luks-.*|mpath.*|live-.*|root|usr)$")
"""What is made of something else at boot: by cryptsetup, multipath, verity."""
_NO_GROUPS = ("disk", "mapper", "block", "shm", "pts", "md", "input", "zvol", "bus", "fd", "char", "cdrom")


def gather_disk(path: Path) -> Disk:
    """Look at a disk file, read-only. Raises UsageFailure for what is no disk."""
    file = inspect(path)
    size = os.stat(path).st_size  # noqa: PTH116
    problems: tuple[str, ...] = ()
    if file.format == "vhd":
        with path.open("rb") as stream:
            stream.seek(-vhd.FOOTER_SIZE, os.SEEK_END)
            footer = vhd.parse(stream.read(vhd.FOOTER_SIZE))
        problems = vhd.problems(footer, size) if footer else ("the footer is not there",)
    with reading(file) as read:
        table = read_table(read, file.size)
        contents = tuple(Content(partition, probe(read, partition.start)) for partition in table.partitions)
        if table.scheme == "none" and (whole := probe(read, 0)) is not None:
            contents = (Content(Partition(number=0, type="", start=0, size=file.size), whole),)
        start = min((partition.start for partition in table.partitions), default=0)
        used = start >= 1 << 20 and any(read(34 * 512, min(start, 1 << 20) - 34 * 512))
        grouped = any(each.superblock and each.superblock.kind == "lvm" for each in contents)
        volumes = find_volumes(read, file.size) if grouped else ()
    return Disk(file, size, table, contents, problems, used, volumes)
