"""Microsoft.Compute: virtual machines, scale sets, managed images."""

import copy
import uuid
from collections.abc import Callable

from tests.azure.fake_arm import groups
from tests.azure.fake_arm.model import COMPUTE, GROUP, Arm, Ask, Json, Refused, Reply, route

VM = f"{GROUP}/{COMPUTE}/virtualMachines/{{name}}"
SET = f"{GROUP}/{COMPUTE}/virtualMachineScaleSets/{{name}}"
IMAGE = f"{GROUP}/{COMPUTE}/images/{{name}}"
OPERATIONS = COMPUTE + "/locations/{}/operations"

TIMED_OUT = (
    "OS Provisioning for VM '{}' did not finish in the allotted time. The VM may still finish provisioning "
    "successfully. Please check provisioning state later. For details on how to check current provisioning state of "
    "Windows VMs, refer to https://aka.ms/WindowsVMLifecycle and Linux VMs, refer to https://aka.ms/LinuxVMLifecycle."
)


def image_facts(arm: Arm, reference: Json, by: str) -> tuple[str, str, Json | None]:
    """Generation, architecture and plan of what a VM is to be made from."""
    if "id" not in reference:
        return groups.marketplace(reference)
    source = arm.get(reference["id"])
    if source is None:
        raise Refused(404, "NotFound", f"The resource '{reference['id']}' was not found.")
    if source["type"].endswith("/versions"):
        source = arm.need(source["id"].rsplit("/versions/", 1)[0])
    elif source["type"].endswith("galleries/images"):
        prefix = source["id"].lower() + "/versions/"
        if not any(key.startswith(prefix) for key in arm.resources):
            raise Refused(404, "GalleryImageNotFound", f"The gallery image {source['id']} has no version.")
    properties = source["properties"]
    return properties["hyperVGeneration"], properties.get("architecture", "x64"), None


def _check_size(arm: Arm, size: str, generation: str, architecture: str, instances: int = 1) -> None:
    if size not in groups.SIZES:
        raise Refused(400, "InvalidParameter", f"The value {size} provided for the VM size is not valid.")
    if size in groups.RESTRICTED:
        raise Refused(
            409,
            "SkuNotAvailable",
            f"The requested VM size for resource '{size}' is currently not available in location 'westeurope'. "
            "Please try another size or deploy to a different location or different zone.",
        )
    vcpus, _, generations, machine = groups.SIZES[size]
    if generation not in generations:
        raise Refused(
            400,
            "BadRequest",
            f"The selected VM size '{size}' cannot boot Hypervisor Generation '{generation[1]}'. If this was a Create "
            "operation please check that the Hypervisor Generation of the Image matches the Hypervisor Generation of "
            "the selected VM Size.",
        )
    if architecture != machine:
        raise Refused(400, "BadRequest", f"The VM size '{size}' does not support the architecture '{architecture}'.")
    wanted = vcpus * instances
    if groups.used(arm) + wanted > arm.vcpu_limit:
        raise Refused(
            409,
            "OperationNotAllowed",
            "Operation could not be completed as it results in exceeding approved Total Regional Cores quota. "
            f"Additional details - Deployment Model: Resource Manager, Location: westeurope, Current Limit: "
            f"{arm.vcpu_limit}, Current Usage: {groups.used(arm)}, Additional Required: {wanted}, (Minimum) New Limit "
            f"Required: {groups.used(arm) + wanted}.",
        )


def _check_profile(profile: Json) -> None:
    linux = profile.get("linuxConfiguration", {})
    if linux.get("provisionVMAgent") is False and profile.get("allowExtensionOperations") is True:
        raise Refused(
            400, "InvalidParameter", "The value of parameter allowExtensionOperations is invalid.", {"target": "x"}
        )
    if linux.get("disablePasswordAuthentication") and not linux.get("ssh", {}).get("publicKeys"):
        raise Refused(
            400,
            "InvalidParameter",
            "Authentication using either SSH or by user name and password must be enabled in Linux profile.",
        )
    admin = profile.get("adminUsername", "")
    for key in linux.get("ssh", {}).get("publicKeys", []):
        if key.get("path") != f"/home/{admin}/.ssh/authorized_keys":
            raise Refused(400, "InvalidParameter", "Destination path for SSH public keys is currently limited.")
        if not key.get("keyData", "").startswith(("ssh-rsa ", "ssh-ed25519 ")):
            raise Refused(
                400, "InvalidParameter", "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid."
            )
    if not admin or not (profile.get("computerName") or profile.get("computerNamePrefix")):
        raise Refused(400, "InvalidParameter", "Required parameter 'adminUsername' is missing (null).")


