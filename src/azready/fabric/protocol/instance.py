"""The IMDS instance document of a machine, for each api-version the fields that it has.

Fields and the versions that introduced them: Microsoft's page "Azure Instance Metadata Service for virtual
machines", and for newer ones the programs that read them: azure-init's recording of October 2025
(isVmInStandbyPool), cilium (systemFaultDomain, ipAddressBlock), dranet and cloud-provider-azure (2025-11-11 and
its interconnect groups). All primitives are strings there, and what does not apply is present as "". `extended` is
undocumented (cloud-init and azure-init read `extended.compute.hasCustomData` and `.ppsType`); its values are
not strings.
"""

import base64
from functools import lru_cache
from ipaddress import ip_network
from typing import Any

from azready.errors import UsageFailure
from azready.fabric.machine import DataDisk, Machine

VERSIONS = (
    "2017-03-01", "2017-04-02", "2017-08-01", "2017-10-01", "2017-12-01", "2018-02-01", "2018-04-02", "2018-10-01",
    "2019-02-01", "2019-03-11", "2019-04-30", "2019-06-01", "2019-06-04", "2019-08-01", "2019-08-15", "2019-11-01",
    "2020-06-01", "2020-07-15", "2020-09-01", "2020-10-01", "2020-12-01", "2021-01-01", "2021-02-01", "2021-03-01",
    "2021-05-01", "2021-08-01", "2021-10-01", "2021-11-01", "2021-11-15", "2021-12-13", "2023-07-01", "2023-11-15",
    "2024-03-15", "2024-07-17", "2025-04-07", "2025-11-11",
)  # fmt: skip
"""The api-versions of the public page, and the one that is in use since, oldest first. An exact match is needed: there
is no "at least"."""

INSTANCE_SINCE = "2017-04-02"
EXTENDED_SINCE = "2021-08-01"
"""The oldest version with which an agent is known to ask for `extended=true` (cloud-init)."""

SINCE = {
    "compute/azEnvironment": "2018-10-01",
    "compute/additionalCapabilities": "2021-11-01",
    "compute/customData": "2019-02-01",
    "compute/evictionPolicy": "2020-12-01",
    "compute/extendedLocation": "2021-03-01",
    "compute/host": "2021-11-15",
    "compute/hostGroup": "2021-11-15",
    "compute/interconnectGroupId": "2025-11-11",
    "compute/interconnectSubgroupId": "2025-11-11",
    "compute/isVmInStandbyPool": "2023-11-15",
    "compute/isHostCompatibilityLayerVm": "2020-06-01",
    "compute/licenseType": "2020-09-01",
    "compute/osProfile": "2020-07-15",
    "compute/osProfile/disablePasswordAuthentication": "2020-10-01",
    "compute/physicalZone": "2023-11-15",
    "compute/placementGroupId": "2017-08-01",
    "compute/plan": "2018-04-02",
    "compute/platformSubFaultDomain": "2021-10-01",
    "compute/priority": "2020-12-01",
    "compute/provider": "2018-10-01",
    "compute/publicKeys": "2018-04-02",
    "compute/resourceGroupName": "2017-08-01",
    "compute/resourceId": "2019-03-11",
    "compute/securityProfile": "2020-06-01",
    "compute/securityProfile/encryptionAtHost": "2021-11-01",
    "compute/securityProfile/securityType": "2021-12-13",
    "compute/storageProfile": "2019-06-01",
    "compute/storageProfile/imageReference/communityGalleryImageId": "2023-07-01",
    "compute/storageProfile/imageReference/sharedGalleryImageId": "2023-07-01",
    "compute/storageProfile/imageReference/exactVersion": "2023-07-01",
    "compute/storageProfile/resourceDisk": "2021-02-01",
    "compute/subscriptionId": "2017-08-01",
    "compute/storageProfile/osDisk/diffDiskSettings/enableFullCaching": "2025-04-07",
    "compute/storageProfile/osDisk/diffDiskSettings/placement": "2024-03-15",
    "compute/systemFaultDomain": "2025-04-07",
    "compute/tags": "2017-08-01",
    "compute/tagsList": "2019-06-04",
    "compute/userData": "2021-01-01",
    "compute/virtualMachineScaleSet": "2021-03-01",
    "compute/vmScaleSetName": "2017-12-01",
    "compute/zone": "2017-12-01",
    "extended": EXTENDED_SINCE,
}
"""The version that introduced a field or a sub-tree; a path that is not listed exists since the first one. For fields
that the public page lacks (see above) it is the oldest that their readers ask for, or decided here."""
ADDRESS_BLOCKS_SINCE = "2025-04-07"


