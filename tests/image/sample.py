"""Small root trees for the rules: one good image, and changes to it.

The good image is written by hand after Debian's layout (paths, file formats), with a kernel whose initramfs is a real
archive. Tests on whole Debian trees are in test_real_trees.py; this one exists to break one thing at a time.
"""

import gzip
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

KERNEL = "6.1.0-35-amd64"
UUID = "0a1b2c3d-0000-4000-8000-1234567890ab"
ELF_X86 = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, 62)
ELF_ARM = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, 183)
MODULES = (
    "drivers/hv/hv_vmbus", "drivers/scsi/hv_storvsc", "drivers/net/hyperv/hv_netvsc", "drivers/hv/hv_utils",
    "drivers/hv/hv_balloon", "drivers/video/fbdev/hyperv_fb", "drivers/input/serio/hyperv-keyboard",
    "drivers/nvme/host/nvme", "drivers/nvme/host/nvme-core", "drivers/pci/controller/pci-hyperv",
    "drivers/net/ethernet/mellanox/mlx5/core/mlx5_core", "drivers/net/ethernet/microsoft/mana/mana",
    "fs/udf/udf", "fs/isofs/isofs", "fs/fat/vfat", "fs/smb/client/cifs", "drivers/block/floppy",
)  # fmt: skip