def _complete_profile(profile: Json) -> None:
    """What real Azure makes of an os profile (seen in recordings)."""
    linux = profile.setdefault("linuxConfiguration", {})
    linux.setdefault("provisionVMAgent", True)
    profile.setdefault("allowExtensionOperations", linux["provisionVMAgent"])
    profile.setdefault("secrets", [])
    profile["requireGuestProvisionSignal"] = True
    profile.pop("adminPassword", None)


@route("PUT", VM)
def put_vm(arm: Arm, ask: Ask) -> Reply:
    arm.need_group(ask.path)
    before = arm.get(ask.path)
    if before is not None:
        if before["_generalized"]:
            raise Refused(
                409,
                "OperationNotAllowed",
                f"Operation 'PUT' is not allowed on VM '{before['name']}' since it is generalized.",
            )
        # An update: of what may be changed, only this is asked for by anyone here.
        asked = ask.body.get("properties", {}).get("diagnosticsProfile")
        if asked:
            before["properties"]["diagnosticsProfile"] = asked
        return Reply(200, before)
    properties = copy.deepcopy(ask.body.get("properties", {}))
    reference = properties["storageProfile"]["imageReference"]
    generation, architecture, plan = image_facts(arm, reference, ask.path)
    if plan and not ask.body.get("plan"):
        raise Refused(
            400,
            "VMMarketplaceInvalidInput",
            "Creating a virtual machine from Marketplace image requires Plan information in the request.",
        )
    _check_size(arm, properties["hardwareProfile"]["vmSize"], generation, architecture)
    _check_profile(properties["osProfile"])
    if properties.get("securityProfile", {}).get("securityType") == "TrustedLaunch" and "/galleries/" not in str(
        reference.get("id", "/galleries/")
    ):
        raise Refused(400, "BadRequest", "Trusted Launch is not supported with a managed image.")
    interfaces = properties["networkProfile"]["networkInterfaces"]
    for item in interfaces:
        interface = arm.referenced(item["id"], ask.path)
        holder = interface["properties"].get("virtualMachine", {}).get("id")
        if holder:
            raise Refused(400, "NicInUse", f"Network Interface {item['id']} is used by existing resource {holder}.")
        interface["properties"]["virtualMachine"] = {"id": ask.path}
    vm = _make_vm(arm, ask, ask.path, properties, generation, architecture)
    if "-" in vm["name"] and ask.body.get("plan"):
        vm["plan"] = ask.body["plan"]
    guest = arm.guests[ask.path.lower()]
    headers = arm.begin(
        ask, OPERATIONS.format(vm["location"]), _provision(arm, vm), settled=lambda: guest.state()[0] != ""
    )
    return Reply(201, vm, headers)


def _make_vm(arm: Arm, ask: Ask, identity: str, properties: Json, generation: str, architecture: str) -> Json:
    name = identity.split("/")[-1]
    disk_name = f"{name}_OsDisk_1_{uuid.uuid4().hex}"
    disk_id = f"{identity.rsplit('/virtualMachines/', 1)[0]}/disks/{disk_name}"
    os_disk = properties["storageProfile"].setdefault("osDisk", {})
    os_disk.update({"osType": "Linux", "name": os_disk.get("name") or disk_name})
    os_disk.setdefault("caching", "ReadWrite")
    os_disk.setdefault("deleteOption", "Detach")
    os_disk.setdefault("managedDisk", {"storageAccountType": "Premium_LRS"})["id"] = disk_id
    properties["storageProfile"].setdefault("dataDisks", [])
    reference = properties["storageProfile"]["imageReference"]
    if "id" not in reference:
        reference["exactVersion"] = groups.VERSION
    _complete_profile(properties["osProfile"])
    properties.update({"vmId": str(uuid.uuid4()), "provisioningState": "Creating"})
    made = Ask("PUT", identity, ask.query, ask.body, ask.base)
    vm, _ = arm.store(made, "Microsoft.Compute/virtualMachines", properties)
    vm.update({"_power": "running", "_generalized": False, "_generation": generation, "_architecture": architecture})
    if ask.body.get("zones"):
        vm["zones"] = ask.body["zones"]
    made = Ask("PUT", disk_id, ask.query, {"location": vm["location"]}, ask.base)
    state = {"diskState": "Attached", "provisioningState": "Succeeded", "osType": "Linux"}
    state |= {"creationData": {"createOption": "FromImage"}, "hyperVGeneration": generation, "diskSizeGB": 30}
    disk, _ = arm.store(made, "Microsoft.Compute/disks", state)
    disk["managedBy"] = identity
    arm.guests[identity.lower()] = arm.boot(vm)
    return vm


