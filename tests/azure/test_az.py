"""The real `az` against the same fake: it must accept the fake's answers, and leave what we leave.

az runs unchanged, with the public cloud's host names, where these names are 127.0.0.1 and nothing but `lo` exists.
"""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from azready.azure.capture import Captured
from tests.azure import netns, real_az
from tests.azure.fake_arm.model import Arm
from tests.azure.fake_arm.server import Server
from tests.azure.real_az import LOGIN, essence
from tests.azure.samples import KEY, WISHES, Guests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_the_articles_commands_work_and_leave_what_capture_leaves(
    azs: SimpleNamespace, arm: Arm, azure: Server, capturing: Callable[..., Captured], tmp_path: Path
) -> None:
    """https://learn.microsoft.com/azure/virtual-machines/linux/no-agent, its az lines as they are printed there.

    With what the article forgets: the second group, and the backslash before the last option.
    """
    image = "debian:debian-10:10:latest"
    shared = f"--location eastus --ssh-key-value {tmp_path}/key.pub --admin-username azureuser"
    for line in (
        LOGIN,
        "az group create --location eastus --name demo1",
        f"az vm create -g demo1 --name demo1 {shared} --public-ip-address-dns-name demo1 --image {image}",
        "az vm deallocate --resource-group demo1 --name demo1",
        "az vm generalize --resource-group demo1 --name demo1",
        "az image create --resource-group demo1 --source demo1 --location eastus --name demo1img",
        "az group create --location eastus --name demo12",
    ):
        azs.run(line)
    image = azs.run("az image show -g demo1 -n demo1img --query id -o tsv").strip()
    azs.run(
        f"az vm create --resource-group demo12 --name demo12 {shared} --public-ip-address-dns-name demo12 "
        f"--image {image} --enable-agent false"
    )
    urn = replace(WISHES.urn, offer="debian-10", sku="10")
    place = replace(WISHES.place, group="demo1", location="eastus")
    capturing(replace(WISHES, place=place, name="demo1img", urn=urn, keep=True, public_key=KEY), Guests())
    theirs, ours = essence(azs.arm), essence(arm)
    for theirs_name, ours_name in (("demo1", "demo1img-base"), ("demo12", "demo1img-trial")):
        a, b = theirs[f"virtualMachines/{theirs_name}"], ours[f"virtualMachines/{ours_name}"]
        assert b.pop("diagnosticsprofile") and "diagnosticsprofile" not in a, "az asks for no console"
        assert a["osprofile"].pop("computername") == theirs_name
        b["osprofile"].pop("computername")
        assert a["osprofile"] == b["osprofile"]
    assert theirs["virtualMachines/demo12"]["osprofile"]["allowextensionoperations"] is False
    assert theirs["images/demo1img"]["hypervgeneration"] == ours["images/demo1img"]["hypervgeneration"] == "v1"

    def count(found: dict[str, Any], kind: str) -> int:
        return sum(key.startswith(kind + "/") for key in found)

    for kind in ("networkInterfaces", "publicIPAddresses", "virtualMachines", "images"):
        assert count(theirs, kind) == count(ours, kind), kind
    for kind in ("virtualNetworks", "networkSecurityGroups", "resourceGroups"):
        assert (count(theirs, kind), count(ours, kind)) == (2, 1), "we share one"


def test_az_is_the_real_one_and_cannot_reach_the_world(az: Path, tmp_path: Path, authority: SimpleNamespace) -> None:
    assert netns.only_loopback()
    assert os.access(az, os.X_OK)
    argv = real_az.in_namespace([str(az), "version"], tmp_path / "hosts")
    env = real_az.environment(tmp_path, authority.ca)
    told = json.loads(subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout)
    assert told["azure-cli"] == real_az.VERSION
