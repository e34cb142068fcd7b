"""Causes between the first service and the network: mounts, waiting units, and what asks a person at the console."""

import re

from azready import agents
from azready.boot.console_log.findings import Ask, Words, taken
from azready.boot.console_log.reading import Boot
from azready.boot.record import Cause

UP = (
    r"^[\w.-]+ login:(?: |$)|Startup finished in|"
    r"Reached target (?:.*Multi-User System|multi-user\.target|graphical\.target)"
)
"""The system came up to its login."""

_EMERGENCY = (
    r"You are in (?:emergency|rescue) mode|Reached target (?:.*Emergency Mode|emergency\.target)|"
    r"Give root password for maintenance|Welcome to emergency mode|Entering emergency mode"
)


def _emergency(boot: Boot) -> Cause | None:
    end = boot.last(_EMERGENCY)
    if end < 0 or boot.last(UP) > end:
        return None
    waited = boot.find(r"[Tt]imed out waiting for device")
    mount = taken(boot, r"Dependency failed for (/\S*?)\.?$") or taken(
        boot, r"(?:Failed to mount|FAILED.*mount) (/\S*?)\.?$"
    )
    failed = boot.find(
        r"Dependency failed for /|Failed to mount |mount: .*(?:wrong fs type|unknown filesystem|does not exist)"
    )
    if waited:
        says = f"fstab mounts {mount or 'a device'}, and its device is not in this VM: the boot ends in emergency mode"
        fix = (
            "remove that line from the image's fstab, or add nofail: a new VM has the OS disk and no data disk; name "
            "devices by UUID (`azready check`: D09)"
        )
        return Cause("fstab", says, (*waited[:2], *failed[:1], *boot.find(_EMERGENCY, limit=1)), fix)
    if failed and boot.has(r"unknown filesystem type .?vfat|Failed to mount /boot/efi"):
        return Cause(
            "fstab",
            "/boot/efi could not be mounted: the kernel's vfat module is kept out, or the EFI partition is damaged",
            (*failed, *boot.find(r"vfat", limit=1)),
            "let vfat load again (hardening must leave it on generation 2): take it out of /etc/modprobe.d, and "
            "rebuild the initramfs; or add nofail to the line of /boot/efi (`azready check`: K08, D09)",
        )
    if failed:
        return Cause(
            "fstab",
            f"{mount or 'a file system of fstab'} could not be mounted: the boot ends in emergency mode",
            (*failed, *boot.find(_EMERGENCY, limit=1)),
            "correct the line in fstab (device, type, options), or add nofail to it (`azready check`: D09)",
        )
    return Cause(
        "emergency-mode",
        "the boot ended in emergency mode",
        (*boot.find(r"\[ ?FAILED|Failed to start|DEPEND"), *boot.find(_EMERGENCY, limit=1)),
        "the first unit that failed says why: journalctl -xb at the serial console; devices in fstab need nofail",
    )


_WAIT_ONLINE = r"wait-online|Wait for Network to be Configured|Network Manager Wait Online"


def wait_online(boot: Boot) -> Cause | None:
    """What waits for the network to be online waits for ever: nothing that is ordered after it has started."""
    begun = boot.find(rf"Starting .*(?:{_WAIT_ONLINE})", limit=1)
    ended = boot.has(
        rf"(?:Finished|Started) .*(?:{_WAIT_ONLINE})|Reached target .*(?:Network is Online|network-online)"
    )
    if not begun or ended:
        return None
    return Cause(
        "slow-boot",
        "the boot waits for the network to be online, and with it what is ordered after it",
        (*begun, *boot.find(rf"(?:FAILED|[Tt]imeout|timed out).*(?:{_WAIT_ONLINE}|network)", limit=2)),
        "it waits for a card that Azure does not give, or that gets no address: name none (`azready check`: N04, N08), "
        "or let the provisioner not wait for network-online.target",
    )


_WAITING = re.compile(r"A (?:start|stop) job is running for (.+?) \((?:\d+min )?[\dms. ]+/ ([^)]+)\)")


def _waits(boot: Boot) -> Cause | None:
    """The log ends while systemd waits for something."""
    if boot.has(UP):
        return None
    for line in reversed(boot.lines[-12:]):
        if match := _WAITING.search(line):
            unit, limit = match[1], match[2]
            return Cause(
                "slow-boot",
                f"the boot still waits for {unit}" + (", without a limit" if "no limit" in limit else ""),
                (line,),
                "let nothing before provisioning depend on it, or give it a time limit (TimeoutStartSec=)",
            )
    return None


RULES: tuple[Ask, ...] = (
    _emergency,
    Words(
        "asks-a-person",
        "a first-boot wizard waits for somebody at the console",
        r"Press any key to (?:proceed|continue)$|Please (?:enter|select|configure) .*(?:locale|timezone|time zone|"
        r"keymap|root password|system)|Please press any key|Please make a selection from the above|"
        r"^Starting Initial Setup|Initial setup of|YaST2? ?[Ff]irst ?[Bb]oot|-- Press any key|"
        r"Initial [Ss]etup is (?:required|incomplete)|1\) \[[ !x]\] (?:License|Language|Time)",
        "mask it in the image: systemd-firstboot, initial-setup, jeos-firstboot, YaST2-Firstboot (`azready check`: "
        "P03)",
        unless=r"^[\w.-]+ login:(?: |$)|Failed to boot both|Startup finished in",
    ),
    Words(
        "ordering-cycle",
        "units wait for each other, and systemd left out one that provisioning needs",
        rf"(?:{agents.ANY}|cloud-\w+|network|dbus|systemd-networkd|NetworkManager)\S*/start deleted to break "
        r"ordering cycle",
        "take After=, Before= or WantedBy= of the unit named in the cycle away; systemd-analyze verify shows it",
    ),
    _waits,
    Words(
        "hung",
        "the kernel hangs: a task or processor makes no progress, and the boot does not go on",
        r"blocked for more than \d+ seconds|soft lockup - CPU#\d+ stuck|"
        r"rcu_\w+ (?:self-)?detected (?:stalls?|expedited)",
        "boot the kernel before it or a newer one; on a busy or small VM size, try another size",
        unless=UP,
    ),
    Words(
        "frozen",
        "systemd stopped: it freezes after an error of its own",
        r"systemd\[1\]: Freezing execution|systemd\[1\]: (?:Failed to mount|Caught <\w+>).*|"
        r"Failed to allocate manager object",
        "the line before says why: usually a kernel without cgroups, a missing file system, or a damaged systemd",
    ),
    Words(
        "no-host-keys",
        "sshd has no host keys, and does not start",
        r"no hostkeys available",
        "let a unit make them before ssh starts: azready prepare installs one; or ssh-keygen -A at every boot "
        "(`azready check`: S03)",
    ),
    Words(
        "disk-full",
        "the OS disk is full",
        r"No space left on device",
        "make the disk or the file system larger, or the image smaller (`azready check`: D11, D12)",
    ),
    Words(
        "read-only-root",
        "the root file system is read-only, and the provisioner cannot write to it",
        rf"(?:{agents.ANY}|Daemon).*(?:Read-only file system|EROFS)",
        "mount the root rw (ro on the command line is for the first fsck only), or see why it went read-only "
        "(EXT4-fs error, remounting)",
    ),
)
