"""Every az line that a dry run prints, of every kind of image, by the real az: it leaves what our requests leave."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from azready.azure import capture, publish, verify
from azready.azure.client import Client
from azready.azure.known import Known
from azready.azure.preflight import DiskFacts
from azready.azure.requests import disks
from azready.azure.requests.images import Definition, TargetRegion
from azready.azure.requests.model import RUN_TAG, Place, parse_urn
from azready.azure.state import open_run
from azready.azure.steps import Runner, Step, requests_of
from azready.console import SILENT
from tests.azure.fake_arm.model import Arm
from tests.azure.fake_arm.server import Server
from tests.azure.real_az import LOGIN, essence
from tests.azure.samples import KEY, RG, WISHES, Guests, own_vm, put
from tests.azure.test_publish import DEFINITION, SIZE
from tests.azure.test_verify import WISHES as VERIFY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

HERE = (TargetRegion("westeurope"),)
ENCRYPTION = f"{RG}/providers/Microsoft.Compute/diskEncryptionSets/keys"
SUBNET = f"{RG}/providers/Microsoft.Network/virtualNetworks/corp/subnets/s"


def wanted(name: str, **more: Any) -> capture.Wishes:
    """A capture called `name` that keeps everything, with the user's own key."""
    return replace(WISHES, name=name, public_key=KEY, keep=True, base_key="", **more)


def version_of(name: str, **more: Any) -> dict[str, Any]:
    return {"definition": Definition("gal", name, "me", "azready", name, "", **more), "regions": HERE}


CAPTURES = (
    wanted("plain"),
    wanted("copy", vm="mine", copy=True, size=""),
    wanted("trusted", security_type="TrustedLaunch", **version_of("trusted")),
    wanted("either", **version_of("either", security_type="TrustedLaunchSupported")),
    wanted("planned", urn=parse_urn("kinvolk:flatcar:stable:latest"), **version_of("planned")),
    wanted("guarded", vm="other", copy=True, size="", **version_of("guarded", group="images")),
    wanted("exact", vm="other", copy=True, size="", specialized=True, **version_of("exact")),
    wanted("quiet", subnet=SUBNET, public_address=False, encryption_set=ENCRYPTION),
    wanted("sealed", vm="mine", size=""),
)
IN_GALLERY = f"{RG}/providers/Microsoft.Compute/galleries/gal/images"
CHECKS = (
    replace(VERIFY, name="vm", image=f"{RG}/providers/Microsoft.Compute/images/plain", ssh_from="203.0.113.7/32"),
    replace(VERIFY, name="unsigned", image=f"{IN_GALLERY}/either", secure_boot=False),
    replace(VERIFY, name="fleet", image=f"{IN_GALLERY}/either/versions/1.0.0", instances=3),
    replace(VERIFY, name="terms", image=f"{IN_GALLERY}/planned/versions/1.0.0", instances=2),
    replace(VERIFY, name="copies", image=f"{IN_GALLERY}/exact/versions/1.0.0", instances=2),
)
PUBLISHED = publish.Wishes(
    WISHES.place,
    "disk",
    Path("x"),
    DiskFacts(SIZE, True, "V2"),
    DEFINITION,
    "1.0.0",
    (*HERE, TargetRegion("eastus", 2, "Premium_LRS")),
    keep_disk=True,
)
EXACT = replace(DEFINITION, name="p-exact", sku="p-exact", security_type="", specialized=True)
ARM64 = replace(DEFINITION, name="p-arm", sku="p-arm", security_type="", architecture="Arm64")
DISKS = (
    PUBLISHED,
    replace(PUBLISHED, name="flat", definition=None, encryption_set=ENCRYPTION),
    replace(
        PUBLISHED,
        name="locked",
        definition=replace(DEFINITION, name="locked", sku="locked", security_type=""),
        regions=(
            TargetRegion("westeurope", encryption_set=ENCRYPTION),
            TargetRegion("eastus", encryption_set=f"{ENCRYPTION}2"),
        ),
        encryption_set=ENCRYPTION,
    ),
    replace(PUBLISHED, name="exact-disk", definition=EXACT),
    replace(PUBLISHED, name="arm", definition=ARM64, facts=DiskFacts(SIZE, True, "V2", "Arm64")),
)


