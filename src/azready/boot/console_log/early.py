"""Causes from the firmware to the root file system. The words are those of EDK II, shim, GRUB, Linux, initramfs-tools,
dracut, cryptsetup, LVM, ext4 and XFS; the failures are those of Microsoft's pages on Linux VMs that do not boot.
"""

from azready.boot.console_log.findings import Ask, Words, taken
from azready.boot.console_log.reading import Boot
from azready.boot.record import Cause

_GRUB_FIX = "install the boot loader again inside the image (grub-install, grub2-install), and its configuration"

_LOADER: tuple[Ask, ...] = (
    Words(
        "secure-boot",
        "Secure Boot is on, and the boot chain is not signed by a key that it trusts",
        r"bad shim signature|prohibited by secure boot policy|Security Violation|Secure Boot violation|"
        r"shim_lock protocol not found|has invalid signature|verification failed: \(0x1A\)|"
        r"failed to load Boot\w+ .*(?:Security Violation|Access Denied)|SBAT self-check failed|"
        r"Loading of unsigned .* is (?:rejected|restricted)",
        "use the distribution's signed shim, GRUB and kernel; or deploy with Secure Boot off (security type Standard), "
        "or put your key into the gallery image version (UEFI settings)",
    ),
    Words(
        "wrong-architecture",
        "the image is for another processor architecture than the VM",
        r"Image type \w+ can't be loaded on|can't be loaded on \S+ UEFI system|Exec format error.*BOOT(?:X64|AA64)",
        "set the architecture of the gallery definition, and choose a VM size that has it",
    ),
    Words(
        "no-boot-loader",
        "the firmware found nothing that it can start",
        r"No bootable (?:device|option)|Boot [Ff]ailed[:.].*(?:not a bootable|SCSI|EFI)|"
        r"Operating system not found|Missing operating system|>>Start PXE over IPv4|UEFI Interactive Shell|"
        r"BdsDxe: failed to load Boot|No boot device|Non-system disk|"
        r"boot loader did not load an operating system|No operating system was loaded",
        "generation 2 needs \\EFI\\BOOT\\BOOTX64.EFI (BOOTAA64.EFI) on an EFI partition, generation 1 boot code in the "
        "MBR; an image of one generation does not start as the other (`azready check`: B13, B14, B15)",
        unless=r"^Linux version \d",
    ),
    Words(
        "grub-no-kernel",
        "GRUB's entry names a kernel or initramfs that is not there",
        r"error: (?:\S+: )?file [`'].*(?:vmlinu|initr|kernel|Image).*not found|you need to load the kernel first",
        "make the menu again in the image: update-grub, or grub2-mkconfig -o with the path that is used",
        unless=r"^Linux version \d",
    ),
    Words(
        "grub-rescue",
        "GRUB does not find its own files or the partition that it was installed for",
        r"grub rescue>|Entering rescue mode|error: (?:\S+: )?(?:no such (?:device|partition)|unknown filesystem|"
        r"(?:disk|symbol) [`'].*not found|file [`'].*not found|invalid (?:arch|magic|environment)|"
        r"attempt to read or write outside)",
        _GRUB_FIX + "; the UUID that it looks for must be of this disk, and the file system one that it can read",
        unless=r"^Linux version \d",
    ),
    Words(
        "grub-password",
        "GRUB asks for a user and a password before it starts the entry",
        r"^Enter (?:username|password): ?",
        "mark the menu's entries --unrestricted (CLASS in /etc/grub.d/10_linux), so that the password guards only "
        "changes, and write the menu anew; or take superusers out (`azready check`: B21)",
        unless=r"^Linux version \d",
    ),
    Words(
        "boot-entry",
        "the boot loader's entry names a file that is not there, or that it cannot start",
        r"Error (?:loading|opening|preparing|reading) (?:\\|EFI binary)|Failed to execute .*\(\\|"
        r"Could not find kernel image|Failed to load (?:ldlinux|COM32)|Failed to open file .*\.efi",
        "write the entry anew in the image (kernel-install, bootctl, update-extlinux), and look for its kernel and "
        "initramfs on the EFI partition (`azready check`: B18)",
        unless=r"^Linux version \d",
    ),
    Words(
        "grub-prompt",
        "GRUB waits at its prompt: it has no menu",
        r"^grub> ?|Minimal BASH-like line editing is supported",
        _GRUB_FIX + ": grub.cfg is missing, empty or not where GRUB looks for it",
        unless=r"^Linux version \d",
    ),
)


