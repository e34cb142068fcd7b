"""Copies in the initramfs that name devices are held to what is on the disk."""

from dataclasses import replace
from pathlib import Path

import pytest

from azready.image.facts import Facts
from azready.image.rules.hostonly import of_the_builder
from azready.image.rules.model import Severity
from azready.image.targets.tree import Tree
from tests.image.rules.cases import DISK, root_holds
from tests.image.sample import UUID, good_image

RAID, NOTHING = root_holds(kind="raid"), replace(DISK, contents=())


@pytest.mark.parametrize(
    ("disk", "name", "text", "says", "severity"),
    [
        (DISK, "etc/mdadm/mdadm.conf", "ARRAY /dev/md0 UUID=1:2:3:4\n", "/dev/md0", Severity.WARNING),
        (DISK, "etc/mdadm.conf", "HOMEHOST builder\n", "", None),
        (RAID, "etc/mdadm.conf", "ARRAY /dev/md0 UUID=1:2:3:4\n", "", None),
        (DISK, "etc/crypttab", "home UUID=99 none luks\n", "home on UUID=99", None),
        (DISK, "etc/crypttab", f"home UUID={UUID} none luks\n", "", None),
        (DISK, "cryptroot/crypttab", "swap /dev/nvme0n1p2 none swap,nofail\n", "/dev/nvme0n1p2", Severity.WARNING),
        (RAID, "etc/crypttab", "home UUID=99 none luks\n", "", None),
        (NOTHING, "etc/crypttab", "home UUID=99 none luks\n", "", None),
        (DISK, "etc/crypttab", "home UUID=99\n", "home on UUID=99", None),
        (DISK, "etc/crypttab", "#home UUID=99 none\nalone\n", "", None),
        (DISK, "etc/multipath/wwids", "# of multipath\n\n#/1/\n", "", None),
        (DISK, "etc/multipath/wwids", "# of multipath\n/3600/\n", "names disks of the builder", Severity.WARNING),
        (DISK, "etc/multipath/wwids", "x\n", "names disks of the builder", Severity.WARNING),
    ],
)
def test_what_is_not_on_the_disk_is_told(
    disk: object, name: str, text: str, says: str, severity: Severity | None, tmp_path: Path
) -> None:
    good_image(tmp_path)
    facts = Facts(Tree(tmp_path), False, disk)  # type: ignore[arg-type]
    told = list(of_the_builder(facts, {name: text.encode()}))
    assert [each[1] for each in told] == ([severity] if says else [])
    assert all(says in each[0] for each in told)


@pytest.mark.parametrize(("own", "told"), [("home /dev/mapper/a\n", False), ("home\n", True), ("", True)])
def test_without_a_disk_the_images_own_crypttab_names_what_is_known(own: str, told: bool, tmp_path: Path) -> None:
    good_image(tmp_path).write("etc/crypttab", own)
    said = list(of_the_builder(Facts(Tree(tmp_path)), {"etc/crypttab": b"home /dev/mapper/a none\n# x y\nalone\n"}))
    assert [each[0] for each in said] == (["its etc/crypttab unlocks home on /dev/mapper/a"] if told else [])
