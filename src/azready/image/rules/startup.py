"""Whether the whole system starts, and may write."""

import re
from collections.abc import Iterator, Sequence

from azready.image.actions import Action, Link
from azready.image.facts import Facts, openrc
from azready.image.facts.reading import lstat_of
from azready.image.rules.boot import where_to_set
from azready.image.rules.guards import the_boot_entries
from azready.image.rules.model import Finding, Reads, Severity, Skip, rule
from azready.image.rules.repairs import comment_lines, remove

_RUNLEVELS = "etc/runlevels"


@rule(
    "B19",
    "the root file system becomes writable",
    fault="the root file system stays read-only",
    why="Alpine's initramfs mounts it read-only, whatever `rw` says; OpenRC's service `root` makes it writable, and "
    "`localmount` asks for that. Nothing can be provisioned otherwise: the host's name cannot even be written.",
    fix="rc-update add root boot; or add rootflags=rw to the kernel command line",
    sources="OWN",
    severity=Severity.FATAL,
    repair=lambda facts, findings: (Link(f"{_RUNLEVELS}/boot/root", "/etc/init.d/root"),),
)
def root_writable(facts: Facts) -> Iterator[Finding]:
    if facts.init != "openrc" or facts.distro.id != "alpine":
        raise Skip("systemd and other initramfs mount it as fstab or the command line says")
    flags = [flag for value in the_boot_entries(facts)[0].values("rootflags") for flag in value.split(",")]
    if "rw" not in flags and "root" not in openrc.started(facts.files, facts.units.openrc):
        yield Finding("no runlevel has a service that needs `root`, and there is no rootflags=rw", _RUNLEVELS)


def _claim_no_container(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    yield from comment_lines(facts, findings)
    yield from remove(facts, [finding for finding in findings if finding.where == _DOCKER])


_DOCKER = ".dockerenv"


@rule(
    "B20",
    "nothing says that the system runs in a container",
    fault="the system takes the VM for a container",
    why="A disk that was made of a container's export has its marks. By /.dockerenv or rc_sys, OpenRC leaves out what "
    "a container does not need: the root file system stays read-only, nothing is mounted, no clock is set. systemd "
    "reads no kernel command line then, and starts no login on the serial port.",
    fix="remove /.dockerenv; take rc_sys out of /etc/rc.conf: OpenRC sees by itself where it runs",
    sources="OWN",
    severity=Severity.FATAL,
    repair=_claim_no_container,
)
def no_container(facts: Facts) -> Iterator[Finding]:
    if facts.init not in ("openrc", "systemd"):
        raise Skip("neither systemd nor OpenRC starts it")
    if lstat_of(facts.files, _DOCKER):
        grave = Severity.FATAL if facts.init == "openrc" else Severity.ERROR
        yield Finding("Docker's mark of a container", _DOCKER, f"remove /{_DOCKER}", grave)
    system = openrc.claimed_system(facts.files) if facts.init == "openrc" else None
    if system and not system.name.startswith("xen"):
        yield Finding(f"rc_sys={system.name}", system.where, "take rc_sys out: OpenRC sees by itself where it runs")


_PARTIAL = re.compile(r"(rescue|emergency|runlevel[1s]|sysinit|basic|halt|poweroff|reboot|kexec|exit)\.target$")


def _default_target(facts: Facts) -> Iterator[Finding]:
    """What `systemctl set-default` said last."""
    path = "etc/systemd/system/default.target"
    found = lstat_of(facts.files, path)
    if facts.systemd and found and found.kind == "link":
        name = facts.files.readlink(path).rpartition("/")[2]
        if _PARTIAL.match(name):
            fix = "systemctl set-default multi-user.target"
            yield Finding(f"the default target is {name}: it starts no service", path, fix)


_NEEDED = "sshd?|systemd-networkd|NetworkManager|networking|wicked|walinuxagent|waagent|cloud-.*|azure-provisioning"
_NOT_WHOLE = (
    (r"(single|[sS1]|-[sb]|rescue|emergency|recovery)$", "it stops in a rescue shell"),
    (
        r"systemd\.run=",
        "it runs a command instead of the system",
    ),
    (
        rf"systemd\.mask=({_NEEDED})(\.service)?$",
        "it keeps a service from starting without which no VM is provisioned",
    ),
    (
        r"(rd\.)?systemd\.unit=(rescue|emergency|initrd|sysinit|basic|halt|poweroff|reboot)\.target$",
        "it starts no service",
    ),
    (r"(rd\.break|break)(=|$)", "it stops in the initramfs"),
    (r"(rd)?init=\S*/(ba|da|a|z|k)?sh$", "a shell starts instead of the system"),
    (r"systemd\.debug[-_]shell(=(?!(0|no|off|false|n|f)$)|$)", "it opens a shell of root that asks for no password"),
)
"""Arguments of those who reset a password, or look for a fault: bootparam(7), dracut.cmdline(7), initramfs-tools(7),
systemd(1), systemd-debug-generator(8)."""


@rule(
    "B21",
    "the whole system starts",
    fault="the boot stops at a menu, or in a shell",
    why="What was added to the command line to get in once stays there, and stops every VM before it can provision; so "
    "does a menu of the boot loader that waits for a choice or a password: nobody answers on a console.",
    fix="remove the argument from the entry that starts by itself; give the menu an end",
    sources="OWN",
    severity=Severity.FATAL,
    reads=Reads.MENU,
)
def whole_system(facts: Facts) -> Iterator[Finding]:
    yield from _default_target(facts)
    entry = facts.chosen_entry
    if entry is None:
        raise Skip("no boot loader configuration in it")
    if entry.stops:
        fix = "let the menu end by itself (GRUB_TIMEOUT=5), or mark the entries --unrestricted, and write it anew"
        yield Finding(entry.stops, entry.where, fix, Severity.WARNING if entry.stops_by_default else None)
    for arg in entry.args:
        for pattern, why in _NOT_WHOLE:
            if re.match(pattern, arg):
                grave = Severity.ERROR if "debug" in arg else None
                yield Finding(f"{arg}: {why}", entry.where, f"remove {arg} {where_to_set(facts)}", grave)
