"""Managed disks that are filled by upload.

Source: Microsoft's REST reference, Disks. `uploadSizeBytes` counts the VHD footer.
"""

from azready.azure.requests.model import DISKS, Json, Place, Request, Usual

SMALLEST_UPLOAD = 20_972_032
"""20 MiB and the footer: the least that `uploadSizeBytes` may be."""
LARGEST_UPLOAD = 35_183_298_347_520
SAS_SECONDS = 86_400
QUICK = Usual(0.3, 5)
SNAPSHOT = Usual(5, 60)


def disk_id(place: Place, name: str) -> str:
    return place.compute("disks", name)


def encryption(identity: str) -> Json:
    """The property of a disk or snapshot whose key is in a disk encryption set; empty for Azure's own key."""
    return (
        {"encryption": {"type": "EncryptionAtRestWithCustomerKey", "diskEncryptionSetId": identity}} if identity else {}
    )


def create_upload_disk(
    place: Place, name: str, size: int, generation: str, architecture: str, sku: str, *, encryption_set: str = ""
) -> Request:
    """A disk that waits for `size` bytes, the footer among them; `generation` V1 or V2, `architecture` x64 or Arm64."""
    properties: Json = {
        "osType": "Linux",
        "hyperVGeneration": generation,
        "creationData": {"createOption": "Upload", "uploadSizeBytes": size},
        "supportedCapabilities": {"architecture": architecture},
        **encryption(encryption_set),
    }
    az: tuple[str, ...] = ("az", "disk", "create", "-n", name, *place.az_common(), "--upload-type", "Upload")
    az += ("--upload-size-bytes", str(size), "--os-type", "Linux", "--hyper-v-generation", generation)
    az += ("--architecture", architecture, "--sku", sku)
    az += ("--disk-encryption-set", encryption_set) if encryption_set else ()
    body = place.envelope(properties, sku={"name": sku})
    return Request("PUT", disk_id(place, name), DISKS, body, usual=QUICK, az=(az,))


def snapshot_id(place: Place, name: str) -> str:
    return place.compute("snapshots", name)


def create_snapshot(place: Place, name: str, disk: str) -> Request:
    """The state of a disk now, whether its VM runs or not; only what differs from earlier snapshots is stored anew."""
    creation = {"createOption": "Copy", "sourceResourceId": disk}
    az = ("az", "snapshot", "create", "-n", name, *place.az_common(), "--source", disk, "--incremental", "true")
    body = place.envelope({"creationData": creation, "incremental": True}, sku={"name": "Standard_LRS"})
    return Request("PUT", snapshot_id(place, name), DISKS, body, usual=SNAPSHOT, az=((*az, "--sku", "Standard_LRS"),))


def create_copy(place: Place, name: str, snapshot: str, security_type: str, encryption_set: str = "") -> Request:
    """A disk from a snapshot. A Trusted Launch VM needs one that says so; its vTPM begins anew."""
    sku = "StandardSSD_LRS"
    properties: Json = {
        "creationData": {"createOption": "Copy", "sourceResourceId": snapshot},
        **encryption(encryption_set),
    }
    az = ("az", "disk", "create", "-n", name, *place.az_common(), "--source", snapshot, "--sku", sku)
    if security_type == "TrustedLaunch":
        properties["securityProfile"] = {"securityType": security_type}
        az += ("--security-type", security_type)
    az += ("--disk-encryption-set", encryption_set) if encryption_set else ()
    body = place.envelope(properties, sku={"name": sku})
    return Request("PUT", disk_id(place, name), DISKS, body, usual=SNAPSHOT, az=(az,))


def grant_access(place: Place, name: str) -> Request:
    """A SAS to write to the disk: the answer is a secret. Asked again, Azure gives another."""
    az: tuple[str, ...] = ("az", "disk", "grant-access", "-g", place.group, "-n", name, "--access-level", "Write")
    az += ("--duration-in-seconds", str(SAS_SECONDS))
    return Request(
        "POST",
        f"{disk_id(place, name)}/beginGetAccess",
        DISKS,
        {"access": "Write", "durationInSeconds": SAS_SECONDS},
        usual=QUICK,
        final_state_via="location",
        az=(az,),
    )


def revoke_access(place: Place, name: str) -> Request:
    """Ends the upload; until then the disk cannot be used, and is billed."""
    az = ("az", "disk", "revoke-access", "-g", place.group, "-n", name)
    return Request(
        "POST", f"{disk_id(place, name)}/endGetAccess", DISKS, usual=QUICK, final_state_via="location", az=(az,)
    )
