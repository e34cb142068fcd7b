"""The disk of a machine: a file with a real file system, its copies at the moment of a cut, and the mounted root.

The files lie on an XFS in memory, which clones a file whole and at once. Only inside the namespaces of bench.lab.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from azready.devices import own_dev
from azready.fabric.machine import ASSET_TAG, Machine
from azready.fabric.protocol.media import ovf_env
from azready.image.parts.guest_program import compiling
from bench.lab import GUEST, PROGRAM, run

Kind = Literal["ext4", "xfs", "btrfs"]
SIZE = {"ext4": "96M", "xfs": "320M", "btrfs": "200M"}
OPTIONS = {"ext4": "commit=300", "xfs": "nouuid", "btrfs": "commit=300"}
"""A journal that is written late loses the most. `nouuid`: a copy has the id of its original."""
STATE = "var/lib/azure-provisioning"
_FICLONE = 0x40049409
_LEFT_OUT = ("usr", "proc", "sys", "dev", "run", "tmp", "boot", "srv")


def shelf(folder: Path) -> Path:
    """Make the place for the disk files in `folder`; it lasts as long as the mount namespace."""
    _do("mount", "-t", "tmpfs", "-o", "mode=700,size=80%", "crash", folder)
    _do("truncate", "-s", "12G", folder / "shelf.img")
    _do("mkfs.xfs", "-q", "-m", "reflink=1", folder / "shelf.img")
    (folder / "shelf").mkdir()
    _do("mount", "-o", "loop,noatime", folder / "shelf.img", folder / "shelf")
    return folder / "shelf"


def clone(source: Path, target: Path) -> Path:
    """What a power cut leaves of a disk at this moment: what its file system has written so far."""
    with source.open("rb") as old, target.open("wb") as new:
        fcntl.ioctl(new, _FICLONE, old.fileno())
    return target


def digest(image: Path) -> bytes:
    """The same for disks of the same bytes."""
    found = hashlib.blake2b()
    with image.open("rb") as file:
        end = 0
        while True:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # nothing but a hole until the end
                return found.digest()
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.update(b"%d %d " % (start, end))
            file.seek(start)
            for offset in range(start, end, 1 << 20):
                found.update(file.read(min(1 << 20, end - offset)))


def write_back(root: Path) -> None:
    """Write what the file system at `root` still holds in memory: a cut then loses nothing, as a kill does."""
    folder = os.open(root, os.O_RDONLY)
    try:
        ctypes.CDLL(None).syncfs(folder)
    finally:
        os.close(folder)


def programs(tree: Path, place: Path) -> Path:
    """The tree's /usr with both guest programs in it, which every boot shares and none can write."""
    for name in ("usr", "upper", "work"):
        (place / name).mkdir()
    layers = f"lowerdir={tree}/usr,upperdir={place}/upper,workdir={place}/work"
    _do("mount", "-t", "overlay", "-o", layers, "crash", place / "usr")
    home = place / "usr/lib/azure-provisioning"
    home.mkdir(parents=True)
    for name in ("provision.py", "provision.sh"):
        shutil.copy(GUEST / name, home)
    (place / "lib").symlink_to("usr/lib")
    (place / "lib64").symlink_to("usr/lib64")
    made = run(place, ["/usr/bin/python3", *compiling(PROGRAM + "/provision.py", (3, 7))])
    if made.status:
        raise RuntimeError(made.stderr)
    return place / "usr"


def fresh(kind: Kind, tree: Path, machine: Machine, shelf: Path, image_name: str, medium: bool) -> Path:
    """The disk of a prepared and sealed image of Debian `tree`; only /usr comes from elsewhere."""
    disk, root = shelf / "base.img", shelf / "base"
    _do("truncate", "-s", SIZE[kind], disk)
    _do(f"mkfs.{kind}", "-q", disk)
    root.mkdir()
    _do("mount", "-o", f"loop,{OPTIONS[kind]}", disk, root)
    for path in tree.iterdir():
        if path.name not in _LEFT_OUT:
            _do("cp", "-a", path, root / path.name)
    for name in ("var/lib/dpkg", "var/cache", "var/lib/apt", "var/log"):
        shutil.rmtree(root / name, ignore_errors=True)
    for name in (*_LEFT_OUT, "var/log"):
        (root / name).mkdir(exist_ok=True)
    _prepare(root)
    (root / "etc/hostname").write_text(image_name + "\n")
    if image_name == machine.name:
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {image_name}\n")
    if medium:
        (root / "srv/medium").mkdir()
        (root / "srv/medium/ovf-env.xml").write_text(ovf_env(machine))
    write_back(root)
    _do("umount", root)
    return disk


def _prepare(root: Path) -> None:
    """What `prepare` puts into the image beside /usr, and what sealing takes away."""
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / STATE).mkdir(mode=0o700, parents=True)
    drop_in = root / "etc/ssh/sshd_config.d/00-azure-provisioning.conf"
    drop_in.parent.mkdir(exist_ok=True)
    shutil.copy(GUEST / "units/sshd" / drop_in.name, drop_in)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    for unit in ("azure-provisioning.service", "azure-provisioning-hostkeys.service"):
        (wants / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")


@contextlib.contextmanager
def mounted(kind: Kind, disk: Path, usr: Path, machine: Machine) -> Iterator[Path]:
    """A disk as the root of a running machine. Mounting plays back the file system's journal, as a boot does."""
    root = disk.with_suffix(".root")
    root.mkdir()
    _do("mount", "-o", f"loop,{OPTIONS[kind]}", disk, root)
    try:
        _do("mount", "--bind", usr, root / "usr")
        _do("mount", "-o", "remount,bind,ro", root / "usr")
        _do("mount", "--rbind", "/proc", root / "proc")
        for name in ("run", "tmp", "sys"):
            _do("mount", "-t", "tmpfs", "-o", "mode=755", "crash", root / name)
        _do(*own_dev(root / "dev"))
        dmi = root / "sys/class/dmi/id"
        dmi.mkdir(parents=True)
        (root / "sys/firmware/efi").mkdir(parents=True)
        (dmi / "chassis_asset_tag").write_text(ASSET_TAG + "\n")
        (dmi / "product_uuid").write_text(machine.product_uuid + "\n")
        (root / "run/systemd/system").mkdir(parents=True)
        (root / "run/sshd").mkdir()
        yield root
    finally:
        _unmount(root)


def _unmount(root: Path) -> None:
    """Unmount; a process of a login may still be on its way out."""
    until = time.monotonic() + 30
    while subprocess.run(["umount", "-R", root], capture_output=True).returncode and time.monotonic() < until:
        time.sleep(0.05)
    if os.path.ismount(root):
        _do("umount", "-R", root)
    root.rmdir()


def _do(*words: str | Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
