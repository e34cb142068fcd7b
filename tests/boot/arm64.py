"""A whole Debian disk for arm64, made on any machine: nothing of arm64 runs while it is made.

Debian's maintainer scripts run for amd64 only here. What they leave is text (accounts, links, unit symlinks, dpkg's
database) and the same on both; so the system is the tree configured for amd64, with every program of it replaced by
that of Debian's packages for arm64. Its initramfs is busybox with the modules that a VM in Azure and one in QEMU need.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from azready.pipelines import trees
from azready.proc import find_tool, run
from tests.boot.machines import (
    FULL,
    MIB,
    ROOT_UUID,
    archive,
    fat,
    kept,
    kernel_of,
    kernel_tree,
    make_table,
    module_order,
    place,
    root_partition,
)

SUITE = "bookworm"
MODULES = (
    *("hv_vmbus", "hv_storvsc", "hv_netvsc", "pci-hyperv", "hv_utils"),
    *("virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net", "sr_mod", "isofs", "udf", "nvme", "mlx5_core"),
)

COMMAND_LINE = (
    f"root=UUID={ROOT_UUID} rw console=tty1 console=ttyAMA0 initcall_blacklist=arm_pmu_acpi_init mitigations=off"
)
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
for word in $(cat /proc/cmdline); do case $word in root=*) root=${word#root=};; esac; done
tries=0
until disk=$(findfs "$root"); do
    tries=$((tries + 1)); [ $tries -lt 60 ] || { echo "no root device: $root"; sleep 1; poweroff -f; }
    sleep 0.5
done
mount "$disk" /root
mount --move /dev /root/dev
exec switch_root /root /sbin/init
"""


def disk() -> Path:
    """A raw disk of Generation 2 with a whole Debian for arm64 and no provisioner; made once and cached."""
    return kept(f"debian-arm64-{kernel_tree().name}-3.raw", _make)


def _make(made: Path, scratch: Path) -> None:
    programs, root, esp = scratch / "programs", scratch / "root", scratch / "esp.img"
    trees.unpack(trees.tree(SUITE, FULL), root)
    names = [name.replace("amd64", "arm64") for name in _installed(root)]
    included = ",".join((*names, "busybox-static", "systemd-boot-efi"))
    words = ["-q", "--variant=extract", "--architectures=arm64", f"--include={included}"]
    run([find_tool("mmdebstrap", "mmdebstrap"), *words, SUITE, programs])
    _exchange(root, programs)
    version = next((root / "lib/modules").iterdir()).name
    run([find_tool("depmod", "kmod"), "-b", root, version])
    kernel, initrd = kernel_of(root), root / f"boot/initrd.img-{version}"
    initrd.write_bytes(_initramfs(scratch / "initramfs", root, programs))
    entry, settings = scratch / "debian.conf", scratch / "loader.conf"
    entry.write_text(f"title Debian\nlinux /vmlinuz\ninitrd /initrd\noptions {COMMAND_LINE}\n")
    settings.write_text("timeout 0\n")
    loader = programs / "usr/lib/systemd/boot/efi/systemd-bootaa64.efi"
    files = [(loader, "EFI/BOOT/BOOTAA64.EFI"), (settings, "loader/loader.conf"), (kernel, "vmlinuz")]
    files += [(initrd, "initrd"), (entry, "loader/entries/debian.conf")]
    make_table(made, 1290 * MIB, "label: gpt\nstart=1MiB, size=80MiB, type=U\nsize=1200MiB, type=L\n")
    fat(esp, 80 * MIB, files)
    place(esp, made, MIB)
    place(root_partition(scratch, root, 1200 * MIB), made, 81 * MIB)


def _installed(root: Path) -> list[str]:
    words = [find_tool("dpkg-query", "dpkg"), f"--admindir={root}/var/lib/dpkg", "-W", "-f", "${Package}\n"]
    return run(words).stdout.split()


def _exchange(root: Path, programs: Path) -> None:
    """Every program, library and kernel of `root` goes, and those of `programs` come; dpkg is told."""
    for old in ("usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib/modules", "boot"):
        shutil.rmtree(root / old, ignore_errors=True)
    (root / "etc/ld.so.cache").unlink(missing_ok=True)
    for folder in ("bin", "sbin", "lib", "usr", "boot"):
        (root / folder).mkdir(exist_ok=True)
        run(["cp", "-a", f"{programs / folder}/.", f"{root / folder}/"])
    database = root / "var/lib/dpkg"
    for path in _naming(database):
        path.write_text(path.read_text().replace("x86_64-linux-gnu", "aarch64-linux-gnu").replace("amd64", "arm64"))
    for path in sorted((database / "info").glob("*amd64*")):
        path.rename(path.with_name(path.name.replace("amd64", "arm64")))


def _naming(database: Path) -> Iterator[Path]:
    yield database / "status"
    yield from (database / "info").glob("*.list")


def _initramfs(folder: Path, root: Path, programs: Path) -> bytes:
    order = module_order(root, MODULES)
    (folder / "bin").mkdir(parents=True)
    shutil.copy(programs / "bin/busybox", folder / "bin/busybox")
    modules = folder / "modules"
    modules.mkdir()
    for path in order:
        shutil.copy(path, modules / path.name)
    (modules / "order").write_text("".join(f"{path.name}\n" for path in order))
    (folder / "init").write_text(INIT)
    (folder / "init").chmod(0o755)
    return archive(folder)