def _provision(arm: Arm, vm: Json) -> Callable[[], Json | None]:
    def finish() -> None:
        code, reason = arm.guests[vm["id"].lower()].state()
        if code == "ready":
            vm["properties"]["provisioningState"] = "Succeeded"
            return
        vm["properties"]["provisioningState"] = "Failed"
        vm["_error"] = (code, reason or TIMED_OUT.format(vm["name"]))
        raise Refused(409, *vm["_error"])

    return finish


@route("GET", f"{GROUP}/{COMPUTE}/virtualMachines")
def list_vms(arm: Arm, ask: Ask) -> Reply:
    found = arm.of_kind("Microsoft.Compute/virtualMachines", ask.parts["group"])
    wanted = ask.query.get("$filter", "")
    if wanted:
        key, _, value = wanted.partition(" eq ")
        if key != "'virtualMachineScaleSet/id'":
            raise Refused(400, "InvalidParameter", f"The filter {wanted} is not supported.")
        set_id = value.strip("'").lower()
        found = [
            vm for vm in found if vm["properties"].get("virtualMachineScaleSet", {}).get("id", "").lower() == set_id
        ]
    return Reply(200, {"value": found})


@route("GET", VM)
def get_vm(arm: Arm, ask: Ask) -> Reply:
    vm = arm.need(ask.path)
    if ask.query.get("$expand") == "instanceView":
        vm = copy.deepcopy(vm)
        vm["properties"]["instanceView"] = _view(vm)
    return Reply(200, vm)


def _view(vm: Json) -> Json:
    state = vm["properties"]["provisioningState"]
    statuses: list[Json] = []
    if vm["_generalized"]:
        statuses.append({"code": "OSState/generalized", "level": "Info", "displayStatus": "VM generalized"})
    if "_error" in vm:
        code, reason = vm["_error"]
        statuses.append(
            {
                "code": f"ProvisioningState/failed/{code}",
                "level": "Error",
                "displayStatus": "Provisioning failed",
                "message": reason,
                "time": "2026-01-01T00:01:40.5+00:00",
            }
        )
    else:
        shown = {
            "code": f"ProvisioningState/{state.lower()}",
            "level": "Info",
            "displayStatus": f"Provisioning {state}",
        }
        statuses.append(shown | {"time": "2026-01-01T00:00:31.25+00:00"})
    statuses.append({"code": f"PowerState/{vm['_power']}", "level": "Info", "displayStatus": f"VM {vm['_power']}"})
    view: Json = {"statuses": statuses, "hyperVGeneration": vm["_generation"], "bootDiagnostics": {}}
    if vm["_power"] == "running":
        agent = vm["properties"]["osProfile"]["linuxConfiguration"]["provisionVMAgent"]
        status = {"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Ready"}
        if not agent:
            status = {"code": "ProvisioningState/Unavailable", "level": "Warning", "displayStatus": "Not Ready"}
        view["vmAgent"] = {"vmAgentVersion": "2.9.1.1" if agent else "Unknown", "statuses": [status]}
    return view


@route("GET", VM + "/instanceView")
def instance_view(arm: Arm, ask: Ask) -> Reply:
    return Reply(200, _view(arm.need(ask.path.rsplit("/", 1)[0])))


@route("POST", VM + "/{action}")
def act(arm: Arm, ask: Ask) -> Reply:
    vm = arm.need(ask.path.rsplit("/", 1)[0])
    action = ask.parts["action"].lower()
    if action == "retrievebootdiagnosticsdata":
        if not vm["properties"].get("diagnosticsProfile", {}).get("bootDiagnostics", {}).get("enabled"):
            raise Refused(409, "OperationNotAllowed", "Boot diagnostics is not enabled on this VM.")
        where = f"{ask.base}/bootdiagnostics/{vm['properties']['vmId']}"
        sas = "?sv=2018-03-28&sr=b&sig=console-secret"
        return Reply(
            200,
            {
                "consoleScreenshotBlobUri": f"{where}/screenshot.bmp{sas}",
                "serialConsoleLogBlobUri": f"{where}/serialconsole.log{sas}",
            },
        )
    if action == "generalize":
        if vm["_power"] == "running":
            raise Refused(
                409,
                "OperationNotAllowed",
                f"Operation 'generalize' is not allowed on VM '{vm['name']}' since the VM is running. The VM must be "
                "stopped or deallocated.",
            )
        vm["_generalized"] = True
        return Reply(200)
    powers = {"deallocate": "deallocated", "poweroff": "stopped", "start": "running", "restart": "running"}
    if action not in powers:
        raise Refused(404, "NotFound", f"The fake has no action {action}")
    if action in ("start", "restart") and vm["_generalized"]:
        raise Refused(
            409,
            "OperationNotAllowed",
            f"Operation '{action}' is not allowed on VM '{vm['name']}' since the VM is generalized.",
        )

    def finish() -> None:
        vm["_power"] = powers[action]
        if vm["_power"] != "running":
            arm.guests[vm["id"].lower()].stop()

    return Reply(202, None, arm.begin(ask, OPERATIONS.format(vm["location"]), finish, location=True))


