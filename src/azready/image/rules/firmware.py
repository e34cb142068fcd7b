"""What the firmware finds: EFI programs, BIOS boot code, signatures."""

from collections.abc import Iterator

from azready.image.disk.formats.uki import NotAProgram, read_program
from azready.image.facts import Facts
from azready.image.facts.disk import plain_name
from azready.image.facts.firmware import LARGEST_PROGRAM, Firmware, removable_name
from azready.image.facts.grub import Search
from azready.image.facts.grub_features import refused
from azready.image.rules.guards import the_boot_entries, the_disk
from azready.image.rules.model import Finding, Profile, Reads, Severity, Skip, rule

_MICROSOFT = (b"Microsoft Corporation UEFI CA 2011", b"Microsoft UEFI CA 2023")


@rule(
    "B13",
    "generation 2: the EFI partition has the program that every firmware starts",
    fault="generation 2: the EFI partition has no program that every firmware starts",
    why="A new VM has no boot entry in its firmware. It starts \\EFI\\BOOT\\BOOTX64.EFI (BOOTAA64.EFI on arm64), or "
    "nothing.",
    fix="copy shim there as BOOTX64.EFI, with grubx64.efi and mmx64.efi beside it; or run grub-install --removable",
    sources="UB G2",
    severity=Severity.FATAL,
    reads=Reads.DISK,
)
def removable_loader(facts: Facts) -> Iterator[Finding]:
    if facts.disk is not None and facts.disk.table.esp is None:
        raise Skip("the disk has no EFI partition: generation 1 only")
    firmware = facts.firmware
    if firmware is None:
        if facts.disk is None:
            raise Skip("no EFI partition in the tree")
        yield Finding("the EFI partition holds no program, or its file system cannot be read", "boot/efi")
    elif not firmware.stages:
        yield Finding(f"no \\EFI\\BOOT\\{removable_name(facts.architecture)}", f"{firmware.partition}/EFI/BOOT")
    elif firmware.problem:
        yield Finding(firmware.problem, firmware.stages[-1].path, "copy grubx64.efi beside shim, in \\EFI\\BOOT")


@rule(
    "B14",
    "generation 1: the disk has BIOS boot code, and somewhere for it to go on",
    fault="generation 1: the disk has no BIOS boot code, or nowhere for it to go on",
    why="Generation 1 boots by BIOS: from the first sector, then from a BIOS boot partition (GPT) or the gap before "
    "the first partition (MBR).",
    fix="grub-install --target=i386-pc DISK (on GPT into a partition of type EF02); or publish the image as "
    "generation 2",
    sources="G2 MKOSI",
    severity=Severity.INFO,
    reads=Reads.DISK,
)
def bios_boot(facts: Facts) -> Iterator[Finding]:
    disk = the_disk(facts)
    if 1 not in disk.table.generations:
        reason = "the first sector holds no boot code" if not disk.table.boot_code else "no BIOS boot partition"
        yield Finding(f"{reason}: generation 1 VMs will not boot it", "", "publish it as V2, or " + bios_boot.fix)


@rule(
    "B15",
    "the disk boots as generation 1 or 2",
    fault="the disk boots neither as generation 1 nor as generation 2",
    why="A disk with neither an EFI partition nor BIOS boot code boots nowhere. NVMe, Trusted Launch and arm64 are "
    "generation 2 only.",
    fix="install a boot loader: an EFI partition with \\EFI\\BOOT\\BOOTX64.EFI makes it generation 2",
    sources="G2 NVME TL",
    severity=Severity.FATAL,
    reads=Reads.DISK,
)
def some_generation(facts: Facts) -> Iterator[Finding]:
    disk = the_disk(facts)
    generations = disk.table.generations
    if not generations:
        yield Finding("neither an EFI partition nor BIOS boot code")
    elif generations == (1,):
        only = "generation 1 only: no NVMe, no Trusted Launch, no newer VM sizes"
        grave = Severity.FATAL if facts.architecture == "aarch64" else Severity.WARNING
        yield Finding(only, severity=grave)


