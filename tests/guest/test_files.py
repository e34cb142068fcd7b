# ruff: noqa: E501 (tables)
"""What the guest does to files: whole or not at all, with the mode and the owner that are due, on the disk in time."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.guest.conftest import KEY, Live

Need = Callable[..., None]


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """What is made has the mode that is due under any umask."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return path.lstat().st_mode & 0o7777


def _seen(folder: Path) -> dict[str, object]:
    """Each path below a folder: its mode, and its text or where it leads."""
    return {
        str(path.relative_to(folder)): (oct(_mode(path)), path.read_text() if path.is_file() else "")
        if not path.is_symlink()
        else str(path.readlink())
        for path in sorted(folder.rglob("*"))
    }


def test_a_file_is_written_once_and_its_folder_synced_once(guest: ModuleType, live: Live) -> None:
    live.plant({"etc/": ""})
    tree = live.tree
    assert tree.write("/etc/x", b"one")
    assert (_mode(live.root / "etc/x"), tree._unsynced) == (0o644, {"/etc"})
    tree.sync()
    assert tree._unsynced == set()
    assert not tree.write("/etc/x", b"one") and tree._unsynced == set()
    assert tree.write("/etc/x", b"two") and (live.root / "etc/x").read_text() == "two"
    assert tree.write("/etc/x", b"two", 0o600) and _mode(live.root / "etc/x") == 0o600
    assert not tree.write("/etc/x", b"two", None) and tree.write("/etc/x", b"twofold", None)
    assert _mode(live.root / "etc/x") == 0o600
    assert tree.write("/etc/new", b"", None) and _mode(live.root / "etc/new") == 0o644
    (live.root / "etc/link").symlink_to("x")
    assert tree.write("/etc/link", b"twofold", 0o600) and not (live.root / "etc/link").is_symlink()
    assert live.tree.names("/etc") == ["link", "new", "x"]


def test_what_a_check_refuses_is_not_written(guest: ModuleType, live: Live) -> None:
    live.plant({"etc/x": "old"})
    asked = []

    def check(path: str) -> None:
        asked.append((path, Path(path).read_text()))
        raise ValueError

    with pytest.raises(ValueError):
        live.tree.write("/etc/x", b"new", check=check)
    assert asked == [(f"{live.root}/etc/.x.azp-tmp", "new")]
    assert _seen(live.root / "etc")["x"] == ("0o600", "old") and live.tree.names("/etc") == ["x"]
    (live.root / "etc/.x.azp-tmp").write_text("left by a power cut")
    live.tree.write("/etc/x", b"new")
    assert _seen(live.root / "etc") == {"x": ("0o644", "new")}


def test_a_file_that_is_written_anew_keeps_its_owner(guest: ModuleType, live: Live, need: Need) -> None:
    need("root")
    live.plant({"etc/x": "old"})
    os.chown(live.root / "etc/x", 5, 6)
    assert live.tree.rewrite("/etc/x", "new\udcff")
    assert (live.root / "etc/x").stat()[4:6] == (5, 6) and (live.root / "etc/x").read_bytes() == b"new\xff"
    assert live.tree.write("/etc/y", b"", 0o640, None, (7, 8)) and (live.root / "etc/y").stat()[4:6] == (7, 8)


def test_folders_are_made_with_their_parents(guest: ModuleType, live: Live) -> None:
    live.tree.folder("/var/lib/a", 0o700)
    assert [_mode(live.root / path) for path in ("var", "var/lib", "var/lib/a")] == [0o755, 0o755, 0o700]
    assert live.tree._unsynced == {"/", "/var", "/var/lib"}
    live.tree.sync()
    live.tree.folder("/var/lib/a", 0o750)
    live.tree.folder("/run/a", 0o711)
    assert (_mode(live.root / "var/lib/a"), _mode(live.root / "run/a")) == (0o750, 0o711)
    assert live.tree._unsynced == {"/"}, "what is in /run needs no disk"
    live.tree.dry_run = True
    live.tree.folder("/srv", 0o755)
    live.tree.folder("/run/a", 0o700)
    assert not (live.root / "srv").exists() and _mode(live.root / "run/a") == 0o711


