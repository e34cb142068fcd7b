"""A root tree as a container with its own init as PID 1, seen from the host: namespaces, guests, and a way in.

    with Container(tree, network) as container:
        fabric = Fabric(machine, sockets=container.sockets)
        guest = container.start(order)              # a RunningGuest: pid, console, notify
        container.ask_guest(guest, ["uname", "-n"])

Works as root and as an ordinary user with sub-ids. Everything ends with the `with` block; and if this process is
killed, the supervisor inside (`inside.py`) notices and ends everything itself.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from azready import devices, userns
from azready.boot.container import cgroups, ids
from azready.boot.network import messages
from azready.boot.network.links import (
    BRIDGE,
    LISTENERS,
    Network,
    fabric_links,
    guest_links,
)
from azready.boot.record import Cause
from azready.boot.watching.schedule import Stopped
from azready.errors import Failure, UsageFailure
from azready.fabric.ledger import Service
from azready.fabric.protocol import kvp
from azready.proc import Completed, ask, dies_with_parent, find_tool, stop

_START_SECONDS = 30.0
_REBOOT = -signal.SIGHUP & 255
_COPY_SECONDS = 900.0
"""A tree may have to be copied first (`lower.py`)."""


@dataclass(frozen=True)
class RunningGuest:
    """A booted guest: PID 1 as the host sees it, and descriptors that its owner closes."""

    pid: int
    console: int
    notify: int
    alive: int
    """A pidfd of PID 1: becomes readable when it ends, which may be at once."""
    began: float
    """The time.monotonic() of the moment before init's exec."""


@dataclass(frozen=True)
class Order:
    """What one boot of a container needs to know."""

    number: int
    init: Sequence[str]
    dmi: Mapping[str, str]
    macs: Sequence[str]
    efi: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Files of /run, by their absolute path."""
    covers: Mapping[str, str] = field(default_factory=dict)
    """Programs of the tree, and which of `files` is mounted over each."""
    media: Sequence[Mapping[str, Any]] = ()
    host_pairs: Mapping[str, str] = field(default_factory=dict)
    """What hv_kvp_daemon would have been told by the host; none for a tree without it."""
    rules: str = ""
    """What `ip -batch` makes of the guest's own routing before it starts."""


