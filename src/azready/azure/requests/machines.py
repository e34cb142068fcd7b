"""Virtual machines and scale sets.

Source: Microsoft's REST reference, Compute. A VM without an agent needs `provisionVMAgent` and
`allowExtensionOperations` both false: with the second left true Azure refuses the request (InvalidParameter).
"""

from dataclasses import dataclass

from azready.azure.requests.model import COMPUTE, ImageUrn, Json, Place, PurchasePlan, Request, Usual, read

CREATE = Usual(52, 200)
DEALLOCATE = Usual(25, 66)
DELETE = Usual(24, 29)

NETWORK_API_OF_SCALE_SETS = "2020-11-01"
"""The only value that flexible scale sets take for `networkApiVersion`."""


@dataclass(frozen=True)
class VmWishes:
    """What a VM is asked to be. `image` is a marketplace image or the id of an image of ours."""

    name: str
    size: str
    image: ImageUrn | str
    interface: str
    admin: str
    public_key: str
    agent: bool
    """Whether an agent is to run in the guest: true for a marketplace image, false for ours."""
    disk_sku: str = "StandardSSD_LRS"
    security_type: str = "Standard"
    secure_boot: bool = True
    """With Trusted Launch: whether the firmware checks the boot loader's signature."""
    plan: PurchasePlan | None = None
    zone: str = ""
    key_file: str = "KEY.pub"
    """Where the public key is, for the `az` line."""
    specialized: bool = False
    """Whether the VM is a copy: it gets no name, user or key."""
    disk: str = ""
    """Id of a disk that it gets as its own, instead of one from `image`."""
    encryption_set: str = ""
    """Id of a disk encryption set for its disk."""

    @property
    def host_name(self) -> str:
        """The VM's name without what Azure takes in names, but not in host names: the underscore."""
        return self.name.replace("_", "-")


def _linux(wishes: VmWishes) -> Json:
    key = {"path": f"/home/{wishes.admin}/.ssh/authorized_keys", "keyData": wishes.public_key}
    linux: Json = {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}}
    if not wishes.agent:
        linux["provisionVMAgent"] = False
    return linux


def _os_profile(wishes: VmWishes, **names: str) -> Json:
    profile: Json = {**names, "adminUsername": wishes.admin, "linuxConfiguration": _linux(wishes)}
    if not wishes.agent:
        profile["allowExtensionOperations"] = False
    return profile


def _storage(wishes: VmWishes) -> Json:
    if wishes.disk:
        attached = {"createOption": "Attach", "osType": "Linux", "deleteOption": "Detach"}
        return {"osDisk": {**attached, "managedDisk": {"id": wishes.disk}}}
    reference = wishes.image.reference() if isinstance(wishes.image, ImageUrn) else {"id": wishes.image}
    disk: Json = {"storageAccountType": wishes.disk_sku}
    if wishes.encryption_set:
        disk["diskEncryptionSet"] = {"id": wishes.encryption_set}
    return {
        "imageReference": reference,
        "osDisk": {"createOption": "FromImage", "deleteOption": "Delete", "managedDisk": disk},
    }


def _security(wishes: VmWishes) -> Json:
    if wishes.security_type != "TrustedLaunch":
        return {}
    return {
        "securityProfile": {
            "securityType": "TrustedLaunch",
            "uefiSettings": {"secureBootEnabled": wishes.secure_boot, "vTpmEnabled": True},
        }
    }


def create_vm(place: Place, wishes: VmWishes) -> Request:
    """Ends when the guest reported Ready, or failed; by Microsoft's documents after 40 minutes at the latest."""
    interface = {
        "id": place.network("networkInterfaces", wishes.interface),
        "properties": {"primary": True, "deleteOption": "Delete"},
    }
    properties: Json = {
        "hardwareProfile": {"vmSize": wishes.size},
        "storageProfile": _storage(wishes),
        **({} if wishes.specialized else {"osProfile": _os_profile(wishes, computerName=wishes.host_name)}),
        "networkProfile": {"networkInterfaces": [interface]},
        "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        **_security(wishes),
    }
    more: Json = {}
    if wishes.plan:
        more["plan"] = wishes.plan.as_json()
    if wishes.zone:
        more["zones"] = [wishes.zone]
    body = place.envelope(properties, **more)
    return Request("PUT", vm_id(place, wishes.name), COMPUTE, body, usual=CREATE, az=_az_create(place, wishes))


def _az_create(place: Place, wishes: VmWishes) -> tuple[tuple[str, ...], ...]:
    create: tuple[str, ...] = ("az", "vm", "create", "-n", wishes.name, *place.az_common())
    create += ("--size", wishes.size, "--nics", wishes.interface, "--nic-delete-option", "Delete")
    create += ("--security-type", wishes.security_type)
    if wishes.disk:
        create += ("--attach-os-disk", wishes.disk, "--os-type", "Linux", "--os-disk-delete-option", "Detach")
    else:
        create += ("--image", str(wishes.image), "--os-disk-delete-option", "Delete", "--storage-sku", wishes.disk_sku)
        create += ("--os-disk-encryption-set", wishes.encryption_set) if wishes.encryption_set else ()
    if wishes.specialized:
        # az wants a key here, and leaves it out of the request
        create += () if wishes.disk else ("--specialized", "--ssh-key-values", wishes.key_file)
    else:
        create += ("--admin-username", wishes.admin, "--ssh-key-values", wishes.key_file)
        create += ("--computer-name", wishes.host_name)
    if wishes.security_type == "TrustedLaunch":
        create += ("--enable-secure-boot", str(wishes.secure_boot).lower(), "--enable-vtpm", "true")
    if wishes.plan:
        create += ("--plan-publisher", wishes.plan.publisher, "--plan-product", wishes.plan.product)
        create += ("--plan-name", wishes.plan.name)
    if wishes.zone:
        create += ("--zone", wishes.zone)
    if not wishes.agent and not wishes.specialized:
        create += ("--enable-agent", "false")
    return create, ("az", "vm", "boot-diagnostics", "enable", "-g", place.group, "-n", wishes.name)


