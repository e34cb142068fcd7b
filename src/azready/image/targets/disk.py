"""A disk file as a target: its file systems mounted where its own fstab, or else their partition's type, puts them;
then a tree like any other.

As root by loop devices. As an ordinary user, in a user namespace, by FUSE: ext4 by fuse2fs. The EFI system partition
is copied out by mtools where the kernel cannot mount it. Formats other than raw and fixed VHD are shown as a raw file
by qemu-storage-daemon's FUSE export, so that nothing is converted (measured: 0.1 s, whatever the size).
Without `write` everything is opened read-only and no journal is replayed: not one byte of the disk changes.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from azready import userns
from azready.errors import Failure, UsageFailure
from azready.image.disk import diskfile, qemu
from azready.image.disk.formats.partitions import read_table
from azready.image.disk.reading import reader
from azready.image.targets import Files, fat
from azready.image.targets.tree import Tree
from azready.image.targets.volumes import (
    Mounting,
    Volume,
    by_type,
    esp_place,
    find_volumes,
    from_fstab,
    root_candidates,
)
from azready.proc import Completed, dies_with_parent, find_tool, has_tool, how_to_install, run, spawn, stop

_EXT = ("ext2", "ext3", "ext4")
_READ_ONLY = {
    "ext3": ("ro,noload",),
    "ext4": ("ro,noload",),
    "xfs": ("ro,norecovery,nouuid",),
    "btrfs": ("ro,rescue=nologreplay", "ro,nologreplay", "ro"),
}
_WRITABLE = {"xfs": ("rw,nouuid",)}
_BTRFS_ROOTS = ("", "@", "root", "@rootfs")
_PATIENCE = 20.0


WAYS = "run it with sudo, or where /dev/fuse may be used and fuse2fs is installed"
"""To have a disk mounted."""


class NoRoot(Failure):
    """The disk has no root file system that can be read here; its other parts may be."""


@contextmanager
def open_disk(path: Path, write: bool, shown: Path | None = None, without_root: bool = False) -> Iterator[Tree]:
    """Mount a disk file for the length of a `with`; `shown` is its name for people.

    `without_root` mounts only the EFI partition, in a folder that is else empty. Raises NoRoot when no root file system
    can be mounted.
    """
    disk = diskfile.inspect(path)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="azready-disk-")))
        raw = path.resolve() if disk.direct else stack.enter_context(_exported(disk, scratch, write))
        with raw.open("rb") as file:
            number = file.fileno()
            read = reader(number, disk.size)
            volumes = find_volumes(read, disk.size)
            bare = not volumes and read_table(read, disk.size).scheme == "none"
        if bare:
            raise no_system(shown or path)
        mounter = _Mounter(stack, raw, scratch, write)
        root = mounter.folder() if without_root else _mount_root(mounter, shown or path, volumes)
        if without_root:
            (root / "boot/efi").mkdir(parents=True)
        tree = stack.enter_context(Tree(root, described=f"the disk {shown or path}"))
        for mounting in rest(tree, volumes):
            mounter.mount(mounting, root / tree.resolve(mounting.path))
        yield tree


def no_system(path: Path) -> UsageFailure:
    """Of a disk without any file system."""
    return UsageFailure(
        f"{path} holds neither a partition table nor a file system: it is no system",
        "give the disk of an installed system",
    )


def _mount_root(mounter: "_Mounter", path: Path, volumes: tuple[Volume, ...]) -> Path:
    problems = [f"{next(iter(each.names))} is in pieces" for each in volumes if each.kind == "scattered"]
    for volume in root_candidates(volumes):
        for subvolume in _subvolumes(mounter, volume):
            place = mounter.folder()
            try:
                mounter.mount(Mounting("", volume, subvolume), place)
            except Failure as failure:
                problems.append(failure.message)
                continue
            with Tree(place) as tree:
                if is_root(tree, volumes):
                    return place
                if deployment := deployment_in(tree):
                    return mounter.deployed(place, deployment)
    more = "" if may_use_loop_devices() else "As root more kinds can be mounted. "
    raise no_root(path, volumes, problems, more)


def no_root(path: Path, volumes: tuple[Volume, ...], problems: Sequence[str], hint: str) -> Failure:
    """Of a disk in which no root could be read, for these reasons; `hint` is a sentence of what else may help."""
    kinds = ", ".join(f"{each.kind} of {each.size >> 20} MiB" for each in volumes if each.size)
    if any(each.kind == "luks" for each in volumes):
        return Failure(f"{path} is encrypted", "open it with cryptsetup, mount it, and give the folder")
    detail = f"; {problems[-1]}" if problems else ""
    return NoRoot(
        f"no root file system that can be read in {path} (found: {kinds or 'nothing known'}){detail}",
        f"is it whole, and a Linux system? {hint}Or mount it yourself and give the folder",
    )


def _subvolumes(mounter: "_Mounter", volume: Volume) -> Iterator[str]:
    """Of btrfs, where the root may be: the default subvolume, the usual names, then whatever looks like a system."""
    if volume.kind != "btrfs":
        yield ""
        return
    yield from _BTRFS_ROOTS
    place = mounter.folder()
    with contextlib.suppress(Failure):
        mounter.mount(Mounting("", volume, "/"), place)
        with Tree(place) as tree:
            found = tree.glob("{*,*/*}/{etc,usr/lib}/os-release")
        yield from dict.fromkeys(re.sub(r"/(etc|usr/lib)/os-release$", "", path) for path in found)


def deployment_in(tree: Files) -> str:
    """The newest system that ostree deployed into this file system, if any: bootc's, CoreOS', Silverblue's."""
    found = [path.rpartition("/")[0] for path in tree.glob("ostree/deploy/*/deploy/*/usr")]
    return max(found, key=lambda path: (tree.stat(path).mtime, path), default="")


