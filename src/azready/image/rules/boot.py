"""What the kernel is told, and the consoles."""

import re
from collections.abc import Iterator, Sequence

from azready.image.actions import Action, Write
from azready.image.facts import Facts
from azready.image.facts.cmdline import BootEntry, grub_defaults, shown
from azready.image.rules import cmdline_repairs
from azready.image.rules.devices import DEVICE_NAME, HARDWARE_NAME, named_devices
from azready.image.rules.guards import needs_systemd, the_boot_entries
from azready.image.rules.model import Copies, Finding, Profile, Reads, Severity, Skip, rule

_FOREIGN = (
    (r"(ds|ci\.ds|ci\.datasource)=(?![Aa]zure)", "it points cloud-init to another cloud"),
    (r"(cloud-init=disabled|ci\.di\.policy=disabled)", "it switches cloud-init off"),
    (r"ignition\.platform\.id=(?!azure)", "Ignition would look for another platform"),
    (r"(flatcar|coreos)\.oem\.id=(?!azure)", "Ignition would look for another platform"),
    (r"ignition\.firstboot$|ignition\.config\.url=", "Ignition would look for a configuration"),
    (r"console=(hvc|xvc|ttyAML|ttymxc|ttySAC)", "there is no such console on Azure"),
    (r"autoinstall|inst\.ks=|ks=|preseed/|auto=true|netcfg/", "it is an installer's argument"),
)


def _serial(facts: Facts) -> str:
    return "ttyAMA0" if facts.architecture == "aarch64" else "ttyS0"


def _first_lacking(facts: Facts, present: str) -> BootEntry | None:
    """The first boot entry in which no argument matches `present`."""
    pattern = re.compile(present)
    entries = the_boot_entries(facts)
    return next((entry for entry in entries if not any(pattern.match(arg) for arg in entry.args)), None)


def where_to_set(facts: Facts) -> str:
    """Where an argument of the kernel is put in or taken out, and what has to run then."""
    if any(entry.where.lower().endswith(".efi") for entry in facts.boot_entries):
        return "in the image's build (mkosi: KernelCommandLine=): it is part of the signed kernel image"
    if facts.files.exists("etc/default/grub"):
        return f"in GRUB_CMDLINE_LINUX of /etc/default/grub, then run {facts.distro.names.apply_grub}"
    if facts.files.exists("etc/update-extlinux.conf"):
        return "in default_kernel_opts of /etc/update-extlinux.conf, then run update-extlinux"
    return "in /etc/kernel/cmdline, then run kernel-install (or the boot loader's own tool)"


def _unwanted(facts: Facts, pattern: str, why: str, severity: Severity | None = None) -> Iterator[Finding]:
    expression = re.compile(pattern)
    seen = set()
    for entry in the_boot_entries(facts):
        for arg in entry.args:
            if expression.match(arg) and arg not in seen:
                seen.add(arg)
                named = shown(arg)
                fix = f"remove {named} {where_to_set(facts)}"
                yield Finding(f"{named}: {why}", entry.where, fix, severity, subject=arg)


