"""What `check` reads of an image's files, as root: configurations of every kind, spoilt; no rule may break or hang."""

import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

from azready.errors import Failure
from azready.image.checking import ask
from azready.image.facts import Facts
from azready.image.facts.cloud_init import gather_cloud_init
from azready.image.facts.firewall import closing_policies, direct_rules, iptables, nftables, zone_of
from azready.image.facts.modprobe import gather_bans
from azready.image.facts.network import STACKS
from azready.image.facts.network.model import Nic, Scene
from azready.image.facts.network.netplan import gather_netplan
from azready.image.facts.packages import rpm
from azready.image.facts.pam import pam_rules
from azready.image.facts.units import gather_units
from azready.image.facts.waagent import gather_waagent
from azready.image.rules import RULES
from azready.image.targets.index import parse_listing
from tests.fuzz import _bytes
from tests.fuzz._bytes import Reader
from tests.fuzz._memory import Memory
from tests.image.sample import ENABLED, GOOD

PAM = (
    b"# site\n@include common-account\naccount required pam_nologin.so\naccount include site\nsession substack site\n"
    b"account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so \\\n broken_shadow\n"
    b"-session optional pam_gone.so a=b\naccount required pam_access.so accessfile=/etc/a\n"
    b"account requisite pam_deny.so\n"
)
NETPLAN = (
    b"network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    eth0: {dhcp4: true, match: {name: 'e*'}}\n"
    b"    other:\n      set-name: eth1\n      match: {macaddress: '00:0d:3a:6e:00:01'}\n      dhcp4-overrides:\n"
    b"        route-metric: 100\n  bonds:\n    b0:\n      interfaces: [eth0]\n"
)
SSHD = (
    b"Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\nAuthorizedKeysFile .ssh/k %h/x\n"
    b"ClientAliveInterval 3m\nAllowUsers bob@10.* a?b\nDenyGroups x\nMatch user a,!b\nPermitRootLogin no\n"
)
NM = (
    b"[connection]\nid=a\ntype=ethernet\ninterface-name=eth0\n[ethernet]\nmac-address=00:0D:3A:6E:00:01\n"
    b"[ipv4]\nmethod=auto\n"
)
IFUPDOWN = (
    b"auto lo eth0\nsource /etc/network/interfaces.d/*\nallow-hotplug e*\niface eth0 inet dhcp\n  hwaddress ether "
    b"00:0d:3a:6e:00:01\nmapping eth*\n script x\niface eth1 inet static inherits eth0\n address 10.0.0.4/24\n"
)
IFCFG = b'DEVICE="eth0"\nBOOTPROTO=dhcp\nONBOOT=yes\nHWADDR=00:0d:3a:6e:00:01\nSTARTMODE=auto\nNM_CONTROLLED=no\n'
BLS = b"title x\nversion 6.1.0-35-amd64\nlinux /vmlinuz\ninitrd /i $tuned_initrd\noptions root=UUID=a $kernelopts ro\n"
CLOUD = (
    b"datasource_list: [ Azure, None ]\nsystem_info: {default_user: {name: a}}\n"
    b"datasource:\n  Azure: {apply_network_config: true}\n"
)
TABLES = b"*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -d 168.63.129.16/32 -p tcp -m owner --uid-owner 0 -j ACCEPT\nCOMMIT\n"
NFT = (
    b"table inet f {\n chain out { type filter hook output priority 0; policy drop; ip daddr "
    b"{ 10.0.0.1 } accept; }\n}\n"
)
ACCESS = b"# -:ALL:ALL\n+:root:ALL\n-:ALL EXCEPT wheel:10. LOCAL\n"
GRUB = (
    b"set default=\"${saved_entry}\"\nif [ x$f = xy ]; then\n menuentry 'a' --id x {\n"
    b" search --no-floppy --fs-uuid --set=root "
    b"a-b\n linux ($root)/vmlinuz root=UUID=a ro console=ttyS0\n initrd /i\n }\nfi\nsubmenu 'b' {\n}\nblscfg\n"
)
SSH = "etc/systemd/system/ssh.service"
MORE: Mapping[str, bytes] = {
    SSH: b"[Unit]\nAfter=x.service \\\n y.target\nRequires=\n[Service]\nExecStart=/usr/sbin/sshd -D\n",
    "etc/pam.d/sshd": PAM,
    "etc/pam.d/sudo": PAM,
    "etc/pam.d/site": b"account required pam_succeed_if.so user ingroup wheel\n",
    "etc/pam.d/common-account": b"account required pam_unix.so\n",
    "usr/lib/x86_64-linux-gnu/security/pam_unix.so": b"",
    "etc/security/access.conf": ACCESS,
    "etc/hosts.deny": b"ALL: ALL\nsshd, x : ALL EXCEPT 10.0.0.1 : deny\n",
    "etc/hosts.allow": b"# none\n",
    "etc/netplan/50-a.yaml": NETPLAN,
    "etc/ssh/sshd_config": SSHD,
    "etc/NetworkManager/system-connections/a.nmconnection": NM,
    "etc/NetworkManager/NetworkManager.conf": b"[main]\nplugins=keyfile\n[keyfile]\nunmanaged-devices=mac:a;*\n",
    "etc/network/interfaces": IFUPDOWN,
    "etc/network/interfaces.d/a": b"iface eth0 inet6 auto\n",
    "etc/sysconfig/network-scripts/ifcfg-eth0": IFCFG,
    "etc/sysconfig/network/ifcfg-eth0": IFCFG,
    "etc/sysconfig/iptables": TABLES,
    "etc/iptables/rules.v4": TABLES,
    "etc/nftables.conf": NFT,
    "etc/firewalld/zones/public.xml": b'<zone target="DROP"><service name="ssh"/><port port="22"/></zone>',
    "etc/firewalld/direct.xml": b'<rule ipv="ipv4" table="filter" chain="OUTPUT" priority="0">-j DROP</rule>',
    "etc/firewalld/policies/p.xml": b'<policy target="DROP"><ingress-zone name="HOST"/><egress-zone name="ANY"/>',
    "etc/dhcpcd.conf": b"denyinterfaces wl*\ninterface eth0\nstatic ip_address=10.0.0.4/24\nnodhcp\n",
    "etc/connman/main.conf": b"[General]\nNetworkInterfaceBlacklist=vmnet,eth\n",
    "etc/conf.d/net": b'config_eth0="dhcp"\nmodules="!dhcpcd udhcpc"\n',
    "etc/cloud/cloud.cfg": CLOUD,
    "etc/cloud/cloud.cfg.d/90_dpkg.cfg": b"datasource_list: [ NoCloud, Azure ]\n",
    "usr/lib/systemd/system/cloud-init.service": b"[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=x.target\n",
    "etc/waagent.conf": b"Provisioning.Agent=auto\nResourceDisk.Format=y\nProvisioning.MonitorHostName = n # c\n",
    "etc/selinux/config": b"SELINUX=enforcing\nSELINUXTYPE=targeted\n",
    "boot/loader/entries/a.conf": BLS,
    "boot/grub/grubenv": b"# GRUB Environment Block\nsaved_entry=a\nkernelopts=root=x ro\n####",
    "boot/grub2/grub.cfg": GRUB,
    "boot/grub/grub.cfg": GRUB,
    "etc/kernel/cmdline": b"root=UUID=a console=ttyS0 modprobe.blacklist=hv_netvsc quiet\n",
    "etc/default/grub.d/50-cloud.cfg": b'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT console=ttyS0"\n',
    "etc/modprobe.d/b.conf": b"install hv_netvsc /bin/false\nblacklist hv_\\\nutils\noptions a b=c\nalias x off\n",
    "etc/crypttab": b"root UUID=a none luks,discard\n",
    "etc/fstab": b"UUID=a / ext4 rw,x-systemd.growfs 0 1\n/dev/disk/azure/resource /mnt auto nofail 0 2\n//s/x /m cifs",
    "etc/shadow": b"root:$6$a$b:19000:0:99999:7:::\nbob:!:19000::::1:\n",
    "etc/passwd": b"root:x:0:0:root:/root:/bin/bash\nbob:x:1000:1000:B,,,:/home/bob:/bin/bash\n+::::::\n",
    "etc/sudoers": b"Defaults env_reset\n%sudo ALL=(ALL:ALL) ALL\n#includedir /etc/sudoers.d\n",
    f"{SSH}.d/a.conf": b"[Unit]\nConditionPathExists=!/etc/x\nRequires=cloud-init.service\n",
    "etc/systemd/journald.conf": b"[Journal]\nStorage=none\n",
    "lib/apk/db/installed": b"C:Q1x=\nP:busybox\nV:1.36.1-r5\n\nP:openssl\nV:3.1\nF:etc\nR:x\n",
    "etc/init.d/x": b"#!/sbin/openrc-run\ndepend() {\n need net\n}\n",
    "etc/dracut.conf.d/a.conf": b'add_drivers+=" hv_netvsc hv_vmbus "\nhostonly="yes"\n',
    "etc/initramfs-tools/initramfs.conf": b"MODULES=dep\nCOMPRESS=zstd\n",
    "etc/mkinitcpio.conf": b"MODULES=(hv_vmbus)\nHOOKS=(base udev autodetect)\n",
    "usr/lib/os-release": b"ID=alpine\n",
}
"""Files of other distributions in the good image: their readers read whatever is there."""
NOT_SPOILT = ("boot/initrd", "usr/bin/", "usr/sbin/", "usr/lib/systemd/systemd", "boot/vmlinuz")


