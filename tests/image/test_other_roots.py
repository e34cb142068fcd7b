"""Disks whose root is not simply a file system: ostree's deployments, NixOS' store, btrfs' subvolumes, or none."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.errors import Failure
from azready.image.checking import Unseen, ask
from azready.image.facts import Facts, built
from azready.image.facts.of_target import look
from azready.image.rules import RULES
from azready.image.rules.model import Reads
from azready.image.targets.spec import open_target
from azready.image.targets.tree import Tree
from azready.proc import run
from tests.image.conftest import Azready
from tests.image.sample import UUID, Sample, good_image
from tests.image.targets.disks import MIB, ROOT_AT, ext4_at, filled, loop, partitioned

BY_ID = {rule.id: rule for rule in RULES}


@pytest.fixture
def sample(tmp_path: Path, need: Callable[..., None]) -> Sample:
    need("root", "tool:sfdisk", "tool:mke2fs", "tool:mkfs.vfat", "tool:mcopy", "file:/dev/loop-control")
    sample = good_image(tmp_path / "tree")
    shutil.rmtree(sample.root / "boot/efi/EFI")
    for folder in ("proc", "sys", "dev", "run"):
        (sample.root / folder).mkdir()
    return sample.append("etc/fstab", "LABEL=ESP /boot/efi vfat umask=0077 0 1\n")


def _disk(sample: Sample, tmp_path: Path, size: int = 64) -> Path:
    image = tmp_path / "disk.raw"
    partitioned(image, ROOT_AT + (size + 1) * MIB)
    ext4_at(image, ROOT_AT, size * MIB, sample.root)
    return image


def _unseen(image: Path) -> set[str]:
    with look(str(image)) as facts:
        return {rule.id for rule in RULES if isinstance(ask(rule, facts), Unseen)}


@pytest.mark.long
@pytest.mark.parametrize("with_boot", [True, False])
def test_a_deployment_of_ostree_is_checked_and_not_changed(with_boot: bool, sample: Sample, tmp_path: Path) -> None:
    for name, kept in (("0000.0", False), ("0123.0", True)):
        deployed = sample.root / "ostree/deploy/coreos/deploy" / name
        (deployed / "usr").mkdir(parents=True)
        if kept:
            shutil.rmtree(deployed / "usr")
            for folder in ("usr", "etc"):
                shutil.move(sample.root / folder, deployed / folder)
            for link in ("bin", "lib", "sbin"):
                shutil.move(sample.root / link, deployed / link)
            if with_boot:
                (deployed / "boot").mkdir()
    (sample.root / "ostree/deploy/coreos/var/log").mkdir(parents=True)
    (sample.root / "ostree/deploy/coreos/var/log/messages").write_text("x")
    image = _disk(sample, tmp_path)
    with look(str(image)) as facts:
        assert facts.distro.id == "debian" and facts.boot_entries and facts.files.exists("boot/efi/EFI")
        assert facts.text("var/log/messages") == "x" and facts.files.exists("bin/sh")
        assert built.deployed(facts.files)
    assert _unseen(image) == set()
    with pytest.raises(Failure, match="not changed in place"), open_target(str(image), write=True):
        pass


@pytest.mark.long
def test_of_nixos_the_disk_and_the_boot_entries_are_checked(sample: Sample, tmp_path: Path) -> None:
    shutil.rmtree(sample.root / "etc")
    sample.write("etc/NIXOS", "").write("nix/store/a-system/etc/os-release", "ID=nixos\n")
    shutil.move(sample.root / "usr", sample.root / "nix/store/b-tools")
    unseen = _unseen(_disk(sample, tmp_path))
    assert {"P01", "S01", "N01", "A01"} <= unseen
    assert not {"D01", "D04", "D07", "B01", "B07", "B13", "B15", "B18"} & unseen


def test_without_a_root_the_menus_rules_are_asked_only_where_there_is_a_menu(tmp_path: Path) -> None:
    with Tree(tmp_path) as nothing:
        facts = Facts(nothing, unseen="it is encrypted")
        assert not facts.boot_entries
        for rule in RULES:
            assert isinstance(ask(rule, facts), Unseen) == (rule.reads is not Reads.DISK), rule.id


@pytest.mark.long
@pytest.mark.parametrize("subvolume", ["system", "systems/first"])
def test_a_btrfs_subvolume_of_any_name_is_found(
    subvolume: str, sample: Sample, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("tool:mkfs.btrfs", "tool:btrfs")
    sample.write("etc/fstab", f"UUID={UUID} / btrfs subvol={subvolume} 0 0\n")
    image = tmp_path / "disk.raw"
    partitioned(image, ROOT_AT + 151 * MIB)
    with loop(image, ROOT_AT, 150 * MIB) as device:
        run(["mkfs.btrfs", "-q", device])  # two of one UUID cannot be mounted at once
        if "/" in subvolume:
            filled(device, tmp_path / "tree/tmp", tmp_path / "mnt", subvolume.partition("/")[0])
        filled(device, sample.root, tmp_path / "mnt", subvolume)
    with look(str(image)) as facts:
        assert facts.text("etc/hostname") == "localhost\n" and facts.boot_entries


@pytest.mark.long
def test_without_a_root_the_disk_is_checked_and_the_rest_said(sample: Sample, tmp_path: Path, azready: Azready) -> None:
    (tmp_path / "data/pictures").mkdir(parents=True)
    image = _disk(Sample(tmp_path / "data"), tmp_path)
    done = azready("check", image, "--only", "D", "--only", "B", "--only", "S01")
    assert done.returncode in (1, 3)
    assert "no root file system" in done.stdout and "B13" in done.stdout and "COULD NOT LOOK" in done.stdout
