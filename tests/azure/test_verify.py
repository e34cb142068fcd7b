"""verify against the fake: one VM or a scale set, ready or not, and nothing left."""

import io
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azready.azure import verify
from azready.azure.client import Client
from azready.azure.console_log import fetcher
from azready.azure.prices import estimate
from azready.azure.reach import Reach
from azready.azure.requests.model import RUN_TAG, Place
from azready.azure.state import open_run
from azready.azure.steps import Runner, requests_of
from azready.azure.verify import Report, Wishes
from azready.console import Console
from azready.errors import Failure, UsageFailure
from tests.azure.fake_arm.model import SUBSCRIPTION, Arm, Guest
from tests.azure.fake_arm.server import Fault, Server
from tests.azure.samples import kinds

Connect = Callable[..., Client]
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourcegroups"
IMAGE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Compute/images/web"
VERSION = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Compute/galleries/gal/images/def"
    "/versions/1.0.0"
)
WISHES = Wishes(
    place=Place(SUBSCRIPTION, "azready-verify-1", "westeurope"),
    own_group=True,
    name="azready-1",
    image=IMAGE,
    size="Standard_D2s_v5",
    admin="azureuser",
    public_key="ssh-ed25519 AAAA x",
)


@pytest.fixture(autouse=True)
def _images(arm: Arm) -> None:
    """A managed image, and a gallery version for Trusted Launch."""

    def put(identity: str, kind: str, **properties: object) -> None:
        base = {"id": identity, "name": identity.split("/")[-1], "type": kind, "location": "westeurope"}
        arm.resources[identity.lower()] = base | {"properties": {"provisioningState": "Succeeded", **properties}}

    put(f"/subscriptions/{SUBSCRIPTION}/resourcegroups/images", "Microsoft.Resources/resourceGroups")
    put(IMAGE, "Microsoft.Compute/images", hyperVGeneration="V2")
    definition = VERSION.rsplit("/versions/", 1)[0]
    put(definition.rsplit("/images/", 1)[0], "Microsoft.Compute/galleries")
    identifier = {"publisher": "me", "offer": "azready", "sku": "web"}
    features = [{"name": "SecurityType", "value": "TrustedLaunchSupported"}]
    facts = {"hyperVGeneration": "V2", "architecture": "x64", "osType": "Linux", "osState": "Generalized"}
    put(definition, "Microsoft.Compute/galleries/images", identifier=identifier, features=features, **facts)
    profile = {"targetRegions": [{"name": "West Europe"}, {"name": "eastus"}]}
    put(VERSION, "Microsoft.Compute/galleries/images/versions", publishingProfile=profile, storageProfile={})


@pytest.fixture
def verifying(connect: Connect, tmp_path: Path, authority: object) -> Callable[..., Report]:
    def run(wishes: Wishes, said: io.StringIO | None = None, reach: Reach | None = None) -> Report:
        console = Console(said or io.StringIO())
        state = open_run(tmp_path / "state.json", "verify", {"image": wishes.image}, restart=False)
        ready = replace(wishes, place=replace(wishes.place, tags=((RUN_TAG, state.run.id),)))
        client = connect(console=console)
        probes = verify.Probes(fetcher(str(authority.ca)), reach=reach)  # type: ignore[attr-defined]
        return verify.run(ready, Runner(client, state, console), client, console, probes)

    return run


def guests(*states: str) -> Callable[[dict[str, object]], Guest]:
    """A boot function that gives each new VM the next outcome."""
    turns = itertools.cycle(states)

    def boot(vm: dict[str, object]) -> Guest:
        state = next(turns)
        text = (
            f"Provisioned {vm['name']} in 0.41 s: reported Ready"
            if state == "ready"
            else "\x1b[1mPanic\x1b[0m: no init"
        )
        return Guest(lambda: (state, ""), text.encode)

    return boot


def left_over(arm: Arm) -> list[str]:
    return [key for key in arm.resources if "/resourcegroups/images" not in key]


def test_one_ready_vm(arm: Arm, azure: Server, verifying: Callable[..., Report]) -> None:
    arm.boot = guests("ready")
    report = verifying(WISHES)
    assert report.all_ready
    assert [instance.guest_seconds for instance in report.instances] == [0.41]
    assert left_over(arm) == []
    assert not any("publicIPAddresses" in path for _, path in azure.sent("PUT"))


def test_a_silent_guest_is_an_answer_with_its_console(
    arm: Arm, azure: Server, verifying: Callable[..., Report]
) -> None:
    arm.boot = guests("OSProvisioningTimedOut")
    report = verifying(WISHES)
    assert not report.all_ready
    failed = report.instances[0]
    assert (failed.code, failed.console) == ("OSProvisioningTimedOut", "Panic: no init")
    assert "did not finish in the allotted time" in failed.message
    assert left_over(arm) == []


