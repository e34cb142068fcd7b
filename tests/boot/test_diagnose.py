"""Why a boot failed, shown on images that really fail so: trees in containers, a mini kernel in QEMU."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from azready.boot.container.tree import boot_tree
from azready.boot.diagnosis import diagnose
from azready.boot.qemu.command import Bootable, Hardware, Kernel
from azready.boot.qemu.disk import boot_disk
from azready.boot.record import BootRecord, ConsoleLine, from_json
from azready.boot.series import Plan
from azready.fabric import Machine
from azready.fabric.faults import Fault
from azready.fabric.ledger import Exchange
from tests.boot import machines
from tests.boot.patience import Records, names, patiently

Prepared = Callable[..., Path]


def _boot(tree: Path, code: str, faults: tuple[Fault, ...] = ()) -> BootRecord:
    plan = Plan(deadline=8.0, boots=1, login=False, faults=faults)
    (record,) = patiently(partial(boot_tree, tree, Machine()), plan, names(code))
    assert not record.passed
    return record


@pytest.mark.long
def test_a_good_boot_has_no_cause(prepared: Prepared) -> None:
    (record,) = boot_tree(prepared("bookworm"), Machine(), Plan(boots=1, login=False))
    assert record.passed and diagnose(record) is None and record.cause is None


@pytest.mark.slow
def test_the_lease_never_comes(broken: Callable[..., Path]) -> None:
    record = _boot(broken(), "no-lease", faults=(Fault(service="dhcp", delay=60.0),))
    found = diagnose(record)
    assert found and found.code == "no-lease" and "DHCPDISCOVER" in found.evidence[0]


# --- machines ---


def _boot_kernel(kernel: Kernel, deadline: float = 300.0) -> BootRecord:
    guest = Bootable(kernel=kernel, hardware=Hardware(memory=256))
    plan = Plan(boots=1, login=False, deadline=deadline)
    (record,) = boot_disk(guest, Machine(), plan, target="mini kernel")
    return record


@pytest.fixture
def mini(need: Callable[..., None]) -> Callable[..., Kernel]:
    need("root", "tool:mmdebstrap", "tool:zstd", "tool:busybox", "tool:qemu-system-x86_64")
    return machines.mini


@pytest.mark.long
def test_no_root_device(mini: Callable[..., Kernel]) -> None:
    kernel = replace(mini("exit"), initrd=None, command_line="console=ttyS0 panic=-1 root=/dev/sda1")
    found = diagnose(_boot_kernel(kernel))
    assert found and found.code == "no-root-device" and "hv_storvsc" in found.fix
    assert any("Unable to mount root fs" in line for line in found.evidence)


def _boot_debian(kernel: Kernel, faults: tuple[Fault, ...] = ()) -> BootRecord:
    """Boot a whole Debian by this kernel until its boot is over."""
    disk = machines.debian_disk(1)
    size = disk.stat().st_size
    guest = Bootable(firmware="bios", disk=disk, format="raw", size=size, kernel=kernel, hardware=Hardware(memory=512))
    plan = Plan(boots=1, login=False, deadline=900.0, faults=faults)
    (record,) = boot_disk(guest, Machine(), plan, target="Debian")
    assert record.verdict.because.startswith("the boot ended in"), record.headline
    return record


@pytest.mark.slow
def test_an_initramfs_of_dracut_without_the_disks_driver(mini: Callable[..., Kernel]) -> None:
    kernel = machines.dracut()
    found = diagnose(_boot_debian(replace(kernel, command_line=f"{kernel.command_line} rd.timeout=4")))
    assert found and found.code == "no-root-device", found
    assert any("Dependency failed" in line or "Timed out" in line for line in found.evidence)


@pytest.mark.slow
def test_a_cd_in_fstab_when_the_drive_is_empty(mini: Callable[..., Kernel], need: Callable[..., None]) -> None:
    need("tool:syslinux", "tool:mcopy")
    line = "/dev/sr0 /media/cdrom udf,iso9660 ro,x-systemd.device-timeout=90 0 0"
    kernel = machines.into_disk(f"mkdir -p /disk/media/cdrom; echo '{line}' >>/disk/etc/fstab")
    found = diagnose(_boot_debian(kernel, (Fault(service="media", silent=True),)))
    assert found and found.code == "medium-wait" and "D09" in found.fix, found
    assert any("Failed to mount media-cdrom.mount" in line for line in found.evidence), found.evidence


@pytest.mark.slow
def test_a_kernel_that_panics(mini: Callable[..., Kernel]) -> None:
    found = diagnose(_boot_kernel(mini("echo c >/proc/sysrq-trigger")))
    assert found and found.code == "kernel-panic", found


@pytest.mark.slow
def test_a_guest_without_a_serial_console(mini: Callable[..., Kernel]) -> None:
    kernel = mini(machines.NETWORK + "poweroff -f", command_line="quiet")
    found = diagnose(_boot_kernel(kernel))
    assert found and found.code == "no-serial-console"


@pytest.mark.long
def test_a_disk_with_nothing_to_boot(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:qemu-system-x86_64", "tool:sfdisk", "tool:qemu-img")
    disk = tmp_path / "empty.raw"
    machines.make_table(disk, 64 << 20, "label: dos\nsize=32M, bootable\n")
    plan = Plan(boots=1, login=False, deadline=6.0)
    guest = Bootable(firmware="bios", disk=disk, format="raw", size=64 << 20, hardware=Hardware(memory=128))
    codes = ("no-boot-loader", "no-kernel-output", "no-kernel")

    def shown(records: Records) -> bool:
        return any(names(code)(records) for code in codes)

    (record,) = patiently(partial(boot_disk, guest, Machine(generation=1), target=str(disk)), plan, shown)
    found = diagnose(record)
    assert found and found.code in codes, found


# --- words of programs that cannot run here ---


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (
            "dracut Warning: Could not boot.\ndracut Warning: /dev/disk/by-uuid/5f3b1c2e does not exist",
            "no-root-device",
        ),
        (
            "[    6.9] systemd[1]: Running in initrd.\n[  ***] Job dev-disk-by…tart running (1min 45s / no limit)",
            "no-root-device",
        ),
        ("ALERT!  UUID=5f3b1c2e does not exist.  Dropping to a shell!", "no-root-device"),
        (
            "[  191.1] dracut-initqueue[452]: Warning: dracut-initqueue timeout - starting timeout scripts",
            "no-root-device",
        ),
        ("[ TIME ] Timed out waiting for device dev-sr0.device - /dev/sr0.", "medium-wait"),
        ("[  ***  ] (1 of 2) A start job is running for /dev/sr0 (42s / 1min 30s)", "medium-wait"),
        ("[   12.0] waagent[612]: Failed to get dvd device from dev", "medium-wait"),
        ("[   12.0] waagent[612]: Provisioning already completed, skipping.", "stale-marker"),
        (
            "[    5.2] Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug",
            "starved-emulator",
        ),
    ],
)
def test_words_of_other_programs(line: str, code: str) -> None:
    lease = Exchange(2.0, "dhcp", "DHCPACK", "10.1.0.4", 200)
    record = replace(
        _silent(),
        exchanges=(lease,),
        console=(
            ConsoleLine(1.0, "[    0.0] Linux version 6.1.0"),
            *(ConsoleLine(30.0, each) for each in line.split("\n")),
        ),
    )
    found = diagnose(record)
    assert found and found.code == code and line.split("\n")[-1] in found.evidence


def _silent() -> BootRecord:
    verdict = {"code": "OSProvisioningTimedOut", "at": None, "because": "", "findings": []}
    base = {"number": 1, "title": "first boot", "target": "t", "how": "qemu/tcg/uefi", "started": "", "seconds": 40.0}
    lists = ("milestones", "exchanges", "findings", "reports", "journal", "console", "checks", "faults")
    stones = [{"name": "kernel", "at": 1.0}, {"name": "multi-user", "at": 9.0}]
    table = {
        **base,
        "deadline": 40.0,
        "verdict": verdict,
        "machine": {},
        "kind": "qemu",
        "cause": None,
        **{name: [] for name in lists},
    }
    return from_json({**table, "expected": "ready", "milestones": stones})
