# ruff: noqa: E501 (tables)
"""What looks like a fault and is none, beside what is one: both halves of each rule's conditions."""

from collections.abc import Callable
from pathlib import Path

import pytest

from azready.image.checking import Found, Passed, Skipped, ask
from azready.image.facts import Facts
from azready.image.rules import RULES
from azready.image.rules.mac_repairs import _binds
from azready.image.rules.pages import catalogue
from azready.image.targets.tree import Tree
from tests.image.rules.cases import arm, both, networkd_netplan, stack
from tests.image.sample import KERNEL, MODULES, Sample, good_image, initramfs

BY_ID = {rule.id: rule for rule in RULES}
Change = Callable[[Sample], object]
GRUB, HOSTS, RULES_D = "boot/grub/grub.cfg", "etc/hosts", "etc/udev/rules.d/10-azure.rules"


def write(path: str, text: str) -> Change:
    return lambda s: s.write(path, text)


def add(path: str, text: str) -> Change:
    return lambda s: s.append(path, text)


def swap(path: str, old: str, new: str) -> Change:
    return lambda s: s.edit(path, old, new)


def argument(text: str) -> Change:
    return lambda s: s.arguments(*text.split())


def kernel(version: str, *changes: Change) -> Change:
    def change(s: Sample) -> None:
        for path in (f"usr/lib/modules/{KERNEL}/modules.dep", f"boot/vmlinuz-{KERNEL}"):
            s.write(path.replace(KERNEL, version), (s.root / path).read_bytes())
            s.remove(path)
        for each in changes:
            each(s)

    return change


def without(*names: str, more: tuple[str, ...] = ()) -> Change:
    """A kernel without some drivers."""
    left = [*(each for each in MODULES if each.rpartition("/")[2].replace("-", "_") not in names), *more]
    listed = "".join(f"kernel/{each}.ko:\n" for each in left)
    return lambda s: s.write(f"usr/lib/modules/{KERNEL}/modules.dep", listed).write(
        f"boot/initrd.img-{KERNEL}", initramfs(left)
    )


def second(*arguments: str) -> Change:
    """A second entry in the menu, which does not start by itself, with these arguments more."""

    def change(s: Sample) -> None:
        first = (s.root / GRUB).read_text().partition("set timeout")[0]
        s.append(GRUB, first.replace("'x'", "'y'").replace(" ro ", f" ro {' '.join(arguments)} "))

    return change


def growing(fstab: str, *changes: Change) -> Change:
    """An image without our setting, with systemd-repart and a file for it, and that fstab."""
    repart = write("usr/lib/repart.d/root.conf", "[Partition]\nType=root\n")
    return both(
        write("etc/azure-provisioning.conf", ""),
        write("etc/fstab", fstab),
        repart,
        write("usr/bin/systemd-repart", ""),
        *changes,
    )


BUILT_IN = write(f"usr/lib/modules/{KERNEL}/modules.builtin", "kernel/fs/fat/vfat.ko\n")

