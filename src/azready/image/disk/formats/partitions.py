"""The partition table of a disk: MBR or GPT, with everything that is wrong with it, and how the disk can boot.

Facts: the UEFI specification, chapter 5 (GPT: header, entries, CRCs, protective MBR); the Discoverable Partitions
Specification (type GUIDs). `gpt.py` reads and moves the GPT; this module decides which table counts.
"""

import struct
from dataclasses import dataclass
from typing import Literal

from azready.image.disk.formats import Read, gpt
from azready.image.disk.formats.gpt import Partition

SECTOR = 512
"""The logical sector of every disk that Azure attaches."""

TYPE_ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
TYPE_BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
TYPE_XBOOTLDR = "bc13c2ff-59e6-4262-a352-b275fd6f7172"
TYPE_SWAP = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
TYPE_LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
TYPE_ROOT_X86_64 = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
TYPE_ROOT_ARM64 = "b921b045-1df0-41c3-af44-4c6f280d3fae"
TYPE_USR_X86_64 = "8484680c-9521-48c6-9c11-b0720656f69e"
TYPE_USR_ARM64 = "b0e01050-ee5f-4390-949a-9101b17104e9"
TYPE_HOME = "933ac7e1-2eb4-4f13-b844-0e14e2aef915"
TYPE_SRV = "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"

_MBR_ESP, _MBR_PROTECTIVE, _MBR_EXTENDED = 0xEF, 0xEE, (0x05, 0x0F, 0x85)
_MOST_LOGICAL = 64


@dataclass(frozen=True)
class Table:
    """The partitions of a disk, offsets and sizes in bytes, and what is wrong with their table.

    `boot_code` tells whether the first sector holds a BIOS boot program (its first 440 bytes are not all zero).
    """

    scheme: Literal["gpt", "mbr", "none"]
    partitions: tuple[Partition, ...] = ()
    disk_id: str = ""
    sector: int = SECTOR
    boot_code: bool = False
    header: gpt.Header | None = None
    """GPT only: the header that counted, the primary one where it is sound."""
    backup_at: int | None = None
    """GPT only: the byte offset at which a sound backup header was found."""
    problems: tuple[str, ...] = ()

    @property
    def esp(self) -> Partition | None:
        """The EFI system partition."""
        return next((p for p in self.partitions if p.type in (TYPE_ESP, f"{_MBR_ESP:#04x}")), None)

    @property
    def bios_boot(self) -> Partition | None:
        """GRUB's partition on a GPT disk that boots by BIOS."""
        return next((p for p in self.partitions if p.type == TYPE_BIOS_BOOT), None)

    @property
    def generations(self) -> tuple[int, ...]:
        """The generations of VM that this disk can boot: 2 where it has an ESP, 1 where it has BIOS boot code."""
        found = (2,) if self.esp else ()
        return (*found, 1) if self._boots_by_bios else found

    @property
    def _boots_by_bios(self) -> bool:
        """Boot code, and somewhere to go on from: a BIOS boot partition, or the gap that every MBR disk has."""
        if not self.boot_code:
            return False
        return self.scheme == "mbr" or self.bios_boot is not None or any(p.legacy_bootable for p in self.partitions)


def read_table(read: Read, size: int) -> Table:
    """Read the partition table of a disk of `size` bytes; a disk without one has scheme `none`. Never raises."""
    first = read(0, SECTOR)
    signed = len(first) == SECTOR and first[510:] == b"\x55\xaa"
    boot_code = signed and any(first[:440])
    slots = _slots(first) if signed else ()
    found = gpt.read(read, size)
    if found is not None and (not slots or any(kind == _MBR_PROTECTIVE for kind, *_ in slots)):
        return Table(
            scheme="gpt",
            partitions=found.partitions,
            disk_id=found.header.disk_id,
            sector=found.sector,
            boot_code=boot_code,
            header=found.header,
            backup_at=found.backup_at,
            problems=(*_protective_problems(slots, signed), *found.problems),
        )
    if slots and not _looks_like_a_file_system(first):
        identity = f"{struct.unpack_from('<I', first, 440)[0]:08x}"
        partitions, problems = _mbr_partitions(read, slots, size)
        return Table("mbr", partitions, identity, boot_code=boot_code, problems=problems)
    return Table("none", boot_code=boot_code)


def _looks_like_a_file_system(first: bytes) -> bool:
    """A FAT or NTFS boot sector ends with 55 AA too, and its text can look like partition slots."""
    return first[54:57] == b"FAT" or first[82:87] == b"FAT32" or first[3:7] == b"NTFS"


def _slots(sector: bytes) -> tuple[tuple[int, int, int, bool], ...]:
    """The used slots of an MBR: type, first sector, number of sectors, active."""
    found = []
    for offset in range(446, 510, 16):
        status, kind, start, count = struct.unpack_from("<B3xB3xII", sector, offset)
        if status not in (0, 0x80):
            return ()
        if kind and count:
            found.append((kind, start, count, status == 0x80))
    return tuple(found)


def _protective_problems(slots: tuple[tuple[int, int, int, bool], ...], signed: bool) -> tuple[str, ...]:
    if not signed or not slots:
        return ("the GPT has no protective MBR: UEFI does not take the disk as partitioned",)
    if len(slots) > 1:
        return ("the MBR beside the GPT is a hybrid one: UEFI and BIOS see different partitions",)
    return ()


def _mbr_partitions(
    read: Read, slots: tuple[tuple[int, int, int, bool], ...], size: int
) -> tuple[tuple[Partition, ...], tuple[str, ...]]:
    identity = f"{struct.unpack_from('<I', read(440, 4))[0]:08x}"
    found: list[Partition] = []
    for number, (kind, start, count, active) in enumerate(slots, 1):
        found.append(_mbr_partition(number, kind, start, count, active, identity))
        if kind in _MBR_EXTENDED:
            found.extend(_logical(read, start, identity))
    late = tuple(f"partition {p.number} ends after the disk's end" for p in found if p.start + p.size > size)
    return tuple(p for p in found if int(p.type, 16) not in _MBR_EXTENDED), late


def _mbr_partition(number: int, kind: int, start: int, count: int, active: bool, identity: str) -> Partition:
    return Partition(
        number=number,
        type=f"{kind:#04x}",
        start=start * SECTOR,
        size=count * SECTOR,
        uuid=f"{identity}-{number:02x}",
        legacy_bootable=active,
    )


def _logical(read: Read, base: int, identity: str) -> list[Partition]:
    """The logical partitions: a chain of boot records, each with its partition and the place of the next record."""
    found: list[Partition] = []
    at = base
    while len(found) < _MOST_LOGICAL:
        sector = read(at * SECTOR, SECTOR)
        if len(sector) < SECTOR or sector[510:] != b"\x55\xaa":
            break
        slots = _slots(sector)
        own = next((slot for slot in slots if slot[0] not in _MBR_EXTENDED), None)
        following = next((slot for slot in slots if slot[0] in _MBR_EXTENDED), None)
        if own:
            kind, start, count, active = own
            found.append(_mbr_partition(5 + len(found), kind, at + start, count, active, identity))
        if following is None or base + following[1] <= at:
            break
        at = base + following[1]
    return found