class Container:
    """The namespaces of one tree's boots. The writable layer lives as long as the container: boots share it."""

    def __init__(self, tree: Path, network: Network) -> None:
        self.tree = check_tree(tree)
        self.network = network
        self.sockets: dict[Service, socket.socket] = {}
        self.owner = (os.getuid(), os.getgid())
        """Who the guest's root is here: the programs of `in_fabric` run as that user, and read only what it may."""
        self._scratch: Path | None = None
        self._holder: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._supervisor = 0
        self._parent = 0
        """Of the guest, in the supervisor's eyes."""
        self._held: Stopped | None = None

    @property
    def scratch(self) -> Path:
        """The folder of the writable layer; its content is visible inside the namespaces only."""
        if self._scratch is None:
            raise RuntimeError("the container is not open")
        return self._scratch

    # --- life ---

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process inside and remove the writable layer. Harmless twice."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._holder is not None:
            if self._held is not None and self._held.for_long():
                self._holder.kill()  # and with it, by their last will, those whom it holds
            try:
                self._holder.wait(10)
            except subprocess.TimeoutExpired:
                stop(self._holder)
            self._holder = None
        for each in self.sockets.values():
            each.close()
        self.sockets = {}
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def _open(self) -> None:
        userns.require()
        devices.require_usable()
        needs_cgroup = uses_systemd(self.tree)
        maps = ids.id_maps()
        self.owner = ids.owner(maps)
        self._scratch = _scratch(maps)
        prefix = delegation() if needs_cgroup else []
        spec = {
            "name": f"{cgroups.PREFIX}-{os.getpid()}-{id(self):x}",
            "id_maps": maps,
            "owner": self.owner,
            "shifted": ids.is_shifted(maps),
            "tree_maps": _maps_of_owner(self.tree),
            "needs_cgroup": needs_cgroup,
            "ip": find_tool("ip", "iproute2"),
            "links": fabric_links(self.network),
            "subnet": self.network.subnet,
            "bridge": BRIDGE,
            "listeners": [(name, self.network.address_of(name), port) for name, port in LISTENERS],
            "host_network": str(Path("/proc/self/ns/net").readlink()),
        }
        self._control, theirs = messages.pair()
        try:
            words = [*prefix, sys.executable, "-P", "-m", "azready.boot.container.inside", str(theirs.fileno())]
            self._holder = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
            )
            messages.send(self._control, {**spec, "tree": str(self.tree), "scratch": str(self._scratch)})
        finally:
            theirs.close()
        _, descriptors, self._supervisor = self._expect("ready", _COPY_SECONDS)
        self._held = Stopped(self._supervisor)
        for (name, _), descriptor in zip(LISTENERS, descriptors, strict=True):
            self.sockets[name] = socket.socket(fileno=descriptor)

    # --- guests ---

    def start(self, order: Order) -> RunningGuest:
        """Boot the tree once. The previous guest must have ended."""
        message = {
            "number": order.number,
            "init": list(order.init),
            "environment": dict(order.environment),
            "dmi": dict(order.dmi),
            "efi": order.efi,
            "files": dict(order.files),
            "covers": dict(order.covers),
            "media": [dict(medium) for medium in order.media],
            "pools": kvp.pools(order.host_pairs),
            "guest_rules": order.rules,
            "guest_links": guest_links(order.macs, "@NETNS@", order.number),
        }
        if self._control is None:
            raise RuntimeError("the container is not open")
        messages.send(self._control, message)
        told, descriptors, pid = self._expect("guest")
        return RunningGuest(pid, descriptors[0], descriptors[1], descriptors[2], told["guest"])

    def _expect(self, kind: str, seconds: float = _START_SECONDS) -> tuple[dict[str, Any], list[int], int]:
        if self._control is None:
            raise RuntimeError("the container is not open")
        self._control.settimeout(seconds)
        while True:
            try:
                told, descriptors, pid = messages.receive(self._control)
            except (EOFError, TimeoutError, ConnectionError) as error:
                raise Failure("the container's namespaces could not be made", _NAMESPACE_HINT) from error
            self._parent = told.get("started", self._parent)
            if "error" in told:
                raise Failure(f"the container could not be made: {told['error']}", _NAMESPACE_HINT)
            if kind in told:
                return told, descriptors, pid

    def wants_reboot(self) -> bool:
        """Whether the guest that has ended asked for a reboot: the kernel ends its init by SIGHUP then."""
        while self._parent:
            told, _, _ = self._expect("ended")
            if told["ended"] == self._parent:
                self._parent = 0  # told once
                return bool(told["status"] == _REBOOT)
        return False

    def trouble(self) -> Cause | None:
        """That the processes which hold the namespaces have ended or are held, and the guest with them."""
        if self._holder is None:
            return None
        if (status := self._holder.poll()) is not None:
            seen = f"it ended with status {status}"
        elif self._held is not None and self._held.for_long():
            seen = "it is stopped by a signal"
        else:
            return None
        fix = "start the boot again; did anything kill it, or is memory short?"
        return Cause("supervisor-died", "the process that holds the guest's namespaces is gone", (seen,), fix, "host")

    # --- ways in ---

    def in_fabric(self, argv: Sequence[str | Path]) -> list[str | Path]:
        """Words that run a program of the host in the fabric's namespaces, where the guest's network is.

        It stays in the host's process namespace, so that signals reach it, and dies with this process.
        """
        return [*_nsenter(self._supervisor), "--net", "--mount", "--", *dies_with_parent(), *argv]

    def in_network(self, argv: Sequence[str | Path]) -> list[str | Path]:
        """Words that run a program of the host on the guest's network, with the caller's own files and rights."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        enter = [find_tool("nsenter", "util-linux"), f"--target={self._supervisor}", *user, "--net"]
        return [*enter, "--", *dies_with_parent(), *argv]

    def in_guest(self, guest: RunningGuest, argv: Sequence[str]) -> list[str | Path]:
        """Words that run a program of the guest in the guest. What the caller's environment holds ends before, by this
        machine's own env: the guest's may be anything."""
        alone = [find_tool("env", "coreutils"), "-i", f"PATH={GUEST_PATH}"]
        return [*alone, *_nsenter(guest.pid), "--net", "--pid", "--mount", "--uts", "--ipc", "--", *argv]

    def ask_guest(self, guest: RunningGuest, argv: Sequence[str], timeout: float = 20.0) -> Completed | None:
        """Run a program in the guest to its end; None when the guest has ended or does not answer in time."""
        alone = [find_tool("setsid", "util-linux"), "--wait"]  # else the guest could type into the caller's terminal
        try:
            return ask([*alone, *self.in_guest(guest, argv)], timeout=timeout)
        except Failure:
            return None


GUEST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_NAMESPACE_HINT = "containers need user namespaces, overlayfs and a visible /proc and /sys: see docs/boot.md"


def _nsenter(pid: int) -> list[str | Path]:
    return [find_tool("nsenter", "util-linux"), f"--target={pid}", "--user", "--setuid=0", "--setgid=0"]


# --- what a boot needs of the tree and of this machine ---


def check_tree(tree: Path) -> Path:
    """The tree's absolute path. Raises UsageFailure when it is no root tree, Failure when this user may not boot it."""
    if not tree.is_dir():
        raise UsageFailure(f"{tree} is not a directory", "give an unpacked root tree, or a disk file")
    root = tree.resolve()
    if root == Path("/"):
        raise UsageFailure("/ is this machine itself", "boot a copy of it: a root tree in a directory, or a disk file")
    if not any((root / name).exists() for name in ("usr", "etc/os-release", "bin", "sbin")):
        raise UsageFailure(f"{tree} holds no operating system", "give the directory that holds usr, etc and var")
    owner = _owner(root)
    if owner[0] != os.geteuid() and _maps_of_owner(root) is None:
        raise Failure(
            f"{tree} belongs to another user (uid {owner[0]})",
            "boot it as that user; a tree made as root boots as root only",
        )
    return root