def _names_device(boot: Boot) -> str:
    """The root that was waited for, as its last words have it."""
    for pattern in (
        r"ALERT!\s+(\S+) does not exist",
        r"can't find ((?:UUID|LABEL|PARTUUID|PARTLABEL)=\S+?|/dev/\S+?)\.?$",
        r"device '([^']+)' not found",
        r"Warning: (/dev/\S+) does not exist",
        r'Cannot open root device "([^"]+)"',
        r"mount_root_generic.*?([\w/=-]+)$",
        r"[Tt]imed out waiting for device (\S+?)\.?$",
        r"(?:^|\s)root=(\S+)",
    ):
        if found := taken(boot, pattern):
            return found
    return ""


_NO_ROOT = (
    r"ALERT!.*does not exist|Gave up waiting for root|Cannot open root device|"
    r"dracut-initqueue.*(?:timeout|timed out)|dracut-initqueue.*Warning: |Warning: /dev/\S+ does not exist|"
    r"Dependency failed for .*(?:[Ii]nitrd [Rr]oot [Dd]evice|/sysroot|[Ii]nitrd [Rr]oot [Ff]ile [Ss]ystem|"
    r"initrd-root-(?:device|fs))|VFS: Unable to mount root fs|"
    r"No root device found|can't find (?:root|(?:PART)?(?:UUID|LABEL)=|/dev/)|device '\S+' not found|"
    r"Could not find the root block device|^mountroot>|Mounting from \S+ failed with error|"
    r"Failed to find .*root|mounting \S+ on (?:/root|/sysroot|sysroot) failed"
)
_DISK = r"\bsd [\d:]+: \[sd[a-z]\].*(?:blocks|Attached)|^\s*sd[a-z]: sd[a-z]\d|nvme\d+n\d+: p\d|\bvd[a-z]: vd[a-z]\d"


def _no_root(boot: Boot) -> Cause | None:
    seen = boot.find(_NO_ROOT)
    if not seen or boot.has(r"Startup finished in|Reached target (?:multi-user|.*Multi-User)"):
        return None
    wanted, disk = _names_device(boot), boot.find(_DISK, limit=2)
    on_nvme = boot.has(r"nvme\d+n\d+: p\d|nvme nvme\d+: pci function")
    if on_nvme and wanted.removeprefix("/dev/").startswith(("sd", "hd", "vd", "xvd")):
        return Cause(
            "root-device-name",
            f"the disks of this VM are NVMe, and the kernel command line asks for {wanted}",
            (*boot.find(r"nvme\d+n\d+: p\d", limit=1), *seen),
            "name the root by UUID= or PARTUUID= in the boot loader's configuration, and in fstab: names like sda1 "
            "depend on the VM size (`azready check`: B07, D09)",
        )
    if not disk and boot.has(r"[Cc]ommand line:|hv_vmbus|Hypervisor detected|^Linux version \d"):
        return _no_disk_driver(boot, wanted, seen)
    if "/mapper/" in wanted or boot.has(r"rd\.lvm\.lv=|Volume group .* not found|lvm2?-"):
        lvm = boot.find(r"Volume group|lvm|not in (?:the )?devices file|Cannot process volume group", limit=2)
        return Cause(
            "root-lvm",
            f"the disk is there, and the logical volume {wanted or 'of the root'} is not found on it",
            (*disk[:1], *lvm, *seen)[:4],
            "root= and rd.lvm.lv= must name volumes of this image (also swap), and LVM's devices file and filter must "
            "not name the builder's disk: rebuild the initramfs after fixing them (`azready check`: D08, B07)",
        )
    return Cause(
        "no-root-device",
        f"the disk is there, and no file system on it is {wanted or 'the root that was asked for'}",
        (*disk[-1:], *seen),
        "correct root= in the boot loader's configuration (and fstab) to what blkid shows of this image's root, and "
        "make the menu again; drivers are not the matter",
    )


