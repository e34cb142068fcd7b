"""What can be known before anything is created: sizes, quotas, generations, and the rules for an uploaded disk.

Pure: answers of Azure and facts of the disk in, sentences out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from azready.azure.requests.disks import LARGEST_UPLOAD, SMALLEST_UPLOAD
from azready.azure.requests.images import Definition, TargetRegion
from azready.azure.requests.model import Json
from azready.errors import Failure, UsageFailure

MIB = 1024 * 1024
FOOTER = 512


@dataclass(frozen=True)
class DiskFacts:
    """What the caller found in a disk file. `problems` are sentences of whoever looked into the file."""

    size: int
    """Bytes of the file, footer included."""
    fixed_vhd: bool
    """Whether it ends with the valid footer of a fixed VHD."""
    generation: str
    """V1 or V2: what the disk's partitions and boot loader are made for."""
    architecture: str = "x64"
    """x64 or Arm64."""
    problems: tuple[str, ...] = ()


def check_disk(name: str, facts: DiskFacts) -> None:
    """Raise UsageFailure with everything that is wrong with a disk to upload."""
    wrong = list(facts.problems)
    if not facts.fixed_vhd:
        wrong.append("it is not a fixed VHD (no valid footer in its last 512 bytes)")
    elif (facts.size - FOOTER) % MIB:
        wrong.append(f"its size without the footer, {facts.size - FOOTER} bytes, is not a whole number of MiB")
    if facts.size < SMALLEST_UPLOAD:
        wrong.append(f"it has {facts.size} bytes: Azure takes no less than {SMALLEST_UPLOAD} (20 MiB and the footer)")
    if facts.size > LARGEST_UPLOAD:
        wrong.append(f"it has {facts.size} bytes: Azure takes no more than {LARGEST_UPLOAD}")
    if facts.generation not in ("V1", "V2"):
        wrong.append("its generation is not to be seen: say --hyper-v-generation V1 (BIOS) or V2 (UEFI)")
    if wrong:
        raise UsageFailure(f"{name} cannot be uploaded: " + "; ".join(wrong), f"azready convert {name} OUT.vhd")


def check_definition(name: str, found: Json, wanted: Definition) -> None:
    """Raise Failure when an existing gallery definition does not fit: it can never be changed."""
    properties = found.get("properties") or {}
    features = {item.get("name"): item.get("value") for item in properties.get("features") or ()}
    pairs = [
        ("hyperVGeneration", properties.get("hyperVGeneration", "V1"), wanted.generation),
        ("architecture", properties.get("architecture", "x64"), wanted.architecture),
        ("osType", properties.get("osType"), "Linux"),
        ("osState", properties.get("osState"), "Generalized"),
    ]
    if wanted.security_type:
        pairs.append(("SecurityType", features.get("SecurityType", ""), wanted.security_type))
    if wanted.controllers:
        had = str(features.get("DiskControllerTypes", ""))
        pairs.append(("DiskControllerTypes", had.replace(" ", ""), wanted.controllers.replace(" ", "")))
    wrong = [f"{what} is {is_!r}, not {should!r}" for what, is_, should in pairs if is_ != should]
    if wrong:
        raise Failure(
            f"the gallery definition {name} does not fit: " + "; ".join(wrong),
            "a definition cannot be changed: choose another --gallery-image-definition, or other options",
        )


@dataclass(frozen=True)
class Size:
    """A VM size in a region."""

    name: str
    family: str
    vcpus: int
    generations: tuple[str, ...]
    architecture: str
    zones: tuple[str, ...]


def find_size(body: Json, name: str, location: str) -> Size:
    """The size from the region's list. Raises Failure when it is not there or may not be used."""
    sizes = [item for item in body.get("value") or () if item.get("resourceType") == "virtualMachines"]
    for item in sizes:
        if str(item.get("name", "")).lower() != name.lower():
            continue
        reasons = [one.get("reasonCode", "") for one in item.get("restrictions") or () if one.get("type") == "Location"]
        if reasons:
            raise Failure(
                f"this subscription may not use the VM size {name} in {location} ({reasons[0]})",
                f"choose another --size: az vm list-skus -l {location} --resource-type virtualMachines --output table",
            )
        can = {one.get("name"): str(one.get("value", "")) for one in item.get("capabilities") or ()}
        zones = [zone for place in item.get("locationInfo") or () for zone in place.get("zones") or ()]
        return Size(
            str(item["name"]),
            str(item.get("family", "")),
            int(can.get("vCPUs") or 0),
            tuple(filter(None, can.get("HyperVGenerations", "V1").split(","))),
            can.get("CpuArchitectureType", "x64"),
            tuple(zones),
        )
    if not sizes:
        raise Failure(f"there is no region {location!r} (for this subscription)", "az account list-locations -o table")
    raise Failure(
        f"there is no VM size {name} in {location}",
        f"az vm list-skus -l {location} --resource-type virtualMachines --output table",
    )


