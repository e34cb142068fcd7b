"""What this machine can do of what azready does, and what to install or allow for the rest. Changes nothing."""

import importlib.util
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from azready import devices, userns
from azready.boot.container import host
from azready.boot.qemu import command, trial
from azready.boot.qemu.command import Architecture
from azready.errors import Failure
from azready.image.targets.disk import may_use_loop_devices, require_fuse
from azready.proc import has_tool, how_to_install

Tools = Mapping[str, str]
"""Program to Debian's package of it."""
_SSH: Tools = {"ssh": "openssh-client"}
_SPACES: Tools = {"unshare": "util-linux", "nsenter": "util-linux", "setpriv": "util-linux"}


@dataclass(frozen=True)
class Lack:
    """Something that stands in the way: what, and what to do about it; `package` where Debian has one for it."""

    what: str
    fix: str = ""
    package: str = ""


@dataclass(frozen=True)
class Ability:
    """A part of azready's work: its name on the command line, what it is for, and what it wants of a machine."""

    name: str
    serves: str
    tools: Callable[[], Tools]
    rights: Sequence[Callable[[], None]] = ()
    """Each raises Failure where this user may not."""
    note: Callable[[], str] = lambda: ""
    """What is good to know where all is there."""


@dataclass(frozen=True)
class Examined:
    """An ability, and what this machine lacks for it."""

    ability: Ability
    lacks: tuple[Lack, ...]
    note: str = ""

    @property
    def works(self) -> bool:
        return not self.lacks


def examine(ability: Ability) -> Examined:
    """Look for the programs, then ask for the rights; the note is asked for only where nothing is missing."""
    lacks = tuple(_lacks(ability))
    return Examined(ability, lacks, "" if lacks else ability.note())


def _lacks(ability: Ability) -> Iterator[Lack]:
    for tool, package in ability.tools().items():
        if not has_tool(tool):
            yield Lack(f"{tool} is not installed", package=package)
    for asked in ability.rights:
        try:
            asked()
        except _Packaged as failure:
            yield Lack(failure.message, package=failure.package)
        except Failure as failure:
            yield Lack(failure.message, failure.hint)


class _Packaged(Failure):
    """A thing is missing that Debian packages."""

    def __init__(self, message: str, package: str) -> None:
        super().__init__(message)
        self.package = package


def advice(examined: Sequence[Examined]) -> str:
    """The one line that installs all that is missing; empty where nothing is."""
    missing = [lack.package for each in examined for lack in each.lacks if lack.package]
    return how_to_install(*missing) if missing else ""


# --- what the abilities ask for ---


def _architecture() -> Architecture:
    machine = platform.machine()
    return "aarch64" if machine in ("aarch64", "arm64") else "x86_64"


def _linux() -> None:
    if platform.system() != "Linux":
        raise Failure(f"{platform.system()} has none of Linux' namespaces", "run it on Linux, or in a Linux container")


def _owners() -> None:
    """A system belongs to many users, who have to be told apart."""
    _linux()
    userns.require_owners()


def _namespaces() -> None:
    _linux()
    userns.become_root()


def _one_owner(means: str) -> str:
    return means if userns.become_root().one_user else ""


def _disk_tools() -> Tools:
    mounting = {} if may_use_loop_devices() else {"fuse2fs": "fuse2fs"}
    return {"qemu-img": "qemu-utils", "qemu-storage-daemon": "qemu-system-common", "mount": "mount", **mounting}


def _mounts() -> None:
    if not may_use_loop_devices():
        require_fuse()


def _disk_note() -> str:
    return "" if may_use_loop_devices() else "ext2, ext3 and ext4 only: other file systems are mounted by root"


def _cgroup() -> None:
    host.delegation()


def _qemu_tools() -> Tools:
    program, package = command.program(_architecture())
    return {program: package, "qemu-img": "qemu-utils", **_SSH}


def _firmware() -> None:
    architecture = _architecture()
    try:
        command.find_firmware(architecture)
    except Failure as failure:
        raise _Packaged(failure.message, command.PACKAGES[architecture][1]) from failure


def _how_guests_run() -> str:
    found = trial.choose("auto", _architecture(), None)
    return f"{found.kind}: {found.why}"


def _libraries() -> None:
    if importlib.util.find_spec("azure") is None or importlib.util.find_spec("azure.identity") is None:
        raise Failure("Azure's libraries are not installed", "pip install 'azready[azure]'")


_CONTAINER = (_owners, _cgroup, devices.require_usable)

ABILITIES = (
    Ability(
        "trees",
        "check, prepare, generalize of a directory",
        lambda: _SPACES,
        (_namespaces,),
        lambda: _one_owner("of directories in which all is yours: this user has one user id only"),
    ),
    Ability(
        "check-disk",
        "check of a disk file, if nothing can be mounted by reading its ext4",
        lambda: {"qemu-img": "qemu-utils"},
    ),
    Ability(
        "disks", "check, prepare, generalize, convert of all disk files", _disk_tools, (_linux, _mounts), _disk_note
    ),
    Ability("boot-tree", "boot of a directory", lambda: {"ip": "iproute2", **_SPACES, **_SSH}, _CONTAINER),
    Ability("boot-disk", "boot and build of a disk file", _qemu_tools, (_firmware,), _how_guests_run),
    Ability(
        "demo",
        "the whole demo",
        lambda: {"mmdebstrap": "mmdebstrap", "zstd": "zstd", "ip": "iproute2"},
        _CONTAINER,
    ),
    Ability("fabric", "fabric run", lambda: {"ip": "iproute2", "unshare": "util-linux"}, (_namespaces,)),
    Ability("azure", "capture, publish, verify", lambda: _SSH, (_libraries,)),
)