def _no_disk_driver(boot: Boot, wanted: str, seen: tuple[str, ...]) -> Cause:
    if boot.has(r"registering driver hv_storvsc|storvsc_host_t") and not boot.has(r"hv_storvsc.*(?:fail|error)"):
        what = "the storage driver is there, and no disk appeared"
    else:
        what = "the initramfs has no driver for Azure's disk: no disk was found"
    return Cause(
        "no-disk-driver",
        what,
        seen,
        "put hv_vmbus, hv_storvsc, hv_netvsc and hv_pci, nvme into the initramfs and rebuild it for any machine "
        "(dracut: hostonly=no, add_drivers; initramfs-tools: MODULES=most) (`azready check`: K01, K02, K09, K17)",
    )


def _no_initramfs(boot: Boot) -> Cause | None:
    seen = boot.find(r"VFS: (?:Unable to mount root fs on|Cannot open root device).*unknown-block\(0,0\)|"
                     r"Unable to mount root fs on (?:\"\"|unknown-block\(0,0\))")  # fmt: skip
    if not seen or boot.has(r"Unpacking initramfs|Trying to unpack rootfs image as initramfs|Run /init as init"):
        return None
    return Cause(
        "no-initramfs",
        "the kernel was started without an initramfs that it can use, and knows no root by itself",
        seen,
        "make the initramfs for this kernel (update-initramfs -c -k all, dracut -f --regenerate-all), see that /boot "
        "is "
        "not full, and make the menu again",
    )


