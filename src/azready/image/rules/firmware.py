"""B13–B16: what the firmware finds: EFI programs, BIOS boot code, signatures."""

from collections.abc import Iterator

from azready.image.disk.formats.uki import NotAProgram, Program, read_program
from azready.image.facts import Facts
from azready.image.rules.guards import the_disk
from azready.image.rules.model import Finding, Profile, Severity, Skip, rule

_ESP = "{boot/efi,efi,boot}"
_REMOVABLE = {"x86_64": "BOOTX64.EFI", "aarch64": "BOOTAA64.EFI"}
_LARGEST_PROGRAM = 512 << 20
_MICROSOFT = b"Microsoft Corporation UEFI CA 2011"
_MICROSOFT_2023 = b"Microsoft UEFI CA 2023"


def _removable_loader(facts: Facts) -> str:
    """The path of the program that firmware without boot entries starts; FAT does not care about case."""
    name = _REMOVABLE.get(facts.architecture, "BOOTX64.EFI").lower()
    folder = f"{_ESP}/[Ee][Ff][Ii]/[Bb][Oo][Oo][Tt]/*"
    return next((path for path in facts.files.glob(folder) if path.rpartition("/")[2].lower() == name), "")


def _esp_is_visible(facts: Facts) -> bool:
    return bool(facts.files.glob(f"{_ESP}/[Ee][Ff][Ii]/*"))


@rule(
    "B13",
    "generation 2: the EFI partition has the program that every firmware starts",
    fault="generation 2: the EFI partition has no program that every firmware starts",
    why="A new VM has no boot entry in its firmware. It starts \\EFI\\BOOT\\BOOTX64.EFI (BOOTAA64.EFI on arm64), or "
    "nothing.",
    fix="copy shim there as BOOTX64.EFI, with grubx64.efi and mmx64.efi beside it; or run grub-install --removable",
    sources="UB G2",
    severity=Severity.FATAL,
)
def removable_loader(facts: Facts) -> Iterator[Finding]:
    if facts.disk is not None and facts.disk.table.esp is None:
        raise Skip("the disk has no EFI partition: generation 1 only")
    if not _esp_is_visible(facts):
        if facts.disk is None:
            raise Skip("no EFI partition in the tree")
        yield Finding("the EFI partition holds no program, or its file system cannot be read", "boot/efi")
        return
    if not _removable_loader(facts):
        name = _REMOVABLE.get(facts.architecture, "BOOTX64.EFI")
        yield Finding(f"no \\EFI\\BOOT\\{name}", "boot/efi/EFI/BOOT")


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
)
def signed_chain(facts: Facts) -> Iterator[Finding]:
    path = _removable_loader(facts)
    if not path:
        raise Skip("no EFI boot program to look at")
    loader = _program(facts, path)
    if not loader.signature:
        yield Finding("the program is not signed", path)
    elif _MICROSOFT not in loader.signature and _MICROSOFT_2023 not in loader.signature:
        yield Finding("the signature is not Microsoft's: Secure Boot on Azure refuses it", path)
    for uki in facts.ukis.values():
        if not uki.signed and uki.path != path:
            fix = "sign it with a key that shim or the gallery's definition knows (mkosi: SecureBoot=yes)"
            yield Finding("the unified kernel image is not signed", uki.path, fix)


def _program(facts: Facts, path: str) -> Program:
    try:
        return read_program(facts.files.read_bytes(path, _LARGEST_PROGRAM))
    except NotAProgram as failure:
        raise ValueError(f"/{path}: {failure.message}") from failure
