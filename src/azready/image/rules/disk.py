"""The disk file as Azure receives it, its file systems, and what is mounted at boot."""

import re
from collections.abc import Iterator, Sequence

from azready import installed
from azready.image.actions import Action, Remove
from azready.image.disk.formats.partitions import TYPE_SWAP
from azready.image.disk.formats.vhd import whole_mib
from azready.image.facts import Facts, built
from azready.image.facts.disk import Content
from azready.image.facts.mounts import Mount
from azready.image.facts.reading import lstat_of
from azready.image.rules import repairs
from azready.image.rules.guards import the_disk
from azready.image.rules.model import Finding, Profile, Reads, Severity, Skip, rule

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
SMALLEST = 20 * MIB
LARGEST_OS_DISK = 4095 * GIB
LARGEST_GENERATION_1 = 2 * TIB
LARGEST_REPLICATED = 2 * TIB
_CONVERT = "azready convert DISK OUT.vhd"
_DEVICES = ("/dev/sd", "/dev/vd", "/dev/xvd", "/dev/hd", "/dev/nvme", "/dev/mmcblk")
_HARDWARE = ("/dev/disk/by-id/", "/dev/disk/by-path/", "/dev/disk/by-diskseq/")
_DRIVES = ("/dev/sr", "/dev/cdrom", "/dev/dvd", "/dev/fd")
_NETWORK_KINDS = ("nfs", "nfs4", "cifs", "smb3", "glusterfs", "ceph", "fuse.sshfs", "9p", "virtiofs", "vboxsf")
_SWAP_FILES = ("swapfile", "swap.img", "var/swapfile", "var/swap", "swap/swapfile")
_SWAP_MAKERS = ("dphys-swapfile.service", "swapspace.service", "systemd-swap.service")
_SWAP_MBR = "0x82"


@rule(
    "D01",
    "the disk's size is a whole number of MiB",
    fault="the disk's size is not a whole number of MiB",
    why='Azure refuses others: "unsupported virtual size … must be a whole number (in MBs)".',
    fix=f"{_CONVERT} rounds it up, and moves the backup partition table along",
    sources="GEN UB RH CERT",
    severity=Severity.FATAL,
    reads=Reads.DISK,
)
def whole_megabytes(facts: Facts) -> Iterator[Finding]:
    disk = the_disk(facts)
    if disk.size % MIB:
        grown = whole_mib(disk.size)
        grave = None if disk.file.format == "vhd" else Severity.INFO  # converting rounds it
        yield Finding(f"{disk.size} bytes: {grown - disk.size} fewer than {grown // MIB} MiB", severity=grave)


@rule(
    "D02",
    "the disk is a fixed VHD",
    fault="the disk is not a fixed VHD",
    why="Azure takes nothing else: no VHDX, no dynamic or differencing VHD, no qcow2.",
    fix=f"{_CONVERT} makes one of any of them",
    sources="GEN G2",
    severity=Severity.FATAL,
    finished_only=True,
    reads=Reads.DISK,
)
def fixed_vhd(facts: Facts) -> Iterator[Finding]:
    disk = the_disk(facts)
    if disk.file.format != "vhd":
        named_vhd = disk.file.path.suffix.lower() == ".vhd"
        grave = None if named_vhd else Severity.INFO  # a raw or qcow2 disk is on its way: it will be converted
        yield Finding(f"it is {disk.file.format}", severity=grave)


@rule(
    "D03",
    "the VHD's footer is sound",
    fault="the VHD's footer is broken",
    why='A wrong checksum, size or data offset makes Azure refuse the upload: "cookie value", "Invalid VHD".',
    fix=f"{_CONVERT} writes a new one",
    sources="CERT",
    severity=Severity.FATAL,
    reads=Reads.DISK,
)
def sound_footer(facts: Facts) -> Iterator[Finding]:
    disk = the_disk(facts)
    if disk.file.format != "vhd":
        raise Skip(f"{disk.file.format} has no VHD footer")
    for problem in disk.footer_problems:
        yield Finding(problem)


