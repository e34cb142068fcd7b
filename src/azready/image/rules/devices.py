"""Names of devices on a command line: which of them say where the hardware is, not what is on it."""

import re
from collections.abc import Iterable, Iterator

DEVICE_NAME = re.compile(
    r"((/dev/)?((sd|vd|xvd|hd)[a-z]+\d*|(nvme\d+n|mmcblk|loop|nbd)\d+(p\d+)?|dm-\d+|md\d+)|\d+:\d+|(0x)?[0-9a-f]{3,4})$"
)
HARDWARE_NAME = re.compile(r"/dev/disk/by-(id|path|diskseq|dname|loop-ref)/|/dev/(block/|mapper/(loop|nbd|mpath)\d*)")


def named_devices(args: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Arguments that make the boot wait for a device, and the device as fstab would name it; `root` is B07's."""
    for arg in args:
        key, _, value = arg.partition("=")
        match key:
            case "resume":
                yield arg, value
            case "rd.luks.uuid" | "luks.uuid":
                yield arg, f"UUID={value.removeprefix('luks-')}"
            case "rd.lvm.lv":
                yield arg, f"/dev/{value}"
