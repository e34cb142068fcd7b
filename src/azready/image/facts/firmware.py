"""The boot chain before the kernel, as a new VM's firmware goes through it: \\EFI\\BOOT\\BOOT*.EFI, what that loads,
and where GRUB looks for its menu.

Facts: the UEFI specification, 3.5.1.1 (removable media); shim's README.fallback and its second stage, whose name is in
the binary (`grub.efi` at SUSE, `grubx64.efi` elsewhere); GRUB's prefix and configuration, which are in its binary too.
The EFI partition's FAT knows no upper and lower case.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from azready.image.disk.formats.uki import NotAProgram, Program, read_program
from azready.image.facts.grub import Search, parse_search
from azready.image.facts.reading import names_in, text_of
from azready.image.targets import Files

PLACES = ("boot/efi", "efi", "boot")
_REMOVABLE = {"x86_64": "BOOTX64.EFI", "aarch64": "BOOTAA64.EFI"}
_SECOND = {"x86_64": "grubx64.efi", "aarch64": "grubaa64.efi"}
_FALLBACK = {"x86_64": "fbx64.efi", "aarch64": "fbaa64.efi"}
_CSV = {"x86_64": "BOOTX64.CSV", "aarch64": "BOOTAA64.CSV"}
LARGEST_PROGRAM = 512 << 20
_UTF16_NAME = re.compile(rb"\\\0((?:[\w.-]\0)+?\.\0e\0f\0i\0)", re.IGNORECASE)
_HELPERS = re.compile(r"(fb\w*|fallback|mm\w*|mokmanager)\.efi$", re.IGNORECASE)
_PREFIX = re.compile(rb"/EFI/([\w.-]+)")
_EMBEDDED = re.compile(rb"search(?:\.\w+)? [^\0\n]{1,200}")

Role = Literal["shim", "fallback", "grub", "systemd-boot", "uki", "unknown"]


@dataclass(frozen=True, eq=False)
class Stage:
    """A program of the chain: its path in the image, and what it is by its own bytes."""

    path: str
    data: bytes
    program: Program | None
    """None where it is no EFI program."""

    @cached_property
    def role(self) -> Role:
        """What it does next depends on this."""
        sections = self.program.sections if self.program else {}
        if ".linux" in sections:
            return "uki"
        if b"UEFI SHIM" in self.data or b"\nshim," in sections.get(".sbat", b""):
            return "shim"
        if b"LoaderInfo: systemd-boot" in self.data:
            return "systemd-boot"
        return "grub" if b"\ngrub," in sections.get(".sbat", b"") or b"GRUB" in self.data else "unknown"

    @property
    def name(self) -> str:
        """As firmware spells it: `\\EFI\\BOOT\\BOOTX64.EFI`."""
        return "\\" + re.sub(r"^(boot/efi|efi|boot)/", "", self.path).replace("/", "\\")


@dataclass(frozen=True)
class Firmware:
    """The chain of an image with an EFI partition. `partition` is where that lies in the image."""

    partition: str
    stages: tuple[Stage, ...]
    """From the program that firmware starts to the boot loader; empty where there is none."""
    problem: str = ""
    """Why the chain ends before a boot loader."""
    stubs: tuple[str, ...] = ()
    """The configurations that GRUB reads first, on the EFI partition."""
    searches: tuple[Search, ...] = ()
    """What GRUB looks for to find its menu: of the stubs, and of its own binary."""

    @property
    def loader(self) -> Stage | None:
        """The last program of a chain that is whole."""
        return self.stages[-1] if self.stages and not self.problem else None


def removable_name(architecture: str) -> str:
    """The program that firmware without boot entries starts."""
    return _REMOVABLE.get(architecture, "BOOTX64.EFI")


def gather_firmware(files: Files, architecture: str) -> Firmware | None:
    """None where the image shows no EFI partition with programs in it."""
    known = architecture if architecture in _REMOVABLE else "x86_64"
    places = [place for place in PLACES if names_in(files, _lookup(files, place, "EFI") or f"{place}/EFI")]
    paths = {place: _lookup(files, place, "EFI", "BOOT", _REMOVABLE[known]) for place in places}
    if not places:
        return None
    partition = next((place for place in places if paths[place]), places[0])
    path = paths[partition]
    stages, problem = _follow(files, partition, path, known) if path else ((), "")
    loader = stages[-1] if stages and not problem else None
    if loader is None or loader.role not in ("grub", "unknown"):
        return Firmware(partition, stages, problem)
    return _with_searches(files, Firmware(partition, stages, problem), loader)


def _with_searches(files: Files, firmware: Firmware, grub: Stage) -> Firmware:
    """With where GRUB looks for its menu: by what is built in, else by the menus beside it."""
    if built_in := tuple(_built_in(grub)):
        return replace(firmware, searches=built_in)
    stubs = _stubs(files, firmware.partition, grub)
    searches = (each for stub in stubs for each in _searches(text_of(files, stub) or "", stub))
    return replace(firmware, stubs=stubs, searches=tuple(searches))


def _built_in(loader: Stage) -> Iterator[Search]:
    """What grub-install writes into the program itself, which then reads no configuration of the EFI partition."""
    for found in _EMBEDDED.findall(loader.data) if loader.role == "grub" else ():
        if search := parse_search(found.decode(errors="replace"), loader.path, {}):
            yield search


def _lookup(files: Files, folder: str, *names: str) -> str:
    """The path of names below a folder, in any case; empty where one is not there."""
    for name in names:
        there = next((each for each in names_in(files, folder) if each.lower() == name.lower()), None)
        if there is None:
            return ""
        folder = f"{folder}/{there}"
    return folder


def _stage(files: Files, path: str) -> Stage:
    data = files.read_bytes(path, LARGEST_PROGRAM)
    try:
        return Stage(path, data, read_program(data))
    except NotAProgram:
        return Stage(path, data, None)


def _follow(files: Files, partition: str, path: str, architecture: str) -> tuple[tuple[Stage, ...], str]:
    """The stages from a program on, and why they end too early."""
    stage = _stage(files, path)
    if stage.role != "shim":
        return (stage,), ""
    folder = path.rpartition("/")[0]
    named = list(dict.fromkeys(found.replace(b"\0", b"").decode() for found in _UTF16_NAME.findall(stage.data)))
    helpers = [name for name in named if _HELPERS.match(name) and not name.lower().startswith("m")]
    fallback = next(
        (there for name in helpers or [_FALLBACK[architecture]] if (there := _lookup(files, folder, name))), ""
    )
    if fallback and folder.lower().endswith("/boot"):
        stages, problem = _fall_back(files, partition, architecture)
        return (stage, _stage(files, fallback), *stages), problem
    second = next((name for name in named if not _HELPERS.match(name)), _SECOND[architecture])
    there = _lookup(files, folder, second)
    if not there:
        return (stage,), f"shim finds nothing to load: no \\{folder[len(partition) + 1 :]}\\{second}".replace("/", "\\")
    return (stage, _stage(files, there)), ""


def _fall_back(files: Files, partition: str, architecture: str) -> tuple[tuple[Stage, ...], str]:
    """fallback makes boot entries of every \\EFI\\*\\BOOT*.CSV and starts the first that it can."""
    root = _lookup(files, partition, "EFI")
    problem = f"fallback finds no \\EFI\\*\\{_CSV[architecture]} to start from"
    for name in names_in(files, root):
        csv = _lookup(files, root, name, _CSV[architecture]) or _lookup(files, root, name, "BOOT.CSV")
        if name.lower() == "boot" or not csv:
            continue
        for program in _listed(files.read_bytes(csv)):
            path = _lookup(files, root, name, program)
            if not path:
                problem = f"fallback is to start \\EFI\\{name}\\{program}, which is not there"
                continue
            stages, problem = _follow(files, partition, path, architecture)
            if not problem:
                return stages, ""
    return (), problem


def _listed(csv: bytes) -> Iterator[str]:
    text = csv.decode("utf-16" if csv[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-16-le", "replace")
    for line in text.splitlines():
        if name := line.partition(",")[0].strip("\0 \ufeff"):
            yield name


def _stubs(files: Files, partition: str, loader: Stage) -> tuple[str, ...]:
    """The configuration in the folder that GRUB was built for, else beside it; else any that is there."""
    root = _lookup(files, partition, "EFI")
    named = [found.decode() for found in _PREFIX.findall(loader.data)]
    beside = loader.path.rpartition("/")[0].rpartition("/")[2]
    for folder in (*named, beside):
        if found := _lookup(files, root, folder, "grub.cfg"):
            return (found,)
    return tuple(found for folder in names_in(files, root) if (found := _lookup(files, root, folder, "grub.cfg")))


def _searches(text: str, where: str) -> Iterator[Search]:
    variables = dict(re.findall(r"(?m)^[ \t]*set\s+(\w+)=[\"']?([^\"'\s]+)", text))
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*(linux|menuentry|blscfg)", line):
            return  # a whole menu: its own searches are read with it
        if found := parse_search(line, f"{where}:{number}", variables):
            yield found
