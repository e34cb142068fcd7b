"""Debian root trees to try things on: built from Debian's own mirror, and cached as zstd-compressed tars.

One base tree a suite is made with mmdebstrap; every other tree is that base plus packages installed by its own apt.
Works as root, and as an ordinary user who has sub-ids (mmdebstrap's unshare mode, util-linux's unshare).

    tar = tree("bookworm", ("waagent",))      # Path of a cached tar, built when missing
    unpack(tar, directory)                    # a throwaway copy; remove() it afterwards
    unpacked("bookworm", ("waagent",))        # the same, unpacked once and shared: never write into it

The cache is `${XDG_CACHE_HOME:-~/.cache}/azready/trees`; a tree's key holds the calendar week, so packages stay fresh.
"""

import contextlib
import hashlib
import json
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from azready import locks, userns
from azready.console import SILENT, Console
from azready.devices import OWN_DEV
from azready.errors import UsageFailure
from azready.proc import Completed, find_tool, run

SUITES = ("bullseye", "bookworm", "trixie", "sid")
Network = Literal["networkd", "ifupdown", "network-manager", "none"]

BASE_PACKAGES = ("systemd-sysv", "dbus", "iproute2", "openssh-server", "sudo")
"""What a server image has at least; everything else is a delta."""

_KEEP_DAYS = 21
_RECIPE = 1
"""Raise it when the recipe below changes what a tree holds."""

_SLIM = ("path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*", "path-exclude=/usr/share/doc/*")

_DHCP_FILE = "[Match]\nName=en* eth*\n\n[Network]\nDHCP=ipv4\n"

_BASE_SCRIPT = f"""
printf '%s' '{_DHCP_FILE}' >/etc/systemd/network/80-dhcp.network
systemctl -q enable systemd-networkd.service
echo debian >/etc/hostname
: >/etc/resolv.conf
: >/etc/machine-id
"""
"""The address comes from networkd, as in Debian's cloud images; the rest undoes what the build host leaks."""

_NO_NETWORKD = "systemctl -q disable systemd-networkd.service; rm /etc/systemd/network/80-dhcp.network"
_INTERFACES = "printf 'auto lo\\niface lo inet loopback\\nauto eth0\\niface eth0 inet dhcp\\n' >/etc/network/interfaces"

_NETWORKS: Mapping[Network, tuple[tuple[str, ...], str]] = {
    "networkd": ((), ""),
    "ifupdown": (("ifupdown", "isc-dhcp-client"), f"{_NO_NETWORKD}; {_INTERFACES}"),
    "network-manager": (("network-manager",), _NO_NETWORKD),
    "none": ((), _NO_NETWORKD),
}
"""Packages and a shell script that make a tree get its address in one way."""


@dataclass(frozen=True)
class TreeSpec:
    """What a tree holds: a Debian suite, packages above `BASE_PACKAGES`, and the way it gets its address."""

    suite: str = "bookworm"
    packages: tuple[str, ...] = ()
    network: Network = "networkd"

    def __post_init__(self) -> None:
        if self.suite not in SUITES:
            raise UsageFailure(f"unknown Debian suite {self.suite!r}", f"use one of {', '.join(SUITES)}")
        object.__setattr__(self, "packages", tuple(sorted(set(self.packages))))

    @property
    def base(self) -> "TreeSpec":
        return TreeSpec(self.suite)

    @property
    def network_parts(self) -> tuple[tuple[str, ...], str]:
        """Packages and a shell script that make it get its address; sid has lost ISC's client, and dhcpcd took over."""
        packages, script = _NETWORKS[self.network]
        if self.suite == "sid":
            packages = tuple("dhcpcd-base" if package == "isc-dhcp-client" else package for package in packages)
        return packages, script

    @property
    def key(self) -> str:
        """A name that people can read, and a hash of all that decides the content, the calendar week included."""
        year, week, _ = date.today().isocalendar()
        network_packages, network_script = self.network_parts
        content = [_RECIPE, self.suite, BASE_PACKAGES, self.packages, _SLIM, _BASE_SCRIPT, year, week]
        content += [network_packages, network_script]
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
        return f"{self.suite}-{digest}"