PASSES: tuple[tuple[str, Change], ...] = (
    ("N07", write("etc/dhcp/dhclient.conf", "timeout 300;\n")), ("N14", write("etc/sysconfig/network/dhcp", 'DHCLIENT_SET_DEFAULT_ROUTE="no"\n')),
    *(("K07", both(BUILT_IN, write("etc/modprobe.d/x.conf", f"{line}\n"))) for line in ("install vfat /bin/false", "blacklist vfat")),
    ("P14", second("systemd.hostname=other")), ("P12", second(f"systemd.machine_id={'a1' * 16}")), ("B12", second("systemd.getty_auto=no")),
    ("D11", growing("")), ("D11", growing("UUID=x / ext4 x-systemd.growfs 0 1\n")),
    ("K06", without("hyperv_fb", more=("drivers/gpu/drm/hyperv/hyperv_drm",))), ("K13", lambda s: s.remove(f"boot/config-{KERNEL}")), ("K13", add(f"boot/config-{KERNEL}", "CONFIG_X=n\n")),
    ("K14", both(without("floppy"), lambda s: s.remove("etc/modprobe.d/azure-no-floppy.conf"))),
    ("K16", kernel("3.8.0-1-amd64")), ("K16", kernel("3.10.0")), ("K16", kernel("4.0.1")), ("K16", kernel("3.2.0-4-amd64", argument("numa=off"))), ("K16", kernel("x.y")),
    ("B02", swap(GRUB, "earlyprintk=ttyS0", "earlyprintk=serial,ttyS0,115200")),
    ("B11", both(swap("etc/default/grub", "GRUB_TERMINAL=", "GRUB_TERMINAL_OUTPUT="), swap("etc/default/grub", "TIMEOUT=5", "TIMEOUT=1"))),
    ("N13", add(HOSTS, "127.0.0.1 builder\nff02::1 ip6-allnodes\nfe00::0 x\n0.0.0.0 ads\n127.5.0.1 me\n# 10.0.0.5 db\n")), ("N13", write(HOSTS, "")),
    ("A04", add("etc/passwd", "x:x:1:0::/x:/bin/sh\n")),
    ("P03", lambda s: s.unit("jeos-firstboot", enabled=False)),
    ("P05", both(lambda s: s.disable("hv-kvp-daemon"), add(RULES_D, 'ACTION=="add", ENV{SYSTEMD_WANTS}="hv_kvp_daemon.service"\n'))),
    ("P11", both(lambda s: s.disable("azure-ephemeral-disk-setup"), add("etc/fstab", "/dev/disk/cloud/azure_resource-part1 /mnt auto defaults,nofail 0 2\n"))),
    ("P11", both(lambda s: s.disable("azure-ephemeral-disk-setup"), add("etc/fstab", "/dev/disk/azure/resource-part1 /mnt auto defaults,nofail 0 2\n"))),
    ("P11", both(lambda s: s.disable("azure-ephemeral-disk-setup"), lambda s: s.unit("walinuxagent"))),
    ("P14", both(write("etc/hostname", "# a comment\nlocalhost\n"), write("etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=localhost.localdomain\n#HOSTNAME=b\n"))),
    ("P14", both(write("etc/hostname", "#x\n"), write("etc/conf.d/hostname", 'hostname="localhost"\n'))), ("P14", write("etc/dhcp/dhclient.conf", "send host-name = gethostname();\n")),
    ("P15", write("etc/apt/sources.list", "# deb x\n\ndeb http://security.debian.org/ a main\n")),
    ("G03", both(write("var/lib/dhcp/dhclient.eth0.leases", ""), lambda s: s.write("var/lib/dhcp/x.leases/a", ""))),
    ("A02", add("etc/shadow", "bob:!:1::::::\n")),
    ("B17", argument("acpi=force")), ("B06", argument("quietly")), ("B05", argument("libata.atapi_enabled=1")),
    ("G21", write("etc/shadow.pacnew", "x")), ("G23", lambda s: s.write("var/crash/", "")), ("G14", lambda s: s.write("var/lib/systemd/", "")),
)  # fmt: skip


@pytest.mark.parametrize(("id", "change"), PASSES, ids=[f"{row[0]}-{n}" for n, row in enumerate(PASSES)])
def test_it_is_no_fault(id: str, change: Change, tmp_path: Path) -> None:
    change(sample := good_image(tmp_path))
    assert ask(BY_ID[id], Facts(Tree(sample.root))) == Passed()


