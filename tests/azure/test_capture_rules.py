"""What the real Azure demands of a capture: security types, architecture, disk controllers, terms, names; and that a
user's own VM is never lost to a refusal."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from azready.azure import capture
from azready.azure.capture import Captured, Host
from azready.azure.requests.images import TargetRegion
from azready.azure.requests.model import parse_urn
from azready.azure.steps import NameTaken
from azready.errors import Failure, UsageFailure
from tests.azure.fake_arm.model import Arm
from tests.azure.fake_arm.server import Fault, Server
from tests.azure.samples import GALLERY, RG, WISHES, Guests, definition, kinds, own_vm, put

Capturing = Callable[..., Captured]
HERE = (TargetRegion("westeurope"),)
PLAIN = replace(GALLERY, security_type="")
IN_GALLERY = replace(WISHES, definition=PLAIN, regions=HERE)
MINE = replace(IN_GALLERY, vm="mine", size="")


def features(arm: Arm) -> dict[str, str]:
    made = next(item for item in arm.resources.values() if item["type"].endswith("galleries/images"))
    return {row["name"]: row["value"] for row in made["properties"].get("features", [])}


def asked(server: Server, end: str) -> dict[str, Any]:
    """The body of the PUT whose path ends so."""
    found = [item for item in server.exchanges if item.method == "PUT" and item.url.split("?")[0].endswith(end)]
    assert found and found[-1].body
    return found[-1].body


def security_of(body: dict[str, Any]) -> str:
    return str(body["properties"].get("securityProfile", {}).get("securityType", ""))


@pytest.mark.long
@pytest.mark.parametrize(
    ("security", "wanted", "made", "bridged", "trial"),
    [
        ("Standard", "", "", False, ""),
        ("TrustedLaunch", "", "TrustedLaunch", False, "TrustedLaunch"),
        ("TrustedLaunch", "TrustedLaunchSupported", "TrustedLaunch", False, "TrustedLaunch"),
        ("Standard", "TrustedLaunchSupported", "TrustedLaunchSupported", True, "TrustedLaunch"),
    ],
)
def test_the_definition_has_the_security_type_that_its_source_needs(
    arm: Arm, azure: Server, capturing: Capturing, security: str, wanted: str, made: str, bridged: bool, trial: str
) -> None:
    wishes = replace(IN_GALLERY, security_type=security, definition=replace(GALLERY, security_type=wanted))
    done = capturing(wishes, Guests())
    assert done.trial and done.trial.ready
    assert features(arm).get("SecurityType", "") == made
    assert security_of(asked(azure, "/web-trial")) == trial
    source = asked(azure, "/versions/1.0.0")["properties"]["storageProfile"]["source"]
    assert bool(source.get("id")) == bridged
    assert kinds(arm) == ["galleries", "galleries/images", "galleries/images/versions", "resourceGroups"]


@pytest.mark.parametrize(
    ("security", "there", "fits"),
    [
        ("Standard", "", True),
        ("Standard", "TrustedLaunchSupported", True),
        ("Standard", "TrustedLaunchAndConfidentialVmSupported", True),
        ("Standard", "TrustedLaunch", False),
        ("Standard", "ConfidentialVM", False),
        ("TrustedLaunch", "TrustedLaunch", True),
        ("TrustedLaunch", "TrustedLaunchSupported", False),
        ("TrustedLaunch", "", False),
    ],
)
def test_a_definition_that_takes_no_such_source_is_refused_before_anything_is_made(
    arm: Arm, azure: Server, capturing: Capturing, security: str, there: str, fits: bool
) -> None:
    definition(arm, **({"SecurityType": there} if there else {}))
    guests = Guests()
    if fits:
        assert capturing(replace(IN_GALLERY, security_type=security), guests).trial
        return
    with pytest.raises(Failure, match="SecurityType|SecurityType") as refused:
        capturing(replace(IN_GALLERY, security_type=security), guests)
    assert "--gallery-image-definition" in refused.value.hint
    assert guests.sealed == [] and azure.sent("PUT", "POST", "DELETE") == []


@pytest.mark.long
@pytest.mark.parametrize("security", ["", "TrustedLaunch"])
def test_the_users_vm_is_only_read_and_a_copy_of_it_is_sealed(
    arm: Arm, azure: Server, capturing: Capturing, security: str
) -> None:
    vm = own_vm(arm, security)
    before = sorted(arm.resources)
    guests = Guests()
    done = capturing(replace(MINE, copy=True, base_key=""), guests)
    assert done.trial and done.trial.ready
    assert (vm["_power"], vm["_generalized"]) == ("running", False)
    assert not [path for method, path in azure.sent("PUT", "POST", "DELETE") if "/mine" in path]
    assert [(host.user, host.key_file) for host in guests.sealed] == [("me", "")]
    assert guests.sealed[0].address != "192.0.2.9"
    assert asked(azure, "/snapshots/web-copy")["properties"]["creationData"]["sourceResourceId"].endswith("/mine-disk")
    assert features(arm).get("SecurityType", "") == security
    rules = asked(azure, "/web-nsg")["properties"]["securityRules"]
    assert ("Outbound", "Deny") in [(rule["properties"]["direction"], rule["properties"]["access"]) for rule in rules]
    left = [kind for kind in kinds(arm) if kind.startswith("galleries")]
    assert left == ["galleries", "galleries/images", "galleries/images/versions"]
    assert [key for key in before if key not in arm.resources] == []
    assert len(arm.resources) == len(before) + 3


def test_the_users_own_vm_is_sealed_on_request(arm: Arm, azure: Server, capturing: Capturing) -> None:
    vm, guests = own_vm(arm, "TrustedLaunch"), Guests()
    capturing(MINE, guests)
    assert vm["_generalized"]
    assert guests.sealed == [Host("192.0.2.9", "me", "/keys/id")]
    assert features(arm)["SecurityType"] == "TrustedLaunch"


@pytest.mark.long
def test_a_refusal_after_the_snapshot_leaves_the_users_vm_alone(arm: Arm, azure: Server, capturing: Capturing) -> None:
    vm = own_vm(arm)
    azure.faults.append(Fault("PUT", "/versions/", 400, "InvalidParameter", "something new", times=9))
    with pytest.raises(Failure, match="something new"):
        capturing(replace(MINE, copy=True), Guests())
    assert not vm["_generalized"] and vm["_power"] == "running"


@pytest.mark.long
def test_the_architecture_is_the_vms(arm: Arm, azure: Server, capturing: Capturing) -> None:
    own_vm(arm, size="Standard_D2ps_v5", architecture="Arm64")
    capturing(replace(MINE, copy=True), Guests())
    made = next(item for item in arm.resources.values() if item["type"].endswith("galleries/images"))
    assert made["properties"]["architecture"] == "Arm64"


@pytest.mark.long
def test_the_architecture_is_the_sizes_when_the_disk_does_not_say(
    arm: Arm, azure: Server, capturing: Capturing
) -> None:
    vm = own_vm(arm, size="Standard_D2ps_v5", architecture="Arm64")
    del arm.resources[vm["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"].lower()]
    capturing(MINE, Guests())
    made = next(item for item in arm.resources.values() if item["type"].endswith("galleries/images"))
    assert made["properties"]["architecture"] == "Arm64"


@pytest.mark.parametrize(
    ("security", "size", "change", "said"),
    [
        ("ConfidentialVM", "Standard_D2s_v5", {}, "is a ConfidentialVM"),
        ("TrustedLaunch", "Standard_D2s_v5", {"definition": None}, "of which there can be no managed image"),
        ("", "Standard_D2s_v5", {"size": "Standard_D2ps_v5"}, "is Arm64, the image is x64"),
        ("", "Standard_D2s_v5", {"size": "Standard_A1_v2"}, "boots generation V1 only"),
        ("TrustedLaunch", "Standard_D2s_v5", {"size": "Standard_D2ps_v5"}, "is Arm64"),
        ("", "Standard_D2s_v5", {"regions": (TargetRegion("mars"),)}, "there is no region mars"),
        ("", "Standard_D2s_v5", {"version": "1.0.0"}, "versions/1.0.0 exists already"),
    ],
)
def test_what_cannot_be_captured_is_refused_at_once(
    arm: Arm, azure: Server, capturing: Capturing, security: str, size: str, change: dict[str, Any], said: str
) -> None:
    own_vm(arm, security, size)
    if "version" in change:
        there = definition(arm)
        profile = {"targetRegions": [{"name": "westeurope"}]}
        put(
            arm,
            f"{there['id']}/versions/1.0.0",
            "Microsoft.Compute/galleries/images/versions",
            publishingProfile=profile,
            storageProfile={},
        )
    guests = Guests()
    with pytest.raises(Failure, match=said):
        capturing(replace(MINE, **change), guests)
    assert guests.sealed == [] and azure.sent("PUT", "POST", "DELETE") == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("found", "asked_for", "made"),
    [
        ("SCSI, NVMe", "", "SCSI, NVMe"),
        ("SCSI", "", ""),
        ("", "", ""),
        ("", "SCSI, NVMe", "SCSI, NVMe"),
        ("SCSI, NVMe", "SCSI", "SCSI"),
    ],
)
def test_the_definition_says_which_disks_the_guest_boots_from(
    arm: Arm, azure: Server, capturing: Capturing, found: str, asked_for: str, made: str
) -> None:
    capturing(replace(IN_GALLERY, definition=replace(PLAIN, controllers=asked_for)), Guests(found))
    assert features(arm).get("DiskControllerTypes", "") == made


def test_a_definition_that_promises_nvme_is_refused_for_a_guest_without_the_driver(
    arm: Arm, azure: Server, capturing: Capturing
) -> None:
    definition(arm, DiskControllerTypes="SCSI, NVMe")
    guests = Guests("SCSI")
    with pytest.raises(Failure, match="DiskControllerTypes is 'SCSI,NVMe', not 'SCSI'"):
        capturing(IN_GALLERY, guests)
    assert guests.sealed == []


@pytest.mark.long
def test_the_plan_goes_with_the_image(arm: Arm, azure: Server, capturing: Capturing) -> None:
    done = capturing(replace(IN_GALLERY, urn=parse_urn("kinvolk:flatcar:stable:latest")), Guests())
    plan = {"publisher": "kinvolk", "product": "flatcar", "name": "stable"}
    assert done.trial and asked(azure, "/web-trial")["plan"] == plan
    assert asked(azure, "/images/def")["properties"]["purchasePlan"] == plan


@pytest.mark.long
def test_an_underscore_in_the_name_is_none_in_the_host_name(arm: Arm, azure: Server, capturing: Capturing) -> None:
    assert capturing(replace(WISHES, name="my_image"), Guests()).trial
    assert asked(azure, "/my_image-trial")["properties"]["osProfile"]["computerName"] == "my-image-trial"


@pytest.mark.long
def test_an_existing_subnet_and_no_public_address(
    arm: Arm, azure: Server, capturing: Capturing, tmp_path: Path
) -> None:
    network = f"{RG.replace('/rg', '/net')}/providers/Microsoft.Network/virtualNetworks/corp"
    put(arm, RG.replace("/rg", "/net"), "Microsoft.Resources/resourceGroups")
    subnet = f"{network}/subnets/builds"
    put(arm, network, "Microsoft.Network/virtualNetworks", subnets=[{"name": "builds", "id": subnet}])
    arm.resources[subnet.lower()] = {"id": subnet, "name": "builds", "type": "subnet", "_of": network}
    wishes = replace(WISHES, subnet=subnet, public_address=False)
    guests = Guests()
    assert capturing(wishes, guests).trial
    assert guests.sealed[0].address == "10.171.0.4"
    assert not [path for _, path in azure.sent("PUT") if "publicIPAddresses" in path or "virtualNetworks" in path]
    assert kinds(arm) == ["images", "resourceGroups", "resourceGroups", "virtualNetworks"]
    (tmp_path / "state.json").unlink()
    with pytest.raises(Failure, match="the network has no subnet 'other'"):
        capturing(replace(wishes, name="web2", subnet=f"{network}/subnets/other"), Guests())


@pytest.mark.long
def test_a_gallery_in_another_group(arm: Arm, azure: Server, capturing: Capturing) -> None:
    put(arm, RG.replace("/rg", "/golden"), "Microsoft.Resources/resourceGroups")
    done = capturing(replace(IN_GALLERY, definition=replace(PLAIN, group="golden")), Guests())
    assert "/resourceGroups/golden/providers/Microsoft.Compute/galleries/gal/" in done.image
    assert done.trial and done.trial.ready


@pytest.mark.long
def test_a_specialized_image_is_the_vm_as_it_is(arm: Arm, azure: Server, capturing: Capturing) -> None:
    vm, guests = own_vm(arm, "TrustedLaunch"), Guests()
    done = capturing(replace(MINE, copy=True, specialized=True), guests)
    assert guests.sealed == [] and not vm["_generalized"]
    assert done.trial and done.trial.ready and done.journal == ""
    assert "osProfile" not in asked(azure, "/web-trial")["properties"]
    assert asked(azure, "/images/def")["properties"]["osState"] == "Specialized"
    assert not [path for _, path in azure.sent("POST") if path.endswith(("generalize", "deallocate"))]
    assert "snapshots" not in kinds(arm)


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (replace(WISHES, public_address=False), "without a public address nobody reaches"),
        (replace(WISHES, subnet="builds"), "is not the id of a subnet"),
        (replace(WISHES, specialized=True), "a specialized image is made of a VM of yours"),
        (replace(WISHES, regions=(*HERE, TargetRegion("eastus"))), "a managed image lives in one region"),
    ],
)
def test_combinations_that_cannot_be(wishes: Any, said: str) -> None:
    with pytest.raises(UsageFailure, match=said):
        capture.check(wishes)


def test_a_taken_image_name_is_seen_before_a_vm_is_made(arm: Arm, azure: Server, capturing: Capturing) -> None:
    put(arm, RG, "Microsoft.Resources/resourceGroups")
    image = f"{RG}/providers/Microsoft.Compute/images/web"
    put(arm, image, "Microsoft.Compute/images", hyperVGeneration="V2", storageProfile={"zoneResilient": False})
    with pytest.raises(NameTaken):
        capturing(WISHES, Guests())
    assert azure.sent("PUT") == []
