# ruff: noqa: E501 (a table)
"""For every rule: changes to the good image that break it, and changes that must not.

A change is a function of a `Sample`. A disk rule's case works on a `Disk` instead: it has `disks`, pairs of a disk and
whether it is good.
"""

import dataclasses
import gzip
from collections.abc import Callable
from pathlib import Path

from azready.image.disk.diskfile import DiskFile
from azready.image.disk.formats.gpt import Partition
from azready.image.disk.formats.partitions import (
    TYPE_BIOS_BOOT,
    TYPE_ESP,
    TYPE_LINUX,
    TYPE_SWAP,
    Table,
)
from azready.image.disk.formats.superblocks import Superblock
from azready.image.facts.disk import Content, Disk
from azready.image.facts.network import networkd
from tests.image.sample import ELF_ARM, ELF_X86, KERNEL, MODULES, UUID, Sample, cpio, initramfs, pe

Change = Callable[[Sample], object]
MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Unfixable:
    """A change that the rule's repair leaves as it is, and why: a person has to look at it."""

    why: str
    change: Change

    def __call__(self, s: Sample) -> object:
        return self.change(s)


def unfixable(why: str, change: Change) -> Change:
    return Unfixable(why, change)


NOT_OURS = "our program is not installed"


@dataclasses.dataclass(frozen=True)
class Case:
    """`bad` changes each break the rule; `good` ones each keep it. `base` comes first in both."""

    bad: tuple[Change, ...] = ()
    good: tuple[Change, ...] = ()
    base: Change = lambda s: None
    bad_disks: tuple[Disk, ...] = ()
    good_disks: tuple[Disk, ...] = ()


DEBCONF = "var/cache/debconf/config.dat"
GRUB_DISK = "Name: grub-pc/install_devices\nTemplate: grub-pc/install_devices\nValue: /dev/disk/by-id/ata-VBOX_1\nOwners: grub-pc\nFlags: seen"
ESP = Partition(number=1, type=TYPE_ESP, start=MIB, size=100 * MIB, uuid="11111111-0000-4000-8000-000000000001")
ROOT = Partition(
    number=2, type=TYPE_LINUX, start=101 * MIB, size=3800 * MIB, uuid="11111111-0000-4000-8000-000000000002"
)
BIOS = Partition(number=3, type=TYPE_BIOS_BOOT, start=4000 * MIB, size=MIB)
SWAP = Partition(number=4, type=TYPE_SWAP, start=4001 * MIB, size=MIB)
EXT4 = Superblock("ext4", uuid=UUID, size=3800 * MIB, free=1000 * MIB)
DISK = Disk(
    DiskFile(Path("disk.vhd"), "vhd", 4096 * MIB),
    4096 * MIB + 512,
    Table("gpt", (ESP, ROOT, BIOS), boot_code=True),
    (Content(ESP, Superblock("vfat", uuid="ABCD-1234")), Content(ROOT, EXT4), Content(BIOS, None)),
    (),
    False,
)


def disk(size: int | None = None, format: str = "vhd", path: str = "disk.vhd", **changes: object) -> Disk:
    """The good disk, changed."""
    file = DiskFile(Path(path), format, DISK.size if size is None else size)  # type: ignore[arg-type]
    return dataclasses.replace(DISK, file=file, **changes)


def table(**changes: object) -> Disk:
    return dataclasses.replace(DISK, table=dataclasses.replace(DISK.table, **changes))


def root_holds(**changes: object) -> Disk:
    block = dataclasses.replace(EXT4, **changes)
    return dataclasses.replace(DISK, contents=(DISK.contents[0], Content(ROOT, block)))


def slots(*names: str) -> Disk:
    parts = (Content(dataclasses.replace(ROOT, name=name), EXT4) for name in names)
    return dataclasses.replace(DISK, contents=(DISK.contents[0], *parts))


def arm(s: Sample) -> None:
    s.write("usr/bin/sh", ELF_ARM, 0o755)


def alpine(s: Sample) -> None:
    s.write("etc/os-release", "ID=alpine\nVERSION_ID=3.23.0\n").write("sbin/openrc", "", 0o755)
    s.write("etc/inittab", "::sysinit:/sbin/openrc sysinit\n").link("sbin/init", "/bin/busybox")
    s.write("bin/busybox", "", 0o755).link("etc/runlevels/boot/bootmisc", "/etc/init.d/bootmisc")
    s.write("etc/init.d/bootmisc", "depend()\n{\n\tneed localmount\n}\n")
    s.write("etc/init.d/localmount", "depend()\n{\n\tneed fsck root\n\tkeyword -docker -lxc\n}\n")
    s.write("etc/init.d/root", "depend() {\n\tneed fsck\n\tkeyword -docker -lxc\n}\n")


def rc_sys(value: str) -> Callable[[Sample], object]:
    return lambda s: s.write("etc/rc.conf", f"rc_parallel=YES\nrc_sys={value}\n")


def fedora(s: Sample) -> None:
    s.write("etc/os-release", "ID=fedora\nVERSION_ID=42\n")


def selinux(s: Sample) -> None:
    s.write("etc/selinux/config", "SELINUX=enforcing\n").write(".autorelabel", "")
    s.write("usr/libexec/selinux/selinux-autorelabel", "", 0o755)


def with_network(path: str, text: str) -> Change:
    """networkd is replaced by another file for eth0."""
    return lambda s: s.remove("etc/systemd/network/10-eth0.network").write(path, text)


def netplan(text: str) -> Change:
    """networkd's own file is replaced by one of netplan's."""
    generator = "usr/lib/systemd/system-generators/netplan"
    return both(with_network("etc/netplan/50.yaml", text), lambda s: s.write(generator, "", 0o755))


_BY_PASSWORD_FILE = "account required pam_unix.so\nsession required pam_unix.so\n"


def pam(text: str, site: str = "", service: str = "sshd") -> Change:
    """PAM's rules of a service, what they may include, and its modules."""

    def change(s: Sample) -> None:
        for name in ("sshd", "sudo"):
            s.write(f"etc/pam.d/{name}", _BY_PASSWORD_FILE)
        for name in ("unix", "deny", "access", "shells", "time", "listfile", "succeed_if"):
            s.write(f"usr/lib/x86_64-linux-gnu/security/pam_{name}.so", "")
        s.write(f"etc/pam.d/{service}", f"{text}\n{_BY_PASSWORD_FILE}").write("etc/pam.d/site", site + "\n")

    return change


NETWORKD = "etc/systemd/network/10-eth0.network"
SSHD = "etc/ssh/sshd_config"
MODPROBE = "etc/modprobe.d/hardening.conf"
STACK = {name: f"usr/lib/systemd/system/{name}.service" for name in ("NetworkManager", "networking", "wicked")}


def stack(name: str) -> Change:
    """networkd out, another stack in."""
    return lambda s: s.disable("systemd-networkd").remove(NETWORKD).unit(name)


def waiting(options: str) -> Change:
    """network-online.target waits as these options of systemd-networkd-wait-online say."""
    path = "etc/systemd/system/systemd-networkd-wait-online.service.d/a.conf"
    return lambda s: s.write(
        path, f"[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-networkd-wait-online {options}\n"
    )


def output(statements: str) -> Change:
    """nftables' chain of what goes out."""
    text = f"chain o {{ type filter hook output priority 0; policy accept;\n{statements} }}"
    return lambda s: s.unit("nftables").write("etc/nftables.conf", text)


def nft(text: str, **files: str) -> Change:
    def change(s: Sample) -> None:
        s.unit("nftables").write("etc/nftables.conf", f"{text}\n")
        for path, more in files.items():
            s.write(path, more)

    return change


def iptables(text: str) -> Change:
    return lambda s: s.unit("iptables").write("etc/sysconfig/iptables", text)


def firewalld(conf: str, public: str = "", **files: str) -> Change:
    """firewalld with its configuration, its zone public, and other files of its folder."""

    def change(s: Sample) -> None:
        s.unit("firewalld").write("etc/firewalld/firewalld.conf", f"{conf}\n")
        for name, text in {**({"zones/public.xml": public} if public else {}), **files}.items():
            s.write(f"etc/firewalld/{name}", text)

    return change


def swap_unit(folder: str, enabled: bool) -> Change:
    def change(s: Sample) -> None:
        s.write(f"{folder}/dev-x.swap", "[Swap]\nWhat=/dev/x\n")
        if enabled:
            s.link("etc/systemd/system/swap.target.wants/dev-x.swap", f"/{folder}/dev-x.swap")

    return change


def mount_unit(what: str, how: str) -> Change:
    """A mount that local-fs.target `wants` or `requires`."""
    path = "etc/systemd/system/data.mount"
    text = f"[Mount]\nWhat={what}\nWhere=/data\n"
    return lambda s: s.write(path, text).link(f"etc/systemd/system/local-fs.target.{how}/data.mount", f"/{path}")


def menu(*pairs: str) -> Change:
    """GRUB's menu with words replaced: old, new, old, new …"""
    path = "boot/grub/grub.cfg"
    return both(*(lambda s, a=old, b=new: s.edit(path, a, b) for old, new in zip(pairs[::2], pairs[1::2], strict=True)))


def extlinux(head: str) -> Change:
    text = f"{head}LABEL a\n  LINUX vmlinuz-{KERNEL}\n  APPEND root=UUID={UUID}\n"
    return lambda s: s.remove("boot/grub/grub.cfg").write("boot/extlinux.conf", text)


def nm(text: str) -> Change:
    """NetworkManager in networkd's place, with a connection for eth0."""
    head = "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n"
    return both(stack("NetworkManager"),
                lambda s: s.write("etc/NetworkManager/system-connections/eth0.nmconnection", f"{head}{text}", 0o600))  # fmt: skip