def vm_id(place: Place, name: str) -> str:
    return place.compute("virtualMachines", name)


def read_vm(place: Place, name: str) -> Request:
    return read(vm_id(place, name), COMPUTE)


def instance_view(place: Place, name: str) -> Request:
    """What the VM is doing now: generation, power and provisioning state, the guest's status."""
    return read(f"{vm_id(place, name)}/instanceView", COMPUTE)


def deallocate(place: Place, name: str) -> Request:
    """Stops the VM and frees its host, after which it costs its disks alone."""
    az = ("az", "vm", "deallocate", "-g", place.group, "-n", name)
    return Request("POST", f"{vm_id(place, name)}/deallocate", COMPUTE, usual=DEALLOCATE, az=(az,))


def generalize(place: Place, name: str) -> Request:
    """Marks the VM as the source of images. It can never start again."""
    az = ("az", "vm", "generalize", "-g", place.group, "-n", name)
    return Request("POST", f"{vm_id(place, name)}/generalize", COMPUTE, az=(az,))


def console_log(place: Place, name: str) -> Request:
    """Where the serial console's log can be fetched: the answer holds a SAS, which is a secret."""
    az = ("az", "vm", "boot-diagnostics", "get-boot-log", "-g", place.group, "-n", name)
    return Request("POST", f"{vm_id(place, name)}/retrieveBootDiagnosticsData", COMPUTE, az=(az,))


def create_scale_set(place: Place, wishes: VmWishes, subnet: str, security_group: str, instances: int) -> Request:
    """A flexible scale set of `instances` VMs without public addresses, spread by Azure. `subnet` is an id."""
    address = {"name": "ipconfig", "properties": {"subnet": {"id": subnet}}}
    interface = {
        "name": "nic",
        "properties": {
            "primary": True,
            "deleteOption": "Delete",
            "networkSecurityGroup": {"id": place.network("networkSecurityGroups", security_group)},
            "ipConfigurations": [address],
        },
    }
    profile: Json = {
        **({} if wishes.specialized else {"osProfile": _os_profile(wishes, computerNamePrefix=wishes.host_name[:9])}),
        "storageProfile": _storage(wishes),
        "networkProfile": {
            "networkApiVersion": NETWORK_API_OF_SCALE_SETS,
            "networkInterfaceConfigurations": [interface],
        },
        "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        **_security(wishes),
    }
    body = place.envelope(
        {
            "orchestrationMode": "Flexible",
            "platformFaultDomainCount": 1,
            "singlePlacementGroup": False,
            "virtualMachineProfile": profile,
        },
        sku={"name": wishes.size, "tier": "Standard", "capacity": instances},
        **({"plan": wishes.plan.as_json()} if wishes.plan else {}),
    )
    path = place.compute("virtualMachineScaleSets", wishes.name)
    az = _az_scale_set(place, wishes, subnet, security_group, instances)
    return Request("PUT", path, COMPUTE, body, usual=CREATE, az=az)


def _az_scale_set(
    place: Place, wishes: VmWishes, subnet: str, security_group: str, instances: int
) -> tuple[tuple[str, ...], ...]:
    words: tuple[str, ...] = ("az", "vmss", "create", "-n", wishes.name, *place.az_common())
    words += ("--image", str(wishes.image), "--vm-sku", wishes.size, "--orchestration-mode", "Flexible")
    words += ("--instance-count", str(instances), "--platform-fault-domain-count", "1")
    # without this, az makes a load balancer with a public address
    words += ("--subnet", subnet, "--nsg", security_group, "--load-balancer", "")
    words += (
        "--storage-sku",
        wishes.disk_sku,
        "--os-disk-delete-option",
        "Delete",
        "--single-placement-group",
        "false",
    )
    words += ("--security-type", wishes.security_type)
    if wishes.security_type == "TrustedLaunch":
        words += ("--enable-secure-boot", str(wishes.secure_boot).lower(), "--enable-vtpm", "true")
    if wishes.plan:
        words += ("--plan-publisher", wishes.plan.publisher, "--plan-product", wishes.plan.product)
        words += ("--plan-name", wishes.plan.name)
    if wishes.specialized:
        return ((*words, "--specialized", "--ssh-key-values", wishes.key_file),)
    words += ("--admin-username", wishes.admin, "--ssh-key-values", wishes.key_file, "--enable-agent", "false")
    return ((*words, "--computer-name-prefix", wishes.host_name[:9]),)


def list_scale_set_vms(place: Place, name: str) -> Request:
    """The VMs of a flexible scale set, ordinary VMs of the group that name the set, each with its instance view.

    The view can be asked for together with a filter only; a page holds 50.
    """
    set_id = place.compute("virtualMachineScaleSets", name)
    wanted = f"'virtualMachineScaleSet/id' eq '{set_id}'"
    return read(place.compute("virtualMachines"), COMPUTE, filter=wanted, expand="instanceView")
