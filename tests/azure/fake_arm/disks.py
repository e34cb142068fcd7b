"""Managed disks that are filled by upload."""

import copy
import uuid

from tests.azure.fake_arm.model import COMPUTE, GROUP, Arm, Ask, Json, Refused, Reply, route

DISK = f"{GROUP}/{COMPUTE}/disks/{{name}}"
ENCRYPTION_SET = f"{GROUP}/{COMPUTE}/diskEncryptionSets/{{name}}"
SNAPSHOT = f"{GROUP}/{COMPUTE}/snapshots/{{name}}"
OPERATIONS = COMPUTE + "/locations/{}/DiskOperations"
MIB = 1024 * 1024


@route("PUT", DISK)
def put(arm: Arm, ask: Ask) -> Reply:
    arm.need_group(ask.path)
    before = arm.get(ask.path)
    properties = copy.deepcopy(ask.body.get("properties", {}))
    creation = properties.get("creationData", {})
    if before is None and creation.get("createOption") == "Upload":
        size = creation.get("uploadSizeBytes")
        if not isinstance(size, int) or not 20_972_032 <= size <= 35_183_298_347_520 or (size - 512) % MIB:
            raise Refused(
                400,
                "InvalidParameter",
                f"The specified upload size {size} is invalid: upload size - 512 must be a multiple of MiB, between "
                "20972032 and 35183298347520 bytes.",
            )
        properties["diskSizeGB"] = -(-size // (1024 * MIB))
        properties["diskSizeBytes"] = size - 512
    if before is not None:
        return Reply(200, before)
    state = "ReadyToUpload"
    if creation.get("createOption") == "Copy":
        state = "Unattached"
        _copy(arm, ask, properties, creation)
    properties.update({"diskState": state, "uniqueId": str(uuid.uuid4()), "provisioningState": "Updating"})
    disk, _ = arm.store(ask, "Microsoft.Compute/disks", properties, sku={"tier": "Standard", **ask.body.get("sku", {})})
    echo = {"provisioningState": "Updating", "creationData": creation}
    answer = {"name": disk["name"], "location": disk["location"], "properties": echo}
    headers = arm.begin(ask, OPERATIONS.format(disk["location"]), _made(arm, disk), location=True)
    return Reply(202, answer, headers)


def _copy(arm: Arm, ask: Ask, properties: Json, creation: Json) -> None:
    """What a copy has from its source."""
    source = arm.referenced(creation["sourceResourceId"], ask.path)
    for name in ("osType", "hyperVGeneration", "diskSizeGB", "supportedCapabilities"):
        if name in source["properties"]:
            properties.setdefault(name, source["properties"][name])


@route("PUT", SNAPSHOT)
def put_snapshot(arm: Arm, ask: Ask) -> Reply:
    """Source: Microsoft's REST reference, Snapshots (createOption Copy). Status and headers as those of disks."""
    arm.need_group(ask.path)
    properties = copy.deepcopy(ask.body.get("properties", {}))
    _copy(arm, ask, properties, properties.get("creationData", {}))
    source = arm.need(properties["creationData"]["sourceResourceId"])["properties"]
    if "securityProfile" in source:  # a snapshot of a Trusted Launch VM's disk is one too
        properties["securityProfile"] = source["securityProfile"]
    properties.update({"diskState": "Unattached", "uniqueId": str(uuid.uuid4()), "provisioningState": "Updating"})
    snapshot, _ = arm.store(ask, "Microsoft.Compute/snapshots", properties, sku=ask.body.get("sku", {}))
    echo = {"provisioningState": "Updating", "creationData": properties["creationData"]}
    answer = {"name": snapshot["name"], "location": snapshot["location"], "properties": echo}
    headers = arm.begin(ask, OPERATIONS.format(snapshot["location"]), _made(arm, snapshot), location=True)
    return Reply(202, answer, headers)


def _made(arm: Arm, disk: Json):  # type: ignore[no-untyped-def]
    def finish() -> Json:
        disk["properties"]["provisioningState"] = "Succeeded"
        return disk

    return finish


@route("GET", ENCRYPTION_SET)
@route("GET", SNAPSHOT)
@route("GET", DISK)
def get(arm: Arm, ask: Ask) -> Reply:
    return Reply(200, arm.need(ask.path))


@route("POST", DISK + "/beginGetAccess")
def grant(arm: Arm, ask: Ask) -> Reply:
    disk = arm.need(ask.path.rsplit("/", 1)[0])
    state = disk["properties"]["diskState"]
    if ask.body.get("access") == "Write" and state not in ("ReadyToUpload", "ActiveUpload"):
        raise Refused(
            409, "OperationNotAllowed", f"Write access cannot be granted to disk {disk['name']} in state {state}."
        )

    def finish() -> Json:
        disk["properties"]["diskState"] = "ActiveUpload"
        return {"accessSAS": arm.on_disk(disk["id"], disk)}

    return Reply(202, None, arm.begin(ask, OPERATIONS.format(disk["location"]), finish, location=True))


@route("POST", DISK + "/endGetAccess")
def revoke(arm: Arm, ask: Ask) -> Reply:
    disk = arm.need(ask.path.rsplit("/", 1)[0])

    def finish() -> None:
        if disk["properties"]["diskState"] == "ActiveUpload":
            disk["properties"]["diskState"] = "Unattached"

    return Reply(202, None, arm.begin(ask, OPERATIONS.format(disk["location"]), finish, location=True))


@route("DELETE", SNAPSHOT)
@route("DELETE", DISK)
def delete(arm: Arm, ask: Ask) -> Reply:
    disk = arm.get(ask.path)
    if disk is None:
        arm.need_group(ask.path)
        return Reply(204)
    if disk.get("managedBy"):
        raise Refused(409, "OperationNotAllowed", f"Disk {disk['name']} is attached to VM {disk['managedBy']}.")

    def finish() -> None:
        del arm.resources[ask.path.lower()]

    return Reply(202, None, arm.begin(ask, OPERATIONS.format(disk["location"]), finish, location=True))