class Twice:
    """Carries out plans here, and collects the lines that they print, with what was learned on the way."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client, self.folder, self.lines = client, folder, [LOGIN.split()]

    def run(self, plan: Callable[[Place], list[Step]]) -> None:
        state = open_run(self.folder / f"{len(self.lines)}.json", "any", {}, restart=False)
        steps = plan(replace(WISHES.place, tags=((RUN_TAG, state.run.id),)))
        known = Runner(self.client, state, SILENT).run(steps, Known())
        printed = [words for _, request in requests_of(steps, known) if request for words in request.az]
        self.lines += [[self.key if word == "KEY.pub" else word for word in words] for words in printed]

    @property
    def key(self) -> str:
        return f"{self.folder}/key.pub"

    def capture(self, wishes: capture.Wishes) -> Callable[[Place], list[Step]]:
        def plan(place: Place) -> list[Step]:
            ready = replace(wishes, place=place, key_file=self.key.removesuffix(".pub"))
            return capture.plan(ready, Guests().work())

        return plan

    def publish(self, wishes: publish.Wishes) -> Callable[[Place], list[Step]]:
        def plan(place: Place) -> list[Step]:
            def upload() -> None:
                self.client.send(disks.grant_access(place, wishes.disk))

            return publish.plan(replace(wishes, place=place), upload)

        return plan

    def verify(self, wishes: verify.Wishes) -> Callable[[Place], list[Step]]:
        def plan(place: Place) -> list[Step]:
            ready = replace(wishes, place=replace(place, group="tried"), own_group=False, public_key=KEY)
            return verify.plan(ready)

        return plan


def removals() -> list[list[str]]:
    """The lines that remove everything but the images, and what was there before."""
    steps: list[Step] = []
    for each in CAPTURES:
        steps += capture.plan(replace(each, keep=False), Guests().work())[len(capture.plan(each, Guests().work())) :]
    for checked in CHECKS:
        tried = replace(checked, place=replace(WISHES.place, group="tried"), own_group=False)
        steps += verify.clean_up(tried)
    for published in DISKS:
        steps += publish.plan(replace(published, keep_disk=False), lambda: None)[-1:]
    return [list(words) for _, request in requests_of(steps) if request for words in request.az]


def theirs_before(arm: Arm) -> None:
    """What is there before: two VMs, a network, a group with nothing in it."""
    own_vm(arm)
    own_vm(arm, "TrustedLaunch", name="other")
    put(arm, RG[: -len("rg")] + "images", "Microsoft.Resources/resourceGroups")
    put(arm, ENCRYPTION, "Microsoft.Compute/diskEncryptionSets")
    put(arm, f"{ENCRYPTION}2", "Microsoft.Compute/diskEncryptionSets")["location"] = "eastus"
    put(arm, SUBNET.split("/subnets/")[0], "Microsoft.Network/virtualNetworks", subnets=[{"name": "s", "id": SUBNET}])
    arm.resources[SUBNET.lower()] = {"id": SUBNET, "name": "s", "type": "subnet"}


def test_every_printed_line_is_understood_and_leaves_what_our_requests_leave(
    azs: SimpleNamespace, arm: Arm, azure: Server, connect: Callable[..., Client], tmp_path: Path
) -> None:
    theirs_before(arm)
    theirs_before(azs.arm)
    twice = Twice(connect(), tmp_path)
    for plan in (
        *(twice.capture(each) for each in CAPTURES),
        *(twice.publish(each) for each in DISKS),
        *(twice.verify(each) for each in CHECKS),
    ):
        twice.run(plan)
    azs.many(twice.lines)
    theirs, ours = essence(azs.arm), essence(arm)
    assert sorted(theirs) == sorted(ours)
    differ = [f"{key}\n  az   {value}\n  ours {ours[key]}" for key, value in theirs.items() if value != ours[key]]
    assert not differ, "\n".join(differ)
    azs.many(removals())
    before = Arm()
    theirs_before(before)
    left = [key for key in essence(azs.arm) if key not in essence(before)]
    assert [key for key in left if not key.startswith(("images/", "galleries", "resourceGroups/"))] == []