_ROOT: tuple[Ask, ...] = (
    Words(
        "encrypted-root",
        "the boot waits for the passphrase of an encrypted disk",
        r"[Pp]lease (?:enter|unlock) (?:the )?(?:passphrase|disk)|Enter passphrase for|Please unlock disk|"
        r"cryptsetup: .*(?:set up failed|unlock)",
        "nobody can type it in Azure: use encryption of the platform, or a key that the image finds by itself",
        unless=r"Startup finished in|^[\w.-]+ login:(?: |$)",
    ),
    Words(
        "file-system-damaged",
        "the root file system is damaged, and the boot stops to have it repaired",
        r"UNEXPECTED INCONSISTENCY|RUN fsck MANUALLY|requires a manual fsck|XFS \([^)]+\): (?:Metadata corruption|"
        r"Corruption|log mount/recovery failed|bad magic)|Structure needs cleaning|"
        r"EXT4-fs error .*(?:bad|corrupt|checksum)|BTRFS(?: error|: )?.*open_ctree failed|systemd-fsck.*failed|"
        r"EXT4-fs \([^)]+\): (?:bad geometry|couldn't mount)|bad superblock on",
        "repair it from another VM (fsck -y, xfs_repair), and take the image again from a machine that was shut down "
        "properly (`azready check`: D10)",
        unless=r"Startup finished in|^[\w.-]+ login:(?: |$)",
    ),
    Words(
        "no-init",
        "the root is mounted, and no init program can be started on it",
        r"No working init found|Requested init \S+ failed|switch_root: (?:failed to execute|can't execute)|"
        r"Target filesystem doesn't have requested|/sbin/init: (?:No such|not found)|"
        r"Failed to execute /(?:sbin/)?init|can't open '/sbin/init'|"
        r"error while loading shared libraries|Failed to switch root",
        "the root file system must hold /sbin/init, its interpreter and libraries: was the right partition taken, and "
        "is the tree whole?",
        unless=r"Startup finished in|systemd\[1\]: Detected virt.*\n.*login:",
    ),
    Words(
        "selinux",
        "SELinux' policy cannot be loaded: systemd stops",
        r"Failed to load SELinux policy|Failed to (?:transition into init label|initialize SELinux)|"
        r"Unable to load SELinux Policy",
        "install the policy that /etc/selinux/config names, and relabel (touch /.autorelabel); or set "
        "SELINUX=permissive",
    ),
    Words(
        "fips",
        "the FIPS self test stops the boot",
        r"FIPS integrity test failed|fips.*(?:Refusing|FATAL)|dracut: FATAL: FIPS|alg: self-tests? .*failed.*fips",
        "put boot=UUID=… of /boot on the command line, keep the .hmac file of the kernel beside it, and rebuild the "
        "initramfs (dracut -f); or take fips=1 away",
    ),
    Words(
        "rescue-asked-for",
        "the kernel's command line asks for a shell instead of the system",
        r"[Cc]ommand line:.*\s(?:(?:rd)?init=\S*/(?:ba|da|a|z)?sh|rd\.break|break=?\S*|single|emergency|[sS1]|rescue|"
        r"(?:rd\.)?systemd\.unit=(?:rescue|emergency)\.target)(?:\s|$)",
        "take it from the entry that starts by itself, and write the menu anew (`azready check`: B21)",
        unless=r"Startup finished in|^[\w.-]+ login:(?: |$)",
    ),
    Words(
        "verity",
        "dm-verity refuses the file system: it is not the one that was hashed",
        r"device-mapper: verity: .*(?:corrupt|mismatch|failed)|"
        r"Failed to (?:activate with|set up) .*(?:root hash|verity)|[Vv]erity device detected corruption",
        "build the image anew: whatever is changed after it was hashed stops the boot (`azready check`: D13)",
        unless=r"Startup finished in|^[\w.-]+ login:(?: |$)",
    ),
    Words(
        "no-root-driver",
        "the initramfs has no driver for the root's file system",
        r"mount: /(?:sysroot|root|new_root): unknown filesystem type|mount: unknown filesystem type .*(?:sysroot|root)|"
        r"mount: mounting \S+ on /(?:sys)?root failed: No such device|filesystem type '\w+' not supported",
        "put the file system's module into the initramfs and rebuild it (dracut: filesystems+=, initramfs-tools: "
        "/etc/initramfs-tools/modules), or correct rootfstype= (`azready check`: B07)",
        unless=r"Startup finished in|^[\w.-]+ login:(?: |$)",
    ),
    _no_initramfs,
    _no_root,
    Words(
        "ignition-failed",
        "Ignition could not apply its configuration: the boot stops in the initramfs",
        r"Ignition (?:has )?failed|ignition-\w+\.service: (?:Failed|Main process exited)|"
        r"ignition\[\d+\]:.*(?:CRITICAL|failed to fetch config|failed to run stage)",
        "check the configuration with ignition-validate; it is given as custom data, and read from the provisioning "
        "medium or IMDS: the image needs udf, and a route to 169.254.169.254",
    ),
    Words(
        "init-died",
        "init ended right after it was started: the kernel panics",
        r"Kernel panic - not syncing: Attempted to kill init",
        "the lines before the panic say why: usually a missing or wrong library (glibc), or a damaged root file "
        "system; "
        "the exit code 0x00007f00 is 'not found', 0x00000100 a failure of its own",
    ),
    Words(
        "out-of-memory",
        "there is not enough memory to boot",
        r"System is deadlocked on memory|Kernel panic - not syncing: Out of memory|"
        r"(?:unpack|Initramfs unpacking) failed: (?:write error|Cannot allocate|out of memory)|"
        r"Out of memory and no killable processes|not enough memory",
        "choose a larger VM size, a smaller initramfs, or less memory for crashkernel= and huge pages",
    ),
    Words(
        "kernel-panic",
        "the kernel panicked",
        r"Kernel panic - not syncing|BUG: unable to handle|kernel BUG at|Oops: \d+|"
        r"general protection fault.*\[#\d+\]",
        "boot the kernel before it, or fix what the line names",
        unless=r"Startup finished in|^[\w.-]+ login:(?: |$)",
    ),
)

RULES: tuple[Ask, ...] = (*_LOADER, *_ROOT)