def networkd_netplan(card: str) -> Change:
    """netplan in place of the file of networkd; `card` is said of eth0."""
    return netplan(f"network: {{ethernets: {{eth0: {{dhcp4: true, {card}}}}}}}\n")


def waagent_for(agent: str) -> Change:
    """waagent in place of azready's program; who provisions is said in its configuration."""
    text = f"# Provisioning.Agent=cloud-init\nProvisioning.Agent={agent}\n"
    return both(without_ours, lambda s: s.unit("walinuxagent").write("etc/waagent.conf", text))


def without_ours(s: Sample) -> None:
    (s.root / "usr/lib/azure-provisioning").rename(s.root / "gone")


def cloud_init(*more: Change, ours: bool = False) -> Change:
    """cloud-init in place of azready's program, with growpart; and what else is changed."""

    def change(s: Sample) -> None:
        if not ours:
            without_ours(s)
            s.disable("azure-provisioning").disable("azure-provisioning-hostkeys").remove("etc/azure-provisioning.conf")
        for name in ("cloud-init-local", "cloud-init", "cloud-config", "cloud-final"):
            s.unit(name, enabled=False).enable(name, "cloud-init.target")
        s.write("usr/bin/growpart", "").write("etc/cloud/cloud.cfg", "users: [default]\n")
        for each in more:
            each(s)

    return change


def cloud_config(text: str, name: str = "cloud.cfg.d/99-x.cfg") -> Change:
    return lambda s: s.write(f"etc/cloud/{name}", text)


def carries(name: str, text: str) -> Change:
    """The initramfs has one more file."""
    return lambda s: s.write(f"boot/initrd.img-{KERNEL}", initramfs(extra={name: f"{text}\n".encode()}))


def root(value: str) -> Change:
    return lambda s: s.edit("boot/grub/grub.cfg", f"root=UUID={UUID}", f"root={value}")


def in_initramfs(name: str) -> Change:
    """A file of the builder that went along when the initramfs was made."""
    return lambda s: s.write(f"boot/initrd.img-{KERNEL}", initramfs(extra={name: b"x"}))


def shim(*beside: str, second: str = "grubx64.efi") -> Change:
    """shim as \\EFI\\BOOT\\BOOTX64.EFI, a signed kernel, and files beside it or (with a folder) in another folder of \\EFI."""
    names = b"".join(
        f"\\{name}".encode("utf-16-le") + bytes(2) for name in ("fbx64.efi", "fallback.efi", second, "mmx64.efi")
    )
    program = pe(sections={".sbat": b"sbat,1\nshim,4,UEFI shim,shim,1,https://shim.example\n", ".text": names})
    entry = "\ufeffshimx64.efi,debian,,This is the boot entry for Debian\n".encode("utf-16-le")

    def change(s: Sample) -> None:
        s.write("boot/efi/EFI/BOOT/BOOTX64.EFI", program).write(f"boot/vmlinuz-{KERNEL}", pe())
        for name in beside:
            data = entry if name.endswith(".CSV") else program if "shim" in name else pe()
            s.write(f"boot/efi/EFI/{name if '/' in name else f'BOOT/{name}'}", data)

    return change


STUB = "boot/efi/EFI/BOOT/grub.cfg"
GONE = "deadbeef-0000-4000-8000-000000000000"
SEARCH = f"search.fs_uuid {GONE} root hd0,gpt2\n"


def argument(*args: str) -> Change:
    return lambda s: s.arguments(*args)


LATE = 'ACTION!="remove", DRIVERS=="mana|mlx4_core|mlx5_core", ATTR{flags}=="0x?[89ABCDEF]??"'
WAAGENT = "etc/waagent.conf"
ELSEWHERE = (
    cloud_config("", "cloud-init.disabled"),
    cloud_config("datasource_list:\n- None\n"),
    cloud_config("datasource_list: [ NoCloud, ConfigDrive ]\n"),
    cloud_config("datasource_list: [ Ec2, None ]\n"),
    lambda s: s.write("etc/cloud/cloud.cfg.d/90_azure.cfg", "datasource_list: [Azure]\n").write(
        "etc/cloud/cloud.cfg.d/91_pve.cfg", "datasource_list: [NoCloud]\n"),
    cloud_config("policy: disabled\n", "ds-identify.cfg"),
    cloud_config("datasource: NoCloud\n", "ds-identify.cfg"),
    argument("cloud-init=disabled"),
    argument("ds=nocloud"),
    argument("ci.ds=OpenStack"),
    argument("ci.di.policy=disabled"),
)  # fmt: skip
"""What keeps an enabled cloud-init from doing anything on Azure."""


def both(*changes: Change) -> Change:
    return lambda s: [change(s) for change in changes]


