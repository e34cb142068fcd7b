"""Put into tests/azure/ and run. A clean-up that fails must not hide what was found out."""

import io
from dataclasses import replace

import pytest

from azready.azure.requests.model import Place
from azready.errors import Failure
from tests.azure.fake_arm.model import SUBSCRIPTION
from tests.azure.fake_arm.server import Fault
from tests.azure.test_verify import WISHES, _images, verifying  # noqa: F401


def test_the_reason_is_told_when_the_interface_is_still_reserved(arm, azure, verifying):  # noqa: F811
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/mine"
    facts = {"type": "Microsoft.Resources/resourceGroups", "location": "westeurope"}
    arm.resources[group.lower()] = {
        "id": group,
        "name": "mine",
        **facts,
        "properties": {"provisioningState": "Succeeded"},
    }
    azure.faults.append(
        Fault(
            "PUT", "/virtualMachines/azready-1$", status=409, code="SkuNotAvailable", message="The requested VM size …"
        )
    )
    azure.faults.append(
        Fault(
            "DELETE",
            "/networkInterfaces/azready-1-nic$",
            status=400,
            code="NicReservedForAnotherVm",
            message="Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please provide another "
            "nic(s) or retry after 180 seconds.",
        )
    )
    said = io.StringIO()
    with pytest.raises(Failure) as told:
        verifying(replace(WISHES, own_group=False, place=Place(SUBSCRIPTION, "mine", "westeurope")), said)
    assert "SkuNotAvailable" in told.value.message + said.getvalue()


def test_the_report_is_told_when_the_group_is_locked(arm, azure, verifying):  # noqa: F811
    azure.faults.append(
        Fault(
            "DELETE",
            "/resourcegroups/azready-verify-1$",
            status=409,
            code="ScopeLocked",
            message="The scope cannot perform delete operation because following scope(s) are locked.",
            times=9,
        )
    )
    try:
        assert verifying(WISHES).all_ready
    except Failure as failure:
        assert "Ready" in failure.message, failure.message
