"""What is known about an image: gathered when a rule first asks, read once, only read.

`Facts` is the one value that every rule is a function of. Each attribute is computed by a module of this package from
the files of a root, or from a disk file; what cannot be read raises OSError or Failure, which `check` reports as
"could not look".
"""

from dataclasses import dataclass
from functools import cached_property

from azready.image.disk.formats.uki import Uki
from azready.image.facts.cloud_init import CloudInit, gather_cloud_init
from azready.image.facts.cmdline import BootEntry, gather_boot_entries
from azready.image.facts.disk import Disk
from azready.image.facts.distro import Distro, parse_os_release
from azready.image.facts.firmware import Firmware, gather_firmware
from azready.image.facts.init import Init, gather_init
from azready.image.facts.kernels import Kernel, gather_kernels, gather_ukis
from azready.image.facts.leftovers import Leftover, find_leftovers
from azready.image.facts.modprobe import Ban, gather_bans
from azready.image.facts.mounts import Mount, parse_fstab
from azready.image.facts.network import Network, gather_network
from azready.image.facts.packages import Packages, read_packages
from azready.image.facts.programs import architecture_of, find_program
from azready.image.facts.reading import first_there, layered, text_of
from azready.image.facts.selinux import Mode, selinux_mode
from azready.image.facts.sshd import Sshd, gather_sshd
from azready.image.facts.units import Units, gather_units
from azready.image.facts.users import Users, gather_users
from azready.image.facts.waagent import Waagent, gather_waagent
from azready.image.targets import Files

OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
UDEV_FOLDERS = (
    "etc/udev/rules.d",
    "run/udev/rules.d",
    "usr/local/lib/udev/rules.d",
    "usr/lib/udev/rules.d",
    "lib/udev/rules.d",
)


@dataclass(eq=False)
class Facts:
    """The facts of one image. `live`: its services are running now; `disk` is None unless it is a disk file.

    `unseen` says why nothing of its root is known: only its disk and its EFI partition are; else it is empty.
    """

    files: Files
    live: bool = False
    disk: Disk | None = None
    unseen: str = ""

    def text(self, path: str) -> str | None:
        """A file's text, None when there is none; each file is read once."""
        if path not in self._texts:
            self._texts[path] = text_of(self.files, path)
        return self._texts[path]

    @cached_property
    def _texts(self) -> dict[str, str | None]:
        return {}

    @cached_property
    def distro(self) -> Distro:
        """From os-release; an empty one where there is none."""
        path = first_there(self.files, OS_RELEASE)
        return parse_os_release((path and self.text(path)) or "")

    @cached_property
    def packages(self) -> Packages:
        """From the package manager's database."""
        return read_packages(self.files)

    @cached_property
    def leftovers(self) -> tuple[Leftover, ...]:
        """Everything that a provisioning agent left."""
        return tuple(find_leftovers(self.files, (*self.packages.versions, *self.packages.remains)))

    @cached_property
    def units(self) -> Units:
        """systemd's units and OpenRC's services."""
        return gather_units(self.files)

    @cached_property
    def cloud_init(self) -> CloudInit | None:
        """What an enabled cloud-init will do on Azure; None where none starts."""
        return gather_cloud_init(self.files, self.units, self.boot_entries)

    @cached_property
    def waagent(self) -> Waagent | None:
        """Who provisions where walinuxagent starts; None where it does not."""
        return gather_waagent(self.files, self.units, self.cloud_init is not None)

    @cached_property
    def init(self) -> Init | None:
        """What starts the image; None where that is not known."""
        return gather_init(self.files)

    @property
    def systemd(self) -> bool:
        """Whether systemd is what starts the image."""
        return self.init == "systemd"

    @cached_property
    def ukis(self) -> dict[str, Uki]:
        """Unified kernel images, by kernel version."""
        return gather_ukis(self.files)

    @cached_property
    def firmware(self) -> Firmware | None:
        """The EFI boot chain; None where there is no EFI partition to see."""
        return gather_firmware(self.files, self.architecture)

    @cached_property
    def boot_entries(self) -> tuple[BootEntry, ...]:
        """Every way to boot that is not a rescue; the default one first."""
        return tuple(entry for entry in self._all_entries if not entry.rescue)

    @property
    def chosen_entry(self) -> BootEntry | None:
        """What starts by itself, be it a rescue."""
        return next(iter(self._all_entries), None)

    @cached_property
    def _all_entries(self) -> tuple[BootEntry, ...]:
        loader = self.firmware.loader if self.firmware else None
        by_systemd_boot = loader is not None and loader.role == "systemd-boot"
        return tuple(gather_boot_entries(self.files, self.ukis.values(), by_systemd_boot))

    @cached_property
    def kernels(self) -> tuple[Kernel, ...]:
        """Kernels with modules, the newest last."""
        return gather_kernels(self.files, self.boot_entries, self.ukis)

    @cached_property
    def bans(self) -> tuple[Ban, ...]:
        """Drivers that modprobe or the command line keeps out."""
        return gather_bans(self.files, self.boot_entries)

    @cached_property
    def network(self) -> Network:
        """Network stacks and profiles."""
        return gather_network(self.files, self.units)

    @cached_property
    def sshd(self) -> Sshd | None:
        """The ssh server's settings; None without OpenSSH."""
        return gather_sshd(self.files)

    @cached_property
    def users(self) -> Users:
        """Accounts, passwords, groups."""
        return gather_users(self.files)

    @cached_property
    def mounts(self) -> tuple[Mount, ...]:
        """The lines of fstab."""
        return tuple(parse_fstab(self.text("etc/fstab") or ""))

    @cached_property
    def selinux(self) -> Mode:
        """Whether SELinux is on, and how."""
        return selinux_mode(self.text("etc/selinux/config") or "", self.boot_entries)

    @cached_property
    def architecture(self) -> str:
        """Of the user land: `x86_64`, `aarch64`, or what else the shell is made for; empty when unknown."""
        return architecture_of(self.files)

    @cached_property
    def udev_rules(self) -> dict[str, str]:
        """Every udev rules file that counts: path to text."""
        return {path: self.text(path) or "" for path in layered(self.files, UDEV_FOLDERS, ".rules")}

    def program(self, name: str) -> str:
        """The path of a program in the usual folders, or an empty text."""
        return find_program(self.files, name)

    def homes(self) -> tuple[str, ...]:
        """The homes of everybody who can log in, relative to the root; those that are there."""
        paths = {account.home.strip("/") for account in self.users.who_log_in()} | {"root"}
        return tuple(path for path in sorted(paths) if path and self.files.exists(path))
