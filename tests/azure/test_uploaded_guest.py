"""From a disk on this machine to a VM of it: what `publish` uploaded is what boots, by its own firmware, in the local
Azure. The VM of `verify` is ready because the guest on those bytes reported so, and for no other reason."""

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from azready.azure import publish, verify
from azready.azure.client import Client
from azready.azure.console_log import fetcher
from azready.azure.publish import Published
from azready.azure.requests.model import RUN_TAG, Place
from azready.azure.state import open_run
from azready.azure.steps import Runner
from azready.azure.verify import Report
from azready.cli.publish import disk_facts
from azready.console import Console
from tests.azure.conftest import HURRIED
from tests.azure.fake_arm.model import SUBSCRIPTION, Arm
from tests.azure.fake_arm.server import Server
from tests.azure.local_guests import UploadedGuests
from tests.boot import machines

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

REPORTS = f"{machines.NETWORK}{machines.REPORT}echo ready login:\nsleep 1\npoweroff -f\n"
SILENT = "echo nobody reports here\nsleep 1\npoweroff -f\n"
"""It ends by itself: the platform knows the outcome then, and the test does not wait for a clock."""

TOOLS = ("mmdebstrap", "zstd", "busybox", "syslinux", "mcopy", "mkfs.vfat", "sfdisk", "qemu-system-x86_64", "qemu-img")


@pytest.fixture(scope="session")
def _built(need: Callable[..., None]) -> None:
    """The kernel is in the cache before any namespace without a network is entered."""
    need("root", *(f"tool:{name}" for name in TOOLS))
    machines.kernel_tree()


@pytest.fixture
def guests(_built: None, arm: Arm, tmp_path: Path) -> Iterator[UploadedGuests]:
    with ExitStack() as stack:
        uploaded = UploadedGuests(arm, tmp_path, stack)
        arm.on_disk, arm.boot = uploaded.grant, uploaded.boot
        yield uploaded


@pytest.fixture
def make_vhd(_built: None, tmp_path: Path) -> Callable[[str], Path]:
    def make(script: str) -> Path:
        raw, vhd = tmp_path / "disk.raw", tmp_path / "disk.vhd"
        machines.mini_disk(raw, tmp_path, script)
        subprocess.run([sys.executable, "-m", "azready", "convert", raw, vhd], check=True, capture_output=True)
        return vhd

    return make


@pytest.fixture
def runner(connect: Callable[..., Client], tmp_path: Path) -> Callable[[str], tuple[Runner, Client, Console]]:
    def make(verb: str) -> tuple[Runner, Client, Console]:
        console = Console(io.StringIO())
        client = connect(console=console, patience=replace(HURRIED, poll=0.3))
        state = open_run(tmp_path / f"{verb}.json", verb, {}, restart=False)
        return Runner(client, state, console), client, console

    return make


@pytest.fixture
def published(
    make_vhd: Callable[[str], Path], guests: UploadedGuests, runner: Callable[[str], tuple[Runner, Client, Console]]
) -> Callable[[str], Published]:
    def run(script: str) -> Published:
        vhd = make_vhd(script)
        steps, client, console = runner("publish")
        place = Place(SUBSCRIPTION, "rg", "westeurope", ((RUN_TAG, steps.state.run.id),))
        done = publish.run(publish.Wishes(place, "web", vhd, disk_facts(vhd, "", "x64")), steps, client, console)
        vhd.unlink()  # nobody can boot it by mistake
        return done

    return run


@pytest.fixture
def verified(
    runner: Callable[[str], tuple[Runner, Client, Console]], authority: SimpleNamespace
) -> Callable[[str], Report]:
    def run(image: str) -> Report:
        steps, client, console = runner("verify")
        place = Place(SUBSCRIPTION, "azready-verify-1", "westeurope", ((RUN_TAG, steps.state.run.id),))
        size, key = "Standard_D2s_v5", "ssh-ed25519 AAAA x"
        wishes = verify.Wishes(place, True, "azready-1", image, size, "azureuser", key)
        return verify.run(wishes, steps, client, console, verify.Probes(fetcher(str(authority.ca))))

    return run


def test_an_uploaded_disk_boots_and_its_own_report_makes_the_vm_ready(
    azure: Server, guests: UploadedGuests, published: Callable[[str], Published], verified: Callable[[str], Report]
) -> None:
    done = published(REPORTS)
    assert done.uploaded and 0 < done.uploaded.sent < 48 * machines.MIB, "only data is sent"
    report = verified(done.image)
    assert not guests.errors, guests.errors
    (record,) = guests.records
    assert report.all_ready, [line.text for line in record.console][-20:]
    assert record.how.endswith("bios")
    assert [health.state.lower() for health in record.reports] == ["ready"]
    assert record.machine.name == "azready-1"


def test_an_uploaded_disk_that_never_reports_is_not_ready(
    azure: Server, guests: UploadedGuests, published: Callable[[str], Published], verified: Callable[[str], Report]
) -> None:
    report = verified(published(SILENT).image)
    assert not guests.errors, guests.errors
    (instance,) = report.instances
    assert (instance.ready, instance.code) == (False, "OSProvisioningTimedOut")
    assert "nobody reports here" in instance.console, "it did boot"
    assert guests.records[0].reports == ()
