"""What is put in while an image is prepared: whose it is, where it goes, and what is refused."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.errors import Failure, UsageFailure
from azready.image import preparation
from azready.image.actions import Chown, MakeFolder, Run, Write
from azready.image.facts import Facts
from azready.image.parts.additions import Additions, parse, plan_additions
from azready.image.targets.tree import Tree
from tests.image.sample import good_image


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    (folder / "site/sub").mkdir(parents=True)
    (folder / "motd").write_text("hello\n")
    (folder / "motd").chmod(0o644)
    (folder / "site/sub/x").write_text("x")
    (folder / "site/away").symlink_to("/etc/shadow")
    (folder / "key.pub").write_text("ssh-ed25519 AAAA me\n")
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    root = tmp_path / "image"
    (root / "etc").mkdir(parents=True)
    (root / "home/me/.ssh").mkdir(parents=True)
    (root / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nme:x:1000:1001::/home/me:/bin/sh\nyou:x:1001:1001::/home/you:/bin/sh\n"
    )
    return root


def _plan(image: Path, wanted: Additions) -> dict[str, Write | MakeFolder]:
    with Tree(image) as files:
        return {each.path: each for each in plan_additions(files, wanted) if isinstance(each, Write | MakeFolder)}


def test_files_go_to_a_place_or_into_a_folder_and_links_stay_here(here: Path, image: Path) -> None:
    words = [f"{here}/motd:/etc/motd", f"{here}/motd:/etc", f"{here}/motd:/new/", f"{here}/site:/srv/"]
    actions = _plan(image, parse(words, (), ()))
    assert set(actions) == {"etc/motd", "new/motd", "srv/site", "srv/site/sub", "srv/site/sub/x"}
    motd = actions["etc/motd"]
    assert isinstance(motd, Write) and (motd.data, motd.mode, motd.uid, motd.gid) == (b"hello\n", 0o644, 0, 0)


def test_keys_are_added_once_and_the_users(here: Path, image: Path) -> None:
    (image / "home/me/.ssh/authorized_keys").write_text("ssh-rsa BBBB old")
    actions = _plan(image, parse((), (), [f"me:{here}/key.pub"]))
    keys = actions["home/me/.ssh/authorized_keys"]
    assert isinstance(keys, Write) and (keys.mode, keys.uid, keys.gid) == (0o600, 1000, 1001)
    assert keys.data == b"ssh-rsa BBBB old\nssh-ed25519 AAAA me\n"
    (image / "home/me/.ssh/authorized_keys").write_bytes(keys.data)
    again = _plan(image, parse((), (), [f"me:{here}/key.pub"]))["home/me/.ssh/authorized_keys"]
    assert isinstance(again, Write) and again.data == keys.data
    with Tree(image) as files:
        assert Chown("home/you/.ssh", 1001, 1001, "--ssh-inject") in plan_additions(
            files, parse((), (), [f"you:{here}/key.pub"])
        )


def test_a_key_within_a_longer_line_is_not_there_yet(here: Path, image: Path) -> None:
    (image / "home/me/.ssh/authorized_keys").write_text("# ssh-ed25519 AAAA me\n")
    keys = _plan(image, parse((), (), [f"me:{here}/key.pub"]))["home/me/.ssh/authorized_keys"]
    assert isinstance(keys, Write) and keys.data == b"# ssh-ed25519 AAAA me\nssh-ed25519 AAAA me\n"


def test_an_image_that_only_reports_gets_them_too(here: Path, tmp_path: Path) -> None:
    sample = good_image(tmp_path / "sample").write("usr/bin/curl", "", 0o755)
    shutil.rmtree(sample.root / "usr/lib/azure-provisioning")
    with Tree(sample.root) as files:
        facts = Facts(files)
        options = preparation.Options(report_only=True, added=parse([f"{here}/motd:/etc/motd"], ["true"], ()))
        actions = preparation.plan(facts, options).actions
    assert [each.path for each in actions if isinstance(each, Write) and each.path == "etc/motd"]
    assert Run(("sh", "-c", "true"), title="run in the image", why="--run") in actions


@pytest.mark.parametrize("option", [["--firewall"], ["--grow"], ["--set", "GROW=yes"]])
def test_what_an_image_that_only_reports_has_no_use_for_is_refused(image: Path, option: list[str]) -> None:
    words = [sys.executable, "-m", "azready", "prepare", image, "--report-only", "--dry-run", *option]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and f"no use for {option[0]}" in done.stderr


@pytest.mark.parametrize("link", ["home/me/.ssh", "home/me/.ssh/authorized_keys"])
def test_a_user_who_leads_the_keys_elsewhere_gets_nothing(here: Path, image: Path, link: str) -> None:
    place = image / link
    if place.is_dir():
        place.rmdir()
    place.symlink_to("/etc")
    with pytest.raises(Failure, match="leads elsewhere"):
        _plan(image, parse((), (), [f"me:{here}/key.pub"]))
    with pytest.raises(Failure, match="no user nobody-here"):
        _plan(image, parse((), (), [f"nobody-here:{here}/key.pub"]))


@pytest.mark.parametrize("word", ["motd", ":/etc", "motd:", "motd:etc", "motd:/etc/../..", "absent:/etc"])
def test_what_is_not_so_is_refused_with_the_form(here: Path, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    with pytest.raises(UsageFailure):
        parse([word], (), ())


def test_commands_come_last(image: Path, here: Path) -> None:
    with Tree(image) as files:
        actions = plan_additions(files, parse([f"{here}/motd:/etc/motd"], ["touch /x"], ()))
    assert isinstance(actions[-1], Run) and actions[-1].argv == ("sh", "-c", "touch /x")


def test_prepare_puts_them_into_a_real_tree(debian_tree: Callable[..., Path], here: Path) -> None:
    tree = debian_tree("bookworm", "python3-minimal")
    words = [sys.executable, "-m", "azready", "prepare", str(tree), "--copy-in", f"{here}/motd:/srv/"]
    words += ["--run", "cat /srv/motd >/srv/made; ! ls /sys/class/net/eth0"]
    done = subprocess.run([*words, "--ssh-inject", f"root:{here}/key.pub"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tree / "srv/made").read_text() == "hello\n"
    assert (tree / "root/.ssh/authorized_keys").read_text() == "ssh-ed25519 AAAA me\n"
    failed = subprocess.run([*words, "--run", "exit 3"], capture_output=True, text=True, check=False)
    assert failed.returncode == 3 and "exit 3" in failed.stderr


def test_generalize_lists_all_that_it_may_do() -> None:
    words = [sys.executable, "-m", "azready", "generalize", "--list"]
    seals = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    with_fix = subprocess.run([*words, "--fix"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert any(line.startswith("P12 ") for line in seals) and set(seals) < set(with_fix)
