"""The real `az` against the same fake: it must accept the fake's answers, and leave what we leave.

az runs unchanged, with the public cloud's host names, where these names are 127.0.0.1 and nothing but `lo` exists.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from azready.azure import capture, publish
from azready.azure.capture import Captured
from azready.azure.known import Known
from azready.azure.preflight import DiskFacts
from azready.azure.requests.images import TargetRegion
from azready.azure.requests.model import RUN_TAG
from azready.azure.steps import Step, requests_of
from tests.azure import netns, real_az
from tests.azure.fake_arm import groups
from tests.azure.fake_arm.model import SUBSCRIPTION, TENANT, Arm
from tests.azure.fake_arm.server import Server, serving
from tests.azure.samples import KEY, WISHES, Guests
from tests.azure.test_publish import DEFINITION, SIZE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MANY = """
import io, json, sys
from azure.cli.core import get_default_cli
for words in json.load(open(sys.argv[1])):
    out = io.StringIO()
    try:
        code = get_default_cli().invoke(words[1:], out_file=out)
    except SystemExit as ended:
        code = ended.code
    if code:
        sys.exit(f"{code}: {' '.join(words)}")
"""
LOGIN = f"az login --service-principal -u 00000000-0000-4000-8000-000000000001 -p secret --tenant {TENANT}"


@pytest.fixture(scope="session")
def az() -> Path:
    """The real az; installed before any namespace is entered."""
    return real_az.install()


@pytest.fixture
def azs(az: Path, authority: SimpleNamespace, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """`.run(line)` one az command; `.many(lines)` several in one process; `.arm`, `.server` the fake it talks to."""
    assert netns.only_loopback()
    arm = Arm(retry_after=1, on_disk=lambda identity, body: "https://md-fake.blob.storage.azure.net/x/y?sig=SECRET")
    env = real_az.environment(tmp_path, authority.ca)
    hosts = tmp_path / "hosts"

    def start(argv: list[str]) -> str:
        done = subprocess.run(real_az.in_namespace(argv, hosts), env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{argv[-6:]}\n{done.stderr}\n{_refusals(server)}"
        return done.stdout

    def many(lines: list[list[str]]) -> None:
        (tmp_path / "many.py").write_text(MANY)
        (tmp_path / "lines").write_text(json.dumps(lines))
        start([str(az.with_name("python")), str(tmp_path / "many.py"), str(tmp_path / "lines")])

    # Port 443 of this test's own namespace: az is given no address, it asks the public one.
    with serving(arm, authority.cert, port=443, name="management.azure.com") as server:
        (tmp_path / "key.pub").write_text(KEY + "\n")
        yield SimpleNamespace(run=lambda line: start([str(az), *line.split()[1:]]), many=many, arm=arm, server=server)


def _refusals(server: Server) -> str:
    return "\n".join(
        f"{item.method} {item.url} {item.status} {json.dumps(item.answer)[:300]}"
        for item in server.exchanges
        if item.status >= 400
    )


def essence(arm: Arm) -> dict[str, Any]:
    """What matters of every resource of a run: type, names, and the properties that either side decides."""
    found: dict[str, Any] = {}
    for item in arm.resources.values():
        kind = item["type"].split("/", 1)[-1]
        if kind in ("deployments", "subnet", "disks") and "_OsDisk_" in item["name"] + "_OsDisk_" * (kind != "disks"):
            continue
        kept = {key: item["properties"].get(key) for key in KEPT.get(kind, ()) if key in item["properties"]}
        text = json.dumps(kept, sort_keys=True).lower().replace('\\n"', '"')  # az sends the key file's last newline too
        found[f"{kind}/{item['name']}"] = json.loads(re.sub(r'"(provisioningstate|etag)": "[^"]*",? ?', "", text))
    return found


KEPT = {
    "virtualMachines": ("hardwareProfile", "osProfile", "diagnosticsProfile", "securityProfile"),
    "images": ("hyperVGeneration", "sourceVirtualMachine"),
    "publicIPAddresses": ("publicIPAllocationMethod", "publicIPAddressVersion"),
    "disks": ("osType", "hyperVGeneration", "creationData", "supportedCapabilities"),
    "galleries/images": ("osType", "osState", "hyperVGeneration", "architecture", "identifier"),
    "galleries/images/versions": ("storageProfile",),
}


def test_the_articles_commands_work_and_leave_what_capture_leaves(
    azs: SimpleNamespace, arm: Arm, azure: Server, capturing: Callable[..., Captured], tmp_path: Path
) -> None:
    """https://learn.microsoft.com/azure/virtual-machines/linux/no-agent, its az commands as they are printed there."""
    image = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/images/web"
    common = f"--admin-username azureuser --ssh-key-values {tmp_path}/key.pub --size Standard_D2s_v5"
    for line in (
        LOGIN,
        "az group create --location westeurope --name rg",
        f"az vm create -g rg -n web-base --image debian:debian-10:10:latest {common} --public-ip-address-dns-name demo",
        "az vm deallocate --resource-group rg --name web-base",
        "az vm generalize --resource-group rg --name web-base",
        "az image create --resource-group rg --source web-base --name web",
        f"az vm create -g rg -n web-trial --image {image} {common} --enable-agent false",
    ):
        azs.run(line)
    urn = replace(WISHES.urn, offer="debian-10", sku="10")
    capturing(replace(WISHES, urn=urn, keep=True, public_key=KEY), Guests())
    theirs, ours = essence(azs.arm), essence(arm)
    vms = [f"virtualMachines/web-{part}" for part in ("base", "trial")]
    for vm in vms:
        assert theirs[vm].pop("diagnosticsprofile", None) is None, "az asks for no console"
        ours[vm].pop("diagnosticsprofile")
        theirs[vm].pop("securityprofile", None)
    assert {key: ours[key] for key in (*vms, "images/web")} == {key: theirs[key] for key in (*vms, "images/web")}

    def count(found: dict[str, Any], kind: str) -> int:
        return sum(key.startswith(kind + "/") for key in found)

    for kind in ("virtualNetworks", "networkInterfaces", "publicIPAddresses", "virtualMachines", "images"):
        assert count(theirs, kind) == count(ours, kind), kind
    assert (count(theirs, "networkSecurityGroups"), count(ours, "networkSecurityGroups")) == (2, 1), "we share one"