def _make_serial_last(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    port = f"console={_serial(facts)},115200n8"
    old = {
        arg for entry in facts.boot_entries for arg in entry.args if re.match(rf"console={_serial(facts)}(,|$)", arg)
    }
    yield from cmdline_repairs.change(facts, old, (port,) if old else ("console=tty1", port))


def _drop_arguments(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    yield from cmdline_repairs.drop(facts, {finding.subject for finding in findings})


@rule(
    "B01",
    "the kernel's console is the serial port",
    fault="the kernel's console is not the serial port",
    why="Boot diagnostics and the serial console show what comes out there; without it a failed boot says nothing at "
    "all. The last console= is where the system's own messages go.",
    fix="add console=tty1 console=ttyS0,115200n8 (arm64: ttyAMA0) to the kernel command line",
    sources="GEN CERT LISA",
    severity=Severity.ERROR,
    repair=_make_serial_last,
    reads=Reads.MENU,
)
def serial_console(facts: Facts) -> Iterator[Finding]:
    port = _serial(facts)
    for entry in the_boot_entries(facts):
        consoles = [value.split(",")[0] for value in entry.values("console")]
        if port not in consoles:
            fix = f"add console=tty1 console={port},115200n8 {where_to_set(facts)}"
            yield Finding(f"no console={port}", entry.where, fix)
            return
        if consoles[-1] != port:
            fix = f"put console={port},115200n8 after console={consoles[-1]} {where_to_set(facts)}"
            yield Finding(f"console={port} is not the last one", entry.where, fix, Severity.INFO)
            return


@rule(
    "B02",
    "earlyprintk=ttyS0 is set",
    fault="earlyprintk=ttyS0 is not set",
    why="The marketplace's parameter test asks for it; a kernel that dies early shows why. x86 only.",
    fix="add earlyprintk=ttyS0 to the kernel command line",
    sources="CERT GEN",
    severity={Profile.AZURE: Severity.INFO, Profile.MARKETPLACE: Severity.WARNING},
    repair=lambda facts, findings: cmdline_repairs.add(facts, ("earlyprintk=ttyS0",)),
    reads=Reads.MENU,
)
def early_messages(facts: Facts) -> Iterator[Finding]:
    if facts.architecture == "aarch64":
        raise Skip("x86 only")
    if entry := _first_lacking(facts, r"earlyprintk=(serial,)?ttyS0"):
        yield Finding("no earlyprintk=ttyS0", entry.where, f"add it {where_to_set(facts)}")


@rule(
    "B03",
    "rootdelay=300 is set",
    fault="rootdelay=300 is not set",
    why="The marketplace's parameter test asks for it. An initramfs waits at most that long for the root device; a "
    "kernel without one really sleeps five minutes, so never add it there.",
    fix="add rootdelay=300 to the kernel command line, where an initramfs is used",
    sources="CERT GEN",
    severity={Profile.MARKETPLACE: Severity.WARNING},
    reads=Reads.MENU,
)
def patient_root(facts: Facts) -> Iterator[Finding]:
    if facts.kernels and not any(kernel.initramfs_path or kernel.uki for kernel in facts.kernels):
        raise Skip("no initramfs: the kernel would sleep that long")
    if entry := _first_lacking(facts, r"rootdelay=300$"):
        yield Finding("no rootdelay=300", entry.where, f"add it {where_to_set(facts)}")


@rule(
    "B05",
    "the generation 1 DVD drive is not switched off",
    fault="the generation 1 DVD drive is switched off",
    why="libata.atapi_enabled=0 and reserve=0x1f0,0x8 hide the IDE drive that holds the provisioning medium.",
    fix="remove the argument",
    sources="LISA SUSE",
    severity=Severity.ERROR,
    repair=_drop_arguments,
    in_copies=Copies.UNASKED,
    reads=Reads.MENU,
)
def dvd_not_hidden(facts: Facts) -> Iterator[Finding]:
    yield from _unwanted(facts, r"libata\.atapi_enabled=0|reserve=0x1f0,0x8", "it hides the provisioning DVD")


@rule(
    "B06",
    "the boot is not made silent",
    fault="the boot is made silent",
    why="quiet, rhgb and splash keep out of boot diagnostics what one looks for there; crashkernel=auto takes 128 MB "
    "and more.",
    fix="remove quiet, rhgb, splash and crashkernel=auto from the kernel command line",
    sources="GEN RH SUSE",
    severity=Severity.INFO,
    repair=_drop_arguments,
    reads=Reads.MENU,
)
def not_silent(facts: Facts) -> Iterator[Finding]:
    yield from _unwanted(facts, r"(quiet|rhgb|splash(=\S*)?)$", "the serial log stays empty")
    yield from _unwanted(facts, r"crashkernel=auto$", "it takes memory from small sizes")


@rule(
    "B07",
    "the root device has a name that is found on the disk, behind any controller",
    fault="the root device's name depends on the hardware, or is not on the disk",
    why="/dev/vda1 does not exist on Azure, /dev/sda1 may be another disk tomorrow, or /dev/nvme0n1p1 on newer sizes; "
    "by-id and by-path name the machine that the image was made on. A UUID or label that no file system has is no "
    "better.",
    fix="name the root file system by UUID, PARTUUID or LABEL",
    sources="UB RH DEB LISA",
    severity=Severity.FATAL,
    reads=Reads.MENU,
)
def root_by_name(facts: Facts) -> Iterator[Finding]:
    seen = set()
    for entry in the_boot_entries(facts):
        root = (entry.values("root") or [""])[-1]
        what = "" if root in seen else _wrong_root(facts, root, entry)
        seen.add(root)
        if what:
            fix = f"write root=UUID=… (blkid shows it) {where_to_set(facts)}"
            yield Finding(f"root={root}{what}", entry.where, fix)


def _wrong_root(facts: Facts, root: str, entry: BootEntry) -> str:
    """What is wrong with it, beginning with a colon, or with nothing to add; an empty text when it is right."""
    if DEVICE_NAME.match(root):
        return ": the name may be another disk's"
    if HARDWARE_NAME.match(root):
        return ": a name of the hardware that the image was made on"
    verity = any(arg.startswith(("roothash=", "usrhash=", "systemd.verity")) for arg in entry.args)
    if facts.disk and facts.disk.lacks(root) and not (verity and root.startswith("/dev/mapper/")):
        return ": no such file system on the disk"
    return _wrong_kind(facts, root, entry)


def _wrong_kind(facts: Facts, root: str, entry: BootEntry) -> str:
    """rootfstype= is all that is tried, where it stands; "ext3" mounts an ext2, and "ext4" both."""
    wanted = ",".join(entry.values("rootfstype")[-1:])
    kind = facts.disk.kind_of(root) if facts.disk else ""
    mounting = {kind, "auto", *(("ext3", "ext4") if kind in ("ext2", "ext3") else ())}
    if wanted and kind and not mounting & set(wanted.split(",")):
        return f": it is {kind}, and rootfstype={wanted} tries nothing else"
    return ""


@rule(
    "B08",
    "nothing on the command line is meant for another platform",
    fault="the command line is meant for another platform",
    why="Leftovers of the place an image was made in let the boot wait for devices that are not there, or look for "
    "its data elsewhere.",
    fix="remove the argument",
    sources="LISA OWN",
    severity=Severity.WARNING,
    repair=_drop_arguments,
    reads=Reads.MENU,
)
def nothing_foreign(facts: Facts) -> Iterator[Finding]:
    for pattern, why in _FOREIGN:
        yield from _unwanted(facts, pattern, why)
    if facts.disk is None:
        return
    for entry in facts.boot_entries[:1]:
        for name, device in named_devices(entry.args):
            if facts.disk.lacks(device):
                grave = Severity.FATAL if name.startswith("boot=") else None  # dracut's fips ends the boot without it
                yield Finding(f"{name}: no such device on the disk", entry.where, severity=grave)


@rule(
    "B09",
    "arm64: the performance monitor is left alone",
    fault="arm64: the performance monitor is not left alone",
    why="Azure's hosts do not offer a working one; initcall_blacklist=arm_pmu_acpi_init keeps the kernel from probing "
    "it.",
    fix="add initcall_blacklist=arm_pmu_acpi_init to the kernel command line",
    sources="LISA",
    severity=Severity.WARNING,
    repair=lambda facts, findings: cmdline_repairs.add(facts, ("initcall_blacklist=arm_pmu_acpi_init",)),
    reads=Reads.MENU,
)
def arm_monitor(facts: Facts) -> Iterator[Finding]:
    if facts.architecture != "aarch64":
        raise Skip("arm64 only")
    if entry := _first_lacking(facts, r"initcall_blacklist=\S*arm_pmu_acpi_init"):
        yield Finding("no initcall_blacklist=arm_pmu_acpi_init", entry.where, f"add it {where_to_set(facts)}")


@rule(
    "B10",
    "GRUB's settings reach the boot entries",
    fault="GRUB's settings do not reach the boot entries",
    why="Where boot loader entries are used, a kernelopts variable left in grubenv, or entries written before a "
    "change, make GRUB ignore what /etc/default/grub says.",
    fix="grub2-editenv - unset kernelopts, then grubby --update-kernel=ALL --args=…",
    sources="RH",
    severity=Severity.WARNING,
    reads=Reads.MENU,
)
def settings_reach_entries(facts: Facts) -> Iterator[Finding]:
    entries = [entry for entry in the_boot_entries(facts) if entry.where.endswith(".conf")]
    if not entries or not facts.files.exists("etc/default/grub"):
        raise Skip("no boot loader entries written from GRUB's settings")
    wanted = [
        word for word in grub_defaults(facts.files).get("GRUB_CMDLINE_LINUX", "").split() if word.startswith("console=")
    ]
    for entry in entries:
        missing = [word for word in wanted if word not in entry.args]
        if missing:
            yield Finding(f"{' '.join(missing)} of /etc/default/grub is not in the entry", entry.where)


@rule(
    "B11",
    "GRUB shows its menu on the serial port",
    fault="GRUB does not show its menu on the serial port",
    why="With it one can choose another kernel over the serial console, the only console there is.",
    fix='in /etc/default/grub: GRUB_TERMINAL="serial console", GRUB_SERIAL_COMMAND="serial --speed=115200", '
    "GRUB_TIMEOUT=5",
    sources="RH SUSE",
    severity=Severity.INFO,
    reads=Reads.MENU,
)
def grub_on_serial(facts: Facts) -> Iterator[Finding]:
    if not facts.files.exists("etc/default/grub"):
        raise Skip("no /etc/default/grub")
    values = grub_defaults(facts.files)
    terminal = values.get("GRUB_TERMINAL", "") + values.get("GRUB_TERMINAL_OUTPUT", "")
    if "serial" not in terminal:
        yield Finding("GRUB_TERMINAL does not name serial", "etc/default/grub")
    elif values.get("GRUB_TIMEOUT") == "0":
        yield Finding("GRUB_TIMEOUT=0: the menu cannot be reached", "etc/default/grub")


def _serial_login(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    for finding in findings:
        if finding.path == "etc/inittab":
            text = (facts.text("etc/inittab") or "").rstrip("\n")
            line = f"{_serial(facts)}::respawn:/sbin/getty -L 115200 {_serial(facts)} vt100"
            yield Write("etc/inittab", f"{text}\n{line}\n".encode(errors="surrogateescape"))


@rule(
    "B12",
    "one can log in on the serial console",
    fault="nobody can log in on the serial console",
    why="It is the way in when the network is not.",
    fix="unmask serial-getty@ttyS0.service; Alpine: a ttyS0 line in /etc/inittab",
    sources="LISA",
    severity=Severity.INFO,
    repair=_serial_login,
    reads=Reads.MENU,
)
def serial_login(facts: Facts) -> Iterator[Finding]:
    port = _serial(facts)
    inittab = facts.text("etc/inittab")
    if inittab is not None and not facts.systemd:
        if not re.search(rf"(?m)^[^#\n]*\b{port}\b", inittab):
            yield Finding(f"no line for {port}", "etc/inittab")
        return
    needs_systemd(facts)
    for entry in facts.boot_entries[:1]:
        off = [arg for arg in entry.args if re.match(r"systemd\.getty_auto=(0|no|false|off)$", arg)]
        if off and not facts.units.enabled(f"serial-getty@{port}.service"):
            yield Finding(f"{off[0]}: systemd starts no login there", entry.where, f"remove {off[0]}", by_hand=True)
    for unit in (f"serial-getty@{port}.service", "serial-getty@.service"):
        if unit in facts.units.masked:
            where, fix = f"etc/systemd/system/{unit}", f"systemctl unmask {unit}"
            yield Finding(f"{unit} is masked", where, fix, by_hand=True)


@rule(
    "B17",
    "ACPI is on",
    fault="ACPI is off",
    why="Azure asks a VM to stop by an ACPI event, and describes all hardware by ACPI.",
    fix="remove acpi=off and noacpi from the kernel command line",
    sources="OWN",
    severity=Severity.ERROR,
    repair=_drop_arguments,
    reads=Reads.MENU,
)
def acpi_on(facts: Facts) -> Iterator[Finding]:
    yield from _unwanted(facts, r"(acpi=off|noacpi|pci=noacpi|noapic)$", "Azure's hardware is described by ACPI")
