"""Disk files as targets: every file system and format, as root and as an ordinary user; reading changes no byte."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azready.errors import Failure
from azready.image.targets.disk import open_disk
from azready.image.targets.volumes import find_volumes, from_fstab
from azready.proc import run
from tests.conftest import OTHERS_PYTHON
from tests.image.conftest import Azready
from tests.image.targets import disks
from tests.image.targets.disks import MIB, ROOT_AT

FORMATS = {
    "raw": ("raw", ""),
    "qcow2": ("qcow2", ""),
    "vhdx": ("vhdx", ""),
    "vhd": ("vpc", "subformat=fixed,force_size=on"),
    "dynamic.vhd": ("vpc", "subformat=dynamic,force_size=on"),
}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary folders of this test only, so that it can see that nothing is left in them."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))


@pytest.fixture
def ext4(tmp_path: Path, need: Callable[..., None]) -> Path:
    need("tool:sfdisk", "tool:mke2fs", "tool:mkfs.vfat", "tool:mcopy")
    disk = tmp_path / "disk.raw"
    disks.partitioned(disk, 96 * MIB)
    disks.ext4_at(disk, ROOT_AT, 54 * MIB, disks.tree(tmp_path / "source"))
    return disk


def assert_readable_and_writable(disk: Path) -> None:
    before = digest(disk)
    with open_disk(disk, write=False) as tree:
        assert tree.read_text("etc/os-release").startswith("ID=debian")
        assert tree.read_text("boot/efi/EFI/Debian/grub.cfg") == "search\n"
        assert "disk" in tree.describe()
        with pytest.raises(OSError):
            tree.write_atomic("etc/new", b"x", 0o644)
    assert digest(disk) == before
    with open_disk(disk, write=True) as tree:
        tree.write_atomic("etc/new", b"x" * 100_000, 0o640, 0, 4)
        tree.remove("boot/efi/loader/random-seed")
        tree.write_atomic("boot/efi/EFI/Debian/grub.cfg", b"changed\n", 0o644)
        tree.mkdir("boot/efi/EFI/new")
        tree.write_atomic("boot/efi/EFI/new/file", b"new\n", 0o644)
    with open_disk(disk, write=False) as tree:
        assert tree.read_bytes("etc/new") == b"x" * 100_000
        assert (tree.stat("etc/new").mode, tree.stat("etc/new").gid) == (0o640, 4)
        assert tree.listdir("boot/efi/loader") == []
        assert tree.read_text("boot/efi/EFI/Debian/grub.cfg") == "changed\n"
        assert tree.read_text("boot/efi/EFI/new/file") == "new\n"
    scratch = tempfile.gettempdir()
    assert not [line for line in Path("/proc/self/mounts").read_text().splitlines() if scratch in line]
    assert not list(Path(scratch).iterdir())


@pytest.mark.long
@pytest.mark.parametrize("name", FORMATS)
def test_formats(ext4: Path, tmp_path: Path, name: str, need: Callable[..., None]) -> None:
    need("root", "tool:qemu-img", "tool:qemu-storage-daemon", "file:/dev/fuse", "file:/dev/loop-control")
    disk = tmp_path / f"converted.{name}"
    kind, options = FORMATS[name]
    run(["qemu-img", "convert", "-O", kind, *(["-o", options] if options else []), ext4, disk])
    assert_readable_and_writable(disk)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "subvolume"), [("xfs", ""), ("btrfs", ""), ("btrfs", "@"), ("ext4", "")])
def test_file_systems(tmp_path: Path, kind: str, subvolume: str, need: Callable[..., None]) -> None:
    need("root", f"tool:mkfs.{kind}", "tool:sfdisk", "tool:mcopy", "file:/dev/loop-control")
    disk = tmp_path / "disk.raw"
    size = 320 * MIB
    disks.partitioned(disk, ROOT_AT + size + MIB, "gpt" if kind != "ext4" else "dos", "L" if kind != "ext4" else "83")
    with disks.loop(disk, ROOT_AT, size) as device:
        run([f"mkfs.{kind}", "-q", device])
        disks.filled(device, disks.tree(tmp_path / "source"), tmp_path / "mounted", subvolume)
    assert_readable_and_writable(disk)


@pytest.mark.long
def test_a_logical_volume_in_one_piece(tmp_path: Path, need: Callable[..., None]) -> None:
    need("root", "tool:lvcreate", "tool:sfdisk", "tool:mcopy", "file:/dev/loop-control")
    disk = tmp_path / "disk.raw"
    disks.partitioned(disk, 200 * MIB, root_type=disks.LVM_TYPE)
    with disks.loop(disk, ROOT_AT, 158 * MIB) as device:
        start = disks.logical_volume(device, "64M")
    source = disks.tree(tmp_path / "source", "/dev/mapper/root--vg-root / ext4 defaults 0 1\n")
    disks.ext4_at(disk, ROOT_AT + start, 64 * MIB, source)
    with disk.open("rb") as file:
        volumes = find_volumes(lambda at, count: os.pread(file.fileno(), count, at), 200 * MIB)
    assert [volume.kind for volume in volumes] == ["vfat", "scattered", "ext4"]
    assert_readable_and_writable(disk)


def test_a_file_system_without_partitions(tmp_path: Path, need: Callable[..., None]) -> None:
    need("root", "tool:mke2fs", "file:/dev/loop-control")
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(64 * MIB)
    disks.ext4_at(disk, 0, 64 * MIB, disks.tree(tmp_path / "source", ""))
    with open_disk(disk, write=False) as tree:
        assert tree.exists("etc/os-release")


@pytest.mark.long
def test_partitions_that_fstab_does_not_name_are_found_by_their_type(
    tmp_path: Path, azready: Azready, need: Callable[..., None]
) -> None:
    need("root", "tool:mkfs.erofs", "tool:sfdisk", "file:/dev/loop-control")
    source = disks.tree(tmp_path / "source", "")
    (source / "etc/os-release").rename(source / "usr/lib/os-release")
    (source / "etc/os-release").symlink_to("../usr/lib/os-release")
    disk = tmp_path / "disk.raw"
    disks.discoverable(disk, source)
    with open_disk(disk, write=False) as tree:
        assert tree.read_text("etc/os-release").startswith("ID=debian")
        assert tree.listdir("home") == ["lost+found", "someone"]
    told = azready("prepare", disk, "--in-place")
    assert told.returncode == 3
    assert "its /usr cannot be written to" in told.stderr
    assert "before the disk is made" in " ".join(told.stderr.split())
    with open_disk(disk, write=False) as tree:
        assert not tree.exists("etc/azure-provisioning.conf"), "nothing was begun"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\x1f\x8b\x08" + bytes(2000), "unpack"),
        (bytes(4 * MIB), "neither a partition table nor a file system"),
        (b"QFI\xfb" + b"\xff" * 4096, "Unsupported qcow2 version"),
        (b"LUKS\xba\xbe\x00\x02" + bytes(4 * MIB), "encrypted"),
    ],
)
def test_what_is_no_disk_is_said(tmp_path: Path, content: bytes, said: str, need: Callable[..., None]) -> None:
    need("tool:qemu-img")
    disk = tmp_path / "disk.img"
    disk.write_bytes(content)
    with pytest.raises(Failure) as caught, open_disk(disk, write=False):
        pass
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.hint


def test_fstab_names_volumes_in_every_way() -> None:
    from azready.image.targets.volumes import Volume

    names = frozenset({"#2", "UUID=ab-cd", "LABEL=boot", "PARTUUID=11-22", "/dev/mapper/vg-boot"})
    volume = Volume(1, 1, "ext4", names)
    ways = ("UUID=AB-CD", 'LABEL="boot"', "PARTUUID=11-22", "/dev/mapper/vg-boot", "/dev/sda2", "/dev/nvme0n1p2")
    for way in (*ways, "/dev/disk/by-uuid/ab-cd"):
        assert [each.path for each in from_fstab(f"{way} /boot ext4 defaults 0 0\n", [volume])] == ["boot"], way
    for way in ("UUID=other", "/dev/sda1", "server:/share", "tmpfs"):
        assert from_fstab(f"{way} /boot ext4 defaults 0 0\n", [volume]) == []
    assert from_fstab("#UUID=ab-cd /boot ext4 defaults 0 0\nUUID=ab-cd none swap sw 0 0\n", [volume]) == []


# ---- as an ordinary user

_AS_NOBODY = """
[ -e "$1/fuse" ] || mknod -m 666 "$1/fuse" c 10 229; mount --bind "$1/fuse" /dev/fuse
echo "$2" >"$1/sub"; touch /etc/subuid /etc/subgid
mount --bind "$1/sub" /etc/subuid; mount --bind "$1/sub" /etc/subgid
shift 2
exec setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
"""
"""What an ordinary machine gives its users: sub-ids and /dev/fuse, here in a mount namespace, then the user nobody."""

AsUser = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def as_user(need: Callable[..., None]) -> Iterator[AsUser]:
    """Run azready as `nobody`, with sub-ids, in a folder that user may write: `as_user(folder, "prepare", …)`."""
    need("root", "others", "tool:fuse2fs", "tool:setpriv", "tool:newuidmap", "file:/dev/fuse")
    scratch = Path(tempfile.mkdtemp(prefix="azready-test-", dir="/tmp"))
    scratch.chmod(0o755)

    def call(folder: Path, *words: str, sub_ids: str = "nobody:200000:65536") -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "PYTHONPATH": ":".join(path for path in sys.path if path), "HOME": "/"}
        inner = ["sh", "-euc", _AS_NOBODY, "sh", str(scratch), sub_ids, OTHERS_PYTHON, "-m", "azready", *words]
        argv = ["unshare", "--mount", *inner]
        return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    yield call
    shutil.rmtree(scratch)


@pytest.fixture
def users_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="azready-user-", dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_an_ordinary_user_prepares_a_disk(
    ext4: Path, users_folder: Path, as_user: AsUser, kind: str, need: Callable[..., None]
) -> None:
    need("tool:qemu-img", "tool:qemu-storage-daemon", "file:/dev/loop-control")
    run(["qemu-img", "convert", "-O", kind, ext4, users_folder / "in.img"])
    (users_folder / "in.img").chmod(0o644)
    before = digest(users_folder / "in.img")
    planned = as_user(users_folder, "prepare", "in.img", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "remove /etc/waagent.conf" in planned.stdout
    done = as_user(users_folder, "prepare", "in.img", "--to", "out.img")
    assert done.returncode == 0, done.stderr
    assert digest(users_folder / "in.img") == before
    assert sorted(path.name for path in users_folder.iterdir()) == ["in.img", "out.img"]
    assert (users_folder / "out.img").stat().st_uid == 65534
    with open_disk(users_folder / "out.img", write=False) as tree:
        assert not tree.exists("etc/waagent.conf")
        assert tree.stat("usr/lib/azure-provisioning/provision.py").uid == 0


@pytest.mark.long
def test_a_user_without_sub_ids_is_refused_before_anything_is_copied(
    ext4: Path, users_folder: Path, as_user: AsUser
) -> None:
    shutil.copy(ext4, users_folder / "in.img")
    for words in (("prepare", "in.img", "--to", "out.img"), ("generalize", "in.img", "--in-place"),
                  ("build", "in.img", "-o", "out.vhd")):  # fmt: skip
        done = as_user(users_folder, *words, sub_ids="")
        assert done.returncode == 3 and "nobody has one user id only" in done.stderr, done.stderr
        assert "usermod --add-subuids" in done.stderr
    assert [path.name for path in users_folder.iterdir()] == ["in.img"]


@pytest.mark.long
def test_an_ordinary_user_is_told_when_root_is_needed(
    tmp_path: Path, users_folder: Path, as_user: AsUser, need: Callable[..., None]
) -> None:
    need("tool:mkfs.xfs", "tool:sfdisk", "file:/dev/loop-control")
    disk = users_folder / "disk.raw"
    disks.partitioned(disk, ROOT_AT + 320 * MIB + MIB)
    with disks.loop(disk, ROOT_AT, 320 * MIB) as device:
        run(["mkfs.xfs", "-q", device])
    done = as_user(users_folder, "prepare", "disk.raw", "--dry-run")
    assert done.returncode == 3
    assert "xfs can only be mounted by root" in done.stderr


@pytest.mark.long
def test_an_ordinary_user_prepares_a_tree(users_folder: Path, as_user: AsUser) -> None:
    root = disks.tree(users_folder / "tree", "")
    subprocess.run(["chown", "-R", "65534:65534", root], check=True)
    done = as_user(users_folder, "prepare", "tree")
    assert done.returncode == 0, done.stderr
    assert not (root / "etc/waagent.conf").exists()
    assert (root / "usr/lib/azure-provisioning/provision.py").stat().st_uid == 65534
    (root / "etc/waagent.conf").write_text("")
    shutil.rmtree(root / "usr/lib/azure-provisioning")
    subprocess.run(["chown", "-R", "200000:200000", root], check=True)  # as mmdebstrap leaves it: root is a sub-id
    done = as_user(users_folder, "prepare", "tree")
    assert done.returncode == 0, done.stderr
    owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in root.rglob("*")}
    assert owners == {(200000, 200000)}, "what is put in belongs to the tree's root"
    assert not (root / "etc/waagent.conf").exists() and (root / "usr/lib/azure-provisioning/provision.py").exists()
    subprocess.run(["chown", "-R", "0:0", root], check=True)
    refused = as_user(users_folder, "prepare", "tree")
    assert refused.returncode == 3
    assert "needs root" in refused.stderr


@pytest.mark.long
def test_a_disk_is_changed_only_as_asked(ext4: Path, azready: Azready, need: Callable[..., None]) -> None:
    need("ids")
    before = digest(ext4)
    assert azready("prepare", ext4).returncode == 2
    assert azready("prepare", ext4, "--in-place", "--to", ext4.with_name("x")).returncode == 2
    assert azready("prepare", ext4, "--to", ext4).returncode == 2
    assert digest(ext4) == before


@pytest.mark.long
@pytest.mark.parametrize("kind", ["raw", "qcow2"])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_killed_run_leaves_nothing_and_the_next_completes(
    ext4: Path, tmp_path: Path, azready: Azready, kind: str, in_place: bool, need: Callable[..., None]
) -> None:
    need("root", "tool:qemu-img", "tool:qemu-storage-daemon", "file:/dev/fuse", "file:/dev/loop-control")
    disk, out = tmp_path / "in.img", tmp_path / "out.img"
    run(["qemu-img", "convert", "-O", kind, ext4, disk])
    before = digest(disk)
    words = ["prepare", str(disk), *(["--in-place"] if in_place else ["--to", str(out)])]
    process = subprocess.Popen(
        [sys.executable, "-m", "azready", *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "provision.py" in line:
            break
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while str(tmp_path) in run(["losetup", "--list", "--output", "BACK-FILE"]).stdout + _commands():
        assert time.monotonic() < deadline, f"left: {_commands()}"
        time.sleep(0.05)
    assert not out.exists()
    assert in_place or digest(disk) == before
    done = azready(*words)
    assert done.returncode == 0, done.stderr
    with open_disk(disk if in_place else out, write=False) as tree:
        assert not tree.exists("etc/waagent.conf")
        assert tree.exists("usr/lib/azure-provisioning/provision.py")
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".azready")]


def _commands() -> str:
    """The command lines of the programs that show disks."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it ended meanwhile
    return "\n".join(line for line in lines if "qemu-storage-daemon" in line or "fuse2fs" in line)
