"""Disks where nothing can be mounted: what is read of them is what mke2fs put in, and what the mounted disk shows."""

import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.errors import Failure
from azready.image.disk.formats import ext
from azready.image.targets import Files
from azready.image.targets import disk as disk_targets
from azready.image.targets.disk import open_disk
from azready.image.targets.spec import require_writable, to_change
from azready.image.targets.tree import Tree
from azready.image.targets.unmounted import Unmounted, _Ext, open_unmounted
from azready.proc import run
from tests.boot import machines
from tests.image.targets import disks
from tests.image.targets.disks import MIB, ROOT_AT
from tests.image.targets.test_disk import digest

KINDS = {
    "ext2": ("-t", "ext2", "-b", "1024"),
    "ext3": ("-t", "ext3", "-b", "2048"),
    "ext4": ("-t", "ext4"),
    "small inodes": ("-t", "ext4", "-I", "128", "-b", "1024"),
    "32 bits, maps": ("-t", "ext4", "-O", "^64bit,^extent,^flex_bg", "-b", "1024"),
    "descriptors apart": ("-t", "ext4", "-O", "meta_bg,^resize_inode", "-b", "1024"),
    "clusters": ("-t", "ext4", "-O", "bigalloc"),
    "sums": ("-t", "ext4", "-O", "metadata_csum,metadata_csum_seed"),
}


LINKS = {
    "short": "many",
    "long": "many/../" * 12 + "large",
    "absolute": "/many",
    "out": "../../many",
    "loop": "loop",
    "nowhere": "absent/x",
    "exactly": "x" * 59,
    "one more": "y" * 60,
}


def _source(folder: Path) -> Path:
    (folder / "many").mkdir(parents=True)
    for number in range(400):
        (folder / "many" / f"a file with a rather long name, number {number}").write_text(str(number))
    (folder / "empty").touch()
    (folder / "large").write_bytes(random.Random(7).randbytes(700_001))
    with (folder / "holes").open("wb") as file:
        for at in (0, 100_000, 5_000_000, 12_000_000):
            file.seek(at)
            file.write(b"here")
        file.truncate(12_345_678)
    (folder / "setuid").touch(0o600)
    (folder / "setuid").chmod(0o4755)
    for name in ("näme", "new\nline", os.fsdecode(b"\xff\xfe")):
        (folder / name).write_text(f"of {name!a}")
    for name, to in LINKS.items():
        (folder / name).symlink_to(to)
    os.mkfifo(folder / "fifo")
    os.utime(folder / "empty", (1_000_000_000, 1_000_000_000))
    if os.geteuid() == 0:
        os.chown(folder / "empty", 70_000, 80_000)
    return folder


def _made(path: Path, source: Path, *options: str, size: str = "40M") -> Path:
    run(["mke2fs", "-q", "-F", *options, "-d", source, path, size])
    return path


def _told(files: Files) -> dict[str, tuple[object, ...]]:
    """All that can be asked, of everything below the root."""
    told: dict[str, tuple[object, ...]] = {}
    for path, found in files.walk(""):
        what: object = None
        if found.kind == "file":
            what = files.read_bytes(path)
        elif found.kind == "link":
            what = files.readlink(path)
        elif found.kind == "dir":
            what = files.listdir(path)
        told[path] = (found.kind, oct(found.mode), int(found.mtime), found.kind == "dir" or found.size, what)
    return told


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_what_mke2fs_put_in_is_read(tmp_path: Path, kind: str, need: Callable[..., None]) -> None:
    need("tool:mke2fs")
    source = _source(tmp_path / "source")
    image = _made(tmp_path / "image", source, *KINDS[kind])
    moved = tmp_path / "moved"
    moved.write_bytes(bytes(3 * MIB) + image.read_bytes())
    data = moved.read_bytes()
    files = Unmounted({"": _Ext(lambda at, count: data[at : at + count], 3 * MIB)}, "")
    with Tree(source) as tree:
        wanted = _told(tree)
        told = {path: each for path, each in _told(files).items() if path in wanted}
        assert told == wanted
        for path in ("short", "long", "absolute/a file with a rather long name, number 7", "out", "loop", "nowhere"):
            assert files.exists(path) == tree.exists(path), path
        assert files.resolve("absolute/../out/x") == tree.resolve("absolute/../out/x")
        for ask in (lambda of: of.read_bytes("many"), lambda of: of.listdir("large"), lambda of: of.readlink("large"),
                    lambda of: of.read_text("no/such"), lambda of: of.stat("large/x"), lambda of: of.stat("loop"),
                    lambda of: of.read_bytes("large", 9), lambda of: of.read_head("fifo", 1)):  # fmt: skip
            refused = []
            for each in (files, tree):
                with pytest.raises(OSError) as caught:
                    ask(each)
                refused.append((type(caught.value), caught.value.errno, caught.value.filename))
            assert refused[0] == refused[1]
        assert files.read_head("large", 10) == tree.read_head("large", 10)
        assert files.glob("many/*number 39?") == tree.glob("many/*number 39?")
    if os.geteuid() == 0:
        assert (files.stat("empty").uid, files.stat("empty").gid) == (70_000, 80_000)