def is_root(tree: Files, volumes: tuple[Volume, ...]) -> bool:
    """It says what system it is, or has a link to where a /usr of its own partition will say it."""
    if tree.exists("etc/os-release") or tree.exists("usr/lib/os-release"):
        return True
    if tree.exists("etc/NIXOS"):
        return True
    separate = any(each.place == "usr" for each in volumes)
    return separate and tree.exists("etc") and "os-release" in tree.listdir("etc")


def rest(tree: Files, volumes: tuple[Volume, ...]) -> list[Mounting]:
    """What is mounted in a root, by its fstab, or else by the partitions' types: parents first."""
    fstab = tree.read_text("etc/fstab") if tree.exists("etc/fstab") else ""
    mountings = from_fstab(fstab, volumes)
    mountings = sorted([*mountings, *by_type(mountings, volumes)], key=lambda each: each.path.count("/"))
    folders = [path for path in ("boot/efi", "efi", "boot") if tree.exists(path)]
    esp = esp_place(folders, mountings, volumes)
    mountings += [esp] if esp else []
    made = [each.path for each in mountings if tree.exists(each.path)]
    return [each for each in mountings if each.path in made or each.path.rpartition("/")[0] in made]


class _Mounter:
    """Mounts volumes of one raw file, each undone when the ExitStack closes, the last one first."""

    def __init__(self, stack: ExitStack, raw: Path, scratch: Path, write: bool) -> None:
        self._stack = stack
        self._raw = raw
        self._scratch = scratch
        self._write = write
        self._made = 0

    def folder(self) -> Path:
        self._made += 1
        folder = self._scratch / f"mount{self._made}"
        folder.mkdir()
        return folder

    def deployed(self, place: Path, deployment: str) -> Path:
        """The root of a deployment, with /boot and /var where its own first boot puts them. Never to be changed."""
        if self._write:
            raise Failure("ostree deploys it as an image: it is not changed in place", "change it where it is built")
        root, system = self.folder(), place / deployment
        shown = {each.name: each for each in system.iterdir() if each.name not in ("boot", "var", "sysroot")}
        shown |= {"boot": place / "boot", "var": system.parents[1] / "var"}
        for name, source in shown.items():
            if source.is_symlink():
                (root / name).symlink_to(source.readlink())
            elif source.is_dir():
                (root / name).mkdir()
                run([find_tool("mount", "mount"), "-o", "bind,ro", source, root / name])
                self._stack.callback(_unmount, root / name)
        if not (root / "boot").exists():
            (root / "boot/efi").mkdir(parents=True)
        (root / "sysroot/ostree").mkdir(parents=True)  # where a running one has it, and is known by it
        return root

    def mount(self, mounting: Mounting, place: Path) -> None:
        """Mount a volume on a folder. Raises Failure that says what is missing."""
        volume = mounting.volume
        if may_use_loop_devices():
            failed = self._by_kernel(mounting, place)
            if failed is None:
                return
            if volume.kind != "vfat":
                raise Failure(f"mounting its {volume.kind} failed: {_first_line(failed)}")
        if volume.kind == "vfat":
            self._by_mtools(volume, place)
        elif volume.kind in _EXT:
            self._by_fuse2fs(volume, place)
        else:
            raise Failure(f"its {volume.kind} can only be mounted by root", "run it with sudo")

    def _by_kernel(self, mounting: Mounting, place: Path) -> Completed | None:
        volume = mounting.volume
        table, default = (_WRITABLE, "rw") if self._write else (_READ_ONLY, "ro")
        failed = None
        for options in table.get(volume.kind, (default,)):
            where = f"loop,offset={volume.start},sizelimit={volume.size},nodev,nosuid"
            subvolume = f",subvol={mounting.subvolume}" if mounting.subvolume else ""
            mount = [find_tool("mount", "mount"), "-t", volume.kind, "-o", f"{options},{where}{subvolume}"]
            done = run([*mount, self._raw, place], check=False)
            if done.status == 0:
                self._stack.callback(_unmount, place)
                if self._write:
                    self._stack.callback(_write_out, place)
                return None
            failed = done
        return failed

    def _by_fuse2fs(self, volume: Volume, place: Path) -> None:
        require_fuse()
        options = f"offset={volume.start}" + ("" if self._write else ",ro,norecovery")
        process = spawn([*_guard(), find_tool("fuse2fs", "fuse2fs"), "-f", "-o", options, self._raw, place])
        self._stack.callback(stop, process, _PATIENCE)
        _wait_until(lambda: os.path.ismount(place), process, "fuse2fs")
        self._stack.callback(_end_fuse, place, process)

    def _by_mtools(self, volume: Volume, place: Path) -> None:
        files = self._stack.enter_context(fat.as_folder(self._raw, volume.start, self.folder(), self._write))
        bind = "bind" if self._write else "bind,ro"
        run([find_tool("mount", "mount"), "-o", bind, files, place])
        self._stack.callback(_unmount, place)


