"""What keeps a boot from its services: loader, kernel, root, a stuck unit, a machine too busy. Pure."""

import re

from azready import agents
from azready.boot.diagnosis import questions
from azready.boot.diagnosis.questions import matching
from azready.boot.record import BootRecord, Cause
from azready.boot.watching import serial


def nothing_on_console(record: BootRecord) -> Cause | None:
    if not questions.is_virtual_machine(record) or any(line.strip() for line in questions.console(record)):
        return None
    if record.exchanges:
        return Cause(
            "no-serial-console",
            "the guest runs, but writes nothing to its serial console",
            (f"{len(record.exchanges)} requests reached the platform",),
            "add console=ttyS0 to the kernel command line (ttyAMA0 on arm64): Azure shows nothing else of a VM",
        )
    return Cause(
        "no-kernel-output",
        "nothing came on the serial console, and nothing was asked of the platform",
        (),
        "does the boot loader start a kernel, with console=ttyS0 (ttyAMA0 on arm64) on its command line?",
    )


def no_kernel(record: BootRecord) -> Cause | None:
    if not questions.is_virtual_machine(record) or record.milestone("kernel") is not None or record.exchanges:
        return None
    lines = questions.console(record)
    end = serial.over(record.console)
    shown = (end[1].text,) if end else tuple(lines[-3:])
    where = "the firmware found nothing to start" if end and end[0] == "firmware" else "no kernel was started"
    return Cause(
        "no-boot-loader" if end and end[0] == "firmware" else "no-kernel",
        where,
        shown,
        "a new VM has no memory of boot entries: \\EFI\\BOOT\\BOOTX64.EFI (BOOTAA64.EFI) must be on the ESP; "
        "for Generation 1, boot code in the MBR",
    )


def init_not_run(record: BootRecord) -> Cause | None:
    """The words are those of `boot.container.inside`, where the tree's init could not be executed."""
    seen = matching(questions.console(record), r"^azready: cannot run ")
    fix = (
        "is it in the tree, made for this machine's processor, and is its interpreter or loader there? --init COMMAND "
        "names another"
    )
    return Cause("no-init", "the tree's init cannot be run", seen, fix) if seen else None


def no_root_device(record: BootRecord) -> Cause | None:
    pattern = (
        r"ALERT!.*does not exist|Gave up waiting for root|Unable to mount root fs|Cannot open root device|"
        r"dracut-initqueue.*timeout|Warning: /dev/\S+ does not exist|[Tt]imed out waiting for device .*root|"
        r"Dependency failed for .*(Initrd Root Device|/sysroot)"
    )
    seen = matching(questions.console(record), pattern) or questions.awaited_root(record)
    if not seen:
        return None
    return Cause(
        "no-root-device",
        "the kernel did not find its root file system",
        seen,
        "compare root= with the disk's UUIDs; in Azure the initramfs needs hv_vmbus and hv_storvsc (`azready check`); "
        "here it needs a driver for --bus (virtio, nvme, scsi or sata)",
    )


def starved(record: BootRecord) -> Cause | None:
    """Linux counts ticks of its timer for a moment at its start; an emulator that gets no processor sends none."""
    seen = matching(questions.console(record), r"Kernel panic - not syncing: IO-APIC \+ timer doesn't work")
    return (
        Cause(
            "starved-emulator",
            "this machine was too busy to emulate another: that is no fault of the image",
            seen,
            "boot it again when the machine has less to do, or where KVM works",
            "host",
        )
        if seen
        else None
    )


def panic(record: BootRecord) -> Cause | None:
    seen = matching(questions.console(record), r"Kernel panic - not syncing|Failed to execute /|No working init")
    return (
        Cause("kernel-panic", "the kernel panicked", seen, "boot the kernel before it, or fix what it names")
        if seen
        else None
    )


def medium_wait(record: BootRecord) -> Cause | None:
    """A wait for the CD, which is gone once the VM is provisioned. Before emergency mode, which it ends in."""
    pattern = (
        r"[Ff]ailed to get dvd device|[Ee]rror mounting dvd|[Ff]ailed to mount dvd|no medium found|"
        r"[Tt]imed out waiting for device .*\b(sr\d|cdrom|dvd)\b|dev-(sr\d|cdrom|dvd)\.device.*(timed out|timeout)|"
        r"start job is running for (/dev/|dev-)(sr\d|cdrom|dvd)\b"
    )
    seen = matching(questions.said(record), pattern) or questions.empty_drive_mounted(record)
    if not seen:
        return None
    return Cause(
        "medium-wait",
        "the guest waits for the provisioning medium, or mounts a drive that is empty",
        seen,
        "Azure takes the medium away after the first boot: never in fstab, in no unit (or with nofail); "
        "to be read at all, it needs udf and the CD drive's driver (`azready check`: D09, K08)",
    )


def emergency(record: BootRecord) -> Cause | None:
    said = questions.said(record)
    if not matching(said, r"emergency mode|[Ee]mergency\.target|[Ee]mergency [Mm]ode|emergency shell"):
        return None
    why = matching(said, r"Dependency failed for|Timed out waiting for device|Failed to mount|fsck.*failed|UNEXPECTED")
    return Cause(
        "emergency-mode",
        "the boot ended in emergency mode",
        why or matching(said, r"[Ee]mergency"),
        "every device in fstab must exist in the new VM, or have nofail (`azready check`: D09)",
    )


def stuck_early(record: BootRecord) -> Cause | None:
    """Something blocks the boot before services may start, the network among them."""
    if record.milestone("basic.target") is not None or questions.multi_user(record) or questions.asked(record, "dhcp"):
        return None
    return stuck(record)


_WAITS_FOR_NETWORK = re.compile(r"network|dhcp|wait-online|" + agents.ANY, re.I)


def stuck(record: BootRecord) -> Cause | None:
    """A unit that others wait for and that does not come to its end. The provisioner itself may take its time."""
    waiting = questions.waiting_units(record)
    blamed = {name: line for name, line in waiting.items() if not re.search(agents.ANY, name, re.I)}
    if questions.multi_user(record) or not blamed:
        return None
    names = sorted(blamed, key=lambda name: bool(_WAITS_FOR_NETWORK.search(name)))
    for_network = all(_WAITS_FOR_NETWORK.search(name) for name in names)
    fix = (
        "it waits for a network card that Azure does not give, or that gets no address: name none (`azready check`: "
        "N04, N08), or let the provisioner not wait for network-online.target, as that of `azready prepare` does"
        if for_network
        else "let nothing that the provisioner waits for depend on that unit, or give the unit a time limit "
        "(TimeoutStartSec=)"
    )
    return Cause(
        "slow-boot",
        f"the boot still waits for {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else ""),
        tuple(blamed[name] for name in names[:3]),
        fix,
    )
