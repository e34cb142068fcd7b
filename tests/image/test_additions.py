"""What is put in while an image is prepared: whose it is, where it goes, in which order, and what is refused."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import typer

from azready.cli.additions import InOrder, additions
from azready.errors import Failure, UsageFailure
from azready.image import preparation
from azready.image.actions import Action, AddKeys, MakeFolder, Remove, Run, Write
from azready.image.apply import apply
from azready.image.facts import Facts
from azready.image.parts.additions import (
    Addition,
    Command,
    CopyIn,
    Install,
    Keys,
    described,
    parse,
    plan_additions,
    sources,
)
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
    for name in ("app.deb", "app.rpm", "app.apk", "app.pkg.tar.zst"):
        (folder / name).write_bytes(b"package")
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


def _plan(image: Path, wanted: Sequence[Addition]) -> tuple[Action, ...]:
    with Tree(image) as files:
        return plan_additions(Facts(files), wanted)


def _files(image: Path, wanted: Sequence[Addition]) -> dict[str, Write | MakeFolder]:
    return {each.path: each for each in _plan(image, wanted) if isinstance(each, Write | MakeFolder)}


def _copies(*words: str) -> tuple[Addition, ...]:
    return parse(("--copy-in", word) for word in words)


def test_files_go_to_a_place_or_into_a_folder_and_links_stay_here(here: Path, image: Path) -> None:
    (image / "usr/bin").mkdir(parents=True)
    (image / "bin").symlink_to("usr/bin")
    words = [f"{here}/motd:/etc/motd", f"{here}/motd:/etc", f"{here}/motd:/new/", f"{here}/site:/srv/"]
    actions = _files(image, _copies(*words, f"{here}/motd:/bin"))
    assert set(actions) == {"etc/motd", "new/motd", "bin/motd", "srv/site", "srv/site/sub", "srv/site/sub/x"}
    motd = actions["etc/motd"]
    assert isinstance(motd, Write) and (motd.data, motd.mode, motd.uid, motd.gid) == (b"hello\n", 0o644, 0, 0)


def test_a_file_goes_into_a_folder_that_something_before_it_makes(
    here: Path, image: Path, need: Callable[..., None]
) -> None:
    need("root")
    wanted = _copies(f"{here}/site:/srv/www", f"{here}/motd:/srv/www", f"{here}/motd:/srv/other")
    with Tree(image) as tree:
        apply(_plan(image, wanted), tree)
    assert (image / "srv/www/motd").read_text() == (image / "srv/other").read_text() == "hello\n"
    assert (image / "srv/www/sub/x").read_text() == "x"


def test_keys_are_added_once_and_the_users(here: Path, image: Path, need: Callable[..., None]) -> None:
    need("root")
    keys = image / "home/me/.ssh/authorized_keys"
    keys.write_text("# ssh-ed25519 AAAA me\nssh-rsa BBBB old")
    wanted = parse([("--ssh-inject", f"me:{here}/key.pub"), ("--ssh-inject", f"you:{here}/key.pub")])
    with Tree(image) as tree:
        assert [each.changed for each in apply(plan_additions(Facts(tree), wanted), tree)] == [True, True]
        assert [each.changed for each in apply(plan_additions(Facts(tree), wanted), tree)] == [False, False]
    assert keys.read_text() == "# ssh-ed25519 AAAA me\nssh-rsa BBBB old\nssh-ed25519 AAAA me\n"
    for path, mode in ((keys, 0o600), (image / "home/you/.ssh", 0o700)):
        status = path.stat()
        assert (status.st_mode & 0o7777, status.st_gid) == (mode, 1001)


def test_an_image_that_only_reports_gets_them_too(here: Path, tmp_path: Path) -> None:
    sample = good_image(tmp_path / "sample").write("usr/bin/curl", "", 0o755)
    shutil.rmtree(sample.root / "usr/lib/azure-provisioning")
    with Tree(sample.root) as files:
        facts = Facts(files)
        options = preparation.Options(report_only=True, added=(*_copies(f"{here}/motd:/etc/motd"), Command("true")))
        actions = preparation.plan(facts, options).actions
    assert [each.path for each in actions if isinstance(each, Write) and each.path == "etc/motd"]
    assert Run(("sh", "-c", "true"), title="run in the image", why="--run") in actions


@pytest.mark.long
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
    with Tree(image) as tree, pytest.raises(Failure, match="leads elsewhere"):
        apply([AddKeys("me", ("key",))], tree)


def test_a_user_may_be_made_by_what_runs_before(here: Path, image: Path) -> None:
    keys = Keys("new", here / "key.pub")
    assert AddKeys("new", ("ssh-ed25519 AAAA me",), "--ssh-inject") in _plan(image, (Command("useradd new"), keys))
    with pytest.raises(Failure, match="no user new"):
        _plan(image, (keys, Command("useradd new")))


@pytest.mark.parametrize(
    "content",
    [
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n",
        b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAAB3Nz\n---- END SSH2 PUBLIC KEY ----\n",
        b"PuTTY-User-Key-File-3: ssh-rsa\nAAAA\n",
        b"\xff\xfe\0k",
        b"# ssh-rsa AAAA me\n",
        b"\n",
    ],
)
def test_what_is_no_public_key_is_not_put_in(here: Path, image: Path, content: bytes) -> None:
    (here / "key").write_bytes(content)
    with pytest.raises(Failure, match="no public key"):
        _plan(image, (Keys("me", here / "key"),))


@pytest.mark.parametrize(
    ("option", "word"),
    [
        *(("--copy-in", word) for word in ("motd", ":/etc", "motd:", "motd:etc", "motd:/etc/../..", "absent:/etc")),
        *(("--install", word) for word in ("", "-o", "a,--force", "a b", "absent.deb", "$(id)", "../x")),
        *(("--ssh-inject", word) for word in ("me", "me:", "me:absent", "me:site")),
    ],
)
def test_what_is_not_so_is_refused_with_the_form(
    here: Path, option: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    with pytest.raises(UsageFailure):
        parse([(option, word)])


def _asked(*words: str) -> tuple[Addition, ...]:
    """What a command line asks for."""
    found: list[Addition] = []
    app = typer.Typer()

    @app.command(cls=InOrder)
    def main(ctx: typer.Context, install: list[str] = [], run: list[str] = [], copy_in: list[str] = []) -> None:  # noqa: B006
        found.extend(additions(ctx, install=install, run=run, copy_in=copy_in))

    typer.main.get_command(app)(words, standalone_mode=False)
    return tuple(found)


def test_the_order_of_the_command_line_is_kept(here: Path) -> None:
    motd, app = f"{here}/motd:/etc/", f"{here}/app.deb"
    asked = _asked(
        "--run",
        "a",
        "--install",
        "x,y",
        f"--install={app}",
        "--install",
        "x",
        "--copy-in",
        motd,
        "--run=b",
        "--install",
        "z",
    )
    assert asked == (
        Command("a"),
        Install(("x", "y"), (here / "app.deb",)),
        CopyIn(here / "motd", "/etc/"),
        Command("b"),
        Install(("z",)),
    )
    assert _asked() == ()
    assert list(described(asked))[:2] == ["run in the image: a", f"install x, y, {app}"]


def test_another_content_of_what_is_put_in_is_another_build(here: Path) -> None:
    wanted = parse([("--copy-in", f"{here}/site:/srv/"), ("--install", f"{here}/app.deb"), ("--run", "x")])
    before = sources(wanted)
    (here / "site/sub/x").write_text("another")
    assert len(before) == 5 and sources(wanted) != before


STATUS = {
    "apt": ("var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nVersion: 1\n\n"),
    "apk": ("lib/apk/db/installed", "P:a\nV:1\n\n"),
    "pacman": ("var/lib/pacman/local/a-1/desc", "%NAME%\na\n\n%VERSION%\n1\n"),
}


def _with(image: Path, manager: str, *programs: str) -> Path:
    path, text = STATUS[manager]
    for name, content in ((path, text), *((f"usr/bin/{program}", "") for program in programs)):
        (image / name).parent.mkdir(parents=True, exist_ok=True)
        (image / name).write_text(content)
        (image / name).chmod(0o755)
    return image


@pytest.mark.parametrize(
    ("manager", "program", "file"),
    [("apt", "apt-get", "app.deb"), ("apk", "apk", "app.apk"), ("pacman", "pacman", "app.pkg.tar.zst")],
)
def test_only_names_get_a_network_and_files_leave_nothing(
    here: Path, image: Path, manager: str, program: str, file: str
) -> None:
    actions = _plan(_with(image, manager, program), (Install(("nginx",), (here / file,)),))
    runs = [each for each in actions if isinstance(each, Run)]
    assert [(each.argv[0], each.network) for each in runs] == [(program, True), (program, True), (program, False)]
    assert runs[1].argv[-1] == "nginx" and runs[2].argv[-1] == f"/var/cache/azready/{file}"
    assert Remove("var/cache/azready", "--install") in actions


def test_what_this_image_cannot_install_is_said_beforehand(here: Path, image: Path) -> None:
    with pytest.raises(Failure, match="no package manager"):
        _plan(image, (Install(("nginx",)),))
    _with(image, "apt")
    with pytest.raises(Failure, match=r"no program that installs by name \(apt-get\)"):
        _plan(image, (Install(("nginx",)),))
    with pytest.raises(Failure, match="not a package of this image's kind"):
        _plan(image, (Install(files=(here / "app.rpm",)),))
    assert any(
        isinstance(each, Run) and each.argv[0] == "dpkg"
        for each in _plan(image, parse([("--install", f"{here}/app.deb")]))
    )


@pytest.mark.long
def test_generalize_lists_all_that_it_may_do() -> None:
    words = [sys.executable, "-m", "azready", "generalize", "--list"]
    seals = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    with_fix = subprocess.run([*words, "--fix"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert any(line.startswith("P12 ") for line in seals) and set(seals) < set(with_fix)
