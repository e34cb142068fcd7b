"""Whether SELinux is on, and how. Sources: selinux(8), the kernel's parameters `selinux=` and `enforcing=`."""

from collections.abc import Sequence
from typing import Literal

from azready.image.facts.cmdline import BootEntry
from azready.image.facts.reading import shell_values
from azready.image.targets import Files

Mode = Literal["enforcing", "permissive", "disabled"]


def selinux_mode(config: str, entries: Sequence[BootEntry]) -> Mode:
    """From /etc/selinux/config (empty: there is none) and the default boot entry, which goes first."""
    said = shell_values(config).get("SELINUX", "disabled").lower()
    if said not in ("enforcing", "permissive"):
        return "disabled"
    arguments = {name: entries[0].values(name)[-1:] for name in ("selinux", "enforcing")} if entries else {}
    if arguments.get("selinux") == ["0"]:
        return "disabled"
    match arguments.get("enforcing"):
        case ["1"]:
            return "enforcing"
        case ["0"]:
            return "permissive"
        case _:
            return "enforcing" if said == "enforcing" else "permissive"


def missing_policy(files: Files, config: str) -> str:
    """The type of policy that the configuration names and the image has not; empty where it is there."""
    wanted = shell_values(config).get("SELINUXTYPE", "targeted")
    return "" if files.glob(f"etc/selinux/{wanted}/policy/policy.*") else wanted


SETFILES = (
    "label it from outside, as root: setfiles -F -r ROOT ROOT/etc/selinux/TYPE/contexts/files/file_contexts ROOT "
    "(Debian: policycoreutils); or install what heeds /.autorelabel (policycoreutils, selinux-basics)"
)
_RELABELERS = (
    "{usr/,}lib/systemd/{system-generators/selinux-autorelabel*,system/*autorelabel*}",
    "usr/libexec/selinux/*autorelabel*",
    "etc/init.d/selinux-*",
    "etc/rc.d/rc.sysinit",
)
"""Of Fedora and its relatives, of SUSE, of Debian's selinux-basics, of RHEL 6."""


def relabels(files: Files) -> bool:
    """Whether anything in the image heeds /.autorelabel at boot."""
    return any(files.glob(pattern) for pattern in _RELABELERS)
