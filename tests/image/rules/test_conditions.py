# ruff: noqa: E501 (tables)
"""Each half of a rule's condition by itself: an image that meets one and not the other."""

import os
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azready.errors import UsageFailure
from azready.image.actions import Link, Remove, Write
from azready.image.apply import apply
from azready.image.checking import Answer, Found, Passed, Skipped, ask
from azready.image.facts import Facts
from azready.image.facts.disk import Disk
from azready.image.rules import RULES, pages
from azready.image.rules.guards import to_enable
from azready.image.rules.mac_repairs import free_of_macs, without_netplan_macs
from azready.image.rules.model import Finding, Severity
from azready.image.rules.waivers import parse_waivers
from azready.image.targets.tree import Tree
from tests.image.rules.cases import (
    BIOS,
    DISK,
    GONE,
    ROOT,
    SEARCH,
    SSHD,
    STUB,
    Change,
    alpine,
    argument,
    both,
    carries,
    cloud_init,
    disk,
    fedora,
    mount_unit,
    root_holds,
    selinux,
    shim,
    stack,
)
from tests.image.rules.test_near_misses import add, second, swap, write
from tests.image.sample import KERNEL, MODULES, UUID, Sample, good_image

BY_ID = {rule.id: rule for rule in RULES}
GRUB, PRESET, NETWORKD = (
    "boot/grub/grub.cfg",
    "etc/systemd/system-preset/05-azure-image.preset",
    "etc/systemd/network/10-eth0.network",
)
OPEN, CLOSED = (
    "chain o { type filter hook output priority 0; }\n",
    "chain o { type filter hook output priority 0; policy drop; }\n",
)


def no(*paths: str) -> Change:
    return lambda s: s.remove(*paths)


def _answer(id: str, change: Change, folder: Path, at: Disk | None = None) -> Answer:
    change(sample := good_image(folder))
    return ask(BY_ID[id], Facts(Tree(sample.root), disk=at))


def _whats(answer: Answer) -> list[str]:
    return [each.what for each in answer.findings] if isinstance(answer, Found) else []


def routed(to: str) -> Change:
    return add(NETWORKD, f"[Route]\nDestination={to}\n")


def older(*lacks: str) -> Change:
    """A second kernel, which does not boot by itself, without some drivers."""
    listed = "".join(f"kernel/{each}.ko:\n" for each in MODULES if each.rpartition("/")[2] not in lacks)
    return both(
        write("usr/lib/modules/5.10.0-1-amd64/modules.dep", listed), write("boot/vmlinuz-5.10.0-1-amd64", "kernel")
    )


def cloud_network(card: str = "eth0: {dhcp4: true}") -> Change:
    """The file that cloud-init writes for netplan, which an installer of Ubuntu writes too."""
    generator = write("usr/lib/systemd/system-generators/netplan", "")
    return both(generator, write("etc/netplan/50-cloud-init.yaml", f"network: {{ethernets: {{{card}}}}}\n"))


def firstboot(options: str, enabled: bool = True) -> Change:
    name, text = (
        "systemd-firstboot",
        f"[Service]\nExecStart=systemd-firstboot {options}\n[Install]\nWantedBy=sysinit.target\n",
    )
    unit = write(f"usr/lib/systemd/system/{name}.service", text)
    return both(unit, (lambda s: s.enable(name, "sysinit.target")) if enabled else (lambda s: s))