@route("DELETE", VM)
def delete_vm(arm: Arm, ask: Ask) -> Reply:
    if arm.get(ask.path) is None:
        arm.need_group(ask.path)
        return Reply(204)
    vm = arm.need(ask.path)

    def finish() -> None:
        remove_vm(arm, vm)

    return Reply(202, None, arm.begin(ask, OPERATIONS.format(vm["location"]), finish, location=True))


def remove_vm(arm: Arm, vm: Json) -> None:
    """The VM goes, and with it what says `deleteOption: Delete`."""
    guest = arm.guests.pop(vm["id"].lower(), None)
    if guest:
        guest.stop()
    arm.resources.pop(vm["id"].lower(), None)
    os_disk = vm["properties"]["storageProfile"]["osDisk"]
    disk = arm.get(os_disk["managedDisk"]["id"])
    if disk:
        disk.pop("managedBy", None)
        disk["properties"]["diskState"] = "Unattached"
        if os_disk["deleteOption"] == "Delete":
            del arm.resources[disk["id"].lower()]
    for item in vm["properties"].get("networkProfile", {}).get("networkInterfaces", []):
        interface = arm.get(item["id"])
        if interface is None:
            continue
        interface["properties"].pop("virtualMachine", None)
        if item.get("properties", {}).get("deleteOption") == "Delete":
            for configuration in interface["properties"]["ipConfigurations"]:
                address = arm.get(configuration["properties"].get("publicIPAddress", {}).get("id", ""))
                if address:
                    address["properties"].pop("ipConfiguration", None)
            del arm.resources[interface["id"].lower()]


@route("PUT", SET)
def put_set(arm: Arm, ask: Ask) -> Reply:
    arm.need_group(ask.path)
    properties = copy.deepcopy(ask.body["properties"])
    profile = properties["virtualMachineProfile"]
    if (
        properties.get("orchestrationMode") != "Flexible"
        or profile["networkProfile"].get("networkApiVersion") != "2020-11-01"
    ):
        raise Refused(400, "InvalidParameter", "The value of parameter networkApiVersion is invalid.")
    instances = ask.body["sku"]["capacity"]
    generation, architecture, _ = image_facts(arm, profile["storageProfile"]["imageReference"], ask.path)
    _check_size(arm, ask.body["sku"]["name"], generation, architecture, instances)
    _check_profile(profile["osProfile"])
    for interface in profile["networkProfile"]["networkInterfaceConfigurations"]:
        for configuration in interface["properties"]["ipConfigurations"]:
            arm.referenced(configuration["properties"]["subnet"]["id"], ask.path)
    properties["provisioningState"] = "Creating"
    scale_set, _ = arm.store(ask, "Microsoft.Compute/virtualMachineScaleSets", properties, sku=ask.body["sku"])
    made = [_make_instance(arm, ask, profile, generation, architecture) for _ in range(instances)]

    def settled() -> bool:
        return all(arm.guests[vm["id"].lower()].state()[0] for vm in made)

    def finish() -> None:
        errors = []
        for vm in made:
            try:
                _provision(arm, vm)()
            except Refused as refused:
                errors.append(refused)
        scale_set["properties"]["provisioningState"] = "Failed" if errors else "Succeeded"
        if errors:
            raise errors[0]

    headers = arm.begin(ask, OPERATIONS.format(scale_set["location"]), finish, settled=settled)
    return Reply(201, scale_set, headers)


