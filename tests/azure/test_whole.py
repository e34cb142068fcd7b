"""The whole story with real guests: a Debian VM with agents is captured over real ssh; the VM made from the image
becomes Succeeded because its own guest program reports Ready to a local Azure, and for no other reason."""

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azready.azure import capture
from azready.azure.capture import Captured, GuestWork, Host
from azready.azure.client import Client
from azready.azure.keys import make
from azready.azure.problems import AzureFailure
from azready.azure.requests.model import RUN_TAG
from azready.azure.state import open_run
from azready.azure.steps import Runner
from azready.console import Console
from azready.pipelines import trees
from azready.pipelines.capture import guest_work
from tests.azure import netns
from tests.azure.fake_arm.model import Arm
from tests.azure.fake_arm.server import Server
from tests.azure.local_guests import LocalGuests
from tests.azure.samples import WISHES, kinds

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SKIP = frozenset({"D", "B", "K"})
"""Disk, boot loader and kernel: a root tree has none, so their rules have nothing to look at."""


PACKAGES = ("python3", "waagent")


@pytest.fixture(scope="session")
def _built(need: Callable[..., None]) -> None:
    """The tree is in the cache before any namespace without a network is entered."""
    need("root", "tool:unshare", "tool:ssh", "tool:ip", "tool:mmdebstrap", "tool:zstd")
    trees.tree("bookworm", PACKAGES)


@pytest.fixture
def guests(_built: None, debian_tree: Callable[..., Path], tmp_path: Path, arm: Arm) -> LocalGuests:
    local = LocalGuests(debian_tree("bookworm", *PACKAGES), tmp_path)
    arm.boot = local.boot
    return local


@pytest.fixture
def run_capture(connect: Callable[..., Client], guests: LocalGuests, tmp_path: Path) -> Callable[..., Captured]:
    def run(said: io.StringIO, seal: bool = True) -> Captured:
        console = Console(said)
        key = tmp_path / "id"
        state = open_run(tmp_path / "state.json", "capture", {}, restart=False)
        place = replace(WISHES.place, tags=((RUN_TAG, state.run.id),))
        wishes = replace(WISHES, place=place, public_key=make(key), key_file=str(key))
        real = guest_work(tmp_path / "hosts", console, SKIP)

        def journal(host: Host) -> str:
            entries = guests.records[-1].journal
            return "\n".join(entry.text for entry in entries if "provision" in entry.unit + entry.identifier)

        def nothing(host: Host) -> None:
            pass

        work = replace(real, journal=journal)
        if not seal:
            work = GuestWork(nothing, nothing, nothing, journal)
        client = connect(console=console)
        runner = Runner(client, state, console)
        return capture.run(wishes, work, runner, client, lambda url: b"the console")

    return run


def test_a_debian_vm_with_agents_becomes_an_image_whose_vm_reports_ready_itself(
    arm: Arm, azure: Server, guests: LocalGuests, run_capture: Callable[..., Captured]
) -> None:
    assert netns.only_loopback()
    assert (guests.tree / "usr/sbin/waagent").exists()
    done = run_capture(said := io.StringIO())
    assert not guests.errors, guests.errors
    assert not (guests.tree / "usr/sbin/waagent").exists()
    assert "azureuser" not in (guests.tree / "etc/passwd").read_text(), "the base VM's user is gone from the image"
    record = guests.records[0]
    assert record.verdict.provisioned, said.getvalue()
    assert [report.state.lower() for report in record.reports] == ["ready"]
    assert record.machine.name == "web-trial"
    assert done.trial and done.trial.ready
    assert "reported Ready" in done.journal
    assert all(check.outcome == "passed" for check in record.checks if "log" in check.name), record.checks
    assert kinds(arm) == ["images", "resourceGroups"]


def test_an_image_that_was_not_prepared_times_out_in_azures_words(
    arm: Arm, azure: Server, guests: LocalGuests, run_capture: Callable[..., Captured]
) -> None:
    """Only the agents are taken away: nobody is left to report, and the create operation must not succeed."""
    (guests.tree / "usr/sbin/waagent").unlink()
    shutil.rmtree(guests.tree / "var/lib/waagent", ignore_errors=True)
    guests.deadline = 15.0
    with pytest.raises(AzureFailure) as caught:
        run_capture(io.StringIO(), seal=False)
    assert caught.value.code == "OSProvisioningTimedOut"
    assert not guests.records[0].reports
    assert "virtualMachines" in kinds(arm), "the VM is kept to look at"
