"""The guest's packages: what `prepare` would install, byte for byte the same again, and at home in real systems."""

import hashlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.container.tree import boot_tree
from azready.boot.series import Plan
from azready.fabric.machine import Machine
from azready.image.actions import Link, MakeFolder, Write
from azready.image.facts.init import KNOWN, Init
from azready.image.parts import guest_program
from azready.image.parts.guest_program import Flavour, Selection
from azready.image.preparation import Options
from azready.image.targets.tree import Tree
from azready.pipelines import trees
from release import __main__ as release
from release.about import Release
from release.payload import GUESTS, payload

ONE = Release("1.2.3", 1_700_000_000)
TWO = Release("1.2.4", 1_700_000_001)
WANTS = "etc/systemd/system/multi-user.target.wants"


@pytest.mark.parametrize("init", KNOWN)
@pytest.mark.parametrize("guest", GUESTS)
def test_a_package_holds_what_prepare_installs(tmp_path: Path, guest: Flavour, init: Init) -> None:
    for folder in ("etc/ssh/sshd_config.d", "etc/init.d"):
        (tmp_path / folder).mkdir(parents=True)
    chosen = Selection(guest, init, Options().rows, {})
    with Tree(tmp_path) as files:
        actions = [*guest_program.plan_files(files, chosen), *guest_program.plan_links(files, chosen)]
    wanted: set[tuple[str, bytes | str, int]] = set()
    for action in actions:
        if isinstance(action, Write):
            wanted.add((f"/{action.path}", action.data, action.mode or 0))
        elif isinstance(action, MakeFolder):
            wanted.add((f"/{action.path}", "", action.mode))
        elif isinstance(action, Link):
            wanted.add((f"/{action.path}", action.to, 0o777))
    made = payload(guest, init)
    assert {(each.path, each.data or each.to, each.mode) for each in (*made.entries, *made.links)} == wanted


