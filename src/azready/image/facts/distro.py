"""Which distribution an image is, and what that decides: the family, its package manager, its names for things.

A new distribution is usually nothing (its ID_LIKE says it), else a row in `FAMILY_OF`; a new family is a row in
`FAMILIES`. Its package manager is found by its database (a row in `packages/managers.py`), its network by what starts
(a row in `network/others.py`). Source of the fields: os-release(5).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """Distributions that keep the same things in the same places."""

    DEBIAN = "debian"
    REDHAT = "redhat"
    SUSE = "suse"
    ALPINE = "alpine"
    ARCH = "arch"
    GENTOO = "gentoo"
    FLATCAR = "flatcar"
    OTHER = "other"


@dataclass(frozen=True)
class Names:
    """What a family calls the things that rules ask for; paths are relative to the root."""

    ssh_unit: str
    kvp_units: tuple[str, ...]
    kvp_package: str
    add_drivers: str
    """How drivers (`{}`) come into an initramfs: a sentence."""
    rebuild_initramfs: str
    apply_grub: str
    worded: tuple[tuple[str, str, str], ...] = ()
    """Lines that LISA compares literally: path, key, value."""


_DRACUT = (
    """write add_drivers+=" {} " (with the spaces) to /etc/dracut.conf.d/azure.conf""",
    "dracut --force --regenerate-all",
)
_BY_ITSELF = "build the image's initramfs with {} (mkosi: KernelInitrdModules=)"
FAMILIES: Mapping[Family, Names] = {
    Family.DEBIAN: Names(
        "ssh",
        ("hv-kvp-daemon", "hv_kvp_daemon"),
        "hyperv-daemons (Ubuntu: linux-cloud-tools-azure)",
        "add {} to /etc/initramfs-tools/modules, one a line",
        "update-initramfs -u -k all",
        "update-grub",
    ),
    Family.REDHAT: Names(
        "sshd",
        ("hypervkvpd", "hv_kvp_daemon"),
        "hyperv-daemons",
        *_DRACUT,
        "grub2-mkconfig -o /boot/grub2/grub.cfg (or grubby --update-kernel=ALL --args=…)",
        (("etc/sysconfig/network", "NETWORKING", "yes"),),
    ),
    Family.SUSE: Names(
        "sshd",
        ("hv_kvp_daemon", "hypervkvpd"),
        "hyper-v",
        *_DRACUT,
        "grub2-mkconfig -o /boot/grub2/grub.cfg",
        (("etc/sysconfig/network/dhcp", "DHCLIENT_SET_HOSTNAME", "no"),),
    ),
    Family.ALPINE: Names(
        "sshd",
        ("hv_kvp_daemon",),
        "hvtools",
        "list {} in a file of /etc/mkinitfs/features.d and name it in /etc/mkinitfs/mkinitfs.conf",
        "mkinitfs KERNELVERSION",
        "update-extlinux",
    ),
    Family.ARCH: Names(
        "sshd",
        ("hv_kvp_daemon",),
        "hyperv",
        "add {} to MODULES=(…) in /etc/mkinitcpio.conf",
        "mkinitcpio -P",
        "grub-mkconfig -o /boot/grub/grub.cfg",
    ),
    Family.GENTOO: Names(
        "sshd",
        ("hv_kvp_daemon",),
        "app-emulation/hyperv-daemons",
        *_DRACUT,
        "grub-mkconfig -o /boot/grub/grub.cfg",
    ),
    Family.FLATCAR: Names("sshd", ("hv_kvp_daemon",), "(part of the image)", _BY_ITSELF, "a new image", "a new image"),
    Family.OTHER: Names(
        "sshd",
        ("hv_kvp_daemon", "hypervkvpd", "hv-kvp-daemon"),
        "the package with hv_kvp_daemon",
        _BY_ITSELF,
        "the distribution's tool",
        "the distribution's tool",
    ),
}

FAMILY_OF: Mapping[str, Family] = {
    "debian": Family.DEBIAN,
    "ubuntu": Family.DEBIAN,
    "devuan": Family.DEBIAN,
    "rhel": Family.REDHAT,
    "fedora": Family.REDHAT,
    "centos": Family.REDHAT,
    "almalinux": Family.REDHAT,
    "rocky": Family.REDHAT,
    "ol": Family.REDHAT,
    "azurelinux": Family.REDHAT,
    "mariner": Family.REDHAT,
    "photon": Family.REDHAT,
    "amzn": Family.REDHAT,
    "suse": Family.SUSE,
    "sles": Family.SUSE,
    "opensuse": Family.SUSE,
    "opensuse-leap": Family.SUSE,
    "opensuse-tumbleweed": Family.SUSE,
    "alpine": Family.ALPINE,
    "arch": Family.ARCH,
    "gentoo": Family.GENTOO,
    "flatcar": Family.FLATCAR,
}

FULL_PRESET_IDS = frozenset({"fedora", "rhel", "centos", "almalinux", "rocky", "ol", "azurelinux", "mariner"})
"""Distributions whose systemd resets every unit to its preset at first boot (built with first-boot-full-preset),
also disabling those that no preset enables. Source: the systemd.spec of Fedora and of Azure Linux."""


@dataclass(frozen=True)
class Distro:
    """What os-release says, and the family that follows from it."""

    id: str
    version: str
    name: str
    family: Family
    id_like: tuple[str, ...] = ()
    known: bool = False
    """Whether there is an os-release at all."""

    @property
    def names(self) -> Names:
        """What its family calls things."""
        return FAMILIES[self.family]

    @property
    def full_preset(self) -> bool:
        """Whether its systemd disables, at first boot, every unit that no preset enables."""
        return bool(FULL_PRESET_IDS & {self.id, *self.id_like})


def parse_os_release(text: str) -> Distro:
    """Read os-release; an unknown ID falls back to ID_LIKE, in the order given there."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            values[key] = _unquoted(value)
    like = tuple(values.get("ID_LIKE", "").split())
    family = next((FAMILY_OF[name] for name in (values.get("ID", ""), *like) if name in FAMILY_OF), Family.OTHER)
    return Distro(
        values.get("ID", "linux"),
        values.get("VERSION_ID", ""),
        values.get("PRETTY_NAME") or values.get("NAME", "Linux"),
        family,
        like,
        bool(values),
    )


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return value.replace("\\$", "$").replace('\\"', '"').replace("\\`", "`").replace("\\\\", "\\")
