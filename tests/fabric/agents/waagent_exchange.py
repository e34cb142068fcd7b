"""Run by a test, in a network of its own: WALinuxAgent's own code goes through its start-up with the WireServer.

Arguments: the folder of the agent's modules, and a scratch folder. Prints one JSON object.
"""

import json
import os
import sys

modules, scratch = sys.argv[1:]
sys.path.insert(0, modules)

from azurelinuxagent.common import conf  # type: ignore[import-not-found]  # noqa: E402
from azurelinuxagent.common.protocol.imds import get_imds_client  # type: ignore[import-not-found]  # noqa: E402
from azurelinuxagent.common.protocol.restapi import ProvisionStatus  # type: ignore[import-not-found]  # noqa: E402
from azurelinuxagent.common.protocol.wire import WireProtocol  # type: ignore[import-not-found]  # noqa: E402

with open(os.path.join(scratch, "waagent.conf"), "w") as file:  # noqa: PTH118, PTH123
    file.write(f"Lib.Dir={scratch}\nOS.OpensslPath=openssl\n")
conf.load_conf_from_file(file.name)

protocol = WireProtocol("168.63.129.16")
protocol.detect()
protocol.report_provision_status(ProvisionStatus(status="NotReady", subStatus="Provisioning", description="Starting"))
protocol.report_provision_status(ProvisionStatus(status="Ready"))
print(
    json.dumps(
        {
            "incarnation": protocol.client.get_goal_state().incarnation,
            "vm_id": get_imds_client("168.63.129.16").get_compute().vmId,
            "certificates": sorted(name for name in os.listdir(scratch) if name.endswith((".crt", ".prv"))),  # noqa: PTH208
        }
    )
)