UDEV = "etc/udev/rules.d/10-azure.rules"
PAM = write("usr/lib/x86_64-linux-gnu/security/pam_unix.so", "")
PASSES: tuple[tuple[str, Change], ...] = (
    ("A01", add("etc/shadow", "\n+::0:0:::\n-bob:$6$x\n#old:$6$x:1::::::\nx:!:1::::::\n:x:\n")),
    ("A09", lambda s: s.write("etc/sudoers.d/site", "# x\n", 0o441)), ("A09", lambda s: s.write("etc/sudoers.d/site", "# x\n", 0o455)),
    ("B12", write("etc/inittab", "1:2345:respawn:/sbin/getty tty1\n")), ("B12", both(alpine, add("etc/inittab", "ttyS0::respawn:/sbin/getty ttyS0\n"))),
    ("D09", no("etc/fstab")), ("D09", add("etc/fstab", "/dev/disk/by-id/x /data ext4 nofail 0 2\n")),
    ("N02", second("ifname=eth9:00:11:22:33:44:55")), ("N03", second("ip=10.0.0.5")), ("N03", routed("0.0.0.0/0")), ("N03", routed("10.0.0.0/8")), ("N03", routed("x")),
    ("N09", both(lambda s: s.unit("nftables"), write("etc/nftables.conf", OPEN), write("etc/sysconfig/nftables.conf", CLOSED))),
    ("N09", both(write("etc/nftables.conf", CLOSED))), ("N09", write("etc/hosts.deny", "ALL: ALL\n")),
    ("S03", both(alpine, write("etc/init.d/sshd", "checkconfig || ssh-keygen -A\n"))), ("S03", both(alpine, write("etc/init.d/ssh", "ssh-keygen -A\n"))),
    ("S03", add(SSHD, "HostKey /etc/ssh/ssh_host_rsa_key\nHostKey /keys/own\n")), ("S08", PAM), ("P17", both(write("opt/omi/bin/omiserver", ""), add("var/lib/dpkg/status", "\nPackage: omi\nStatus: install ok installed\nVersion: 1.6.8.1.0\n"))),
    ("P19", both(fedora, write("etc/selinux/config", "SELINUX=permissive\n"), lambda s: s.remove(PRESET), lambda s: (s.root / "usr/lib/azure-provisioning").rename(s.root / "gone"))),
    ("P12", carries("etc/machine-id", "uninitialized")), ("P12", carries("etc/other-id", "a1" * 16)),
    ("G25", both(write("etc/wireguard/wg0.conf", "PublicKey = x\n"), write("secret.conf", "PrivateKey = x\n"), lambda s: s.link("etc/wireguard/wg1.conf", "/secret.conf"))),
    ("G25", write("etc/popularity-contest.conf", "MY_HOSTID=\n")), ("N03", write("etc/NetworkManager/system-connections/a", "[ipv4]\nroute1=10.1.0.0/16,10.0.0.1\n")),
    ("B08", second("boot=UUID=99", "fips=1")), ("P02", lambda s: s.unit("quiet", enabled=False).write(PRESET, "enable ssh.service\ndisable quiet.service\n")),
    ("P03", firstboot("--prompt-timezone", enabled=False)), ("P03", both(firstboot("--prompt-timezone"), lambda s: s.link("etc/localtime", "../usr/share/zoneinfo/UTC"))),
    ("P03", both(firstboot("--prompt-timezone"), write("etc/machine-id", ""))), ("P03", firstboot("")),
    ("P04", write("var/lib/waagent/x", "")), ("N02", write("etc/udev/rules.d/70-persistent-net.rules", "")), ("N02", lambda s: s.link("etc/udev/rules.d/70-persistent-net.rules", "/dev/null")),
    ("N14", write("etc/udhcpc/udhcpc.conf", "x=1\n")), ("N11", lambda s: s.remove("etc/resolv.conf")), ("N11", both(no("etc/resolv.conf"), lambda s: s.link("etc/resolv.conf", "/run/x"))),
    ("K12", both(stack("NetworkManager"), no(UDEV), write("etc/NetworkManager/conf.d/a.conf", "[keyfile]\nunmanaged-devices+=driver:mlx4_core;driver:mlx5_core\n"))),
    ("K12", both(no(UDEV), write("etc/udev/rules.d/x.rules", 'DRIVERS=="hv_pci", ENV{ID_NET_MANAGED_BY}="unmanaged"\n'))),
    ("K17", lambda s: os.utime(s.write("etc/mkinitcpio.conf", "").root / "etc/mkinitcpio.conf", (1, (s.root / f"boot/initrd.img-{KERNEL}").stat().st_mtime + 1))),
    ("G07", both(no(NETWORKD), cloud_network())), ("B16", both(shim("grubx64.efi", "mmx64.efi"), older())),
    ("D11", both(no("usr/sbin/sfdisk", "usr/bin/partx"), write("usr/sbin/sgdisk", ""), write("usr/bin/growpart", ""))), ("D11", both(no("usr/bin/partx"), write("usr/bin/growpart", ""))),
    ("P16", both(write("etc/dnf/dnf.conf", "[main]\n#proxy=http://x\nproxy=\n"), write("etc/apt/apt.conf.d/1", 'Acquire::http::Proxy "DIRECT";\n'))),
)  # fmt: skip


@pytest.mark.parametrize(("id", "change"), PASSES, ids=[f"{row[0]}-{n}" for n, row in enumerate(PASSES)])
def test_it_is_no_fault(id: str, change: Change, tmp_path: Path) -> None:
    assert _answer(id, change, tmp_path) == Passed()


