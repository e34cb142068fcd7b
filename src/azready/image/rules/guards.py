"""What several rules need of the facts, or a Skip that says why they have nothing to say."""

import re
from collections.abc import Iterator

from azready.errors import Failure
from azready.image.disk.formats.initramfs import Initramfs
from azready.image.facts import Facts
from azready.image.facts.cmdline import BootEntry
from azready.image.facts.disk import Disk
from azready.image.facts.kernels import Kernel
from azready.image.facts.sshd import Sshd
from azready.image.rules.model import Finding, Skip


def the_kernels(facts: Facts) -> tuple[Kernel, ...]:
    """The kernels, the default one among them."""
    if not facts.kernels:
        raise Skip("no kernel with modules in it")
    return facts.kernels


def the_default_kernel(facts: Facts) -> Kernel:
    """The kernel that boots."""
    return next(kernel for kernel in the_kernels(facts) if kernel.default)


def the_boot_entries(facts: Facts) -> tuple[BootEntry, ...]:
    """The boot entries."""
    if not facts.boot_entries:
        raise Skip("no boot loader configuration in it")
    return facts.boot_entries


def the_disk(facts: Facts) -> Disk:
    """The disk file."""
    if facts.disk is None:
        raise Skip("not a disk file")
    return facts.disk


def the_sshd(facts: Facts) -> Sshd:
    """OpenSSH's settings."""
    if facts.sshd is None:
        raise Skip("OpenSSH's server is not installed")
    return facts.sshd


def needs_systemd(facts: Facts) -> None:
    """Skip where another init starts the image."""
    if not facts.systemd:
        raise Skip("it has no systemd")


def to_enable(facts: Facts, unit: str) -> str:
    """The command that lets a unit start at boot; a masked one is unmasked first, or systemctl refuses."""
    if not facts.systemd:
        return f"rc-update add {unit}"
    name = unit if unit.endswith(".service") else f"{unit}.service"
    unmask = f"systemctl unmask {unit} && " if name in facts.units.masked else ""
    return f"{unmask}systemctl enable {unit}"


def needs_first_boot(facts: Facts) -> None:
    """Skip where the next boot is no "first boot" to systemd, and will not be after sealing either.

    An empty machine id gets a new one without it; `uninitialized`, or none, means first boot (machine-id(5)); an id is
    reset to `uninitialized` by sealing.
    """
    needs_systemd(facts)
    if facts.text("etc/machine-id") == "":
        raise Skip("with an empty machine id the next boot is no first boot to systemd")


def needs_udev(facts: Facts) -> None:
    """Skip where nothing would read a udev rule (a container's tree)."""
    if not facts.files.glob("{usr/lib,lib}/udev/rules.d/50-udev-default.rules"):
        raise Skip("udev is not installed")


def lines_with(facts: Facts, path: str, pattern: str) -> list[tuple[int, str]]:
    """The lines of a file in which the regular expression `pattern` is found, with their numbers; not comments."""
    expression = re.compile(pattern)
    text = facts.text(path) or ""
    return [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if not line.lstrip().startswith(("#", ";")) and expression.search(line)
    ]


def in_initramfs(facts: Facts, pattern: str, what: str) -> Iterator[Finding]:
    """A finding for every file of the default kernel's initramfs whose name matches: a copy that stays in there.

    An initramfs that cannot be read is told of once, by the rules about its drivers (K01).
    """
    expression = re.compile(pattern)
    for kernel in facts.kernels:
        archive = _readable(kernel) if kernel.default else None
        if archive is None:
            continue
        place = kernel.initramfs_path or (kernel.uki.path if kernel.uki else "")
        fix = f"remove what it is made of, then by hand: {facts.distro.names.rebuild_initramfs}"
        for name in sorted(archive.names):
            if expression.search(name):
                yield Finding(f"the initramfs carries {what} ({name})", place, fix, by_hand=True)


def _readable(kernel: Kernel) -> Initramfs | None:
    try:
        return kernel.initramfs
    except (Failure, OSError):
        return None


def there(facts: Facts, *patterns: str) -> list[Finding]:
    """A finding for every path that matches: it is there, and ought not to be."""
    return [Finding(f"/{path} is there", path) for pattern in patterns for path in facts.files.glob(pattern)]
