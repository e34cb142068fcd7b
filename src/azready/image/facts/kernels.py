"""The kernels of an image: their modules, what is built in, and the initramfs that goes with each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from glob import escape as glob_escape
from typing import Literal

from azready.image.disk.formats.initramfs import Initramfs, list_initramfs
from azready.image.disk.formats.uki import NotAProgram, Uki, read_program, read_uki
from azready.image.facts.cmdline import BootEntry
from azready.image.facts.reading import first_there, names_in, text_of
from azready.image.targets import Files

State = Literal["built in", "module", "absent"]
LARGEST_INITRAMFS = 1 << 30

_MODULE_FOLDERS = ("usr/lib/modules", "lib/modules")
_CONFIG_OF = {
    "hv_vmbus": ("CONFIG_HYPERV_VMBUS", "CONFIG_HYPERV"),
    "hv_storvsc": ("CONFIG_HYPERV_STORAGE",),
    "hv_netvsc": ("CONFIG_HYPERV_NET",),
    "hv_utils": ("CONFIG_HYPERV_UTILS",),
    "nvme": ("CONFIG_BLK_DEV_NVME",),
    "nvme_core": ("CONFIG_NVME_CORE",),
    "pci_hyperv": ("CONFIG_PCI_HYPERV",),
    "udf": ("CONFIG_UDF_FS",),
    "isofs": ("CONFIG_ISO9660_FS",),
    "vfat": ("CONFIG_VFAT_FS",),
}
_IMAGES = (
    "boot/vmlinuz-{k}",
    "boot/vmlinux-{k}",
    "boot/Image-{k}",
    "usr/lib/modules/{k}/vmlinuz",
    "lib/modules/{k}/vmlinuz",
)
_INITRAMFS = (
    "boot/initrd.img-{k}",
    "boot/initramfs-{k}.img",
    "boot/initrd-{k}",
    "usr/lib/modules/{k}/initramfs.img",
    "usr/lib/modules/{k}/initrd",
)
_CONFIGS = ("boot/config-{k}", "usr/lib/modules/{k}/config", "lib/modules/{k}/config", "usr/boot/config-{k}")


@dataclass(frozen=True, eq=False)
class Kernel:
    """One kernel; `default` is the one that boots unless somebody chooses. Paths are empty where there is no file."""

    version: str
    modules: frozenset[str]
    builtin: frozenset[str]
    config: dict[str, str]
    image: str
    initramfs_path: str
    default: bool
    files: Files
    uki: Uki | None = None

    def state(self, module: str) -> State:
        """Where a driver is: `-` and `_` are one. modules.builtin counts more than the configuration."""
        name = module.replace("-", "_")
        if name in self.builtin:
            return "built in"
        if name in self.modules:
            return "module"
        wanted = _CONFIG_OF.get(name, ())
        if not self.builtin and any(self.config.get(option) == "y" for option in wanted):
            return "built in"
        return "absent"

    @cached_property
    def initramfs(self) -> Initramfs | None:
        """Its initramfs listed, or None when it has none. Raises Failure and OSError where it cannot be read."""
        if self.uki and not self.initramfs_path:
            return list_initramfs(self.uki.initrd, _wanted) if self.uki.initrd else None
        if not self.initramfs_path:
            return None
        return list_initramfs(self.files.read_bytes(self.initramfs_path, LARGEST_INITRAMFS), _wanted)

    def boots_with(self, module: str) -> bool:
        """Whether the driver is there before the root file system is: built in, or in the initramfs."""
        if self.state(module) == "built in":
            return True
        archive = self.initramfs
        return archive is not None and module.replace("-", "_") in archive.modules_for(self.version)


_WANTED = re.compile(
    r"(^|/)etc/(machine-id|cmdline|cmdline\.d/[^/]+\.conf|lvm/devices/[^/]+|multipath/wwids|mdadm(/mdadm)?\.conf|crypttab)$"
    r"|modprobe\.d/.*\.conf$|(^|/)conf/conf\.d/[^/]+$|(^|/)cryptroot/crypttab$"
)


def _wanted(name: str) -> bool:
    return bool(_WANTED.search(name))


def gather_kernels(files: Files, entries: Sequence[BootEntry], unified: Mapping[str, Uki]) -> tuple[Kernel, ...]:
    """Every kernel with modules in the tree, the newest last; the first of `entries` is what the boot loader starts."""
    folder = first_there(files, _MODULE_FOLDERS)
    versions = [name for name in names_in(files, folder or "") if files.exists(f"{folder}/{name}/modules.dep")]
    versions.sort(key=version_key)
    kernels = []
    for version in versions:
        image = first_there(files, (path.format(k=version) for path in _IMAGES)) or _alpine(files, version, "vmlinuz")
        kernels.append((version, image))
    first = entries[0] if entries else BootEntry("", (), "")
    named = [version for version, image in kernels if _starts(first, version, image)]
    bootable = [version for version, image in kernels if image]
    default = (named or bootable or versions)[-1:]
    return tuple(
        _kernel(
            files,
            f"{folder}/{version}",
            version,
            image,
            _initramfs_of(version, versions, entries),
            version in default,
            _uki_of(version, versions, unified),
        )
        for version, image in kernels
    )


def _initramfs_of(version: str, versions: Sequence[str], entries: Sequence[BootEntry]) -> str:
    """What a boot loader entry loads beside this kernel; where none says which kernel, the only one has the only."""
    for entry in entries:
        if entry.initramfs and (entry.version == version or _names(entry.kernel, version)):
            return entry.initramfs
    return entries[0].initramfs if len(versions) == len(entries) == 1 else ""


def _starts(entry: BootEntry, version: str, image: str) -> bool:
    """Whether an entry starts the kernel of this version."""
    return entry.version == version or _names(entry.kernel, version) or bool(image and _same_file(entry.kernel, image))


def _names(path: str, version: str) -> bool:
    """Whether a boot loader's path tells the kernel's version: /TOKEN/VERSION/linux, /vmlinuz-VERSION."""
    return version in path.split("/") or path.endswith(f"-{version}")


def _uki_of(version: str, versions: list[str], unified: Mapping[str, Uki]) -> Uki | None:
    """The image that says this version; where none says any, the only one goes with the only kernel."""
    if version in unified:
        return unified[version]
    unnamed = [uki for uki in unified.values() if not uki.uname]
    return unnamed[0] if len(versions) == 1 and len(unnamed) == len(unified) == 1 else None


def _kernel(files: Files, folder: str, version: str, image: str, loaded: str, default: bool, uki: Uki | None) -> Kernel:
    initramfs = loaded or first_there(files, (path.format(k=version) for path in _INITRAMFS))
    config = first_there(files, (path.format(k=version) for path in _CONFIGS))
    return Kernel(
        version,
        _module_names(text_of(files, f"{folder}/modules.dep") or "", ":"),
        _module_names(text_of(files, f"{folder}/modules.builtin") or "", "\n"),
        parse_config((config and text_of(files, config)) or ""),
        image,
        initramfs or _alpine(files, version, "initramfs"),
        default,
        files,
        uki,
    )


def _alpine(files: Files, version: str, kind: str) -> str:
    """Alpine and Arch name files by flavour: 6.6.31-0-virt → boot/vmlinuz-virt; Arch: boot/vmlinuz-linux-lts."""
    flavour = version.rpartition("-")[2]
    arch = f"linux-{flavour}" if flavour in ("lts", "zen", "hardened") else "linux"
    suffix = ".img" if kind == "initramfs" else ""
    return first_there(files, (f"boot/{kind}-{flavour}", f"boot/{kind}-{arch}{suffix}")) or ""


def gather_ukis(files: Files) -> dict[str, Uki]:
    """Unified kernel images on the EFI partition, by kernel version (by path where they do not say it).

    Other programs there (shim, GRUB) are none, and left out. FAT does not tell upper from lower case.
    """
    found: dict[str, Uki] = {}
    everywhere = files.glob("{boot/efi,efi,boot}/loader/addons/*.addon.efi")
    for path in files.glob("{boot/efi,efi,boot}/[Ee][Ff][Ii]/{[Ll]inux,LINUX,[Bb][Oo][Oo][Tt]}/*.[Ee][Ff][Ii]"):
        try:
            uki = read_uki(files.read_bytes(path, LARGEST_INITRAMFS), path)
        except NotAProgram:
            continue
        addons = [*everywhere, *files.glob(f"{glob_escape(path)}.extra.d/*.addon.efi")]
        added = [_addon(files, addon) for addon in addons]
        uki = replace(uki, cmdline=" ".join(part for part in (uki.cmdline, *added) if part))
        found.setdefault(uki.uname or path, uki)
    return found


def _addon(files: Files, path: str) -> str:
    """The arguments that an addon adds to a unified kernel image's (systemd-stub(7))."""
    try:
        program = read_program(files.read_bytes(path))
    except NotAProgram:
        return ""
    return program.sections.get(".cmdline", b"").rstrip(b"\0\n").decode(errors="replace")


def _module_names(text: str, end: str) -> frozenset[str]:
    names = (line.partition(end)[0].rpartition("/")[2] for line in text.splitlines())
    return frozenset(name.partition(".ko")[0].replace("-", "_") for name in names if ".ko" in name)


def parse_config(text: str) -> dict[str, str]:
    """A kernel configuration: CONFIG_NAME to `y`, `m` or a value."""
    pairs = (line.partition("=") for line in text.splitlines() if line.startswith("CONFIG_"))
    return {key: value for key, _, value in pairs}


def version_key(version: str) -> tuple[tuple[int, str], ...]:
    """Sorts kernel versions as people read them: 6.1.0-9 before 6.1.0-35 before 6.10."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|[^\d.\-_]+", version))


def _same_file(named: str, image: str) -> bool:
    return bool(named) and named.rpartition("/")[2] == image.rpartition("/")[2]