FOUND: tuple[tuple[str, Change, list[str]], ...] = (
    ("A09", lambda s: s.write("etc/sudoers.d/site", "# x\n", 0o460), ["mode 0460: sudo ignores it"]), ("A09", lambda s: s.write("etc/sudoers.d/site", "# x\n", 0o442), ["mode 0442: sudo ignores it"]),
    ("P04", add("var/lib/dpkg/status", "\nPackage: waagent\nStatus: install ok installed\nVersion: 2\n"), ["waagent: package waagent"]),
    ("G25", write("etc/wireguard/wg0.conf", "[Interface]\nPrivateKey = x\nPresharedKey = y\nPrivateKey = z\n"), ["a private key of WireGuard"]),
    ("G25", write("etc/popularity-contest.conf", 'MY_HOSTID="0a"\n'), ["popularity contest"]), ("G25", lambda s: s.write("var/db/tang/a.jwk", "x"), ["Tang"]),
    ("N03", write("etc/NetworkManager/system-connections/a", "[ipv4]\nroute1=169.254.169.254/32,168.63.129.16\n"), ["a route of one's own to 169.254.169.254/32"]),
    ("N03", write("etc/sysconfig/network/routes", "168.63.129.16 10.0.0.1 - -\n10.1.0.0/16 168.63.129.16\n"), ["a route of one's own to 168.63.129.16"]),
    ("P03", firstboot("--prompt-timezone"), ["systemd-firstboot.service asks for timezone at a first boot"]), ("P03", firstboot("--prompt"), ["systemd-firstboot.service asks for timezone, keymap at a first boot"]),
    ("P07", both(lambda s: s.disable("chrony"), lambda s: s.unit("ntp")), ["ntp sets the clock, and knows no host clock"]),
    ("N02", write("etc/udev/rules.d/70-persistent-net.rules", "x"), ["it binds names to MAC addresses"]),
    ("N08", both(lambda s: s.disable("systemd-networkd-wait-online"), lambda s: s.unit("NetworkManager-wait-online")), ["systemd-networkd-wait-online.service is not enabled"]),
    ("N11", write("etc/resolv.conf", "nameserver 10.0.0.2\nnameserver 127.0.0.53\n"), ["nameserver 10.0.0.2"]),
    ("K12", both(stack("NetworkManager"), no(UDEV)), ["NetworkManager manages every card that no rule excepts"]),
    ("K12", both(stack("NetworkManager"), write(UDEV, 'DRIVERS=="hv_pci", ENV{X}="1"\nDRIVERS=="x", ENV{NM_UNMANAGED}="1"\n')), ["NetworkManager manages every card that no rule excepts"]),
    ("K12", both(stack("NetworkManager"), write(UDEV, 'DRIVERS=="hv_pci", ATTR{flags}=="0x?[89]", ENV{NM_UNMANAGED}="1"\n')), ["NetworkManager manages every card that no rule excepts"]),
    ("K17", lambda s: os.utime(s.write("etc/mkinitcpio.conf", "").root / "etc/mkinitcpio.conf", (1, (s.root / f"boot/initrd.img-{KERNEL}").stat().st_mtime + 2)), [f"/etc/mkinitcpio.conf is newer than /boot/initrd.img-{KERNEL}"]),
    ("G07", cloud_network(), ["cloud-init: network configuration"]), ("G07", both(no(NETWORKD), cloud_network("eth0: {addresses: [10.0.0.5/24]}")), ["cloud-init: network configuration"]),
    ("G07", cloud_init(no(NETWORKD), cloud_network()), ["cloud-init: network configuration"]),
    ("D11", no("usr/bin/partx"), ["GROW=yes, but the image has no sfdisk, with growpart or partx"]), ("D11", both(no("usr/sbin/sfdisk"), write("usr/sbin/sgdisk", "")), ["GROW=yes, but the image has no sfdisk, with growpart or partx"]),
    ("D11", both(no("usr/sbin/sfdisk", "usr/bin/partx"), write("usr/bin/growpart", "")), ["GROW=yes, but the image has no sfdisk, with growpart or partx"]),
    ("B07", both(swap(GRUB, f"root=UUID={UUID}", "root=/dev/sda1"), second()), ["root=/dev/sda1: the name may be another disk's"]),
    ("B06", both(argument("quiet"), second()), ["quiet: the serial log stays empty"]),
    ("P02", both(lambda s: s.write("usr/lib/systemd/system/ssh.socket", "[Socket]\nListenStream=22\n[Install]\nWantedBy=sockets.target\n")), ["a first boot enables ssh.socket, which conflicts with the ssh service"]),
    ("B06", argument("crashkernel=auto"), ["crashkernel=auto: it takes memory from small sizes"]),
    ("B12", both(alpine, add("etc/inittab", "#ttyS0::respawn:/sbin/getty ttyS0\n")), ["no line for ttyS0"]),
    ("D09", add("etc/fstab", "/dev/disk/by-id/x /data ext4 defaults 0 2\n"), ["/dev/disk/by-id/x on /data: a name of the hardware that the image was made on"]),
    ("N02", argument("ifname=eth9:00:11:22:33:44:55"), ["ifname=eth9:00:11:22:33:44:55 on the kernel's command line"]), ("N03", argument("ip=10.0.0.5"), ["ip=10.0.0.5 on the kernel's command line"]),
    ("N03", routed("168.63.129.16/16"), ["a route of one's own to 168.63.129.16/16"]), ("N03", routed("128.0.0.0/1"), ["a route of one's own to 128.0.0.0/1"]), ("N03", routed("169.254.169.254"), ["a route of one's own to 169.254.169.254"]),
    ("N03", both(lambda s: s.disable("systemd-networkd"), add(NETWORKD, "Address=10.0.0.5/24\n")), ["Address=10.0.0.5/24"]),
    ("N09", both(lambda s: s.unit("nftables"), write("etc/nftables.conf", CLOSED), write("etc/sysconfig/nftables.conf", OPEN)), ["an output chain of nftables drops what goes to 168.63.129.16 and 169.254.169.254"]),
    ("N09", both(write("usr/sbin/tcpd", ""), write("etc/hosts.deny", "#ALL: ALL\nftpd: ALL\nsshd : ALL\n")), ["sshd : ALL"]),
    ("S03", add(SSHD, "HostKey /keys/own\n"), ["HostKey names /keys/own, which nobody makes at the first boot"]),
    ("S03", both(alpine, write("etc/init.d/sshd", "start\n")), ["the init script of sshd makes no keys"]),
    ("S08", both(PAM, write("etc/pam.d/sshd", "auth required pam_unix.so\nsession required pam_unix.so\n")), ["no account rule of PAM says yes: sshd lets nobody in"]),
    ("P12", carries("etc/machine-id", "a1" * 16), ["the initramfs carries a copy (etc/machine-id)"]),
    ("P15", write("etc/apt/sources.list", "# deb x\n\n  # deb y\n"), ["no repository is set"]),
    ("P16", write("etc/dnf/dnf.conf", "[main]\nproxy = http://me:pw@x:3128\n"), ["proxy = http://…@x:3128"]), ("P16", write("etc/yum.conf", "proxy=http://x\n"), ["proxy=http://x"]),
    ("P16", write("etc/apt/apt.conf.d/1", 'Acquire::http::Proxy "http://me:pw@x";\n'), ['Acquire::http::Proxy "http://…@x";']),
    ("P19", both(fedora, write("etc/selinux/config", "SELINUX=permissive\n"), lambda s: s.remove(PRESET)), ["SELinux is permissive, and azready wrote files from outside"]),
    ("P01", cloud_init(lambda s: s.unit("walinuxagent"), write("etc/waagent.conf", "Provisioning.Agent=cloud-init\n"), write("var/lib/waagent/provisioned", "")), ["waagent's marker of the VM that was provisioned last"]),
    ("P02", both(lambda s: s.unit("NetworkManager", enabled=False)), ["a first boot enables NetworkManager.service, a second network stack"]),
)  # fmt: skip


