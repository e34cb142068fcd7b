# ruff: noqa: E501 (tables)
"""Where a rule draws a line: the last that passes, and the first that does not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azready.image.checking import Found, Passed, ask
from azready.image.facts import Facts
from azready.image.facts.disk import Disk
from azready.image.rules import RULES
from azready.image.rules.devices import named_devices
from azready.image.targets.tree import Tree
from tests.image.rules.cases import DISK, MIB, ROOT, disk, root_holds, table
from tests.image.sample import UUID, Sample, good_image

BY_ID = {rule.id: rule for rule in RULES}
GIB, TIB = 1 << 30, 1 << 40
GRUB = "boot/grub/grub.cfg"


def of_size(size: int, scheme: str = "gpt") -> Disk:
    return disk(size, table=replace(DISK.table, scheme=scheme))


def starting_at(start: int) -> Disk:
    return table(partitions=(replace(ROOT, start=start),))


@pytest.mark.parametrize(
    ("id", "last", "first", "says"),
    [
        ("D04", of_size(20 * MIB), of_size(20 * MIB - 1), "20.0 MiB: Azure takes 20 MiB or more"),
        ("D04", of_size(2 * TIB), of_size(2 * TIB + 1), "2.0 TiB: a gallery replicates it only in shallow mode"),
        ("D04", of_size(2 * TIB, "mbr"), of_size(2 * TIB + 1, "mbr"), "with MBR or generation 1 nothing beyond 2 TiB"),
        ("D06", starting_at(MIB), starting_at(MIB - 512), "begins at 1023 KiB"),
        ("D12", root_holds(free=16 * MIB), root_holds(free=16 * MIB - 1), "partition 2: 15 MiB free"),
        ("D12", root_holds(free=MIB, size=64 * MIB), root_holds(free=MIB, size=64 * MIB + 1), "partition 2: 1 MiB free"),
        ("D12", root_holds(free=None), root_holds(free=0, kind="btrfs"), "partition 2: 0 MiB free"),
    ],
)  # fmt: skip
def test_a_disk_at_a_bound(id: str, last: Disk, first: Disk, says: str, tmp_path: Path) -> None:
    files = Tree(good_image(tmp_path).root)
    assert ask(BY_ID[id], Facts(files, disk=last)) == Passed()
    answer = ask(BY_ID[id], Facts(files, disk=first))
    assert isinstance(answer, Found) and says in answer.findings[0].what


def test_an_os_disk_beyond_4095_gib_is_fatal_and_one_below_only_shallow(tmp_path: Path) -> None:
    files = Tree(good_image(tmp_path).root)
    says = [
        (each.what, each.severity and each.severity.word)
        for size in (4095 * GIB, 4095 * GIB + 1)
        for each in BY_ID["D04"].find(Facts(files, disk=of_size(size)))
    ]
    assert says == [
        ("4.0 TiB: a gallery replicates it only in shallow mode", "warning"),
        ("4095 GiB: an OS disk has at most 4,095 GiB", None),
    ]


def _package(name: str, version: str) -> Callable[[Sample], object]:
    text = f"\nPackage: {name}\nStatus: install ok installed\nVersion: {version}\n"
    return lambda s: s.append("var/lib/dpkg/status", text).write("opt/omi/bin/omiserver", "")


def swap_openssl(version: str) -> Callable[[Sample], object]:
    return lambda s: s.edit("var/lib/dpkg/status", "3.0.15-1~deb12u1", version)


def _alive(value: str) -> Callable[[Sample], object]:
    return lambda s: s.write("etc/ssh/sshd_config.d/10-azure.conf", f"ClientAliveInterval {value}\n")


def _written(path: str, text: str) -> Callable[[Sample], object]:
    return lambda s: s.write(path, text)


def _kernel_argument(value: str) -> Callable[[Sample], object]:
    """In place of a rule of udev's."""
    rules = "etc/udev/rules.d/10-azure.rules"
    return lambda s: s.edit(rules, "io_timeout", "x").edit(GRUB, "nvme_core.io_timeout=240", value)