@pytest.fixture
def disk(tmp_path: Path, need: Callable[..., None]) -> Path:
    need("tool:sfdisk", "tool:mke2fs", "tool:mkfs.vfat", "tool:mcopy")
    path = tmp_path / "disk.raw"
    disks.partitioned(path, 96 * MIB)
    disks.ext4_at(path, ROOT_AT, 54 * MIB, disks.tree(tmp_path / "source"))
    return path


@pytest.mark.long
def test_a_disk_is_told_as_the_mounted_one(disk: Path, need: Callable[..., None]) -> None:
    need("root")
    before = digest(disk)
    with open_disk(disk, write=False) as mounted, open_unmounted(disk) as read:
        for path in ("", "boot/efi"):
            wanted = {each[0]: each[1].kind for each in mounted.walk(path)}
            assert {each[0]: each[1].kind for each in read.walk(path)} == wanted and len(wanted) > 2
        for path, _ in mounted.walk("etc"):
            assert read.lstat(path).mode == mounted.lstat(path).mode
        assert read.read_text("boot/efi/efi/DEBIAN/grub.cfg") == "search\n"
        assert read.read_text("usr/../sbin/init") == "" and read.describe() == mounted.describe()
        assert read.stat("boot/efi").device != read.stat("boot").device
        with pytest.raises(OSError, match="Read-only"):
            read.write_atomic("etc/new", b"", 0o644)
        with pytest.raises(Failure, match="cannot be changed"):
            require_writable(read)
    assert digest(disk) == before


def test_what_has_to_be_mounted_is_said_with_the_way(disk: Path, need: Callable[..., None]) -> None:
    need("tool:mkfs.xfs")
    small = disk.with_name("xfs")
    with small.open("wb") as file:
        file.truncate(320 * MIB)
    run(["mkfs.xfs", "-q", "-f", small])
    with pytest.raises(Failure, match="its xfs cannot be read") as refused, open_unmounted(small):
        pass
    assert "fuse2fs" in refused.value.hint
    with open_unmounted(small, without_root=True) as empty:
        assert empty.listdir("") == ["boot"] and not empty.exists("etc/os-release")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["ext2", "ext4"])
def test_a_damaged_one_is_refused_or_read_and_never_more(tmp_path: Path, kind: str, need: Callable[..., None]) -> None:
    need("tool:mke2fs")
    source = tmp_path / "source"
    (source / "a/b").mkdir(parents=True)
    (source / "a/file").write_bytes(b"x" * 30_000)
    (source / "a/link").symlink_to("z" * 80)
    image = _made(tmp_path / "image", source, *KINDS[kind], size="3M")
    whole = image.read_bytes()
    busy = [at for at in range(0, len(whole), 4) if whole[at : at + 4] != bytes(4)]
    chance = random.Random(20)
    for _ in range(100):
        data = bytearray(whole)
        for at in chance.sample(busy, 12):
            struct.pack_into("<I", data, at, chance.choice((0, 1, 2, 0xFFFFFFFF, chance.getrandbits(32))))
        try:
            files = Unmounted({"": _Ext(lambda at, count, of=data: bytes(of[at : at + count]), 0)}, "")  # type: ignore[misc]
            for count, (path, found) in enumerate(files.walk("")):
                if found.kind == "file":
                    files.read_head(path, MIB)
                assert count < 10_000
        except OSError as error:
            assert error.errno, error