def cache_directory() -> Path:
    """Where trees are kept; made when missing."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(home) / "azready" / "trees"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def cached(suite: str = "bookworm", packages: Sequence[str] = (), network: Network = "networkd") -> bool:
    """Whether `tree` would return at once."""
    return _tar_path(TreeSpec(suite, tuple(packages), network)).exists()


def tree(
    suite: str = "bookworm",
    packages: Sequence[str] = (),
    network: Network = "networkd",
    console: Console = SILENT,
) -> Path:
    """Return the tar of a Debian tree, building it (20 to 60 s a base, 5 to 20 s a delta) when it is not cached.

    Raises Failure when a tool is missing, the mirror cannot be reached or a package does not exist.
    """
    spec = TreeSpec(suite, tuple(packages), network)
    tar = _tar_path(spec)
    with _locked(spec.key):
        if tar.exists():
            return tar
        _prune(tar.parent)
        if spec == spec.base:
            with console.step(f"Building a small Debian tree ({suite}) with mmdebstrap"):
                _whole(tar, lambda made: _bootstrap(suite, made))
        else:
            base = tree(suite, console=console)
            with console.step(f"Installing {' '.join(spec.packages) or network} in it"):
                _whole(tar, lambda made: _delta(base, spec, made))
    return tar


def unpacked(
    suite: str = "bookworm",
    packages: Sequence[str] = (),
    network: Network = "networkd",
    console: Console = SILENT,
) -> Path:
    """Return a shared, unpacked copy of a tree: read-only by agreement, the lower layer of overlays."""
    tar = tree(suite, packages, network, console)
    directory = tar.parent / tar.name.removesuffix(".tar.zst")
    with _locked(directory.name):
        if not directory.exists():
            _whole(directory, lambda made: unpack(tar, made))
    return directory


def unpack(tar: Path, directory: Path) -> None:
    """Unpack a tree's tar into a new directory, with owners and modes (as a user: in a user namespace)."""
    directory.mkdir(parents=True, exist_ok=True)
    tool, _ = find_tool("tar", "tar"), find_tool("zstd", "zstd")
    # Only root may make device nodes; whatever boots or enters the tree mounts a /dev of its own.
    devices = [] if os.geteuid() == 0 else ["--exclude=./dev/*"]
    in_namespace([tool, "-C", directory, "-xpf", tar, "--zstd", "--numeric-owner", "--xattrs", *devices])


def pack(directory: Path, tar: Path) -> None:
    """Pack a tree into a zstd-compressed tar; sockets are left out."""
    tool, _ = find_tool("tar", "tar"), find_tool("zstd", "zstd")
    options = ["--zstd", "--numeric-owner", "--xattrs", "--sort=name", "--warning=no-file-ignored"]
    in_namespace([tool, "-C", directory, *options, "-cf", "-", "."], stdout=tar)


def remove(directory: Path) -> None:
    """Remove an unpacked tree; as a user that takes a user namespace, since sub-ids own the files."""
    if directory.exists():
        in_namespace(["rm", "-rf", "--one-file-system", "--", directory])


def in_namespace(
    argv: Sequence[str | Path], *, stdout: Path | None = None, mounts: bool = False, hint: str = ""
) -> Completed:
    """Run a program as owner of a tree's files: plainly as root, else in a user namespace with all sub-ids.

    `mounts` gives it namespaces of its own for all but the network, too: everything it started ends with it.
    """
    unshare: list[str | Path] = []
    flags = ["--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"] if mounts else []
    if os.geteuid() != 0:
        find_tool("newuidmap", "uidmap")
        userns.require()
        flags += ["--user", "--map-root-user", "--map-auto"]
        hint = hint or "without root this needs user namespaces and sub-ids: see docs/boot.md"
    if flags:
        unshare = [find_tool("unshare", "util-linux"), *flags, "--"]
    if stdout is not None:
        argv = ["sh", "-c", 'out=$1; shift; exec "$@" >"$out"', "sh", stdout, *argv]
        # The shell opens the file: inside a namespace it is still the user's own.
    return run([*unshare, *argv], hint=hint)


