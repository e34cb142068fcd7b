"""Rights: what `--print-role` prints is enough, and all of it is needed; what lacks is said before anything is made."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azready.azure import capture, publish, rights, verify
from azready.azure.capture import Captured
from azready.azure.problems import AzureFailure
from azready.azure.publish import Published
from azready.azure.requests.images import TargetRegion
from azready.azure.verify import Report
from azready.errors import Failure
from tests.azure import test_publish, test_verify
from tests.azure.fake_arm.model import SUBSCRIPTION, Arm
from tests.azure.fake_arm.rights import Role
from tests.azure.fake_arm.server import Server
from tests.azure.samples import GALLERY, RG, WISHES, Guests, own_vm, put
from tests.azure.test_publish import blob, publishing, wishes
from tests.azure.test_verify import _images, verifying

__all__ = ["_images", "blob", "publishing", "verifying", "wishes"]
Capturing = Callable[..., Captured]
ROOT = f"/subscriptions/{SUBSCRIPTION}"
HERE = (TargetRegion("westeurope"),)
SUPPORTED = replace(GALLERY, security_type="TrustedLaunchSupported")
LOOKS = ("/skus/read", "/usages/read", "/versions/read", "/permissions/read")
"""What a login may lack: then nothing is looked at beforehand. (Versions: those of the marketplace.)"""

CAPTURES = {
    "new": replace(WISHES, definition=SUPPORTED, regions=HERE),
    "plain": WISHES,
    "copy": replace(WISHES, vm="mine", size="", copy=True, definition=replace(GALLERY, security_type=""), regions=HERE),
    "original": replace(WISHES, vm="mine", size=""),
}
VERIFIES = {
    "vm": replace(test_verify.WISHES, image=test_verify.VERSION),
    "set": replace(test_verify.WISHES, image=test_verify.VERSION, instances=3),
    "in a group": replace(
        test_verify.WISHES,
        own_group=False,
        place=replace(test_verify.WISHES.place, group="images"),
        ssh_from="203.0.113.7/32",
    ),
}


def role_of(verb: str, needed: frozenset[rights.Right]) -> tuple[str, ...]:
    return tuple(rights.role(verb, SUBSCRIPTION, needed)["Actions"])


@pytest.mark.long
@pytest.mark.parametrize("kind", CAPTURES)
def test_the_printed_role_is_enough_to_capture(arm: Arm, azure: Server, capturing: Capturing, kind: str) -> None:
    if CAPTURES[kind].vm:
        own_vm(arm)
    arm.roles = (Role(ROOT, role_of("capture", capture.rights_of(CAPTURES[kind], Guests().work()))),)
    assert capturing(CAPTURES[kind], Guests()).trial


@pytest.mark.parametrize("kind", VERIFIES)
def test_the_printed_role_is_enough_to_verify(
    arm: Arm, azure: Server, verifying: Callable[..., Report], kind: str
) -> None:
    arm.roles = (Role(ROOT, role_of("verify", verify.rights_of(VERIFIES[kind]))),)
    assert verifying(VERIFIES[kind]).all_ready


@pytest.mark.parametrize("gallery", [False, True])
def test_the_printed_role_is_enough_to_publish(
    arm: Arm, azure: Server, wishes: publish.Wishes, publishing: Callable[..., Published], gallery: bool
) -> None:
    asked = replace(wishes, definition=test_publish.DEFINITION, regions=HERE) if gallery else wishes
    arm.roles = (Role(ROOT, role_of("publish", publish.rights_of(asked))),)
    assert publishing(asked).image


def actions_of_a_capture() -> tuple[str, ...]:
    return role_of("capture", capture.rights_of(CAPTURES["copy"], Guests().work()))


@pytest.mark.parametrize("lacking", actions_of_a_capture())
def test_every_action_of_the_role_is_needed_and_its_lack_is_said_before_anything_is_made(
    arm: Arm, azure: Server, capturing: Capturing, lacking: str
) -> None:
    own_vm(arm)
    left = tuple(action for action in actions_of_a_capture() if action != lacking)
    arm.roles = (Role(ROOT, left),)
    guests = Guests()
    if lacking.endswith(("/permissions/read", "/skus/read", "/usages/read")):
        assert capturing(CAPTURES["copy"], guests, io.StringIO()).trial
        return
    if lacking.endswith(("resourceGroups/write", "retrieveBootDiagnosticsData/action")):
        return  # needed when the group is to be made, and when the trial VM fails
    with pytest.raises(Failure, match="rights that are needed|lacks a right") as refused:
        capturing(CAPTURES["copy"], guests)
    assert lacking.lower() in refused.value.message.lower()
    assert "--print-role" in refused.value.hint
    assert azure.sent("PUT", "POST", "DELETE") == []


@pytest.mark.long
@pytest.mark.parametrize("kind", ["plain", "copy"])
def test_rights_on_the_group_alone_are_enough(arm: Arm, azure: Server, capturing: Capturing, kind: str) -> None:
    put(arm, RG, "Microsoft.Resources/resourceGroups")
    if CAPTURES[kind].vm:
        own_vm(arm)
    arm.roles = (Role(RG, ("*",)),)
    done = capturing(CAPTURES[kind], Guests(), said := io.StringIO())
    assert done.trial and done.generation == "V2"
    assert "VM size: this login may not read it (AuthorizationFailed)" in said.getvalue()


@pytest.mark.long
def test_rights_on_the_group_alone_are_enough_to_publish_and_to_verify(
    arm: Arm,
    azure: Server,
    wishes: publish.Wishes,
    publishing: Callable[..., Published],
    verifying: Callable[..., Report],
    tmp_path: Path,
) -> None:
    put(arm, RG, "Microsoft.Resources/resourceGroups")
    arm.roles = (Role(RG, ("*",)),)
    image = publishing(wishes, said := io.StringIO()).image
    assert "quota" in said.getvalue() or "region westeurope" in said.getvalue()
    mine = replace(
        test_verify.WISHES, image=image, own_group=False, place=replace(test_verify.WISHES.place, group="rg")
    )
    assert verifying(mine).all_ready


def test_who_may_not_make_a_group_is_told_so_before_anything_else(
    arm: Arm, azure: Server, capturing: Capturing
) -> None:
    arm.roles = (Role(ROOT, ("*/read",)),)
    with pytest.raises(Failure, match="subscriptions/resourceGroups/write"):
        capturing(WISHES, Guests())
    assert azure.sent("PUT") == []


def test_a_role_with_exceptions_lacks_what_it_excepts() -> None:
    rows = [{"actions": ["Microsoft.Compute/*", "*/read"], "notActions": ["Microsoft.Compute/virtualMachines/delete"]}]
    assert rights.allowed(rows, "Microsoft.Compute/virtualMachines/write")
    assert rights.allowed(rows, "Microsoft.Network/virtualNetworks/read")
    assert not rights.allowed(rows, "Microsoft.Compute/virtualMachines/delete")
    assert not rights.allowed(rows, "Microsoft.Network/virtualNetworks/write")
    assert rights.allowed([*rows, {"actions": ["*"]}], "Microsoft.Compute/virtualMachines/delete"), (
        "another role has it"
    )


def test_the_subnets_join_is_wanted_where_the_subnet_is(arm: Arm, azure: Server, capturing: Capturing) -> None:
    network = f"{ROOT}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/corp"
    put(arm, f"{ROOT}/resourceGroups/net", "Microsoft.Resources/resourceGroups")
    put(arm, network, "Microsoft.Network/virtualNetworks", subnets=[{"name": "builds"}])
    put(arm, RG, "Microsoft.Resources/resourceGroups")
    arm.roles = (Role(RG, ("*",)), Role(f"{ROOT}/resourceGroups/net", ("*/read",)))
    wishes = replace(WISHES, subnet=f"{network}/subnets/builds", public_address=False)
    with pytest.raises(Failure, match="virtualNetworks/subnets/join/action"):
        capturing(wishes, Guests())
    assert azure.sent("PUT") == []


def test_a_right_that_only_azure_knows_of_is_named_by_azure(arm: Arm, azure: Server, capturing: Capturing) -> None:
    arm.forbidden.add("networkInterfaces")
    with pytest.raises(AzureFailure, match="networkInterfaces/write"):
        capturing(WISHES, Guests())
