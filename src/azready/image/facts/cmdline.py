"""The kernel command lines an image boots with: GRUB's menu, boot loader entries, extlinux, unified kernel images.

Sources: GRUB's manual, the UAPI group's Boot Loader Specification, syslinux's configuration page, kernel-install(8).
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from azready.image.disk.formats.uki import Uki
from azready.image.facts.reading import first_there, numbered, shell_values, text_of
from azready.image.targets import Files

GRUB_MENUS = ("boot/grub/grub.cfg", "boot/grub2/grub.cfg")
GRUB_ENVIRONMENTS = ("boot/grub2/grubenv", "boot/grub/grubenv", "boot/efi/EFI/*/grubenv")
BLS_ENTRIES = ("boot/loader/entries/*.conf", "boot/efi/loader/entries/*.conf", "efi/loader/entries/*.conf")
EXTLINUX = ("boot/extlinux.conf", "boot/extlinux/extlinux.conf", "boot/syslinux/syslinux.cfg")
_GRUB_LINE = re.compile(r"\s*linux(?:16|efi)?\s+(\S+)\s*(.*)")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_RESCUE = frozenset({"single", "recovery", "systemd.unit=rescue.target", "rescue", "1"})


@dataclass(frozen=True)
class BootEntry:
    """A way to boot: the kernel's path as the loader names it, the arguments, and where they stand."""

    kernel: str
    args: tuple[str, ...]
    where: str
    """Path, with the line number where there are many entries in the file."""
    effective: bool = True
    """False when this is only what the next boot loader update will write (no menu was found)."""
    initramfs: str = ""
    """Its path in the image, where the entry names one that is there."""
    version: str = ""
    """The kernel's, where the entry says it."""

    def values(self, name: str) -> list[str]:
        """The values of every `name=value`, in order: the kernel takes the last of most, all of `console`."""
        return [arg.partition("=")[2] for arg in self.args if arg.startswith(f"{name}=")]

    def has(self, arg: str) -> bool:
        """Whether the argument stands there, exactly."""
        return arg in self.args

    @property
    def rescue(self) -> bool:
        """A recovery entry: it is meant to differ."""
        return bool(_RESCUE & set(self.args)) or "rescue" in self.kernel


def gather_boot_entries(files: Files, ukis: Iterable[Uki]) -> tuple[BootEntry, ...]:
    """All entries, in the order of the menu; predicted ones from the sources where no menu is."""
    variables = grub_environment(files)
    entries: list[BootEntry] = []
    for path in GRUB_MENUS:
        entries += grub_entries(text_of(files, path) or "", path, variables)
    bls = sorted((path for pattern in BLS_ENTRIES for path in files.glob(pattern)), reverse=True)
    for path in bls:
        entries += (_with_initramfs(entry, files) for entry in bls_entries(text_of(files, path) or "", path, variables))
    for path in EXTLINUX:
        entries += extlinux_entries(text_of(files, path) or "", path)
    entries += [BootEntry(uki.path, _words(uki.cmdline), uki.path) for uki in ukis if uki.cmdline]
    return tuple(entries) or tuple(_predicted(files))


def grub_environment(files: Files) -> dict[str, str]:
    """The variables that GRUB keeps in its environment block."""
    values: dict[str, str] = {}
    for pattern in GRUB_ENVIRONMENTS:
        for path in files.glob(pattern):
            for line in (text_of(files, path) or "").splitlines():
                key, equals, value = line.partition("=")
                if equals and not key.startswith("#"):
                    values.setdefault(key, value)
    return values


def grub_entries(text: str, path: str, variables: Mapping[str, str]) -> Iterator[BootEntry]:
    """The `linux` lines of a GRUB menu."""
    known = dict(variables)
    for number, line in enumerate(text.splitlines(), 1):
        if setting := re.match(r"\s*set\s+(\w+)=(.*)", line):
            known.setdefault(setting[1], setting[2].strip("\"' "))
        elif (found := _GRUB_LINE.match(line)) and not found[1].startswith("("):
            yield BootEntry(found[1], _words(_expand(found[2], known)), f"{path}:{number}")


def bls_entries(text: str, path: str, variables: Mapping[str, str]) -> Iterator[BootEntry]:
    """One boot loader entry: `linux` and any number of `options` lines."""
    fields: dict[str, list[str]] = {}
    for _, line in numbered(text):
        key, _, value = line.partition(" ")
        fields.setdefault(key, []).append(value.strip())
    if kernel := fields.get("linux") or fields.get("efi") or fields.get("uki"):
        args = _words(_expand(" ".join(fields.get("options", [])), variables))
        # The last one is the initramfs; before it come microcode and the like, after it GRUB's variables.
        initramfs = fields.get("initrd", [""])[-1].partition(" ")[0]
        yield BootEntry(kernel[0], args, path, initramfs=initramfs, version=fields.get("version", [""])[0])


def _with_initramfs(entry: BootEntry, files: Files) -> BootEntry:
    """The entry's paths are those of the partition that it lies on, or of the root file system."""
    name, partition = entry.initramfs.lstrip("/"), entry.where.partition("/loader/")[0]
    there = first_there(files, (f"{partition}/{name}", name)) if name else ""
    return replace(entry, initramfs=there or "")


def extlinux_entries(text: str, path: str) -> Iterator[BootEntry]:
    """The labels of an extlinux menu: LINUX or KERNEL, and APPEND."""
    kernel = ""
    for number, line in numbered(text):
        key, _, value = line.partition(" ")
        if key.upper() in ("LINUX", "KERNEL"):
            kernel = value.strip()
        elif key.upper() == "APPEND" and kernel:
            yield BootEntry(kernel, _words(value), f"{path}:{number}")


def _predicted(files: Files) -> Iterator[BootEntry]:
    """What kernel-install or update-grub would write, when neither has run yet."""
    if (line := text_of(files, "etc/kernel/cmdline")) is not None:
        yield BootEntry("", _words(line), "etc/kernel/cmdline", effective=False)
    elif files.exists("etc/default/grub"):
        values = grub_defaults(files)
        line = f"{values.get('GRUB_CMDLINE_LINUX', '')} {values.get('GRUB_CMDLINE_LINUX_DEFAULT', '')}"
        yield BootEntry("", _words(line), "etc/default/grub", effective=False)


def grub_defaults(files: Files) -> dict[str, str]:
    """etc/default/grub and its drop-ins (Debian), which may add to what stands: `"$GRUB_CMDLINE_LINUX x=y"`."""
    values: dict[str, str] = {}
    for path in ("etc/default/grub", *files.glob("etc/default/grub.d/*.cfg")):
        for key, value in shell_values(text_of(files, path) or "").items():
            values[key] = _expand(value, values)
    return values


def _expand(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables.get(found[1], ""), text)


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return tuple(text.split())
