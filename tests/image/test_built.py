"""Images that are built whole: what dm-verity guards is not changed, of two systems only one is, and it is said."""

import dataclasses
from pathlib import Path

import pytest

from azready.errors import Failure
from azready.image import preparation, sealing
from azready.image.facts import Facts
from azready.image.facts.built import slots
from azready.image.facts.disk import Content
from azready.image.targets.tree import Tree
from tests.image.rules.cases import DISK, ROOT
from tests.image.sample import Sample, good_image

HASH = "4f" * 32
GUARDED: dict[str, tuple[str, str]] = {
    "systemd's root": (f"roothash={HASH}", "root"),
    "systemd's /usr": (f"usrhash={HASH}", "usr"),
    "its data named": ("systemd.verity_root_data=PARTLABEL=root", "root"),
    "the kernel's own": ('dm-mod.create="vroot,,,ro,0 9 verity 1 /dev/sda2 /dev/sda3"', "root"),
}


def _image(root: Path) -> Sample:
    sample = good_image(root).write("usr/bin/curl", "", 0o755)
    return sample.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")


@pytest.mark.parametrize("name", GUARDED)
def test_what_verity_guards_is_not_changed(name: str, tmp_path: Path) -> None:
    argument, guarded = GUARDED[name]
    _image(tmp_path).arguments(argument)
    with Tree(tmp_path) as tree:
        with pytest.raises(Failure, match="dm-verity over its /"):
            preparation.plan(Facts(tree), preparation.Options())
        if guarded == "root":
            with pytest.raises(Failure, match="dm-verity guards the root"):
                sealing.plan(Facts(tree), sealing.Options())
        else:
            sealing.plan(Facts(tree), sealing.Options())


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("rootfs-a", "rootfs-b"), True),
        (("ROOT_A", "ROOT_B"), True),
        (("system0", "system1"), True),
        (("root", "home"), False),
        (("root-a", "usr-b"), False),
    ],
)
def test_of_two_systems_it_is_said_that_one_is_changed(names: tuple[str, str], told: bool, tmp_path: Path) -> None:
    parts = [Content(dataclasses.replace(ROOT, name=name), DISK.contents[1].superblock) for name in names]
    disk = dataclasses.replace(DISK, contents=(DISK.contents[0], *parts))
    assert slots(disk) == (names if told else ())
    _image(tmp_path)
    with Tree(tmp_path) as tree:
        notes = preparation.plan(Facts(tree, False, disk), preparation.Options()).notes
    assert any("holds two systems" in note for note in notes) == told


def test_a_plain_disk_has_no_slots() -> None:
    assert slots(DISK) == () and slots(None) == ()
