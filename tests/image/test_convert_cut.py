"""A cut during `convert` or after it: what is under the VHD's name is the whole VHD. On real file systems, too."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.image import conversion
from tests import cuts

SCRIPT = """
set -e
mount -o loop,noatime "$1/disk.img" "$1/mnt"
cp "$1/in.raw" "$1/mnt/in.raw"; sync -f "$1/mnt"
"$2" -m azready convert --blank "$1/mnt/in.raw" "$1/mnt/out.vhd"
echo x >"$1/mnt/other"; sync "$1/mnt/other"     # anybody else on that disk: the journal goes to it
cp --sparse=always "$1/disk.img" "$1/cut.img"   # what a power cut leaves
sha256sum <"$1/mnt/out.vhd"
umount "$1/mnt"
mount -o loop "$1/cut.img" "$1/mnt"
sha256sum <"$1/mnt/out.vhd"
umount "$1/mnt"
"""


@pytest.mark.long
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_the_final_name_is_given_to_bytes_that_are_there(kind: str, tmp_path: Path, need: Callable[..., None]) -> None:
    need("root", f"tool:mkfs.{kind}", "tool:unshare", "tool:losetup")
    (tmp_path / "mnt").mkdir()
    with (tmp_path / "in.raw").open("wb") as disk:
        disk.truncate(24 << 20)
        disk.seek(1 << 20)
        disk.write(os.urandom(4 << 20))
    with (tmp_path / "disk.img").open("wb") as image:
        image.truncate(400 << 20)
    subprocess.run([f"mkfs.{kind}", "-q", tmp_path / "disk.img"], check=True)
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh", tmp_path, sys.executable]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if "unknown filesystem" in done.stderr or "failed to setup loop" in done.stderr:
        pytest.skip(f"needs {kind} on a loop device: a kernel that has both")
    assert done.returncode == 0, done.stdout + done.stderr
    whole, kept = (line.split()[0] for line in done.stdout.splitlines() if line.endswith("-"))
    assert kept == whole
    assert kept != hashlib.sha256(b"").hexdigest()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_a_name_is_given_to_a_whole_vhd_or_to_none(kind: str, tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:qemu-img")
    raw, source, whole = tmp_path / "in.raw", tmp_path / f"in.{kind}", tmp_path / "whole.vhd"
    with raw.open("wb") as disk:
        disk.truncate(24 << 20)
        disk.seek(1 << 20)
        disk.write(os.urandom(4 << 20))
    if kind != "raw":
        subprocess.run(["qemu-img", "convert", "-O", kind, raw, source], check=True)

    def convert(target: Path) -> None:
        conversion.convert(conversion.plan(source, blank=True), target, overwrite=True)

    for place in cuts.points(lambda: convert(whole), 5):
        target = tmp_path / f"{place}.vhd"
        assert cuts.cut_before(place, lambda target=target: convert(target)) == 0  # type: ignore[misc]
        assert not target.exists() or _same(target, whole), f"half a VHD after a cut before change {place}"
        convert(target)
        assert _same(target, whole)
    assert not list(tmp_path.glob(".*")), "nothing stays of what was cut"


def _same(one: Path, other: Path) -> bool:
    """But for the footer's id and time."""
    left, right = one.read_bytes(), other.read_bytes()
    return left[:-512] == right[:-512] and left[-512:-488] == right[-512:-488]
