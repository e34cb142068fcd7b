"""What a VM size brings, by its name: disk controller, network, generations, temporary disk.

Names follow Microsoft's page "Azure virtual machine sizes naming conventions": family, vCPUs, features, version.
The rules of the versions are those of the size pages: v6 and newer have NVMe controllers only, the MANA network
adapter and Generation 2; a `d` among the features of v4 and newer is a local disk, before them all had one.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_NAME = re.compile(r"(?:Standard|Basic)_([A-Z]+)(\d+)(?:-\d+)?([a-z]*)(?:_[A-Z][A-Za-z0-9]*)?(?:_v(\d+))?$")
_TEMPORARY = {"B": 4, "D": 8, "DS": 7, "E": 16, "F": 8, "A": 10}
"""GiB of temporary disk a vCPU, of families before v4; about, since single sizes differ."""


@dataclass(frozen=True)
class Hardware:
    """What the platform gives a VM of one size."""

    controller: str = "SCSI"
    """SCSI or NVMe: of the OS disk and the data disks."""
    network: str = "mlx5"
    """The virtual function of accelerated networking: none, mlx5 or MANA."""
    generations: tuple[int, ...] = (1, 2)
    temporary_disk: int = 0
    """GiB; 0 where the size has none, or only raw NVMe disks."""
    confidential: bool = False
    """Whether only Confidential VMs can have this size."""


@lru_cache(maxsize=256)
def hardware(size: str) -> Hardware:
    """What follows from a size's name; of a name that is not of the known form, the most usual."""
    match = _NAME.match(size)
    if match is None:
        return Hardware()
    family, cpus, features, version = match[1], int(match[2]), match[3], int(match[4] or 1)
    confidential = family in ("DC", "EC") and version >= 5 and bool({"a", "e"} & set(features))
    if version >= 6:
        return Hardware("NVMe", "MANA", (2,), 0, confidential)
    local = "d" in features if version >= 4 else True
    if family == "B" and version >= 2:
        local = False
    each = 37 if version >= 4 else _TEMPORARY.get(family, 8)
    network = "none" if family in ("A", "B") and version == 1 else "mlx5"
    generations = (2,) if confidential else (1, 2)
    return Hardware("SCSI", network, generations, each * cpus if local else 0, confidential)