@pytest.mark.parametrize(("id", "change", "says"), FOUND, ids=[f"{row[0]}-{n}" for n, row in enumerate(FOUND)])
def test_it_is_a_fault(id: str, change: Change, says: list[str], tmp_path: Path) -> None:
    assert _whats(_answer(id, change, tmp_path)) == says


def fstab(line: str) -> Change:
    return add("etc/fstab", line + "\n")


KIND = "UUID={} on {} is {}, not {}: it is not mounted"
ON_DISK: tuple[tuple[str, Change, Disk, list[str]], ...] = (
    ("B07", argument("rootfstype=ext4"), DISK, []), ("B07", argument("rootfstype=xfs,auto"), DISK, []), ("B07", argument("rootfstype=xfs"), root_holds(kind=""), []),
    ("B07", argument("rootfstype=xfs"), DISK, [f"root=UUID={UUID}: it is ext4, and rootfstype=xfs tries nothing else"]), ("B07", argument("rootfstype=ext4"), root_holds(kind="ext3"), []),
    ("B07", argument("rootfstype=ext3"), DISK, [f"root=UUID={UUID}: it is ext4, and rootfstype=ext3 tries nothing else"]),
    ("B07", both(argument("roothash=1"), swap(GRUB, f"root=UUID={UUID}", "root=/dev/mapper/root")), DISK, []), ("B07", both(argument("roothash=1"), swap(GRUB, f"root=UUID={UUID}", f"root=UUID={GONE}")), DISK, [f"root=UUID={GONE}: no such file system on the disk"]),
    ("B07", argument("rootfstype=xfs", "rootfstype=ext4"), DISK, []), ("B07", argument("rootfstype=ext4", "rootfstype=xfs"), DISK, [f"root=UUID={UUID}: it is ext4, and rootfstype=xfs tries nothing else"]),
    ("B08", second(f"resume=UUID={GONE}"), DISK, []), ("B08", argument(f"resume=UUID={GONE}"), DISK, [f"resume=UUID={GONE}: no such device on the disk"]),
    ("B13", no("boot/efi/EFI/BOOT/BOOTX64.EFI"), DISK, ["no \\EFI\\BOOT\\BOOTX64.EFI"]),
    ("B18", write(STUB, SEARCH), DISK, [f"GRUB looks for the file system UUID={GONE}, which is not there"]), ("B18", write(STUB, SEARCH.replace(GONE, UUID)), DISK, []),
    ("B18", both(write(STUB, SEARCH), no(GRUB)), DISK, [f"GRUB looks for the file system UUID={GONE}, which is not there"]),
    ("D04", lambda s: s, disk(2 << 40, table=replace(DISK.table, partitions=(ROOT, BIOS))), []),
    ("D04", lambda s: s, disk((2 << 40) + (1 << 37), table=replace(DISK.table, partitions=(ROOT, BIOS))), ["2.1 TiB: with MBR or generation 1 nothing beyond 2 TiB is used"]),
    ("D09", mount_unit(f"UUID={UUID}", "wants"), DISK, []), ("D09", mount_unit(f"UUID={GONE}", "wants"), DISK, [f"UUID={GONE}: the boot waits for it, and it may not be there"]),
    ("D09", fstab("UUID=ABCD-1234 /boot/efi msdos defaults 0 2"), DISK, []), ("D09", fstab("UUID=ABCD-1234 /boot/efi vfat defaults 0 2"), DISK, []),
    ("D09", fstab("UUID=ABCD-1234 /boot/efi ext4 defaults 0 2"), DISK, [KIND.format("ABCD-1234", "/boot/efi", "vfat", "ext4")]), ("D09", fstab("UUID=ABCD-1234 /boot/efi ext4 nofail 0 2"), DISK, []),
    ("D09", fstab(f"UUID={UUID} /data msdos defaults 0 2"), DISK, [KIND.format(UUID, "/data", "ext4", "msdos")]), ("D09", fstab(f"UUID={UUID} /data auto defaults 0 2"), DISK, []),
    ("D09", fstab(f"UUID={GONE} /data ext4 defaults 0 2"), DISK, [f"UUID={GONE} on /data: no such file system on the disk"]), ("D09", fstab(f"UUID={GONE} /data ext4 nofail 0 2"), DISK, []),
)  # fmt: skip


