"""Put into tests/azure/ and run: a login with Contributor on the resource group alone, as docs/azure.md asks for."""

import pytest

from tests.azure.fake_arm.model import SUBSCRIPTION
from tests.azure.fake_arm.server import Fault
from tests.azure.test_cli import blob, disk, publish, user  # noqa: F401

ACTIONS = {
    "/usages$": "Microsoft.Compute/locations/usages/read",
    "/skus$": "Microsoft.Compute/skus/read",
    "/skus/[^/]+/versions": "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read",
}
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
IMAGE = f"{GROUP}/providers/Microsoft.Compute/images/web"


@pytest.fixture(autouse=True)
def the_group_only(user):  # noqa: F811
    for path, action in ACTIONS.items():
        text = (
            f"The client 'ci' with object id '0' does not have authorization to perform action '{action}' over scope "
            f"'/subscriptions/{SUBSCRIPTION}' or the scope is invalid."
        )
        user.server.faults.append(Fault("GET", path, status=403, code="AuthorizationFailed", message=text, times=99))
    for identity, kind in ((GROUP, "Microsoft.Resources/resourceGroups"), (IMAGE, "Microsoft.Compute/images")):
        base = {"id": identity, "name": identity.split("/")[-1], "type": kind, "location": "westeurope"}
        facts = {"provisioningState": "Succeeded", "hyperVGeneration": "V2"}
        user.arm.resources[identity.lower()] = base | {"properties": facts}


def test_publish(user, disk, blob):  # noqa: F811
    user.arm.resources.pop(IMAGE.lower())
    done = user.run(*publish(disk))
    assert done.returncode == 0, done.stderr


def test_verify(user):  # noqa: F811
    done = user.run("verify", IMAGE, "-l", "westeurope", "-g", "rg", "--yes")
    assert done.returncode == 0, done.stderr