def _make_instance(arm: Arm, ask: Ask, profile: Json, generation: str, architecture: str) -> Json:
    name = f"{ask.parts['name']}_{uuid.uuid4().hex[:8]}"
    properties = copy.deepcopy({key: value for key, value in profile.items() if key != "networkProfile"})
    prefix = properties["osProfile"].pop("computerNamePrefix")
    properties["osProfile"]["computerName"] = prefix + name[-6:].upper()
    properties["hardwareProfile"] = {"vmSize": ask.body["sku"]["name"]}
    properties["virtualMachineScaleSet"] = {"id": ask.path}
    properties["timeCreated"] = "2026-01-01T00:00:00+00:00"
    identity = f"{ask.path.rsplit('/virtualMachineScaleSets/', 1)[0]}/virtualMachines/{name}"
    return _make_vm(arm, ask, identity, properties, generation, architecture)


@route("GET", SET)
def get_set(arm: Arm, ask: Ask) -> Reply:
    return Reply(200, arm.need(ask.path))


@route("DELETE", SET)
def delete_set(arm: Arm, ask: Ask) -> Reply:
    if arm.get(ask.path) is None:
        arm.need_group(ask.path)
        return Reply(204)
    scale_set = arm.need(ask.path)

    def finish() -> None:
        for vm in arm.of_kind("Microsoft.Compute/virtualMachines", ask.parts["group"]):
            if vm["properties"].get("virtualMachineScaleSet", {}).get("id", "").lower() == ask.path.lower():
                remove_vm(arm, vm)
        arm.resources.pop(ask.path.lower(), None)

    return Reply(202, None, arm.begin(ask, OPERATIONS.format(scale_set["location"]), finish, location=True))


@route("PUT", IMAGE)
def put_image(arm: Arm, ask: Ask) -> Reply:
    arm.need_group(ask.path)
    properties = copy.deepcopy(ask.body.get("properties", {}))
    before = arm.get(ask.path)
    source = properties.get("sourceVirtualMachine", {}).get("id", "")
    disk = properties.get("storageProfile", {}).get("osDisk", {})
    if before:
        if before["_source"] != (source or disk.get("managedDisk", {}).get("id")):
            raise Refused(409, "PropertyChangeNotAllowed", "Changing property 'sourceVirtualMachine' is not allowed.")
        return Reply(200, before)
    if source:
        vm = arm.need(source)
        if not vm["_generalized"]:
            raise Refused(
                409,
                "OperationNotAllowed",
                f"Operation 'Create Image' is not allowed: the source VM '{vm['name']}' is not generalized.",
            )
        if vm["properties"].get("securityProfile", {}).get("securityType") == "TrustedLaunch":
            raise Refused(409, "OperationNotAllowed", "A managed image of a Trusted Launch VM is not supported.")
        generation, made_from = vm["_generation"], source
        disk = {
            "osType": "Linux",
            "managedDisk": {"id": vm["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"]},
        }
    else:
        found = arm.need(disk["managedDisk"]["id"])
        if found["properties"].get("diskState") != "Unattached":
            raise Refused(
                409, "OperationNotAllowed", f"Disk {found['name']} is in state {found['properties'].get('diskState')}."
            )
        generation, made_from = found["properties"]["hyperVGeneration"], found["id"]
    if properties.get("hyperVGeneration", "V1") != generation:
        raise Refused(
            409,
            "Conflict",
            f"The source has a different Hypervisor generation ({generation}) than the image "
            f"({properties.get('hyperVGeneration', 'V1')}).",
        )
    properties["storageProfile"] = {
        "osDisk": {"osState": "Generalized", "caching": "None", "storageAccountType": "Premium_LRS", "diskSizeGB": 30}
        | disk,
        "dataDisks": [],
        "zoneResilient": False,
    }
    properties.update({"provisioningState": "Creating", "hyperVGeneration": generation})
    image, _ = arm.store(ask, "Microsoft.Compute/images", properties)
    image["_source"] = made_from
    return Reply(201, image, arm.begin(ask, OPERATIONS.format(image["location"]), arm.succeed(image)))


@route("GET", IMAGE)
def get_image(arm: Arm, ask: Ask) -> Reply:
    return Reply(200, arm.need(ask.path))


@route("DELETE", IMAGE)
def delete_image(arm: Arm, ask: Ask) -> Reply:
    if arm.get(ask.path) is None:
        arm.need_group(ask.path)
        return Reply(204)
    image = arm.need(ask.path)

    def finish() -> None:
        del arm.resources[ask.path.lower()]

    return Reply(202, None, arm.begin(ask, OPERATIONS.format(image["location"]), finish, location=True))