@contextmanager
def _exported(disk: diskfile.DiskFile, scratch: Path, write: bool) -> Iterator[Path]:
    """The disk as a raw file, by a FUSE export that ends with the block (or with this process)."""
    require_fuse()
    shown = scratch / "disk.raw"
    shown.touch()
    tool = find_tool("qemu-storage-daemon", "qemu-system-common")
    image = json.dumps({**_as_blockdev(disk, scratch), "node-name": "disk", "read-only": not write})
    export = f"type=fuse,id=disk,node-name=disk,mountpoint={_quoted(shown)},writable={_on_off(write)}"
    process = spawn([*_guard(), tool, "--blockdev", image, "--export", export])
    try:
        _wait_until(lambda: shown.stat().st_size == disk.size, process, "qemu-storage-daemon")
        yield shown
    finally:
        stop(process, _PATIENCE)


def _as_blockdev(disk: diskfile.DiskFile, scratch: Path) -> qemu.Node:
    """What cannot be said to `--blockdev` is said in the header of an empty layer above the disk; it is only read."""
    if not disk.sized_by_footer:
        return disk.node
    layer = scratch / "layer.qcow2"
    tool = find_tool("qemu-img", "qemu-utils")
    run([tool, "create", "-q", "-u", "-f", "qcow2", "-F", "vpc", "-b", qemu.name(disk.node), layer, str(disk.size)])
    return qemu.node(layer, "qcow2")


