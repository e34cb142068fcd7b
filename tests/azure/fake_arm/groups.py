"""Subscriptions, resource groups, sizes, quotas, marketplace images, permissions."""

from typing import NamedTuple

from tests.azure.fake_arm.model import COMPUTE, GROUP, SUBSCRIPTION, TENANT, Arm, Ask, Json, Refused, Reply, route
from tests.azure.fake_arm.rights import permissions


class Size(NamedTuple):
    vcpus: int
    family: str
    generations: str
    architecture: str
    controllers: str = "SCSI"
    trusted: bool = True
    """Whether it can be a Trusted Launch VM."""
    confidential: str = ""
    """SNP, TDX or SGX; empty: none of them."""


SIZES = {
    "Standard_D2s_v5": Size(2, "standardDSv5Family", "V1,V2", "x64"),
    "Standard_B2s": Size(2, "standardBSFamily", "V1,V2", "x64"),
    "Standard_D2ps_v5": Size(2, "standardDPSv5Family", "V2", "Arm64", trusted=False),
    "Standard_DC2s_v3": Size(2, "standardDCSv3Family", "V2", "x64", confidential="SGX"),
    "Standard_DC2as_v5": Size(2, "standardDCASv5Family", "V2", "x64", trusted=False, confidential="SNP"),
    "Standard_A1_v2": Size(1, "standardAv2Family", "V1", "x64", trusted=False),
    "Standard_NC24": Size(24, "standardNCFamily", "V1", "x64", trusted=False),
    "Standard_D2s_v6": Size(2, "StandardDsv6Family", "V2", "x64", "NVMe"),
    "Standard_E2bds_v5": Size(2, "standardEBDSv5Family", "V1,V2", "x64", "NVMe,SCSI"),
}
"""Source of the last two's controllers: Microsoft's "Enable NVMe interface"."""

RESTRICTED = {"Standard_NC24"}

IMAGES: dict[str, tuple[str, str, Json | None]] = {
    "debian:debian-10:10": ("V1", "x64", None),
    "debian:debian-12:12-gen2": ("V2", "x64", None),
    "debian:debian-12:12": ("V1", "x64", None),
    "debian:debian-12:12-arm64": ("V2", "Arm64", None),
    "kinvolk:flatcar:stable": ("V2", "x64", {"publisher": "kinvolk", "name": "stable", "product": "flatcar"}),
}
"""publisher:offer:sku -> generation, architecture, purchase plan. Their only version is 0.20260101.1."""

VERSION = "0.20260101.1"
SUB = "/subscriptions/{sub}"


def _subscription() -> Json:
    return {
        "id": f"/subscriptions/{SUBSCRIPTION}",
        "subscriptionId": SUBSCRIPTION,
        "tenantId": TENANT,
        "displayName": "Testing",
        "state": "Enabled",
        "subscriptionPolicies": {"locationPlacementId": "x", "quotaId": "x", "spendingLimit": "Off"},
    }


@route("GET", "/subscriptions")
def list_subscriptions(arm: Arm, ask: Ask) -> Reply:
    return Reply(200, {"value": [_subscription()]})


@route("GET", SUB)
def read_subscription(arm: Arm, ask: Ask) -> Reply:
    return Reply(200, _subscription())


@route("GET", "/tenants")
def list_tenants(arm: Arm, ask: Ask) -> Reply:
    return Reply(200, {"value": [{"id": f"/tenants/{TENANT}", "tenantId": TENANT}]})


@route("PUT", GROUP)
def put_group(arm: Arm, ask: Ask) -> Reply:
    if "resourceGroups" in arm.forbidden:
        raise Refused(
            403,
            "AuthorizationFailed",
            "The client 'tester' does not have authorization to perform action "
            f"'Microsoft.Resources/subscriptions/resourcegroups/write' over scope '{ask.path}'.",
        )
    location = str(ask.body.get("location", "")).replace(" ", "").lower()
    if location not in arm.locations:
        raise Refused(
            400, "LocationNotAvailableForResourceGroup", f"The provided location '{location}' is not available."
        )
    before = arm.get(ask.path)
    if before and before["location"] != location:
        raise Refused(
            409,
            "InvalidResourceGroupLocation",
            f"Invalid resource group location '{location}'. The Resource group already exists in location "
            f"'{before['location']}'.",
        )
    group: Json = {
        "id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{ask.parts['group']}",
        "name": ask.parts["group"],
        "type": "Microsoft.Resources/resourceGroups",
        "location": location,
        "properties": {"provisioningState": "Succeeded"},
    }
    if ask.body.get("tags"):
        group["tags"] = ask.body["tags"]
    arm.resources[ask.path.lower()] = group
    return Reply(200 if before else 201, group)


@route("GET", GROUP)
def read_group(arm: Arm, ask: Ask) -> Reply:
    arm.need_group(ask.path)
    return Reply(200, arm.get(ask.path))


@route("HEAD", GROUP)
def has_group(arm: Arm, ask: Ask) -> Reply:
    arm.need_group(ask.path)
    return Reply(204)


@route("DELETE", GROUP)
def delete_group(arm: Arm, ask: Ask) -> Reply:
    arm.need_group(ask.path)

    def finish() -> None:
        prefix = ask.path.lower()
        for key in [key for key in arm.resources if key == prefix or key.startswith(prefix + "/")]:
            guest = arm.guests.pop(key, None)
            if guest:
                guest.stop()
            del arm.resources[key]

    return Reply(202, None, arm.begin(ask, "operationresults", finish, location=True, aao=False))


@route("GET", SUB + "/locations")
def list_locations(arm: Arm, ask: Ask) -> Reply:
    return Reply(200, {"value": [{"name": name, "displayName": name.title()} for name in arm.locations]})


