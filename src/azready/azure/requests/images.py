"""Managed images, and galleries with their definitions and versions.

Source: Microsoft's REST reference, Compute and Azure Compute Gallery.
"""

from dataclasses import dataclass, replace

from azready.azure.requests.model import COMPUTE, GALLERIES, Json, Place, PurchasePlan, Request, Usual, read

GALLERY = Usual(0.3, 3)
DEFINITION = Usual(0.1, 1)
IMAGE = Usual(5, 30)
VERSION = Usual(406, 496)


@dataclass(frozen=True)
class Definition:
    """A gallery image definition. Nothing of it can be changed later but descriptions."""

    gallery: str
    name: str
    publisher: str
    offer: str
    sku: str
    generation: str
    """V1 or V2."""
    architecture: str = "x64"
    """x64 or Arm64, as Azure writes them."""
    security_type: str = ""
    """The `SecurityType` feature, such as TrustedLaunchSupported; empty leaves it out."""
    controllers: str = ""
    """The `DiskControllerTypes` feature, such as `SCSI, NVMe`; empty leaves it out."""
    plan: PurchasePlan | None = None
    """The terms of the marketplace image that it comes from: VMs of it have to name them."""
    specialized: bool = False
    """Whether its VMs are copies that nothing provisions (osState Specialized)."""
    subscription: str = ""
    group: str = ""
    """Where the gallery lies, when not in the run's own subscription and group."""

    def home(self, place: Place) -> Place:
        """The place of the gallery."""
        subscription = self.subscription or place.subscription
        elsewhere = subscription.lower() != place.subscription.lower()
        return replace(place, subscription=subscription, group=self.group or place.group, elsewhere=elsewhere)

    @property
    def os_state(self) -> str:
        return "Specialized" if self.specialized else "Generalized"

    @property
    def features(self) -> list[Json]:
        pairs = (("SecurityType", self.security_type), ("DiskControllerTypes", self.controllers))
        return [{"name": name, "value": value} for name, value in pairs if value]


@dataclass(frozen=True)
class TargetRegion:
    """A region that a version is copied to. `storage` is Standard_LRS, Standard_ZRS or Premium_LRS."""

    name: str
    replicas: int = 1
    storage: str = "Standard_LRS"
    encryption_set: str = ""
    """Id of a disk encryption set of this region, whose key the copy is encrypted with; empty: Azure's own key."""

    @property
    def as_json(self) -> Json:
        more = {"encryption": {"osDiskImage": {"diskEncryptionSetId": self.encryption_set}}}
        body: Json = {"name": self.name, "regionalReplicaCount": self.replicas, "storageAccountType": self.storage}
        return body | (more if self.encryption_set else {})


def create_image(place: Place, name: str, generation: str, *, vm: str = "", disk: str = "") -> Request:
    """A managed image of a generalized VM, or of an uploaded disk; exactly one id is given."""
    az = ("az", "image", "create", "-n", name, *place.az_common(), "--hyper-v-generation", generation)
    properties: Json = {"hyperVGeneration": generation}
    if vm:
        properties["sourceVirtualMachine"] = {"id": vm}
        az += ("--source", vm)
    else:
        os_disk: Json = {"osType": "Linux", "osState": "Generalized", "managedDisk": {"id": disk}}
        properties["storageProfile"] = {"osDisk": os_disk}
        az += ("--source", disk, "--os-type", "Linux")
    return Request("PUT", image_id(place, name), COMPUTE, place.envelope(properties), usual=IMAGE, az=(az,))


def image_id(place: Place, name: str) -> str:
    return place.compute("images", name)


def create_gallery(place: Place, name: str) -> Request:
    az = ("az", "sig", "create", "--gallery-name", name, *place.az_common())
    return Request("PUT", place.compute("galleries", name), GALLERIES, place.envelope({}), usual=GALLERY, az=(az,))


def create_definition(place: Place, wanted: Definition) -> Request:
    """A gallery image definition: what all its versions have in common."""
    properties: Json = {
        "osType": "Linux",
        "osState": wanted.os_state,
        "hyperVGeneration": wanted.generation,
        "architecture": wanted.architecture,
        "identifier": {"publisher": wanted.publisher, "offer": wanted.offer, "sku": wanted.sku},
    }
    az: tuple[str, ...] = ("az", "sig", "image-definition", "create", *place.az_common())
    az += ("--gallery-name", wanted.gallery, "--gallery-image-definition", wanted.name)
    az += ("--publisher", wanted.publisher, "--offer", wanted.offer, "--sku", wanted.sku)
    az += ("--os-type", "Linux", "--os-state", wanted.os_state, "--hyper-v-generation", wanted.generation)
    az += ("--architecture", wanted.architecture)
    if wanted.features:
        properties["features"] = wanted.features
    # Without a SecurityType, az makes a V2 definition TrustedLaunchSupported: Standard is its word for none.
    named = [{"name": "SecurityType", "value": "Standard"}] if not wanted.security_type else []
    features = [*named, *wanted.features] if wanted.generation != "V1" else wanted.features
    if features:
        az += ("--features", " ".join(f"{item['name']}={item['value'].replace(' ', '')}" for item in features))
    if wanted.plan:
        properties["purchasePlan"] = wanted.plan.as_json()
        az += ("--plan-publisher", wanted.plan.publisher, "--plan-product", wanted.plan.product)
        az += ("--plan-name", wanted.plan.name)
    path = definition_id(place, wanted.gallery, wanted.name)
    return Request("PUT", path, GALLERIES, place.envelope(properties), usual=DEFINITION, az=(az,))


def definition_id(place: Place, gallery: str, name: str) -> str:
    return place.compute("galleries", gallery, "images", name)


def version_id(place: Place, gallery: str, name: str, version: str) -> str:
    return f"{definition_id(place, gallery, name)}/versions/{version}"


def list_versions(place: Place, gallery: str, name: str) -> Request:
    return read(f"{definition_id(place, gallery, name)}/versions", GALLERIES)


def create_version(
    place: Place,
    definition: Definition,
    version: str,
    regions: tuple[TargetRegion, ...],
    *,
    vm: str = "",
    disk: str = "",
    image: str = "",
) -> Request:
    """A version of a definition, from a generalized VM, a disk or snapshot, or a managed image; one id is given."""
    storage: Json = {"osDiskImage": {"source": {"id": disk}}}
    if vm or image:
        storage = {"source": {"virtualMachineId": vm} if vm else {"id": image}}
    az: tuple[str, ...] = ("az", "sig", "image-version", "create", *place.az_common())
    az += ("--gallery-name", definition.gallery, "--gallery-image-definition", definition.name)
    az += ("--gallery-image-version", version)
    az += ("--virtual-machine", vm) if vm else ("--managed-image", image) if image else ("--os-snapshot", disk)
    az += ("--target-regions", *(f"{item.name}={item.replicas}={item.storage.lower()}" for item in regions))
    if any(item.encryption_set for item in regions):
        az += ("--target-region-encryption", *(item.encryption_set or "null" for item in regions))
    targets = [region.as_json for region in regions]
    body = place.envelope({"publishingProfile": {"targetRegions": targets}, "storageProfile": storage})
    path = version_id(place, definition.gallery, definition.name, version)
    return Request("PUT", path, GALLERIES, body, usual=VERSION, az=(az,))


def replication(place: Place, gallery: str, name: str, version: str) -> Request:
    """A version with the state and progress of every region."""
    return read(version_id(place, gallery, name, version), GALLERIES, expand="ReplicationStatus")