def document(machine: Machine, version: str, extended: bool = False) -> dict[str, Any]:
    """The instance document as `version` shows it. `version` must be one of VERSIONS.

    Raises UsageFailure for a value of the test's own (`Machine.imds`) that has no place in it.
    """
    whole: dict[str, Any] = {"compute": _compute(machine), "network": _network(machine, version)}
    if extended:
        whole["extended"] = {"compute": _extended(machine)}
    for path, value in machine.imds:
        _override(whole, path.replace(".", "/").split("/"), value)
    for path, since in SINCE.items():
        if since > version:
            _remove(whole, path.split("/"))
    return whole


def _extended(machine: Machine) -> dict[str, Any]:
    flags: dict[str, Any] = {"hasCustomData": bool(machine.custom_data), "ppsType": machine.pps_type}
    if machine.provisiondata == "secrets":  # of the proposal that docs/fidelity.md names
        flags["hasAdminPassword"] = bool(machine.admin_password)
    return flags


def _remove(node: Any, keys: list[str]) -> None:
    for key in keys[:-1]:
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, dict):
        node.pop(keys[-1], None)


def _override(node: Any, keys: list[str], value: Any) -> None:
    """Put the test's own value at a path; folders that do not exist are made, list elements must exist."""
    try:
        for key in keys[:-1]:
            node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
        node[int(keys[-1]) if isinstance(node, list) else keys[-1]] = value
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        raise UsageFailure(
            f"imds: there is no place {'.'.join(keys)}", "a path leads through tables, and through numbers of lists"
        ) from error


def _compute(machine: Machine) -> dict[str, Any]:
    return {
        "additionalCapabilities": {"hibernationEnabled": "false"},
        "azEnvironment": "AzurePublicCloud",
        "customData": "",
        "evictionPolicy": "",
        "extendedLocation": {"name": "", "type": ""},
        "host": {"id": ""},
        "hostGroup": {"id": ""},
        "interconnectGroupId": "",
        "interconnectSubgroupId": "",
        "isHostCompatibilityLayerVm": "false",
        "isVmInStandbyPool": "",
        "licenseType": "",
        "location": machine.location,
        "name": machine.name,
        "offer": "",
        "osProfile": {
            "adminUsername": machine.admin_username,
            "computerName": machine.computer_name,
            "disablePasswordAuthentication": _truth(machine.disable_password_authentication),
        },
        "osType": "Linux",
        "physicalZone": "",
        "placementGroupId": "",
        "plan": {"name": "", "product": "", "publisher": ""},
        "platformFaultDomain": "0",
        "platformSubFaultDomain": "",
        "platformUpdateDomain": "0",
        "priority": "",
        "provider": "Microsoft.Compute",
        "publicKeys": [{"keyData": key, "path": _keys_path(machine)} for key in machine.public_keys],
        "publisher": "",
        "resourceGroupName": machine.resource_group,
        "resourceId": machine.resource_id,
        "securityProfile": _security(machine),
        "sku": "",
        "storageProfile": _storage(machine),
        "subscriptionId": machine.subscription_id,
        "systemFaultDomain": "",
        "tags": ";".join(f"{name}:{value}" for name, value in machine.tags),
        "tagsList": [{"name": name, "value": value} for name, value in machine.tags],
        "userData": base64.b64encode(machine.user_data.encode()).decode(),
        "version": "",
        "virtualMachineScaleSet": {"id": ""},
        "vmId": machine.vm_id,
        "vmScaleSetName": "",
        "vmSize": machine.size,
        "zone": machine.zone,
    }


def _security(machine: Machine) -> dict[str, str]:
    trusted = machine.security_type != "Standard"
    return {
        "encryptionAtHost": "false",
        "secureBootEnabled": _truth(trusted),
        "securityType": machine.security_type if trusted else "",
        "virtualTpmEnabled": _truth(trusted),
    }


def _disk_name(machine: Machine, kind: str, number: int) -> str:
    """`vm1_OsDisk_1_<32 hex>`: the number is the same in every run."""
    return f"{machine.name}_{kind}_{machine.vm_id.replace('-', '')[:30]}{number:02x}"