def test_a_scale_set_tells_each_instance(arm: Arm, azure: Server, verifying: Callable[..., Report]) -> None:
    arm.boot = guests("ready", "ready", "OSProvisioningClientError")
    report = verifying(replace(WISHES, instances=6))
    assert len(report.instances) == 6
    assert (
        sorted(instance.code for instance in report.instances) == ["", "", "", ""] + ["OSProvisioningClientError"] * 2
    )
    assert {instance.seconds for instance in report.instances if instance.ready} == {31.2}
    assert all(bool(instance.console) != instance.ready for instance in report.instances)
    assert left_over(arm) == []
    body = next(item.body for item in azure.exchanges if item.method == "PUT" and "virtualMachineScaleSets" in item.url)
    assert body and body["properties"]["orchestrationMode"] == "Flexible"
    profile = body["properties"]["virtualMachineProfile"]["osProfile"]
    assert (profile["linuxConfiguration"]["provisionVMAgent"], profile["allowExtensionOperations"]) == (False, False)


def test_in_a_given_group_only_what_it_made_goes(arm: Arm, azure: Server, verifying: Callable[..., Report]) -> None:
    report = verifying(replace(WISHES, place=replace(WISHES.place, group="images"), own_group=False))
    assert report.all_ready
    assert kinds(arm) == ["galleries", "galleries/images", "galleries/images/versions", "images", "resourceGroups"]
    assert arm.get(f"{GROUP}/images")


def test_trusted_launch_follows_the_definition(arm: Arm, azure: Server, verifying: Callable[..., Report]) -> None:
    assert verifying(replace(WISHES, image=VERSION)).all_ready
    body = next(item.body for item in azure.exchanges if item.method == "PUT" and "virtualMachines/" in item.url)
    assert body and body["properties"]["securityProfile"]["securityType"] == "TrustedLaunch"


def test_keep_keeps(arm: Arm, azure: Server, verifying: Callable[..., Report]) -> None:
    verifying(replace(WISHES, keep=True))
    assert "virtualMachines" in kinds(arm)


def test_a_failure_before_the_vm_removes_what_was_made(
    arm: Arm, azure: Server, verifying: Callable[..., Report]
) -> None:
    arm.forbidden.add("networkInterfaces")
    with pytest.raises(Failure, match="lacks a right"):
        verifying(WISHES)
    assert left_over(arm) == []


def test_a_removal_that_fails_is_listed(
    arm: Arm, azure: Server, verifying: Callable[..., Report], tmp_path: Path
) -> None:
    azure.faults.append(Fault("DELETE", "azready-verify-1$", 403, "AuthorizationFailed"))
    with pytest.raises(Failure, match="lacks a right"):
        verifying(WISHES)
    run = open_run(tmp_path / "state.json", "verify", {"image": IMAGE}, restart=False).run
    assert any(item.endswith("resourcegroups/azready-verify-1") for item in run.created)


def test_a_full_quota_is_told_before_anything_is_made(
    arm: Arm, azure: Server, verifying: Callable[..., Report]
) -> None:
    arm.vcpu_limit = 20
    with pytest.raises(Failure, match="room for 20 vCPUs, 100 are needed"):
        verifying(replace(WISHES, instances=50))
    assert azure.sent("PUT", "POST", "DELETE") == []


def test_an_absent_image_is_told(arm: Arm, azure: Server, verifying: Callable[..., Report]) -> None:
    with pytest.raises(Failure, match="there is no such thing"):
        verifying(replace(WISHES, image=IMAGE + "2"))


def test_the_plan_is_what_is_sent(azure: Server, verifying: Callable[..., Report]) -> None:
    verifying(WISHES)
    steps = [*verify.plan(WISHES), *verify.clean_up(WISHES)]
    planned = [request for _, request in requests_of(steps) if request and request.method != "GET"]
    sent = [pair for pair in azure.sent("PUT", "POST", "DELETE") if "retrieveBoot" not in pair[1]]
    assert sent == [(request.method, request.path) for request in planned]


@pytest.mark.parametrize(
    "identity", ["web", "/subscriptions/1/resourceGroups/g", IMAGE.replace("images/web", "disks/web")]
)
def test_what_is_no_image_id_is_refused(identity: str) -> None:
    with pytest.raises(UsageFailure, match="is not the id of an image"):
        verify.check(replace(WISHES, image=identity))


def test_the_estimate_asks_for_linux_on_demand_prices() -> None:
    asked: list[str] = []
    common = {"serviceName": "Virtual Machines", "unitOfMeasure": "1 Hour", "currencyCode": "USD", "skuName": "D2s v5"}
    items = [
        common | {"productName": "Virtual Machines Dsv5 Series Windows", "meterName": "D2s v5", "retailPrice": 0.2},
        common | {"productName": "Virtual Machines Dsv5 Series", "meterName": "D2s v5 Spot", "retailPrice": 0.02},
        common | {"productName": "Virtual Machines Dsv5 Series", "meterName": "D2s v5", "retailPrice": 0.115},
    ]

    def get(url: str) -> object:
        asked.append(url)
        return {"Items": items}

    found = estimate("https://prices.azure.com", "westeurope", "Standard_D2s_v5", 50, 6, get)
    assert found.hourly == 0.115
    assert "50 × Standard_D2s_v5 for about 6 minutes: about 0.57 USD" in str(found)
    assert "armSkuName%20eq%20%27Standard_D2s_v5%27" in asked[0]


def test_an_unknown_price_is_said() -> None:
    def get(url: str) -> object:
        raise OSError("no network")

    assert "the price is not known" in str(estimate("https://x", "westeurope", "Standard_X", 1, 6, get))