@pytest.mark.parametrize(
    ("id", "change", "at", "says"), ON_DISK, ids=[f"{row[0]}-{n}" for n, row in enumerate(ON_DISK)]
)
def test_it_is_held_to_the_disk(id: str, change: Change, at: Disk, says: list[str], tmp_path: Path) -> None:
    answer = _answer(id, change, tmp_path, at)
    assert _whats(answer) == says and (says or answer == Passed())


SKIPPED: tuple[tuple[str, Change, Disk | None, str], ...] = (
    ("B10", both(write("boot/loader/entries/a.conf", f"linux /vmlinuz-{KERNEL}\n"), no("etc/default/grub")), None, "no boot loader entries written from GRUB's settings"),
    ("B13", lambda s: s, replace(DISK, table=replace(DISK.table, partitions=(ROOT, BIOS))), "the disk has no EFI partition: generation 1 only"),
    ("B12", both(alpine, no("etc/inittab")), None, "it has no systemd"),
    ("P19", lambda s: s, None, "SELinux is off"),
    ("B18", no(GRUB, "etc/default/grub"), None, "no boot loader configuration in it"),
    ("B19", both(alpine, write("etc/os-release", "ID=gentoo\n")), None, "systemd and other initramfs mount it as fstab or the command line says"),
)  # fmt: skip


@pytest.mark.parametrize(("id", "change", "at", "why"), SKIPPED, ids=[row[0] for row in SKIPPED])
def test_it_has_nothing_to_say(id: str, change: Change, at: Disk | None, why: str, tmp_path: Path) -> None:
    assert _answer(id, change, tmp_path, at) == Skipped(why)


def test_drivers_of_a_kernel_that_does_not_boot_are_missed_less(tmp_path: Path) -> None:
    older("hv_netvsc")(sample := good_image(tmp_path))
    answer = ask(BY_ID["K03"], Facts(Tree(sample.root)))
    assert isinstance(answer, Found)
    assert [(each.what, each.severity) for each in answer.findings] == [
        ("kernel 5.10.0-1-amd64 has no hv_netvsc", Severity.WARNING)
    ]
    sample.write(f"usr/lib/modules/{KERNEL}/modules.dep", "")
    answer = ask(BY_ID["K03"], Facts(Tree(sample.root)))
    assert isinstance(answer, Found) and {each.severity for each in answer.findings} == {None, Severity.WARNING}