def test_reading_has_an_end_and_knows_no_failure(guest: ModuleType, live: Live) -> None:
    live.plant({"etc/x": "abc" * 50000, "etc/y": "one"})
    tree = live.tree
    assert len(tree.read("/etc/x")) == 150000 and len(tree.read("/etc/x", 70000)) == 70000
    assert tree.read("/etc/x", 4) == b"abca"
    assert (tree.read("/etc"), tree.read("/no"), tree.text("/no"), tree.text("/etc\0")) == (None, None, "", "")
    assert (tree.names("/etc"), tree.names("/no"), tree.exists("/etc/y"), tree.exists("/etc/z")) == (
        ["x", "y"],
        [],
        True,
        False,
    )
    os.mkfifo(live.root / "etc/pipe")
    assert tree.read("/etc/pipe") == b""
    assert not tree.is_fixed("/etc") and not tree.is_fixed("/no")


def test_removing_and_linking(guest: ModuleType, live: Live, capfd: pytest.CaptureFixture[str]) -> None:
    live.plant({"etc/x": "", "etc/gone": "-> nowhere"})
    live.tree.link("/etc/x", "/etc/y")
    assert live.tree._unsynced == {"/etc"} and (live.root / "etc/y").stat().st_nlink == 2
    assert (live.tree.remove("/etc/y"), live.tree.remove("/etc/gone"), live.tree.remove("/etc/gone")) == (
        True,
        True,
        False,
    )
    live.tree.dry_run = True
    assert live.tree.remove("/etc/x") and live.tree.exists("/etc/x")
    assert live.tree.write("/etc/z", b"") and not live.tree.exists("/etc/z")
    assert capfd.readouterr().err == "would remove /etc/x\nwould write /etc/z\n"
    assert (guest.Tree("/", False).root, guest.Tree("/", False).live) == ("", True)
    assert (guest.Tree("/x/", False).root, guest.Tree("/x/", False).live) == ("/x", False)


SKELETON = {
    "etc/skel/.bashrc": "rc",
    "etc/skel/.config/app/set": "on",
    "etc/skel/link": "-> .bashrc",
    "etc/skel/own": "skel",
}


def _owner(guest: ModuleType) -> Any:
    ids = (4321, 4322) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    return guest.Account("ada", *ids, "/home/ada", "/bin/sh")


def test_a_home_that_was_cut_off_is_completed(guest: ModuleType, live: Live, capfd: pytest.CaptureFixture[str]) -> None:
    live.plant({**SKELETON, "home/ada/.bashrc": "", "home/ada/own": "mine", "etc/login.defs": "HOME_MODE 0750\n"})
    (live.root / "etc/skel/.bashrc").chmod(0o640)
    (live.root / "etc/skel/own").chmod(0o640)
    (live.root / "etc/skel/.config").chmod(0o2751)
    os.mkfifo(live.root / "etc/skel/pipe")
    owner, home = _owner(guest), live.root / "home/ada"
    home.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(home, 9, 9)
    assert guest._settle_home(live.tree, owner, True) == ""
    assert _mode(home) == 0o750
    assert _seen(home) == {
        ".bashrc": ("0o640", "rc"),
        ".config": ("0o2751", ""),
        ".config/app": ("0o700", ""),
        ".config/app/set": ("0o600", "on"),
        "link": ".bashrc",
        "own": ("0o600", "mine"),
    }
    theirs = {path.lstat()[4:6] for path in (home, *home.rglob("*")) if path.name != "own"}
    assert theirs == {(owner.uid, owner.gid)}
    said = capfd.readouterr().err
    assert said == ("warning: /home/ada belonged to uid 9: it is ada's from now on\n" if os.geteuid() == 0 else "")
    before = _seen(home)
    assert guest._settle_home(live.tree, owner, True) == "" and _seen(home) == before
    assert capfd.readouterr().err == ""


def test_what_is_in_the_way_in_a_home_stays(guest: ModuleType, live: Live) -> None:
    live.plant({**SKELETON, "home/ada/.config": "a file", "home/ada/link/": "", "home/ada/own": "-> x"})
    guest._settle_home(live.tree, _owner(guest), True)
    seen = _seen(live.root / "home/ada")
    assert (seen[".config"], seen["link"], seen["own"]) == (("0o600", "a file"), ("0o700", ""), "x")