def test_a_folder_in_itself_is_no_walk_without_end(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:debugfs")
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    image = _made(tmp_path / "image", source, "-t", "ext4")
    run(["debugfs", "-w", "-R", "link a a/again", image])
    data = image.read_bytes()
    files = Unmounted({"": _Ext(lambda at, count: data[at : at + count], 0)}, "")
    with pytest.raises(OSError, match="two places"):
        list(files.walk(""))


def test_what_lies_in_inodes_themselves(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:mke2fs", "tool:debugfs")
    (tmp_path / "source/folder").mkdir(parents=True)
    (tmp_path / "source/folder/few").write_text("x" * 60)
    (tmp_path / "source/folder/more").write_text("x" * 70)
    image = _made(tmp_path / "image", tmp_path / "source", "-t", "ext4", "-O", "inline_data")
    run(["debugfs", "-w", "-R", "sif folder/few mtime 1", image])
    run(["debugfs", "-w", "-R", "sif folder/few mtime_extra 1", image])
    data = image.read_bytes()
    files = Unmounted({"": _Ext(lambda at, count: data[at : at + count], 0)}, "")
    assert files.listdir("folder") == ["few", "more"] and files.read_text("folder/few") == "x" * 60
    assert files.stat("folder/few").mtime == 2**32 + 1, "after 2038"
    with pytest.raises(OSError, match="in its attributes"):
        files.read_text("folder/more")


def test_what_is_no_ext_is_refused() -> None:
    with pytest.raises(OSError, match="super block"):
        ext.Ext(lambda at, count: bytes(count), 0)


@pytest.mark.long
def test_check_says_the_same_where_root_may_mount_nothing(disk: Path, need: Callable[..., None]) -> None:
    """As in a container of CI: root, but without CAP_SYS_ADMIN."""
    need("root", "tool:setpriv")
    usual, poor = (_check(disk, before) for before in ((), _WEAK))
    assert poor.returncode == usual.returncode and json.loads(poor.stdout) == json.loads(usual.stdout), poor.stderr
    changing = (*_WEAK, sys.executable, "-m", "azready", "prepare", disk, "--to", disk.with_name("new.raw"))
    done = subprocess.run(changing, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 3 and "--privileged" in done.stderr and not disk.with_name("new.raw").exists()


@pytest.mark.slow
def test_check_of_a_whole_system_says_the_same(tmp_path: Path, need: Callable[..., None]) -> None:
    need("root", "tool:setpriv", "tool:qemu-img")
    disk = tmp_path / "disk.qcow2"
    run(["qemu-img", "convert", "-O", "qcow2", machines.debian_disk(2), disk])
    usual, poor = (_check(disk, before) for before in ((), _WEAK))
    assert poor.returncode == usual.returncode and json.loads(poor.stdout) == json.loads(usual.stdout), poor.stderr


def test_a_disk_that_cannot_be_mounted_is_not_copied_first(
    disk: Path, monkeypatch: pytest.MonkeyPatch, need: Callable[..., None]
) -> None:
    need("ids")
    monkeypatch.setattr(disk_targets, "may_use_loop_devices", lambda: False)
    monkeypatch.setattr(disk_targets, "has_tool", lambda tool: False)
    copy = disk.with_name("copy.raw")
    with (
        pytest.raises(Failure, match="fuse2fs not installed: .*fuse2fs") as refused,
        to_change(str(disk), copy, in_place=False),
    ):
        pass
    assert "cannot be changed here" in refused.value.message and not copy.exists()


_WEAK = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")


def _check(disk: Path, before: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    words = (*before, sys.executable, "-m", "azready", "check", disk, "-o", "json")
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)