@pytest.mark.long
def test_built_twice_in_two_places_they_are_the_same(need: Callable[..., None], tmp_path: Path) -> None:
    need("tool:dpkg-deb", "tool:rpmbuild")
    once, again = ({path.name: _hash(path) for path in release.build(tmp_path / each, ONE)} for each in ("a", "b"))
    assert once == again
    assert len(once) == 2 * (3 + len(KNOWN))


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_lintian_finds_nothing(need: Callable[..., None], tmp_path: Path) -> None:
    need("tool:dpkg-deb", "tool:lintian")
    packages = [*release.build(tmp_path, ONE, ("deb",))]
    words = ["lintian", "--fail-on", "error,warning", *map(str, packages)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert not re.findall("^[EW]: .*", done.stdout, re.MULTILINE), done.stdout


def _dpkg(tree: Path, *words: str | Path) -> None:
    trees.in_namespace(["chroot", tree, "dpkg", *words], mounts=True)


def _into(tree: Path, *packages: Path) -> list[str]:
    """The packages in the tree's /root, as the tree names them."""
    for package in packages:
        (tree / "root" / package.name).write_bytes(package.read_bytes())
    return [f"/root/{package.name}" for package in packages]


@pytest.mark.long
def test_the_deb_provisions_stays_off_through_an_upgrade_and_leaves_nothing(
    debian_tree: Callable[..., Path], tmp_path: Path
) -> None:
    (old, new), tree = _debs(tmp_path), debian_tree("bookworm", "python3-minimal")
    first, second = _into(tree, old, new)
    _dpkg(tree, "--install", first)
    assert (tree / WANTS / "azure-provisioning.service").is_symlink()
    assert [*(tree / "usr/lib/azure-provisioning/__pycache__").iterdir()], "compiled by the tree's own Python"
    (record,) = boot_tree(tree, Machine(name="deb-1"), Plan(boots=1))
    assert record.passed, record.checks
    (tree / WANTS / "azure-provisioning.service").unlink()  # as the program does once the platform accepted its report
    _dpkg(tree, "--install", second)
    assert not (tree / WANTS / "azure-provisioning.service").is_symlink(), "an upgrade does not switch it on again"
    assert (tree / WANTS / "azure-provisioning-hostkeys.service").is_symlink()
    (tree / "var/lib/azure-provisioning/reported").write_text("x\n")
    _dpkg(tree, "--remove", "azready-guest")
    assert not (tree / "usr/lib/azure-provisioning").exists()
    assert (tree / "var/lib/azure-provisioning/reported").exists(), "only purge forgets that the VM is provisioned"
    _dpkg(tree, "--purge", "azready-guest")
    left = subprocess.run(["find", tree, "-name", "*azure-prov*"], capture_output=True, text=True, check=True).stdout
    assert left == ""


def _debs(folder: Path) -> tuple[Path, Path]:
    old, new = ([*release.build(folder, each, ("deb",))] for each in (ONE, TWO))
    return old[0], new[0]


@pytest.mark.long
def test_the_two_debs_change_places(debian_tree: Callable[..., Path], tmp_path: Path) -> None:
    python, sh = release.build(tmp_path, ONE, ("deb",))
    tree = debian_tree("bookworm", "python3-minimal")
    first, second = _into(tree, python, sh)
    _dpkg(tree, "--install", first)
    _dpkg(tree, "--auto-deconfigure", "--force-conflicts", "--install", second)
    _dpkg(tree, "--purge", "azready-guest")
    assert (tree / WANTS / "azure-provisioning.service").is_symlink()
    assert (tree / "usr/lib/azure-provisioning/provision.sh").exists()
    assert not (tree / "usr/lib/azure-provisioning/provision.py").exists()
    assert (tree / "etc/azure-provisioning.conf").exists()


@pytest.mark.long
def test_the_rpm_installs_upgrades_and_goes(
    need: Callable[..., None], debian_tree: Callable[..., Path], tmp_path: Path
) -> None:
    need("tool:rpmbuild", "tool:rpm")
    tree = debian_tree("bookworm", "python3-minimal")
    old, new = (next(iter(release.build(tmp_path, each, ("rpm",)))) for each in (ONE, TWO))

    def rpm(*words: str | Path) -> None:
        trees.in_namespace(["rpm", "--root", tree, *words], mounts=True)

    needs = subprocess.run(["rpm", "-qpR", old], capture_output=True, text=True, check=True).stdout
    assert "/usr/bin/python3" in needs and "/usr/sbin/useradd" in needs
    rpm("--nodeps", "--install", old)  # a Debian tree has no rpm to need
    units = {each.name for each in (tree / WANTS).iterdir() if "azure" in each.name}
    assert units == set(payload("python", "systemd").units)
    (tree / WANTS / "azure-provisioning.service").unlink()
    (tree / "etc/azure-provisioning.conf").write_text("GROW=yes\n")
    rpm("--nodeps", "--upgrade", new)
    assert not (tree / WANTS / "azure-provisioning.service").is_symlink()
    assert (tree / "etc/azure-provisioning.conf").read_text() == "GROW=yes\n"
    rpm("--erase", "azready-guest")
    assert not [each for each in (tree / WANTS).iterdir() if "azure" in each.name]
    assert not (tree / "usr/lib/azure-provisioning").exists()


@pytest.mark.long
def test_a_tar_is_the_whole_installation(debian_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = debian_tree("bookworm", "curl")
    tar = next(
        path for path in release.build(tmp_path, ONE, ("tar",)) if path.name == "azready-guest-sh-1.2.3-systemd.tar"
    )
    subprocess.run(["tar", "-C", tree, "-xf", tar, "--no-same-owner"], check=True)
    (record,) = boot_tree(tree, Machine(name="tar-1"), Plan(boots=1))
    assert record.passed, record.checks


@pytest.mark.parametrize("version", ["1.2~rc1", "v1.2", "1", "1.2-3"])
def test_a_version_that_the_managers_read_differently_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="agree only on numbers"):
        Release(version, 0)
