"""The footer of a fixed VHD, which is all that tells it from a raw disk.

A fixed VHD is the disk's bytes and 512 more; every number is big-endian (Microsoft, "Virtual Hard Disk Image Format
Specification"). Azure takes the size from the field `current size`, and only whole MiB of it (Microsoft, "Create and
upload a generic Linux VHD"). QEMU takes it from the cylinders unless they are at their maximum, so that is what a
footer of ours says: the very bytes of `qemu-img convert -O vpc -o subformat=fixed,force_size`.
"""

import struct
import time
import uuid
from dataclasses import dataclass

MIB = 1 << 20
FOOTER_SIZE = 512
COOKIE = b"conectix"
FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4
SMALLEST = 20 * MIB
"""The least that Azure takes as an upload, without the footer: 20,972,032 bytes with it."""
LARGEST = 32 * 1024 * 1024 * MIB - MIB
"""The most that Azure takes as an upload, without the footer: one MiB under 32 TiB."""

_EPOCH = 946_684_800
_LAYOUT = struct.Struct(">8sIIQI4sI4sQQHBBII16sB427x")
_FEATURES, _VERSION, _NO_DATA_OFFSET = 2, 0x0001_0000, 0xFFFF_FFFF_FFFF_FFFF
_CREATOR, _CREATOR_VERSION, _CREATOR_OS = b"qem2", 0x0005_0003, b"Wi2k"
_MOST_CYLINDERS = (0xFFFF, 16, 255)
_TYPES = {FIXED: "fixed", DYNAMIC: "dynamic", DIFFERENCING: "differencing"}


@dataclass(frozen=True)
class Footer:
    """The fields of a footer; sizes are bytes, `created` is seconds since 1970 in UTC."""

    current_size: int
    original_size: int
    disk_type: int
    data_offset: int
    created: int
    creator: bytes
    geometry: tuple[int, int, int]
    unique_id: uuid.UUID
    version: int
    checksum_matches: bool

    @property
    def kind(self) -> str:
        """`fixed`, `dynamic`, `differencing`, or the number of an unknown type."""
        return _TYPES.get(self.disk_type, f"of type {self.disk_type}")


def whole_mib(size: int) -> int:
    """The least whole number of MiB, in bytes, that holds `size` bytes."""
    return -(-size // MIB) * MIB


def checksum(footer: bytes) -> int:
    """The one's complement of the sum of all bytes but the checksum's own four."""
    return ~(sum(footer[:64]) + sum(footer[68:FOOTER_SIZE])) & 0xFFFF_FFFF


def build(size: int, unique_id: uuid.UUID | None = None, created: int | None = None) -> bytes:
    """The 512 bytes that make a raw disk of `size` bytes a fixed VHD.

    `created` is in seconds since 1970; identity and time are new unless given (give both for reproducible images).
    Raises ValueError where `size` is not a whole number of sectors.
    """
    if size % 512:
        raise ValueError(f"{size} bytes are not whole sectors")
    since = max(0, (int(time.time()) if created is None else created) - _EPOCH) & 0xFFFF_FFFF
    name = (unique_id or uuid.uuid4()).bytes
    fields = (COOKIE, _FEATURES, _VERSION, _NO_DATA_OFFSET, since, _CREATOR, _CREATOR_VERSION, _CREATOR_OS, size, size)
    blank = _LAYOUT.pack(*fields, *_MOST_CYLINDERS, FIXED, 0, name, 0)
    return blank[:64] + struct.pack(">I", checksum(blank)) + blank[68:]


def parse(data: bytes) -> Footer | None:
    """Read a footer (or the copy of it at the head of a dynamic VHD); None where the cookie is missing.

    The footers of Virtual PC before 2004 have 511 bytes; Azure does not know them and they are None here.
    """
    if len(data) < FOOTER_SIZE or not data.startswith(COOKIE):
        return None
    fields = _LAYOUT.unpack(data[:FOOTER_SIZE])
    _, _, version, data_offset, since, creator, _, _, original, current, *rest = fields
    cylinders, heads, sectors, disk_type, stored, name, _ = rest
    return Footer(
        current_size=current,
        original_size=original,
        disk_type=disk_type,
        data_offset=data_offset,
        created=since + _EPOCH,
        creator=creator,
        geometry=(cylinders, heads, sectors),
        unique_id=uuid.UUID(bytes=name),
        version=version,
        checksum_matches=stored == checksum(data),
    )


def problems(footer: Footer, file_size: int) -> tuple[str, ...]:
    """Everything for which Azure would refuse a file of `file_size` bytes that ends with this footer."""
    found = []
    if not footer.checksum_matches:
        found.append("the footer's checksum does not match")
    if footer.disk_type != FIXED:
        found.append(f"the VHD is {footer.kind}; Azure takes only fixed ones")
    elif footer.data_offset != _NO_DATA_OFFSET:
        found.append(f"the footer's data offset is {footer.data_offset:#x}; a fixed VHD has all ones")
    if footer.version != _VERSION:
        found.append(f"the footer's format version is {footer.version:#x}, not {_VERSION:#x}")
    if footer.disk_type == FIXED and footer.current_size != file_size - FOOTER_SIZE:
        found.append(f"the footer says {footer.current_size} bytes, the file holds {file_size - FOOTER_SIZE}")
    if footer.current_size % MIB:
        found.append(f"the virtual size is {footer.current_size} bytes, which is not a whole number of MiB")
    if not SMALLEST <= footer.current_size <= LARGEST:
        found.append(f"the virtual size is {footer.current_size} bytes; Azure takes {SMALLEST} to {LARGEST}")
    return tuple(found)
