"""Put into tests/azure/ and run. Both fail today: verify calls a set good that Azure called failed."""

import copy
from dataclasses import replace

import pytest

from tests.azure.fake_arm import compute, model
from tests.azure.fake_arm.model import Guest, Refused, Reply
from tests.azure.test_verify import WISHES, _images, verifying  # noqa: F401


@pytest.fixture
def swap():
    kept = []

    def do(old, new):
        for n, (method, pattern, handler) in enumerate(model.ROUTES):
            if handler is old:
                kept.append((n, model.ROUTES[n]))
                model.ROUTES[n] = (method, pattern, new)

    yield do
    for n, route in kept:
        model.ROUTES[n] = route


def test_azure_made_fewer_vms_than_were_asked_for(arm, azure, verifying, swap):  # noqa: F811
    old = compute.put_set

    def put_set(arm, ask):
        ask.body = copy.deepcopy(ask.body)
        ask.body["sku"]["capacity"] = 12
        reply = old(arm, ask)
        operation = list(arm.operations.values())[-1]
        before = operation.finish

        def finish():
            before()
            raise Refused(409, "AllocationFailed", "Allocation failed. We do not have sufficient capacity.")

        operation.finish = finish
        return reply

    swap(old, put_set)
    report = verifying(replace(WISHES, instances=20))
    assert not report.all_ready, f"{len(report.instances)} of 20 looked at, and Azure said: {report.error[:80]}"


def test_the_failed_vm_is_on_the_second_page(arm, azure, verifying, swap):  # noqa: F811
    """Azure lists 50 VMs of a group a page, then `nextLink`."""
    old = compute.list_vms

    def list_vms(arm, ask):
        found = sorted(old(arm, ask).body["value"], key=lambda vm: vm["properties"]["provisioningState"] == "Failed")
        skip = int(ask.query.get("$skiptoken", "0"))
        body = {"value": found[skip : skip + 50]}
        if skip + 50 < len(found):
            body["nextLink"] = f"{ask.base}{ask.path}?api-version={ask.version}&$skiptoken={skip + 50}"
        return Reply(200, body)

    swap(old, list_vms)
    arm.vcpu_limit = 1000
    made = []

    def boot(vm):
        made.append(vm)
        state = "OSProvisioningTimedOut" if len(made) == 58 else "ready"
        return Guest(lambda: (state, ""), lambda: b"x")

    arm.boot = boot
    report = verifying(replace(WISHES, instances=60))
    assert len(report.instances) == 60
    assert not report.all_ready
