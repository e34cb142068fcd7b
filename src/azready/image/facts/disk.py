"""What a disk file says by itself: its format and size, its partition table, what each partition holds."""

import os
from dataclasses import dataclass
from pathlib import Path

from azready.image.disk.diskfile import DiskFile, inspect, reading
from azready.image.disk.formats import vhd
from azready.image.disk.formats.gpt import Partition
from azready.image.disk.formats.partitions import Table, read_table
from azready.image.disk.formats.superblocks import Superblock, probe


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

    @property
    def size(self) -> int:
        """Of the disk itself, without a VHD's footer."""
        return self.file.size

    def uuids(self) -> frozenset[str]:
        """Every name by which fstab could find something on it: UUIDs, PARTUUIDs, labels; in lower case."""
        names = [part for each in self.contents for part in (each.partition.uuid, each.partition.name)]
        names += [
            part for each in self.contents if each.superblock for part in (each.superblock.uuid, each.superblock.label)
        ]
        return frozenset(name.lower() for name in names if name)


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
    return Disk(file, size, table, contents, problems, used)
