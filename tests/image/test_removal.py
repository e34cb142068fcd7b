"""How each package manager removes: dpkg in test_prepare, apk in tests/boot/test_alpine.py, rpm and pacman here.

The trees are Debian's with the real rpm and pacman in them and packages made by the real tools; emerge is not to be had
here, so of that only the plan is looked at.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.errors import Failure
from azready.image.actions import Run
from azready.image.facts import leftovers
from azready.image.facts.packages import read_packages
from azready.image.facts.packages.managers import MANAGERS
from azready.image.removal import dpkg
from azready.image.removal.managers import plan_removal
from azready.image.targets.tree import Tree
from tests.image.conftest import Azready, CopyTree

FOREIGN = ("bookworm", ("pacman-package-manager", "python3-minimal", "rpm"))

SPEC = """\
Name: {name}
Version: 2.11
Release: 1
Summary: x
License: MIT
BuildArch: noarch
{more}
%description
x
%install
mkdir -p %{{buildroot}}/usr/sbin %{{buildroot}}/etc
echo program >%{{buildroot}}/usr/sbin/{file}
echo setting=1 >%{{buildroot}}/etc/{file}.conf
%files
/usr/sbin/{file}
%config(noreplace) /etc/{file}.conf
"""

PKGINFO = "pkgname = {name}\npkgbase = {name}\npkgver = 24.1-1\npkgdesc = x\nsize = 1\narch = any\n{more}"


def rpm(folder: Path, name: str, file: str, more: str = "") -> Path:
    spec = folder / f"{name}.spec"
    spec.write_text(SPEC.format(name=name, file=file, more=more))
    argv = ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {folder}/{name}", spec]
    subprocess.run(argv, check=True, capture_output=True)
    return next(folder.glob(f"{name}/RPMS/noarch/*.rpm"))


def chroot(root: Path, *argv: str) -> str:
    done = subprocess.run(["chroot", root, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def installed(root: Path) -> set[str]:
    with Tree(root) as tree:
        return set(read_packages(tree).versions)


def become(root: Path, identity: str) -> None:
    """Let a tree look like another distribution: its os-release, and no package database of Debian."""
    (root / "etc/os-release").unlink()
    (root / "etc/os-release").write_text(f'ID={identity}\nPRETTY_NAME="{identity}"\n')
    (root / dpkg.STATUS).unlink()


@pytest.fixture
def fedora(copy_tree: CopyTree, tmp_path: Path, need: Callable[..., None]) -> Path:
    need("tool:rpmbuild")
    root = copy_tree(*FOREIGN)
    (root / "etc/rpm").mkdir(exist_ok=True)
    (root / "etc/rpm/macros").write_text("%_dbpath /var/lib/rpm\n")  # Debian's rpm keeps it in the user's home
    files = [
        rpm(tmp_path, "WALinuxAgent", "waagent"),
        rpm(tmp_path, "cloud-init", "cloud-init", "Requires: kept"),
        rpm(tmp_path, "kept", "kept"),
    ]
    for each in files:
        (root / "root" / each.name).write_bytes(each.read_bytes())
    chroot(root, "rpm", "-i", "--nosignature", *[f"/root/{each.name}" for each in files], "--nodeps")
    become(root, "fedora")
    return root


@pytest.mark.long
def test_rpm(fedora: Path, azready: Azready) -> None:
    (fedora / "etc/waagent.conf").write_text("changed by the user, so rpm keeps it as .rpmsave\n")
    assert installed(fedora) == {"WALinuxAgent", "cloud-init", "kept"}
    done = azready("prepare", fedora)
    assert done.returncode == 0, done.stderr
    assert installed(fedora) == {"kept"}
    assert (fedora / "usr/sbin/kept").exists()
    with Tree(fedora) as tree:
        assert leftovers.find_leftovers(tree) == []
    again = azready("prepare", fedora)
    assert again.returncode == 0
    assert "0 changes" in again.stdout


@pytest.mark.long
def test_rpm_says_what_needs_the_agent(fedora: Path, tmp_path: Path, azready: Azready) -> None:
    needy = rpm(tmp_path, "needy", "needy", "Requires: cloud-init")
    (fedora / "root/needy.rpm").write_bytes(needy.read_bytes())
    chroot(fedora, "rpm", "-i", "--nosignature", "--nodeps", "/root/needy.rpm")
    done = azready("prepare", fedora)
    assert done.returncode == 3
    assert "needed by (installed) needy" in done.stderr
    assert "remove first what depends on them" in done.stderr
    assert installed(fedora) == {"WALinuxAgent", "cloud-init", "kept", "needy"}
    chroot(fedora, "rpm", "-e", "needy")
    assert azready("prepare", fedora).returncode == 0
    assert installed(fedora) == {"kept"}


def arch_package(root: Path, name: str, file: str, more: str = "") -> str:
    folder = root / "root" / name
    (folder / "usr/bin").mkdir(parents=True)
    (folder / "usr/bin" / file).write_text("program\n")
    (folder / "etc").mkdir()
    (folder / "etc" / f"{file}.conf").write_text("x\n")
    (folder / ".PKGINFO").write_text(PKGINFO.format(name=name, more=more))
    package = f"{name}-24.1-1-any.pkg.tar"
    subprocess.run(["bsdtar", "-cf", root / "root" / package, ".PKGINFO", "usr", "etc"], cwd=folder, check=True)
    return f"/root/{package}"


@pytest.mark.long
def test_pacman(copy_tree: CopyTree, azready: Azready, need: Callable[..., None]) -> None:
    need("tool:bsdtar")
    root = copy_tree(*FOREIGN)
    more = "backup = etc/cloud-init.conf\ndepend = kept\n"
    (root / "etc/pacman.conf").write_text(
        "[options]\nArchitecture = auto\nSigLevel = Never\nLocalFileSigLevel = Never\n"
    )
    files = [arch_package(root, "cloud-init", "cloud-init", more), arch_package(root, "kept", "kept")]
    chroot(root, "pacman", "-U", "--noconfirm", *files)
    become(root, "arch")
    assert installed(root) == {"cloud-init", "kept"}
    done = azready("prepare", root)
    assert done.returncode == 0, done.stderr
    assert installed(root) == {"kept"}
    assert not list(root.glob("etc/cloud-init.conf*"))


def test_apk_is_told_to_keep_what_it_would_sweep(tmp_path: Path) -> None:
    """apk removes what only the agent wanted: Python and the DHCP client would go with cloud-init."""
    names = (
        "cloud-init",
        "cloud-init-openrc",
        "tiny-cloud",
        "python3",
        "dhcpcd",
        "busybox",
        "e2fsprogs-extra",
        "py3-yaml",
    )
    with Tree(tmp_path) as tree:
        removal = plan_removal(tree, "apk", names)
    assert removal.names == ("cloud-init", "cloud-init-openrc", "tiny-cloud")
    keep, remove = (action.argv for action in removal.actions if isinstance(action, Run))
    assert keep == ("apk", "add", "--no-network", "--quiet", "dhcpcd", "e2fsprogs-extra", "python3")
    assert remove == ("apk", "del", "--no-network", "--quiet", "--purge", *removal.names)


def test_portage_removes_exactly_the_agents(tmp_path: Path) -> None:
    with Tree(tmp_path) as tree:
        (run,) = plan_removal(tree, "portage", ("app-emulation/walinuxagent", "dev-lang/python")).actions
    assert isinstance(run, Run)
    assert run.argv == ("emerge", "--ask=n", "--quiet", "--unmerge", "app-emulation/walinuxagent")


@pytest.mark.parametrize("manager", [*sorted({*MANAGERS} - {"apt"}), ""])
def test_without_agents_nothing_is_removed(tmp_path: Path, manager: str) -> None:
    with Tree(tmp_path) as tree:
        assert plan_removal(tree, manager, ("bash", "cloud-guest-utils", "azure-vm-utils")).actions == ()


def test_an_agent_that_would_take_the_kernel_along_stays(tmp_path: Path) -> None:
    status = (
        "Package: cloud-init\nStatus: install ok installed\n\nPackage: linux-image-x\nStatus: install ok installed\n"
    )
    (tmp_path / dpkg.STATUS).parent.mkdir(parents=True)
    (tmp_path / dpkg.STATUS).write_text(f"{status}Depends: cloud-init\n")
    with Tree(tmp_path) as tree, pytest.raises(Failure) as caught:
        plan_removal(tree, "apt", ())
    assert "linux-image-x" in caught.value.message
