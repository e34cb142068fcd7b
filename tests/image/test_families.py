"""Other families than Debian: small trees written after the layout of their packages, their databases' formats real.

What is tested here is that facts are found where each family keeps them: a good image of it passes, one fault is seen.
"""

import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from azready.image.checking import Found, Unseen, ask
from azready.image.facts import Facts
from azready.image.rules import RULES
from azready.image.rules.model import Profile, Severity
from azready.image.targets.tree import Tree
from tests.image.sample import ELF_X86, MODULES, UUID, Sample, cpio, pe

ARGS = f"root=UUID={UUID} ro console=tty1 console=ttyS0,115200n8"
UNIT = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"


def _base(root: Path, os_release: str) -> Sample:
    """What every family has in the same place."""
    s = Sample(root).write("etc/os-release", os_release).write("usr/bin/sh", ELF_X86, 0o755)
    s.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n").write("etc/shadow", "root:*:1::::::\n", 0o640)
    s.write("etc/group", "wheel:x:10:\n").write("etc/fstab", f"UUID={UUID} / ext4 defaults 0 1\n")
    for program in ("sbin/sshd", "sbin/useradd", "sbin/chpasswd", "bin/mount", "bin/python3"):
        s.write(f"usr/{program}", "")
    s.write("usr/bin/sudo", "", 0o4755)
    return s.write("usr/lib/azure-provisioning/provision.py", "")


def _kernel(
    s: Sample, version: str, image: str, archive: str, pack: Callable[[bytes], bytes], end: str = ".ko"
) -> None:
    files = {f"usr/lib/modules/{version}/kernel/{name}{end}": b"" for name in MODULES}
    s.write(image, "kernel").write(archive, pack(cpio(files)))
    s.write(f"usr/lib/modules/{version}/modules.dep", "".join(f"kernel/{name}{end}:\n" for name in MODULES))
    s.write(f"usr/lib/modules/{version}/modules.builtin", "kernel/fs/ext4/ext4.ko\n")


def _xz(data: bytes) -> bytes:
    """As the kernel wants it: with CRC32."""
    return lzma.compress(data, check=lzma.CHECK_CRC32)


def _systemd(s: Sample, *units: str) -> None:
    s.write("usr/lib/systemd/systemd", "").write("etc/machine-id", "")
    for name in ("azure-provisioning", *units):
        s.write(f"usr/lib/systemd/system/{name}.service", UNIT).enable(name)


def fedora(root: Path) -> Sample:
    """Boot loader entries, dracut with zstd, NetworkManager, keys made by sshd-keygen.target."""
    s = _base(root, 'ID=fedora\nVERSION_ID=42\nPRETTY_NAME="Fedora Linux 42"\n')
    _kernel(s, "6.14.0-63.fc42.x86_64", "boot/vmlinuz-6.14.0-63.fc42.x86_64",
            "boot/initramfs-6.14.0-63.fc42.x86_64.img", zstandard.ZstdCompressor().compress, ".ko.xz")  # fmt: skip
    s.write("boot/initramfs-0-rescue-0123.img", "broken on purpose: rescue images are not looked at")
    s.write("boot/loader/entries/0-6.14.conf", "title F\nlinux /vmlinuz-6.14.0-63.fc42.x86_64\noptions $kernelopts\n")
    s.write("boot/grub2/grubenv", f"# GRUB Environment Block\nkernelopts={ARGS}\n####")
    _systemd(s, "sshd", "NetworkManager")
    s.write("usr/lib/systemd/system/sshd.service", f"[Unit]\nWants=sshd-keygen.target\n{UNIT}")
    return s.write("etc/sudoers", "#includedir /etc/sudoers.d\n").write("etc/ssh/sshd_config", "")


