"""Images that are built whole, and not changed in place: by their name, and why.

Sources: systemd-veritysetup-generator(8), the kernel's dm-init, and how RAUC, Mender, swupdate and systemd-sysupdate
name their partitions.
"""

import re
from collections.abc import Sequence

from azready.image.facts.cmdline import BootEntry
from azready.image.facts.disk import Disk
from azready.image.targets import Files

_DEPLOYED = "{ostree,sysroot/ostree,run/ostree-booted,usr/lib/ostree-boot,usr/lib/bootc}"
_HASHED = ("roothash=", "systemd.verity_root_hash=", "systemd.verity_root_data=")
_HASHED_USR = ("usrhash=", "systemd.verity_usr_hash=", "systemd.verity_usr_data=")
_SLOT = re.compile(r"(?i)(root|rootfs|system|slot|usr)([-_. ]?)(a|b|0|1|2)$")


def deployed(files: Files) -> bool:
    """Whether ostree put the system there: bootc's, CoreOS', Silverblue's."""
    return bool(files.glob(_DEPLOYED))


def verity(entries: Sequence[BootEntry]) -> str:
    """What dm-verity guards in what the boot loader starts, by the argument that says so: `root`, `usr` or nothing."""
    args = entries[0].args if entries else ()
    mapped = any(arg.startswith(("dm-mod.create=", "dm=")) for arg in args) and any("verity" in arg for arg in args)
    if mapped or any(arg.startswith(_HASHED) for arg in args):
        return "root"
    return "usr" if any(arg.startswith(_HASHED_USR) for arg in args) else ""


def slots(disk: Disk | None) -> tuple[str, ...]:
    """The partitions of an A/B disk, by name or label: two systems, of which an update starts the other."""
    found: dict[str, list[str]] = {}
    for each in disk.contents if disk else ():
        label = each.superblock.label if each.superblock else ""
        name = next((name for name in (each.partition.name, label) if _SLOT.search(name)), "")
        if match := _SLOT.search(name):
            found.setdefault(name[: match.start(3)].lower(), []).append(name)
    return next((tuple(names) for names in found.values() if len(names) > 1), ())
