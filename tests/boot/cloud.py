"""A disk as Debian's cloud images are: shim and GRUB in front of the kernel, netplan over networkd, cloud-init that
provisions, waagent beside it, chrony. The menu is made by the image's own grub-mkconfig."""

import shutil
from pathlib import Path

from azready.devices import OWN_DEV
from azready.pipelines import trees
from azready.proc import find_tool, run
from tests.boot import machines
from tests.boot.machines import MIB, ROOT_UUID

PACKAGES = (
    *("linux-image-cloud-amd64", "initramfs-tools", "grub-efi-amd64", "grub-efi-amd64-signed", "shim-signed"),
    *("cloud-init", "cloud-guest-utils", "waagent", "netplan.io", "systemd-resolved", "chrony", "python3", "curl"),
)

NETPLAN = """network:
  version: 2
  ethernets:
    all-en:
      match: {name: "en*"}
      dhcp4: true
      dhcp6: true
    all-eth:
      match: {name: "eth*"}
      dhcp4: true
      dhcp6: true
"""
CHANGES = {
    "etc/fstab": f"UUID={ROOT_UUID} / ext4 rw,discard,errors=remount-ro 0 1\nLABEL=ESP /boot/efi vfat defaults 0 0\n",
    "etc/netplan/90-default.yaml": NETPLAN,
    "etc/cloud/cloud.cfg.d/90-azure.cfg": "datasource_list: [ Azure ]\n",
    "etc/default/grub.d/10-cloud.cfg": 'GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"\nGRUB_TIMEOUT=0\n'
    'GRUB_TERMINAL="console serial"\n',
}
"""What the makers of such images write on top of Debian's packages."""

_ESP = {
    "usr/lib/shim/shimx64.efi.signed": ("EFI/BOOT/BOOTX64.EFI", "EFI/debian/shimx64.efi"),
    "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed": ("EFI/BOOT/grubx64.efi", "EFI/debian/grubx64.efi"),
}
_STUB = f"search.fs_uuid {ROOT_UUID} root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"

_PROBE = f"""#!/bin/sh
# What grub-probe would say of the disk that this tree becomes.
case "$*" in
    *=device*) echo /dev/sda2 ;;
    *=fs_uuid*) echo {ROOT_UUID} ;;
    *=fs*) echo ext2 ;;
    *=partmap*) echo gpt ;;
    *=compatibility_hint*) echo hd0,gpt2 ;;
esac
"""

_MAKE = f"""{OWN_DEV}
tree=$1 out=$2 changes=$3
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$tree,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
root=/mnt/root
cp -r "$changes/." "$root/"
chmod 600 "$root/etc/netplan/90-default.yaml"
rm -f "$root/etc/systemd/network/80-dhcp.network"
mkdir -p "$root/boot/grub" "$root/boot/efi"
mount -t proc proc "$root/proc"
own_dev "$root/dev"
mkdir -p "$root/dev/disk/by-uuid"; : >"$root/dev/disk/by-uuid/{ROOT_UUID}"
cp "$changes/../probe" /mnt/probe; chmod 755 /mnt/probe
mount --bind /mnt/probe "$root/usr/sbin/grub-probe" 2>/dev/null || mount --bind /mnt/probe "$root/usr/bin/grub-probe"
chroot "$root" grub-mkconfig -o /boot/grub/grub.cfg
umount -l "$root/dev" "$root/proc"
umount "$root/usr/sbin/grub-probe" 2>/dev/null || umount "$root/usr/bin/grub-probe"
truncate -s "$4" "$out"
mke2fs -q -t ext4 -U {ROOT_UUID} -d "$root" -F "$out"
"""


def disk(suite: str = "bookworm") -> Path:
    """A raw Generation 2 disk; made once and cached: copy it before changing it."""
    tree = trees.unpacked(suite, PACKAGES)
    return machines.kept(f"cloud-{tree.name}-1.raw", lambda made, scratch: _make(made, scratch, tree))


def _make(disk: Path, scratch: Path, tree: Path) -> None:
    size = 1500 * MIB
    machines.make_table(disk, size + 66 * MIB, "label: gpt\nstart=1MiB, size=64MiB, type=U\ntype=L\n")
    esp, root, changes, stub = (scratch / name for name in ("esp.img", "root.img", "changes", "grub.cfg"))
    stub.write_text(_STUB)
    files = [(tree / source, place) for source, places in _ESP.items() for place in places]
    files += [(stub, "EFI/debian/grub.cfg"), (stub, "EFI/BOOT/grub.cfg")]
    machines.fat(esp, 64 * MIB, files)
    run([find_tool("fatlabel", "dosfstools"), esp, "ESP"])
    for path, text in CHANGES.items():
        (changes / path).parent.mkdir(parents=True, exist_ok=True)
        (changes / path).write_text(text)
    (scratch / "probe").write_text(_PROBE)
    trees.in_namespace(["sh", "-euc", _MAKE, "sh", tree, root, changes, str(size)], mounts=True)
    machines.place(esp, disk, MIB)
    machines.place(root, disk, 65 * MIB)
    shutil.rmtree(changes)
