"""What several tests capture: the wishes, the guests, and what they look at afterwards."""

from typing import Any

from azready.azure.capture import GuestWork, Host, Wishes
from azready.azure.requests.images import Definition
from azready.azure.requests.model import Place, parse_urn
from azready.errors import Failure
from tests.azure.fake_arm.model import SUBSCRIPTION, Arm, Guest

NO_ROOT = (
    b"[    0.000000] Linux version 6.1.0-21-cloud-amd64 (debian-kernel@lists.debian.org)\r\n"
    b"[    0.000000] Command line: BOOT_IMAGE=/vmlinuz root=UUID=11f2 ro console=ttyS0\r\n"
    b'[    1.481223] VFS: Cannot open root device "UUID=11f2" or unknown-block(0,0): error -6\r\n'
    b"[    1.492001] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n"
)
"""The console of a kernel without its root."""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJq test"
WISHES = Wishes(
    place=Place(SUBSCRIPTION, "rg", "westeurope"),
    name="web",
    urn=parse_urn("debian:debian-12:12-gen2:latest"),
    vm="",
    size="Standard_D2s_v5",
    admin="azureuser",
    public_key=KEY,
    key_file="/keys/id",
    ssh_from="203.0.113.7/32",
)
GALLERY = Definition("gal", "def", "me", "azready", "web", "", security_type="TrustedLaunchSupported")


def put(arm: Arm, identity: str, kind: str, **properties: Any) -> dict[str, Any]:
    """Something that exists before a run, as the fake keeps it."""
    base = {"id": identity, "name": identity.split("/")[-1], "type": kind, "location": "westeurope"}
    arm.resources[identity.lower()] = base | {"properties": {"provisioningState": "Succeeded", **properties}}
    return arm.resources[identity.lower()]


RG = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"


def own_vm(
    arm: Arm, security: str = "", size: str = "Standard_D2s_v5", architecture: str = "x64", name: str = "mine"
) -> dict[str, Any]:
    """A VM of the user's, with its group, disk, interface and address."""
    put(arm, RG, "Microsoft.Resources/resourceGroups")
    address = put(arm, f"{RG}/providers/Microsoft.Network/publicIPAddresses/ip", "Microsoft.Network/publicIPAddresses")
    address["properties"] |= {"ipAddress": "192.0.2.9", "publicIPAllocationMethod": "Static"}
    nic = f"{RG}/providers/Microsoft.Network/networkInterfaces/nic"
    inner = {"publicIPAddress": {"id": address["id"]}, "privateIPAddress": "10.0.0.4"}
    inner["subnet"] = {"id": f"{RG}/providers/Microsoft.Network/virtualNetworks/own/subnets/s"}
    put(arm, nic, "Microsoft.Network/networkInterfaces", ipConfigurations=[{"name": "x", "properties": inner}])
    disk = put(arm, f"{RG}/providers/Microsoft.Compute/disks/{name}-disk", "Microsoft.Compute/disks")
    able = {"architecture": architecture}
    disk["properties"] |= {"osType": "Linux", "hyperVGeneration": "V2", "diskState": "Attached"}
    disk["properties"] |= {"creationData": {"createOption": "FromImage"}, "supportedCapabilities": able}
    if security:
        disk["properties"]["securityProfile"] = {"securityType": security}
    profile = {"securityType": security, "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True}}
    vm = put(
        arm,
        f"{RG}/providers/Microsoft.Compute/virtualMachines/{name}",
        "Microsoft.Compute/virtualMachines",
        hardwareProfile={"vmSize": size},
        storageProfile={"osDisk": {"createOption": "FromImage", "managedDisk": {"id": disk["id"]}}},
        osProfile={"adminUsername": "me", "linuxConfiguration": {"provisionVMAgent": True}},
        networkProfile={"networkInterfaces": [{"id": nic}]},
        vmId="1",
        **({"securityProfile": profile} if security else {}),
    )
    vm |= {"_power": "running", "_generalized": False, "_generation": "V2", "_architecture": architecture}
    arm.guests[vm["id"].lower()] = Guest(lambda: ("ready", ""))
    return vm


def definition(arm: Arm, **features: str) -> dict[str, Any]:
    """The definition of GALLERY, made by somebody before."""
    put(arm, RG, "Microsoft.Resources/resourceGroups")
    put(arm, f"{RG}/providers/Microsoft.Compute/galleries/gal", "Microsoft.Compute/galleries")
    return put(
        arm,
        f"{RG}/providers/Microsoft.Compute/galleries/gal/images/def",
        "Microsoft.Compute/galleries/images",
        osType="Linux",
        osState="Generalized",
        hyperVGeneration="V2",
        architecture="x64",
        identifier={"publisher": "p", "offer": "o", "sku": "s"},
        features=[{"name": name, "value": value} for name, value in features.items()],
    )


class Guests:
    """The ssh part: remembers what it was asked to do. `controllers` is what the check finds."""

    def __init__(self, controllers: str = "SCSI, NVMe") -> None:
        self.sealed: list[Host] = []
        self.failure: Failure | None = None
        self.controllers = controllers

    def seal(self, host: Host) -> None:
        if self.failure:
            raise self.failure
        self.sealed.append(host)

    def journal(self, host: Host) -> str:
        return "ContainerId: 1\nResponse: 200 OK\nProvisioned web in 0.41 s: reported Ready\n"

    def work(self) -> GuestWork:
        return GuestWork(lambda host: None, lambda host: self.controllers, self.seal, self.journal)


def kinds(arm: Arm) -> list[str]:
    return sorted(item["type"].split("/", 1)[1] for item in arm.resources.values() if "/" in item["type"])
