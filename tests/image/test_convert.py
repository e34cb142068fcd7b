"""Disks of every format become the VHD that Azure takes; what cannot is refused, and nothing half made stays."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.errors import Failure, UsageFailure
from azready.image import conversion
from azready.image.disk import diskfile, sparse
from azready.image.disk.formats import vhd
from azready.image.targets.spec import to_change
from azready.proc import run
from tests.cli.schemas import conforms

MIB = 1 << 20
TABLE = "label: gpt\nsize=16M, type=U\ntype=L\n"


@pytest.fixture
def disk(tmp_path: Path, need: Callable[..., None]) -> Path:
    """A Gen2-like disk of an odd size with data in places: at the begin, in the middle, none at the end."""
    need("tool:sfdisk", "tool:qemu-img")
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(50 * MIB + 5 * 512)
    run(["/usr/sbin/sfdisk", "-q", path], stdin=TABLE)
    with path.open("r+b") as file:
        file.seek(2 * MIB)
        file.write(os.urandom(300_000))
        file.write(bytes(5 * MIB))
        file.write(os.urandom(70_000))
    return path


def _payload(path: Path) -> bytes:
    """The disk's bytes without both GPT copies and the footer."""
    return path.read_bytes()[17 * 1024 : 50 * MIB - 17 * 1024]


@pytest.mark.long
@pytest.mark.parametrize("form", ["raw", "qcow2", "vmdk", "vhdx", "vdi", "vpc"])
def test_every_format_becomes_a_vhd_that_reads_back(disk: Path, form: str) -> None:
    source = disk
    if form != "raw":
        source = disk.with_suffix(f".{form}")
        options = ["-o", "force_size"] if form == "vpc" else []
        run(["qemu-img", "convert", "-f", "raw", "-O", form, *options, disk, source])
    before = source.read_bytes()
    out = disk.with_name("out.vhd")
    told: list[int] = []
    done = conversion.convert(conversion.plan(source), out, verify=True, advance=told.append)
    assert source.read_bytes() == before, "the source is never changed"
    assert (done.plan.virtual_size, out.stat().st_size) == (51 * MIB, 51 * MIB + 512)
    assert done.plan.moves_backup_gpt and done.plan.generations == (2,) and done.plan.warnings == ()
    assert _payload(out) == _payload(disk)
    assert sum(told) == done.plan.disk_size
    assert done.allocated < 4 * MIB, "the zeros take no space"
    inner = disk.with_name("inner.raw")
    inner.write_bytes(out.read_bytes()[:-512])
    assert "No problems found" in run(["/usr/sbin/sgdisk", "-v", inner]).stdout


def test_the_result_is_qemu_imgs_byte_for_byte_where_nothing_moves(disk: Path) -> None:
    whole = disk.with_name("whole.raw")
    whole.write_bytes(os.urandom(MIB) + bytes(23 * MIB))
    ours, theirs = disk.with_name("ours.vhd"), disk.with_name("theirs.vhd")
    run(["qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed,force_size", whole, theirs])
    footer = vhd.parse(theirs.read_bytes()[-512:])
    assert footer is not None
    conversion.convert(conversion.plan(whole, blank=True), ours, unique_id=footer.unique_id, created=footer.created)
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_disk_beyond_qemu_imgs_limit(tmp_path: Path) -> None:
    source, out = tmp_path / "large.raw", tmp_path / "large.vhd"
    with source.open("wb") as file:
        file.truncate(2041 << 30)
        file.seek(2040 << 30)
        file.write(b"far out")
    conversion.convert(conversion.plan(source, blank=True), out, verify=True)
    with out.open("rb") as file:
        file.seek(2040 << 30)
        assert file.read(7) == b"far out"
    assert out.stat().st_size == (2041 << 30) + 512 and out.stat().st_blocks < 10_000
    out.unlink()


def test_a_small_disk_grows_to_the_least_that_azure_takes(tmp_path: Path) -> None:
    source = tmp_path / "small.raw"
    source.write_bytes(b"\0" * 1000)
    assert (
        conversion.convert(conversion.plan(source, blank=True), tmp_path / "small.vhd", verify=True).plan.virtual_size
        == 20 * MIB
    )


@pytest.mark.long
def test_what_cannot_boot_is_refused_and_says_what_to_do(disk: Path) -> None:
    cut = disk.with_name("cut.raw")
    cut.write_bytes(disk.read_bytes()[: 30 * MIB])
    with pytest.raises(UsageFailure, match="ends after the disk's end"):
        conversion.convert(conversion.plan(cut), disk.with_name("out.vhd"))
    packed = disk.with_name("disk.raw.gz")
    run(["gzip", "-k", disk])
    with pytest.raises(UsageFailure, match="packed") as refused:
        conversion.convert(conversion.plan(packed), disk.with_name("out.vhd"))
    assert "gzip -d" in refused.value.hint
    empty = disk.with_name("empty.raw")
    empty.touch()
    for bad in (empty, disk.with_name("absent"), disk.parent):
        with pytest.raises(UsageFailure):
            conversion.plan(bad)


def test_targets_are_not_replaced_by_accident(disk: Path) -> None:
    out = disk.with_name("out.vhd")
    out.write_bytes(b"precious")
    with pytest.raises(UsageFailure, match="exists"):
        conversion.convert(conversion.plan(disk), out)
    assert out.read_bytes() == b"precious"
    conversion.convert(conversion.plan(disk), out, overwrite=True)
    with pytest.raises(UsageFailure, match="source itself"):
        conversion.convert(conversion.plan(disk), disk, overwrite=True)