@pytest.mark.parametrize(
    ("mode", "group", "closed"),
    [
        (0o701, 5, False),
        (0o710, 5, False),
        (0o772, 5, False),
        (0o700, 5, True),
        (0o702, 5, True),
        (0o710, 0, True),
        (0o701, 0, False),
    ],
)
def test_folders_that_the_owner_comes_through(
    mode: int, group: int, closed: bool, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("root")
    (home := good_image(tmp_path).root / "home").mkdir()
    home.chmod(mode)
    os.chown(home, 0, group)
    said = [f"mode {mode:04o}: nobody but root enters it"]
    assert _whats(ask(BY_ID["S06"], Facts(Tree(tmp_path)))) == (said if closed else [])


@pytest.mark.parametrize(
    ("path", "mode", "tight"),
    [
        *[(path, mode, True) for path, mode in (("etc/ssh/sshd_config", 0o644), ("etc/shadow", 0o640), ("etc/gshadow", 0o640), ("etc/passwd", 0o644), ("etc/group", 0o644), ("etc/sudoers", 0o644), ("etc/sudoers.d/", 0o755))],
        *[(path, mode, False) for path, mode in (("etc/ssh/sshd_config", 0o645), ("etc/shadow", 0o641), ("etc/gshadow", 0o641), ("etc/passwd", 0o645), ("etc/group", 0o645), ("etc/sudoers", 0o645), ("etc/sudoers.d/", 0o757))],
        *[(path, mode, False) for path, mode in (("etc/ssh/sshd_config", 0o664), ("etc/shadow", 0o660), ("etc/gshadow", 0o644), ("etc/passwd", 0o646), ("etc/group", 0o664), ("etc/sudoers", 0o664), ("etc/sudoers.d/", 0o775))],
        ("etc/shadow", 0o600, True), ("etc/sudoers", 0o440, True),
    ],
)  # fmt: skip
def test_modes_at_their_bounds(path: str, mode: int, tight: bool, tmp_path: Path) -> None:
    sample = good_image(tmp_path)
    if path.endswith("/"):
        sample.write(path, "")
    (sample.root / path).chmod(mode)
    assert _whats(ask(BY_ID["S07"], Facts(Tree(sample.root)))) == ([] if tight else [f"mode {mode:04o}"])


def _repaired(id: str, change: Change, folder: Path) -> Sample:
    change(sample := good_image(folder))
    rule = BY_ID[id]
    with Tree(sample.root) as tree:
        facts = Facts(tree)
        assert rule.repair is not None
        apply([*rule.repair(facts, list(rule.find(facts)))], tree)
    return sample


def test_lines_of_shadow_that_are_none_stay(tmp_path: Path, need: Callable[..., None]) -> None:
    need("root")
    sample = _repaired("A01", add("etc/shadow", "bob:$6$x\neve:$6$y:1::::::\n"), tmp_path)
    assert (sample.root / "etc/shadow").read_text().endswith("\nbob:$6$x\neve:!*:1::::::\n")


def test_a_login_on_the_serial_port_of_an_alpine(tmp_path: Path, need: Callable[..., None]) -> None:
    need("root")
    sample = _repaired("B12", alpine, tmp_path)
    text = "::sysinit:/sbin/openrc sysinit\nttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n"
    assert (sample.root / "etc/inittab").read_text() == text


def test_what_enrols_is_forgotten_line_by_line(tmp_path: Path, need: Callable[..., None]) -> None:
    need("root")
    popcon = "etc/popularity-contest.conf"
    sample = _repaired("G25", write(popcon, '# MY_HOSTID="1"\nMY_HOSTID="0a1b"\nPARTICIPATE="yes"\n'), tmp_path)
    assert (sample.root / popcon).read_text() == '# MY_HOSTID="1"\nPARTICIPATE="yes"\n'


def test_reports_of_another_vm_are_forgotten(tmp_path: Path) -> None:
    paths = [f"var/lib/{folder}azure-report/reported" for folder in ("", "private/")]
    sample = both(*(write(path, "") for path in paths))
    sample(image := good_image(tmp_path))
    facts = Facts(Tree(image.root))
    findings = list(BY_ID["P01"].find(facts))
    assert [each.where for each in findings] == paths
    assert BY_ID["P01"].repair is not None
    assert [each.path for each in BY_ID["P01"].repair(facts, findings) if isinstance(each, Remove)] == paths


@pytest.mark.parametrize(
    ("config", "written"), [("Include /etc/ssh/sshd_config.d/*.conf\n", True), ("Port 22\n", False)]
)
def test_sshd_is_told_to_keep_alive_where_it_reads_more_files(config: str, written: bool, tmp_path: Path) -> None:
    sample = good_image(tmp_path).write(SSHD, config)
    assert BY_ID["S04"].repair is not None
    assert bool([*BY_ID["S04"].repair(Facts(Tree(sample.root)), [])]) is written


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("network:\n  ethernets:\n    eth0:\n      dhcp4: true\n      macaddress: 00:11:22:33:44:55", "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n"),
        ("network:\n  ethernets:\n    eth0:\n      macaddress: 00:11:22:33:44:55\n      dhcp4: true\n", "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n"),
        ("network: {ethernets: {eth0: text}}\n", "network: {ethernets: {eth0: text}}\n"), ("network: {ethernets: {eth0: {match: text}}}\n", "network: {ethernets: {eth0: {match: text}}}\n"),
        ("text", "text"), ("", ""), ("- network\n", "- network\n"),
    ],
)  # fmt: skip
def test_addresses_of_cards_go_out_of_netplan(text: str, after: str) -> None:
    assert without_netplan_macs(text) == after


