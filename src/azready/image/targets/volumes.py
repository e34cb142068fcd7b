"""Which file systems a disk holds, and where its fstab puts them, or else the Discoverable Partitions Specification:
decided from bytes and text, nothing is mounted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from azready.image.disk.formats import (
    Read,
    lvm,
    partitions,
    superblocks,
)

_MOUNTED = ("ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "squashfs", "erofs")
_ROOT_KINDS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "squashfs", "erofs")
_ROOT_TYPES = (partitions.TYPE_ROOT_X86_64, partitions.TYPE_ROOT_ARM64)
_ESP_PLACES = ("boot/efi", "efi", "boot")
_PLACES = {
    partitions.TYPE_USR_X86_64: "usr",
    partitions.TYPE_USR_ARM64: "usr",
    partitions.TYPE_XBOOTLDR: "boot",
    partitions.TYPE_HOME: "home",
    partitions.TYPE_SRV: "srv",
}
"""What systemd mounts by the partition's type alone. Not /var: that one is the machine's own, known by its identity."""


@dataclass(frozen=True)
class Volume:
    """A partition or logical volume: `start` and `size` in bytes of the disk, what is in it, and all its names."""

    start: int
    size: int
    kind: str
    names: frozenset[str]
    """As fstab may write it: `UUID=…`, `PARTUUID=…`, `/dev/mapper/group-name`, and `#N` for the partition's number."""
    root: bool = False
    esp: bool = False
    place: str = ""
    """Where the partition's type puts it, when fstab does not say: `usr`, `boot`, `home`, `srv`, or nowhere."""


@dataclass(frozen=True)
class Mounting:
    """A volume and where it goes in the root, with the options of fstab that decide what is seen."""

    path: str
    volume: Volume
    subvolume: str = ""


def find_volumes(read: Read, size: int) -> tuple[Volume, ...]:
    """Every volume of a disk of `size` bytes; a file system without a partition table is one at its begin."""
    table = partitions.read_table(read, size)
    if table.scheme == "none":
        return tuple(_volumes_at(read, 0, size, ("#0",), ""))
    return tuple(
        volume
        for each in table.partitions
        for volume in _volumes_at(
            read,
            each.start,
            each.size,
            (f"#{each.number}", f"PARTUUID={each.uuid.lower()}", f"PARTLABEL={each.name}"),
            each.type,
            table.esp is not None and each.number == table.esp.number,
        )
    )


def _volumes_at(
    read: Read, start: int, size: int, names: Sequence[str], kind: str, esp: bool = False
) -> Iterator[Volume]:
    block = superblocks.probe(read, start)
    if block is None:
        return
    if block.kind == "lvm":
        yield from _logical_volumes(read, start)
    else:
        yield _volume(block, start, size, names, kind, esp)


def _logical_volumes(read: Read, start: int) -> Iterator[Volume]:
    """What a physical volume holds. One in it is passed over, as LVM itself does (lvm.conf(5), scan_lvs): an image may
    put one into itself."""
    for logical in lvm.volumes(read, start):
        names = _logical_names(logical)
        if logical.start is None:
            yield Volume(0, 0, "scattered", frozenset(names[:1]))
            continue
        block = superblocks.probe(read, start + logical.start)
        if block is not None and block.kind != "lvm":
            yield _volume(block, start + logical.start, logical.size, names)


def _volume(
    block: superblocks.Superblock, start: int, size: int, names: Sequence[str], kind: str = "", esp: bool = False
) -> Volume:
    more = {f"UUID={block.uuid.lower()}", f"LABEL={block.label}"} if block.uuid or block.label else set()
    every = frozenset({*names, *more})
    return Volume(start, size, block.kind, every, kind in _ROOT_TYPES, esp, _PLACES.get(kind, ""))


def _logical_names(logical: lvm.LogicalVolume) -> tuple[str, str]:
    doubled = (part.replace("-", "--") for part in (logical.group, logical.name))
    return f"/dev/{logical.group}/{logical.name}", f"/dev/mapper/{'-'.join(doubled)}"


def root_candidates(volumes: Sequence[Volume]) -> list[Volume]:
    """The volumes that may hold the root, the likeliest first: its partition type, then its size."""
    fit = [volume for volume in volumes if volume.kind in _ROOT_KINDS]
    return sorted(fit, key=lambda volume: (not volume.root, -volume.size))


def from_fstab(text: str, volumes: Sequence[Volume]) -> list[Mounting]:
    """What fstab mounts besides the root, parents first; entries for other disks and network shares are left out."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if line.lstrip().startswith("#") or len(fields) < 4:
            continue
        device, path, options = fields[0], fields[1].replace("\\040", " "), fields[3].split(",")
        volume = next((each for each in volumes if _is_named(each, device)), None)
        if volume is None or volume.kind not in _MOUNTED or path in ("/", "none", "swap"):
            continue
        subvolume = next((option.partition("=")[2] for option in options if option.startswith("subvol=")), "")
        found.append(Mounting(path.strip("/"), volume, subvolume))
    return sorted(found, key=lambda mounting: mounting.path.count("/"))


def by_type(mounted: Sequence[Mounting], volumes: Sequence[Volume]) -> list[Mounting]:
    """What systemd finds by partition types: the first of each kind, where fstab mounts nothing there."""
    found: dict[str, Mounting] = {}
    for volume in volumes:
        if volume.place and volume.kind in _MOUNTED and all(each.volume != volume for each in mounted):
            found.setdefault(volume.place, Mounting(volume.place, volume))
    taken = {each.path for each in mounted}
    return [mounting for path, mounting in found.items() if path not in taken]


def _is_named(volume: Volume, device: str) -> bool:
    kind, equals, value = device.replace('"', "").partition("=")
    if equals:
        wanted = f"{kind}={value.lower() if kind in ('UUID', 'PARTUUID') else value}"
        return wanted in volume.names
    for folder, key in (("by-uuid", "UUID"), ("by-label", "LABEL"), ("by-partuuid", "PARTUUID")):
        if device.startswith(f"/dev/disk/{folder}/"):
            return f"{key}={device.rpartition('/')[2]}" in volume.names
    digits = device[len(device.rstrip("0123456789")) :]
    disk = device.startswith(("/dev/sd", "/dev/vd", "/dev/xvd", "/dev/hd", "/dev/nvme"))
    return device in volume.names or (disk and f"#{digits}" in volume.names)


def esp_place(names_in_root: Sequence[str], mounted: Sequence[Mounting], volumes: Sequence[Volume]) -> Mounting | None:
    """Where the EFI system partition is usual, when fstab does not say: the first such folder that is there."""
    esp = next((volume for volume in volumes if volume.esp and volume.kind == "vfat"), None)
    if esp is None or any(mounting.volume == esp for mounting in mounted):
        return None
    taken = {mounting.path for mounting in mounted}
    place = next((path for path in _ESP_PLACES if path in names_in_root and path not in taken), None)
    return Mounting(place, esp) if place else None