def _guard() -> list[str]:
    """For the programs that show file systems: they end in order when this process dies, and not by ^C before it.

    Nothing may end them with KILL: the last process of a mount namespace unmounts what is in it, and would wait for
    itself to answer.
    """
    return [find_tool("setsid", "util-linux"), *dies_with_parent("TERM")]


def _quoted(path: Path) -> str:
    return str(path).replace(",", ",,")


def _on_off(value: bool) -> str:
    return "on" if value else "off"


def may_use_loop_devices() -> bool:
    """Root of this machine, not of a user namespace: only that may make block devices of files."""
    return os.geteuid() == 0 and os.access("/dev/loop-control", os.W_OK) and not _in_user_namespace()


def _in_user_namespace() -> bool:
    return Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]


def cannot_mount(path: Path | None = None) -> str:
    """Why no ext4 of a disk file can be mounted here, or an empty text; of `path` its format counts, too."""
    if sys.platform != "linux":
        return "this is not Linux"
    if not userns.may_mount():
        switch = None if os.geteuid() == 0 else userns.forbidding()
        return f"{switch[0]} gives users no namespaces" if switch else "this user may not mount"
    daemon, loop = has_tool("qemu-storage-daemon"), may_use_loop_devices()
    fuse = os.access("/dev/fuse", os.R_OK | os.W_OK)
    exported = path is not None and not (fuse and daemon) and not diskfile.inspect(path).direct
    if loop and not exported:
        return ""
    if not fuse:
        return "/dev/fuse may not be used"
    missing = {} if loop or has_tool("fuse2fs") else {"fuse2fs": "fuse2fs"}
    missing |= {} if daemon or not exported else {"qemu-storage-daemon": "qemu-system-common"}
    return f"{' and '.join(missing)} not installed: {how_to_install(*missing.values())}" if missing else ""


def require_fuse() -> None:
    """Raise Failure where this user may not mount by FUSE."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise Failure(
            "/dev/fuse may not be used here", "run it with sudo, or ask for /dev/fuse to be readable and writable"
        )


def _wait_until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", name: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            stop(process)
            said = process.stdout.read().decode(errors="replace").strip() if process.stdout else ""
            raise Failure(f"{name} could not show the disk: {said.splitlines()[-1] if said else 'it ended'}")
        time.sleep(0.005)


def _write_out(place: Path) -> None:
    """Bring a file system on a loop device to rest, before `umount`: a mount namespace that another program made
    meanwhile holds a copy of the mount, and would keep what is not written yet from reaching the disk.
    """
    done = run([find_tool("mount", "mount"), "-o", "remount,ro", place], check=False)
    if done.status != 0:
        run([find_tool("sync", "coreutils"), "-f", place], check=False)


def _unmount(place: Path) -> None:
    done = run([find_tool("umount", "mount"), place], check=False)
    if done.status != 0:
        run([find_tool("umount", "mount"), "--lazy", place])


def _end_fuse(place: Path, process: "subprocess.Popen[bytes]") -> None:
    """Unmount, and wait until everything is written: FUSE lets umount return before that."""
    _unmount(place)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise Failure(
            "fuse2fs did not finish writing the disk", "look at the disk with fsck before using it"
        ) from error


def _first_line(done: Completed) -> str:
    """mount says first what is wrong, and then where the kernel says more."""
    return (done.stderr.strip() or f"status {done.status}").splitlines()[0]