def _bootstrap(suite: str, tar: Path) -> None:
    tool = find_tool("mmdebstrap", "mmdebstrap")
    userns.require()
    mode = "root" if os.geteuid() == 0 else "unshare"
    options = [f"--mode={mode}", "--variant=minbase", f"--include={','.join(BASE_PACKAGES)}"]
    options += [f"--dpkgopt={line}" for line in _SLIM]
    if suite == "sid":
        # Mirrors and snapshots of unstable carry Release files that expire within a week.
        options.append('--aptopt=Acquire::Check-Valid-Until "false"')
    hook = f'--customize-hook=chroot "$1" sh -euc {shlex.quote(_BASE_SCRIPT)}'
    run(
        [tool, "-q", *options, hook, suite, tar],
        hint="a Debian mirror must be reachable; run the command by hand to see more",
    )


_DELTA_SCRIPT = (
    OWN_DEV
    + """
umask 022
root=$1 script=$2; shift 2
own_dev "$root/dev"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc/sys"
link=$(readlink "$root/etc/resolv.conf" || true)
rm -f "$root/etc/resolv.conf"
cat /etc/resolv.conf >"$root/etc/resolv.conf"
printf '#!/bin/sh\\nexit 101\\n' >"$root/usr/sbin/policy-rc.d"; chmod 755 "$root/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
if [ $# -gt 0 ]; then
    chroot "$root" apt-get -qq update
    chroot "$root" apt-get -qq -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io \\
        --no-install-recommends --yes install "$@"
    chroot "$root" apt-get -qq clean
fi
[ -z "$script" ] || chroot "$root" sh -euc "$script"
rm -rf "$root/usr/sbin/policy-rc.d" "$root"/var/lib/apt/lists/* "$root"/var/log/apt "$root"/var/log/dpkg.log
# A link (systemd-resolved makes one) stays: to write through it would be to write into the host's /run.
[ -L "$root/etc/resolv.conf" ] || : >"$root/etc/resolv.conf"
[ -z "$link" ] || ln -sf "$link" "$root/etc/resolv.conf"
: >"$root/etc/machine-id"
umount -l "$root/dev" "$root/proc"
"""
)
"""Installs packages as an image builder would: nothing starts, no trace of the build host stays behind, and their
scripts change nothing of it."""


def install(root: Path, packages: Sequence[str], script: str = "", *, hint: str = "") -> None:
    """Install packages in an unpacked tree with its own apt, then run a shell script in it."""
    in_namespace(["sh", "-euc", _DELTA_SCRIPT, "sh", root, script, *packages], mounts=True, hint=hint)


def _delta(base: Path, spec: TreeSpec, tar: Path) -> None:
    network_packages, network_script = spec.network_parts
    packages = (*network_packages, *spec.packages)
    with tempfile.TemporaryDirectory(prefix="azready-tree-", dir=tar.parent) as scratch:
        root = Path(scratch) / "root"
        try:
            unpack(base, root)
            hint = f"apt in Debian {spec.suite} must know {' '.join(packages)}"
            install(root, packages, network_script, hint=hint)
            pack(root, tar)
        finally:
            remove(root)


def _tar_path(spec: TreeSpec) -> Path:
    return cache_directory() / f"{spec.key}.tar.zst"


def _whole(path: Path, make: Callable[[Path], None]) -> None:
    """Make a file or tree beside `path` and rename it there: it exists whole or not at all."""
    suffix = ".tar.zst" if path.name.endswith(".tar.zst") else ""
    partial = path.with_name(f".partial-{os.getpid()}-{path.name.removesuffix(suffix)}{suffix}")
    try:
        make(partial)
        partial.rename(path)
    finally:
        remove(partial)


@contextlib.contextmanager
def _locked(key: str) -> Iterator[None]:
    """Hold the lock of one tree: several processes may want it, one builds it."""
    with (cache_directory() / f".{key}.lock").open("w") as file:
        locks.hold(file, wait=True)
        yield


def _prune(directory: Path) -> None:
    """Forget trees of past weeks; one that is younger may still be in use."""
    for path in directory.iterdir():
        if time.time() - path.stat().st_mtime > _KEEP_DAYS * 86400 and not path.name.endswith(".lock"):
            remove(path)