@pytest.mark.parametrize(
    ("mode", "after", "said"),
    [
        (0o755, 0o755, ""),
        (0o777, 0o755, "others could write into /home/ada, and sshd would refuse its keys: it has mode 755 from now on"),
        (0o2775, 0o2755, "others could write into /home/ada, and sshd would refuse its keys: it has mode 2755 from now on"),
        (0o702, 0o700, "others could write into /home/ada, and sshd would refuse its keys: it has mode 700 from now on"),
    ],
)  # fmt: skip
def test_nobody_else_writes_into_a_home(
    guest: ModuleType, live: Live, capfd: pytest.CaptureFixture[str], mode: int, after: int, said: str
) -> None:
    live.plant({**SKELETON, "home/ada/": ""})
    owner = guest.Account("ada", os.getuid(), os.getgid(), "/home/ada", "/bin/sh")
    (live.root / "home/ada").chmod(mode)
    assert guest._settle_home(live.tree, owner, False) == ""
    assert _mode(live.root / "home/ada") == after and not _seen(live.root / "home/ada")
    assert capfd.readouterr().err == (f"warning: {said}\n" if said else "")


def test_a_home_that_is_gone_is_made_anew(guest: ModuleType, live: Live, capfd: pytest.CaptureFixture[str]) -> None:
    live.plant({**SKELETON, "home": "-> data/people", "data/": ""})
    live.tree.dry_run = True
    assert guest._settle_home(live.tree, _owner(guest), False) == ""
    assert capfd.readouterr().err == "would make /home/ada\n"
    live.tree.dry_run = False
    assert guest._settle_home(live.tree, _owner(guest), False) == ", home made anew"
    assert _mode(live.root / "home/ada") == 0o755 and "link" in _seen(live.root / "home/ada")


