"""capture against the fake: what it leaves, how it goes on, what it says when Azure or the guest refuses."""

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from azready.azure import capture
from azready.azure.capture import Captured, Host, Wishes
from azready.azure.client import Client
from azready.azure.problems import AzureFailure
from azready.azure.requests.images import TargetRegion
from azready.azure.requests.model import Place, Request, parse_urn
from azready.azure.state import StateFile, leftovers, open_run
from azready.azure.steps import NameTaken, requests_of
from azready.errors import Failure, UsageFailure
from tests import cuts
from tests.azure.fake_arm.model import SUBSCRIPTION, Arm, Guest
from tests.azure.fake_arm.server import Fault, Server
from tests.azure.samples import GALLERY, WISHES, Guests, kinds

Connect = Callable[..., Client]
CHANGES = 270
"""Fewer than one capture makes: files, names, requests."""


def saved(tmp_path: Path) -> StateFile:
    return open_run(tmp_path / "state.json", "capture", {"name": "web"}, restart=False)


@pytest.mark.long
def test_only_the_image_is_left(arm: Arm, azure: Server, capturing: Callable[..., Captured]) -> None:
    guests = Guests()
    done = capturing(WISHES, guests)
    assert done.image.endswith("/images/web")
    assert done.generation == "V2"
    assert done.trial and done.trial.ready
    assert "reported Ready" in done.journal
    assert guests.sealed == [Host("192.0.2.4", "azureuser", "/keys/id")]
    assert kinds(arm) == ["images", "resourceGroups"]


def test_keep_leaves_the_resources_of_the_article(arm: Arm, azure: Server, capturing: Callable[..., Captured]) -> None:
    capturing(replace(WISHES, keep=True), Guests())
    assert kinds(arm).count("virtualMachines") == 2
    trial = arm.resources[
        f"/subscriptions/{SUBSCRIPTION}/resourcegroups/rg/providers/microsoft.compute/virtualmachines/web-trial"
    ]
    profile = trial["properties"]["osProfile"]
    assert profile["linuxConfiguration"]["provisionVMAgent"] is False
    assert profile["allowExtensionOperations"] is False
    rule = next(item for item in arm.resources.values() if item["name"] == "web-nsg")["properties"]["securityRules"][0]
    assert rule["properties"]["sourceAddressPrefix"] == "203.0.113.7/32"


@pytest.mark.long
def test_the_generation_is_the_vms_not_a_default(arm: Arm, azure: Server, capturing: Callable[..., Captured]) -> None:
    done = capturing(replace(WISHES, urn=parse_urn("debian:debian-10:10:latest")), Guests())
    assert done.generation == "V1"
    image = next(item for item in azure.exchanges if item.method == "PUT" and "/images/web" in item.url)
    assert image.body and image.body["properties"]["hyperVGeneration"] == "V1"


@pytest.mark.long
def test_a_gallery_version_in_two_regions(arm: Arm, azure: Server, capturing: Callable[..., Captured]) -> None:
    regions = (TargetRegion("westeurope"), TargetRegion("eastus", 2, "Premium_LRS"))
    wishes = replace(WISHES, definition=GALLERY, regions=regions, security_type="TrustedLaunch")
    first = capturing(wishes, Guests())
    assert first.image.endswith("/galleries/gal/images/def/versions/1.0.0")
    assert kinds(arm) == ["galleries", "galleries/images", "galleries/images/versions", "resourceGroups"]


@pytest.mark.long
def test_the_printed_plan_is_what_is_sent(arm: Arm, azure: Server, capturing: Callable[..., Captured]) -> None:
    capturing(WISHES, Guests())
    planned = [request for _, request in requests_of(capture.plan(WISHES, Guests().work())) if request]
    written = [(item.method, item.path) for item in planned if item.method != "GET"]
    assert azure.sent("PUT", "POST", "DELETE") == written


WRITES = [
    request
    for _, request in requests_of(capture.plan(WISHES, Guests().work()))
    if request and request.method in ("PUT", "POST")
]


@pytest.mark.long
@pytest.mark.parametrize("write", WRITES, ids=lambda request: request.path.rsplit("/", 1)[-1])
def test_a_run_that_breaks_off_at_any_step_goes_on(
    arm: Arm, azure: Server, capturing: Callable[..., Captured], tmp_path: Path, write: Request
) -> None:
    """The work is done, its answer is lost, and so is every answer to asking again."""
    cut = Fault(write.method, write.path.rsplit("/", 1)[-1] + "$", cut=True, times=8)
    azure.faults.append(cut)
    guests = Guests()
    with pytest.raises(Failure, match="same command|broke off"):
        capturing(WISHES, guests)
    if write.method == "PUT":
        assert write.path in saved(tmp_path).run.created
        assert write.path.split("/")[-1] in leftovers(saved(tmp_path).run)
    azure.faults.clear()
    capturing(WISHES, guests)
    assert len(guests.sealed) == 1
    assert kinds(arm) == ["images", "resourceGroups"]


@pytest.mark.long
@pytest.mark.parametrize("place", sorted(Random(1).sample(range(1, CHANGES), 6)))
def test_a_run_that_was_killed_anywhere_goes_on(
    arm: Arm, azure: Server, capturing: Callable[..., Captured], tmp_path: Path, place: int
) -> None:
    assert cuts.cut_before(place, lambda: capturing(WISHES, Guests())) == 0
    for kept in tmp_path.glob("state.*"):
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert capturing(WISHES, Guests()).image.endswith("/images/web")
    assert kinds(arm) == ["images", "resourceGroups"]


