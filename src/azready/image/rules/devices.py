"""Names of devices on a command line: which of them say where the hardware is, not what is on it."""

import re
from collections.abc import Iterator, Sequence

DEVICE_NAME = re.compile(
    r"((/dev/)?((sd|vd|xvd|hd)[a-z]+\d*|(nvme\d+n|mmcblk|loop|nbd)\d+(p\d+)?|dm-\d+|md\d+)|\d+:\d+|(0x)?[0-9a-f]{3,4})$"
)
HARDWARE_NAME = re.compile(r"/dev/disk/by-(id|path|diskseq|dname|loop-ref)/|/dev/(block/|mapper/(loop|nbd|mpath)\d*)")


def named_devices(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Arguments that make the boot wait for a device, and the device as fstab would name it; `root` is B07's."""
    for arg in args:
        key, _, value = arg.partition("=")
        match key:
            case "resume":
                yield arg, value
            case "boot" if "fips=1" in args and "=" in value:
                yield arg, value
            case "rd.luks.uuid" | "luks.uuid":
                yield arg, f"UUID={value.removeprefix('luks-')}"
            case "rd.luks.name" | "luks.name":
                yield arg, f"UUID={value.partition('=')[0]}"
            case "cryptdevice":
                yield arg, value.partition(":")[0]
            case "rd.lvm.lv":
                yield arg, f"/dev/{value}"
