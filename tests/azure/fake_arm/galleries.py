"""Galleries, definitions, versions."""

import copy
import re

from tests.azure.fake_arm import rules
from tests.azure.fake_arm.model import COMPUTE, GROUP, Arm, Ask, Json, Refused, Reply, route
from tests.azure.fake_arm.rules import Source

GALLERY = f"{GROUP}/{COMPUTE}/galleries/{{name}}"
DEFINITION = GALLERY + "/images/{image}"
VERSION = DEFINITION + "/versions/{version}"
OPERATIONS = COMPUTE + "/locations/{}/capsOperations"
FIXED = ("osType", "osState", "hyperVGeneration", "architecture", "identifier", "features")


@route("PUT", GALLERY)
def put_gallery(arm: Arm, ask: Ask) -> Reply:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._]{0,78}[A-Za-z0-9]|[A-Za-z0-9]", ask.parts["name"]):
        raise Refused(
            400,
            "InvalidParameter",
            f"The value of parameter galleryName is invalid: {ask.parts['name']}. Only alphanumeric characters, dots "
            "and underscores are allowed.",
        )
    properties = {**ask.body.get("properties", {}), "provisioningState": "Creating"}
    gallery, new = arm.store(ask, "Microsoft.Compute/galleries", properties)
    headers = arm.begin(ask, OPERATIONS.format(gallery["location"]), arm.succeed(gallery))
    return Reply(201 if new else 200, gallery, headers)


@route("PUT", DEFINITION)
def put_definition(arm: Arm, ask: Ask) -> Reply:
    arm.need(ask.path.rsplit("/images/", 1)[0])
    properties = copy.deepcopy(ask.body.get("properties", {}))
    properties.setdefault("hyperVGeneration", "V1")
    properties.setdefault("architecture", "x64")
    before = arm.get(ask.path)
    for name in FIXED:
        if before and before["properties"].get(name) != properties.get(name):
            raise Refused(
                409, "PropertyChangeNotAllowed", f"Changing property 'galleryImage.properties.{name}' is not allowed."
            )
    triple = properties.get("identifier")
    for other in arm.of_kind("Microsoft.Compute/galleries/images"):
        same_gallery = other["id"].lower().startswith(ask.path.lower().rsplit("/images/", 1)[0] + "/")
        if same_gallery and other["id"].lower() != ask.path.lower() and other["properties"]["identifier"] == triple:
            raise Refused(409, "Conflict", f"The identifier is used by {other['id']}; it must be unique in a gallery.")
    properties["provisioningState"] = "Creating"
    definition, new = arm.store(ask, "Microsoft.Compute/galleries/images", properties)
    headers = arm.begin(ask, OPERATIONS.format(definition["location"]), arm.succeed(definition))
    return Reply(201 if new else 200, definition, headers)


@route("PUT", VERSION)
def put_version(arm: Arm, ask: Ask) -> Reply:
    definition = arm.need(ask.path.rsplit("/versions/", 1)[0])
    if not re.fullmatch(r"\d{1,10}\.\d{1,10}\.\d{1,10}", ask.parts["version"]):
        raise Refused(
            400,
            "InvalidParameter",
            f"The value of parameter galleryImageVersionName is invalid: {ask.parts['version']}",
        )
    properties = copy.deepcopy(ask.body.get("properties", {}))
    identity, source, kind = _source(arm, properties.get("storageProfile", {}))
    if source.generation != definition["properties"]["hyperVGeneration"]:
        raise Refused(
            400,
            "InvalidParameter",
            f"The source has a different Hypervisor generation '{source.generation}' than the gallery image definition "
            f"'{definition['properties']['hyperVGeneration']}'.",
        )
    rules.check_version_source(definition, identity, source, kind)
    regions = properties.get("publishingProfile", {}).get("targetRegions", [])
    names = [region["name"].replace(" ", "").lower() for region in regions]
    for name in names:
        if name not in arm.locations:
            raise Refused(400, "InvalidParameter", f"The target region {name} is not a valid Azure region.")
    location = str(ask.body.get("location", "")).replace(" ", "").lower()
    if location not in names:
        raise Refused(
            400, "InvalidParameter", f"The target regions must contain the location '{location}' of the image version."
        )
    rules.check_encryption(arm, regions)
    properties["provisioningState"] = "Creating"
    version, new = arm.store(ask, "Microsoft.Compute/galleries/images/versions", properties)
    version.update({"_looks": 0, "_plan": source.plan})
    properties.setdefault("publishingProfile", {})["publishedDate"] = "2026-01-01T00:00:00+00:00"  # az sorts by it
    headers = arm.begin(ask, OPERATIONS.format(version["location"]), arm.succeed(version))
    return Reply(201 if new else 200, version, headers)


