"""Every request as an approved file, and through Microsoft's schemas."""

import copy
import inspect
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from azready.azure.requests import disks, groups, images, machines, network
from azready.azure.requests.images import Definition, TargetRegion
from azready.azure.requests.machines import VmWishes
from azready.azure.requests.model import (
    Place,
    PurchasePlan,
    Request,
    as_json,
    as_text,
    delete,
    parse_urn,
    read,
    removal,
)
from azready.errors import UsageFailure
from tests.azure.approve import approve
from tests.azure.contract import MISSING, Checker

SOURCE = Path(__file__).read_text().partition("\ndef test_")[0]
"""The table of requests, which stands before the tests."""
PLACE = Place("11111111-2222-4333-8444-555555555555", "my-rg", "westeurope", (("azready-run", "1a2b3c4d"),))
URN = parse_urn("debian:debian-12:12-gen2:0.20260101.1")
OURS = VmWishes(
    name="web-trial",
    size="Standard_D2s_v5",
    image=images.image_id(PLACE, "web"),
    interface="web-trial-nic",
    admin="azureuser",
    public_key="ssh-ed25519 AAAA me",
    agent=False,
)
BASE = replace(OURS, name="web-base", image=URN, interface="web-base-nic", agent=True)
TRUSTED = replace(OURS, image=images.version_id(PLACE, "gal", "def", "1.0.0"), security_type="TrustedLaunch", zone="1")
PLANNED = replace(BASE, plan=PurchasePlan("kinvolk", "flatcar", "stable"))
DEFINITION = Definition("gal", "def", "me", "azready", "web", "V2", "x64", "TrustedLaunchSupported", "SCSI, NVMe")
REGIONS = (TargetRegion("westeurope"), TargetRegion("eastus", 3, "Premium_LRS"))
VM = machines.vm_id(PLACE, "web-base")
DISK = disks.disk_id(PLACE, "web-upload")