@pytest.mark.parametrize(
    ("where", "path", "line"),
    [("etc/a:7", "etc/a", 7), ("etc/a", "etc/a", 0), ("etc/a:b", "etc/a:b", 0), ("7", "7", 0), ("", "", 0), ("a:b:3", "a:b", 3), (":3", "", 3)],
)  # fmt: skip
def test_the_place_of_a_finding(where: str, path: str, line: int) -> None:
    found = Finding("x", where)
    assert (found.path, found.line, found.by_hand) == (path, line, False)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n[waivers]\nS01 = 'x'\n",
        "waivers = 1\n",
        "",
        "[other]\n",
        "[waivers]\nS01 = ' '\n",
        "[waivers]\nS01 = 1\n",
        "[",
    ],
)
def test_what_is_no_file_of_waivers(text: str) -> None:
    with pytest.raises(UsageFailure):
        parse_waivers(text, "waivers.toml")


def test_the_pages_are_written_by_their_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pages", str(tmp_path / "a/b")])
    runpy.run_path(str(pages.__file__), run_name="__main__")
    assert {path.name: path.read_text() for path in (tmp_path / "a/b").iterdir()} == pages.documents()


def test_a_running_system_labels_what_it_writes(tmp_path: Path) -> None:
    both(fedora, selinux)(sample := good_image(tmp_path))
    facts = Facts(Tree(sample.root), live=True)
    assert ask(BY_ID["P19"], facts) == Skipped("the running system labels what it writes")


def test_units_are_enabled_by_the_init_of_the_image(tmp_path: Path) -> None:
    sample = good_image(tmp_path)
    assert to_enable(Facts(Tree(sample.root)), "ssh") == "systemctl enable ssh"
    sample.link("etc/systemd/system/ssh.service", "/dev/null")
    for name in ("ssh", "ssh.service"):
        unmask = f"systemctl unmask {name} && systemctl enable {name}"
        assert to_enable(Facts(Tree(sample.root)), name) == unmask
    alpine(sample)
    assert to_enable(Facts(Tree(sample.root)), "sshd") == "rc-update add sshd"


def test_state_that_was_found_is_wiped_and_no_other(tmp_path: Path) -> None:
    paths = ["var/lib/waagent", "var/log/waagent.log"]
    sample = good_image(tmp_path).write(f"{paths[0]}/x", "").write(paths[1], "").write("usr/sbin/waagent", "")
    facts, rule = Facts(Tree(sample.root)), BY_ID["G07"]
    findings = list(rule.find(facts))
    assert [each.path for each in findings] == paths and rule.repair is not None
    assert [each.path for each in rule.repair(facts, findings) if isinstance(each, Remove)] == paths
    assert [each.path for each in rule.repair(facts, findings[1:]) if isinstance(each, Remove)] == paths[1:]
    program = [Finding("x", "usr/sbin/waagent")]
    assert not list(rule.repair(facts, program)), "sealing leaves the agent"


def test_our_program_is_armed_on_an_alpine(tmp_path: Path) -> None:
    alpine(sample := good_image(tmp_path))
    sample.write("etc/init.d/azure-provisioning", "")
    assert BY_ID["P01"].repair is not None
    links = {each.path for each in BY_ID["P01"].repair(Facts(Tree(sample.root)), []) if isinstance(each, Link)}
    assert "etc/runlevels/default/azure-provisioning" in links


def netplan_card(name: str, more: str) -> str:
    return f"network: {{ethernets: {{{name}: {{match: {{macaddress: '00:11:22:33:44:55'}}, {more}}}}}}}\n"


