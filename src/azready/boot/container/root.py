"""The guest's view of the machine: its root folder as an overlay, the kernel's file systems, and Azure's SMBIOS data.

Everything here runs inside the guest's own namespaces, between unshare and exec of its init, and vanishes with them.
"""

import os
import socket
from pathlib import Path
from typing import Any

from azready.devices import NODES
from azready.kernel.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    MS_SHARED,
    bind,
    bind_device,
    mount,
    pivot_root,
)

_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "core": "/proc/kcore",
}
_READ_ONLY = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")
"""Parts of /proc through which the machine's root changes its kernel. The guest's root is not that one (`ids.py`), and
finds them closed anyway; this is the second bolt."""

NOTIFY = "/run/host/notify"


def fit_for_overlay(folder: Path) -> bool:
    """Whether a file system can hold an overlay's writable layer: tmpfs has user attributes since Linux 6.6."""
    try:
        os.setxattr(folder, "user.azready", b"1")
    except OSError:
        return False
    return True


def make_overlay(lower: Path, scratch: Path) -> None:
    """Prepare the writable layer that all boots of one run share: `scratch` holds it, the tree is never written."""
    for name in ("upper", "work", "root", "sysclass"):
        (scratch / name).mkdir(mode=0o755)
    # A link, because a path may hold the colons and commas that separate overlay's own options.
    options = f"lowerdir={lower},upperdir={scratch}/upper,workdir={scratch}/work,userxattr"
    mount("overlay", str(scratch / "root"), "overlay", 0, options)


def set_identity(scratch: Path, dmi: dict[str, str]) -> None:
    """Write SMBIOS data as sysfs would show it: the device, and its link in the layer that `enter` puts over
    /sys/class."""
    folder, link = scratch / "dmi" / "id", scratch / "sysclass" / "dmi" / "id"
    for parent in (folder, link.parent):
        parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("../../devices/virtual/dmi/id")
    for name, value in dmi.items():
        path = folder / name
        path.unlink(missing_ok=True)
        path.write_text(f"{value}\n")
        path.chmod(0o400 if name.endswith(("_uuid", "_serial")) else 0o444)
    subsystem = folder / "subsystem"
    subsystem.unlink(missing_ok=True)
    subsystem.symlink_to("../../../../class/dmi")


def enter(scratch: Path, spec: dict[str, Any], console: int) -> socket.socket:
    """Mount everything, make it the root, attach the console, and return the socket that init may notify.

    What is written into the tree is written after pivot_root: no link in it can lead back to the host.
    """
    root = str(scratch / "root")
    bind(root, root)
    for name in ("proc", "sys", "dev", "run"):
        Path(root, name).mkdir(exist_ok=True)
    _mount_proc(f"{root}/proc")
    _mount_sys(f"{root}/sys", scratch, bool(spec["efi"]), [Path(medium["device"]).name for medium in spec["media"]])
    _mount_dev(f"{root}/dev", os.ttyname(console))
    pivot_root(root)
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=25%")
    for medium in spec["media"]:
        _insert_medium(**medium)
    for path, text in spec["files"].items():
        _place(path, text)
    _make_pools(spec["pools"])
    for target, source in spec["covers"].items():
        if Path(target).exists():
            bind(source, target)
    if Path(spec["init"][0]).resolve().name == "systemd":
        # What systemd does on a machine, and leaves in a container to whoever made it: mounts made in a namespace of a
        # program's own (systemd-sysext) come back to the system's. Among the guest's namespaces only.
        mount("", "/", flags=MS_REC | MS_SHARED)
    for descriptor in (0, 1, 2):
        os.dup2(console, descriptor)
    return _make_notify()


def _mount_proc(proc: str) -> None:
    mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    network = os.open(f"{proc}/sys/net", os.O_PATH)
    for name in _READ_ONLY:
        if Path(proc, name).exists():
            bind(f"{proc}/{name}", f"{proc}/{name}", read_only=True)
    # Settings of the network belong to the namespace, and DHCP clients write them.
    bind(f"/proc/self/fd/{network}", f"{proc}/sys/net")
    os.close(network)