def test_an_image_from_elsewhere_reads_no_other_files(disk: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    sly, honest = folder / "sly.qcow2", tmp_path / "honest.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", sly])
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk.name, "-F", "raw", honest])
    with pytest.raises(UsageFailure, match="outside its folder"):
        conversion.plan(sly)
    assert conversion.plan(honest).generations == (2,)


def test_a_difference_is_found(disk: Path) -> None:
    other = disk.with_name("other.raw")
    other.write_bytes(disk.read_bytes())
    with disk.open("rb") as one, other.open("r+b") as two:
        size = disk.stat().st_size
        assert sparse.first_difference(one.fileno(), two.fileno(), size) is None
        two.seek(30 * MIB)
        two.write(b"!")
        two.flush()
        assert sparse.first_difference(one.fileno(), two.fileno(), size) is not None


def test_reading_a_qcow2_gives_the_bytes_of_the_disk(disk: Path) -> None:
    image = disk.with_name("comma,disk.qcow2")
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, image])
    raw = disk.read_bytes()
    with diskfile.reading(diskfile.inspect(image)) as read:
        for at, count in ((0, 512), (MIB - 3, 7), (2 * MIB, 3 * MIB), (len(raw) - 512, 4096), (len(raw), 1), (-1, 1)):
            assert read(at, count) == (raw[at : at + count] if at >= 0 else b"")


def test_a_broken_source_leaves_nothing_behind(disk: Path) -> None:
    image = disk.with_suffix(".qcow2")
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, image])
    with image.open("r+b") as file:
        file.truncate(image.stat().st_size // 2)
        file.seek(196608)
        file.write(b"\xff" * 65536)
    before = sorted(disk.parent.iterdir())
    with pytest.raises(Failure):
        conversion.convert(conversion.plan(image), disk.with_name("out.vhd"), verify=True)
    assert sorted(disk.parent.iterdir()) == before


def _azready(*words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "azready", *(str(word) for word in words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_the_command(disk: Path) -> None:
    out = disk.with_name("out.vhd")
    dry = _azready("convert", "--dry-run", disk, out)
    assert dry.returncode == 0 and "nothing was done" in dry.stdout and not out.exists()
    done = _azready("convert", disk, out, "--verify", "-o", "json")
    assert done.returncode == 0, done.stderr
    facts = conforms("convert", done.stdout)
    assert facts["uploadSizeBytes"] == out.stat().st_size and facts["verified"] and facts["hyperVGenerations"] == ["V2"]
    again = _azready("convert", disk, out)
    assert again.returncode == 2 and "--yes" in again.stderr and "Traceback" not in again.stderr
    assert _azready("convert", disk, out, "--yes").returncode == 0


def test_identity_and_time_can_be_given_for_images_that_reproduce(disk: Path) -> None:
    one, two = disk.with_name("one.vhd"), disk.with_name("two.vhd")
    name = uuid.UUID(int=7)
    for out in (one, two):
        conversion.convert(conversion.plan(disk), out, unique_id=name, created=1_700_000_000)
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vhdx", "vdi"])
def test_a_file_that_was_cut_off_is_refused(disk: Path, form: str) -> None:
    """QEMU reads zeros behind the end of most of them, and `compare` finds no difference."""
    with disk.open("r+b") as file:
        file.seek(20 * MIB)
        file.write(os.urandom(8 * MIB))
    whole, cut = disk.with_name(f"whole.{form}"), disk.with_name(f"cut.{form}")
    run(["qemu-img", "convert", "-f", "raw", "-O", form, disk, whole])
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    conversion.plan(whole)
    with pytest.raises(UsageFailure, match=r"cut\.") as refused:
        conversion.convert(conversion.plan(cut), disk.with_name("out.vhd"), verify=True)
    assert "cut off" in refused.value.hint
    assert not disk.with_name("out.vhd").exists()


@pytest.mark.parametrize(("mode", "copied"), [(0o600, 0o600), (0o640, 0o640), (0o444, 0o644)])
def test_nobody_reads_a_copy_who_could_not_read_the_disk(
    disk: Path, mode: int, copied: int, need: Callable[..., None]
) -> None:
    need("ids")
    disk.chmod(mode)
    copy, vhd_file = disk.with_name("copy.raw"), disk.with_name("disk.vhd")
    with to_change(str(disk), copy, False):
        pass
    conversion.convert(conversion.plan(disk), vhd_file)
    assert [path.stat().st_mode & 0o777 for path in (copy, vhd_file)] == [copied, copied]


def test_a_copy_of_a_disk_in_pieces_is_whole(disk: Path, tmp_path: Path, need: Callable[..., None]) -> None:
    need("ids")
    over, copy = disk.with_name("over.qcow2"), tmp_path / "elsewhere/copy.qcow2"
    copy.parent.mkdir()
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk.name, "-F", "raw", over])
    assert diskfile.inspect(over).others == (disk.name,)
    with to_change(str(over), copy, False):
        pass
    assert diskfile.inspect(copy).others == ()
    assert run(["qemu-img", "compare", "-f", "qcow2", "-F", "raw", copy, disk]).status == 0


def test_a_target_that_is_named_after_another_form_is_refused(disk: Path) -> None:
    with pytest.raises(UsageFailure, match="fixed VHD") as refused:
        conversion.check_target(disk, disk.with_name("out.qcow2"), overwrite=False)
    assert "out.vhd" in refused.value.hint