@pytest.mark.long
def test_ssh_refused_leaves_the_vm_and_says_how_to_remove_it(
    arm: Arm, azure: Server, capturing: Callable[..., Captured], tmp_path: Path
) -> None:
    guests = Guests()
    guests.failure = Failure("ssh to 192.0.2.4 is refused", "is the security group right?")
    with pytest.raises(Failure, match="ssh to"):
        capturing(WISHES, guests)
    assert "az vm delete --yes --ids" in leftovers(saved(tmp_path).run)
    assert "virtualMachines/web-base" in leftovers(saved(tmp_path).run)
    guests.failure = None
    assert capturing(WISHES, guests).trial


@pytest.mark.long
def test_a_guest_that_never_reports_is_our_failure_with_its_console(
    arm: Arm, azure: Server, capturing: Callable[..., Captured]
) -> None:
    machines: list[str] = []

    def boot(vm: dict[str, object]) -> Guest:
        machines.append(str(vm["name"]))
        silent = len(machines) == 2
        return Guest(lambda: ("OSProvisioningTimedOut", "") if silent else ("ready", ""))

    arm.boot = boot
    with pytest.raises(AzureFailure) as caught:
        capturing(WISHES, Guests())
    assert caught.value.code == "OSProvisioningTimedOut"
    cause, end = caught.value.message.split("the end of its console:")
    assert "cause: " in cause and "fix: " in cause
    assert "Kernel panic - not syncing" in end
    assert "azready boot" in caught.value.hint
    with pytest.raises(Failure, match="was created by this run, and failed"):
        capturing(WISHES, Guests())


@pytest.mark.long
def test_a_name_that_is_taken_is_not_overwritten(
    arm: Arm, azure: Server, capturing: Callable[..., Captured], tmp_path: Path
) -> None:
    capturing(WISHES, Guests())
    (tmp_path / "state.json").unlink()
    with pytest.raises(NameTaken, match="images/web exists already"):
        capturing(WISHES, Guests())


@pytest.mark.long
def test_an_existing_vm_is_captured_and_kept(
    arm: Arm, azure: Server, capturing: Callable[..., Captured], tmp_path: Path
) -> None:
    capturing(replace(WISHES, name="other", keep=True, try_it=False), Guests())
    (tmp_path / "state.json").unlink()
    vm = next(item for item in arm.resources.values() if item["name"] == "other-base")
    vm["_generalized"], vm["_power"] = False, "running"
    guests = Guests()
    done = capturing(replace(WISHES, vm="other-base"), guests)
    assert done.generation == "V2"
    assert guests.sealed[0].address == "192.0.2.4"
    assert kinds(arm).count("virtualMachines") == 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"urn": parse_urn("debian:debian-9:9:latest")}, "there is no such image in this region"),
        ({"size": "Standard_A1_v2"}, "boots generation V1 only, the image is V2"),
        ({"size": "Standard_Nope"}, "there is no VM size Standard_Nope in westeurope"),
        ({"size": "Standard_NC24"}, "this subscription may not use the VM size Standard_NC24"),
        ({"size": "Standard_D2ps_v5"}, "is Arm64, the image is x64"),
        ({"place": Place(SUBSCRIPTION, "rg", "mars")}, "there is no region 'mars'"),
        ({"place": Place("99999999-2222-4333-8444-555555555555", "rg", "westeurope")}, "there is no such subscription"),
    ],
)
def test_what_cannot_be_is_refused_before_a_vm_is_made(
    arm: Arm, azure: Server, capturing: Callable[..., Captured], change: dict[str, object], text: str
) -> None:
    with pytest.raises(Failure, match=text):
        capturing(replace(WISHES, **change), Guests())  # type: ignore[arg-type]
    assert not any("virtualMachines" in path or "networkInterfaces" in path for _, path in azure.sent("PUT"))


def test_a_full_quota_is_seen_before_anything_is_made(
    arm: Arm, azure: Server, capturing: Callable[..., Captured]
) -> None:
    arm.vcpu_limit = 3
    with pytest.raises(Failure, match="has room for 3 vCPUs, 4 are needed"):
        capturing(WISHES, Guests())
    assert kinds(arm) == []


def test_a_missing_right_is_named(arm: Arm, azure: Server, capturing: Callable[..., Captured]) -> None:
    arm.forbidden.add("virtualMachines")
    with pytest.raises(AzureFailure, match="this login lacks a right") as caught:
        capturing(WISHES, Guests())
    assert "Microsoft.Compute/virtualMachines/write" in caught.value.message
    assert "Contributor" in caught.value.hint


@pytest.mark.long
def test_terms_and_plan_of_a_marketplace_image_are_sent(
    arm: Arm, azure: Server, capturing: Callable[..., Captured]
) -> None:
    capturing(replace(WISHES, urn=parse_urn("kinvolk:flatcar:stable:latest")), Guests())
    body = next(
        item.body for item in azure.exchanges if item.method == "PUT" and item.url.split("?")[0].endswith("web-base")
    )
    assert body and body["plan"] == {"publisher": "kinvolk", "product": "flatcar", "name": "stable"}


@pytest.mark.parametrize(
    ("wishes", "text"),
    [
        (replace(WISHES, name="-x"), "cannot be the name of an image"),
        (replace(WISHES, name="wéb"), "cannot be the name of an image"),
        (replace(WISHES, name="w٣b"), "cannot be the name of an image"),
        (replace(WISHES, definition=replace(GALLERY, gallery="my-gallery")), "cannot be the name of a gallery"),
        (replace(WISHES, definition=GALLERY, version="1.0"), "is not an image version"),
        (replace(WISHES, security_type="TrustedLaunch"), "a managed image cannot be made of a Trusted Launch VM"),
    ],
)
def test_names_are_checked_without_azure(wishes: Wishes, text: str) -> None:
    with pytest.raises(UsageFailure, match=text):
        capture.check(wishes)