def image() -> Memory:
    """The good image of the rules' tests, and more in it."""
    files = {path: text.encode() if isinstance(text, str) else text for path, text in GOOD.items() if path[-1] != "/"}
    links = {"bin": "usr/bin", "lib": "usr/lib", "sbin": "usr/sbin"}
    for name in (*ENABLED, "cloud-init"):
        links[f"etc/systemd/system/multi-user.target.wants/{name}.service"] = f"/usr/lib/systemd/system/{name}.service"
    more = {path: text for path, text in MORE.items() if not path.startswith("lib/")}
    return Memory({**files, **more, "lib/apk/db/installed": MORE["lib/apk/db/installed"]}, links)


def header(name: str, version: str) -> bytes:
    """An rpm header: NAME, VERSION, RELEASE and an EPOCH."""
    texts = {1000: name.encode(), 1001: version.encode(), 1002: b"1.el9"}
    entries, store = b"", b""
    for tag, text in texts.items():
        entries += struct.pack(">IIiI", tag, 6, len(store), 1)
        store += text + b"\0"
    epoch = struct.pack(">IIiI", 1003, 4, len(store), 1)
    return struct.pack(">II", 4, len(store) + 4) + entries + epoch + store + b"\0\0\0\1"


def rpmdb(*headers: bytes) -> bytes:
    """As Fedora keeps it."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(each,) for each in headers])
    connection.commit()
    return connection.serialize()


def ndb(*headers: bytes) -> bytes:
    """As SUSE keeps it: a page of slots, then the headers in blocks of 16 bytes."""
    slots, blobs = [], b""
    for number, each in enumerate(headers, 1):
        data = struct.pack("<4sIII", b"BlbS", number, 0, len(each)) + each
        slots.append(struct.pack("<4sIII", b"Slot", number, 256 + len(blobs) // 16, len(data) // 16 + 1))
        blobs += data + bytes(-len(data) % 16)
    slots += [struct.pack("<4sIII", b"Slot", 0, 0, 0)] * (254 - len(slots))
    return b"RpmP" + bytes(8) + struct.pack("<I", 1) + bytes(16) + b"".join(slots) + blobs


def berkeley(each: bytes) -> bytes:
    """As RHEL 8 keeps it: a hash page whose one value lies on an overflow page."""
    size = 1024
    head = (bytes(12) + b"\x61\x15\x06\x00" + bytes(4) + struct.pack("<I", size)).ljust(size, b"\0")
    page = (bytes(20) + struct.pack("<H", 2) + bytes(3) + b"\x0d" + struct.pack("<HH", 900, 800)).ljust(800, b"\0")
    page = (page + struct.pack("<B3xII", 3, 2, len(each))).ljust(size, b"\0")
    over = (bytes(16) + struct.pack("<IHH", 0, 1, len(each)) + bytes(2) + each).ljust(size, b"\0")
    return head + page + over


PACKAGES: Mapping[str, tuple[Callable[[Memory, str], object], bytes]] = {
    "rpm's SQLite": (rpm.read_sqlite, rpmdb(header("bash", "5.1"), header("openssl", "3.0"))),
    "rpm's ndb": (rpm.read_ndb, ndb(header("bash", "5.1"), header("openssl", "3.0"))),
    "rpm's Berkeley DB": (rpm.read_berkeley, berkeley(header("bash", "5.1"))),
}
LISTING = (
    b"755 d 0 0 4096 1.5 3 /\0L\0755 d 0 0 9 1 3 /usr\0L\0644 f 0 0 12 1795767600.5 3 /etc/x y\0L\0"
    b"777 l 0 0 5 1 3 /bin\0Lusr/bin\081a4 x 0 0 1 1 3 /a\0"
)


def _listed(data: bytes) -> object:
    index = parse_listing(data)
    return index.resolve("bin"), [*index.walk("", 3)][:50], index.names("")


def _read(reader: Callable[[Memory, str], object]) -> Callable[[bytes], object]:
    return lambda data: reader(Memory({"p": data}, {}), "p")


def _by(name: str) -> Callable[[Facts], object]:
    stack = next(each for each in STACKS if each.name == name)
    return lambda facts: stack.read(Scene(facts.files, NIC, UNITS))


NIC, UNITS = Nic(), gather_units(image())
FACTS: Mapping[str, tuple[Callable[[Facts], object], tuple[str, ...]]] = {
    "sshd": (lambda facts: facts.sshd, ("etc/ssh/sshd_config",)),
    "pam": (lambda facts: [*pam_rules(facts.files, "sshd")], ("etc/pam.d/sshd",)),
    "netplan": (lambda facts: gather_netplan(facts.files), ("etc/netplan/50-a.yaml",)),
    "networkd": (_by("networkd"), ("etc/systemd/network/10-eth0.network",)),
    "networkmanager": (
        _by("networkmanager"),
        ("etc/NetworkManager/system-connections/a.nmconnection", "etc/NetworkManager/NetworkManager.conf"),
    ),
    "ifupdown": (_by("ifupdown"), ("etc/network/interfaces",)),
    "ifcfg": (_by("network-scripts"), ("etc/sysconfig/network-scripts/ifcfg-eth0",)),
    "wicked": (_by("wicked"), ("etc/sysconfig/network/ifcfg-eth0",)),
    "dhcpcd": (_by("dhcpcd"), ("etc/dhcpcd.conf",)),
    "connman": (_by("connman"), ("etc/connman/main.conf",)),
    "netifrc": (_by("netifrc"), ("etc/conf.d/net",)),
    "nftables": (lambda facts: nftables(facts.files, "etc/nftables.conf").keeps_out(), ("etc/nftables.conf",)),
    "iptables": (
        lambda facts: iptables(facts.text("etc/iptables/rules.v4") or "").keeps_in("168.63.129.16"),
        ("etc/iptables/rules.v4",),
    ),
    "firewalld": (
        lambda facts: (zone_of(facts.files, "eth0"), direct_rules(facts.files), [*closing_policies(facts.files)]),
        ("etc/firewalld/zones/public.xml", "etc/firewalld/direct.xml", "etc/firewalld/policies/p.xml"),
    ),
    "units": (lambda facts: facts.units.values("ssh.service", "Unit", "Requires"), (SSH, f"{SSH}.d/a.conf")),
    "boot entries": (
        lambda facts: (facts.boot_entries, facts.bans),
        ("boot/grub/grub.cfg", "boot/loader/entries/a.conf", "boot/grub/grubenv"),
    ),
    "users": (lambda facts: (facts.users, facts.homes()), ("etc/passwd", "etc/shadow", "etc/group")),
    "mounts": (lambda facts: facts.mounts, ("etc/fstab",)),
    "modprobe": (lambda facts: gather_bans(facts.files, ()), ("etc/modprobe.d/b.conf",)),
    "distro": (lambda facts: facts.distro, ("etc/os-release",)),
    "packages": (lambda facts: facts.packages, ("var/lib/dpkg/status", "lib/apk/db/installed")),
    "cloud-init": (lambda facts: gather_cloud_init(facts.files, UNITS, ()), ("etc/cloud/cloud.cfg",)),
    "waagent": (lambda facts: gather_waagent(facts.files, UNITS, False), ("etc/waagent.conf",)),
}
"""Facts by themselves, and the files that they are read from: of a whole check there are a few hundred a second."""


def looked_at(base: Memory, path: str, look: Callable[[Facts], object]) -> Callable[[bytes], object]:
    """Looks at the image with other bytes in one file."""

    def read(data: bytes) -> object:
        base.files, before = {**base.files, path: data}, base.files
        try:
            return look(Facts(base))
        finally:
            base.files = before

    return read


def _check(base: Memory) -> Callable[[bytes], object]:
    paths = sorted(path for path in base.files if not path.startswith(NOT_SPOILT))

    def read(data: bytes) -> object:
        """A whole check; which file it is that was spoilt follows from the bytes."""
        path = paths[zlib.crc32(data) % len(paths)]
        return looked_at(base, path, lambda facts: [ask(rule, facts) for rule in RULES])(data)

    return read


def readers() -> dict[str, Reader]:
    """Each fact by itself, then whole checks. They refuse as a rule may: then it could not look."""
    base = image()
    refuses = (OSError, Failure, ValueError)
    made = {}
    for name, (look, paths) in FACTS.items():
        for path in paths:
            made[f"{name}: {path}"] = Reader(looked_at(base, path, look), (base.files[path],), refuses)
    made |= {name: Reader(_read(reader), (sample,), refuses) for name, (reader, sample) in PACKAGES.items()}
    made["listing over ssh"] = Reader(_listed, (LISTING,), refuses)
    patterns = (b"/etc/ssh/{a,b}*.conf", b"etc/**/[!0]?{x,{y,z}}*", b"etc/[a-")
    made["patterns"] = Reader(lambda data: base.glob(data.decode(errors="surrogateescape")), patterns, refuses)
    every = tuple(data for path, data in sorted(base.files.items()) if not path.startswith(NOT_SPOILT) and data)
    return {**made, "check": Reader(_check(base), every)}


def campaign(seed: int, runs: int) -> Iterator[str]:
    """`runs` inputs for each reader."""
    yield from _bytes.campaign(readers(), seed, runs)
