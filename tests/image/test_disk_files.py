"""Files that are given for disks: all of the disk comes over, and what is no disk is refused with what to do."""

import os
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.errors import UsageFailure
from azready.image import conversion
from azready.image.disk import diskfile
from azready.image.disk.formats import vhd
from azready.image.disk.formats.identify import Stranger, identify
from azready.image.targets.spec import to_change
from azready.proc import find_tool, run
from tests.image.conftest import Azready

MIB = 1 << 20


def _foreign_creator(path: Path, creator: bytes) -> None:
    """A VHD as another program writes it: its own creator, and cylinders that describe less than the size."""
    data = bytearray(path.read_bytes())
    for at in {0, len(data) - 512} if data.startswith(vhd.COOKIE) else {len(data) - 512}:
        sectors = struct.unpack_from(">Q", data, at + 48)[0] // 512
        data[at + 28 : at + 32] = creator
        struct.pack_into(">HBB", data, at + 56, sectors // (16 * 63), 16, 63)
        struct.pack_into(">I", data, at + 64, vhd.checksum(bytes(data[at : at + 512])))
    path.write_bytes(data)


@pytest.mark.long
@pytest.mark.parametrize("creator", [b"vbox", b"vpc ", b"vs\0\0", b"win ", b"none"])
@pytest.mark.parametrize("table", ["gpt", "dos"])
def test_a_dynamic_vhd_of_any_creator_comes_over_to_its_last_byte(
    table: str, creator: bytes, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("ids", "tool:qemu-img", "tool:sfdisk")
    raw, source, out = tmp_path / "d.raw", tmp_path / "d.vhd", tmp_path / "out.vhd"
    with raw.open("wb") as file:
        file.truncate(65 * MIB)
    run([find_tool("sfdisk", "fdisk"), "-q", raw], stdin=f"label: {table}\nstart=1MiB, size=30MiB\nstart=31MiB\n")
    with raw.open("r+b") as file:
        file.seek(65 * MIB - 34 * 512 - 100)
        file.write(b"LAST-BYTES")
    options = ["-o", "subformat=dynamic,force_size=on"]
    run(["qemu-img", "convert", "-f", "raw", "-O", "vpc", *options, raw, source])
    _foreign_creator(source, creator)
    with diskfile.reading(diskfile.inspect(source)) as read:
        assert read(65 * MIB - 34 * 512 - 100, 10) == b"LAST-BYTES"
    conversion.convert(conversion.plan(source), out, verify=True)
    assert out.read_bytes()[: 65 * MIB] == raw.read_bytes()
    with to_change(str(source), tmp_path / "copy.vhd", in_place=False):
        pass
    copy = diskfile.inspect(tmp_path / "copy.vhd")
    assert copy.writable and copy.size == 65 * MIB


def test_a_differencing_vhd_is_half_a_disk(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:qemu-img")
    path = tmp_path / "child.vhd"
    run(["qemu-img", "create", "-q", "-f", "vpc", path, "32M"])
    data = bytearray(path.read_bytes())
    for at in (0, len(data) - 512):
        struct.pack_into(">I", data, at + 60, vhd.DIFFERENCING)
    path.write_bytes(data)
    with pytest.raises(UsageFailure, match="parent holds the rest"):
        conversion.plan(path)


@pytest.fixture
def images(tmp_path: Path, need: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a disk in pieces, seen from the folder above."""
    need("tool:qemu-img")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "images"
    folder.mkdir()
    run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "base.qcow2", "32M"])
    make = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2"]
    run([*make, "-b", "base.qcow2", "middle.qcow2"], cwd=folder)
    run([*make, "-b", "middle.qcow2", "top.qcow2"], cwd=folder)
    for kind in ("monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"):
        run(["qemu-img", "create", "-q", "-f", "vmdk", "-o", f"subformat={kind}", folder / f"{kind}.vmdk", "32M"])
    return Path("images")


@pytest.mark.parametrize(
    "name",
    [
        "top.qcow2", "monolithicSparse.vmdk", "monolithicFlat.vmdk", "twoGbMaxExtentSparse.vmdk",
        "twoGbMaxExtentFlat.vmdk", "streamOptimized.vmdk",
    ],
)  # fmt: skip
def test_parts_are_found_from_wherever_the_disk_is_named(name: str, images: Path, tmp_path: Path) -> None:
    done = conversion.convert(conversion.plan(images / name, blank=True), tmp_path / "out.vhd", verify=True)
    assert done.plan.virtual_size == 32 * MIB
    (tmp_path / "link").symlink_to(images / name)
    assert conversion.plan(tmp_path / "link", blank=True).virtual_size == 32 * MIB


def test_an_extent_elsewhere_is_refused_however_the_disk_is_named(images: Path, tmp_path: Path) -> None:
    text = (images / "monolithicFlat.vmdk").read_text()
    (tmp_path / "secret-flat.bin").write_bytes(bytes(32 * MIB))
    (images / "evil.vmdk").write_text(text.replace("monolithicFlat-flat.vmdk", "../secret-flat.bin"))
    for path in (images / "evil.vmdk", images.resolve() / "evil.vmdk", images / "../images/evil.vmdk"):
        with pytest.raises(UsageFailure, match="outside its folder"):
            conversion.plan(path, blank=True)


def test_a_stream_is_said_and_a_copy_to_change_is_none(images: Path, tmp_path: Path, need: Callable[..., None]) -> None:
    need("ids")
    stream = images / "streamOptimized.vmdk"
    assert "vmdk (streamOptimized)" in conversion.plan(stream, blank=True).lines()[0]
    with pytest.raises(UsageFailure, match="only be read"), to_change(str(stream), None, in_place=True):
        pass
    copy = tmp_path / "copy.vmdk"
    with to_change(str(stream), copy, in_place=False):
        pass
    assert diskfile.inspect(copy).writable


def _tar(path: Path, *names: str, form: int = tarfile.PAX_FORMAT) -> None:
    with tarfile.open(path, "w", format=form) as archive:
        for name in names:
            file = path.parent / name
            file.write_bytes(bytes(3000))
            archive.add(file, name)


def _made(name: str, folder: Path) -> Path:
    """A file that is no disk."""
    path = folder / name
    by_qemu = {"a.qed": "qed", "a.hds": "parallels", "a.qcow": "qcow"}
    match name:
        case "pax.ova" | "gnu.ova":
            _tar(path, "box.ovf", "box.vmdk", form=tarfile.PAX_FORMAT if name == "pax.ova" else tarfile.GNU_FORMAT)
        case "disk.tar":
            _tar(path, "disk.raw")
        case "a.iso":
            path.write_bytes(bytes(32768) + b"\1CD001\1" + bytes(MIB))
        case "hybrid.iso":
            path.write_bytes(bytes(510) + b"\x55\xaa" + bytes(32256) + b"\1CD001\1" + bytes(MIB))
        case "a.dmg":
            path.write_bytes(bytes(MIB) + b"koly" + bytes(508))
        case "a.efi":
            path.write_bytes(b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + b"PE\0\0" + bytes(MIB))
        case _ if name in by_qemu:
            run(["qemu-img", "create", "-q", "-f", by_qemu[name], path, "32M"])
    return path


@pytest.mark.parametrize(
    ("name", "is_", "do"),
    [
        ("pax.ova", "an OVA", "tar xf"),
        ("gnu.ova", "an OVA", "tar xf"),
        ("disk.tar", "a tar archive", "tar xf"),
        ("a.iso", "an ISO image", "install it"),
        ("hybrid.iso", "an ISO image", "install it"),
        ("a.dmg", "an Apple disk image", "-f dmg"),
        ("a.efi", "an EFI or Windows program", "name the disk"),
        ("a.qed", "a QED disk", "-f qed"),
        ("a.hds", "a Parallels disk", "-f parallels"),
        ("a.qcow", "a qcow disk of version 1", "-f qcow "),
    ],
)
def test_what_is_no_disk_is_refused_and_says_what_to_do(
    name: str, is_: str, do: str, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("tool:qemu-img")
    with pytest.raises(UsageFailure, match=is_) as refused:
        conversion.plan(_made(name, tmp_path))
    assert do in refused.value.hint and name in refused.value.message


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"hello\n", "a text file"),
        ("Grüße an alle\n".encode() * 40, "a text file"),
        (b"<!DOCTYPE html><html><title>404", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b'<?xml version="1.0"?>\n<Envelope xmlns="x">', "an OVF"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "packed (7z)"),
        (b"070701000000", "an archive (cpio)"),
        (b"!<arch>\ndebian-binary", "a package"),
    ],
)
def test_writing_and_packages_are_no_disks(head: bytes, what: str) -> None:
    found = identify(lambda at, count: head[at : at + count], len(head))
    assert isinstance(found, Stranger) and what in found.what


@pytest.mark.parametrize(
    "head", [bytes(512), b"\xeb\x63\x90" + bytes(507) + b"\x55\xaa", b"\x90" * 512, b"U" * 511 + b"\0"]
)
def test_whatever_else_there_is_may_be_a_disk(head: bytes) -> None:
    assert identify(lambda at, count: head[at : at + count], 1 << 20) == "raw"


@pytest.mark.long
def test_an_empty_disk_is_converted_only_when_it_is_said(tmp_path: Path, azready: Azready) -> None:
    source, out = tmp_path / "empty.raw", tmp_path / "out.vhd"
    with source.open("wb") as file:
        file.truncate(20 * MIB)
    refused = azready("convert", source, out)
    assert refused.returncode == 2 and "--blank" in refused.stderr and not out.exists()
    assert azready("convert", source, out, "--blank").returncode == 0 and out.exists()
    assert azready("check", source).returncode == 2


@pytest.mark.long
@pytest.mark.parametrize("verb", [("check",), ("generalize", "--dry-run")])
def test_a_folder_that_is_no_system_gets_one_sentence(verb: tuple[str, ...], tmp_path: Path, azready: Azready) -> None:
    (tmp_path / "readme.txt").write_text("x")
    done = azready(*verb, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not the root of a Linux system" in done.stderr and len(done.stderr.splitlines()) == 2


def test_a_file_system_without_a_table_is_a_disk(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:mke2fs")
    source = tmp_path / "fs.raw"
    with source.open("wb") as file:
        file.truncate(20 * MIB)
    subprocess.run([find_tool("mke2fs", "e2fsprogs"), "-q", "-t", "ext4", source], check=True, env=os.environ)
    assert conversion.plan(source).warnings == ("the disk has no partition table",)


def _gpt(entries_at: int = 2, first: int = 2048, last: int = 4095, other: int = 8191) -> bytes:
    """A disk of 4 MiB whose table is right by its checksums, wherever it says that things lie (in sectors)."""
    name = "root".encode("utf-16-le").ljust(72, b"\0")
    entries = (bytes(range(32)) + struct.pack("<QQQ", first, last, 0) + name).ljust(128 * 128, b"\0")
    given = (0, 1, other, 34, 8158, bytes(16), entries_at, 128, 128, zlib.crc32(entries))
    unsummed = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, *given)
    head = unsummed[:16] + struct.pack("<I", zlib.crc32(unsummed)) + unsummed[20:]
    mbr = bytes(446) + bytes((0, 0, 2, 0, 0xEE, 255, 255, 255, 1, 0, 0, 0, 255, 31, 0, 0)) + bytes(48) + b"\x55\xaa"
    return (mbr + head.ljust(512, b"\0") + entries).ljust(4 * MIB, b"\0")


FAR = {
    "entries": _gpt(entries_at=1 << 62),
    "a partition": _gpt(first=1 << 62, last=(1 << 62) + 99),
    "a partition beyond what a file may hold": _gpt(first=1 << 54, last=(1 << 54) + 99),
    "the other header": _gpt(other=(1 << 64) - 1),
    "a description": b"KDMV" + struct.pack("<IIQQQ", 1, 3, 0, 128, 1 << 60).ljust(4092, b"\0"),
}


@pytest.mark.long
@pytest.mark.parametrize("what", FAR)
def test_what_lies_too_far_off_is_not_there(what: str, tmp_path: Path, azready: Azready) -> None:
    """Offsets that no file has: past 8 EiB, or past the most that this file system allows."""
    disk = tmp_path / "far.raw"
    disk.write_bytes(FAR[what])
    done = azready("check", disk)
    assert done.returncode in (1, 2), done.stderr
    assert "fault in azready" not in done.stderr