@rule(
    "D04",
    "the disk is neither too small nor too large",
    fault="the disk is too small or too large",
    why="Uploads are 20 MiB to 32 TiB, an OS disk at most 4,095 GiB (2 TiB on MBR or generation 1), a gallery "
    "replicates up to 2 TiB. The marketplace wants 30 to 1,023 GiB.",
    fix="resize the disk; Azure lets a VM ask for a larger OS disk than its image has",
    sources="UPL G2 ACG CERT",
    severity=Severity.FATAL,
    reads=Reads.DISK,
)
def right_size(facts: Facts) -> Iterator[Finding]:
    disk = the_disk(facts)
    size = disk.size
    if size < SMALLEST:
        yield Finding(f"{size / MIB:.1f} MiB: Azure takes 20 MiB or more")
    if size > LARGEST_OS_DISK:
        yield Finding(f"{size / GIB:.0f} GiB: an OS disk has at most 4,095 GiB")
    elif size > LARGEST_GENERATION_1 and (disk.table.scheme == "mbr" or disk.table.generations == (1,)):
        yield Finding(f"{size / TIB:.1f} TiB: with MBR or generation 1 nothing beyond 2 TiB is used")
    elif size > LARGEST_REPLICATED:
        yield Finding(f"{size / TIB:.1f} TiB: a gallery replicates it only in shallow mode", severity=Severity.WARNING)


@rule(
    "D05",
    "the partition table is sound, its backup in the last sector",
    fault="the partition table is broken, or its backup is not in the last sector",
    why="After padding, the GPT's backup must have moved along: firmware and resizing tools warn, or refuse.",
    fix=f"{_CONVERT} moves the backup; for other damage: gdisk or sgdisk -e",
    sources="OWN",
    severity=Severity.WARNING,
    reads=Reads.DISK,
)
def sound_table(facts: Facts) -> Iterator[Finding]:
    disk = the_disk(facts)
    for problem in disk.table.problems:
        yield Finding(problem, severity=Severity.FATAL if "will not boot" in problem else None)


@rule(
    "D06",
    "the first partition begins at 1 MiB or later, with nothing before it",
    fault="the first partition begins before 1 MiB",
    why="The marketplace's test reads the first MiB.",
    fix="partition the disk with 1 MiB alignment",
    sources="CERT",
    severity={Profile.MARKETPLACE: Severity.WARNING},
    reads=Reads.DISK,
)
def first_mib(facts: Facts) -> Iterator[Finding]:
    table = the_disk(facts).table
    start = min((partition.start for partition in table.partitions), default=MIB)
    if start < MIB:
        yield Finding(f"the first partition begins at {start // 1024} KiB")
    elif the_disk(facts).first_mib_used and table.scheme == "gpt":
        yield Finding("the first MiB holds something beyond boot code and partition table")


