"""Package databases: made by the real rpm, pacman and dpkg; apk's and portage's after their documented layout."""

import shutil
import sqlite3
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.image.facts.distro import FAMILIES, FAMILY_OF, Family
from azready.image.facts.packages import BrokenDatabase, read_packages
from azready.image.facts.packages.managers import MANAGERS
from azready.image.facts.packages.model import Manager
from azready.image.removal.managers import WITH_CARE
from azready.image.targets.tree import Tree
from tests.image.sample import Sample

PAGE = Path(__file__).parents[2] / "docs/check.md"
SPEC = """\
Name: {name}
Version: {version}
Release: 3
Epoch: {epoch}
Summary: x
License: MIT
BuildArch: noarch
%description
x
%files
"""


def _packages(root: Path) -> dict[str, str]:
    with Tree(root) as tree:
        return dict(read_packages(tree).versions)


@pytest.fixture(scope="module")
def rpms(tmp_path_factory: pytest.TempPathFactory, need: Callable[..., None]) -> list[Path]:
    """Real, empty packages."""
    need("tool:rpmbuild", "tool:rpm")
    top = tmp_path_factory.mktemp("rpmbuild")
    for name, version, epoch in (("WALinuxAgent", "2.11.1", 0), ("bash", "5.2", 2), ("x-" + "y" * 200, "1", 0)):
        spec = top / f"{name}.spec"
        spec.write_text(SPEC.format(name=name, version=version, epoch=epoch))
        subprocess.run(
            ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {top}", spec], check=True, capture_output=True
        )
    return sorted(top.glob("RPMS/noarch/*.rpm"))


def _database(rpms: list[Path], folder: Path) -> Path:
    """An SQLite database made by rpm itself."""
    defines = ["--define", "_db_backend sqlite", "--dbpath", str(folder)]
    subprocess.run(["rpm", *defines, "-i", "--justdb", "--nodeps", *rpms], check=True, capture_output=True)
    return folder / "rpmdb.sqlite"


def _headers(rpms: list[Path], folder: Path) -> list[bytes]:
    """The header blobs that rpm stores, the same in every kind of database."""
    connection = sqlite3.connect(_database(rpms, folder))
    return [row[0] for row in connection.execute("SELECT blob FROM Packages")]


def test_the_database_of_fedora_and_rhel_9_is_read(rpms: list[Path], tmp_path: Path) -> None:
    _database(rpms, tmp_path / "usr/lib/sysimage/rpm")
    assert _packages(tmp_path) == {"WALinuxAgent": "2.11.1-3", "bash": "2:5.2-3", "x-" + "y" * 200: "1-3"}