def test_what_was_copied_reaches_the_disk(guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    live.plant({**SKELETON, "home/ada/.bashrc": "rc", "home/ada/.config/app/set": "", "home/ada/other": "x"})
    live.plant({"home/ada/link": "-> .bashrc"})
    synced: list[str] = []
    monkeypatch.setattr(
        guest.posix, "fsync", lambda number: synced.append(str(Path(f"/proc/self/fd/{number}").readlink()))
    )
    guest._sync_copied(live.tree, "/etc/skel", "/home/ada")
    live.tree.sync()
    short = [path.removeprefix(f"{live.root}/home/ada") for path in synced]
    assert short == ["/.bashrc", "", "/.config", "/.config/app"]


@pytest.mark.parametrize(
    ("path", "nodes", "made"),
    [
        ("/home/ada/.ssh/authorized_keys", {}, {".ssh": (0o700, True), ".ssh/authorized_keys": (0o600, True)}),
        ("/home/ada/.ssh/./a/keys", {}, {".ssh": (0o700, True), ".ssh/a": (0o700, True), ".ssh/a/keys": (0o600, True)}),
        ("/home/ada/.ssh/authorized_keys", {".ssh/authorized_keys": "# mine"}, {".ssh": (0o700, True), ".ssh/authorized_keys": (0o600, True)}),
        ("/etc/keys/ada", {}, {"/etc/keys": (0o755, False), "/etc/keys/ada": (0o600, True)}),
        ("/etc/keys/all", {}, {"/etc/keys": (0o755, False), "/etc/keys/all": (0o644, False)}),
        ("/etc/keys/all", {"/etc/keys/all": "# all"}, {"/etc/keys": (0o711, False), "/etc/keys/all": (0o644, False)}),
    ],
)  # fmt: skip
def test_where_keys_go_and_with_what_modes(
    guest: ModuleType, live: Live, need: Need, path: str, nodes: dict[str, str], made: dict[str, tuple[int, bool]]
) -> None:
    need("root")
    at = {name: name if name[0] == "/" else f"/home/ada/{name}" for name in {**nodes, **made}}
    live.plant({"home/ada/": "", "etc/": "", **{at[name]: text for name, text in nodes.items()}})
    owner = _owner(guest)
    assert guest.add_keys(live.tree, path, owner, [KEY]) == 1
    for name, (mode, theirs) in made.items():
        place = live.root / at[name].lstrip("/")
        assert oct(_mode(place)) == oct(mode), name
        assert place.stat()[4:6] == ((owner.uid, owner.gid) if theirs else (0, 0)), name
    written = (live.root / path.lstrip("/")).read_text()
    assert written == "".join(f"{line}\n" for line in (*nodes.values(), KEY))
    changed = (live.root / path.lstrip("/")).stat().st_ino
    assert guest.add_keys(live.tree, path, owner, [KEY]) == 0
    assert (live.root / path.lstrip("/")).stat().st_ino == changed


def test_keys_that_are_there_are_shut_to_others_again(guest: ModuleType, live: Live) -> None:
    live.plant({"home/ada/.ssh/": ""})
    (live.root / "home/ada/.ssh").chmod(0o755)
    owner = guest.Account("ada", os.getuid(), os.getgid(), "/home/ada/", "/bin/sh")
    assert guest.add_keys(live.tree, "/home/ada/.ssh/keys", owner, []) == 0
    assert _seen(live.root / "home/ada") == {".ssh": ("0o700", ""), ".ssh/keys": ("0o600", "")}


@pytest.mark.parametrize("path", ["/home/ada/../x", "/home/ada/a/../x", "/home/ada/", "/home/ada/a/..", "/home/ada/."])
def test_keys_go_nowhere_else(guest: ModuleType, live: Live, path: str) -> None:
    live.plant({"home/ada/a/": ""})
    with pytest.raises(guest.Failed) as raised:
        guest.add_keys(live.tree, path, guest.Account("ada", os.getuid(), os.getgid(), "/home/ada", ""), [KEY])
    assert raised.value.facts == (("error", f"AuthorizedKeysFile is {path}"),)


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ({".ssh": "-> ../x/"}, ".ssh is a symbolic link or no folder"),
        ({".ssh": "a file"}, ".ssh is a symbolic link or no folder"),
        ({".ssh/keys": "-> ../x"}, "keys is a symbolic link"),
        ({".ssh/keys/": ""}, "keys is no regular file"),
    ],
)
def test_keys_follow_no_link(guest: ModuleType, live: Live, nodes: dict[str, str], why: str) -> None:
    live.plant({"home/ada/": "", **{f"home/ada/{name}": text for name, text in nodes.items()}})
    owner = guest.Account("ada", os.getuid(), os.getgid(), "/home/ada", "")
    with pytest.raises(guest.Failed) as raised:
        guest.add_keys(live.tree, "/home/ada/.ssh/keys", owner, [KEY])
    assert (raised.value.reason, raised.value.facts) == ("failure in step keys", (("error", why),))


def test_a_dry_run_counts_keys_and_writes_none(
    guest: ModuleType, live: Live, capfd: pytest.CaptureFixture[str]
) -> None:
    live.tree.dry_run = True
    owner = guest.Account("ada", os.getuid(), os.getgid(), "/home/ada", "")
    assert guest.add_keys(live.tree, "/home/ada/.ssh/keys", owner, [KEY]) == 1
    live.plant({"home/ada/": ""})
    assert guest.add_keys(live.tree, "/home/ada/.ssh/keys", owner, [KEY]) == 1
    assert capfd.readouterr().err == "" and not _seen(live.root / "home/ada")
    live.plant({"home/ada/.ssh/": ""})
    (live.root / "home/ada/.ssh").chmod(0o711)
    assert guest.add_keys(live.tree, "/home/ada/.ssh/keys", owner, [KEY]) == 1
    assert capfd.readouterr().err == "would write /home/ada/.ssh/keys\n"
    assert _seen(live.root / "home/ada") == {".ssh": ("0o711", "")}
    (live.root / "home/ada").chmod(0o600)
    guest._open_home(live.tree, owner)
    assert _mode(live.root / "home/ada") == 0o600