def _drop_swap(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    ours = [each for each in findings if not each.by_hand]
    yield from repairs.drop_lines(facts, ours)
    for finding in ours:
        if finding.path and not finding.line:
            yield from (Remove(path) for path in (*_links_to(facts, finding.path), finding.path))


def _links_to(facts: Facts, unit: str) -> tuple[str, ...]:
    return facts.units.wanted.get(unit.rpartition("/")[2], ()) if unit.endswith(".swap") else ()


@rule(
    "D07",
    "no swap on the OS disk",
    fault="there is swap on the OS disk",
    why="Swapping uses up the OS disk's operations and makes the VM crawl; the marketplace forbids it. Swap belongs "
    "on the temporary disk, or in zram.",
    fix="remove the fstab line and the file; a partition: delete it, or change its type",
    sources="LISA GEN CERT",
    severity=Severity.ERROR,
    repair=_drop_swap,
    reads=Reads.DISK,
)
def no_swap(facts: Facts) -> Iterator[Finding]:
    yield from _swap_mounts(facts)
    for path in _SWAP_FILES:
        found = lstat_of(facts.files, path)
        if found and found.kind == "file" and found.size >= MIB:
            yield Finding(f"a swap file of {found.size // MIB} MiB", path)
    yield from _swap_units(facts)
    for content in facts.disk.contents if facts.disk else ():
        if content.partition.type in (TYPE_SWAP, _SWAP_MBR) or _kind(content) == "swap":
            what = f"partition {content.partition.number} is swap: it is found without fstab too"
            yield Finding(what, fix="delete the partition")


def _swap_mounts(facts: Facts) -> Iterator[Finding]:
    """fstab: on Azure's temporary disk swap may stay, where a VM without one does not wait for it."""
    for mount in facts.mounts:
        if mount.kind != "swap" or mount.device.startswith("/dev/zram"):
            continue
        if not _on_temporary_disk(facts, mount.device):
            yield Finding(f"swap on {mount.device}", f"etc/fstab:{mount.line}")
        elif not mount.may_be_missing:
            what, fix = f"swap on {mount.device}: newer sizes have no temporary disk, and wait for it", "add nofail"
            yield Finding(what, f"etc/fstab:{mount.line}", fix, Severity.WARNING, by_hand=True)


def _swap_units(facts: Facts) -> Iterator[Finding]:
    for name, path in facts.units.installed.items():
        if name.endswith(".swap") and (path.startswith("etc/") or facts.units.enabled(name)):
            yield Finding(f"/{path} switches swap on", path)
    for name in _SWAP_MAKERS:
        if name in facts.units.installed and facts.units.enabled(name):
            fix = f"systemctl disable {name}"
            yield Finding(f"{name} makes a swap file at boot", facts.units.installed[name], fix, by_hand=True)


_TEMPORARY = re.compile(r"/dev/disk/(azure/(resource|scsi/|local/)|cloud/azure_resource)|/mnt/resource/")


def _on_temporary_disk(facts: Facts, device: str) -> bool:
    """By the links of the agents and of azure-vm-utils, or as a file below where that disk is mounted."""
    folders = [f"{mount.folder.rstrip('/')}/" for mount in facts.mounts if _TEMPORARY.match(mount.device)]
    return bool(_TEMPORARY.match(device)) or device.startswith(tuple(folders))


def _kind(content: Content) -> str:
    return content.superblock.kind if content.superblock else ""


@rule(
    "D08",
    "the root is a plain partition",
    fault="the root is not a plain partition",
    why="Nothing grows an LVM, RAID or LUKS root by itself, and a volume group of the same name cannot be attached to "
    "another VM for rescue.",
    fix="use a plain partition, the root last; LVM works when the image grows it itself",
    sources="GEN CERT",
    severity=Severity.INFO,
    reads=Reads.DISK,
)
def plain_root(facts: Facts) -> Iterator[Finding]:
    for content in the_disk(facts).contents:
        if _kind(content) in ("lvm", "luks", "raid"):
            grave = Severity.WARNING if _kind(content) != "lvm" else None
            yield Finding(f"partition {content.partition.number} is {_kind(content)}", severity=grave)


@rule(
    "D09",
    "fstab names what will be there, by UUID or label",
    fault="fstab names what may not be there",
    why="A mount whose device is missing sends the boot into emergency mode unless it is nofail; device names change "
    "with the controller.",
    fix="write UUID=… (blkid shows it); add nofail to everything that is not needed to boot",
    sources="DEB UB RH LISA",
    severity=Severity.ERROR,
)
def mounts_by_name(facts: Facts) -> Iterator[Finding]:
    if facts.text("etc/fstab") is None and not facts.systemd:
        raise Skip("no /etc/fstab")
    for mount in facts.mounts:
        yield from _mount_problems(facts, mount)
    yield from _mount_units(facts)
    for number, line in enumerate((facts.text("etc/crypttab") or "").splitlines(), 1):
        words = line.split()
        if len(words) > 1 and not line.startswith("#") and words[1].startswith(_DEVICES):
            yield Finding(f"{words[0]} is on {words[1]}", f"etc/crypttab:{number}")
        elif _waited_for_in_vain(facts, line, words):
            text = f"{words[0]} is on {words[1]}, which is not on the disk: the boot waits for it"
            yield Finding(text, f"etc/crypttab:{number}", "remove the line, or add nofail to its options")


def _waited_for_in_vain(facts: Facts, line: str, words: Sequence[str]) -> bool:
    options = set(",".join(words[3:]).split(","))
    if len(words) < 2 or line.startswith("#") or {"nofail", "noauto"} & options:
        return False
    return bool(facts.disk and facts.disk.lacks(words[1]))


def _mount_units(facts: Facts) -> Iterator[Finding]:
    """Units that are fstab's lines in other words."""
    for name, path in facts.units.installed.items():
        if not name.endswith(".mount") or not facts.units.enabled(name):
            continue
        required = any("local-fs.target.requires/" in link for link in facts.units.wanted.get(name, ()))
        for device in facts.units.values(name, "Mount", "What"):
            fix = f"systemctl disable {name}"
            if device.startswith(_DRIVES):
                yield Finding(f"{device}: the drive may be empty, or not there", path, fix, Severity.FATAL)
            elif device.startswith((*_DEVICES, *_HARDWARE)) or (facts.disk and facts.disk.lacks(device)):
                text = f"{device}: the boot waits for it, and it may not be there"
                yield Finding(text, path, fix, None if required else Severity.WARNING)


def _mount_problems(facts: Facts, mount: Mount) -> Iterator[Finding]:
    where = f"etc/fstab:{mount.line}"
    if mount.kind == "swap":
        return  # D07
    if mount.device.startswith(_DEVICES) and not mount.device.startswith(_DRIVES):
        grave = Severity.WARNING if mount.may_be_missing else None
        yield Finding(f"{mount.device} on {mount.folder}: the name may be another disk's", where, severity=grave)
    elif not mount.may_be_missing:
        yield from _needed_and_missing(facts, mount, where)


def _needed_and_missing(facts: Facts, mount: Mount, where: str) -> Iterator[Finding]:
    """Of a mount without which the boot stops."""
    if mount.device.startswith(_DRIVES):
        yield Finding(f"{mount.device}: the drive may be empty, or not there", where, "remove the line", Severity.FATAL)
    elif mount.kind in _NETWORK_KINDS:
        yield Finding(f"{mount.device} on {mount.folder} is a network mount without nofail", where)
    elif mount.device.startswith("/dev/disk/cloud/"):
        yield Finding(f"{mount.device}: the link vanishes with the agent that made it", where, severity=Severity.FATAL)
    elif mount.device.startswith(_HARDWARE):
        yield Finding(f"{mount.device} on {mount.folder}: a name of the hardware that the image was made on", where)
    elif facts.disk and facts.disk.lacks(mount.device):
        what = f"{mount.device} on {mount.folder}: no such file system on the disk"
        yield Finding(what, where, severity=Severity.FATAL)
    elif facts.disk:
        yield from _wrong_kind(mount, facts.disk.kind_of(mount.device), where)


def _wrong_kind(mount: Mount, kind: str, where: str) -> Iterator[Finding]:
    """The root is mounted already, by the initramfs: systemd then only looks at its options."""
    mounting = {kind, "auto", *(("ext3", "ext4") if kind in ("ext2", "ext3") else ())}
    mounting |= {"msdos", "umsdos"} if kind == "vfat" else set()
    if kind not in ("", "luks", "lvm", "raid", "swap") and not mounting & set(mount.kind.split(",")):
        grave = Severity.WARNING if mount.folder == "/" else Severity.FATAL
        what = f"{mount.device} on {mount.folder} is {kind}, not {mount.kind}: it is not mounted"
        yield Finding(what, where, f"write {kind}", grave)


@rule(
    "D10",
    "the file systems are clean",
    fault="a file system was not shut down cleanly",
    why="A file system that was not unmounted is repaired at the first boot of every VM, or mounted read-only.",
    fix="shut the machine down properly before taking the image; offline: e2fsck -p, or mount and unmount it once",
    sources="OWN",
    severity=Severity.WARNING,
    reads=Reads.DISK,
)
def clean_file_systems(facts: Facts) -> Iterator[Finding]:
    for content in the_disk(facts).contents:
        if content.superblock and content.superblock.dirty:
            kind, number = content.superblock.kind, content.partition.number
            yield Finding(f"{kind} on partition {number}: {content.superblock.dirty}")


_GROWERS = (
    "systemd-growfs-root.service",
    "systemd-growfs@-.service",
    "growroot.service",
    "growpart.service",
    "rootfs-grow.service",
)
_GROWING_PACKAGES = ("cloud-initramfs-growroot", "dracut-modules-growroot", "growpart-rootgrow")


@rule(
    "D11",
    "the root grows to the size of the disk",
    fault="the root does not grow to the disk's size",
    why="cloud-init used to do it. Without it a VM with a larger OS disk never uses the rest.",
    fix="azready prepare --grow (sets GROW=yes for our program); or systemd-repart with x-systemd.growfs in fstab",
    sources="SD CI",
    severity=Severity.WARNING,
)
def root_grows(facts: Facts) -> Iterator[Finding]:
    settings = facts.text(installed.SETTINGS) or ""
    if "GROW=yes" in settings.replace('"', "").replace(" ", ""):
        yield from _missing_growers(facts)
        return
    growfs = any(mount.folder == "/" and "x-systemd.growfs" in mount.options for mount in facts.mounts)
    if (growfs and _repart_runs(facts)) or facts.units.enabled(*_GROWERS):
        return
    if facts.cloud_init and facts.cloud_init.grows and facts.cloud_init.runs("growpart"):
        yield from _missing_growpart(facts)
        return
    if any(name in facts.packages for name in _GROWING_PACKAGES):
        return
    if not facts.mounts and _repart_runs(facts):
        return  # the root is found by its partition type, and bit 59 of the partition asks for growing
    yield Finding("nothing grows the root partition and its file system")


def _missing_growpart(facts: Facts) -> Iterator[Finding]:
    if not facts.program("growpart"):
        fix = "install what has growpart (cloud-guest-utils, cloud-utils-growpart)"
        yield Finding("cloud-init grows the root only where it finds growpart", "", fix, Severity.INFO)


def _repart_runs(facts: Facts) -> bool:
    return bool(facts.program("systemd-repart") and facts.files.glob("{etc,usr/lib,usr/local/lib}/repart.d/*.conf"))


def _missing_growers(facts: Facts) -> Iterator[Finding]:
    """The tools without which the guest program leaves the root as it is."""
    has = facts.program
    if not ((has("sfdisk") and (has("partx") or has("growpart"))) or (has("sgdisk") and has("growpart"))):
        yield Finding("GROW=yes, but the image has no sfdisk, with growpart or partx", fix="install fdisk (sfdisk)")
    kind = next((mount.kind for mount in facts.mounts if mount.folder == "/"), "")
    tool = {"xfs": "xfs_growfs", "btrfs": "btrfs"}.get(kind, "resize2fs" if kind.startswith("ext") else "")
    if tool and not has(tool):
        yield Finding(f"GROW=yes, but the image has no {tool}", fix=f"install what has {tool}")


@rule(
    "D12",
    "there is free space",
    fault="there is little free space",
    why="The first boot writes keys, accounts, logs; a full file system makes provisioning fail.",
    fix="make the file system larger, or the image smaller",
    sources="OWN",
    severity=Severity.ERROR,
    reads=Reads.DISK,
)
def free_space(facts: Facts) -> Iterator[Finding]:
    for content in the_disk(facts).contents:
        block = content.superblock
        if block is None or block.free is None or block.kind not in ("ext2", "ext3", "ext4", "xfs", "btrfs"):
            continue
        if block.free < 16 * MIB and block.size > 64 * MIB:
            yield Finding(f"partition {content.partition.number}: {block.free // MIB} MiB free")


@rule(
    "D13",
    "the system is one, and can be changed where it lies",
    fault="the system is built as a whole, or is one of two on the disk",
    why="What is hashed or deployed is not changed in place: prepare and `generalize` refuse it. Of two systems an "
    "update starts the other one, which nobody has looked at.",
    fix="leave agents out and add the guest program where the image is built: docs/prepare.md",
    sources="OWN",
    severity=Severity.INFO,
    reads=Reads.DISK,
)
def one_system(facts: Facts) -> Iterator[Finding]:
    if guarded := built.verity(facts.boot_entries):
        place = "/" if guarded == "root" else "/usr"
        yield Finding(
            f"dm-verity guards {place}: whatever is changed in it stops the boot", facts.boot_entries[0].where
        )
    if built.deployed(facts.files):
        yield Finding("ostree deploys it as an image (bootc, CoreOS, Silverblue)")
    if facts.files.exists("etc/NIXOS"):
        yield Finding("NixOS makes it of its configuration")
    if names := built.slots(facts.disk):
        fix = "prepare, seal and check both; or keep one of them in the image, and let the first update bring the other"
        yield Finding(f"an A/B disk ({', '.join(names)}): only the system that starts first is looked at", fix=fix)
