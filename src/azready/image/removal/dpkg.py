"""What removing packages from a Debian system means, worked out from dpkg's own files without running anything.

`apt-get purge` solves: it may install an alternative, or take along what we do not expect, and its autoremove takes
the network (Ubuntu's cloud-init-base is what holds dhcpcd-base and netplan.io). So we work out the set ourselves and
hand it to `dpkg --purge`, which removes exactly what it is told. Formats: deb-control(5), deb-src-control(5).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

STATUS = "var/lib/dpkg/status"
EXTENDED_STATES = "var/lib/apt/extended_states"
LISTS = "var/lib/dpkg/info"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*")

KEEP = (
    *("netplan.io", "netplan-generator", "ifupdown*", "network-manager", "dhcpcd*", "isc-dhcp-client", "udhcpc"),
    *("systemd-resolved", "resolvconf", "openresolv", "iproute2", "ethtool", "wpasupplicant"),
    *("python3", "python3-minimal", "curl", "wget", "openssh-server", "sudo", "doas", "opendoas", "passwd", "udev"),
    *("cloud-guest-utils", "cloud-initramfs-growroot", "fdisk", "gdisk", "parted", "e2fsprogs", "xfsprogs"),
    *("btrfs-progs", "eject", "ca-certificates", "chrony", "netbase", "systemd-timesyncd"),
)
"""What an image on Azure needs although perhaps only an agent asked for it: marked as installed by hand."""

_NEVER = (
    *("linux-image-*", "systemd", "systemd-sysv", "sysvinit-core", "openrc", "openssh-server", "sudo", "udev"),
    *("netplan.io", "ifupdown*", "network-manager", "dhcpcd*", "grub-*", "shim-*", "initramfs-tools*", "dracut*"),
    *("apt", "login", "passwd"),
)
"""What must never go along with an agent: without it the image does not boot or cannot be reached."""


@dataclass(frozen=True)
class Package:
    """A stanza of dpkg's status file. `needs` are its dependencies: each a tuple of alternatives."""

    name: str
    state: str
    needs: tuple[tuple[str, ...], ...] = ()
    wishes: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    essential: bool = False

    @property
    def installed(self) -> bool:
        """Unpacked and configured, perhaps with triggers to run: others may depend on it."""
        return self.state in ("installed", "triggers-awaited", "triggers-pending")

    @property
    def present(self) -> bool:
        """Anything of it is there, its configuration files or the remains of an interrupted removal among it."""
        return self.state != "not-installed"


def parse_status(text: str) -> list[Package]:
    """Read dpkg's status file; continuation lines (descriptions, conffiles) are skipped."""
    packages = []
    for stanza in text.split("\n\n"):
        fields: dict[str, str] = {}
        for line in stanza.splitlines():
            key, colon, value = line.partition(": ")
            if colon and not line.startswith((" ", "\t")):
                fields[key] = value.strip()
        if "Package" in fields and "Status" in fields:
            packages.append(_package(fields))
    return packages


def _package(fields: dict[str, str]) -> Package:
    relations = ", ".join(fields[key] for key in ("Pre-Depends", "Depends") if fields.get(key))
    return Package(
        fields["Package"],
        fields["Status"].split()[-1],
        tuple(_clauses(relations)),
        tuple(name for clause in _clauses(fields.get("Recommends", "")) for name in clause),
        tuple(name for clause in _clauses(fields.get("Provides", "")) for name in clause),
        "yes" in (fields.get("Essential"), fields.get("Protected")),
    )


def _clauses(text: str) -> Iterable[tuple[str, ...]]:
    """`a (>= 1) | b, c:any` → (a, b), (c): versions do not matter, since nothing is installed or upgraded."""
    for clause in text.split(","):
        found = (_NAME.match(alternative.strip()) for alternative in clause.split("|"))
        names = tuple(match[0] for match in found if match)
        if names:
            yield names


def _offered(packages: Iterable[Package]) -> set[str]:
    """The names that can be depended on, their own and those that they provide."""
    return {name for each in packages for name in (each.name, *each.provides)}


def goes_along(packages: Sequence[Package], removed: Iterable[str]) -> list[str]:
    """The installed packages that can no longer stay when `removed` go, sorted; `removed` are not among them."""
    gone = set(removed)
    first = set(gone)
    installed = [package for package in packages if package.installed]
    while True:
        staying = [each for each in installed if each.name not in gone]
        left = _offered(staying)
        lost = _offered(each for each in installed if each.name in gone) - left
        more = {
            each.name for each in staying if any(lost & set(clause) and not left & set(clause) for clause in each.needs)
        }
        if not more:
            return sorted(gone - first)
        gone |= more


def untouchable(packages: Sequence[Package], names: Iterable[str]) -> list[str]:
    """Those of `names` that an image cannot do without."""
    essential = {package.name for package in packages if package.essential}
    return [name for name in names if name in essential or any(fnmatchcase(name, each) for each in _NEVER)]


def parse_auto_installed(text: str) -> set[str]:
    """The names that apt holds for installed only because others wanted them."""
    names = set()
    for stanza in text.split("\n\n"):
        if "Auto-Installed: 1" in stanza and (found := re.search(r"(?m)^Package: (\S+)", stanza)):
            names.add(found[1])
    return names


def to_keep(packages: Sequence[Package], removed: Iterable[str], automatic: set[str]) -> list[str]:
    """The packages to mark as installed by hand: `KEEP`, installed automatically, and wanted by what goes."""
    by_name = {package.name: package for package in packages if package.installed}
    wanted: set[str] = set()
    pending = [name for name in removed if name in by_name]
    while pending:
        package = by_name[pending.pop()]
        for name in {*(name for clause in package.needs for name in clause), *package.wishes}:
            if name in by_name and name not in wanted:
                wanted.add(name)
                pending.append(name)
    gone = set(removed)
    return sorted(
        name
        for name in (wanted & automatic) - gone
        if any(fnmatchcase(name, pattern) for pattern in KEEP)
    )  # fmt: skip