CASES: dict[str, Case] = {
    # ---- kernel
    "K01": Case(
        (lambda s: s.not_in_initramfs("hv_vmbus"), lambda s: s.without_module("hv_vmbus"),
         lambda s: s.remove(f"boot/initrd.img-{KERNEL}"),
         lambda s: s.write(f"boot/initrd.img-{KERNEL}", gzip.compress(cpio({f"lib/modules/5.0/{name}.ko": b"" for name in MODULES})))),
        (lambda s: s.not_in_initramfs("hv_vmbus").write(
            f"usr/lib/modules/{KERNEL}/modules.builtin", "kernel/drivers/hv/hv_vmbus.ko\n"),),
    ),
    "K02": Case((lambda s: s.not_in_initramfs("hv_storvsc"),)),
    "K03": Case((lambda s: s.without_module("hv_netvsc"),), (lambda s: s.not_in_initramfs("hv_netvsc"),)),
    "K04": Case((lambda s: s.not_in_initramfs("hyperv_keyboard"),)),
    "K05": Case((lambda s: s.without_module("hv_utils"),)),
    "K06": Case((lambda s: s.without_module("hv_balloon"), lambda s: s.without_module("hyperv_fb"))),
    "K07": Case(
        (lambda s: s.write(MODPROBE, "install udf /bin/true\n"), lambda s: s.write(MODPROBE, "blacklist hv_netvsc\n"),
         lambda s: s.write(MODPROBE, "install vfat /bin/false\n"),
         unfixable("it stands on the command line", lambda s: s.arguments("module_blacklist=nvme")),
         unfixable("the initramfs has to be rebuilt", lambda s: s.write(
             f"boot/initrd.img-{KERNEL}", initramfs(extra={"etc/modprobe.d/a.conf": b"blacklist hv-vmbus\n"})))),
        (lambda s: s.write(MODPROBE, "#install udf /bin/true\ninstall cramfs /bin/true\n"),
         lambda s: s.write(MODPROBE, "install nvme /sbin/modprobe --ignore-install nvme\n")),
    ),
    "K08": Case((lambda s: s.without_module("udf"),)),
    "K09": Case((lambda s: s.not_in_initramfs("nvme"), lambda s: s.not_in_initramfs("pci_hyperv"))),
    "K10": Case((lambda s: s.edit("etc/udev/rules.d/10-azure.rules", "io_timeout", "x").without_argument(
        "nvme_core.io_timeout=240"),), (lambda s: s.without_argument("nvme_core.io_timeout=240"),)),
    "K11": Case((lambda s: s.without_module("mlx5_core"), lambda s: s.without_module("mana"))),
    "K12": Case(
        (both(lambda s: s.edit("etc/udev/rules.d/10-azure.rules", "NM_UNMANAGED", "X"),
              lambda s: s.edit(NETWORKD, "Name=eth0", "Name=en* eth*")),
         both(lambda s: s.edit("etc/udev/rules.d/10-azure.rules", "NM_UNMANAGED", "X"),
              lambda s: s.edit(NETWORKD, "Name=eth0", "Driver=!veth")),
         both(lambda s: s.edit("etc/udev/rules.d/10-azure.rules", "NM_UNMANAGED", "X").write(
            "usr/lib/udev/rules.d/85-nm-unmanaged.rules", 'ENV{ID_NET_DRIVER}=="veth", ENV{NM_UNMANAGED}="1"\n'), stack("NetworkManager")),
         both(lambda s: s.edit("etc/udev/rules.d/10-azure.rules", 'DRIVERS=="hv_pci"', LATE), stack("NetworkManager")),
         both(lambda s: s.edit("etc/udev/rules.d/10-azure.rules", 'DRIVERS=="hv_pci"', LATE),
              lambda s: s.edit(NETWORKD, "Name=eth0", "Name=en* eth*").write(
                  "usr/lib/systemd/network/05-vf.network", "[Match]\nProperty=AZURE_UNMANAGED_SRIOV=1\n[Link]\nUnmanaged=yes\n"))),
        (lambda s: s.edit("etc/udev/rules.d/10-azure.rules", "NM_UNMANAGED", "X"),
         both(lambda s: s.edit("etc/udev/rules.d/10-azure.rules", "NM_UNMANAGED", "X"),
              lambda s: s.write(NETWORKD, networkd.PROFILE))),
    ),
    "K13": Case((lambda s: s.without_module("cifs"), lambda s: s.write(f"boot/config-{KERNEL}", "CONFIG_HYPERV=m\n"))),
    "K14": Case((lambda s: s.remove("etc/modprobe.d/azure-no-floppy.conf"),)),
    "K15": Case((lambda s: s.write("usr/bin/sh", b"\x7fELF\x01\x01\x01" + ELF_X86[7:18] + b"\x03\0", 0o755),), (arm,)),
    "K16": Case(
        (lambda s: [s.write(path.replace(KERNEL, "3.2.0-4-amd64"), (s.root / path).read_bytes()) and s.remove(path)
                    for path in (f"usr/lib/modules/{KERNEL}/modules.dep", f"boot/vmlinuz-{KERNEL}")],),
    ),
    "K17": Case(
        (lambda s: s.write("etc/initramfs-tools/initramfs.conf", "MODULES=dep\n"),
         lambda s: s.write("etc/dracut.conf.d/x.conf", 'hostonly="yes"\n'),
         lambda s: s.write("etc/initramfs-tools/conf.d/policy", "MODULES=dep\n"),
         lambda s: s.write("usr/lib/dracut/dracut.conf.d/01-dist.conf", "hostonly=yes\n")),
        (lambda s: s.write("etc/initramfs-tools/initramfs.conf", "MODULES=dep\n").write("etc/initramfs-tools/conf.d/policy", "MODULES=most\n"),
         lambda s: s.write("usr/lib/dracut/dracut.conf.d/01-dist.conf", "hostonly=yes\n").write(
             "usr/lib/dracut/dracut.conf.d/02-generic-image.conf", 'hostonly="no"\n'),
         lambda s: s.write("usr/lib/dracut/dracut.conf.d/01-dist.conf", "hostonly=yes\n").write("etc/dracut.conf.d/01-dist.conf", "\n")),
    ),
    "K18": Case(
        (carries("etc/cmdline.d/95root-dev.conf", "root=/dev/mapper/loop0p2"), carries("etc/cmdline", "root=/dev/sda2"),
         carries("etc/cmdline.d/20-lvm.conf", "rd.lvm.lv=oldvg/root"), carries("etc/cmdline.d/90crypt.conf", "rd.luks.uuid=luks-1234"),
         carries("etc/cmdline.d/95resume.conf", "resume=/dev/disk/by-path/pci-0-part3"),
         carries("conf/conf.d/resume", "resume=UUID=99999999-0000-4000-8000-000000000000"),
         carries("etc/lvm/devices/system.devices", "IDTYPE=sys_wwid IDNAME=naa.6000c29 DEVNAME=/dev/sda2 PVID=x PART=2"),
         carries("etc/multipath/wwids", "# all\n/36000c29/"),
         carries("cryptroot/crypttab", "root UUID=99999999-0000-4000-8000-000000000000 none luks,discard"),
         carries("etc/crypttab", "swap /dev/sda3 /dev/urandom swap"), carries("etc/crypttab", "data /dev/disk/by-id/ata-x none luks,nofail")),
        (carries("etc/cmdline.d/95root-dev.conf", f"root=UUID={UUID} rootfstype=ext4 rootflags=rw"),
         both(carries("etc/cmdline.d/20-lvm.conf", "rd.lvm.lv=vg/root"), lambda s: s.append("etc/fstab", "/dev/mapper/vg-root /x ext4 nofail 0 2\n")),
         carries("etc/lvm/devices/system.devices", "# made by LVM\nVERSION=1.1.1"), carries("conf/conf.d/resume", "RESUME=none"),
         carries("etc/cmdline.d/00-btrfs.conf", "rd.driver.post=btrfs"), carries("cryptroot/crypttab", "# <target> <source>"),
         both(carries("etc/crypttab", "root UUID=1-2 none luks"), lambda s: s.write("etc/crypttab", "root UUID=1-2 none luks\n")),
         carries("etc/mdadm/mdadm.conf", "ARRAY /dev/md0 UUID=1:2:3:4")),
        base=carries("etc/cmdline.d/95root-dev.conf", f"root=UUID={UUID}"),
    ),
    # ---- boot
    "B01": Case((lambda s: s.without_argument("console=ttyS0,115200n8"), arm,
                 lambda s: s.edit("boot/grub/grub.cfg", "console=ttyS0,115200n8", "console=ttyS0 console=tty0"))),
    "B02": Case((lambda s: s.without_argument("earlyprintk=ttyS0"),)),
    "B03": Case((lambda s: s.without_argument("rootdelay=300"),)),
    "B05": Case((lambda s: s.arguments("libata.atapi_enabled=0"),)),
    "B06": Case((lambda s: s.arguments("quiet"),)),
    "B07": Case((lambda s: s.edit("boot/grub/grub.cfg", f"root=UUID={UUID}", "root=/dev/sda1"),
                 lambda s: s.edit("boot/grub/grub.cfg", f"root=UUID={UUID}", "root=/dev/nvme0n1p1"),
                 *(root(name) for name in ("/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi0-part2", "/dev/md127", "8:1", "0x801",
                                           "/dev/disk/by-path/pci-0000:00:05.0-part2", "/dev/mapper/loop0p1", "/dev/dm-0"))),
                (root("/dev/mapper/vg-root"), root("LABEL=root"), root("PARTLABEL=root"), root("gpt-auto")),
                bad_disks=(root_holds(uuid="99999999-0000-4000-8000-000000000000"),), good_disks=(DISK,)),
    "B08": Case((argument("flatcar.oem.id=qemu"), argument("coreos.oem.id=vmware"), lambda s: s.arguments("ds=nocloud"), argument("cloud-init=disabled"), argument("ci.ds=Ec2"),
                 lambda s: s.arguments("console=hvc0"),
                 lambda s: s.write("boot/loader/entries/a.conf", f"title x\nlinux /vmlinuz-{KERNEL}\noptions root=UUID={UUID} inst.ks=http://x\n"),
                 lambda s: s.write("boot/extlinux.conf", f"LABEL a\n  LINUX vmlinuz-{KERNEL}\n  APPEND root=UUID={UUID} ds=nocloud\n")),
                (argument("flatcar.oem.id=azure"),)),
    "B09": Case((lambda s: None,), (lambda s: s.arguments("initcall_blacklist=arm_pmu_acpi_init"),), base=arm),
    "B10": Case(
        (lambda s: s.write("boot/loader/entries/a.conf", f"linux /vmlinuz-{KERNEL}\noptions root=UUID={UUID} ro\n"),),
        (lambda s: s.write("boot/loader/entries/a.conf",
                           f"linux /vmlinuz-{KERNEL}\noptions $kernelopts console=tty1 console=ttyS0,115200n8\n"),),
    ),
    "B11": Case((lambda s: s.edit("etc/default/grub", "serial console", "console"),
                 lambda s: s.edit("etc/default/grub", "GRUB_TIMEOUT=5", "GRUB_TIMEOUT=0"))),
    "B12": Case((unfixable("a masked unit is somebody's decision", lambda s: s.link("etc/systemd/system/serial-getty@ttyS0.service", "/dev/null")),
                 unfixable("it stands on the command line", argument("systemd.getty_auto=no"))),
                (both(argument("systemd.getty_auto=no"), lambda s: s.link(
                    "etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service", "/usr/lib/systemd/system/serial-getty@.service")),)),
    "B13": Case((shim(), shim("fbx64.efi"), shim("fbx64.efi", "debian/BOOTX64.CSV", "debian/shimx64.efi"),
                 shim("fbx64.efi", "debian/BOOTX64.CSV"), shim("GRUB.EFI"), shim("grubx64.efi", second="grub.efi"), lambda s: s.remove("boot/efi/EFI/BOOT/BOOTX64.EFI").write("boot/efi/EFI/debian/shimx64.efi", ""),),
                (lambda s: s.remove("boot/efi/EFI/BOOT/BOOTX64.EFI").write("efi/EFI/boot/bootx64.efi", ""),
                 shim("grubx64.efi"), shim("GRUBX64.EFI"), shim("grub.efi", second="grub.efi"),
                 shim("fbx64.efi", "debian/BOOTX64.CSV", "debian/shimx64.efi", "debian/grubx64.efi"),
                 both(shim("fallback.efi", "a/BOOTX64.CSV"), shim("debian/BOOTX64.CSV", "debian/shimx64.efi", "debian/grubx64.efi")))),
    "B18": Case(
        (both(lambda s: s.write(STUB, SEARCH), lambda s: s.write("boot/efi/EFI/debian/grub.cfg", SEARCH.replace("deadbeef", "feedbeef"))),
         lambda s: s.write(STUB, f"set BOOT_UUID=\"{GONE}\"\nsearch --no-floppy --root-dev-only --fs-uuid --set=dev ${{BOOT_UUID}}\n"),
         lambda s: s.write(STUB, f"search -nu {GONE} --set=root\n"),
         lambda s: s.edit("boot/grub/grub.cfg", "{\n", f"{{\n\tsearch --no-floppy --fs-uuid --set=root {GONE}\n"),
         lambda s: s.write("boot/efi/EFI/BOOT/BOOTX64.EFI", pe(sections={".sbat": b"sbat,1\ngrub,5,x\n", ".mods": SEARCH.encode() + b"\0"})),
         lambda s: s.remove(f"boot/vmlinuz-{KERNEL}"),
         lambda s: s.edit("boot/grub/grub.cfg", "\n}", "\n\tinitrd /boot/intel-ucode.img /boot/initrd.img-9\n}")),
        (lambda s: s.write(STUB, SEARCH.replace(GONE, UUID.upper())),
         lambda s: s.write(STUB, "search.fs_label cloudimg-rootfs root\n"), lambda s: s.write(STUB, "search --file /.disk/info --set=root\n"),
         both(lambda s: s.write(STUB, SEARCH.replace(GONE, UUID)), lambda s: s.write("boot/efi/EFI/old/grub.cfg", SEARCH)),
         lambda s: s.append("boot/grub/grub.cfg", f"menuentry 'rescue disk' {{\n search --fs-uuid --set=root {GONE}\n linux /gone\n}}\n"),
         lambda s: s.edit("boot/grub/grub.cfg", "\n}", f"\n\tinitrd /boot/initrd.img-{KERNEL}\n}}")),
        base=lambda s: s.write(STUB, f"search.fs_uuid {UUID} root hd0,gpt2\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"),
    ),
    "B14": Case(bad_disks=(table(boot_code=False), table(partitions=(ESP, ROOT))), good_disks=(DISK,)),
    "B15": Case(bad_disks=(table(partitions=(ROOT,)), table(partitions=(ROOT, BIOS))), good_disks=(DISK,)),
    "B16": Case((lambda s: s.write("boot/efi/EFI/BOOT/BOOTX64.EFI", pe(b"")),
                 lambda s: s.write("boot/efi/EFI/BOOT/BOOTX64.EFI", pe(b"my own key")),
                 lambda s: s.write("boot/efi/EFI/Linux/a.efi", pe(b"", {".linux": b"k", ".uname": b"9"})),
                 both(shim("grubx64.efi"), lambda s: s.write("boot/efi/EFI/BOOT/grubx64.efi", pe(b""))),
                 both(shim("grubx64.efi"), lambda s: s.write(f"boot/vmlinuz-{KERNEL}", pe(b""))),
                 both(shim("grubx64.efi"), lambda s: s.write(f"boot/vmlinuz-{KERNEL}", "no program")),
                 # a unified image that the firmware starts itself is told once
                 lambda s: s.write("boot/efi/EFI/BOOT/BOOTX64.EFI", pe(b"", {".linux": b"k", ".uname": b"9"}))),
                (shim("grubx64.efi"),)),
    "B17": Case((lambda s: s.arguments("acpi=off"),)),
    "B21": Case((*map(argument, ("single", "init=/bin/bash", "rd.break", "break=mount", "systemd.unit=emergency.target",
                                     "systemd.debug-shell", "S", "systemd.debug_shell=ttyS0",
                                     "systemd.run=/bin/x", "rdinit=/bin/sh", "systemd.mask=sshd")),
                 lambda s: s.link("etc/systemd/system/default.target", "/usr/lib/systemd/system/rescue.target"),
                 menu("timeout=5", "timeout=-1"), menu("set timeout=5", ""),
                 menu("set timeout=5", "set timeout=5\nset superusers=\"root\"\npassword_pbkdf2 root grub.pbkdf2.sha512.1.A.B"),
                 lambda s: s.write("boot/loader/loader.conf", "timeout menu-force\n").remove("boot/grub/grub.cfg").write(
                     "boot/loader/entries/a.conf", f"linux /vmlinuz-{KERNEL}\noptions root=UUID={UUID}\n"),
                 extlinux("UI menu.c32\nTIMEOUT 0\n"), extlinux("PROMPT 1\n")),
                (lambda s: s.link("etc/systemd/system/default.target", "/usr/lib/systemd/system/graphical.target"), argument("systemd.mask=bluetooth.service"),
                 menu("set timeout=5", 'if [ "${recordfail}" = 1 ] ; then\n  set timeout=-1\nelse\n  timeout=0\nfi'),
                 menu("'x' {", "'x' --class debian --unrestricted {", "set timeout=5", "set superusers=root\nset timeout=5"),
                 extlinux("DEFAULT menu.c32\nPROMPT 0\nTIMEOUT 10\n"), extlinux("DEFAULT a\n"),
                 argument("init=/usr/lib/systemd/systemd"), argument("systemd.unit=multi-user.target"), argument("3"),
                 argument("systemd.debug_shell=0"))),
    # ---- disk
    "D01": Case(bad_disks=(disk(4096 * MIB + 512), disk(5000, "raw", "a.raw")), good_disks=(DISK,)),
    "D02": Case(bad_disks=(disk(format="qcow2"), disk(format="vhdx")), good_disks=(DISK,)),
    "D03": Case(bad_disks=(disk(footer_problems=("the checksum is wrong",)),), good_disks=(DISK,)),
    "D04": Case(bad_disks=(disk(10 * MIB), disk(5 << 40), disk(3 << 40)), good_disks=(DISK,)),
    "D05": Case(bad_disks=(table(problems=("the backup GPT header is missing or damaged",)),), good_disks=(DISK,)),
    "D06": Case(
        bad_disks=(table(partitions=(dataclasses.replace(ROOT, start=32256),)), disk(first_mib_used=True)),
        good_disks=(DISK,),
    ),
    "D07": Case(
        (lambda s: s.append("etc/fstab", "UUID=1234 none swap sw 0 0\n"), lambda s: s.write("swapfile", bytes(2 * MIB)),
         lambda s: s.append("etc/fstab", "/dev/vda5 none swap sw 0 0\n"),
         unfixable("where the temporary disk is asked for, nofail is the owner's to add", lambda s: s.append(
             "etc/fstab", "/dev/disk/azure/resource-part2 none swap sw 0 0\n/mnt/swap none swap sw 0 0\n")),
         swap_unit("usr/lib/systemd/system", enabled=True), swap_unit("etc/systemd/system", enabled=False),
         unfixable("what else the package does is not known", lambda s: s.unit("dphys-swapfile"))),
        (lambda s: s.append("etc/fstab", "/dev/zram0 none swap sw 0 0\n#/swap none swap sw 0 0\n"),
         swap_unit("usr/lib/systemd/system", enabled=False), lambda s: s.unit("dphys-swapfile", enabled=False),
         lambda s: s.append("etc/fstab", "/dev/disk/azure/resource-part2 none swap sw,nofail 0 0\n/mnt/swap none swap nofail 0 0\n"
                            "/dev/disk/cloud/azure_resource-part1 /mnt auto nofail 0 2\n")),
        bad_disks=(dataclasses.replace(DISK, contents=(*DISK.contents, Content(SWAP, None))),
                   root_holds(kind="swap")),
    ),
    "D08": Case(bad_disks=(root_holds(kind="lvm"), root_holds(kind="luks")), good_disks=(DISK,)),
    "D09": Case(
        (lambda s: s.append("etc/fstab", "/dev/sdb1 /data ext4 defaults 0 2\n"),
         lambda s: s.append("etc/fstab", "/dev/sr0 /media/cdrom0 udf user,ro 0 0\n"),
         lambda s: s.append("etc/fstab", "server:/x /x nfs defaults 0 0\n"),
         lambda s: s.append("etc/fstab", "/dev/disk/cloud/azure_resource-part1 /mnt auto defaults 0 2\n"),
         lambda s: s.write("etc/systemd/system/media-cd.mount", "[Mount]\nWhat=/dev/sr0\nWhere=/media/cd\n").link(
             "etc/systemd/system/local-fs.target.wants/media-cd.mount", "/etc/systemd/system/media-cd.mount"),
         lambda s: s.write("etc/crypttab", "data /dev/sdb2 none luks\n"),
         mount_unit("/dev/sdb1", "requires"), mount_unit("/dev/disk/by-path/pci-0", "wants")),
        (lambda s: s.append("etc/fstab", "/dev/sr0 /media/cdrom0 udf user,noauto 0 0\nserver:/x /x nfs nofail 0 0\n"
                            "tmpfs /tmp tmpfs defaults 0 0\n/dev/mapper/vg-var /var xfs defaults 0 0\nh:/y /y nfs x-systemd.automount 0 0\n"),),
        bad_disks=(root_holds(uuid="99999999-0000-4000-8000-000000000000"), root_holds(kind="xfs")),
        good_disks=(DISK,),
    ),
    "D10": Case(bad_disks=(root_holds(dirty="it was not unmounted"),), good_disks=(DISK,)),
    "D11": Case(
        (lambda s: s.write("etc/azure-provisioning.conf", "GROW=no\n"), lambda s: s.remove("usr/sbin/sfdisk"),
         lambda s: s.remove("usr/sbin/resize2fs"),
         lambda s: s.write("etc/azure-provisioning.conf", "").write("usr/lib/repart.d/root.conf", "[Partition]\n"),
         cloud_init(lambda s: s.remove("usr/bin/growpart")), cloud_init(cloud_config("growpart: {mode: off}\n")),
         cloud_init(cloud_config("cloud_init_modules: [seed_random, ssh]\n")), cloud_init(ELSEWHERE[1])),
        (lambda s: s.write("etc/azure-provisioning.conf", "").write("usr/lib/repart.d/root.conf", "[Partition]\n").write(
            "usr/bin/systemd-repart", ""), cloud_init(), cloud_init(cloud_config("growpart: {mode: auto}\n")),
         cloud_init(cloud_config("cloud_init_modules: [[growpart, always], ssh]\n"))),
    ),
    "D12": Case(bad_disks=(root_holds(free=MIB),), good_disks=(DISK,)),
    "D13": Case((lambda s: s.arguments(f"roothash={'4f' * 32}"), lambda s: s.arguments(f"usrhash={'4f' * 32}"),
                 lambda s: s.link("ostree", "sysroot/ostree"), lambda s: s.write("etc/NIXOS", "")),
                bad_disks=(slots("rootfs_a", "rootfs_b"),), good_disks=(slots("root", "home"),)),
    "B19": Case((lambda s: s.remove("etc/runlevels/boot/bootmisc"), lambda s: s.write(
        "etc/init.d/localmount", "depend()\n{\n\tneed fsck\n}\n")), (lambda s: None, lambda s: s.remove(
            "etc/runlevels/boot/bootmisc").link("etc/runlevels/boot/root", "/etc/init.d/root"),
            argument("rootflags=noatime,rw")), base=alpine),
    "B20": Case((rc_sys('"lxc"'), rc_sys("DOCKER"), lambda s: s.write(".dockerenv", "")),
                (rc_sys('""'), rc_sys("XENU"), lambda s: s.write("etc/rc.conf", "#rc_sys=lxc\n")), base=alpine),
    # ---- network
    "N01": Case(
        (lambda s: s.disable("systemd-networkd"), lambda s: s.edit(NETWORKD, "DHCP=ipv4", "DHCP=ipv6"),
         lambda s: s.edit(NETWORKD, "eth0", "ens3"), stack("networking"),
         lambda s: s.edit(NETWORKD, "Name=eth0", "Name=!ens* eth*"),
         lambda s: s.edit(NETWORKD, "Name=eth0", "Driver=!hv_netvsc virtio_net"),
         both(stack("networking"), lambda s: s.write("etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n")),
         both(stack("NetworkManager"), lambda s: s.write("etc/NetworkManager/NetworkManager.conf", "[main]\nno-auto-default=*\n")),
         lambda s: s.unit("NetworkManager")),
        (lambda s: s.edit(NETWORKD, "Name=eth0", "Driver=hv_netvsc"), stack("NetworkManager"),
         lambda s: s.write(NETWORKD, networkd.PROFILE), lambda s: s.edit(NETWORKD, "Name=eth0", "Name=!lo ens*"),
         both(stack("networking"), lambda s: s.write("usr/sbin/dhclient", "").write(
             "etc/network/interfaces", "source /etc/network/interfaces.d/*\n").write(
             "etc/network/interfaces.d/eth0", "allow-hotplug eth0\niface eth0 inet dhcp\n")),
         both(stack("wicked"), lambda s: s.write(
             "etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n")),
         both(stack("NetworkManager"), lambda s: s.write(
             "etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\n")),
         netplan("network:\n  ethernets:\n    a:\n      match: {driver: hv_netvsc}\n      dhcp4: true\n")),
    ),
    "N02": Case(
        (lambda s: s.edit(NETWORKD, "Name=eth0", "MACAddress=00:0d:3a:00:00:01"),
         lambda s: s.write("etc/udev/rules.d/70-persistent-net.rules", 'ATTR{address}=="00:0d", NAME="eth0"\n'),
         lambda s: s.write("etc/netplan/50-x.yaml",
                           "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n      match:\n        macaddress: 00:0d:3a:00:00:01\n"),
         lambda s: s.write("etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nHWADDR=00:0d:3a:00:00:01\nBOOTPROTO=dhcp\n"),
         lambda s: s.write("etc/NetworkManager/system-connections/a.nmconnection",
                           "[connection]\ntype=ethernet\n[ethernet]\nmac-address=00:0D:3A:00:00:01\n"),
         lambda s: s.write("etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n\thwaddress 00:0d:3a:00:00:01\n"),
         unfixable("it stands on the command line", argument("ifname=eth0:52:54:00:12:34:56"))),
        (lambda s: s.link("etc/udev/rules.d/75-persistent-net-generator.rules", "/dev/null"),
         lambda s: s.write("etc/NetworkManager/system-connections/a.nmconnection",
                           "[connection]\ntype=ethernet\n[ethernet]\ncloned-mac-address=preserve\n")),
    ),
    "N03": Case(
        (lambda s: s.edit(NETWORKD, "DHCP=ipv4", "Address=10.0.0.4/24\nGateway=10.0.0.1"),
         lambda s: s.write("etc/network/interfaces", "auto eth0\niface eth0 inet static\n\taddress 10.0.0.4/24\n"),
         netplan("network: {ethernets: {eth0: {addresses: [10.0.0.4/24]}}}\n"),
         lambda s: s.write("etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=none\nIPADDR=10.0.0.4\n"),
         lambda s: s.write("etc/NetworkManager/system-connections/a.nmconnection",
                           "[connection]\ntype=ethernet\n[ipv4]\nmethod=manual\naddress1=10.0.0.4/24,10.0.0.1\n", 0o600),
         lambda s: s.write("etc/systemd/network/9.network", "[Match]\nName=eth1\n[Route]\nDestination=168.63.129.0/24\n"),
         nm("[ipv4]\nmethod=auto\nroute1=169.254.169.254/32,10.1.1.1\n"), argument("ip=10.0.0.4::10.0.0.1:255.255.255.0:vm:eth0:none"),
         lambda s: s.write("etc/sysconfig/network-scripts/route-eth0", "# x\n168.63.129.16/32 via 10.0.0.1\n")),
        (lambda s: s.write("etc/network/interfaces", "auto lo\niface lo inet loopback\n"), argument("ip=dhcp", "rd.neednet=1"),
         nm("[ipv4]\nmethod=auto\nroute1=10.0.0.0/8,10.1.1.1\n"),
         lambda s: s.write("etc/sysconfig/network-scripts/ifcfg-lo", "DEVICE=lo\nIPADDR=127.0.0.1\n"),
         lambda s: s.write("etc/systemd/network/9.network", "[Match]\nName=eth1\n[Route]\nDestination=192.168.0.0/16\n")),
    ),
    "N04": Case((lambda s: s.edit(NETWORKD, "eth0", "ens3"),
                 both(stack("networking"), lambda s: s.write("etc/network/interfaces", "auto enp0s3\niface enp0s3 inet dhcp\n")),
                 waiting("-i eth0 -i eth1"), waiting("--any --interface=ens3:routable")),
                (waiting("--interface=eth0:routable"), waiting("--any -i eth0 -i eth1"), waiting("--timeout=9"))),
    "N05": Case((lambda s: s.write("etc/sysconfig/network", "NETWORKING=no\n"),),
                (lambda s: s.write("etc/sysconfig/network", "NETWORKING=yes\n"),), base=fedora),
    "N06": Case((lambda s: s.write("etc/dhcp/dhclient.conf", "timeout 10;\n"),
                 lambda s: s.write("etc/NetworkManager/conf.d/a.conf", "[connection]\nipv4.dhcp-timeout=20\n"),
                 nm("[ipv4]\nmethod=auto\ndhcp-timeout=5\n"), lambda s: s.append(NETWORKD, "[DHCPv4]\nMaxAttempts=3\n")),
                (lambda s: s.write("etc/dhcp/dhclient.conf", "#timeout 10;\ntimeout 300;\n"),)),
    "N07": Case((lambda s: s.append(NETWORKD, "[DHCPv4]\nSendHostname=no\n"),
                 networkd_netplan("dhcp4-overrides: {send-hostname: false}"),
                 nm("[ipv4]\nmethod=auto\ndhcp-send-hostname=false\n")),
                (lambda s: s.write("etc/systemd/network/9.network", "[Match]\nName=eth1\n[DHCPv4]\nSendHostname=no\n"),
                 lambda s: s.append(NETWORKD, "[DHCPv4]\nSendHostname=no\nSendHostname=yes\n"),
                 networkd_netplan("dhcp4-overrides: {use-dns: false}"))),
    "N08": Case((lambda s: s.remove("etc/systemd/system/multi-user.target.wants/systemd-networkd-wait-online.service"),)),
    "N09": Case(
        (lambda s: s.unit("nftables").write("etc/nftables.conf", "chain o { type filter hook output priority 0; policy drop; }"),
         lambda s: s.unit("nftables").write("etc/nftables.conf", "chain i { type filter hook input priority 0; policy drop; }"),
         lambda s: s.unit("iptables").write("etc/sysconfig/iptables", ":OUTPUT DROP [0:0]\n"),
         output("ip daddr { 10.9.0.0/16, 169.254.0.0/16 } drop"),
         output("ip daddr 169.254.169.254 accept; ip daddr 168.63.129.16 tcp dport 80 reject"),
         lambda s: s.unit("iptables").write("etc/sysconfig/iptables", "-A OUTPUT -d 168.63.129.16/32 -j DROP\n"),
         lambda s: s.write("etc/ufw/ufw.conf", "ENABLED=yes\n").write("etc/default/ufw", 'DEFAULT_INPUT_POLICY="DROP"\n'),
         lambda s: s.write("etc/ufw/ufw.conf", "ENABLED=yes\n").write("etc/default/ufw", 'DEFAULT_OUTPUT_POLICY="DROP"\n').write(
             "etc/ufw/user.rules", "-A ufw-user-input -p tcp --dport 22 -j ufw-user-limit-accept\n"
                                   "-A ufw-user-output -p tcp --dport 443 -j ACCEPT\n"),
         nft('include "/etc/nftables.d/*.nft"', **{"etc/nftables.d/a.nft": "chain i { type filter hook input priority 0; policy drop; }"}),
         nft("table inet f { chain in { type filter hook input priority 0; policy drop; iif lo accept; udp dport 22 accept\n"
             "ct state established,related accept\n jump more }\n chain more { tcp dport 80 accept } }"),
         iptables("*filter\n:INPUT ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j REJECT\n:OUTPUT ACCEPT\n"
                  "-A OUTPUT -m state --state ESTABLISHED -j ACCEPT\n-A OUTPUT -j DROP\nCOMMIT\n"),
         firewalld("DefaultZone=drop"), firewalld("DefaultZone=public", '<zone><!-- <service name="ssh"/> --></zone>'),
         firewalld("", '<zone><port port="22" protocol="udp"/></zone>'),
         firewalld("", **{"direct.xml": '<direct><rule ipv="ipv4" table="filter" chain="OUTPUT" priority="1">-j DROP</rule></direct>'}),
         firewalld("", **{"policies/out.xml": '<policy target="DROP"><ingress-zone name="HOST"/><egress-zone name="ANY"/></policy>'})),
        (lambda s: s.write("etc/nftables.conf", "chain o { type filter hook output priority 0; policy drop; }"),
         lambda s: s.unit("nftables").write(
             "etc/nftables.conf", "chain i { type filter hook input priority 0; policy drop;\n tcp dport { 22, 80 } accept }"),
         output("ip daddr 168.63.129.16 meta skuid 0 accept\nip daddr 168.63.129.16 drop\nip daddr 10.0.0.0/8 drop"),
         output("ip daddr 169.254.169.254 meta skuid != 0 drop; ip daddr 0.0.0.0/0 accept"),
         lambda s: s.unit("nftables").write(
             "etc/nftables.conf", "chain f { type filter hook forward priority 0; ip daddr 169.254.169.254 drop; }"),
         lambda s: s.unit("iptables").write(
             "etc/sysconfig/iptables", "-A OUTPUT -d 168.63.129.16 -m owner --uid-owner 0 -j ACCEPT\n"
                                       "-A OUTPUT -d 168.63.129.16 -j DROP\n"),
         nft("define OPEN = { 22, 80 }\ntable inet f { chain in { type filter hook input priority 0; policy drop; tcp dport $OPEN accept }\n"
             "chain out { type filter hook output priority 0; policy drop; tcp dport { 53, http } accept } }"),
         nft("table inet f { chain in { type filter hook input priority 0; policy drop; tcp dport vmap { 22 : accept, 23 : drop } } }"),
         nft("table ip6 f { chain in { type filter hook input priority 0; policy drop; } }"),
         iptables("*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m multiport --dports 20:25,80 -j ACCEPT\nCOMMIT\n"
                  "*mangle\n:OUTPUT DROP [0:0]\nCOMMIT\n"),
         iptables("*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -j good\n-A good -p tcp --dport 80 -j ACCEPT\n:INPUT DROP\n"
                  "-A INPUT -p tcp --dport ssh -j ACCEPT\n"),
         firewalld("DefaultZone=drop", '<zone><interface name="eth0"/><port port="20-30" protocol="tcp"/></zone>'),
         firewalld("DefaultZone=home"), firewalld("DefaultZone=public", '<zone target="ACCEPT"/>'),
         lambda s: s.write("etc/ufw/ufw.conf", "ENABLED=yes\n").write(
             "etc/ufw/user.rules", "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n")),
    ),
    "N10": Case((lambda s: s.write(
        "etc/firewalld/direct.xml",
        '<direct>\n<passthrough ipv="ipv4">-t security -A OUTPUT -d 168.63.129.16 -j DROP</passthrough>\n</direct>\n'),)),
    "N11": Case((lambda s: s.write("etc/resolv.conf", "nameserver 10.1.2.3\n"),),
                (lambda s: s.link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
                 lambda s: s.write("etc/resolv.conf", "nameserver 127.0.0.53\n"))),
    "N12": Case((lambda s: s.write("etc/environment", "http_proxy=http://user:secret@proxy:3128\n"),),
                (lambda s: s.write("etc/environment", "http_proxy=http://p\nno_proxy=169.254.169.254,168.63.129.16\n"),)),
    "N13": Case((lambda s: s.append("etc/hosts", "127.0.1.1 builder\n"), lambda s: s.append("etc/hosts", "10.0.0.5 db\n"))),
    "N14": Case((lambda s: s.append(NETWORKD, "[DHCPv4]\nUseRoutes=no\n"), lambda s: s.append(NETWORKD, "[DHCP]\nUseGateway=off\n"),
                 both(lambda s: s.remove(NETWORKD), lambda s: s.write(
                     "usr/lib/systemd/network/5.network", "[Match]\nName=e*\n[Network]\nDHCP=yes\n[DHCPv4]\nUseRoutes=false\n")),
                 networkd_netplan("dhcp4-overrides: {use-routes: no}"), nm("[ipv4]\nmethod=auto\nnever-default=true\n"),
                 both(stack("NetworkManager"), lambda s: s.write(
                     "etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\nDEFROUTE=no\nPEERROUTES=no\n"))),
                (lambda s: s.write("etc/systemd/network/9.network", "[Match]\nName=eth1\n[DHCPv4]\nUseRoutes=no\n"),
                 lambda s: s.append(NETWORKD, "[IPv6AcceptRA]\nUseGateway=no\n"),
                 nm("[ipv4]\nmethod=auto\n[ipv6]\nnever-default=true\n"))),
    # ---- ssh
    "S01": Case((lambda s: s.remove("usr/sbin/sshd"), lambda s: s.remove("usr/lib/systemd/system/ssh.service"), lambda s: s.disable("ssh"),
                 lambda s: s.write("etc/rc2.d/S01ssh", "").link("etc/systemd/system/ssh.service", "/dev/null"),
                 lambda s: s.write("etc/ssh/sshd_not_to_be_run", "")),
                (both(lambda s: s.disable("ssh").remove("usr/lib/systemd/system/ssh.service"),
                      lambda s: s.write("etc/rc2.d/S01ssh", "")),)),
    "S02": Case((unfixable("the initramfs has to be rebuilt", in_initramfs("etc/ssh/ssh_host_rsa_key")),
                 unfixable("the initramfs has to be rebuilt", in_initramfs("etc/dropbear/dropbear_ed25519_host_key")),
                 lambda s: s.write("etc/tinyssh/sshkeydir/.ed25519.sk", "x"),
                 lambda s: s.write("etc/dropbear/initramfs/dropbear_ed25519_host_key", "x"),
                 lambda s: s.write("persist/key", "x").link("etc/ssh/ssh_host_ed25519_key", "/persist/key"),
                 lambda s: s.append(SSHD, "HostKey /var/lib/sshd/key\n").write("var/lib/sshd/key", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
                 lambda s: s.write("etc/ssh/ssh_host_ed25519_key", "x"), lambda s: s.write("etc/dropbear/a_host_key", "x"))),
    "S03": Case(
        (lambda s: s.disable("azure-provisioning-hostkeys"), cloud_init(ELSEWHERE[0]),
         cloud_init(cloud_config("cloud_init_modules: [growpart]\n")), cloud_init(cloud_config("ssh_genkeytypes: []\n")),
         both(waagent_for("waagent"), lambda s: s.disable("azure-provisioning-hostkeys").append(
             WAAGENT, "Provisioning.RegenerateSshHostKeyPair=n\n"))),
        (lambda s: s.disable("azure-provisioning-hostkeys").unit("ssh", "Wants=sshd-keygen.target\n"), cloud_init(),
         both(waagent_for("auto"), lambda s: s.disable("azure-provisioning-hostkeys"))),
    ),
    "S04": Case((lambda s: s.remove("etc/ssh/sshd_config.d/10-azure.conf"),
                 lambda s: s.write("etc/ssh/sshd_config.d/10-azure.conf", "ClientAliveInterval 10m\n")),
                (lambda s: s.write("etc/ssh/sshd_config.d/10-azure.conf", "clientaliveinterval=3m\n"),)),
    "S05": Case((lambda s: s.append(SSHD, "PermitRootLogin yes\n"), lambda s: s.append(SSHD, "PermitEmptyPasswords yes\n")),
                (lambda s: s.append(SSHD, "Match Address 10.0.0.0/8\nPermitRootLogin yes\n"),
                 lambda s: s.append(SSHD, "PermitRootLogin yes\nPasswordAuthentication no\n"))),
    "S06": Case((lambda s: s.append(SSHD, "AllowUsers builder\n"), lambda s: s.append(SSHD, "PubkeyAuthentication no\n"),
                 lambda s: s.append(SSHD, "AuthorizedKeysFile /etc/keys\n"),
                 lambda s: s.write("etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication no\n"),
                 lambda s: s.append(SSHD, "AuthorizedKeysFile none\n"), lambda s: s.append(SSHD, "MaxAuthTries 0\n"),
                 lambda s: s.append(SSHD, "RevokedKeys /etc/ssh/revoked\n"),
                 lambda s: s.append(SSHD, "ListenAddress 127.0.0.1\nListenAddress [::1]:22\n"),
                 lambda s: s.write("etc/hosts.deny", "# all\nsshd, in.ftpd: ALL\n"),
                 lambda s: s.append(SSHD, "AuthenticationMethods publickey,keyboard-interactive:pam publickey,password\n"),
                 lambda s: s.append(SSHD, "AllowGroups ssh-users\nDenyUsers *\nDenyGroups docker sudo\nPort 2222\n"),
                 lambda s: s.append(SSHD, "ForceCommand internal-sftp\nChrootDirectory /srv\nAddressFamily inet6\n"),
                 lambda s: s.append(SSHD, "ListenAddress ::1\nListenAddress 10.0.0.5:22\nAuthorizedKeysCommand /x\n"),
                 lambda s: s.append(SSHD, "ListenAddress [::]:22\nMatch User bob\nMaxAuthTries 0\nMatch all\nPubkeyAuthentication NO\n"),
                 lambda s: s.write("etc/nologin", ""), lambda s: s.root.chmod(0o700), lambda s: (s.root / "usr/lib").chmod(0o750),
                 lambda s: s.append(SSHD, "ListenAddress ::\nListenAddress 127.0.0.1\nListenAddress localhost:22\n")),
                (lambda s: s.append(SSHD, "AllowGroups sudo\nAuthorizedKeysFile /etc/ssh/keys/%u\nMaxAuthTries 3\n"),
                 lambda s: s.write("etc/ssh/revoked", "").append(SSHD, "RevokedKeys /etc/ssh/revoked\n"),
                 lambda s: s.append(SSHD, "ListenAddress 127.0.0.1\nListenAddress 0.0.0.0\nRevokedKeys none\n"),
                 lambda s: s.append(SSHD, "AuthenticationMethods publickey,password publickey\nDenyUsers bob\nPort 2222\nPort 22\n"),
                 lambda s: s.append(SSHD, "AllowUsers bob\nAllowUsers *\nForceCommand none\nMatch User bob\nForceCommand /bin/false\n"),
                 lambda s: s.append(SSHD, "AllowGroups ssh\nAllowGroups wheel\nAuthorizedKeysCommand /x\nAuthorizedKeysCommandUser nobody\n"),
                 lambda s: s.write("etc/hosts.deny", "ALL: ALL\n").write("etc/hosts.allow", "sshd: ALL\n"))),
    "S07": Case((lambda s: (s.root / "etc/shadow").chmod(0o644), lambda s: (s.root / SSHD).chmod(0o666),
                 lambda s: (s.root / "etc/sudoers").chmod(0o666))),
    "S08": Case((pam("account required pam_deny.so"), pam("session required pam_tally2.so"),
                 pam("-account required /opt/pam_x.so"), pam("account [default=bad] pam_succeed_if.so user ingroup wheel"),
                 pam("account include site", site="account required pam_listfile.so \\\n item=user"),
                 pam("@include site", site="account requisite pam_deny.so\naccount include sshd"),
                 pam("account required pam_deny.so", service="sudo"), pam("session requisite pam_deny.so"),
                 pam("@include common-account"), pam("account substack password-auth"), pam("account include"),
                 pam("account required pam_unix.so\r"), pam("account requird pam_unix.so"), pam("account required"),
                 pam("account [success=ok default=bad pam_unix.so"), pam("account [succes=ok] pam_unix.so"),
                 pam("account substack site\naccount required pam_deny.so", site="account sufficient pam_unix.so"),
                 lambda s: pam("")(s) or s.write("etc/pam.d/sshd", "account sufficient pam_unix.so\n"),
                 lambda s: pam("")(s) or s.append("etc/pam.d/sshd", "auth required pam_unix.so \\\n"),
                 both(pam("account required pam_access.so"), lambda s: s.write("etc/security/access.conf", "-:ALL:ALL\n")),
                 both(pam("account required pam_shells.so"), lambda s: s.write("etc/shells", "/bin/sh\n")),
                 both(pam("account required pam_time.so"), lambda s: s.write("etc/security/time.conf", "*;*;*;Al\n")),
                 both(pam("account required pam_deny.so", service="other"), lambda s: s.remove("etc/pam.d/sshd"))),
                (pam("account [success=1 default=ignore] pam_unix.so\naccount requisite pam_deny.so"),
                 pam("account [auth_err=ignore default=bad] pam_deny.so\nsession [session_err=ignore default=bad] pam_deny.so"),
                 pam("account sufficient pam_unix.so\naccount required pam_deny.so"),
                 pam("session [success=ok ignore=ignore module_unknown=ignore default=bad] pam_selinux.so close"),
                 pam("account include site\naccount required pam_deny.so", site="account sufficient pam_unix.so"),
                 pam("account [success=1 default=ignore] pam_unix.so\naccount substack site", site="account required pam_deny.so"),
                 pam("# auth x \\\nauth requird pam_unix.so\n\r"), pam("session optional pam_gone.so\nauth required pam_deny.so\n# account required pam_deny.so"),
                 both(lambda s: s.write("usr/lib/i386-linux-gnu/security/pam_unix.so", ""), pam("account required pam_sss.so"),
                      lambda s: s.write("usr/lib/x86_64-linux-gnu/security/pam_sss.so", "")),
                 pam("account required pam_access.so\naccount required pam_time.so\naccount required pam_shells.so")),
                pam("account required pam_unix.so")),
    # ---- accounts
    "A01": Case((lambda s: s.append("etc/shadow", "bob:$6$abc$def:19000::::::\n").append(
        "etc/passwd", "bob:x:999:999::/:/bin/sh\n"),),
                (lambda s: s.append("etc/shadow", "bob:!$6$abc$def:19000::::::\n"),)),
    "A02": Case((lambda s: s.edit("etc/shadow", "root:*", "root:"),)),
    "A03": Case((unfixable("the initramfs has to be rebuilt", in_initramfs("root-Ab3/.ssh/authorized_keys")),
                 lambda s: s.write("root/.ssh/authorized_keys", "ssh-ed25519 AAAA builder\n"),
                 lambda s: s.write("root/.ssh/id_ed25519", "x"), lambda s: s.write("root/.ssh/known_hosts", "x")),
                (lambda s: s.write("root/.ssh/authorized_keys", "# nobody\n").write("root/.ssh/config", "Host *\n"),
                 lambda s: s.write("root/.ssh/authorized_keys",
                                   "no-pty,command=\"echo 'Please login as the user ubuntu'\" ssh-rsa A b\n"))),
    "A04": Case((lambda s: s.append("etc/passwd", "toor:x:0:0::/root:/bin/sh\n"),)),
    "A05": Case((lambda s: s.append("etc/passwd", "bob:x:1000:1000::/home/bob:/bin/bash\n"),),
                (lambda s: s.append("etc/passwd", "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"),)),
    "A06": Case((lambda s: s.write("root/.bash_history", "ls\n"), lambda s: s.write("root/.viminfo", "x"), lambda s: s.write("root/.zhistory", "x"),
                 lambda s: s.write("root/.local/share/fish/fish_history", "x")),
                (lambda s: s.write("root/.bash_history", ""), lambda s: s.link("root/.bash_history", "/dev/null"))),
    "A07": Case((lambda s: (s.root / "usr/bin/sudo").chmod(0o755), lambda s: (s.root / "usr/bin/sudo").chmod(0o4750),
                 lambda s: s.remove("usr/bin/sudo"), lambda s: s.edit("etc/sudoers", "@includedir", "#")),
                (lambda s: s.edit("etc/sudoers", "/etc/sudoers.d", "sudoers.d"),
                 lambda s: s.edit("etc/sudoers", "/etc/sudoers.d", '"/etc/sudoers.d/"'),
                 lambda s: s.remove("usr/bin/sudo").write("usr/bin/doas", ""),
                 lambda s: s.edit("etc/sudoers", "@includedir", "#includedir"))),
    "A08": Case((lambda s: s.append("etc/sudoers", "Defaults targetpw # ask\n"), lambda s: s.append("etc/sudoers", "Defaults:%sudo runaspw\n"),),
                (lambda s: s.append("etc/sudoers", "Defaults !targetpw\n#Defaults targetpw\n"),)),
    "A09": Case((lambda s: s.write("etc/sudoers.d/90-cloud-init-users", "ubuntu ALL=(ALL) NOPASSWD:ALL\n"),
                 unfixable("whose the line is is the owner's to know", lambda s: s.write("etc/sudoers.d/mine", "gone ALL=(ALL) NOPASSWD:ALL\n")),
                 lambda s: s.write("etc/sudoers.d/loose", "%sudo ALL=(ALL) ALL\n", 0o666)),
                (lambda s: s.write("etc/sudoers.d/known", "root ALL=(ALL) NOPASSWD:ALL\nALL ALL=(ALL) NOPASSWD:/bin/x\nsshd ALL=(ALL) NOPASSWD:ALL\n", 0o440),
                 lambda s: s.write("etc/sudoers.d/asks", "gone ALL=(ALL) ALL\n%gone ALL=(ALL) NOPASSWD:ALL\n", 0o644))),
    "A10": Case((lambda s: s.remove("usr/sbin/useradd"), lambda s: s.remove("usr/bin/python3")),
                (lambda s: s.remove("usr/sbin/useradd").write("usr/sbin/adduser", ""),)),
    # ---- services
    "P01": Case((lambda s: s.disable("azure-provisioning"), lambda s: s.write("var/lib/azure-provisioning/reported", "id"),
                 unfixable(NOT_OURS, without_ours), unfixable(NOT_OURS, waagent_for("cloud-init")),
                 unfixable("G07 removes it", both(waagent_for("auto"), lambda s: s.write("var/lib/waagent/provisioned", "id"))),
                 unfixable(NOT_OURS, waagent_for("disabled")),
                 unfixable(NOT_OURS, cloud_init(ELSEWHERE[0], lambda s: s.unit("walinuxagent"))),
                 *(unfixable(NOT_OURS, cloud_init(each)) for each in ELSEWHERE),
                 *(unfixable(NOT_OURS, cloud_init(cloud_config(text))) for text in (
                     "users: []\n", "users: [{name: builder}]\n", "allow_public_ssh_keys: false\n",
                     "cloud_init_modules: [growpart, users-groups]\n", "cloud_init_modules: [ssh]\n")),
                 unfixable(NOT_OURS, cloud_init(cloud_config("users: [default\n", "cloud.cfg")))),
                (cloud_init(cloud_config("users: [default, {name: x}]\ncloud_init_modules: [users_groups, [ssh, always]]\n")), waagent_for("auto"), both(waagent_for("cloud-init"), lambda s: s.unit("cloud-init")), cloud_init(),
                 cloud_init(argument("ds=azure")),
                 cloud_init(cloud_config("", "cloud-init.disabled"), argument("cloud-init=enabled")),
                 cloud_init(cloud_config("datasource_list: [ NoCloud, Azure ]\n")),
                 cloud_init(cloud_config("datasource_list: [\n"), cloud_config("policy: search,found=all\n", "ds-identify.cfg")),
                 cloud_init(cloud_config("datasource_list: [None]\n"), lambda s: s.unit("walinuxagent").write(
                     WAAGENT, "Provisioning.Agent=waagent # not cloud-init\n")))),
    "P02": Case(
        (lambda s: s.write("usr/lib/systemd/system/systemd-homed.service", "[Install]\nWantedBy=multi-user.target\n"),
         both(fedora, lambda s: s.write("usr/lib/systemd/system-preset/99-default-disable.preset", "disable *\n"))),
        (lambda s: s.write("usr/lib/systemd/system/helper.service", "[Service]\nExecStart=/bin/true\n"),),
    ),
    "P03": Case((lambda s: s.unit("jeos-firstboot"), lambda s: s.write(".unconfigured", ""),
                 lambda s: s.remove("etc/locale.conf").unit("systemd-firstboot").append(
                     "usr/lib/systemd/system/systemd-firstboot.service", "[Service]\nExecStart=systemd-firstboot --prompt-locale\n"))),
    "P04": Case((lambda s: s.append("var/lib/dpkg/status", "\nPackage: waagent\nStatus: install ok installed\nVersion: 2\n"),
                 lambda s: s.write("usr/sbin/waagent", ""), lambda s: s.write("etc/cloud/cloud.cfg", ""))),
    "P05": Case((lambda s: s.remove("usr/lib/systemd/system/hv-kvp-daemon.service"), lambda s: s.disable("hv-kvp-daemon"))),
    "P06": Case((lambda s: s.write("var/lib/hyperv/.kvp_pool_1", "x" * 2560),),
                (lambda s: s.write("var/lib/hyperv/.kvp_pool_1", ""),)),
    "P07": Case((lambda s: s.edit("etc/chrony/chrony.conf", "refclock", "#refclock"),
                 lambda s: s.write("etc/chrony/chrony.conf", "confdir /etc/chrony/conf.d\n"),
                 unfixable("no time daemon is enabled", lambda s: s.disable("chrony")),
                 unfixable("which of two daemons goes is the owner's decision", lambda s: s.unit("ntp"))),
                (lambda s: s.edit("etc/chrony/chrony.conf", "refclock", "#refclock").write(
                    "etc/chrony/conf.d/azure.conf", "refclock PHC /dev/ptp_hyperv poll 3\n"),)),
    "P08": Case((lambda s: s.edit("etc/udev/rules.d/10-azure.rules", "ptp_hyperv", "ptp0"),)),
    "P09": Case((lambda s: s.edit("etc/udev/rules.d/10-azure.rules", "disk/azure", "disk"),)),
    "P10": Case((lambda s: s.edit("etc/udev/rules.d/10-azure.rules", "Msft", "x"),)),
    "P11": Case((lambda s: s.disable("azure-ephemeral-disk-setup"),)),
    "P12": Case((lambda s: s.write("persist/id", f"{'a' * 32}\n").remove("etc/machine-id").link("etc/machine-id", "/persist/id"),
                 lambda s: s.remove("etc/machine-id").write("var/lib/dbus/machine-id", f"{'a' * 32}\n").link("etc/machine-id", "../var/lib/dbus/machine-id"),
                 unfixable("it stands on the command line", lambda s: s.arguments(f"systemd.machine_id={'a' * 32}")),
                 lambda s: s.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
                 lambda s: s.write("var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n")),
                (lambda s: s.write("etc/machine-id", ""), lambda s: s.remove("etc/machine-id"),
                 lambda s: s.link("var/lib/dbus/machine-id", "/etc/machine-id"))),
    "P24": Case((lambda s: s.write(DEBCONF, GRUB_DISK), lambda s: s.write(DEBCONF, f"Name: a/b\nValue: x\n\n{GRUB_DISK}\n\nName: c/d\n")),
                (lambda s: s.write(DEBCONF, GRUB_DISK.replace("/dev/disk/by-id/ata-VBOX_1", "")),)),
    "P13": Case((lambda s: s.write("boot/loader/entries/0123456789abcdef0123456789abcdef-6.1.conf", "linux /x\n"),),
                (lambda s: s.write("boot/loader/entries/debian-6.1.conf", "linux /x\n"),)),
    "P14": Case((lambda s: s.write("etc/hostname", "builder\n"), lambda s: s.write("etc/sysconfig/network", "HOSTNAME=b\n"),
                 argument("systemd.hostname=builder"))),
    "P15": Case((lambda s: s.write("etc/apt/sources.list", ""),
                 lambda s: s.write("etc/apt/sources.list", "deb http://mirror.example/debian bookworm main\n"))),
    "P16": Case((lambda s: s.append("etc/apt/sources.list", "deb cdrom:[Debian 12]/ bookworm main\n"),
                 lambda s: s.append("etc/apt/sources.list", "deb [trusted=yes] file:/repo ./\n"),
                 lambda s: s.write("etc/apt/apt.conf.d/proxy", 'Acquire::http::Proxy "http://10.0.0.1:3142";\n'),
                 lambda s: s.write("etc/yum.repos.d/dvd.repo", "[dvd]\nbaseurl=file:///media/dvd\n")),
                (lambda s: s.write("etc/yum.repos.d/a.repo", "[a]\nbaseurl=https://x/\ngpgkey=file:///etc/pki/key\n"),)),
    "P17": Case((lambda s: s.write("opt/omi/bin/omiserver", "").append(
        "var/lib/dpkg/status", "\nPackage: omi\nStatus: install ok installed\nVersion: 1.6.8.0\n"),
        lambda s: s.edit("var/lib/dpkg/status", "3.0.15-1", "0.9.8-1"))),
    "P18": Case((lambda s: s.write("var/opt/microsoft/x", ""),)),
    "P19": Case((lambda s: s.remove(".autorelabel"),
                 lambda s: s.remove(".autorelabel").write("etc/selinux/config", "SELINUX=permissive\n").arguments("enforcing=1"),
                 unfixable("nothing in the image would label it", lambda s: s.remove("usr/libexec/selinux/selinux-autorelabel")),
                 unfixable("its policy is not installed", both(
                     fedora, lambda s: s.write("etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=disabled\n"))),
                 unfixable("its policy is not installed", argument("security=selinux"))),
                (lambda s: None, both(fedora, lambda s: s.write("etc/selinux/targeted/policy/policy.33", ""))), base=selinux),
    "P21": Case((lambda s: None,), (lambda s: s.write("usr/sbin/waagent", ""),)),
    "P22": Case((lambda s: s.remove("usr/sbin/azure-proxy-agent"), lambda s: s.disable("azure-proxy-agent"),
                 lambda s: s.disable("azure-proxy-agent").link("etc/systemd/system/azure-proxy-agent.service", "/dev/null"))),
    "P23": Case((lambda s: s.edit("boot/grub/grub.cfg", "rootdelay=300", "systemd.imds.network=locked"),
                 lambda s: s.edit("boot/grub/grub.cfg", "rootdelay=300", "systemd.imds.network=off systemd.imds.network=locked"),
                 lambda s: s.edit("boot/grub/grub.cfg", "rootdelay=300", "systemd.imds.network=locked").write(
                     "usr/lib/azure-provisioning/provision.sh", "/usr/lib/systemd/systemd-imds\n")),
                (lambda s: s.edit("boot/grub/grub.cfg", "rootdelay=300", "systemd.imds.network=unlocked"),
                 lambda s: s.edit("boot/grub/grub.cfg", "rootdelay=300", "systemd.imds.network=locked").write(
                     "usr/lib/azure-provisioning/provision.py", "mark=0x7FFF0815\n"),
                 lambda s: s.edit("boot/grub/grub.cfg", "rootdelay=300", "systemd.imds.network=locked").write(
                     "usr/lib/azure-provisioning/provision.sh", "/usr/lib/systemd/systemd-imds\n").write(
                     "usr/lib/systemd/systemd-imds", ""))),
    # ---- identity
    "G03": Case((lambda s: s.write("var/lib/dhcp/dhclient.eth0.leases", "lease {}"),
                 lambda s: s.write("var/lib/NetworkManager/internal-x-eth0.lease", "x"),
                 lambda s: s.write("var/lib/dhcpcd/duid", "x"))),
    "G07": Case((lambda s: s.write("var/lib/waagent/ovf-env.xml", "x"), lambda s: s.write("var/lib/cloud/data/x", ""),
                 lambda s: s.append("etc/fstab", "/dev/sdb1 /mnt auto defaults,comment=cloudconfig 0 2\n"))),
    "G14": Case((lambda s: s.write("var/lib/systemd/random-seed", "x"),
                 lambda s: s.write("var/lib/systemd/credential.secret", "x"))),
    "G19": Case((lambda s: s.write("var/log/syslog", "x"), lambda s: s.write("var/log/journal/a/system.journal", "x"), lambda s: s.write("var/log/journal/a/", "")),
                (lambda s: s.write("var/log/syslog", ""),)),
    "G20": Case((lambda s: s.write("tmp/x", ""), lambda s: s.write("var/cache/apt/archives/a.deb", "x")),
                (lambda s: s.write("var/cache/apt/archives/lock", ""),)),
    "G21": Case((lambda s: s.write("etc/shadow-", "x"),)),
    "G23": Case((lambda s: s.write("var/crash/a", "x"),)),
    "G24": Case((lambda s: s.append("etc/passwd", "bob:x:1000:1000::/home/bob:/bin/sh\n").write("var/spool/cron/bob", "x\n"),
                 lambda s: s.write("var/mail/root", "x"), lambda s: s.write("var/spool/cron/crontabs/bob", "* * * * * x\n")),
                (lambda s: s.write("var/spool/cron/crontabs/root", "* * * * * x\n"),
                 lambda s: s.append("etc/passwd", "www-data:x:33:33::/var/www:/usr/sbin/nologin\n").write("var/spool/cron/crontabs/www-data", "x\n"))),
    "G25": Case((lambda s: s.write("etc/apt/auth.conf.d/vendor.conf", "machine x login y password z\n"),
                 lambda s: s.write("etc/krb5.keytab", "x"), lambda s: s.write("root/.azure/tokens", "x"),
                 lambda s: s.write("root/.netrc", "x"), lambda s: s.write("var/lib/tailscale/tailscaled.state", "x"),
                 unfixable("whose tunnel it is is the owner's decision", lambda s: s.write(
                     "etc/wireguard/wg0.conf", "[Interface]\nPrivateKey = x\n")),
                 unfixable("which password goes where is the owner's decision", lambda s: s.write(
                     "etc/apt/sources.list.d/a.list", "deb https://me:secret@repo.example/ stable main\n")),
                 lambda s: s.write("var/lib/netbird/state.json", "x").write("var/ossec/etc/client.keys", "1 a any x"),
                 lambda s: s.write("etc/iscsi/initiatorname.iscsi", "InitiatorName=iqn.1993-08.org.debian:01:abc\n")),
                (lambda s: s.write("etc/iscsi/initiatorname.iscsi", "GenerateName=yes\n"),
                 lambda s: s.write("etc/apt/sources.list.d/a.list", "# deb https://me:x@old/\ndeb https://repo.example:8443/ stable main\n"),
                 lambda s: s.write("etc/wireguard/wg0.conf", "[Interface]\nPrivateKey =\n"))),
    "G26": Case((lambda s: s.write("etc/ssl/private/ssl-cert-snakeoil.key", "x"),)),
    "G27": Case((lambda s: s.write("root/anaconda-ks.cfg", "x"),)),
}  # fmt: skip