@route("GET", f"{SUB}/{COMPUTE}/skus")
def list_sizes(arm: Arm, ask: Ask) -> Reply:
    location = ask.query.get("$filter", "location eq 'westeurope'").split("'")[1]
    found: list[Json] = []
    for name, (vcpus, family, generations, architecture, controllers, trusted, confidential) in SIZES.items():
        capabilities = {
            "vCPUs": str(vcpus),
            "HyperVGenerations": generations,
            "CpuArchitectureType": architecture,
            "DiskControllerTypes": controllers,
        }
        if not trusted:
            capabilities["TrustedLaunchDisabled"] = "True"
        if confidential:
            capabilities["ConfidentialComputingType"] = confidential
        size: Json = {
            "resourceType": "virtualMachines",
            "name": name,
            "tier": "Standard",
            "size": name.removeprefix("Standard_"),
            "family": family,
            "locations": [location],
            "locationInfo": [{"location": location, "zones": ["1", "2", "3"], "zoneDetails": []}],
            "capabilities": [{"name": key, "value": value} for key, value in capabilities.items()],
            "restrictions": [],
        }
        if name in RESTRICTED:
            reason = {"type": "Location", "values": [location], "reasonCode": "NotAvailableForSubscription"}
            size["restrictions"] = [{**reason, "restrictionInfo": {"locations": [location]}}]
        found.append(size)
    return Reply(200, {"value": found if location in arm.locations else []})


@route("GET", f"{SUB}/{COMPUTE}/locations/{{location}}/usages")
def list_usages(arm: Arm, ask: Ask) -> Reply:
    if ask.parts["location"] not in arm.locations:
        raise Refused(
            400,
            "NoRegisteredProviderFound",
            f"No registered resource provider found for location '{ask.parts['location']}' and API version "
            f"'{ask.version}' for type 'locations/usages'. The supported locations are '{', '.join(arm.locations)}'.",
        )
    families = {"cores": "Total Regional vCPUs"} | {size[1]: f"{size[1]} vCPUs" for size in SIZES.values()}
    rows = [
        {
            "unit": "Count",
            "currentValue": used(arm, name),
            "limit": arm.vcpu_limit,
            "name": {"value": name, "localizedValue": text},
        }
        for name, text in families.items()
    ]
    return Reply(200, {"value": rows})


def used(arm: Arm, family: str = "cores") -> int:
    """The vCPUs in use, of one family or of all. VMs that are deallocated count too, by Microsoft's documents."""
    total = 0
    for vm in arm.of_kind("Microsoft.Compute/virtualMachines"):
        size = SIZES.get(vm["properties"]["hardwareProfile"]["vmSize"])
        if size and family in ("cores", size[1]):
            total += size[0]
    return total


_URN = f"{SUB}/{COMPUTE}/locations/{{location}}/publishers/{{publisher}}/artifacttypes/vmimage/offers/{{offer}}"


def marketplace(reference: Json) -> tuple[str, str, Json | None]:
    """Generation, architecture and plan of a marketplace image; raises Azure's error."""
    found = IMAGES.get(":".join(str(reference.get(key, "")) for key in ("publisher", "offer", "sku")).lower())
    if found is None or reference.get("version") not in ("latest", VERSION):
        urn = ":".join(str(reference.get(key, "")) for key in ("publisher", "offer", "sku", "version"))
        raise Refused(
            404,
            "PlatformImageNotFound",
            f"The platform image '{urn}' is not available. Verify that all fields in the storage profile are correct.",
        )
    return found


def _reference(ask: Ask) -> Json:
    version = ask.parts.get("version", VERSION)
    return {key: ask.parts[key] for key in ("publisher", "offer", "sku")} | {"version": version}


@route("GET", _URN + "/skus/{sku}/versions")
def list_versions(arm: Arm, ask: Ask) -> Reply:
    marketplace(_reference(ask))
    item = {"location": ask.parts["location"], "name": VERSION, "id": f"{ask.path}/{VERSION}"}
    # The real answer is a bare list.
    return Reply(200, [item])  # type: ignore[arg-type]


@route("GET", _URN + "/skus/{sku}/versions/{version}")
def read_version(arm: Arm, ask: Ask) -> Reply:
    generation, architecture, plan = marketplace(_reference(ask))
    properties: Json = {
        "hyperVGeneration": generation,
        "architecture": architecture,
        "osDiskImage": {"operatingSystem": "Linux"},
        "dataDiskImages": [],
        "automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": False},
    }
    if plan:
        properties["plan"] = plan
    body = {"location": ask.parts["location"], "name": VERSION, "id": ask.path, "properties": properties}
    return Reply(200, body)


@route("GET", f"{GROUP}/providers/Microsoft.Authorization/permissions")
@route("GET", f"{SUB}/providers/Microsoft.Authorization/permissions")
def list_permissions(arm: Arm, ask: Ask) -> Reply:
    """Source: Microsoft's REST reference, Permissions (List For Resource Group)."""
    scope = ask.path.lower().split("/providers/")[0]
    if "/resourcegroups/" in scope:
        arm.need_group(ask.path)
    return Reply(200, {"value": permissions(arm.roles, scope) if arm.roles else [{"actions": ["*"], "notActions": []}]})


@route("GET", f"{GROUP}/resources")
def list_resources(arm: Arm, ask: Ask) -> Reply:
    arm.need_group(ask.path)
    prefix = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/{ask.parts['group']}/".lower()
    return Reply(200, {"value": [item for key, item in arm.resources.items() if key.startswith(prefix)]})
