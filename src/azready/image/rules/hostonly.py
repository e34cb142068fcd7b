"""Host-only initramfs, as dracut calls them: what one carries of the machine it was built on.

Arguments, and copies of files that name that machine's devices.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from azready.image.facts import Facts
from azready.image.facts.cmdline import shown
from azready.image.facts.disk import plain_name
from azready.image.rules.devices import DEVICE_NAME, HARDWARE_NAME, named_devices
from azready.image.rules.model import Severity

Said = Iterator[tuple[str, Severity | None]]

_ARGUMENTS = re.compile(r"(^|/)etc/(cmdline|cmdline\.d/[^/]+\.conf)$|(^|/)conf/conf\.d/[^/]+$")
_DEVICES_FILE = re.compile(r"(^|/)etc/lvm/devices/[^/]+\.devices$")
_BOUND = re.compile(r"(?m)^[ \t]*IDTYPE=(?!devname)\S+.*$")


def of_the_builder(facts: Facts, contents: Mapping[str, bytes]) -> Said:
    """What is waited for and is not on the image's own disk; a severity of None is the rule's own."""
    for name, data in sorted(contents.items()):
        text = data.decode(errors="replace")
        if _ARGUMENTS.search(name):
            yield from ((f"its {name} says {shown(arg)}", None) for arg in _foreign_arguments(facts, text.split()))
        elif _DEVICES_FILE.search(name) and _BOUND.search(text):
            yield f"its {name} lists disks by their hardware: LVM sees no other", None
        elif name.endswith("etc/multipath/wwids") and any(line and line[0] != "#" for line in text.splitlines()):
            yield f"its {name} names disks of the builder", Severity.WARNING
        elif name.endswith("/crypttab"):
            yield from _crypttab(facts, name, text)
        elif name.endswith(("etc/mdadm/mdadm.conf", "etc/mdadm.conf")):
            yield from _arrays(facts, name, text)


def _foreign_arguments(facts: Facts, args: Sequence[str]) -> Iterator[str]:
    """Arguments for devices that are not those of the disk; of a tree, not those that its boot entry and fstab name."""
    entry = facts.boot_entries[0].args if facts.boot_entries else ()
    known = {arg.partition("=")[2] for arg in entry} | {mount.device for mount in facts.mounts}
    known |= {plain_name(each) for each in known} - {""}
    root = [(arg, arg.partition("=")[2]) for arg in args if arg.startswith(("root=", "ROOT="))]
    for arg, device in (*root, *named_devices(args)):
        device = device.strip("\"'").removeprefix("block:")
        name = plain_name(device)
        elsewhere = facts.disk.lacks(device) if facts.disk else bool(name) and name not in known
        if device not in known and (_by_hardware(device) or elsewhere):
            yield arg


def _crypttab(facts: Facts, name: str, text: str) -> Said:
    """Volumes to unlock: what their lines name is there before anything is unlocked."""
    own = {line.split()[1] for line in (facts.text("etc/crypttab") or "").splitlines() if len(line.split()) > 1}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or line.startswith("#"):
            continue
        device = words[1]
        missing = _not_on_the_disk(facts, device) if facts.disk else device not in own
        if _by_hardware(device) or missing:
            grave = Severity.WARNING if "nofail" in ",".join(words[3:]).split(",") else None
            yield f"its {name} unlocks {words[0]} on {device}", grave


def _not_on_the_disk(facts: Facts, device: str) -> bool:
    """Of what is not inside anything else; an array or a group of volumes may hold it."""
    if facts.disk is None or not facts.disk.contents:
        return False
    kinds = {each.superblock.kind for each in facts.disk.contents if each.superblock}
    plain = plain_name(device)
    return bool(plain) and not {"raid", "lvm"} & kinds and plain not in facts.disk.names


def _arrays(facts: Facts, name: str, text: str) -> Said:
    """Arrays that are assembled, where the disk holds a part of none: the boot tries, and goes on."""
    kinds = {each.superblock.kind for each in facts.disk.contents if each.superblock} if facts.disk else set()
    if facts.disk is None or "raid" in kinds:
        return
    for found in re.finditer(r"(?m)^[ \t]*ARRAY\s+(\S+)", text):
        yield f"its {name} names the array {found[1]}, and the disk holds no part of one", Severity.WARNING


def _by_hardware(device: str) -> bool:
    return bool(HARDWARE_NAME.match(device) or DEVICE_NAME.match(device))