def test_the_database_of_suse_is_read(rpms: list[Path], tmp_path: Path) -> None:
    """Its headers are rpm's own; the file around them is written after rpmpkg.c, as Debian's rpm has no ndb."""
    slots, blobs = b"", b""
    for number, header in enumerate(_headers(rpms, tmp_path / "source"), 1):
        blob = struct.pack("<4sIII", b"BlbS", number, 1, len(header)) + header
        blob += (
            bytes(-len(blob) % 16) + struct.pack("<III", 0, len(header), int.from_bytes(b"BlbE", "little")) + bytes(4)
        )
        slots += struct.pack("<4sIII", b"Slot", number, (4096 + len(blobs)) // 16, len(blob) // 16)
        blobs += blob
    empty = struct.pack("<4sIII", b"Slot", 0, 0, 0)
    head = struct.pack("<4sIIII", b"RpmP", 0, 1, 1, 4).ljust(32, b"\0") + slots
    head += empty * ((4096 - len(head)) // 16)
    Sample(tmp_path / "root").write("usr/lib/sysimage/rpm/Packages.db", head + blobs)
    assert _packages(tmp_path / "root") == {"WALinuxAgent": "2.11.1-3", "bash": "2:5.2-3", "x-" + "y" * 200: "1-3"}


def test_a_database_with_a_write_ahead_log_is_read_whole(rpms: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "var/lib/rpm"
    connection = sqlite3.connect(_database(rpms[:1], folder))
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("DELETE FROM Packages")
    connection.commit()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy / "var/lib/rpm")  # while the log is not written back
    assert (copy / "var/lib/rpm/rpmdb.sqlite-wal").stat().st_size
    connection.close()
    assert _packages(copy) == {}


def test_the_database_of_rhel_8_is_read(rpms: list[Path], tmp_path: Path, need: Callable[..., None]) -> None:
    """Its headers are rpm's own, its file is made by Berkeley DB's own loader."""
    need("tool:db5.3_load")
    lines = ["VERSION=3", "format=bytevalue", "type=hash", "HEADER=END", " 00000000", " 04000000"]
    for number, blob in enumerate(_headers(rpms, tmp_path / "source"), 1):
        # As large as headers with file lists are: they lie on overflow pages.
        lines += [f" {number.to_bytes(4, 'little').hex()}", f" {(blob + bytes(20000)).hex()}"]
    target = tmp_path / "root/var/lib/rpm/Packages"
    target.parent.mkdir(parents=True)
    text = "\n".join([*lines, "DATA=END", ""])
    subprocess.run(["db5.3_load", str(target)], input=text.encode(), check=True, capture_output=True)
    assert _packages(tmp_path / "root") == {"WALinuxAgent": "2.11.1-3", "bash": "2:5.2-3", "x-" + "y" * 200: "1-3"}


def test_a_pacman_database_of_the_real_pacman_is_read(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:pacman", "tool:bsdtar")
    made = tmp_path / "made"
    made.mkdir()
    (made / ".PKGINFO").write_text("pkgname = cloud-init\npkgver = 24.1-2\narch = any\nsize = 0\n")
    package = tmp_path / "cloud-init-24.1-2-any.pkg.tar.zst"
    subprocess.run(["bsdtar", "-C", made, "-cf", package, "--zstd", ".PKGINFO"], check=True)
    root = tmp_path / "root"
    (root / "var/lib/pacman").mkdir(parents=True)
    config = tmp_path / "pacman.conf"
    config.write_text("[options]\nArchitecture = auto\nSigLevel = Never\nLocalFileSigLevel = Never\n")
    command = ["pacman", "--config", config, "--root", root, "--dbpath", root / "var/lib/pacman"]
    options = ["--logfile", tmp_path / "log", "--noconfirm", "--cachedir", tmp_path]
    done = subprocess.run([*command, *options, "-U", package], capture_output=True, text=True, check=False)
    if done.returncode and "root" in done.stderr and "perform" in done.stderr:
        pytest.skip("needs root for pacman: sudo make test")
    assert done.returncode == 0, done.stderr
    assert _packages(root) == {"cloud-init": "24.1-2"}


@pytest.mark.parametrize("manager", MANAGERS.values(), ids=lambda manager: manager.name)
def test_all_of_a_manager_is_known(manager: Manager) -> None:
    """What a new row may forget."""
    assert manager.purl and manager.databases and manager.hint
    assert bool(manager.remove) != (manager.name in WITH_CARE), "say how its packages go (remove)"
    assert bool(manager.suffix) == bool(manager.install_files) == bool(manager.installers)
    assert {"apt": "dpkg"}.get(manager.name, manager.name) in PAGE.read_text(), "docs/check.md does not name it"


def test_each_family_has_names_and_a_distribution() -> None:
    assert set(FAMILIES) == set(Family)
    assert set(FAMILY_OF.values()) == set(Family) - {Family.OTHER}


def test_dpkg_counts_only_what_is_installed(tmp_path: Path) -> None:
    Sample(tmp_path).write(
        "var/lib/dpkg/status",
        "Package: a\nStatus: install ok installed\nVersion: 1:2-3\nDescription: x\n Package: no\n\n"
        "Package: b\nStatus: deinstall ok config-files\nVersion: 1\n\n",
    )
    assert _packages(tmp_path) == {"a": "1:2-3"}


def test_apk_and_portage_are_read_by_their_layout(tmp_path: Path) -> None:
    """Written after apk-package(5) and the layout of var/db/pkg: neither tool is in Debian."""
    Sample(tmp_path / "alpine").write(
        "lib/apk/db/installed", "C:Q1x=\nP:tiny-cloud\nV:3.0.1-r0\nF:usr\n\nP:musl\nV:1.2\n"
    )
    assert _packages(tmp_path / "alpine") == {"tiny-cloud": "3.0.1-r0", "musl": "1.2"}
    Sample(tmp_path / "gentoo").write("var/db/pkg/app-emulation/cloud-init-24.1.3-r1/CONTENTS", "")
    assert _packages(tmp_path / "gentoo") == {"app-emulation/cloud-init": "24.1.3-r1"}


def _sqlite(*statements: str) -> bytes:
    connection = sqlite3.connect(":memory:")
    for each in statements:
        connection.execute(each)
    connection.commit()
    return connection.serialize()


def _endless_berkeley() -> bytes:
    """Its one value is 4 GiB long, on a page that names itself as the next."""
    page = (bytes(20) + struct.pack("<H", 2) + bytes(3) + b"\x0d" + struct.pack("<HH", 900, 500)).ljust(500, b"\0")
    page = (page + struct.pack("<B3xII", 3, 2, 0xFFFFFFFF)).ljust(512, b"\0")
    head = (bytes(12) + b"\x61\x15\x06\x00" + bytes(4) + struct.pack("<I", 512)).ljust(512, b"\0")
    return head + page + (bytes(16) + struct.pack("<IHH", 2, 1, 9) + bytes(2)).ljust(512, b"\0")


_ENDLESS = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t)"


@pytest.mark.parametrize(
    ("path", "data"),
    [
        (
            "var/lib/rpm/rpmdb.sqlite",
            _sqlite(f"CREATE VIEW Packages AS {_ENDLESS} SELECT zeroblob(1000) AS blob FROM t"),
        ),
        ("var/lib/rpm/rpmdb.sqlite", _sqlite("CREATE TABLE Packages (blob TEXT)", "INSERT INTO Packages VALUES ('x')")),
        (
            "var/lib/rpm/rpmdb.sqlite",
            _sqlite("CREATE TABLE Packages (a, blob AS (zeroblob(900000000)))", "INSERT INTO Packages VALUES (1)"),
        ),
        (
            "var/lib/rpm/Packages.db",  # 200 packages that are one piece of data
            b"RpmP"
            + bytes(8)
            + (1).to_bytes(4, "little")
            + bytes(16)
            + struct.pack("<4sIII", b"Slot", 1, 256, 1) * 200
            + struct.pack("<4sIII", b"Slot", 0, 0, 0) * 54
            + struct.pack("<4sIII", b"BlbS", 1, 0, 4000)
            + struct.pack(">IIIIII", 1, 9, 1000, 6, 0, 1)
            + b"bash".ljust(4000, b"\0"),
        ),
        ("var/lib/rpm/Packages", _endless_berkeley()),
        ("var/lib/dpkg/status", b"Status: install ok installed\nVersion: 1\n"),
        ("var/lib/rpm/rpmdb.sqlite", b"not a database"),
        ("var/lib/rpm/rpmdb.sqlite", b"SQLite format 3\0" + bytes(4080)),
        ("var/lib/rpm/Packages.db", b"RpmP" + bytes(28) + b"Slot" + b"\xff" * 40),
        ("var/lib/rpm/Packages.db", b"nonsense"),
        ("var/lib/rpm/Packages", bytes(100)),
    ],
)
def test_a_broken_database_is_said_to_be_broken(path: str, data: bytes, tmp_path: Path) -> None:
    if path.endswith("Packages.db") and len(data) > 20:
        data = data[:12] + (1).to_bytes(4, "little") + data[16:]
    Sample(tmp_path).write(path, data)
    with pytest.raises(BrokenDatabase, match=path):
        _packages(tmp_path)


def test_no_database_is_no_packages(tmp_path: Path) -> None:
    assert _packages(tmp_path) == {}
