"""The same file under every Python that this machine has, from 3.6 on."""

import subprocess
from collections.abc import Callable

import pytest

from azready.fabric import Fabric
from azready.fabric.faults import Fault
from azready.fabric.machine import Machine
from azready.fabric.protocol.media import ovf_env
from tests.guest.conftest import KEY, PROGRAM, Scratch
from tests.interpreters import pythons

PYTHONS = pythons()


@pytest.fixture(params=[str(path) for path in PYTHONS.values()], ids=PYTHONS.keys())
def python(request: pytest.FixtureRequest) -> str:
    path: str = request.param
    return path


def test_a_rich_first_boot_works(python: str, scratch: Callable[[Machine], Scratch]) -> None:
    """Medium, password hashed by us, hook, custom data, faults that take the error paths."""
    machine = Machine(
        name="vm1",
        admin_password="s3cret",
        disable_password_authentication=False,
        public_keys=(KEY, "ssh-rsa broken"),
        custom_data="data",
    )
    tree = scratch(machine)
    tree.python = [python]
    medium = tree.root / "medium"
    medium.mkdir()
    (medium / "ovf-env.xml").write_text(ovf_env(machine))
    hook = tree.root / "etc/azure-provisioning.d/10-a"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\necho said by the hook\n")
    hook.chmod(0o755)
    (tree.root / "var/lib/hyperv").mkdir()
    faults = [
        Fault(service="imds", reset=True, attempts="1"),
        Fault(service="wireserver", path="*comp=health*", status=503, retry_after="date", attempts="1"),
    ]
    with Fabric(machine, faults=faults) as fabric:
        at = (f"--imds={fabric.imds_url}", f"--wireserver={fabric.wireserver_url}", f"--medium={medium}")
        done = tree.run(*at, env={"FAKE_CHPASSWD_CANNOT_HASH": "1"})
        assert done.returncode == 0, done.stderr
        assert fabric.ledger.ready
    assert "said by the hook" in done.stderr
    assert "azureuser:$6$" in tree.text("/etc/shadow")
    assert tree.text("/home/azureuser/.ssh/authorized_keys") == KEY + "\n"


def test_a_step_that_fails_is_reported(python: str, scratch: Callable[[Machine], Scratch]) -> None:
    machine = Machine(name="vm1", public_keys=(KEY,))
    tree = scratch(machine)
    tree.python = [python]
    with Fabric(machine) as fabric:
        at = (f"--imds={fabric.imds_url}", f"--wireserver={fabric.wireserver_url}")
        done = tree.run(*at, env={"FAKE_USERADD_FAILS": "1"})
        assert done.returncode == 1, done.stderr
        assert fabric.ledger.failed


def test_nothing_is_warned_of(python: str) -> None:
    done = subprocess.run(
        [python, "-I", "-S", "-B", "-W", "error", str(PROGRAM), "--version"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