def cpio(members: Mapping[str, bytes]) -> bytes:
    """A "new ASCII" archive of regular files."""
    out = b""
    for number, (name, data) in enumerate({**members, "TRAILER!!!": b""}.items()):
        fields = (number, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out += head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
    return out


def initramfs(modules: Iterable[str] = MODULES, extra: Mapping[str, bytes] | None = None) -> bytes:
    """Microcode in plain, then everything else with gzip, as initramfs-tools does."""
    early = cpio({"kernel/x86/microcode/GenuineIntel.bin": b"x" * 100})
    files = {f"usr/lib/modules/{KERNEL}/kernel/{name}.ko": b"" for name in modules}
    return early + gzip.compress(cpio({**files, **(extra or {})}), mtime=0)


def _unit(wanted_by: str = "multi-user.target", more: str = "") -> str:
    return f"[Unit]\nDescription=x\n{more}[Service]\nExecStart=/bin/true\n[Install]\nWantedBy={wanted_by}\n"


GOOD: Mapping[str, str | bytes] = {
    "etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n",
    "etc/group": "root:x:0:\nsudo:x:27:\n",
    "etc/gshadow": "root:*::\nsudo:*::\n",
    "etc/fstab": f"UUID={UUID} / ext4 defaults,x-systemd.growfs 0 1\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost\n",
    "etc/hostname": "localhost\n",
    "etc/machine-id": "uninitialized\n",
    "etc/resolv.conf": "",
    "etc/locale.conf": "LANG=C.UTF-8\n",
    "etc/sudoers": "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
    "etc/azure-provisioning.conf": "GROW=yes\n",
    "etc/apt/sources.list": "deb http://mirror.example/debian bookworm main\n"
    "deb http://mirror.example/debian-security bookworm-security main\n",
    "etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\n",
    "etc/ssh/sshd_config.d/10-azure.conf": "ClientAliveInterval 180\n",
    "etc/chrony/chrony.conf": "refclock PHC /dev/ptp_hyperv poll 3 dpoll -2 offset 0 stratum 2\nmakestep 1.0 -1\n",
    "etc/systemd/network/10-eth0.network": "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n",
    "etc/systemd/system-preset/05-azure-image.preset": "enable ssh.service\n",
    "etc/modprobe.d/azure-no-floppy.conf": "blacklist floppy\n",
    "etc/default/grub": 'GRUB_TIMEOUT=5\nGRUB_TERMINAL="serial console"\n'
    'GRUB_CMDLINE_LINUX="console=tty1 console=ttyS0,115200n8"\n',
    "etc/udev/rules.d/10-azure.rules": 'SUBSYSTEM=="net", DRIVERS=="hv_pci", ENV{NM_UNMANAGED}="1"\n'
    'SUBSYSTEM=="ptp", ATTR{clock_name}=="hyperv", SYMLINK+="ptp_hyperv"\n'
    'SYMLINK+="disk/azure/os"\nATTRS{vendor}=="Msft", ATTR{timeout}="300"\n'
    'KERNEL=="nvme*", ATTR{queue/io_timeout}="240000"\n',
    "boot/grub/grub.cfg": f"menuentry 'x' {{\n\tlinux /boot/vmlinuz-{KERNEL} root=UUID={UUID} ro console=tty1 "
    "console=ttyS0,115200n8 earlyprintk=ttyS0 rootdelay=300 nvme_core.io_timeout=240\n}\nset timeout=5\n",
    f"boot/vmlinuz-{KERNEL}": b"kernel",
    f"boot/initrd.img-{KERNEL}": initramfs(),
    f"boot/config-{KERNEL}": "CONFIG_WATCHDOG=y\n",
    "boot/efi/EFI/BOOT/BOOTX64.EFI": b"",  # replaced below
    f"usr/lib/modules/{KERNEL}/modules.dep": "".join(f"kernel/{name}.ko:\n" for name in MODULES),
    f"usr/lib/modules/{KERNEL}/modules.builtin": "kernel/fs/ext4/ext4.ko\n",
    "usr/bin/sh": ELF_X86,
    "usr/bin/sudo": "", "usr/bin/python3": "", "usr/sbin/sshd": "", "usr/sbin/useradd": "", "usr/sbin/chpasswd": "",
    "usr/bin/mount": "", "usr/sbin/sfdisk": "", "usr/bin/partx": "", "usr/sbin/resize2fs": "",
    "usr/lib/systemd/systemd": "",
    "usr/lib/systemd/system/ssh.service": _unit(),
    "usr/lib/systemd/system/systemd-networkd.service": _unit(),
    "usr/lib/systemd/system/systemd-networkd-wait-online.service": _unit("network-online.target"),
    "usr/lib/systemd/system/chrony.service": _unit(),
    "usr/lib/systemd/system/hv-kvp-daemon.service": _unit(),
    "usr/lib/systemd/system/serial-getty@.service": _unit("getty.target"),
    "usr/lib/systemd/system/azure-provisioning.service": _unit(),
    "usr/lib/systemd/system/azure-proxy-agent.service": _unit(),
    "usr/sbin/azure-proxy-agent": "",
    "usr/lib/systemd/system/azure-provisioning-hostkeys.service": _unit(),
    "usr/lib/systemd/system/azure-ephemeral-disk-setup.service": _unit(),
    "usr/lib/azure-provisioning/provision.py": "",
    "var/lib/azure-provisioning/": "",
    "var/lib/dpkg/status": "Package: openssl\nStatus: install ok installed\nVersion: 3.0.15-1~deb12u1\n\n"
    "Package: bash\nStatus: install ok installed\nVersion: 5.2.15-2+b7\n",
    "root/": "", "usr/lib/udev/rules.d/50-udev-default.rules": "", "var/log/": "", "tmp/": "", "var/tmp/": "",
}  # fmt: skip
ENABLED = (
    "ssh", "systemd-networkd", "systemd-networkd-wait-online", "chrony", "hv-kvp-daemon", "azure-provisioning",
    "azure-provisioning-hostkeys", "azure-ephemeral-disk-setup", "azure-proxy-agent",
)  # fmt: skip


class Sample:
    """A root tree that is written piece by piece; every method returns the sample, so that changes chain."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = str(root)
        if root.is_dir():
            root.chmod(0o755)  # folders that tests get are 0700

    def write(self, path: str, data: str | bytes, mode: int | None = None) -> "Sample":
        if path.endswith("/"):
            Path(self._at(path)).mkdir(parents=True, exist_ok=True)
            return self
        file = self._new(self._at(path))
        try:
            os.fchmod(file, mode if mode is not None else 0o644)
            os.write(file, data.encode() if isinstance(data, str) else data)
        finally:
            os.close(file)
        return self

    def _at(self, path: str) -> str:
        """Thousands of samples are written, a hundred names each: as paths they would cost more than the files."""
        return f"{self._folder}/{path}"

    def _new(self, target: str) -> int:
        """A new file, open. Mostly nothing stands in its way."""
        while True:
            try:
                return os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileNotFoundError:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                Path(target).unlink()

    def append(self, path: str, text: str) -> "Sample":
        with (self.root / path).open("a") as file:
            file.write(text)
        return self

    def edit(self, path: str, old: str, new: str) -> "Sample":
        text = (self.root / path).read_text()
        assert old in text, f"{path} does not hold {old!r}"
        return self.write(path, text.replace(old, new))

    def link(self, path: str, to: str) -> "Sample":
        target = Path(self._at(path))
        while True:
            try:
                target.symlink_to(to)
                return self
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                target.unlink()

    def remove(self, *paths: str) -> "Sample":
        for path in paths:
            (self.root / path).unlink()
        return self

    def enable(self, name: str, wants: str = "multi-user.target") -> "Sample":
        return self.link(f"etc/systemd/system/{wants}.wants/{name}.service", f"/usr/lib/systemd/system/{name}.service")

    def disable(self, name: str) -> "Sample":
        return self.remove(f"etc/systemd/system/multi-user.target.wants/{name}.service")

    def unit(self, name: str, more: str = "", enabled: bool = True) -> "Sample":
        """A unit that is installed, and enabled."""
        self.write(f"usr/lib/systemd/system/{name}.service", _unit(more=more))
        return self.enable(name) if enabled else self

    def arguments(self, *args: str) -> "Sample":
        """More arguments on the kernel's command line."""
        return self.edit("boot/grub/grub.cfg", " ro ", f" ro {' '.join(args)} ")

    def without_argument(self, arg: str) -> "Sample":
        return self.edit("boot/grub/grub.cfg", f" {arg}", "")

    def without_module(self, name: str) -> "Sample":
        """A driver that is nowhere: not in the initramfs, not among the modules."""
        left = [each for each in MODULES if each.rpartition("/")[2].replace("-", "_") != name]
        assert len(left) < len(MODULES), name
        self.write(f"usr/lib/modules/{KERNEL}/modules.dep", "".join(f"kernel/{each}.ko:\n" for each in left))
        return self.write(f"boot/initrd.img-{KERNEL}", initramfs(left))

    def not_in_initramfs(self, name: str) -> "Sample":
        left = [each for each in MODULES if each.rpartition("/")[2].replace("-", "_") != name]
        assert len(left) < len(MODULES), name
        return self.write(f"boot/initrd.img-{KERNEL}", initramfs(left))


def pe(signature: bytes = b"Microsoft Corporation UEFI CA 2011", sections: Mapping[str, bytes] | None = None) -> bytes:
    """An EFI program: headers, sections, and a certificate table that holds `signature`."""
    sections = sections or {}
    start = 0x400
    table, data = b"", b""
    for name, content in sections.items():
        at = start + len(data)
        table += name.encode().ljust(8, b"\0") + struct.pack("<IIII", len(content), at, len(content), at) + bytes(16)
        data += content
    where = (start + len(data), len(signature)) if signature else (0, 0)
    optional = struct.pack("<H", 0x20B).ljust(108, b"\0") + struct.pack("<I", 16)
    optional += bytes(32) + struct.pack("<II", *where) + bytes(88)
    coff = struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, len(optional), 0x22)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0" + coff + optional + table
    return head.ljust(start, b"\0") + data + signature


def good_image(root: Path) -> Sample:
    """The image that no rule finds anything wrong with."""
    sample = Sample(root)
    for path, data in GOOD.items():
        sample.write(path, data)
    sample.write("boot/efi/EFI/BOOT/BOOTX64.EFI", pe())
    for path in ("etc/shadow", "etc/gshadow"):
        (root / path).chmod(0o640)
    (root / "usr/bin/sh").chmod(0o755)
    (root / "usr/bin/sudo").chmod(0o4755)
    for name in ENABLED:
        sample.enable(name)
    built = (root / f"boot/initrd.img-{KERNEL}").stat().st_mtime
    for path in ("etc/modprobe.d/azure-no-floppy.conf",):
        os.utime(root / path, (built, built))
    return sample.link("bin", "usr/bin").link("lib", "usr/lib").link("sbin", "usr/sbin")
