"""What the programs that azready runs are packaged as, by the package manager of this machine.

Debian's names are the keys. The other distributions' names are those of their package indexes in 2026; where a
distribution has no such package, nobody is sent to look for one.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Manager:
    """A package manager: the program that shows that it is here, and how it installs."""

    program: str
    install: str


MANAGERS = (
    Manager("apt-get", "apt-get install"),
    Manager("dnf", "dnf install"),
    Manager("zypper", "zypper install"),
    Manager("pacman", "pacman -S"),
    Manager("apk", "apk add"),
)

_NAMES: Mapping[str, Mapping[str, str]] = {
    "iproute2": {"dnf": "iproute"},
    "mmdebstrap": {"apk": ""},
    "mount": {"dnf": "util-linux", "zypper": "util-linux", "pacman": "util-linux"},
    "openssh-client": {"dnf": "openssh-clients", "zypper": "openssh-clients", "pacman": "openssh"},
    "ovmf": {"dnf": "edk2-ovmf", "zypper": "qemu-ovmf-x86_64", "pacman": "edk2-ovmf"},
    "qemu-efi-aarch64": {
        "dnf": "edk2-aarch64",
        "zypper": "qemu-uefi-aarch64",
        "pacman": "edk2-aarch64",
        "apk": "aavmf",
    },
    "qemu-system-arm": {
        "dnf": "qemu-system-aarch64-core",
        "zypper": "qemu-arm",
        "pacman": "qemu-system-aarch64",
        "apk": "qemu-system-aarch64",
    },
    "qemu-system-common": {"dnf": "qemu-img", "zypper": "qemu-tools", "pacman": "qemu-base", "apk": "qemu-img"},
    "qemu-system-x86": {
        "dnf": "qemu-system-x86-core",
        "zypper": "qemu-x86",
        "pacman": "qemu-system-x86",
        "apk": "qemu-system-x86_64",
    },
    "qemu-utils": {"dnf": "qemu-img", "zypper": "qemu-img", "pacman": "qemu-img", "apk": "qemu-img"},
    "uidmap": {"dnf": "shadow-utils", "zypper": "shadow", "pacman": "shadow", "apk": "shadow-uidmap"},
    "util-linux": {"apk": "util-linux util-linux-misc setpriv"},
}
"""Where a name differs from Debian's; empty: there is none."""


def manager(path: str) -> Manager | None:
    """This machine's package manager, looked for in these folders; None where it is none of the known."""
    return next((each for each in MANAGERS if shutil.which(each.program, path=path)), None)


def install_line(packages: Iterable[str], of: Manager | None) -> str:
    """What to type for packages of these names in Debian; empty where this distribution has none of them."""
    if of is None:
        return f"install what Debian calls {', '.join(dict.fromkeys(packages))}"
    names = [_NAMES.get(package, {}).get(of.program, package) for package in packages]
    wanted = " ".join(dict.fromkeys(name for name in names if name))
    return f"{of.install} {wanted}" if wanted else ""
