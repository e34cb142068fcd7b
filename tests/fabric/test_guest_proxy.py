"""The Metadata Security Protocol as a guest meets it: with an agent that signs for it, and without."""

import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from azready.fabric import Fabric, Machine
from azready.fabric.protocol import media
from azready.fabric.serve.trials import scratch_tree
from tests.fabric import guest_proxy
from tests.fabric.client import ask

MACHINE = Machine(name="web-1", msp="enforce")
NAME = "/metadata/instance/compute/name?api-version=2019-06-01&format=text"


def provision(tmp_path: Path, wireserver: str, imds: str, agent: bool, deadline: int) -> None:
    """Let azready's own program provision a scratch tree, in which the agent is installed or not."""
    root = scratch_tree(tmp_path / "root")
    if agent:
        (root / "usr/sbin").mkdir(parents=True, exist_ok=True)
        (root / "usr/sbin/azure-proxy-agent").write_text("#!/bin/sh\n")
        (root / "usr/sbin/azure-proxy-agent").chmod(0o755)
    folder = tmp_path / "medium"
    folder.mkdir()
    for name, content in media.files(MACHINE).items():
        (folder / name).write_bytes(content)
    program = tmp_path / "provision.py"
    program.write_bytes((resources.files("azready.guest") / "provision.py").read_bytes())
    words = ["--platform", "azure", "--root", root, "--medium", folder, "--deadline", str(deadline)]
    words += ["--wireserver", wireserver, "--imds", imds]
    subprocess.run([sys.executable, "-I", program, *words], capture_output=True, check=False, timeout=120)


def test_what_the_agent_passes_on_is_served_and_what_comes_beside_it_is_not() -> None:
    with Fabric(MACHINE) as fabric:
        assert ask(fabric.imds_url, NAME, {"Metadata": "true"}).status == 401
        channel = guest_proxy.latch(fabric.wireserver_url)
        with guest_proxy.standing_in(fabric.imds_url, channel) as imds:
            served = ask(imds, NAME, {"Metadata": "true"})
        assert (served.status, served.text) == (200, "web-1")
        assert ask(fabric.imds_url, NAME, {"Metadata": "true"}).status == 401


@pytest.mark.long
@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_our_program_is_ready_behind_the_agent(need: Callable[..., None], tmp_path: Path, mode: str) -> None:
    need("root")
    with Fabric(Machine(name="web-1", msp=mode)) as fabric:
        channel = guest_proxy.latch(fabric.wireserver_url)
        with (
            guest_proxy.standing_in(fabric.wireserver_url, channel) as wireserver,
            guest_proxy.standing_in(fabric.imds_url, channel) as imds,
        ):
            provision(tmp_path, wireserver, imds, agent=True, deadline=60)
        verdict = fabric.verdict(0)
    assert verdict.provisioned, verdict
    assert [one for one in verdict.findings if one.code.startswith("msp-")] == []


def test_without_the_agent_the_deployment_fails_as_documented(need: Callable[..., None], tmp_path: Path) -> None:
    need("root")
    with Fabric(MACHINE) as fabric:
        provision(tmp_path, fabric.wireserver_url, fabric.imds_url, agent=False, deadline=6)
        verdict = fabric.verdict(0)
    assert verdict.code == "OSProvisioningInternalError"
    assert "no Guest Proxy Agent" in verdict.because