def _source(arm: Arm, storage: Json) -> tuple[str, Source, str]:
    """What a version is made from: its id, its facts, and its kind; refuses what is not ready."""
    source = storage.get("source", {})
    machine = source.get("virtualMachineId") or source.get("id", "")
    if machine and "/virtualmachines/" in machine.lower():
        vm = arm.need(machine)
        if not vm["_generalized"]:
            raise Refused(400, "InvalidParameter", f"The source VM {vm['name']} is not generalized.")
        security = vm["properties"].get("securityProfile", {}).get("securityType", "")
        return machine, Source(vm["_generation"], vm.get("_architecture", "x64"), vm.get("plan"), security), "vm"
    if source.get("id"):
        found = arm.need(source["id"])
        return source["id"], Source(found["properties"]["hyperVGeneration"], plan=found.get("_plan")), "image"
    identity = storage["osDiskImage"]["source"]["id"]
    found = arm.need(identity)
    facts = found["properties"]
    if facts.get("diskState") not in ("Unattached", "Reserved") and "/snapshots/" not in identity.lower():
        raise Refused(409, "Conflict", f"The source disk {found['name']} is in state {facts.get('diskState')}.")
    security = facts.get("securityProfile", {}).get("securityType", "")
    architecture = facts.get("supportedCapabilities", {}).get("architecture", "x64")
    return identity, Source(facts["hyperVGeneration"], architecture, found.get("_plan"), security), "disk"


@route("GET", GALLERY)
@route("GET", DEFINITION)
def get(arm: Arm, ask: Ask) -> Reply:
    return Reply(200, arm.need(ask.path))


@route("GET", DEFINITION + "/versions")
def list_versions(arm: Arm, ask: Ask) -> Reply:
    definition = arm.need(ask.path.rsplit("/", 1)[0])
    prefix = definition["id"].lower() + "/versions/"
    return Reply(200, {"value": [item for key, item in arm.resources.items() if key.startswith(prefix)]})


@route("GET", VERSION)
def get_version(arm: Arm, ask: Ask) -> Reply:
    version = copy.deepcopy(arm.need(ask.path))
    if ask.query.get("$expand") == "ReplicationStatus":
        arm.need(ask.path)["_looks"] += 1
        done = version["properties"]["provisioningState"] == "Succeeded"
        progress = 100 if done else min(90, 30 * version["_looks"])
        state = "Completed" if done else "Replicating"
        version["properties"]["replicationStatus"] = {
            "aggregatedState": "Completed" if done else "InProgress",
            "summary": [
                {"region": region["name"], "state": state, "details": "", "progress": progress}
                for region in version["properties"]["publishingProfile"]["targetRegions"]
            ],
        }
    return Reply(200, version)


@route("DELETE", VERSION)
@route("DELETE", DEFINITION)
@route("DELETE", GALLERY)
def delete(arm: Arm, ask: Ask) -> Reply:
    resource = arm.get(ask.path)
    if resource is None:
        arm.need_group(ask.path)
        return Reply(204)
    if any(key.startswith(ask.path.lower() + "/") for key in arm.resources):
        raise Refused(409, "CannotDeleteResource", "Can not delete resource before nested resources are deleted.")

    def finish() -> None:
        del arm.resources[ask.path.lower()]

    return Reply(202, None, arm.begin(ask, OPERATIONS.format(resource["location"]), finish, location=True))
