"""A tree and a disk whose only provisioner is a system extension, merged by their own systemd-sysext."""

from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.container.tree import boot_tree
from azready.boot.qemu.command import Bootable, Hardware
from azready.boot.qemu.disk import boot_disk
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.fabric import Machine
from azready.image import sysext
from azready.image.parts.guest_program import Flavour
from tests.boot import machines

MACHINE = Machine(admin_username="someone")
RELOAD = "[Service]\nExecStartPost=systemctl daemon-reload\n"
"""What docs/sysext.md asks of systemd older than 255."""


def booted(tree: Path, guest: Flavour) -> tuple[BootRecord, ...]:
    units = tree / "etc/systemd/system"
    (units / "sysinit.target.wants").mkdir(exist_ok=True)
    (units / "sysinit.target.wants/systemd-sysext.service").symlink_to("/usr/lib/systemd/system/systemd-sysext.service")
    (tree / "var/lib/extensions").mkdir(parents=True)
    sysext.make(tree / "var/lib/extensions/azready", guest, "folder")
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    return boot_tree(tree, MACHINE, Plan(boots=2, deadline=60.0))


def provisioned(record: BootRecord) -> None:
    assert record.passed, (record.headline, [line.text for line in record.journal if "ext" in line.text])
    found = {check.name: check.outcome for check in record.checks}
    assert found.items() >= dict.fromkeys(("ssh login", "host name", "sudo"), "passed").items()
    assert [report.state for report in record.reports] == ["Ready"]


@pytest.mark.long
def test_an_extension_provisions(debian_tree: Callable[..., Path]) -> None:
    first, second = booted(debian_tree("trixie", "python3-minimal"), "python")
    provisioned(first)
    assert not second.reports
    started = [
        line for line in second.journal if line.text.startswith(("Starting", "Started")) and "rovision" in line.text
    ]
    assert not [line.text for line in started if "clone" not in line.unit], "the second boot has nothing to do"


PLACED = """
units=/disk/etc/systemd/system
mkdir -p /disk/var/lib/extensions $units/systemd-sysext.service.d $units/sysinit.target.wants
cp /azready.raw /disk/var/lib/extensions/; cp /reload.conf $units/systemd-sysext.service.d/
ln -s /usr/lib/systemd/system/systemd-sysext.service $units/sysinit.target.wants/
rm -f /disk/etc/ssh/ssh_host_*
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_extensions_file_provisions_a_disk(need: Callable[..., None], tmp_path: Path) -> None:
    """The file on a loop device, as docs/sysext.md has it placed, under a systemd older than 255 and a /usr that is
    read-only from then on."""
    need(
        "root", "tool:mmdebstrap", "tool:zstd", "tool:busybox", "tool:qemu-system-x86_64", "tool:mksquashfs", "tool:ssh"
    )
    sysext.make(tmp_path / "azready.raw", "sh", "squashfs")
    files = {"azready.raw": (tmp_path / "azready.raw").read_bytes(), "reload.conf": RELOAD.encode()}
    disk = machines.debian_disk(1)
    guest = Bootable(
        firmware="bios",
        disk=disk,
        format="raw",
        size=disk.stat().st_size,
        kernel=machines.into_disk(PLACED, files),
        hardware=Hardware(memory=768),
    )
    (record,) = boot_disk(guest, MACHINE, Plan(boots=1, deadline=900.0), target="Debian")
    provisioned(record)