def suse(root: Path) -> Sample:
    """Configuration in /usr/etc, GRUB's menu in grub2, wicked, keys made by a step of sshd's own unit."""
    s = _base(root, 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.6"\n')
    _kernel(s, "6.4.0-150600.21-default", "boot/vmlinuz-6.4.0-150600.21-default",
            "boot/initrd-6.4.0-150600.21-default", _xz, ".ko.zst")  # fmt: skip
    s.write("boot/grub2/grub.cfg", f"\tlinux /boot/vmlinuz-6.4.0-150600.21-default {ARGS}\n")
    _systemd(s, "sshd", "wicked")
    s.write("usr/lib/systemd/system/sshd.service", f"{UNIT}[Service]\nExecStartPre=/usr/sbin/sshd-gen-keys-start\n")
    s.write("etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n")
    return s.write("usr/etc/sudoers", "@includedir /etc/sudoers.d\n").write("usr/etc/ssh/sshd_config", "")


def alpine(root: Path) -> Sample:
    """OpenRC, busybox, extlinux, a kernel that is named by its flavour."""
    s = _base(root, "ID=alpine\nVERSION_ID=3.20.1\n")
    import gzip

    _kernel(s, "6.6.31-0-virt", "boot/vmlinuz-virt", "boot/initramfs-virt", gzip.compress, ".ko.gz")
    s.write("boot/extlinux.conf", f"LABEL virt\n  LINUX vmlinuz-virt\n  INITRD initramfs-virt\n  APPEND {ARGS}\n")
    s.write("etc/inittab", "::sysinit:/sbin/openrc sysinit\nttyS0::respawn:/sbin/getty -L 0 ttyS0 vt100\n")
    s.write("etc/network/interfaces", "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n")
    s.write("usr/bin/busybox", "").write("etc/init.d/sshd", "generate_host_keys() { ssh-keygen -A; }\n")
    s.write("lib/apk/db/installed", "P:openssh\nV:9.7\n\n").write("etc/sudoers", "@includedir /etc/sudoers.d\n")
    for name in ("root", "networking", "sshd", "azure-provisioning"):
        level = "boot" if name in ("root", "networking") else "default"
        s.link(f"etc/runlevels/{level}/{name}", f"/etc/init.d/{name}")
    return s.write("etc/ssh/sshd_config", "")


def arch(root: Path) -> Sample:
    """mkinitcpio's names, networkd, a version that no file name in boot holds."""
    s = _base(root, "ID=arch\n")
    _kernel(s, "6.9.3-arch1-1", "boot/vmlinuz-linux", "boot/initramfs-linux.img", zstandard.ZstdCompressor().compress)
    s.write("boot/grub/grub.cfg", f"linux /boot/vmlinuz-linux {ARGS}\n")
    _systemd(s, "sshd", "systemd-networkd", "sshdgenkeys")
    s.write("etc/systemd/network/20-wired.network", "[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n")
    s.write("var/lib/pacman/local/linux-6.9.3/desc", "%NAME%\nlinux\n\n%VERSION%\n6.9.3\n")
    return s.write("etc/sudoers", "@includedir /etc/sudoers.d\n").write("etc/ssh/sshd_config", "")


def unified(root: Path) -> Sample:
    """mkosi: everything that boots is one program on the EFI partition."""
    s = _base(root, "ID=fedora\nVERSION_ID=42\nVARIANT_ID=mkosi\n")
    _kernel(s, "6.14.0", "usr/lib/modules/6.14.0/vmlinuz", "unused", zstandard.ZstdCompressor().compress)
    archive = (s.root / "unused").read_bytes()
    s.remove("unused")
    sections = {".linux": b"k", ".uname": b"6.14.0", ".cmdline": ARGS.encode(), ".initrd": archive}
    s.write("efi/EFI/Linux/fedora-6.14.0.efi", pe(sections=sections)).write("efi/EFI/BOOT/BOOTX64.EFI", pe())
    _systemd(s, "sshd", "systemd-networkd", "azure-provisioning-hostkeys")
    s.write("usr/lib/systemd/network/80-ethernet.network", "[Match]\nType=ether\n[Network]\nDHCP=yes\n")
    return s.write("etc/sudoers", "@includedir /etc/sudoers.d\n").write("etc/ssh/sshd_config", "")


FAMILIES = (fedora, suse, alpine, arch, unified)


@pytest.mark.parametrize("make", FAMILIES)
def test_a_good_image_of_the_family_has_no_grave_finding(make: Callable[[Path], Sample], tmp_path: Path) -> None:
    facts = Facts(Tree(make(tmp_path).root))
    assert len(facts.kernels) == 1 and facts.kernels[0].default and facts.kernels[0].initramfs is not None
    assert facts.boot_entries[0].values("console") == ["tty1", "ttyS0,115200n8"]
    grave = {}
    for rule in RULES:
        answer = ask(rule, facts)
        assert not isinstance(answer, Unseen), (rule.id, answer)
        severity = rule.severity(
            set(Profile) - {Profile.MSP, Profile.SPECIALIZED}
        )  # its proxy agent is no distribution's
        if isinstance(answer, Found) and severity is not None:
            worst = max(finding.severity or severity for finding in answer.findings)
            if worst >= Severity.ERROR:
                grave[rule.id] = answer.findings
    assert grave == {}


@pytest.mark.parametrize("make", FAMILIES)
def test_a_driver_that_is_missing_is_seen(make: Callable[[Path], Sample], tmp_path: Path) -> None:
    sample = make(tmp_path)
    facts = Facts(Tree(sample.root))
    (kernel,) = facts.kernels
    place = kernel.initramfs_path or next(iter(facts.ukis.values())).path
    nothing = cpio({"init": b"x"})
    if kernel.initramfs_path:
        sample.write(place, nothing)
    else:
        sample.write(place, pe(sections={".linux": b"k", ".uname": b"6.14.0", ".initrd": nothing}))
    answer = ask(next(rule for rule in RULES if rule.id == "K01"), Facts(Tree(sample.root)))
    assert isinstance(answer, Found)
    names = facts.distro.names
    assert names.rebuild_initramfs in answer.findings[0].fix


@pytest.mark.parametrize(
    "says", [("", "token/6.14.0-63.fc42.x86_64/linux"), ("version 6.14.0-63.fc42.x86_64\n", "linux")]
)
def test_an_initramfs_is_where_its_boot_loader_entry_says(tmp_path: Path, says: tuple[str, str]) -> None:
    sample = fedora(tmp_path)
    archive = sample.root / "boot/initramfs-6.14.0-63.fc42.x86_64.img"
    sample.write("boot/token/initrd", archive.read_bytes()).remove("boot/initramfs-6.14.0-63.fc42.x86_64.img")
    version, kernel = says
    entry = f"{version}linux /{kernel}\ninitrd /ucode.img\ninitrd /token/initrd $more\noptions {ARGS}\n"
    sample.write("boot/loader/entries/0-6.14.conf", entry)
    sample.write("boot/loader/entries/0-6.13.conf", "linux /old\ninitrd /gone\n")
    facts = Facts(Tree(sample.root))
    assert facts.kernels[0].initramfs_path == "boot/token/initrd" and facts.kernels[0].boots_with("hv_vmbus")


def test_the_commands_of_the_family_are_named(tmp_path: Path) -> None:
    sample = (
        alpine(tmp_path).edit("boot/extlinux.conf", "console=ttyS0,115200n8", "").write("etc/update-extlinux.conf", "")
    )
    answer = ask(next(rule for rule in RULES if rule.id == "B01"), Facts(Tree(sample.root)))
    assert isinstance(answer, Found) and "update-extlinux" in answer.findings[0].fix