@rule(
    "B16",
    "the boot chain is signed for Secure Boot",
    fault="the boot chain is not signed for Secure Boot",
    why="New gallery definitions allow Trusted Launch, whose Secure Boot refuses a shim that Microsoft has not "
    "signed, and whatever shim does not trust.",
    fix="install the distribution's signed packages (shim-signed, grub-efi-amd64-signed; shim-x64, grub2-efi-x64), "
    "or publish with SecurityType=Standard",
    sources="TL ACG",
    severity={Profile.AZURE: Severity.WARNING, Profile.TRUSTED_LAUNCH: Severity.FATAL},
    reads=Reads.DISK,
)
def signed_chain(facts: Facts) -> Iterator[Finding]:
    stages = facts.firmware.stages if facts.firmware else ()
    if not stages:
        raise Skip("no EFI boot program to look at")
    first, *later = stages
    if first.program is None:
        raise ValueError(f"/{first.path}: not an EFI program")
    if not first.program.signature:
        yield Finding("the program is not signed", first.path)
    elif not any(name in first.program.signature for name in _MICROSOFT):
        yield Finding("the signature is not Microsoft's: Secure Boot on Azure refuses it", first.path)
    for stage in later:
        if stage.program is None or not stage.program.signature:
            yield Finding(f"{stage.name} is not signed: shim refuses it", stage.path)
    if first.role == "shim":
        yield from _unsigned_kernel(facts)
    for uki in facts.ukis.values():
        if not uki.signed and uki.path not in [stage.path for stage in stages]:
            fix = "sign it with a key that shim or the gallery's definition knows (mkosi: SecureBoot=yes)"
            yield Finding("the unified kernel image is not signed", uki.path, fix)


def _unsigned_kernel(facts: Facts) -> Iterator[Finding]:
    """GRUB and systemd-boot have the kernel verified by shim."""
    for kernel in facts.kernels:
        if kernel.default and kernel.image and kernel.uki is None:
            try:
                signed = bool(read_program(facts.files.read_bytes(kernel.image, LARGEST_PROGRAM)).signature)
            except NotAProgram:
                signed = False
            if not signed:
                yield Finding(f"kernel {kernel.version} is not signed: shim lets nobody start it", kernel.image)


@rule(
    "B18",
    "the boot loader finds what it is told to load",
    fault="the boot loader does not find what it is told to load",
    why="GRUB looks for the partition of its menu, and of the kernel, by a UUID or label that was written when it was "
    "installed. Where no file system has it, the boot ends at a `grub>` prompt; where the kernel or the initramfs of "
    "the entry is not there, with an error on the console, or a panic.",
    fix="run grub-install and update-grub (grub2-mkconfig) in the image once it has its final file systems",
    sources="OWN",
    severity=Severity.FATAL,
    reads=Reads.DISK,
)
def loader_finds_its_files(facts: Facts) -> Iterator[Finding]:
    firmware = facts.firmware
    if not (firmware and firmware.searches):
        the_boot_entries(facts)
    if firmware:
        lost = [each for each in firmware.searches if _lost(facts, each)]
        if lost and len(lost) == len(firmware.searches):
            yield from (Finding(_looks_for(each), each.where) for each in lost)
    yield from _unreadable(facts)
    for entry in [each for each in facts.boot_entries if each.effective][:1]:
        for search in entry.searches:
            if _lost(facts, search):
                yield Finding(f"{_looks_for(search)}, where the kernel is to be", search.where)
        for name in entry.missing:
            yield Finding(f"{name} is not there", entry.where)


def _searched_for(facts: Facts, firmware: Firmware) -> set[str]:
    """The file systems that GRUB looks for, itself and for the entry that starts: `uuid=…`, `label=…`."""
    started = [each for each in facts.boot_entries if each.effective][:1]
    searches = [*firmware.searches, *(search for entry in started for search in entry.searches)]
    return {plain_name(f"{search.by}={search.name}") for search in searches}


def _unreadable(facts: Facts) -> Iterator[Finding]:
    """File systems that are there, with features that this GRUB does not know."""
    loader = facts.firmware.loader if facts.firmware else None
    if facts.disk is None or facts.firmware is None or loader is None or loader.role != "grub":
        return
    wanted = _searched_for(facts, facts.firmware)
    fix = "make that file system without them, or install a GRUB that knows them"
    for block in (each.superblock for each in facts.disk.contents if each.superblock):
        found = bool(wanted & {f"uuid={block.uuid}".lower(), f"label={block.label}".lower()})
        if found and (names := refused(loader.data, block)):
            yield Finding(f"GRUB does not read the {block.kind} it looks for: {', '.join(names)}", loader.path, fix)


def _looks_for(search: Search) -> str:
    return f"GRUB looks for the file system {search.by}={search.name}, which is not there"


def _lost(facts: Facts, search: Search) -> bool:
    """Whether it is not on the disk; of a tree, whether it is neither of / nor /boot, where fstab tells both so."""
    name = plain_name(f"{search.by}={search.name}")
    if facts.disk is not None:
        return facts.disk.lacks(f"{search.by}={search.name}")
    mounted = [mount for mount in facts.mounts if mount.folder in ("/", "/boot")]
    names = [plain_name(mount.device) for mount in mounted]
    told = bool(names) and all(each.startswith(f"{search.by.lower()}=") for each in names)
    return told and name not in names and any(mount.folder == "/" for mount in mounted)
