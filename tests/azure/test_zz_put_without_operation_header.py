"""Put into tests/azure/ and run: one lost answer to the VM's PUT must not turn a good image into a bad one."""

import time

from tests.azure.fake_arm.model import Guest
from tests.azure.fake_arm.server import Fault
from tests.azure.test_verify import WISHES, _images, verifying  # noqa: F401


def test_the_answer_to_the_vms_put_is_lost_once(arm, azure, verifying):  # noqa: F811
    def boot(vm):
        began = time.monotonic()
        return Guest(lambda: ("ready", "") if time.monotonic() - began > 1.5 else ("", ""), lambda: b"x")

    arm.boot = boot
    azure.faults.append(Fault("PUT", "/virtualMachines/azready-1$", cut=True))
    report = verifying(WISHES)
    assert report.all_ready, report.instances[0].code
