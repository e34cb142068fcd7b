"""The kernel, its drivers, and the initramfs, really listed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from azready.image.actions import Action, Write
from azready.image.facts import Facts
from azready.image.facts.distro import Family
from azready.image.facts.kernels import Kernel
from azready.image.facts.modprobe import bans_in_archive
from azready.image.facts.reading import decimal, layered
from azready.image.parts.replacements import plan_udev
from azready.image.rules import hostonly, repairs
from azready.image.rules.guards import (
    lines_with,
    needs_udev,
    the_default_kernel,
    the_kernels,
)
from azready.image.rules.model import Copies, Finding, Profile, Severity, Skip, rule

VITAL = ("hv_vmbus", "hv_storvsc", "hv_netvsc", "hv_utils")
_GUARDED = {
    **dict.fromkeys(VITAL, Severity.FATAL),
    **dict.fromkeys(("nvme", "nvme_core", "pci_hyperv"), Severity.ERROR),
    **dict.fromkeys(("udf", "isofs", "vfat"), Severity.ERROR),
    **dict.fromkeys(("mana", "mlx5_core"), Severity.WARNING),
}
_TOO_OLD = (3, 8)


def _how_to_add(facts: Facts, *drivers: str) -> str:
    """How this distribution puts drivers into an initramfs."""
    names = facts.distro.names
    return f"{names.add_drivers.format(' '.join(drivers))}; then run {names.rebuild_initramfs}"


def _missing_at_boot(facts: Facts, driver: str) -> Iterator[Finding]:
    for kernel in the_kernels(facts):
        if kernel.boots_with(driver):
            continue
        grave = None if kernel.default else Severity.WARNING
        if kernel.state(driver) == "absent" and not kernel.initramfs:
            what, fix = "neither the kernel nor its modules have it", "install the distribution's full or Azure kernel"
        elif kernel.initramfs is None:
            what, fix = (
                "it is a module, and this kernel has no initramfs",
                "build one, or use a kernel that has it built in",
            )
        elif kernel.initramfs.modules and not kernel.initramfs.modules_for(kernel.version):
            what = "the initramfs holds modules of another kernel only"
            fix = f"run {facts.distro.names.rebuild_initramfs}"
        else:
            what, fix = "it is not in the initramfs, and not built in", _how_to_add(facts, driver)
        yield Finding(f"kernel {kernel.version}: {driver}: {what}", kernel.initramfs_path or kernel.image, fix, grave)


@rule(
    "K01",
    "hv_vmbus is built in or in the initramfs",
    fault="hv_vmbus is missing when the root file system is looked for",
    why="Without Hyper-V's bus there is no disk and no network: the boot ends in the initramfs' shell, or with "
    '"cannot find root device".',
    fix="put hv_vmbus into the initramfs",
    sources="GEN HVD LISA",
    severity=Severity.FATAL,
)
def vmbus_at_boot(facts: Facts) -> Iterator[Finding]:
    yield from _missing_at_boot(facts, "hv_vmbus")


@rule(
    "K02",
    "hv_storvsc is built in or in the initramfs",
    fault="hv_storvsc is missing when the root file system is looked for",
    why="The OS disk is a SCSI disk behind Hyper-V's bus, on generation 1 too: ata_piix leaves its disks to this "
    "driver.",
    fix="put hv_storvsc into the initramfs",
    sources="GEN HVD LISA",
    severity=Severity.FATAL,
)
def storvsc_at_boot(facts: Facts) -> Iterator[Finding]:
    yield from _missing_at_boot(facts, "hv_storvsc")


@rule(
    "K03",
    "hv_netvsc is there",
    fault="hv_netvsc is missing",
    why="It drives the network card. Without it neither IMDS nor the WireServer is reached, and the VM never reports "
    "ready.",
    fix="install the package with all kernel modules (kernel-modules-core, linux-modules, linux-azure)",
    sources="HVD LISA",
    severity=Severity.FATAL,
)
def netvsc(facts: Facts) -> Iterator[Finding]:
    for kernel in the_kernels(facts):
        if kernel.state("hv_netvsc") == "absent":
            yield Finding(f"kernel {kernel.version} has no hv_netvsc", kernel.image, severity=_only_default(kernel))


def _only_default(kernel: Kernel) -> Severity | None:
    return None if kernel.default else Severity.WARNING


@rule(
    "K04",
    "hyperv_keyboard is built in or in the initramfs",
    fault="hyperv_keyboard is missing early in the boot",
    why="LISA asks for it; it lets one type into the initramfs' shell on a Hyper-V console. Azure's serial console "
    "does not use it.",
    fix="put hyperv_keyboard into the initramfs",
    sources="LISA",
    severity={Profile.MARKETPLACE: Severity.INFO},
)
def keyboard_at_boot(facts: Facts) -> Iterator[Finding]:
    kernel = the_default_kernel(facts)
    if not kernel.boots_with("hyperv_keyboard"):
        yield Finding(
            f"kernel {kernel.version}: hyperv_keyboard is not in the initramfs, and not built in", kernel.initramfs_path
        )


@rule(
    "K05",
    "hv_utils is there",
    fault="hv_utils is missing",
    why="It is the clock source /dev/ptp_hyperv, the key-value exchange, the heartbeat, and the shutdown that Azure "
    "asks for.",
    fix="install the package with all kernel modules (some Red Hat kernels: kernel-modules-extra)",
    sources="TIME LISA",
    severity=Severity.ERROR,
)
def utils(facts: Facts) -> Iterator[Finding]:
    kernel = the_default_kernel(facts)
    if kernel.state("hv_utils") == "absent":
        yield Finding(f"kernel {kernel.version} has no hv_utils", kernel.image)


@rule(
    "K06",
    "hv_balloon and a Hyper-V framebuffer are there",
    fault="hv_balloon or a Hyper-V framebuffer is missing",
    why="LISA asks for both (hyperv_fb or hyperv_drm counts); Azure itself needs neither.",
    fix="install the package with all kernel modules",
    sources="LISA",
    severity={Profile.MARKETPLACE: Severity.INFO},
)
def balloon_and_framebuffer(facts: Facts) -> Iterator[Finding]:
    kernel = the_default_kernel(facts)
    if kernel.state("hv_balloon") == "absent":
        yield Finding(f"kernel {kernel.version} has no hv_balloon", kernel.image)
    if kernel.state("hyperv_fb") == kernel.state("hyperv_drm") == "absent":
        yield Finding(f"kernel {kernel.version} has neither hyperv_fb nor hyperv_drm", kernel.image)


_FILE = re.compile(r"[^:]*modprobe\.d/[^:]*:\d+$")


def _comment_bans(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    yield from repairs.comment_lines(facts, [each for each in findings if not each.by_hand])


@rule(
    "K07",
    "no rule keeps out a driver that Azure needs",
    fault="a driver that Azure needs is kept out",
    why="Hardening guides blacklist udf and vfat: then the provisioning DVD and the EFI partition cannot be mounted. A "
    "blacklisted hv_ driver stops the boot itself.",
    fix="remove the line (or comment it out), then rebuild the initramfs: it carries a copy",
    sources="HVD GEN",
    severity=Severity.ERROR,
    repair=_comment_bans,
)
def no_bans(facts: Facts) -> Iterator[Finding]:
    built_in = facts.kernels[-1].builtin if facts.kernels else frozenset()
    bans = list(facts.bans)
    default = [kernel for kernel in facts.kernels if kernel.default]
    if default and default[0].initramfs:
        known = {(ban.module, ban.how) for ban in bans}
        for ban in bans_in_archive(default[0].initramfs.contents):
            if (ban.module, ban.how) not in known:
                bans.append(replace(ban, where=f"{default[0].initramfs_path}: its {ban.where}"))
    for ban in bans:
        if ban.module not in _GUARDED or (ban.module in built_in and ban.how in ("blacklist", "install")):
            continue
        grave = _GUARDED[ban.module]
        if ban.how == "blacklist" and ban.module in ("udf", "isofs", "vfat"):
            grave = Severity.INFO  # mount(8) asks for the file system by name, which a blacklist does not stop
        said = f"{ban.module} is kept out by `{ban.how}`"
        yield Finding(said, ban.where, severity=grave, by_hand=not _FILE.match(ban.where))


@rule(
    "K08",
    "the kernel reads UDF, ISO 9660 and FAT",
    fault="the kernel cannot read UDF, ISO 9660 or FAT",
    why="The provisioning medium is a DVD with UDF. Without it only IMDS is left: no password, no custom data. FAT is "
    "the EFI partition.",
    fix="install the package with all kernel modules (Ubuntu: linux-modules-extra-$(uname -r))",
    sources="GEN PROV RH",
    severity=Severity.WARNING,
    in_copies=Copies.UNASKED,
)
def medium_readable(facts: Facts) -> Iterator[Finding]:
    kernel = the_default_kernel(facts)
    missing = [name for name in ("udf", "isofs", "vfat") if kernel.state(name) == "absent"]
    if missing:
        yield Finding(f"kernel {kernel.version} has no {', '.join(missing)}", kernel.image)


@rule(
    "K09",
    "nvme and pci-hyperv are there before the root file system is",
    fault="nvme or pci-hyperv is missing when the root file system is looked for",
    why="From v6 on, VM sizes have NVMe disks only, passed through Hyper-V's virtual PCI bus: without both drivers "
    "the image times out in provisioning.",
    fix="put nvme, nvme_core and pci-hyperv into the initramfs",
    sources="NVME UB RH LISA",
    severity={Profile.AZURE: Severity.WARNING, Profile.NVME: Severity.FATAL},
)
def nvme_at_boot(facts: Facts) -> Iterator[Finding]:
    kernel = the_default_kernel(facts)
    missing = [name for name in ("nvme", "nvme_core", "pci_hyperv") if not kernel.boots_with(name)]
    if missing:
        yield Finding(
            f"kernel {kernel.version}: {', '.join(missing)} not in the initramfs, and not built in",
            kernel.initramfs_path or kernel.image,
            _how_to_add(facts, *missing),
        )


@rule(
    "K10",
    "NVMe commands may take 240 seconds",
    fault="NVMe commands time out too early",
    why="Azure's host retries for up to 120 seconds; the kernel's default of 30 gives up before.",
    fix="add nvme_core.io_timeout=240 to the kernel command line (or install azure-vm-utils, whose udev rule sets it)",
    sources="NVME UB AVU",
    severity={Profile.NVME: Severity.WARNING},
)
def nvme_patience(facts: Facts) -> Iterator[Finding]:
    by_rule = any("io_timeout" in text for text in facts.udev_rules.values())
    if by_rule or not facts.boot_entries:
        return
    first = facts.boot_entries[0]
    value = (first.values("nvme_core.io_timeout") or ["30"])[-1]
    if (decimal(value) or 0) < 240:
        yield Finding(f"nvme_core.io_timeout is {value} s", first.where)


@rule(
    "K11",
    "drivers of accelerated networking are there",
    fault="drivers of accelerated networking are missing",
    why="Without mlx5_core (and mana on newer hosts) behind pci-hyperv all traffic takes the slower synthetic path.",
    fix="install the distribution's full or Azure kernel; mana is in Linux from 6.2 on",
    sources="MANA LISA",
    severity=Severity.WARNING,
)
def accelerated_networking(facts: Facts) -> Iterator[Finding]:
    kernel = the_default_kernel(facts)
    missing = [name for name in ("mlx5_core", "mana", "pci_hyperv") if kernel.state(name) == "absent"]
    if missing:
        lone_mana = Severity.INFO if missing == ["mana"] else None
        yield Finding(f"kernel {kernel.version} has no {', '.join(missing)}", kernel.image, severity=lone_mana)


@rule(
    "K12",
    "the virtual function of accelerated networking is left alone by the network manager",
    fault="the network manager takes the virtual function of accelerated networking",
    why="It has the MAC address of eth0. A network manager that configures it too gets the same address twice, and "
    "broken routes.",
    fix="azready prepare ships a udev rule for devices behind hv_pci; that of azure-vm-utils may come too late",
    sources="RH AVU",
    severity=Severity.WARNING,
    repair=lambda facts, findings: plan_udev(facts.files, ["vf-rule"]),
)
def vf_unmanaged(facts: Facts) -> Iterator[Finding]:
    needs_udev(facts)
    if any(_leaves_vf_alone(text) for text in facts.udev_rules.values()):
        return
    profiles = facts.network.profiles
    if any(each.unmanaged and "AZURE_UNMANAGED_SRIOV" not in (facts.text(each.path) or "") for each in profiles):
        return
    wide = [each for each in profiles if each.dhcp4 and each.applies_to_virtual_functions()]
    if wide:
        yield Finding("it applies to the virtual function too", wide[0].path)
    elif "networkmanager" in facts.network.stacks and not _excepted_by_networkmanager(facts):
        yield Finding("NetworkManager manages every card that no rule excepts")


def _leaves_vf_alone(udev_rules: str) -> bool:
    """Whether a rule about the function's driver excepts it. NetworkManager's own rules except veth and the like.

    A rule that asks for IFF_SLAVE in ATTR{flags}, as azure-vm-utils' does, loses a race: hv_netvsc sets it only when
    it has taken the function, which may be after udev looked (azure-vm-utils issue 106).
    """
    lines = (line for line in udev_rules.splitlines() if "NM_UNMANAGED" in line or "ID_NET_MANAGED_BY" in line)
    return any(re.search(r"hv_pci|mlx[45]|\bmana\b", line) and "{flags}" not in line for line in lines)


def _excepted_by_networkmanager(facts: Facts) -> bool:
    paths = facts.files.glob("{etc,usr/lib}/NetworkManager/{NetworkManager.conf,conf.d/*.conf}")
    return any(lines_with(facts, path, r"^\s*unmanaged-devices\s*[+]?=.*driver:mlx5_core") for path in paths)


@rule(
    "K13",
    "the kernel has CIFS and a watchdog",
    fault="the kernel has no CIFS or no watchdog",
    why='LISA counts them among the "essential modules".',
    fix="install the distribution's full or Azure kernel",
    sources="LISA",
    severity={Profile.MARKETPLACE: Severity.INFO},
)
def cifs_and_watchdog(facts: Facts) -> Iterator[Finding]:
    kernel = the_default_kernel(facts)
    if kernel.state("cifs") == "absent":
        yield Finding(f"kernel {kernel.version} has no cifs", kernel.image)
    if kernel.config and kernel.config.get("CONFIG_WATCHDOG") != "y":
        yield Finding(f"kernel {kernel.version} is configured without CONFIG_WATCHDOG", kernel.image)


_FLOPPY = "etc/modprobe.d/azure-no-floppy.conf"


@rule(
    "K14",
    "floppy is not loaded",
    fault="the floppy driver may be loaded",
    why="Generation 1 emulates a floppy controller without a drive: the driver waits for it at every boot, and logs "
    "I/O errors.",
    fix="write `blacklist floppy` to a file in /etc/modprobe.d",
    sources="LISA",
    severity=Severity.INFO,
    repair=lambda facts, findings: [Write(_FLOPPY, b"blacklist floppy\n", 0o644)],
)
def no_floppy(facts: Facts) -> Iterator[Finding]:
    kernel = the_default_kernel(facts)
    if kernel.state("floppy") == "module" and not any(ban.module == "floppy" for ban in facts.bans):
        yield Finding(f"kernel {kernel.version} may load floppy", kernel.image)


@rule(
    "K15",
    "the system is 64-bit: x86-64 or arm64",
    fault="the system is not 64-bit x86-64 or arm64",
    why="Azure takes nothing else.",
    fix="build the image for amd64 or arm64",
    sources="LISA CERT",
    severity=Severity.FATAL,
)
def sixty_four_bit(facts: Facts) -> Iterator[Finding]:
    if not facts.architecture:
        raise Skip("no shell in it to tell the architecture by")
    if facts.architecture not in ("x86_64", "aarch64"):
        yield Finding(f"programs are made for {facts.architecture}", facts.program("sh"))


@rule(
    "K16",
    "the kernel is 3.8 or newer",
    fault="the kernel is older than 3.8",
    why="Older ones have a NUMA fault on larger VM sizes (numa=off hides it) and lack most of Hyper-V's drivers.",
    fix="update the kernel, or add numa=off to its command line",
    sources="GEN LISA",
    severity=Severity.ERROR,
)
def recent_kernel(facts: Facts) -> Iterator[Finding]:
    kernel = the_default_kernel(facts)
    parts = kernel.version.split("-")[0].split(".")[:2]
    numbers = tuple(found for part in parts if (found := decimal(part)) is not None)
    if len(numbers) == 2 and numbers < _TOO_OLD and not any(entry.has("numa=off") for entry in facts.boot_entries):
        yield Finding(f"kernel {kernel.version} is older than 3.8", kernel.image)


@rule(
    "K17",
    "the initramfs is built for any machine, after its settings",
    fault="the initramfs is built for this machine only, or before its settings",
    why="dracut builds for the machine it runs on unless told otherwise: Microsoft names this the main cause of failed "
    "migrations. Settings changed since were not taken in.",
    fix='write hostonly="no" to a file in /etc/dracut.conf.d, and rebuild',
    sources="HVD GEN",
    severity=Severity.WARNING,
)
def generic_initramfs(facts: Facts) -> Iterator[Finding]:
    kernel = the_default_kernel(facts)
    if not kernel.initramfs_path:
        raise Skip("the kernel has no initramfs file")
    if facts.distro.family in (Family.DEBIAN,):
        paths = ("etc/initramfs-tools/initramfs.conf", *facts.files.glob("etc/initramfs-tools/conf.d/*"))
        line, where = _last_line(facts, paths, r"^\s*MODULES=")
        if re.match(r"MODULES=[\"']?dep\b", line):
            fix = f"set MODULES=most, and run {facts.distro.names.rebuild_initramfs}"
            yield Finding(f"{line}: only this machine's drivers are taken in", where, fix)
    paths = ("etc/dracut.conf", *layered(facts.files, ("etc/dracut.conf.d", "usr/lib/dracut/dracut.conf.d"), ".conf"))
    line, where = _last_line(facts, paths, r"^\s*hostonly=")
    if re.match(r"hostonly=[\"']?yes", line):
        yield Finding(line, where)
    yield from _settings_newer_than(facts, kernel)


def _last_line(facts: Facts, paths: Sequence[str], pattern: str) -> tuple[str, str]:
    """The line that counts of files that are read one after the other, and where it stands; empty texts for none."""
    found = [(line, f"{path}:{number}") for path in paths for number, line in lines_with(facts, path, pattern)]
    return found[-1] if found else ("", "")


def _settings_newer_than(facts: Facts, kernel: Kernel) -> Iterator[Finding]:
    built = facts.files.stat(kernel.initramfs_path).mtime
    feeding = "etc/{dracut.conf.d/*.conf,initramfs-tools/modules,initramfs-tools/initramfs.conf,mkinitcpio.conf}"
    for path in facts.files.glob(feeding):
        if facts.files.stat(path).mtime > built + 1:
            fix = f"run {facts.distro.names.rebuild_initramfs}"
            yield Finding(f"/{path} is newer than /{kernel.initramfs_path}", path, fix)


@rule(
    "K18",
    "the initramfs waits for no device of the machine it was built on",
    fault="the initramfs waits for a device of the machine it was built on",
    why="dracut built for one machine writes its root, volumes and their devices into the initramfs, and LVM's list of "
    "devices goes along: on another disk the boot waits for what never comes, and ends in the emergency shell. "
    "Changing the files in /etc does not reach it.",
    fix="remove the files it is made of (/etc/lvm/devices, /etc/cmdline.d), then rebuild the initramfs for any machine",
    sources="HVD OWN",
    severity=Severity.ERROR,
)
def initramfs_waits_for_nothing(facts: Facts) -> Iterator[Finding]:
    kernel = the_default_kernel(facts)
    archive = kernel.initramfs
    if archive is None:
        raise Skip("the kernel has no initramfs")
    place = kernel.initramfs_path or (kernel.uki.path if kernel.uki else "")
    fix = f"{initramfs_waits_for_nothing.fix}: {facts.distro.names.rebuild_initramfs}"
    for said, severity in hostonly.of_the_builder(facts, archive.contents):
        yield Finding(said, place, fix, severity)
