"""What the real Azure does to a verification: sets made in part, lists in pages, no room, reserved interfaces, locks,
regions, terms; none of it may be taken for the image, and nothing that was found out may be lost."""

import io
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from azready.azure.reach import ssh_answers
from azready.azure.requests.model import Place, PurchasePlan
from azready.azure.verify import NotRemoved, Report
from azready.errors import Exit, Failure
from tests.azure.fake_arm.model import SUBSCRIPTION, Arm, Guest
from tests.azure.fake_arm.server import Fault, Server
from tests.azure.samples import kinds, put
from tests.azure.test_verify import IMAGE, VERSION, WISHES, _images, guests, left_over, verifying

__all__ = ["_images", "verifying"]
Verifying = Callable[..., Report]
MINE = replace(WISHES, own_group=False, place=Place(SUBSCRIPTION, "mine", "westeurope"))


@pytest.fixture
def mine(arm: Arm) -> None:
    """A group of the user's."""
    put(arm, f"/subscriptions/{SUBSCRIPTION}/resourceGroups/mine", "Microsoft.Resources/resourceGroups")


def body_of(server: Server, part: str) -> dict[str, Any]:
    body = next(item.body for item in server.exchanges if item.method == "PUT" and part in item.url)
    assert body
    return body


@pytest.mark.long
def test_a_set_that_was_made_in_part_is_not_a_good_set(arm: Arm, azure: Server, verifying: Verifying) -> None:
    arm.capacity = 12
    report = verifying(replace(WISHES, instances=20))
    assert (len(report.instances), report.asked, report.all_ready, report.outcome) == (12, 20, False, "untried")
    assert str(report) == "12 of 20 Ready; 8 were not made"
    assert "AllocationFailed" in report.error
    assert left_over(arm) == []


def test_a_failed_guest_in_a_set_made_in_part_still_says_something_of_the_image(
    arm: Arm, azure: Server, verifying: Verifying
) -> None:
    arm.capacity = 12
    arm.boot = guests(*["ready"] * 11, "OSProvisioningTimedOut")
    report = verifying(replace(WISHES, instances=20))
    assert (report.outcome, str(report)) == ("not ready", "11 of 20 Ready; 8 were not made")


@pytest.mark.long
@pytest.mark.parametrize("page", [50, 7])
def test_every_page_of_the_vms_is_read(arm: Arm, azure: Server, verifying: Verifying, page: int) -> None:
    arm.vcpu_limit, arm.page = 1000, page
    arm.boot = guests(*["ready"] * 57, "OSProvisioningTimedOut", "ready", "ready")
    report = verifying(replace(WISHES, instances=60))
    assert len(report.instances) == 60
    assert [instance.code for instance in report.instances if not instance.ready] == ["OSProvisioningTimedOut"]
    views = [item for item in azure.exchanges if "/instanceView?" in item.url]
    assert views == [], "the list has every view: no VM is asked for one by one"


@pytest.mark.parametrize("code", ["AllocationFailed", "ZonalAllocationFailed", "VMExtensionProvisioningError"])
def test_what_is_not_the_guests_fault_says_nothing_of_the_image(
    arm: Arm, azure: Server, verifying: Verifying, code: str
) -> None:
    arm.boot = guests(code)
    report = verifying(WISHES)
    assert (report.all_ready, report.outcome) == (False, "untried")


def test_no_room_for_one_vm_and_its_interface_reserved(
    arm: Arm, azure: Server, verifying: Verifying, mine: None
) -> None:
    arm.capacity = 0
    report = verifying(MINE, said := io.StringIO())
    assert report.outcome == "untried" and "AllocationFailed" in report.error
    assert "is busy (NicReservedForAnotherVm)" in said.getvalue()
    assert "networkInterfaces" not in kinds(arm) and "virtualNetworks" not in kinds(arm)


def test_an_interface_that_stays_reserved_hides_no_refusal(
    arm: Arm, azure: Server, verifying: Verifying, mine: None
) -> None:
    azure.faults.append(Fault("PUT", "/virtualMachines/azready-1$", 409, "SkuNotAvailable", "The requested VM size"))
    azure.faults.append(Fault("DELETE", "/networkInterfaces/", 400, "NicReservedForAnotherVm", "for 180 s", times=99))
    with pytest.raises(Failure) as told:
        verifying(MINE)
    assert told.value.message.index("SkuNotAvailable") < told.value.message.index("NicReservedForAnotherVm")


