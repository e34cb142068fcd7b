"""The recipe of mkosi, run for real: mkosi of Debian 13 in a tree of its own makes the disk, and azready its VHD.

Costly, so only when asked for: RECIPES=all. CI runs the finalize script alone (test_recipes.py).
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.devices import OWN_DEV
from azready.proc import run

ROOT = Path(__file__).parents[2]
SUITE, PYTHON = "trixie", "3.13"

_IN_TREE = f"""{OWN_DEV}
root=$1; shift
mount --bind "$root" "$root"; mount --make-rprivate "$root"
own_dev "$root/dev"; mount -t sysfs -o ro sysfs "$root/sys"; mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
cat /etc/resolv.conf >"$root/etc/resolv.conf"
cd "$root"; pivot_root . mnt
exec env -i HOME=/root LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    sh -euc 'umount -l /mnt; cd /image; exec "$@"' sh "$@"
"""
"""As a program that is root of a machine of its own: mkosi makes user namespaces, which a chroot may not."""


def _sources(lines: str) -> str:
    """The tree's own sources in the form of the file that mkosi writes where there is none. Left to itself it also
    fetches debug symbols and sources of packages, which few mirrors have."""
    rows = (line.split() for line in lines.splitlines() if line.startswith("deb "))
    key = "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg"
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {' '.join(components)}\n{key}\n"
        for _, uri, suite, *components in rows
    )


def _install_azready(tree: Path, scratch: Path) -> None:
    """A virtual environment in /opt/azready, filled from outside, where pip is set up."""
    venv = tree / "opt/azready"
    run(["chroot", tree, "python3", "-m", "venv", "--without-pip", "/opt/azready"])
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run([*pip, "wheel", "--no-deps", "--wheel-dir", scratch, ROOT])
    wheel = next(scratch.glob("azready-*.whl"))
    target = ["--target", venv / f"lib/python{PYTHON}/site-packages", "--upgrade"]
    run([*pip, "install", *target, "--python-version", PYTHON, "--only-binary=:all:", wheel])
    script = venv / "bin/azready"
    script.write_text("#!/opt/azready/bin/python3\nfrom azready.cli import main\n\nmain()\n")
    script.chmod(0o755)


@pytest.mark.skipif(os.environ.get("RECIPES") != "all", reason="needs 4 minutes: RECIPES=all make test-slow")
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_mkosi_makes_a_disk_that_provisions(
    debian_tree: Callable[..., Path], tmp_path: Path, need: Callable[..., None]
) -> None:
    need("root", "tool:unshare", "tool:qemu-img", "file:/dev/loop-control")
    tree = debian_tree(SUITE, "mkosi")
    _install_azready(tree, tmp_path)
    image = tree / "image"
    shutil.copytree(ROOT / "recipes/mkosi", image)
    sources = image / "mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources"
    sources.parent.mkdir(parents=True)
    sources.write_text(_sources((tree / "etc/apt/sources.list").read_text()))
    search = ["--extra-search-path=/opt/azready", "--extra-search-path=/opt/azready/bin"]
    spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private"]
    made = subprocess.run(
        [*spaces, "--", "sh", "-euc", _IN_TREE, "sh", tree, "mkosi", *search, "build"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    vhd = tmp_path / "image.vhd"
    skipped = ["--skip", "prepare", "--skip", "generalize"]
    words = [sys.executable, "-m", "azready", "build", image / "image.raw", "-o", vhd, *skipped, "--boots", "2"]
    built = subprocess.run(words, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    manifest = json.loads(vhd.with_name("image.vhd.manifest.json").read_text())
    assert manifest["ready"] and manifest["image"]["hyperVGenerations"] == ["V2"]
    assert all(boot["verdict"].startswith(("Provisioned", "Silent")) for boot in manifest["steps"]["boot"]["verdicts"])
