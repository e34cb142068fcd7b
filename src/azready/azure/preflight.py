"""What can be known before anything is created: sizes, quotas, generations, and the rules for an uploaded disk.

Pure: answers of Azure and facts of the disk in, sentences out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from azready.azure.requests.disks import LARGEST_UPLOAD, SMALLEST_UPLOAD
from azready.azure.requests.images import Definition, TargetRegion
from azready.azure.requests.model import Json, PurchasePlan
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


def features_of(body: Json) -> dict[str, str]:
    """The features of a gallery definition or of a marketplace image, by name."""
    rows = (body.get("properties") or {}).get("features") or ()
    return {str(row.get("name", "")): str(row.get("value") or "") for row in rows}


def plan_of(terms: Json) -> PurchasePlan | None:
    """A purchase plan as Azure shows it; None when there is none."""
    found = [str(terms.get(key) or "") for key in ("publisher", "product", "name")]
    return PurchasePlan(*found) if all(found) else None


def parse_plan(text: str) -> PurchasePlan | None:
    """Read `PUBLISHER:PRODUCT:NAME`; empty is none. Raises UsageFailure."""
    parts = text.split(":")
    if text and (len(parts) != 3 or not all(parts)):
        raise UsageFailure(
            f"{text!r} is not a purchase plan",
            "write PUBLISHER:PRODUCT:NAME, as `az vm image show --urn URN --query plan` shows them",
        )
    return PurchasePlan(*parts) if text else None


def check_subnet(identity: str) -> None:
    """Raise UsageFailure when it is not the whole id of a subnet."""
    if not re.fullmatch(
        r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+",
        identity,
        re.IGNORECASE,
    ):
        raise UsageFailure(
            f"{identity!r} is not the id of a subnet",
            "az network vnet subnet show -g GROUP --vnet-name NETWORK -n SUBNET --query id -o tsv prints it",
        )


def parse_encryption_set(identity: str) -> str:
    """The id as it was given; empty is none. Raises UsageFailure when it is not that of a disk encryption set."""
    if identity and not re.fullmatch(
        r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/diskEncryptionSets/[^/]+",
        identity,
        re.IGNORECASE,
    ):
        raise UsageFailure(
            f"{identity!r} is not the id of a disk encryption set",
            "az disk-encryption-set show -g GROUP -n NAME --query id -o tsv prints it",
        )
    return identity


def encrypted(regions: tuple[TargetRegion, ...], texts: Iterable[str], home: str, own: str) -> tuple[TargetRegion, ...]:
    """The regions with their disk encryption sets: `own` in the home region, the others from `REGION=ID` texts.

    A disk encryption set is of one region, so every region needs one or none has. Raises UsageFailure.
    """
    sets = {home: own} if own else {}
    for text in texts:
        name, _, identity = text.partition("=")
        sets[name.replace(" ", "").lower()] = parse_encryption_set(identity)
    if unknown := sorted(set(sets) - {region.name for region in regions}):
        raise UsageFailure(f"{', '.join(unknown)}: no target region", "name it with --target-regions, too")
    lacking = [region.name for region in regions if not sets.get(region.name)]
    if sets and lacking:
        raise UsageFailure(
            f"a disk encryption set is of one region, and {', '.join(lacking)} has none",
            f"--target-region-encryption {lacking[0]}=ID, for each of them",
        )
    return tuple(replace(region, encryption_set=sets.get(region.name, "")) for region in regions)


def check_definition(name: str, found: Json, wanted: Definition, *, able: str = "") -> None:
    """Raise Failure when an existing gallery definition does not fit: it can never be changed.

    `able` are the disk controllers that the image was found to boot from; empty: it is not known.
    """
    properties = found.get("properties") or {}
    features = features_of(found)
    pairs = [
        ("hyperVGeneration", properties.get("hyperVGeneration", "V1"), wanted.generation),
        ("architecture", properties.get("architecture", "x64"), wanted.architecture),
        ("osType", properties.get("osType"), "Linux"),
        ("osState", properties.get("osState"), wanted.os_state),
    ]
    if wanted.security_type:
        pairs.append(("SecurityType", features.get("SecurityType", ""), wanted.security_type))
    had = str(features.get("DiskControllerTypes", ""))
    if wanted.controllers and not able:
        pairs.append(("DiskControllerTypes", had.replace(" ", ""), wanted.controllers.replace(" ", "")))
    if able and not set(parse_controllers(had or "SCSI")) <= set(parse_controllers(able)):
        pairs.append(("DiskControllerTypes", had.replace(" ", ""), able.replace(" ", "")))
    wrong = [f"{what} is {is_!r}, not {should!r}" for what, is_, should in pairs if is_ != should]
    if wrong:
        raise Failure(
            f"the gallery definition {name} does not fit: " + "; ".join(wrong),
            "a definition cannot be changed: choose another --gallery-image-definition, or other options",
        )


NVME_ONLY = "v6 and v7 families (Dsv6, Ddsv6, Dlsv6, Esv6, Edsv6, Dasv6, Easv6, Fasv6, Dpsv6 and those after them)"
"""Source: Microsoft's "Enable NVMe interface" and the pages of these families; `az vm list-skus` has each size."""


CONFIDENTIAL_ONLY = "DC and EC families with AMD or Intel TDX (DCasv5, ECasv5, DCesv6, ECesv6 and those after them)"
"""Source: Microsoft's "Azure confidential computing products"."""