KNOWN = Known(image_version=groups.VERSION, generation="V2", architecture="x64", version="1.0.0")


def lines(steps: list[Step]) -> list[list[str]]:
    """The az lines that a dry run prints."""
    return [list(words) for _, request in requests_of(steps, KNOWN) if request for words in request.az]


def test_the_printed_az_lines_do_what_capture_does(
    azs: SimpleNamespace, arm: Arm, azure: Server, capturing: Callable[..., Captured], tmp_path: Path
) -> None:
    wishes = replace(
        WISHES,
        public_key=KEY,
        key_file=str(tmp_path / "key"),
        place=replace(WISHES.place, tags=((RUN_TAG, "r1"),)),
        keep=True,
    )
    azs.many([LOGIN.split(), *lines(capture.plan(wishes, Guests().work()))])
    capturing(wishes, Guests())
    theirs, ours = essence(azs.arm), essence(arm)
    for found in (theirs, ours):
        for vm in ("virtualMachines/web-base", "virtualMachines/web-trial"):
            found[vm].pop("securityprofile", None)
    assert theirs == ours
    azs.many(lines(capture.plan(replace(wishes, keep=False), Guests().work()))[-9:])
    left = [key for key in essence(azs.arm) if not key.startswith("resourceGroups")]
    assert left == ["images/web"], "the printed removals"


def test_the_printed_az_lines_of_publish_work(azs: SimpleNamespace) -> None:
    place = replace(WISHES.place, tags=((RUN_TAG, "r1"),))
    regions = (TargetRegion("westeurope"), TargetRegion("eastus", 2, "Premium_LRS"))
    gallery = publish.Wishes(place, "web", Path("x"), DiskFacts(SIZE, True, "V2"), DEFINITION, "1.0.0", regions)
    managed = replace(gallery, name="plain", definition=None)
    azs.many([LOGIN.split(), *lines(publish.plan(gallery, lambda: None)), *lines(publish.plan(managed, lambda: None))])
    found = essence(azs.arm)
    assert sorted(key.rsplit("/", 1)[0] for key in found) == [
        "galleries",
        "galleries/images",
        "galleries/images/versions",
        "images",
        "resourceGroups",
    ]
    definition = next(item for item in azs.arm.resources.values() if item["type"].endswith("galleries/images"))
    features = {item["name"]: item["value"].replace(" ", "") for item in definition["properties"]["features"]}
    assert features == {"SecurityType": "TrustedLaunchSupported", "DiskControllerTypes": "SCSI,NVMe"}


def test_az_is_the_real_one_and_cannot_reach_the_world(az: Path, tmp_path: Path, authority: SimpleNamespace) -> None:
    assert netns.only_loopback()
    assert os.access(az, os.X_OK)
    argv = real_az.in_namespace([str(az), "version"], tmp_path / "hosts")
    env = real_az.environment(tmp_path, authority.ca)
    told = json.loads(subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout)
    assert told["azure-cli"] == real_az.VERSION
