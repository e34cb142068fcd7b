"""From a disk file to a boot of it: what it is decides firmware, processor and generation."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from azready.boot.qemu.command import Architecture, Bootable, Hardware
from azready.boot.qemu.disk import boot_disk
from azready.boot.record import BootRecord
from azready.boot.series import NOBODY, Onlooker, Plan
from azready.console import SILENT, Console
from azready.errors import UsageFailure
from azready.fabric import Machine
from azready.image.disk import diskfile
from azready.image.disk.formats import Read, fat
from azready.image.disk.formats.identify import QEMU_NAMES
from azready.image.disk.formats.partitions import (
    TYPE_ROOT_ARM64,
    TYPE_ROOT_X86_64,
    Table,
    read_table,
)

_LOADERS: dict[str, Architecture] = {"bootx64.efi": "x86_64", "bootaa64.efi": "aarch64"}


@dataclass(frozen=True)
class DiskFacts:
    """What of a disk decides how it boots."""

    format: str
    size: int
    generations: tuple[int, ...]
    architecture: Architecture
    node: Mapping[str, Any] | None
    """QEMU's block node of a disk whose format can name other files."""
    loaders: tuple[str, ...]
    """The boot loaders that a firmware without memory finds: the files of \\EFI\\BOOT."""


def look(path: Path) -> DiskFacts:
    """Read what decides. Raises UsageFailure for a disk that nothing can boot."""
    disk = diskfile.inspect(path)
    with diskfile.reading(disk) as read:
        table = read_table(read, disk.size)
        loaders = _loaders(read, table)
    if not table.generations:
        raise UsageFailure(
            f"{path} has neither an EFI system partition nor BIOS boot code",
            "is it a whole disk, with its partition table? `azready check` says what is missing",
        )
    name = "raw" if disk.direct else QEMU_NAMES[disk.format]
    below = {**disk.node, "read-only": True} if disk.format in ("qcow2", "vmdk") else None
    return DiskFacts(name, disk.size, table.generations, _architecture(table, loaders), below, loaders)


def _loaders(read: Read, table: Table) -> tuple[str, ...]:
    return () if table.esp is None else fat.names(read, table.esp.start, "EFI/BOOT") or ()


def _architecture(table: Table, loaders: tuple[str, ...]) -> Architecture:
    """By the boot loader, else by the type of the root partition; x86-64 is the only one with BIOS."""
    named = {_LOADERS[name.lower()] for name in loaders if name.lower() in _LOADERS}
    if len(named) == 1:
        return named.pop()
    kinds = {partition.type for partition in table.partitions}
    return "aarch64" if TYPE_ROOT_ARM64 in kinds and TYPE_ROOT_X86_64 not in kinds else "x86_64"


def choose_generation(facts: DiskFacts, wanted: int, chosen: bool) -> int:
    """The generation to boot: the wanted one where the disk can; else the disk's, unless it was asked for."""
    if wanted in facts.generations:
        return wanted
    if chosen:
        raise UsageFailure(
            f"the disk cannot boot as generation {wanted}", f"it boots as generation {facts.generations[0]}"
        )
    return facts.generations[0]


def boot(
    path: Path,
    machine: Machine,
    plan: Plan,
    console: Console = SILENT,
    *,
    generation_chosen: bool = False,
    hardware: Hardware = Hardware(),
    keep_console: Path | None = None,
    onlooker: Onlooker = NOBODY,
    named: str = "",
) -> tuple[BootRecord, ...]:
    """Boot a disk file by its own firmware against the fabric. The file is never changed. `named`: what records call
    it, where the file has a name that nobody knows."""
    facts = look(path)
    generation = choose_generation(facts, machine.generation, generation_chosen)
    if generation != machine.generation:
        console.say(f"{path} boots by {'UEFI' if generation == 2 else 'BIOS'}: the VM is of generation {generation}")
    if generation == 2 and not any(name.lower() in _LOADERS for name in facts.loaders):
        console.warn(
            "the EFI system partition has no \\EFI\\BOOT\\BOOTX64.EFI or BOOTAA64.EFI: a new VM may not find it"
        )
    guest = Bootable(
        architecture=facts.architecture,
        firmware="uefi" if generation == 2 else "bios",
        disk=path,
        format=facts.format,
        size=facts.size,
        node=facts.node,
        hardware=hardware,
    )
    machine = replace(machine, generation=generation)
    return boot_disk(
        guest,
        machine,
        plan,
        console,
        target=named or str(path),
        keep_console=keep_console,
        onlooker=onlooker,
    )