def shut_out(wanted: Definition) -> tuple[str, ...]:
    """Which current VM sizes a new definition shuts out, one sentence each; it can never be changed."""
    controllers = parse_controllers(wanted.controllers or "SCSI")
    found = []
    if "NVMe" not in controllers or wanted.generation == "V1":
        why = "generation 1" if wanted.generation == "V1" else f"DiskControllerTypes {', '.join(controllers)}"
        found.append(f"{why} shuts out sizes whose disks are on NVMe alone: the {NVME_ONLY}")
    if "SCSI" not in controllers:
        found.append("DiskControllerTypes NVMe shuts out sizes whose disks are on SCSI alone: most up to v5")
    if wanted.generation == "V1":
        found.append("generation 1 shuts out Trusted Launch, Arm64 and all sizes that boot generation 2 alone")
    if wanted.architecture == "Arm64":
        found.append("Arm64 shuts out every size without a `p` in its name")
    if wanted.security_type == "TrustedLaunch":
        found.append("SecurityType TrustedLaunch shuts out sizes without Trusted Launch, and VMs without security type")
    if not wanted.security_type:
        found.append("no SecurityType shuts out Trusted Launch VMs")
    if "confidential" not in wanted.security_type.lower():
        found.append(
            f"SecurityType {wanted.security_type or 'none'} shuts out Confidential VMs: the {CONFIDENTIAL_ONLY}"
        )
    return tuple(found)


@dataclass(frozen=True)
class Size:
    """A VM size in a region."""

    name: str
    family: str
    vcpus: int
    generations: tuple[str, ...]
    architecture: str
    zones: tuple[str, ...]
    controllers: tuple[str, ...] = ("SCSI",)
    """What its disks hang on: SCSI, NVMe or both. Sizes from v6 on have NVMe alone."""
    trusted: bool = True
    """Whether it can be a Trusted Launch VM."""
    confidential: bool = False
    """Whether its VMs are Confidential VMs (AMD SEV-SNP, Intel TDX), and nothing else."""


CONFIDENTIAL = ("SNP", "TDX")
"""Values of the capability ConfidentialComputingType whose sizes take Confidential VMs alone (skyplane-project/skyplane
issue 755: "not supported for creation of VMs … with '<NULL>' security type"). SGX sizes take others."""


def _size_of(item: Json) -> Size:
    can = {one.get("name"): str(one.get("value", "")) for one in item.get("capabilities") or ()}
    zones = [zone for place in item.get("locationInfo") or () for zone in place.get("zones") or ()]
    return Size(
        str(item["name"]),
        str(item.get("family", "")),
        int(can.get("vCPUs") or 0),
        tuple(filter(None, can.get("HyperVGenerations", "V1").split(","))),
        can.get("CpuArchitectureType", "x64"),
        tuple(zones),
        parse_controllers(can.get("DiskControllerTypes") or "SCSI"),
        can.get("TrustedLaunchDisabled", "False").lower() != "true",
        can.get("ConfidentialComputingType", "").upper() in CONFIDENTIAL,
    )


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
        return _size_of(item)
    if not sizes:
        raise Failure(f"there is no region {location!r} (for this subscription)", "az account list-locations -o table")
    raise Failure(
        f"there is no VM size {name} in {location}",
        f"az vm list-skus -l {location} --resource-type virtualMachines --output table",
    )


def parse_controllers(text: str) -> tuple[str, ...]:
    """`SCSI, NVMe` as Azure writes it, in one order, as ("SCSI", "NVMe")."""
    found = {word.strip().lower() for word in text.split(",")}
    return tuple(name for name in ("SCSI", "NVMe") if name.lower() in found)


def check_size(
    size: Size, generation: str, architecture: str, *, controllers: str = "", security_type: str = ""
) -> None:
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
    if controllers and not set(parse_controllers(controllers)) & set(size.controllers):
        raise Failure(
            f"a VM of size {size.name} has its disks on {' or '.join(size.controllers)}, the image boots from "
            f"{controllers} only",
            "choose a --size of the v5 families; or make the image anew in a definition with --disk-controller-types "
            "'SCSI, NVMe', if `azready check` finds its NVMe drivers",
        )
    if size.confidential:
        raise Failure(
            f"a VM of size {size.name} is a Confidential VM, and azready makes images and VMs of the other kinds",
            "choose another --size: one without C in its family's name (Dasv5 rather than DCasv5)",
        )
    if security_type == "TrustedLaunch" and not size.trusted:
        raise Failure(
            f"a VM of size {size.name} cannot be a Trusted Launch VM",
            "choose another --size, or --security-type Standard",
        )


def check_quota(body: Json, sizes: Iterable[Size], location: str) -> None:
    """Raise Failure when the quotas of the region do not have room for VMs of these sizes, one each."""
    vms = list(sizes)
    for row in body.get("value") or ():
        name = row.get("name") or {}
        value = str(name.get("value", "")).lower()
        needed = sum(vm.vcpus for vm in vms if value in ("cores", vm.family.lower()))
        if not needed:
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
    """Raise UsageFailure for what Azure would refuse."""
    if not re.fullmatch(r"[-\w.()]{1,90}", name) or name.endswith("."):
        raise UsageFailure(
            f"{name!r} cannot be the name of a resource group",
            "use up to 90 letters, digits, hyphens, underscores, dots and parentheses, no dot at the end",
        )


def check_name(what: str, name: str, longest: int = 64) -> None:
    """The rule that VMs, disks and images share."""
    if not re.fullmatch(rf"[A-Za-z0-9]([-\w.]{{0,{longest - 2}}}\w)?", name, re.ASCII):
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
