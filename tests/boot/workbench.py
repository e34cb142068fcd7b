"""A real kernel and a minimal Debian on a disk, in which nothing runs but a test's script: the guest programs' bench.

It starts within seconds, as `machines.mini` does, and yet has what an image has: a root file system on a partition,
account tools, mount and eject, both languages. The programs come with the initramfs, so the disk is made only once.
"""

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from azready.boot.qemu.command import Bootable, Hardware
from azready.boot.qemu.disk import boot_disk
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.fabric import Fault, Machine
from azready.pipelines import trees
from tests.boot import machines
from tests.boot.machines import MIB

PACKAGES = ("python3-minimal", "busybox", "eject", "fdisk", "cloud-guest-utils", "xfsprogs", "btrfs-progs")
NEEDS = ("root", "tool:mmdebstrap", "tool:zstd", "tool:busybox", "tool:qemu-system-x86_64", "tool:qemu-img")
PROGRAMS = {
    "provision.py": "python3 -I -S -B /run/work/provision.py",
    "provision.sh": "env PATH=/run/work/busybox /bin/busybox ash /run/work/provision.sh",
}
"""How a script of the bench starts each program: for sh, all is busybox's but accounts, sshd, eject and growth."""
_SIZE = 600 * MIB

_INTO_ROOT = """
for m in $(cat /modules/order); do insmod /modules/$m 2>/dev/null; done
ip link set lo up; ip link set eth0 up; ip addr add 168.0.0.15/7 dev eth0
mkdir /disk
mount -o noatime $(findfs UUID=ROOT_UUID) /disk
for each in proc sys dev; do mount --move /$each /disk/$each; done
mount -t tmpfs run /disk/run
mkdir /disk/run/work
cp /work/* /modules/*.ko /disk/run/work
exec switch_root /disk /bin/sh /run/work/script
""".replace("ROOT_UUID", machines.ROOT_UUID)
_IN_ROOT = """
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd /run/work
mkdir busybox
busybox --install -s busybox; ln -s /bin/busybox busybox/
tools='useradd usermod chpasswd visudo sshd eject growpart sfdisk partx resize2fs xfs_growfs btrfs'
for tool in $tools; do ln -s $(command -v $tool) busybox/; done
"""
_END = """
echo ready login:
exec busybox poweroff -f
"""


def run(
    script: str,
    machine: Machine,
    *,
    files: Mapping[str, bytes] | None = None,
    modules: tuple[str, ...] = (),
    faults: tuple[Fault, ...] = (),
    disk: Path | None = None,
    more: tuple[str, ...] = (),
    command_line: str = "",
) -> BootRecord:
    """Boot a VM that runs `script` in /run/work, where `files`, the guest programs and the kernel's modules lie."""
    work = {name: (resources.files("azready.guest") / name).read_bytes() for name in PROGRAMS}
    work |= {"script": (_IN_ROOT + script + _END).encode(), **(files or {})}
    kernel = machines.mini(
        _INTO_ROOT,
        f"console=ttyS0 panic=-1 quiet mitigations=off {machines.NO_TIMER_CHECK} {command_line}",
        modules=(*machines.MODULES, *modules),
        files={f"work/{name}": content for name, content in work.items()},
    )
    guest = Bootable(
        firmware="bios",
        disk=disk or base_disk(),
        format="qcow2" if disk else "raw",
        kernel=kernel,
        hardware=Hardware(memory=512, more=more),
    )
    plan = Plan(boots=1, login=False, deadline=600.0, faults=faults)
    (record,) = boot_disk(guest, machine, plan, target="bench")
    return record


def sections(record: BootRecord) -> dict[str, list[str]]:
    """What a script printed below each line `== NAME`, without the kernel's lines."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in record.console:
        if line.text.startswith("== "):
            name = line.text[3:]
            found[name] = []
        elif not re.match(r"\[ *\d+\.\d+\]", line.text):
            found[name].append(line.text)
    return found


def base_disk() -> Path:
    """A raw disk, read only by agreement: Debian on the one partition of its GPT."""
    tree = trees.unpacked("bookworm", PACKAGES)

    def make(out: Path, scratch: Path) -> None:
        machines.make_table(out, _SIZE + 2 * MIB, "label: gpt\nstart=1MiB, type=L\n")
        machines.ext4(scratch / "root.img", _SIZE, tree, machines.ROOT_UUID)
        machines.place(scratch / "root.img", out, MIB)

    return machines.kept(f"workbench-{tree.name}.raw", make)
