"""Put into tests/azure/ and run: the second command asks for another definition than the first, which failed."""

from tests.azure.fake_arm.server import Fault
from tests.azure.test_cli import blob, disk, publish, user  # noqa: F401


def test_other_security_type(user, disk, blob):  # noqa: F811
    text = "The security type 'TrustedLaunchSupported' is not supported for the source id '…'."
    user.server.faults.append(Fault("PUT", "/versions/", status=400, code="InvalidParameter", message=text))
    first = user.run(*publish(disk, "--gallery-name", "gal", "--security-type", "TrustedLaunch"))
    assert first.returncode == 3, first.stderr
    second = user.run(*publish(disk, "--gallery-name", "gal"))
    made = next(item for item in user.arm.resources.values() if item["type"].endswith("galleries/images"))
    assert second.returncode != 0 or not made["properties"].get("features"), made["properties"]["features"]
