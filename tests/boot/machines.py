"""Disks and kernels to boot in QEMU, made without root, loop devices or mounts, and kept in the cache.

The kernel and the whole system are Debian's; `mini` is a real kernel with a busybox initramfs of about a megabyte,
whose one script is the test's: the cheapest guest that has firmware tables, drivers and a DHCP client.
"""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from azready.boot.qemu.command import Kernel
from azready.devices import OWN_DEV
from azready.pipelines import trees
from azready.proc import find_tool, run

MIB = 1 << 20
FULL = ("linux-image-cloud-amd64", "initramfs-tools", "python3", "curl")
"""Packages of a bootable server."""
MODULES = ("virtio_pci", "virtio_net", "virtio_scsi", "sr_mod", "isofs", "udf", "cdrom", "crc-itu-t", "virtio_blk")

PROLOGUE = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
"""
NO_TIMER_CHECK = "no_timer_check"
"""On Hyper-V Linux takes its timer to work; elsewhere it counts ticks for a moment, and panics under an emulator that
just then gets no processor."""
NETWORK = """
for m in $(cat /modules/order); do insmod /modules/$m 2>/dev/null; done
ip link set lo up; ip link set eth0 up
udhcpc -q -n -f -i eth0 -s /lease -t 10 -T 1 -O 121 -O 245
"""
LEASE = """#!/bin/busybox sh
[ "$1" = bound ] || exit 0
ip addr add $ip/${mask:-7} dev $interface
set -- $staticroutes
while [ $# -ge 2 ]; do [ $1 = 0.0.0.0/0 ] || ip route add $1 via $2; shift 2; done
echo "lease: ${opt245:-no option 245}"
exit 0
"""
REPORT = """
wire=http://168.63.129.16
wget -q -O /tmp/name --header Metadata:true 'http://169.254.169.254/metadata/instance?api-version=2021-08-01'
wget -q -O /tmp/goal --header x-ms-version:2012-11-30 "$wire/machine?comp=goalstate"
part() { sed -n "s:.*<$1>\\\\(.*\\\\)</$1>.*:\\\\1:p" /tmp/goal | head -1; }
cat >/tmp/report <<EOF
<?xml version="1.0" encoding="utf-8"?>
<Health><GoalStateIncarnation>$(part Incarnation)</GoalStateIncarnation>
<Container><ContainerId>$(part ContainerId)</ContainerId><RoleInstanceList><Role>
<InstanceId>$(part InstanceId)</InstanceId><Health><State>Ready</State></Health>
</Role></RoleInstanceList></Container></Health>
EOF
wget -q -O /tmp/answer --header x-ms-version:2012-11-30 --header 'Content-Type: text/xml;charset=utf-8' \\
    --header x-ms-agent-name:mini --post-file /tmp/report "$wire/machine?comp=health" && echo "mini: reported"
"""


def kernel_tree() -> Path:
    """The shared, unpacked tree of a bootable Debian."""
    return trees.unpacked("bookworm", FULL)


def cache() -> Path:
    folder = trees.cache_directory().parent / "test-machines"
    folder.mkdir(exist_ok=True)
    return folder


def dracut() -> Kernel:
    """The kernel with a generic initramfs of dracut's that has systemd, and no driver of any disk."""
    dracut, kernel = trees.unpacked("bookworm", ("dracut-core",)), kernel_tree()
    initrd = cache() / f"dracut-{kernel.name}-{dracut.name}.img"
    with trees._locked(initrd.name):
        if not initrd.exists():
            partial = initrd.with_suffix(".partial")
            trees.in_namespace(["sh", "-euc", _DRACUT, "sh", dracut, kernel, partial], mounts=True)
            partial.rename(initrd)
    return Kernel(kernel_of(kernel), initrd, COMMAND_LINE)


_DRACUT = f"""{OWN_DEV}
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$1:$2,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
mount -t proc proc /mnt/root/proc; own_dev /mnt/root/dev
chroot /mnt/root dracut -q --no-hostonly --no-compress --kver "$(ls /mnt/root/lib/modules)" \\
    --modules "base systemd systemd-initrd dracut-systemd rootfs-block" --drivers ext4 /initrd
cp /mnt/root/initrd "$3"
"""
"""Both trees as one: the first has dracut, the second the kernel's modules."""


def into_disk(change: str, files: Mapping[str, bytes] | None = None) -> Kernel:
    """A kernel whose small initramfs finds the root of `debian_disk`, does `change` in it (at /disk), and starts its
    systemd: a whole Debian without the time that firmware, loader and its own initramfs take. `files`: at /."""
    find = f"mkdir /disk; mount -o noatime $(findfs UUID={ROOT_UUID}) /disk"
    move = "for each in proc sys dev; do mount --move /$each /disk/$each; done"
    load = "for m in $(cat /modules/order); do insmod /modules/$m 2>/dev/null; done"
    return mini("\n".join((load, find, change, move, "exec switch_root /disk /sbin/init")), COMMAND_LINE, files=files)


def kernel_of(tree: Path) -> Path:
    return max((tree / "boot").glob("vmlinuz-*"))


def mini(
    script: str,
    command_line: str = f"console=ttyS0 panic=-1 {NO_TIMER_CHECK}",
    modules: Sequence[str] = MODULES,
    files: Mapping[str, bytes] | None = None,
) -> Kernel:
    """A kernel, and an initramfs with `files` whose init does `script`."""
    tree = kernel_tree()
    files = {"init": (PROLOGUE + script).encode(), "lease": LEASE.encode(), **(files or {})}
    digest = hashlib.sha256(f"{tree}{sorted(files.items())}{modules}3".encode()).hexdigest()[:16]
    initrd = cache() / f"mini-{digest}.img"
    if not initrd.exists():
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            _fill(root, tree, modules, files)
            partial = initrd.with_suffix(f".{root.name}")
            partial.write_bytes(archive(root))
            partial.replace(initrd)
    return Kernel(kernel_of(tree), initrd, command_line)


def _fill(root: Path, tree: Path, modules: Sequence[str], files: Mapping[str, bytes]) -> None:
    (root / "bin").mkdir()
    busybox = find_tool("busybox", "busybox")
    shutil.copy(busybox, root / "bin/busybox")
    for word in run(["ldd", busybox], check=False).stdout.split():
        if word.startswith("/"):  # Debian's busybox is linked dynamically
            (root / word[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, root / word[1:])
    (root / "modules").mkdir()
    order = module_order(tree, modules)
    for path in order:
        shutil.copy(path, root / "modules" / path.name)
    (root / "modules/order").write_text("\n".join(path.name for path in order) + "\n")
    for name, content in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
        (root / name).chmod(0o755)


def module_order(tree: Path, names: Sequence[str]) -> list[Path]:
    """Files of kernel modules with all that they need, in the order of loading."""
    folder = max((tree / "lib/modules").iterdir())
    needs: dict[str, list[str]] = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {Path(path).name.split(".ko")[0].replace("-", "_"): path for path in needs}
    found: list[str] = []
    for name in names:
        path = by_name.get(name.replace("-", "_"))
        if path is not None:
            found += [each for each in (*reversed(needs[path]), path) if each not in found]
    return [folder / path for path in found]


def archive(root: Path) -> bytes:
    """A folder as an initramfs."""
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*"))) + "\n"
    words = [find_tool("busybox", "busybox"), "cpio", "-o", "-H", "newc"]
    return subprocess.run(words, input=names.encode(), cwd=root, check=True, capture_output=True).stdout


# --- whole disks ---


def make_table(disk: Path, size: int, script: str) -> None:
    with disk.open("wb") as file:
        file.truncate(size)
    run([find_tool("sfdisk", "fdisk"), "-q", disk], stdin=script)


def place(part: Path, disk: Path, offset: int) -> None:
    """Copy a file system's image into a disk, sparsely."""
    run(["dd", f"if={part}", f"of={disk}", "bs=1M", f"seek={offset // MIB}", "conv=notrunc,sparse", "status=none"])


def fat(path: Path, size: int, files: Sequence[tuple[Path, str]]) -> None:
    """A FAT file system that holds `files` (source, path on it)."""
    with path.open("wb") as file:
        file.truncate(size)
    run([find_tool("mkfs.vfat", "dosfstools"), "-F", "32", path])
    folders: list[str] = []
    for _, name in files:
        parts = name.split("/")[:-1]
        folders += ["/".join(parts[: n + 1]) for n in range(len(parts)) if "/".join(parts[: n + 1]) not in folders]
    if folders:
        run([find_tool("mmd", "mtools"), "-i", path, *(f"::{folder}" for folder in folders)])
    for source, name in files:
        run([find_tool("mcopy", "mtools"), "-i", path, source, f"::{name}"])


def ext4(path: Path, size: int, tree: Path, uuid: str) -> None:
    with path.open("wb") as file:
        file.truncate(size)
    run([find_tool("mke2fs", "e2fsprogs"), "-q", "-t", "ext4", "-U", uuid, "-d", tree, "-F", path])


def uki(stub: Path, kernel: Path, initrd: Path, command_line: str, out: Path) -> None:
    """A unified kernel image: systemd's stub with kernel, initrd and command line as PE sections behind its own."""
    line = out.with_suffix(".cmdline")
    line.write_text(command_line)
    shown = run([find_tool("objdump", "binutils"), "-h", stub]).stdout.split("\n")
    rows = [row.split() for row in shown]
    last = [row for row in rows if len(row) == 7 and row[0].isdigit()][-1]
    at = int(last[3], 16) + int(last[2], 16)
    words: list[str | Path] = [find_tool("objcopy", "binutils")]
    for section, source in ((".cmdline", line), (".linux", kernel), (".initrd", initrd)):
        at = -(-at // 4096) * 4096
        words += ["--add-section", f"{section}={source}", "--change-section-vma", f"{section}={at:#x}"]
        at += source.stat().st_size
    run([*words, stub, out])


ROOT_UUID = "5f3b1c2e-0d4a-4f7b-9c7e-1a2b3c4d5e6f"
STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
COMMAND_LINE = f"root=UUID={ROOT_UUID} rw console=tty1 console=ttyS0,115200n8 mitigations=off"


def debian_disk(generation: int) -> Path:
    """A raw disk with a whole Debian that boots as this generation; as its distribution made it, with no provisioner.

    Made once and cached: copy it before changing it. Needs root for the owners of its files.
    """
    make = _gen2 if generation == 2 else _gen1
    name = f"debian-gen{generation}-{kernel_tree().name}-2.raw"
    return kept(name, lambda made, scratch: make(made, scratch, kernel_tree()))


def kept(name: str, make: Callable[[Path, Path], None]) -> Path:
    """A disk of the cache; where it is missing, `make(disk, scratch)` makes it."""
    disk = cache() / name
    with trees._locked(disk.name):
        if not disk.exists():
            with tempfile.TemporaryDirectory(dir=disk.parent) as scratch:
                made = Path(scratch) / "disk.raw"
                make(made, Path(scratch))
                made.replace(disk)
    return disk


def root_partition(scratch: Path, tree: Path, size: int) -> Path:
    part, fstab = scratch / "root.img", scratch / "fstab"
    ext4(part, size, tree, ROOT_UUID)
    fstab.write_text(f"UUID={ROOT_UUID} / ext4 defaults 0 1\n")
    run([find_tool("debugfs", "e2fsprogs"), "-w", "-f", "-", part], stdin=f"rm /etc/fstab\nwrite {fstab} /etc/fstab\n")
    return part


def _gen2(disk: Path, scratch: Path, tree: Path) -> None:
    make_table(disk, 1290 * MIB, "label: gpt\nstart=1MiB, size=80MiB, type=U\nsize=1200MiB, type=L\n")
    loader, esp = scratch / "BOOTX64.EFI", scratch / "esp.img"
    uki(STUB, kernel_of(tree), max((tree / "boot").glob("initrd.img-*")), COMMAND_LINE, loader)
    fat(esp, 80 * MIB, [(loader, "EFI/BOOT/BOOTX64.EFI")])
    place(esp, disk, MIB)
    place(root_partition(scratch, tree, 1200 * MIB), disk, 81 * MIB)


def _gen1(disk: Path, scratch: Path, tree: Path) -> None:
    make_table(disk, 1290 * MIB, "label: dos\nstart=1MiB, size=80MiB, type=c, bootable\nsize=1200MiB, type=83\n")
    initrd = max((tree / "boot").glob("initrd.img-*"))
    _bios(disk, scratch, 80 * MIB, Kernel(kernel_of(tree), initrd, COMMAND_LINE))
    place(root_partition(scratch, tree, 1200 * MIB), disk, 81 * MIB)


def _bios(disk: Path, scratch: Path, size: int, kernel: Kernel) -> None:
    """Boot code, and a boot partition at 1 MiB from which syslinux starts the kernel."""
    assert kernel.initrd is not None
    boot, menu = scratch / "boot.img", scratch / "syslinux.cfg"
    lines = (" LINUX vmlinuz", " INITRD initrd", f" APPEND {kernel.command_line}")
    menu.write_text("\n".join(("SERIAL 0 115200", "DEFAULT linux", "LABEL linux", *lines, "")))
    fat(boot, size, [(kernel.image, "vmlinuz"), (kernel.initrd, "initrd"), (menu, "syslinux.cfg")])
    run([find_tool("syslinux", "syslinux"), "--install", boot])
    with disk.open("r+b") as file:
        file.write(Path("/usr/lib/syslinux/mbr/mbr.bin").read_bytes()[:440])
    place(boot, disk, MIB)


def mini_disk(disk: Path, scratch: Path, script: str) -> None:
    """The smallest whole disk: Generation 1, one partition, `mini` on it, which knows SCSI disks too."""
    make_table(disk, 48 * MIB, "label: dos\nstart=1MiB, type=c, bootable\n")
    _bios(disk, scratch, 47 * MIB, mini(script, modules=(*MODULES, "sd_mod")))