@pytest.mark.parametrize(
    ("id", "last", "first", "says"),
    [
        ("P17", _package("omi", "1.6.8.1"), _package("omi", "1.6.8.0"), "OMI 1.6.8.0"),
        ("P17", _package("omi", "1.6.8-1"), _package("omi", "unknown"), "OMI unknown"),
        ("P17", swap_openssl("1.0.2-1"), swap_openssl("1.0.1zz-1"), "OpenSSL 1.0.1"),
        ("P17", swap_openssl("1:1.1.0-1"), swap_openssl("1:0.9.9-1"), "OpenSSL 1:0.9.9"),
        ("P17", _package("omi", "1.10.0"), _package("omi", "1.6.7.9"), "OMI 1.6.7.9"),
        ("K10", _kernel_argument("nvme_core.io_timeout=240"), _kernel_argument("nvme_core.io_timeout=239"), "is 239 s"),
        ("K10", _kernel_argument("nvme_core.io_timeout=5 nvme_core.io_timeout=255"), _kernel_argument("x"), "is 30 s"),
        ("S04", _alive("235"), _alive("236"), "ClientAliveInterval is 236"),
        ("S04", _alive("1"), _alive("0"), "ClientAliveInterval is 0"),
        ("S04", _alive("3m"), _alive("4m"), "ClientAliveInterval is 4m"),
        (
            "N06", _written("etc/dhcp/dhclient.conf", "timeout 60;\n#timeout 5;\n"),
            _written("etc/dhcp/dhclient.conf", "timeout 59;\n"), "timeout 59;",
        ),
        (
            "N06", _written("etc/NetworkManager/conf.d/a.conf", "[connection]\nipv4.dhcp-timeout=45\n"),
            _written("etc/NetworkManager/conf.d/a.conf", "[connection]\nipv4.dhcp-timeout=44\n"), "ipv4.dhcp-timeout=44",
        ),
        (
            "N06", _written("etc/NetworkManager/conf.d/a.conf", "[connection]\nipv4.dhcp-timeout=0\n"),
            _written("etc/NetworkManager/NetworkManager.conf", "[connection]\nipv4.dhcp-timeout=1\n"), "timeout=1",
        ),
        ("D07", _written("swapfile", "x" * (MIB - 1)), _written("swapfile", "x" * MIB), "a swap file of 1 MiB"),
    ],
)  # fmt: skip
def test_an_image_at_a_bound(
    id: str, last: Callable[[Sample], object], first: Callable[[Sample], object], says: str, tmp_path: Path
) -> None:
    (good := tmp_path / "good").mkdir()
    (bad := tmp_path / "bad").mkdir()
    last(sample := good_image(good))
    assert ask(BY_ID[id], Facts(Tree(sample.root))) == Passed()
    first(sample := good_image(bad))
    answer = ask(BY_ID[id], Facts(Tree(sample.root)))
    assert isinstance(answer, Found) and says in answer.findings[0].what


def test_arguments_that_make_a_boot_wait_name_their_device() -> None:
    args = (
        "boot=UUID=b", "fips=1", "resume=/dev/sda2", "rd.luks.uuid=luks-1", "luks.uuid=2", "rd.luks.name=3=root",
        "cryptdevice=/dev/sdb1:root", "rd.lvm.lv=vg/lv", "quiet", "root=/dev/sda1", "boot=casper", "resume",
    )  # fmt: skip
    assert dict(named_devices(args)) == {
        "boot=UUID=b": "UUID=b",
        "resume=/dev/sda2": "/dev/sda2",
        "resume": "",
        "rd.luks.uuid=luks-1": "UUID=1",
        "luks.uuid=2": "UUID=2",
        "rd.luks.name=3=root": "UUID=3",
        "cryptdevice=/dev/sdb1:root": "/dev/sdb1",
        "rd.lvm.lv=vg/lv": "/dev/vg/lv",
    }
    assert not dict(named_devices(("boot=UUID=b",))), "without fips=1 nothing reads it"


def test_a_missing_device_of_fips_ends_the_boot(tmp_path: Path) -> None:
    sample = good_image(tmp_path)
    sample.arguments("fips=1", "boot=UUID=99999999-0000-4000-8000-000000000000", f"resume=UUID={'8' * 8}")
    found = list(BY_ID["B08"].find(Facts(Tree(sample.root), disk=DISK)))
    assert [(each.what.partition("=")[0], each.severity and each.severity.word) for each in found] == [
        ("boot", "fatal"),
        ("resume", None),
    ]


GONE = "99999999-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"home UUID={GONE} none luks", f"home is on UUID={GONE}, which is not on the disk: the boot waits for it"),
        (f"home UUID={UUID} none luks", ""),
        (f"home UUID={GONE} none luks,nofail", ""),
        (f"home UUID={GONE} none noauto,luks", ""),
        (f"#home UUID={GONE} none luks", ""),
        ("home", ""),
        (f"home UUID={GONE}", f"home is on UUID={GONE}, which is not on the disk: the boot waits for it"),
        ("swap /dev/sda2 /dev/urandom swap", "swap is on /dev/sda2"),
        ("swap /dev/nvme0n1p2", "swap is on /dev/nvme0n1p2"),
    ],
)
def test_volumes_to_unlock_are_held_to_the_disk(line: str, says: str, tmp_path: Path) -> None:
    sample = good_image(tmp_path).write("etc/crypttab", f"{line}\n")
    found = [each for each in BY_ID["D09"].find(Facts(Tree(sample.root), disk=DISK)) if "crypttab" in each.where]
    assert [(each.what, each.where) for each in found] == ([(says, "etc/crypttab:1")] if says else [])