@pytest.mark.parametrize(
    ("files", "made"),
    [
        ({"etc/systemd/network/a.network": "[Match]\nMACAddress=x\n"}, ["[Match]\nName=en[opsx]* eth*\n"]),
        ({"etc/systemd/network/a.network": "[Match]\nMACAddress=x\n", "etc/systemd/network/b.network": "[Match]\nMACAddress=y\n"}, ["[Match]\nName=eth0\n", "[Match]\nName=eth1\n"]),
        ({"etc/systemd/network/a.network": "[Match]\nMACAddress=x\n", "etc/systemd/network/b.network": "[Match]\nName=e\nMACAddress=y\n"}, ["[Match]\nName=en[opsx]* eth*\n", "[Match]\nName=e\n"]),
        ({"etc/systemd/network/a.network.d/x.conf": "[Match]\nMACAddress=x\n"}, ["[Match]\n"]), ({"etc/other.network.d/x": "[Match]\nMACAddress=x\n"}, []), ({"etc/other/x.conf": "[Match]\nMACAddress=x\n"}, []),
        ({"etc/systemd/network/a.link": "[Match]\nMACAddress=x\n[Link]\nName=y\n"}, ["[Match]\nOriginalName=eth0\n[Link]\nName=y\n"]),
        ({"etc/NetworkManager/system-connections/a": "[connection]\nid=a\n[ethernet]\nmac-address=00:11\n", "etc/NetworkManager/system-connections/b": "[connection]\nid=b\n[connection]\n[ethernet]\nmac-address=00:22\n"},
         ["[connection]\ninterface-name=eth0\nid=a\n[ethernet]\n", "[connection]\ninterface-name=eth1\nid=b\n[connection]\n[ethernet]\n"]),
        ({"etc/sysconfig/network-scripts/ifcfg-eth3": "HWADDR=00:11\nBOOTPROTO=dhcp\n"}, ["DEVICE=eth3\nBOOTPROTO=dhcp\n"]),
        ({"etc/sysconfig/network-scripts/ifcfg-a": "HWADDR=00:11\n", "etc/sysconfig/network-scripts/ifcfg-eth7": "HWADDR=00:22\n"}, ["DEVICE=eth0\n", "DEVICE=eth1\n"]),
        ({"etc/netplan/a.yaml": netplan_card("eth0", "dhcp4: true")}, ["network: {ethernets: {eth0: {match: {\"name\": \"e[nt][hopsx]*\"}, dhcp4: true}}}\n"]),
        ({"etc/netplan/a.yaml": netplan_card("eth0", "set-name: eth0, dhcp4: true")}, ["network: {ethernets: {eth0: {match: {\"name\": \"e[nt][hopsx]*\"}, dhcp4: true}}}\n"]),
        ({"etc/netplan/a.yaml": netplan_card("eth0", "dhcp4: true, set-name: eth0")}, ["network: {ethernets: {eth0: {match: {\"name\": \"e[nt][hopsx]*\"}, dhcp4: true}}}\n"]),
        ({"etc/netplan/a.yaml": "network:\n  ethernets:\n    a:\n      match:\n        macaddress: '00:11'\n        name: e*\n      dhcp4: true\n"}, ["network:\n  ethernets:\n    a:\n      match:\n        name: e*\n      dhcp4: true\n"]),
        ({"etc/netplan/a.yaml": "macaddress: x\nnetwork:\n  ethernets:\n    a:\n      macaddress: '00:11'\n"}, ["macaddress: x\nnetwork:\n  ethernets:\n    a:\n      {}\n"]),
        ({"etc/netplan/a.yaml": "{network: {ethernets: {a: {macaddress: '00:11'}}}}"}, ["{network: {ethernets: {a: {}}}}"]),
        ({"etc/udev/rules.d/70-persistent-net.rules": "x", "etc/mactab": "y"}, ["gone", "gone"]),
    ],
    ids=range(17),
)  # fmt: skip
def test_what_stands_in_the_place_of_an_address(files: dict[str, str], made: list[str], tmp_path: Path) -> None:
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    actions = list(free_of_macs(Facts(Tree(tmp_path)), [Finding("x", f"{path}:1") for path in files]))
    assert [each.data.decode() if isinstance(each, Write) else "gone" for each in actions] == made


def test_what_is_decided_by_hand_is_said_so(tmp_path: Path) -> None:
    sample = good_image(tmp_path).disable("chrony")
    assert [each.by_hand for each in BY_ID["P07"].find(Facts(Tree(sample.root)))] == [True]
    sample.unit("ntp")
    assert [each.by_hand for each in BY_ID["P07"].find(Facts(Tree(sample.root)))] == [True]
    assert {each["id"]: each["fixed_by"] for each in pages.catalogue(RULES)["rules"]}["A04"] is None