IFUPDOWN = both(
    stack("networking"),
    write("usr/sbin/dhclient", ""),
    write("etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n"),
)
WICKED = both(stack("wicked"), write("etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n"))
FOUND: tuple[tuple[str, Change, list[str]], ...] = (
    ("N07", both(IFUPDOWN, write("etc/dhcp/dhclient.conf", "timeout 300;\n")), ["no `send host-name`"]),
    ("N07", write("etc/NetworkManager/conf.d/a.conf", "[connection]\nipv4.dhcp-send-hostname=no\n"), ["ipv4.dhcp-send-hostname=no"]),
    ("N14", both(WICKED, write("etc/sysconfig/network/dhcp", 'DHCLIENT_SET_DEFAULT_ROUTE="no"\n')), ['DHCLIENT_SET_DEFAULT_ROUTE="no"']),
    ("N14", write("etc/udhcpc/udhcpc.conf", "NO_GATEWAY=yes\n"), ["NO_GATEWAY is set"]),
    ("P07", both(lambda s: s.disable("chrony"), lambda s: s.unit("systemd-timesyncd")), ["systemd-timesyncd sets the clock, and knows no host clock"]),
    ("D09", write("etc/crypttab", "one /dev/sda5\n#two /dev/sda6 none\nthree\nfour /dev/sda7 none luks\n"), ["one is on /dev/sda5", "four is on /dev/sda7"]),
    ("K07", both(BUILT_IN, argument("module_blacklist=vfat")), ["vfat is kept out by `module_blacklist`"]),
    ("K07", both(BUILT_IN, write("etc/modprobe.d/x.conf", "install udf /bin/false\n")), ["udf is kept out by `install`"]),
    ("P19", both(write("etc/selinux/config", "SELINUX=enforcing\n"), second("selinux=1")), ["SELinux is enforcing, and azready wrote files from outside"]),
    ("P14", both(argument("systemd.hostname=one"), second("systemd.hostname=one")), ["systemd.hostname=one"]),
    ("D11", growing("UUID=x / ext4 defaults 0 1\n"), ["nothing grows the root partition and its file system"]),
    ("D11", growing("UUID=x /srv ext4 x-systemd.growfs 0 1\n"), ["nothing grows the root partition and its file system"]),
    ("D11", growing("", lambda s: s.remove("usr/bin/systemd-repart")), ["nothing grows the root partition and its file system"]),
    ("D11", growing("", lambda s: s.remove("usr/lib/repart.d/root.conf")), ["nothing grows the root partition and its file system"]),
    ("G19", write("var/log/a", "x" * 1024), ["/var/log/a holds 1 KiB"]), ("G19", write("var/log/a", "x" * 1025), ["/var/log/a holds 2 KiB"]),
    ("G19", both(write("var/log/a", "x"), write("var/log/b", "x")), ["/var/log/a and 1 other hold 1 KiB"]),
    ("G19", both(write("var/log/a", "x"), write("var/log/b", "x"), write("var/log/c", "x")), ["/var/log/a and 2 others hold 1 KiB"]),
    ("K06", without("hyperv_fb", "hv_balloon"), [f"kernel {KERNEL} has no hv_balloon", f"kernel {KERNEL} has neither hyperv_fb nor hyperv_drm"]),
    ("K11", without("mlx5_core", "mana", "pci_hyperv"), [f"kernel {KERNEL} has no mlx5_core, mana, pci_hyperv"]),
    ("K16", kernel("3.7.10"), ["kernel 3.7.10 is older than 3.8"]), ("K16", kernel("2.6.32-754.el6"), ["kernel 2.6.32-754.el6 is older than 3.8"]),
    ("B02", swap(GRUB, "earlyprintk=ttyS0", "earlyprintk=vga"), ["no earlyprintk=ttyS0"]),
    ("B03", swap(GRUB, "rootdelay=300", "rootdelay=3000"), ["no rootdelay=300"]),
    ("B11", swap("etc/default/grub", 'GRUB_TERMINAL="serial console"\n', ""), ["GRUB_TERMINAL does not name serial"]),
    ("N13", add(HOSTS, "\tfd00::5 db dbx # x\n127.0.1.1 me\n::11 y\nff03::1 z\n"), ["fd00::5 db dbx # x", "127.0.1.1 me", "::11 y", "ff03::1 z"]),
    ("A04", add("etc/passwd", "toor:x:0:7::/x:/bin/sh\nx:x:00:0::/x:/bin/sh\n"), ["toor has the user id 0", "x has the user id 0"]),
    ("P05", both(lambda s: s.disable("hv-kvp-daemon"), add(RULES_D, 'ACTION=="add"\n')), ["hv-kvp-daemon.service is not enabled"]),
    ("P10", swap(RULES_D, "timeout", "x"), ["no udev rule raises the limit"]), ("P08", swap(RULES_D, "ptp_hyperv", "x"), ["no udev rule makes the link"]),
    ("P11", both(lambda s: s.disable("azure-ephemeral-disk-setup"), add("etc/fstab", "LABEL=x /mnt auto nofail 0 2\n")), ["nothing formats or mounts it"]),
    ("P14", both(write("etc/machine-info", "PRETTY_HOSTNAME=me\n"), write("etc/conf.d/hostname", 'hostname="b"\n')), ["PRETTY_HOSTNAME=me", 'hostname="b"']),
    ("P14", both(write("etc/HOSTNAME", "a.b\n"), write("etc/dhcp/dhclient.conf", 'timeout 1;\nsend host-name "b";\n')), ["a.b", 'send host-name "b";']),
    ("P22", lambda s: s.remove("usr/sbin/azure-proxy-agent"), ["azure-proxy-agent is not installed"]),
    ("G03", both(write("var/lib/dhcp/dhclient.eth0.leases", "x"), write("var/lib/dhcpcd/duid", "x")), ["a lease, or an identity for DHCP"] * 2),
)  # fmt: skip


