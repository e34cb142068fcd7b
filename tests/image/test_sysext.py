"""The guest program as a system extension: what is in it, and that tools which did not make it read it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.errors import UsageFailure
from azready.image import sysext
from azready.installed import PROGRAM
from azready.proc import run

LISTING = {"squashfs": ["unsquashfs", "-lln"], "erofs": ["fsck.erofs"]}


@pytest.mark.parametrize("guest", ["python", "sh"])
def test_it_holds_nothing_but_usr_and_every_link_leads_somewhere(guest: sysext.Flavour, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    sysext.make(out, guest, "folder")
    assert [path.name for path in out.iterdir()] == ["usr"]
    assert all(path.exists() for path in out.rglob("*")), "a link leads nowhere"
    programs = {path.name for path in (out / PROGRAM).iterdir()}
    assert ("provision.py" in programs) is (guest == "python") and ("provision.sh" in programs) is (guest == "sh")
    release = (out / "usr/lib/extension-release.d/extension-release.mine").read_text()
    assert release == "ID=_any\nEXTENSION_RELOAD_MANAGER=1\n"


def test_what_it_starts_is_what_prepare_enables() -> None:
    """Of the units that the target wants, those that are there are those that the preset of the guest names."""
    entries = {entry.path.rpartition("/")[2]: entry for entry in sysext.entries("python", "x") if not entry.to}
    target = next(entry for name, entry in entries.items() if name.endswith("-extension.target"))
    lines = target.data.decode().splitlines()
    wanted = {unit for line in lines if line.startswith("Wants=") for unit in line.removeprefix("Wants=").split()}
    preset = next(entry for name, entry in entries.items() if name.endswith(".preset"))
    named = {line.split()[1] for line in preset.data.decode().splitlines() if line.startswith("enable")}
    assert wanted == named <= set(entries)


@pytest.mark.parametrize("form", ["squashfs", "erofs"])
def test_two_are_the_same_and_everything_in_them_is_roots(
    need: Callable[..., None], tmp_path: Path, form: sysext.Filesystem
) -> None:
    need("tool:mksquashfs", "tool:mkfs.erofs")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        sysext.make(tmp_path / folder / "x.raw", "sh", form)
    one, other = ((tmp_path / folder / "x.raw").read_bytes() for folder in ("a", "b"))
    assert one == other
    shown = run([*LISTING[form], tmp_path / "a/x.raw"]).stdout
    if form == "squashfs":
        rows = [line.split() for line in shown.splitlines() if "/" in line]
        assert rows and {row[1] for row in rows} == {"0/0"}
        assert any(row[0] == "-rwxr-xr-x" and row[-1].endswith(f"{PROGRAM}/provision.sh") for row in rows)


@pytest.mark.parametrize(
    ("name", "form", "says"),
    [
        ("x.img", "squashfs", "a file that ends in .raw"),
        ("x.raw", "folder", "a folder without .raw"),
        (".raw", "squashfs", "cannot be the name"),
        ("ä.raw", "erofs", "cannot be the name"),
        ("nix/x.raw", "squashfs", "is no folder"),
        ("there.raw", "squashfs", "exists"),
    ],
)
def test_a_name_that_systemd_would_not_take_is_refused(
    tmp_path: Path, name: str, form: sysext.Filesystem, says: str
) -> None:
    (tmp_path / "there.raw").write_text("mine")
    with pytest.raises(UsageFailure, match=says) as caught:
        sysext.make(tmp_path / name, "sh", form)
    assert caught.value.hint and (tmp_path / "there.raw").read_text() == "mine"


@pytest.mark.long
def test_the_command_lists_and_makes(tmp_path: Path) -> None:
    out = tmp_path / "x"
    words = [sys.executable, "-m", "azready", "sysext", str(out), "--format", "folder", "--guest", "sh"]

    def azready(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, *more], capture_output=True, text=True, check=False)

    assert f"/{PROGRAM}/provision.sh\n" in azready("--dry-run").stdout and not out.exists()
    assert azready().returncode == 0 and (out / PROGRAM / "provision.sh").stat().st_mode & 0o111


def test_a_folder_that_is_there_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/old").touch()
    sysext.make(tmp_path / "x", "sh", "folder", overwrite=True)
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["usr"]


MERGE = """
mount --make-rshared /; mount -t tmpfs tmpfs /run
systemd-sysext --root="$1" merge
ls "$1/$2"
"""


@pytest.mark.parametrize("form", ["squashfs", "erofs"])
def test_systemd_merges_the_file_under_its_own_name(
    need: Callable[..., None], tmp_path: Path, form: sysext.Filesystem
) -> None:
    """systemd-sysext of this machine, over a /usr of our own, in a mount namespace of its own."""
    need("root", "tool:systemd-sysext", "file:/dev/loop-control", "tool:mksquashfs", "tool:mkfs.erofs")
    for folder in ("usr/lib", "etc", "var/lib/extensions"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("ID=somebodys\nVERSION_ID=7\n")
    (tmp_path / "etc/os-release").symlink_to("../usr/lib/os-release")
    file = tmp_path / "var/lib/extensions/mine.raw"
    sysext.make(file, "sh", form)
    words = ["unshare", "--mount", "sh", "-euc", MERGE, "sh", tmp_path, PROGRAM]
    assert "provision.sh" in run(words).stdout
    file.rename(file.with_name("other.raw"))
    assert run(words, check=False).status != 0, "it has another name than it was made with"