def _mount_sys(sys: str, scratch: Path, efi: bool, drives: list[str]) -> None:
    mount("sysfs", sys, "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY)
    # The host's firmware is not the guest's: all that is shown is whether there is EFI, which tells Gen2 from Gen1.
    mount("tmpfs", f"{sys}/firmware", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755")
    if efi:
        Path(sys, "firmware/efi").mkdir()
    # Nor are its disks.
    mount("tmpfs", f"{sys}/block", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755")
    for drive in drives:
        Path(sys, "block", drive).mkdir()
    _mount_dmi(f"{sys}/devices/virtual", scratch)
    layers = f"lowerdir={scratch}/sysclass:{sys}/class"
    mount("overlay", f"{sys}/class", "overlay", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, layers)
    mount("cgroup2", f"{sys}/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def _mount_dmi(virtual: str, scratch: Path) -> None:
    """Put the device of the SMBIOS data among the virtual ones. sysfs takes no folder, and this machine may have no
    such device: so their own folder is one of ours, and all others are bound into it."""
    real, names = os.open(virtual, os.O_PATH), [each.name for each in Path(virtual).iterdir()]
    mount("tmpfs", virtual, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755")
    for name in {*names, "dmi"}:
        Path(virtual, name).mkdir()
        if name != "dmi":
            bind(f"/proc/self/fd/{real}/{name}", f"{virtual}/{name}", read_only=True)
    bind(f"{scratch}/dmi", f"{virtual}/dmi", read_only=True)
    mount("", virtual, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    os.close(real)


def _mount_dev(dev: str, console: str) -> None:
    mount("tmpfs", dev, "tmpfs", MS_NOSUID, "mode=755")
    for name in NODES:
        Path(f"{dev}/{name}").touch()
        bind_device(f"/dev/{name}", f"{dev}/{name}")
    for name, target in _LINKS.items():
        Path(dev, name).symlink_to(target)
    for name in ("pts", "shm"):
        Path(dev, name).mkdir()
    mount("devpts", f"{dev}/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    mount("tmpfs", f"{dev}/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    Path(f"{dev}/console").touch()
    bind(console, f"{dev}/console")


def _make_notify() -> socket.socket:
    """The socket on which systemd says READY=1 when its boot is complete (sd_notify, as container managers use it)."""
    Path(NOTIFY).parent.mkdir(parents=True, exist_ok=True)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(NOTIFY)
    Path(NOTIFY).chmod(0o666)
    return notify


def _insert_medium(device: str, mounted_at: str, files: dict[str, str]) -> None:
    """A provisioning medium without a drive: the device's name is a folder with the medium's files.

    Agents that only take block devices look first whether theirs is mounted already. For them `mounted_at` shows the
    files once more, as a mount whose source is the device's name.
    """
    folders = [Path(device)]
    folders[0].mkdir(0o700)
    if mounted_at:
        folders.append(Path(mounted_at))
        folders[1].mkdir(0o700, parents=True, exist_ok=True)
        mount(device, mounted_at, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700")
    for folder in folders:
        for name, text in files.items():
            (folder / name).write_text(text)


def _make_pools(pools: dict[str, list[tuple[str, int]]]) -> None:
    """The files that hv_kvp_daemon makes when it starts, which needs a device of Hyper-V: what the host tells is new
    with every boot, the rest stays as the guest has left it."""
    for path, fields in pools.items():
        pool = Path("/", path)
        pool.parent.mkdir(parents=True, exist_ok=True)
        if fields:
            pool.write_bytes(b"".join(text.encode().ljust(size, b"\0") for text, size in fields))
        else:
            pool.touch(mode=0o644)


def _place(path: str, text: str) -> None:
    """Write a file of the booted system's own /run; a program when it begins with `#!`."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    Path(path).chmod(0o755 if text.startswith("#!") else 0o644)
