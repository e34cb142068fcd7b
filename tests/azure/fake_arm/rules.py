"""What the real Azure refuses, as rules that the providers of the fake ask: each with its source.

A rule that is only forgiven here lets a fault of the client pass its tests: every one of these once did.
"""

from dataclasses import dataclass

from tests.azure.fake_arm import groups
from tests.azure.fake_arm.model import Arm, Json, Refused

HOST_NAME_REFUSED = "`~!@#$%^&*()=+_[]{}\\|;:'\",<>/?"
"""What a Linux host name may not have. Source: the real refusal, MicrosoftDocs/azure-docs issue 5601."""


@dataclass(frozen=True)
class Source:
    """What a VM, an image or a version is made from."""

    generation: str
    architecture: str = "x64"
    plan: Json | None = None
    security: str = ""
    """Of a VM or disk: its security type; of a definition: its SecurityType feature."""
    controllers: str = "SCSI"
    regions: tuple[str, ...] = ()
    """Where it can be used; empty: everywhere."""
    specialized: bool = False


def source_of(arm: Arm, reference: Json) -> Source:
    """What a VM's `imageReference` names. Raises the 404s of Azure."""
    if "id" not in reference:
        generation, architecture, plan = groups.marketplace(reference)
        return Source(
            generation, architecture, plan, "TrustedLaunchSupported" if generation == "V2" else "", "SCSI, NVMe"
        )
    found = arm.get(reference["id"])
    if found is None:
        raise Refused(404, "NotFound", f"The resource '{reference['id']}' was not found.")
    if found["type"] == "Microsoft.Compute/images":
        return Source(
            found["properties"]["hyperVGeneration"], "x64", found.get("_plan"), "", "SCSI", (found["location"],)
        )
    definition = arm.need(found["id"].rsplit("/versions/", 1)[0])
    version = found if found["type"].endswith("/versions") else _latest(arm, definition)
    facts = definition["properties"]
    plan = facts.get("purchasePlan")
    return Source(
        facts["hyperVGeneration"],
        facts.get("architecture", "x64"),
        {"publisher": plan["publisher"], "name": plan["name"], "product": plan["product"]}
        if plan
        else version.get("_plan"),
        feature(definition, "SecurityType"),
        feature(definition, "DiskControllerTypes") or "SCSI",
        regions_of(version),
        facts.get("osState") == "Specialized",
    )


def _latest(arm: Arm, definition: Json) -> Json:
    prefix = definition["id"].lower() + "/versions/"
    found = [item for key, item in arm.resources.items() if key.startswith(prefix)]
    if not found:
        raise Refused(404, "GalleryImageNotFound", f"The gallery image {definition['id']} has no version.")
    return found[-1]


def feature(definition: Json, name: str) -> str:
    """A feature of a gallery definition; empty when it has none of that name."""
    rows = definition["properties"].get("features") or []
    return next((str(row["value"]) for row in rows if row["name"] == name), "")


def regions_of(version: Json) -> tuple[str, ...]:
    targets = version["properties"].get("publishingProfile", {}).get("targetRegions", [])
    return tuple(target["name"].replace(" ", "").lower() for target in targets)


def check_region(source: Source, reference: Json, location: str) -> None:
    """A managed image works in its region only, a version where it is replicated.

    Sources: MicrosoftDocs/azure-docs issue 53728; confidential-containers/cloud-api-adaptor issue 1709.
    """
    if not source.regions or location in source.regions:
        return
    if "/galleries/" not in reference["id"].lower():
        raise Refused(404, "NotFound", f"The Image '{reference['id']}' cannot be found in '{location}' region.")
    raise Refused(
        404,
        "GalleryImageNotFound",
        f"The gallery image {reference['id']} is not available in {location} region. Please contact image owner to "
        "replicate to this region, or change your requested region.",
    )


def check_plan(source: Source, plan: Json | None) -> None:
    """An image that came from one with a plan needs it again. Source: Azure/azure-rest-api-specs issue 22133."""
    if source.plan and not plan:
        raise Refused(
            400,
            "VMMarketplaceInvalidInput",
            "Creating a virtual machine from Marketplace image or a custom image sourced from a Marketplace image "
            "requires Plan information in the request.",
        )


def check_vm_security(source: Source, reference: Json, asked: str) -> None:
    """Which security type a VM may have, by its image.

    Sources: Microsoft's "Trusted Launch for Azure VMs" (no managed images); hashicorp/terraform-provider-azurerm issue
    23148 (images that make Trusted Launch VMs only).
    """
    if source.security == "TrustedLaunch" and asked != "TrustedLaunch":
        raise Refused(
            400,
            "BadRequest",
            "The provided gallery image only supports creation of VMs and VM Scale Sets with 'TrustedLaunch' security "
            "type.",
        )
    if asked == "TrustedLaunch" and "TrustedLaunch" not in source.security:
        raise Refused(
            400,
            "BadRequest",
            "Use of TrustedLaunch setting is not supported for the provided image. Please select Trusted Launch "
            "Supported "
            "image.",
        )


