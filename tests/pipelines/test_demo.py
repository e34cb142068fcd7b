"""The demo tells the truth: the agent was there, it is gone, the VM is provisioned; and it says what it left out."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from azready.console import SILENT
from azready.errors import Failure
from azready.fabric import Fabric, Fault
from azready.pipelines import demo, trees
from tests.untouched import watched


def azready_demo(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "azready", "demo", *words],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.long
def test_the_whole_story(need: Callable[..., None]) -> None:
    need("root", "tool:mmdebstrap", "tool:zstd", "tool:ssh", "tool:unshare", "tool:ip")
    trees.tree(demo.SUITE, demo.PACKAGES)  # from the mirror, which the played machine does not reach
    done, changes = watched(sys.executable, "-m", "azready", "demo", "--whole")
    assert done.returncode == 0, done.stdout + done.stderr
    assert changes == [], "nothing of the machine is changed"
    text = " ".join(done.stdout.split())
    for piece in (
        "● package waagent",
        "● enabled unit /etc/systemd/system/multi-user.target.wants/walinuxagent.service",
        "agents left: none",
        "✔ Provisioned: Ready after",
        "✓ ssh login: as azureuser · ✓ host name: demo-vm · ✓ sudo: asks no password · ✓ unit is off: disabled",
        "✔ Silent, as it should be",
        "provisioned without an agent",
    ):
        assert piece in text, piece
    assert not list((Path.home() / ".cache" / "azready" / "demo").glob("image-*")), "the image is removed afterwards"


@pytest.mark.long
def test_the_short_story_needs_no_tools_and_says_what_it_left_out() -> None:
    done = azready_demo("--scratch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reported Ready" in done.stdout
    assert "✔ Provisioned" in done.stdout
    assert "home/azureuser/.ssh/authorized_keys" in done.stdout
    assert "Left out:" in done.stdout


@pytest.mark.long
def test_without_a_tool_the_short_story_says_which(tmp_path: Path) -> None:
    """PATH has everything but mmdebstrap."""
    for folder in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for program in Path(folder).glob("*"):
            link = tmp_path / program.name
            if program.name != "mmdebstrap" and not link.is_symlink():
                link.symlink_to(program)
    done = azready_demo(PATH=str(tmp_path))
    assert "Left out:" in done.stdout, done.stderr
    assert "mmdebstrap is not installed" in done.stdout
    refused = azready_demo("--whole", PATH=str(tmp_path))
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "mmdebstrap is not installed" in refused.stderr


@pytest.mark.long
def test_a_platform_that_refuses_makes_the_short_story_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = partial(Fabric, faults=(Fault(service="wireserver", status=403),))
    monkeypatch.setattr(demo, "Fabric", refusing)
    assert not demo.tell_scratch(SILENT, deadline=2).passed


def test_loopback_serves_where_namespaces_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(command: object) -> object:
        raise Failure("no namespaces here")

    monkeypatch.setattr(demo, "enclosed", refused)
    done = demo.tell_scratch(SILENT)
    assert done.passed, done.said
    assert not done.enclosed