REQUESTS: dict[str, Request] = {
    "create-group": groups.create_group(PLACE),
    "delete-group": groups.delete_group(PLACE),
    "list-sizes": groups.list_sizes(PLACE),
    "list-usages": groups.list_usages(PLACE),
    "newest-version": groups.newest_version(PLACE, URN),
    "marketplace-image": groups.marketplace_image(PLACE, URN),
    "create-security-group": network.create_security_group(PLACE, "web-nsg", "203.0.113.7/32"),
    "create-security-group-closed": network.create_security_group(PLACE, "web-nsg", ""),
    "create-network": network.create_network(PLACE, "web-vnet"),
    "create-public-address": network.create_public_address(PLACE, "web-ip"),
    "create-public-address-named": network.create_public_address(PLACE, "web-ip", "web-label"),
    "create-interface": network.create_interface(
        PLACE, "web-nic", network.subnet_id(PLACE, "web-vnet"), "web-nsg", "web-ip"
    ),
    "create-interface-private": network.create_interface(
        PLACE, "web-nic", network.subnet_id(PLACE, "web-vnet"), "web-nsg"
    ),
    "create-vm-marketplace": machines.create_vm(PLACE, BASE),
    "create-vm-plan": machines.create_vm(PLACE, PLANNED),
    "create-vm-without-agent": machines.create_vm(PLACE, OURS),
    "create-vm-trusted-launch": machines.create_vm(PLACE, TRUSTED),
    "read-vm": machines.read_vm(PLACE, "web-base"),
    "instance-view": machines.instance_view(PLACE, "web-base"),
    "deallocate": machines.deallocate(PLACE, "web-base"),
    "generalize": machines.generalize(PLACE, "web-base"),
    "console-log": machines.console_log(PLACE, "web-trial"),
    "delete-vm": delete(VM, machines.COMPUTE, machines.DELETE),
    "create-image-from-vm": images.create_image(PLACE, "web", "V2", vm=VM),
    "create-image-from-disk": images.create_image(PLACE, "web", "V1", disk=DISK),
    "create-gallery": images.create_gallery(PLACE, "gal"),
    "create-definition": images.create_definition(PLACE, DEFINITION),
    "create-definition-plain": images.create_definition(PLACE, replace(DEFINITION, security_type="", controllers="")),
    "list-versions": images.list_versions(PLACE, "gal", "def"),
    "create-version-from-vm": images.create_version(PLACE, DEFINITION, "1.0.0", REGIONS, vm=VM),
    "create-version-from-disk": images.create_version(PLACE, DEFINITION, "1.0.0", REGIONS, disk=DISK),
    "create-version-from-image": images.create_version(
        PLACE, DEFINITION, "1.0.0", REGIONS, image=images.image_id(PLACE, "web")
    ),
    "create-definition-elsewhere": images.create_definition(
        replace(DEFINITION, subscription="99999999-2222-4333-8444-555555555555", group="golden").home(PLACE),
        replace(DEFINITION, plan=PurchasePlan("kinvolk", "flatcar", "stable"), specialized=True),
    ),
    "create-security-group-no-way-out": network.create_security_group(
        PLACE, "web-nsg", "203.0.113.7/32", no_way_out=True
    ),
    "create-snapshot": disks.create_snapshot(PLACE, "web-copy", DISK),
    "create-copy": disks.create_copy(
        PLACE,
        "web-base-os",
        disks.snapshot_id(PLACE, "web-copy"),
        "TrustedLaunch",
        PLACE.compute("diskEncryptionSets", "e"),
    ),
    "create-vm-of-copy": machines.create_vm(
        PLACE, replace(OURS, image="", specialized=True, disk=DISK, security_type="TrustedLaunch", secure_boot=False)
    ),
    "create-vm-specialized": machines.create_vm(PLACE, replace(TRUSTED, specialized=True)),
    "create-vm-encrypted": machines.create_vm(
        PLACE, replace(OURS, encryption_set=PLACE.compute("diskEncryptionSets", "e"))
    ),
    "replication": images.replication(PLACE, "gal", "def", "1.0.0"),
    "create-upload-disk": disks.create_upload_disk(PLACE, "web-upload", 2_147_484_160, "V2", "x64", "Standard_LRS"),
    "grant-access": disks.grant_access(PLACE, "web-upload"),
    "revoke-access": disks.revoke_access(PLACE, "web-upload"),
    "delete-disk": delete(DISK, disks.DISKS, disks.QUICK),
    "create-scale-set": machines.create_scale_set(PLACE, OURS, network.subnet_id(PLACE, "web-vnet"), "web-nsg", 100),
    "list-scale-set-vms": machines.list_scale_set_vms(PLACE, "web-trial"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_request_is_the_approved_one(name: str) -> None:
    approve(name, as_json(REQUESTS[name], "https://management.azure.com"))


@pytest.mark.parametrize("name", REQUESTS)
def test_the_request_conforms_to_microsofts_schemas(name: str) -> None:
    checker = Checker.load()
    if checker.contract is None:
        pytest.skip(MISSING)
    request = REQUESTS[name]
    assert checker.check(request.method, request.target, request.body) == []


def test_the_parts_of_a_scale_set_conform_to_the_schemas_of_vms_and_interfaces() -> None:
    """The bundle has no scale sets. Their VM profile is made of the same types as a VM: check it as one."""
    checker = Checker.load()
    if checker.contract is None:
        pytest.skip(MISSING)
    body = copy.deepcopy(REQUESTS["create-scale-set"].body)
    assert body is not None
    profile = body["properties"]["virtualMachineProfile"]
    network_profile = profile.pop("networkProfile")
    profile["osProfile"]["computerName"] = profile["osProfile"].pop("computerNamePrefix")
    vm = {"location": "westeurope", "properties": {**profile, "hardwareProfile": {"vmSize": body["sku"]["name"]}}}
    assert checker.check("PUT", machines.create_vm(PLACE, OURS).target, vm) == []
    interface = network_profile["networkInterfaceConfigurations"][0]["properties"]
    nic = {
        "location": "westeurope",
        "properties": {k: interface[k] for k in ("networkSecurityGroup", "ipConfigurations")},
    }
    assert checker.check("PUT", REQUESTS["create-interface"].target, nic) == []


@pytest.mark.parametrize("module", [disks, groups, images, machines, network], ids=lambda module: module.__name__)
def test_every_call_has_an_approved_file(module: ModuleType) -> None:
    """A new one: an entry in REQUESTS, and `--approve`."""
    calls = {
        name for name, each in inspect.getmembers(module, inspect.isfunction) if each.__module__ == module.__name__
    }
    makes = {name for name in calls if inspect.signature(getattr(module, name)).return_annotation is Request}
    assert makes and not {name for name in makes if not name.startswith("_") and f".{name}(" not in SOURCE}


def _planted() -> list[tuple[str, str, Any]]:
    def vm(change: str) -> Any:
        return json.loads(json.dumps(REQUESTS["create-vm-without-agent"].body).replace(*change.split("→")))

    return [
        ("PUT", REQUESTS["create-vm-without-agent"].target, vm("provisionVMAgent→provisionVmAgent")),
        (
            "PUT",
            REQUESTS["create-vm-without-agent"].target,
            vm('"provisionVMAgent": false→"provisionVMAgent": "false"'),
        ),
        ("PUT", REQUESTS["create-vm-without-agent"].target, vm("location→region")),
        ("POST", REQUESTS["deallocate"].target.replace("deallocate", "dealocate"), None),
        ("POST", REQUESTS["deallocate"].target.replace("2024-03-01", "2019-01-01"), None),
    ]


@pytest.mark.parametrize(("method", "url", "body"), _planted())
def test_the_check_catches_planted_mistakes(method: str, url: str, body: Any) -> None:
    checker = Checker.load()
    if checker.contract is None:
        pytest.skip(MISSING)
    assert checker.check(method, url, body)


def test_a_vm_without_agent_differs_from_another_in_these_two_fields_only() -> None:
    with_agent = machines.create_vm(PLACE, replace(OURS, agent=True)).body
    without = copy.deepcopy(machines.create_vm(PLACE, OURS).body)
    assert without is not None
    profile = without["properties"]["osProfile"]
    assert profile.pop("allowExtensionOperations") is False
    assert profile["linuxConfiguration"].pop("provisionVMAgent") is False
    assert without == with_agent


def test_text_shows_the_line_the_body_and_the_az_command() -> None:
    text = as_text(REQUESTS["create-group"], "https://management.azure.com").splitlines()
    assert text[0].startswith("PUT https://management.azure.com/subscriptions/1111")
    assert text[-1] == "# az group create -n my-rg -l westeurope --tags azready-run=1a2b3c4d"


def test_removals_name_the_group_or_the_id() -> None:
    assert removal(PLACE.group_id)[:5] == ("az", "group", "delete", "-n", "my-rg")
    assert removal(VM) == ("az", "vm", "delete", "--yes", "--ids", VM)
    version = images.version_id(PLACE, "gal", "def", "1.0.0")
    assert " ".join(removal(version)).endswith(
        "delete -g my-rg --subscription " + PLACE.subscription + " -r gal -i def -e 1.0.0"
    )


def test_a_filter_is_escaped_and_names_are_kept() -> None:
    assert read("/subscriptions/1", "2024-03-01", filter="a eq 'b c'").target == (
        "/subscriptions/1?api-version=2024-03-01&$filter=a%20eq%20%27b%20c%27"
    )


@pytest.mark.parametrize("text", ["debian", "a:b:c", "a:b::d", ""])
def test_what_is_no_urn_is_refused(text: str) -> None:
    with pytest.raises(UsageFailure, match="is not a marketplace image"):
        parse_urn(text)