def check_controllers(size: str, controllers: str) -> None:
    """The size and the image need a disk controller in common.

    Sources: kubernetes-sigs/image-builder issue 1875; Microsoft's "Enable NVMe interface".
    """
    offered = set(groups.SIZES[size].controllers.replace(" ", "").split(","))
    if not offered & set(controllers.replace(" ", "").split(",")):
        raise Refused(
            400,
            "InvalidParameter",
            f"The VM size '{size}' cannot boot with OS image or disk. Please check that disk controller types "
            "supported "
            "by the OS image or disk is one of the supported disk controller types for the VM size.",
        )


def check_confidential(size: str, asked: str) -> None:
    """Some sizes make Confidential VMs only. Source: skyplane-project/skyplane issue 755."""
    if groups.SIZES[size].confidential in ("SNP", "TDX") and asked != "ConfidentialVM":
        raise Refused(
            400,
            "BadRequest",
            f"The VM size '{size}' is not supported for creation of VMs and Virtual Machine Scale Set with "
            f"'{asked or '<NULL>'}' security type.",
        )


def check_encryption(arm: Arm, targets: list[Json]) -> None:
    """A disk encryption set is of one region, and all regions of a version have one, or none.

    Source: Microsoft's "Use customer-managed keys for encrypting images".
    """
    sets = [target.get("encryption", {}).get("osDiskImage", {}).get("diskEncryptionSetId", "") for target in targets]
    for target, identity in zip(targets, sets, strict=True):
        if any(sets) and (not identity or arm.need(identity)["location"] != target["name"].replace(" ", "").lower()):
            raise Refused(
                400, "InvalidParameter", f"The disk encryption set '{identity}' is not in region {target['name']}."
            )


def check_host_name(name: str) -> None:
    """Sources: MicrosoftDocs/azure-docs issue 5601, hashicorp/terraform-provider-azurerm issue 280."""
    if len(name) > 64 or set(name) & set(HOST_NAME_REFUSED):
        raise Refused(
            400,
            "InvalidParameter",
            "Linux host name cannot exceed 64 characters in length or contain the following characters: "
            + " ".join(HOST_NAME_REFUSED)
            + ".",
        )


def check_image_of(vm: Json) -> None:
    """A managed image takes no VM with a security type, and no Arm64. Source: Microsoft's "Trusted Launch" page."""
    security = vm["properties"].get("securityProfile", {}).get("securityType", "")
    if security in ("TrustedLaunch", "ConfidentialVM"):
        raise Refused(
            409,
            "OperationNotAllowed",
            f"Creation of managed images are not supported for virtual machine with {security} security type.",
        )
    if vm.get("_architecture") == "Arm64":
        raise Refused(409, "OperationNotAllowed", "Managed images do not support the architecture 'Arm64'.")


def check_version_source(definition: Json, identity: str, source: Source, kind: str) -> None:
    """SecurityType and architecture of a definition against what a version is made from.

    `kind` is `vm`, `disk`, `image` or `version`. Sources: Microsoft's "Deploy a Trusted Launch VM" (which source for
    which SecurityType); hashicorp/packer-plugin-azure issue 304, microsoft/STL issue 4682 (the refusals' texts);
    Microsoft's "Azure Compute Gallery" (the architecture of a definition).
    """
    wanted = feature(definition, "SecurityType")
    guarded = source.security in ("TrustedLaunch", "ConfidentialVM")
    if kind in ("vm", "disk") and guarded and wanted != source.security:
        raise Refused(
            409,
            "Conflict",
            f"The source '{identity}' contains TrustedLaunch or ConfidentialVM security data that cannot be used in "
            "image "
            f"with '{wanted}' security type.",
        )
    if wanted.endswith("Supported") and kind in ("vm", "disk"):
        raise Refused(
            400,
            "InvalidParameter",
            f"The security type '{wanted}' is not supported for the source id '{identity}'. Currently only Vhd Blob, "
            "User "
            "Image and Gallery Image Version sources are supported.",
        )
    if wanted in ("TrustedLaunch", "ConfidentialVM") and not (guarded or kind == "version"):
        raise Refused(
            400, "InvalidParameter", f"The security type '{wanted}' is not supported for the source id '{identity}'."
        )
    if source.architecture != definition["properties"].get("architecture", "x64"):
        raise Refused(
            400,
            "InvalidParameter",
            f"The source has the architecture '{source.architecture}', the gallery image definition "
            f"'{definition['properties'].get('architecture', 'x64')}'.",
        )