@pytest.mark.parametrize(("id", "change", "says"), FOUND, ids=[f"{row[0]}-{n}" for n, row in enumerate(FOUND)])
def test_it_is_a_fault(id: str, change: Change, says: list[str], tmp_path: Path) -> None:
    change(sample := good_image(tmp_path))
    answer = ask(BY_ID[id], Facts(Tree(sample.root)))
    assert isinstance(answer, Found)
    assert [each.what for each in answer.findings] == says


SKIPPED: tuple[tuple[str, Change, str], ...] = (
    ("B02", arm, "x86 only"),
    ("B03", lambda s: s.remove(f"boot/initrd.img-{KERNEL}"), "no initramfs: the kernel would sleep that long"),
    ("B11", lambda s: s.remove("etc/default/grub"), "no /etc/default/grub"),
    ("N08", networkd_netplan("optional: true"), "netplan enables the unit that waits"),
    ("P04", write("usr/lib/azure-provisioning/report.py", ""), "azready only reports for this image, and its agent brings the data"),
)  # fmt: skip


@pytest.mark.parametrize(("id", "change", "why"), SKIPPED, ids=[row[0] for row in SKIPPED])
def test_a_rule_has_nothing_to_say(id: str, change: Change, why: str, tmp_path: Path) -> None:
    change(sample := good_image(tmp_path))
    assert ask(BY_ID[id], Facts(Tree(sample.root))) == Skipped(why)


def test_what_a_running_system_uses_is_no_leftover(tmp_path: Path) -> None:
    used, left = "var/tmp/systemd-private-1", "var/tmp/left"
    sample = good_image(tmp_path)
    for path in (used, left, "tmp/mine"):
        sample.write(path, "")
    says = {
        live: [(each.what, each.path) for each in BY_ID["G20"].find(Facts(Tree(sample.root), live=live))]
        for live in (True, False)
    }
    assert says == {
        True: [("left in /tmp and /var/tmp: 1", left)],
        False: [("left in /tmp and /var/tmp: 3", "tmp/mine")],
    }


def test_the_catalogue_has_every_rule() -> None:
    listed = catalogue(RULES)["rules"]
    assert [each["id"] for each in listed] == [rule.id for rule in RULES]
    assert all(each["area"] and each["title"] for each in listed)


@pytest.mark.parametrize(
    ("path", "text", "binds"),
    [
        ("etc/systemd/network/a.network", "[Match]\nMACAddress=x\n", True), ("etc/systemd/network/a.network", "[Match]\nName=e\nMACAddress=x\n", False),
        ("etc/systemd/network/a.network", "[Match]\n", False), ("etc/NetworkManager/system-connections/a", "mac-address=x\n", True),
        ("etc/NetworkManager/system-connections/a", "mac-address=x\ninterface-name=e\n", False), ("etc/NetworkManager/system-connections/a", "", False),
        ("etc/sysconfig/network-scripts/ifcfg-a", "HWADDR=x\n", True), ("etc/sysconfig/network-scripts/ifcfg-a", "DEVICE=e\nHWADDR=x\n", False), ("etc/x", "HWADDR=x\n", False),
    ],
)  # fmt: skip
def test_whether_a_file_knows_a_card_by_its_address_alone(path: str, text: str, binds: bool) -> None:
    assert _binds(path, text) is binds