@pytest.mark.parametrize(("state", "code"), [("ready", Exit.UNABLE), ("OSProvisioningTimedOut", Exit.NEGATIVE)])
def test_a_lock_hides_no_result(arm: Arm, azure: Server, verifying: Verifying, state: str, code: Exit) -> None:
    arm.boot = guests(state)
    azure.faults.append(Fault("DELETE", "/resourcegroups/azready-verify-1$", 409, "ScopeLocked", "locked", times=9))
    with pytest.raises(NotRemoved, match=r"\d of 1 Ready, but not everything could be removed.*ScopeLocked") as told:
        verifying(WISHES)
    assert told.value.report.instances[0].ready == (state == "ready")
    assert told.value.exit_code == code
    assert "az lock" in told.value.hint


def test_one_lost_answer_does_not_make_a_good_image_bad(arm: Arm, azure: Server, verifying: Verifying) -> None:
    looked: list[float] = []

    def boot(vm: dict[str, object]) -> Guest:
        def state() -> tuple[str, str]:
            looked.append(time.monotonic())
            return ("ready", "") if len(looked) > 8 else ("", "")

        return Guest(state, lambda: b"x")

    arm.boot = boot
    azure.faults.append(Fault("PUT", "/virtualMachines/azready-1$", cut=True))
    assert verifying(WISHES).all_ready


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": IMAGE, "place": replace(WISHES.place, location="eastus")}, "the managed image is in westeurope"),
        ({"image": VERSION, "place": replace(WISHES.place, location="northeurope")}, "not replicated to northeurope"),
        (
            {"image": VERSION.rsplit("/", 2)[0], "place": replace(WISHES.place, location="northeurope")},
            "not replicated",
        ),
        ({"size": "Standard_D2s_v6"}, "has its disks on NVMe, the image boots from SCSI only"),
        ({"image": VERSION, "size": "Standard_D2s_v6"}, "has its disks on NVMe"),
        ({"size": "Standard_DC2as_v5"}, "is a Confidential VM"),
        ({"size": "Standard_D2ps_v5"}, "is Arm64, the image is x64"),
        ({"size": "Standard_A1_v2"}, "boots generation V1 only"),
        ({"image": VERSION.replace("/gal/", "/absent/")}, "no such thing"),
    ],
)
def test_what_azure_would_refuse_is_seen_before_anything_is_made(
    arm: Arm, azure: Server, verifying: Verifying, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(Failure, match=said):
        verifying(replace(WISHES, **change))
    assert azure.sent("PUT", "POST", "DELETE") == []


def test_an_sgx_size_takes_other_vms_too(arm: Arm, azure: Server, verifying: Verifying) -> None:
    assert verifying(replace(WISHES, size="Standard_DC2s_v3")).all_ready


def test_an_image_of_confidential_vms_is_refused_at_once(arm: Arm, azure: Server, verifying: Verifying) -> None:
    features = arm.resources[VERSION.rsplit("/versions/", 1)[0].lower()]["properties"]["features"]
    features[0]["value"] = "ConfidentialVM"
    with pytest.raises(Failure, match="makes Confidential VMs only"):
        verifying(replace(WISHES, image=VERSION))
    features[0]["value"] = "TrustedLaunchAndConfidentialVmSupported"
    assert verifying(replace(WISHES, image=VERSION)).all_ready
    assert azure.sent("PUT")


def test_an_nvme_size_with_an_image_that_has_the_driver(arm: Arm, azure: Server, verifying: Verifying) -> None:
    definition = arm.resources[VERSION.rsplit("/versions/", 1)[0].lower()]
    definition["properties"]["features"].append({"name": "DiskControllerTypes", "value": "SCSI, NVMe"})
    assert verifying(replace(WISHES, image=VERSION, size="Standard_D2s_v6")).all_ready


def test_a_definition_whose_versions_are_all_left_out_of_latest(arm: Arm, azure: Server, verifying: Verifying) -> None:
    arm.resources[VERSION.lower()]["properties"]["publishingProfile"]["excludeFromLatest"] = True
    with pytest.raises(Failure, match="every version in westeurope is excluded from latest"):
        verifying(replace(WISHES, image=VERSION.rsplit("/versions/", 1)[0]))
    assert verifying(replace(WISHES, image=VERSION)).all_ready


def test_secure_boot_can_be_turned_off(arm: Arm, azure: Server, verifying: Verifying) -> None:
    verifying(replace(WISHES, image=VERSION, secure_boot=False))
    settings = body_of(azure, "virtualMachines/")["properties"]["securityProfile"]["uefiSettings"]
    assert settings == {"secureBootEnabled": False, "vTpmEnabled": True}


@pytest.mark.long
@pytest.mark.parametrize("instances", [1, 3])
def test_an_image_with_a_purchase_plan(arm: Arm, azure: Server, verifying: Verifying, instances: int) -> None:
    arm.resources[IMAGE.lower()]["_plan"] = {"publisher": "p", "product": "o", "name": "n"}
    wishes = replace(WISHES, instances=instances)
    with pytest.raises(Failure, match="purchase plan, which every VM of it has to name"):
        verifying(wishes)
    assert verifying(replace(wishes, plan=PurchasePlan("p", "o", "n"))).all_ready


def test_a_definition_that_names_its_plan(arm: Arm, azure: Server, verifying: Verifying) -> None:
    plan = {"publisher": "p", "product": "o", "name": "n"}
    arm.resources[VERSION.rsplit("/versions/", 1)[0].lower()]["properties"]["purchasePlan"] = plan
    assert verifying(replace(WISHES, image=VERSION)).all_ready
    assert body_of(azure, "virtualMachines/")["plan"] == plan


@pytest.mark.long
def test_a_specialized_image_owes_no_report_and_has_to_run(arm: Arm, azure: Server, verifying: Verifying) -> None:
    definition = arm.resources[VERSION.rsplit("/versions/", 1)[0].lower()]
    definition["properties"]["osState"] = "Specialized"
    assert verifying(replace(WISHES, image=VERSION)).all_ready
    assert "osProfile" not in body_of(azure, "virtualMachines/")["properties"]
    assert verifying(replace(WISHES, image=VERSION, instances=2)).all_ready


@pytest.mark.long
@pytest.mark.parametrize("answers", [True, False])
def test_a_copy_with_a_public_address_is_called(arm: Arm, azure: Server, verifying: Verifying, answers: bool) -> None:
    arm.resources[VERSION.rsplit("/versions/", 1)[0].lower()]["properties"]["osState"] = "Specialized"
    called: list[str] = []

    def reach(address: str) -> bool:
        called.append(address)
        return answers

    report = verifying(replace(WISHES, image=VERSION, ssh_from="203.0.113.7/32"), reach=reach)
    assert called == ["192.0.2.4"]
    assert str(report) == f"{int(answers)} of 1 running"
    assert report.outcome == ("ready" if answers else "not ready")
    assert report.instances[0].reached is answers
    assert verifying(replace(WISHES, image=VERSION), reach=reach).instances[0].reached is None
    assert verifying(replace(WISHES, ssh_from="203.0.113.7/32"), reach=reach).instances[0].reached is None
    assert len(called) == 1, "one that reports needs no call"


def test_a_server_is_heard_when_it_speaks_ssh() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ssh_answers("127.0.0.1", patience=-1, port=1)

        def serve() -> None:
            for word in (b"HTTP/1.1 400\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"):
                with server.accept()[0] as there:
                    there.sendall(word)

        threading.Thread(target=serve, daemon=True).start()
        assert ssh_answers("127.0.0.1", patience=60, pause=0.01, port=port)


def test_an_existing_subnet(arm: Arm, azure: Server, verifying: Verifying, mine: None) -> None:
    network = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/mine/providers/Microsoft.Network/virtualNetworks/corp"
    put(arm, network, "Microsoft.Network/virtualNetworks", subnets=[{"name": "s"}])
    arm.resources[f"{network}/subnets/s".lower()] = {"id": f"{network}/subnets/s", "name": "s", "type": "subnet"}
    assert verifying(replace(MINE, subnet=f"{network}/subnets/s", instances=2)).all_ready
    assert not [path for _, path in azure.sent("PUT", "DELETE") if "virtualNetworks" in path]


@pytest.mark.long
def test_consoles_are_fetched_of_a_sample_only(arm: Arm, azure: Server, verifying: Verifying) -> None:
    arm.vcpu_limit = 1000
    arm.boot = guests(*["ready"] * 30, *["OSProvisioningTimedOut"] * 30)
    report = verifying(replace(WISHES, instances=60))
    assert sum(instance.guest_seconds is not None for instance in report.instances) == 16
    assert sum(bool(instance.console) for instance in report.instances) == 20


@pytest.mark.long
def test_a_fleet_costs_a_call_for_each_page_of_it_not_for_each_vm(
    arm: Arm, azure: Server, verifying: Verifying
) -> None:
    arm.vcpu_limit = 1000
    report = verifying(replace(WISHES, instances=300))
    assert (report.ready, report.asked) == (300, 300)
    assert len(azure.exchanges) < 75, "six pages, sixteen consoles, and what is made and removed"