def _data_disk(machine: Machine, disk: DataDisk, scope: str) -> dict[str, Any]:
    """The page's seventeen fields; throttles, capacity and sharing are told of Ultra disks only, as it says."""
    name, ultra = _disk_name(machine, f"DataDisk_{disk.lun}", disk.lun + 1), disk.sku == "UltraSSD_LRS"
    return {
        "bytesPerSecondThrottle": "60000000" if ultra else "",
        "caching": disk.caching,
        "createOption": "Empty",
        "diffDiskSettings": {"option": ""},
        "diskCapacityBytes": str(disk.size << 30) if ultra else "",
        "diskSizeGB": str(disk.size),
        "encryptionSettings": _encryption(),
        "image": {"uri": ""},
        "isSharedDisk": "false" if ultra else "",
        "isUltraDisk": _truth(ultra),
        "lun": str(disk.lun),
        "managedDisk": {"id": f"{scope}/providers/Microsoft.Compute/disks/{name}", "storageAccountType": disk.sku},
        "name": name,
        "opsPerSecondThrottle": "500" if ultra else "",
        "osType": "",
        "vhd": {"uri": ""},
        "writeAcceleratorEnabled": "false",
    }


def _encryption() -> dict[str, Any]:
    return {
        "diskEncryptionKey": {"secretUrl": "", "sourceVault": {"id": ""}},
        "enabled": "false",
        "keyEncryptionKey": {"keyUrl": "", "sourceVault": {"id": ""}},
    }


def _storage(machine: Machine) -> dict[str, Any]:
    scope = machine.resource_id.rpartition("/providers/")[0]
    os_disk = _disk_name(machine, "OsDisk_1", 0)
    image = f"{scope}/providers/Microsoft.Compute/images/{machine.name}-image"
    return {
        "dataDisks": [_data_disk(machine, disk, scope) for disk in machine.data_disks],
        "imageReference": {
            "communityGalleryImageId": "",
            "exactVersion": "",
            "id": image,
            "offer": "",
            "publisher": "",
            "sharedGalleryImageId": "",
            "sku": "",
            "version": "",
        },
        "osDisk": {
            "caching": "ReadWrite",
            "createOption": "FromImage",
            "diffDiskSettings": {"enableFullCaching": "", "option": "", "placement": ""},
            "diskSizeGB": "30",
            "encryptionSettings": _encryption(),
            "image": {"uri": ""},
            "managedDisk": {
                "id": f"{scope}/providers/Microsoft.Compute/disks/{os_disk}",
                "storageAccountType": "StandardSSD_LRS",
            },
            "name": os_disk,
            "osType": "Linux",
            "vhd": {"uri": ""},
            "writeAcceleratorEnabled": "false",
        },
        "resourceDisk": {"size": str(machine.hardware.temporary_disk * 1024)},
    }


def _network(machine: Machine, version: str) -> dict[str, Any]:
    six = (machine.address6, machine.subnet6) if machine.address6 else None
    interfaces = [_interface(machine.mac, machine.address, machine.public_address, machine.subnet, six)]
    interfaces += [_interface(mac, address, "", machine.subnet) for mac, address in machine.secondary_nics]
    if machine.nics_shuffled:  # no order is promised: the last one first is as good as any, and the same in every run
        interfaces.reverse()
    if version >= ADDRESS_BLOCKS_SINCE:
        for interface in interfaces:
            interface["ipv4"]["ipAddressBlock"] = []
            interface["ipv6"]["ipAddressBlock"] = []
    return {"interface": interfaces}


def _interface(mac: str, address: str, public: str, subnet: str, six: tuple[str, str] | None = None) -> dict[str, Any]:
    return {
        "ipv4": {"ipAddress": [{"privateIpAddress": address, "publicIpAddress": public}], "subnet": [_subnet(subnet)]},
        "ipv6": {"ipAddress": [{"privateIpAddress": six[0]}], "subnet": [_subnet(six[1])]}
        if six
        else {"ipAddress": []},
        "macAddress": mac.replace(":", "").upper(),
    }


@lru_cache(maxsize=256)
def _subnet_parts(text: str) -> tuple[str, str]:
    network = ip_network(text, strict=False)
    return str(network.network_address), str(network.prefixlen)


def _subnet(text: str) -> dict[str, str]:
    address, prefix = _subnet_parts(text)
    return {"address": address, "prefix": prefix}


def _keys_path(machine: Machine) -> str:
    return f"/home/{machine.admin_username}/.ssh/authorized_keys"


def _truth(value: bool) -> str:
    return "true" if value else "false"