def check_size(size: Size, generation: str, architecture: str) -> None:
    """Raise Failure when a VM of this size cannot boot such an image. Empty texts are not looked at."""
    if generation and generation not in size.generations:
        raise Failure(
            f"a VM of size {size.name} boots generation {', '.join(size.generations)} only, the image is {generation}",
            "choose another --size; most sizes of the v4 and v5 families boot both",
        )
    if architecture and architecture != size.architecture:
        raise Failure(
            f"a VM of size {size.name} is {size.architecture}, the image is {architecture}",
            "choose a --size of the image's architecture (Arm64 sizes have a `p` in their name: Standard_D2ps_v5)",
        )


def check_quota(body: Json, size: Size, instances: int, location: str) -> None:
    """Raise Failure when the quotas of the region do not have room for the VMs."""
    needed = size.vcpus * instances
    for row in body.get("value") or ():
        name = row.get("name") or {}
        if str(name.get("value", "")).lower() not in ("cores", size.family.lower()):
            continue
        free = int(row.get("limit", 0)) - int(row.get("currentValue", 0))
        if free < needed:
            raise Failure(
                f"the quota of {name.get('localizedValue') or name.get('value')} in {location} has room for {free} "
                f"vCPUs, {needed} are needed",
                "choose another --size or --location, remove VMs, or ask for more in the portal (Quotas)",
            )


_VERSION = re.compile(r"(\d{1,10})\.(\d{1,10})\.(\d{1,10})")
_LARGEST = 2_147_483_647


def parse_version(text: str) -> tuple[int, int, int]:
    """`MAJOR.MINOR.PATCH`, each a 32-bit number. Raises UsageFailure."""
    found = _VERSION.fullmatch(text)
    numbers = tuple(int(part) for part in found.groups()) if found else ()
    if len(numbers) != 3 or any(number > _LARGEST for number in numbers):
        raise UsageFailure(f"{text!r} is not an image version", "write MAJOR.MINOR.PATCH, such as 1.0.0")
    return numbers[0], numbers[1], numbers[2]


def next_version(existing: Iterable[str]) -> str:
    """The newest version with its patch one higher; 1.0.0 when there is none."""
    newest = max((parse_version(text) for text in existing if _VERSION.fullmatch(text)), default=None)
    if newest is None:
        return "1.0.0"
    major, minor, patch = newest
    return f"{major}.{minor}.{patch + 1}"


def check_gallery_name(name: str) -> None:
    """Galleries may not have a hyphen in their name, unlike everything else."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._]{0,78}[A-Za-z0-9])?", name):
        raise UsageFailure(
            f"{name!r} cannot be the name of a gallery", "use letters, digits, dots and underscores, no hyphen"
        )


def check_group_name(name: str) -> None:
    if not re.fullmatch(r"[-\w.()]{1,90}", name) or name.endswith("."):
        raise UsageFailure(
            f"{name!r} cannot be the name of a resource group",
            "use up to 90 letters, digits, hyphens, underscores, dots and parentheses, no dot at the end",
        )


def check_name(what: str, name: str, longest: int = 64) -> None:
    """The rule that VMs, disks and images share."""
    if not re.fullmatch(rf"[A-Za-z0-9]([-\w.]{{0,{longest - 2}}}\w)?", name):
        raise UsageFailure(
            f"{name!r} cannot be the name of {what}",
            f"use up to {longest} letters, digits, hyphens, underscores and dots; begin with a letter or a digit",
        )


def parse_regions(texts: Iterable[str], home: str) -> tuple[TargetRegion, ...]:
    """Read `REGION[=REPLICAS[=STORAGE]]` as `az` writes it; the home region is always among them.

    Raises UsageFailure.
    """
    found: dict[str, TargetRegion] = {}
    storages = {"standard_lrs": "Standard_LRS", "standard_zrs": "Standard_ZRS", "premium_lrs": "Premium_LRS"}
    for text in texts:
        name, *more = text.split("=")
        replicas = more[0] if more else "1"
        storage = storages.get(more[1].lower() if len(more) > 1 else "standard_lrs", "")
        name = name.replace(" ", "").lower()
        if not name or len(more) > 2 or not replicas.isdecimal() or not 1 <= int(replicas) <= 100 or not storage:
            raise UsageFailure(
                f"{text!r} is not a target region",
                "write REGION, REGION=REPLICAS (1 to 100) or REGION=REPLICAS=STORAGE with standard_lrs, standard_zrs "
                "or premium_lrs",
            )
        found[name] = TargetRegion(name, int(replicas), storage)
    if home not in found:
        found = {home: TargetRegion(home), **found}
    return tuple(found.values())