def _owner(root: Path) -> tuple[int, int]:
    status = (root / "etc" if (root / "etc").exists() else root).stat()
    return status.st_uid, status.st_gid


def _maps_of_owner(root: Path) -> dict[str, Any] | None:
    """Where a tree belongs to sub-ids of this user, how its users map to them."""
    uid, gid = _owner(root)
    return None if uid == os.geteuid() or os.geteuid() == 0 else userns.maps_of_sub_ids(uid, gid)


_INITS = ("/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd", "/init")


def find_init(tree: Path) -> list[str]:
    """The words of the tree's init. Raises UsageFailure when it has none."""
    for path in _INITS:
        if os.path.lexists(f"{tree}{path}"):
            return [path]
    raise UsageFailure(f"{tree} has no init", "install systemd-sysv in it, or name another program with --init")


def uses_systemd(tree: Path) -> bool:
    """Whether the tree's init is systemd: others may have it installed and not run it."""
    init = next((path for path in _INITS if os.path.lexists(f"{tree}{path}")), "")
    link = Path(f"{tree}{init}")
    target = str(link.readlink()) if init and link.is_symlink() else init
    return target.endswith("/systemd")


def delegation() -> list[str]:
    """Words before a command that give it a cgroup of its own to manage; none where it has one already."""
    if cgroups.delegated():
        return []
    scope = ["systemd-run", "--user", "--scope", "--quiet", "-p", "Delegate=yes", "--"]
    if os.environ.get("XDG_RUNTIME_DIR") and shutil.which(scope[0]):
        return scope
    raise Failure(
        "no cgroup may be made here, and systemd as PID 1 needs one",
        f"run it as root, or from a user session of systemd: {shlex.join(scope)} azready …",
    )


def _scratch(maps: dict[str, Any]) -> Path:
    """A folder of the guest's root, for the writable layer (where tmpfs cannot hold it) and the mount points.

    In /var/tmp where that root is another user than who calls: nobody else gets into root's own home.
    """
    home = Path("/var/tmp")
    if not ids.is_shifted(maps):
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "azready" / "boots"
        home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"azready-boot-{os.getpid()}-", dir=home))
    os.chown(folder, *ids.owner(maps))
    return folder