@pytest.mark.parametrize(
    ("mode", "after"), [(0o000, 0o700), (0o070, 0o770), (0o011, 0o711), (0o100, 0o100), (0o700, 0o700), (0o600, 0o700)]
)
def test_a_home_that_is_closed_to_its_owner_is_opened(
    guest: ModuleType, live: Live, capfd: pytest.CaptureFixture[str], mode: int, after: int
) -> None:
    live.plant({"home/ada/": ""})
    (live.root / "home/ada").chmod(mode)
    guest._open_home(live.tree, guest.Account("ada", 1, 1, "/home/ada", ""))
    assert _mode(live.root / "home/ada") == after
    said = f"warning: /home/ada was closed to ada: it has mode {after:o} from now on\n"
    assert capfd.readouterr().err == (said if mode != after else "")


def test_keys_come_into_a_home_that_is_opened_for_them(guest: ModuleType, live: Live) -> None:
    live.plant({"home/ada/": ""})
    (live.root / "home/ada").chmod(0o070)
    owner = guest.Account("ada", os.getuid(), os.getgid(), "/home/ada", "/bin/sh")
    assert guest.add_keys(live.tree, "/home/ada/.ssh/keys", owner, [KEY]) == 1
    assert _mode(live.root / "home/ada") == 0o770


@pytest.mark.parametrize(("uid", "gid", "mode"), [(4321, 9, 0o600), (9, 4321, 0o644), (0, 0, 0o644)])
def test_a_file_of_keys_that_is_not_the_users_is_readable_for_all(
    guest: ModuleType, live: Live, need: Need, uid: int, gid: int, mode: int
) -> None:
    """sshd reads it as the user."""
    need("root")
    live.plant({"etc/keys/ada": "# there\n"})
    os.chown(live.root / "etc/keys/ada", uid, gid)
    (live.root / "etc/keys/ada").chmod(0o600)
    guest.add_keys(live.tree, "/etc/keys/ada", guest.Account("ada", 4321, 4322, "/home/ada", "/bin/sh"), [KEY])
    assert _mode(live.root / "etc/keys/ada") == mode and (live.root / "etc/keys/ada").stat()[4:6] == (uid, gid)


@pytest.mark.parametrize(
    ("mode", "after", "said"),
    [
        (0o700, 0o711, ""),
        (0o701, 0o701, ""),
        (0o755, 0o755, ""),
        (0o775, 0o775, "warning: others can write into /etc/keys: sshd refuses keys there\n"),
        (0o702, 0o713, "warning: others can write into /etc/keys: sshd refuses keys there\n"),
    ],
)
def test_sshd_gets_through_a_folder_of_keys(
    guest: ModuleType, live: Live, capfd: pytest.CaptureFixture[str], mode: int, after: int, said: str
) -> None:
    live.plant({"etc/keys/": ""})
    (live.root / "etc/keys").chmod(mode)
    guest._open_to_sshd(live.tree, "/etc/keys")
    assert (_mode(live.root / "etc/keys"), capfd.readouterr().err) == (after, said)


@pytest.mark.parametrize(
    ("place", "mode", "uid", "strict", "closed"),
    [
        (".ssh/authorized_keys", 0o600, 0, "yes", False),
        (".ssh/authorized_keys", 0o620, 0, "yes", True),
        (".ssh", 0o702, 0, "yes", True),
        (".ssh", 0o702, 0, "no", False),
        ("", 0o775, 0, "yes", True),
        ("", 0o755, 4321, "yes", False),
        ("", 0o755, 9, "yes", True),
        ("..", 0o777, 0, "yes", False),
    ],
)
def test_sshd_reads_no_keys_where_others_can_write(
    guest: ModuleType, live: Live, need: Need, place: str, mode: int, uid: int, strict: str, closed: bool
) -> None:
    need("root")
    live.plant({"home/ada/.ssh/authorized_keys": ""})
    path = live.root / "home/ada" / place
    os.chown(path, uid, 0)
    path.chmod(mode)
    sshd = guest.Sshd("x")
    sshd.usual = {"strictmodes": [strict]}
    shown = ("/home/ada/" + place).rstrip("/")
    why = guest._unreadable(live.tree, guest.Wishes(), _owner(guest), sshd)
    assert why == (f"sshd reads no keys below {shown}, into which others can write" if closed else "")
