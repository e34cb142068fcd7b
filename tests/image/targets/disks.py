"""Small disks made for the tests: a root file system with an os-release and an fstab, an ESP, any scheme and format."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from azready.proc import find_tool, run

MIB = 1 << 20
ESP_AT, ESP_SIZE = 1 * MIB, 40 * MIB
ROOT_AT = ESP_AT + ESP_SIZE
FOLDERS = ("proc", "sys", "dev", "run", "tmp")
LVM_TYPE = "E6D6D379-F507-44C2-A23C-238F2A3DF928"


def tree(folder: Path, fstab: str = "LABEL=ESP /boot/efi vfat umask=0077 0 1\n") -> Path:
    """A root tree that `prepare` takes: no packages, systemd by its looks."""
    for path in ("etc", "boot/efi", "usr/bin", "usr/sbin", "usr/lib/systemd", "var", "home", *FOLDERS):
        (folder / path).mkdir(parents=True)
    (folder / "sbin").symlink_to("usr/sbin")
    (folder / "etc/os-release").write_text('ID=debian\nPRETTY_NAME="Small"\n')
    (folder / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (folder / "etc/fstab").write_text(fstab)
    (folder / "etc/waagent.conf").write_text("Provisioning.Enabled=y\n")
    (folder / "usr/lib/systemd/systemd").touch()
    (folder / "usr/sbin/init").symlink_to("../lib/systemd/systemd")
    (folder / "usr/bin/python3.11").touch()
    (folder / "usr/bin/python3").symlink_to("python3.11")
    return folder


def esp(path: Path) -> None:
    """A FAT file system with a loader and a random seed."""
    path.touch()
    with path.open("r+b") as file:
        file.truncate(ESP_SIZE)
    run([find_tool("mkfs.vfat", "dosfstools"), "-n", "ESP", path])
    run([find_tool("mmd", "mtools"), "-i", path, "::/EFI", "::/EFI/Debian", "::/loader"])
    run([find_tool("mcopy", "mtools"), "-i", path, "-", "::/loader/random-seed"], stdin="seed")
    run([find_tool("mcopy", "mtools"), "-i", path, "-", "::/EFI/Debian/grub.cfg"], stdin="search\n")


def partitioned(path: Path, size: int, label: str = "gpt", root_type: str = "L") -> None:
    with path.open("wb") as file:
        file.truncate(size)
    esp_type = "U" if label == "gpt" else "ef"
    script = f"label: {label}\nstart=1MiB, size=40MiB, type={esp_type}\nstart=41MiB, type={root_type}\n"
    run([find_tool("sfdisk", "fdisk"), "-q", path], stdin=script)
    part = path.with_suffix(".esp")
    esp(part)
    run(["dd", f"if={part}", f"of={path}", "bs=1M", "seek=1", "conv=notrunc", "status=none"])
    part.unlink()


def discoverable(path: Path, source: Path) -> None:
    """As mkosi makes it: no fstab; root, a /usr that nobody can change, and /home, known by their partitions' types."""
    usr, home = source.parent / "usr.img", source.parent / "home"
    (home / "someone").mkdir(parents=True)
    run([find_tool("mkfs.erofs", "erofs-utils"), "--quiet", usr, source / "usr"])
    shutil.rmtree(source / "usr")
    (source / "usr").mkdir()
    types = ("8484680C-9521-48C6-9C11-B0720656F69E", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709")
    types = (*types, "933AC7E1-2EB4-4F13-B844-0E14E2AEF915")
    with path.open("wb") as file:
        file.truncate(100 * MIB)
    lines = [f"start={1 + 32 * number}MiB, size=32MiB, type={kind}" for number, kind in enumerate(types)]
    run([find_tool("sfdisk", "fdisk"), "-q", path], stdin="\n".join(("label: gpt", *lines, "")))
    run(["dd", f"if={usr}", f"of={path}", "bs=1M", "seek=1", "conv=notrunc", "status=none"])
    ext4_at(path, 33 * MIB, 32 * MIB, source)
    ext4_at(path, 65 * MIB, 32 * MIB, home)


def ext4_at(path: Path, offset: int, size: int, source: Path) -> None:
    tool = find_tool("mke2fs", "e2fsprogs")
    run([tool, "-q", "-F", "-t", "ext4", "-L", "root", "-E", f"offset={offset}", "-d", source, path, f"{size >> 10}k"])


@contextmanager
def loop(path: Path, offset: int, size: int) -> Iterator[str]:
    """A loop device of a part of a disk, as root."""
    shown = run([find_tool("losetup", "mount"), "-f", "--show", "-o", str(offset), "--sizelimit", str(size), path])
    device = shown.stdout.strip()
    try:
        yield device
    finally:
        run([find_tool("losetup", "mount"), "-d", device])


def filled(device: str, source: Path, folder: Path, subvolume: str = "") -> None:
    """Copy a tree into the file system of a device, as root; into a new subvolume of it when one is named."""
    folder.mkdir(exist_ok=True)
    run(["mount", device, folder])
    try:
        if subvolume:
            run(["btrfs", "subvolume", "create", folder / subvolume])
        run(["cp", "-a", f"{source}/.", folder / subvolume])
    finally:
        run(["umount", folder])


def logical_volume(device: str, size: str) -> int:
    """Make a volume group with a small volume and `root` behind it, by LVM's tools; return where `root` begins."""
    settings = f'devices {{ use_devicesfile=0 filter=["a|{device}$|","r|.*|"] }}'
    new = "lvcreate -q -y --driverloaded n -An -an -Zn -Wn"
    for line in (
        f"pvcreate -q {device}",
        f"vgcreate -q -An root-vg {device}",
        f"{new} -L 8M -n first root-vg",
        f"{new} -L {size} -n root root-vg",
        "lvextend -q --driverloaded n -An -L +8M root-vg/first",
    ):
        argv = line.split()
        tool = find_tool(argv[0], "lvm2")
        subprocess.run([tool, "--config", settings, *argv[1:]], check=True, capture_output=True)
    return MIB + 8 * MIB
