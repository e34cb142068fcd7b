"""What a run has learned: one record with a field for each fact, kept in the state file. Never a secret."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from azready.azure.instances import Instance
from azready.azure.preflight import Size
from azready.azure.requests.model import Json, Place, PurchasePlan


@dataclass(frozen=True)
class Known:
    """Values are replaced as steps learn, never changed. An empty text, or None, is not known (yet)."""

    image_version: str = ""
    """The marketplace image's version."""
    generation: str = ""
    """V1 or V2: of the source, and so of the image."""
    architecture: str = ""
    """x64 or Arm64."""
    security_type: str = ""
    """Of the VM that is captured, or of the VMs that an image makes: Standard or TrustedLaunch."""
    feature: str | None = None
    """The SecurityType feature of the gallery definition, as it is or will be made; empty: it has none."""
    controllers: str = ""
    """What the image boots from: `SCSI`, or `SCSI, NVMe`."""
    specialized: bool = False
    """Whether the image's VMs are copies that nothing provisions."""
    plan: PurchasePlan | None = None
    """The marketplace's terms, which every VM made from it has to name."""
    size: Size | None = None
    """The VM size of the run, as the region offers it."""
    group_missing: bool = False
    """Whether the resource group is still to be made."""
    vm_size: str = ""
    """Size of the user's own VM."""
    os_disk: str = ""
    """Id of its disk."""
    interface: str = ""
    """Id of its network interface."""
    address_id: str = ""
    """Id of its public address; empty when it has none."""
    base_address: str = ""
    """Where ssh reaches the VM that is sealed."""
    base_user: str = ""
    trial_address: str = ""
    version: str = ""
    """MAJOR.MINOR.PATCH of the gallery version that is made."""
    trial: Instance | None = None
    journal: str = ""


NESTED = {"plan": PurchasePlan, "size": Size, "trial": Instance}

PLANNED = Known(
    image_version="<image_version>",
    generation="<generation>",
    vm_size="<size of the VM>",
    base_address="<base_address>",
    trial_address="<trial_address>",
    version="<version>",
)
"""What a dry run knows: the name of what it will learn, in angle brackets. See `planned`."""


def planned(place: Place) -> Known:
    """PLANNED, with ids for what belongs to the user's own VM: most likely it lies in the run's group."""
    return replace(
        PLANNED,
        os_disk=place.compute("disks", "<disk>"),
        interface=place.network("networkInterfaces", "<interface>"),
        address_id=place.network("publicIPAddresses", "<address>"),
    )


def as_json(known: Known) -> Json:
    """For the state file."""
    return asdict(known)


def from_json(table: Any) -> Known:
    """What `as_json` gave. Raises KeyError, TypeError, AttributeError and ValueError on anything else."""
    values = {field.name: table[field.name] for field in fields(Known)}
    nested = {name: make(**_tuples(values[name])) for name, make in NESTED.items() if values[name] is not None}
    return Known(**values | nested)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists only; our records hold tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
