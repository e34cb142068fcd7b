# ruff: noqa: E501 (tables)
"""The steps, each by itself: what it does, which programs it calls with what, what it says and what it leaves alone."""

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.guest.conftest import HOST_KEY, Live

Need = Callable[..., None]
Said = pytest.CaptureFixture[str]
ADA = ("ada", 1000, 1000, "/home/ada", "/bin/sh")
PASSWD = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n"
KINDS = ("rsa", "ecdsa", "ed25519")
HOST_KEYS = {f"etc/ssh/ssh_host_{kind}_key": HOST_KEY for kind in KINDS}


def _wishes(guest: ModuleType, **values: Any) -> Any:
    wishes = guest.Wishes()
    for name, value in {"user": "ada", **values}.items():
        setattr(wishes, name, value)
    return wishes


def _fixed(live: Live) -> None:
    """/etc is read-only from now on."""
    live.tree.is_fixed = lambda path: path == "/etc"


# -- the host name


@pytest.mark.parametrize(
    ("name", "nodes", "done", "hosts"),
    [
        ("", {}, "nobody names this VM; the image's host name stays", None),
        ("web1", {}, "web1", "127.0.0.1 localhost\n127.0.1.1 web1\n"),
        ("web1", {"etc/hostname": "web1\n", "etc/hosts": "::1 web1\n"}, "web1 already", "::1 web1\n"),
        ("web1", {"etc/hostname": "web1\n", "etc/hosts": "::1 x\n"}, "web1", "::1 x\n127.0.1.1 web1\n"),
        ("web1", {"etc/hosts": "::1 web1\n"}, "web1", "::1 web1\n"),
        ("web1", {"etc/nsswitch.conf": "hosts: files myhostname\n"}, "web1", None),
    ],
)
def test_the_host_is_named(
    guest: ModuleType, live: Live, name: str, nodes: dict[str, str], done: str, hosts: str | None
) -> None:
    live.tree.live = False
    live.plant({"etc/": "", **nodes})
    assert guest.step_hostname(live.tree, _wishes(guest, hostname=name), {}) == done
    assert live.tree.read("/etc/hosts") == (hosts.encode() if hosts else None)
    assert live.tree.text("/etc/hostname") == (name and name + "\n")


def test_a_name_for_this_boot_where_etc_is_read_only(guest: ModuleType, live: Live, capfd: Said) -> None:
    live.tree.live = False

    def write(*_: object) -> bool:
        raise OSError(error, "no")

    live.tree.write = write
    error = errno.EROFS
    assert guest.step_hostname(live.tree, _wishes(guest, hostname="web1"), {}) == "web1"
    assert capfd.readouterr().err == "warning: /etc is read-only: the host name is set for this boot only\n"
    error = errno.ENOSPC
    with pytest.raises(OSError, match="no"):
        guest.step_hostname(live.tree, _wishes(guest, hostname="web1"), {})


# -- the user


@pytest.mark.parametrize(
    ("name", "text", "age", "removed"),
    [
        ("passwd.lock", "99999999\0", 0, True),
        ("passwd.lock", "", 0, True),
        ("shadow.lock", "SELF", 0, True),
        ("subgid.lock", "TOOL", 0, False),
        ("group.lock", "TOOL\0\n", 10**9, True),
        ("passwd+", "", 0, True),
        ("group.123", "", 0, True),
        ("group.org", "", 0, False),
        ("shadow-", "", 0, False),
        ("other.lock", "1", 0, False),
        ("passwd.locked", "", 0, False),
    ],
)
def test_locks_that_nobody_holds(
    guest: ModuleType, live: Live, tmp_path: Path, capfd: Said, name: str, text: str, age: int, removed: bool
) -> None:
    tool = tmp_path / "useradd"
    tool.symlink_to("/bin/sleep")
    with subprocess.Popen([str(tool), "60"]) as running:
        try:
            while Path(f"/proc/{running.pid}/comm").read_text() != "useradd\n":
                pass  # it is on its way
            text = text.replace("SELF", str(os.getpid())).replace("TOOL", str(running.pid))
            live.plant({"etc/passwd": PASSWD, f"etc/{name}": text})
            made = (live.root / "etc" / name).stat().st_mtime - age
            os.utime(live.root / "etc" / name, (made, made))
            assert bool(guest._clear_locks(live.tree)) is removed
        finally:
            running.kill()
    assert live.tree.exists(f"/etc/{name}") is not removed and live.tree.exists("/etc/passwd")
    told = f"user: /etc/{name} is of no process that lives, and was removed\n"
    assert capfd.readouterr().err == (told if removed and name.endswith(".lock") else "")


@pytest.mark.parametrize(
    ("wish", "shell", "said"),
    [
        ("", "/bin/bash", ""),
        ("/bin/zsh", "/bin/zsh", ""),
        ("/bin/fish", "/bin/bash", "warning: the image has no /bin/fish: its usual shell is taken\n"),
        ("/bin/bash", "/bin/bash", ""),
    ],
)
def test_the_shell_of_the_owner(guest: ModuleType, live: Live, capfd: Said, wish: str, shell: str, said: str) -> None:
    live.plant({"bin/bash": "", "bin/zsh": ""})
    assert (guest._shell(live.tree, wish), capfd.readouterr().err) == (shell, said)
    (live.root / "bin/bash").unlink()
    assert guest._shell(live.tree, "") == "/bin/sh"


@pytest.mark.parametrize(
    ("setting", "fixed", "groups", "added", "said"),
    [
        ("", False, ["sudo", "wheel"], "wheel:x:870:\n", ""),
        ("", True, ["sudo"], "", ""),
        ("ops,sudo", False, ["sudo"], "", "warning: the image has no group ops\n"),
        ("wheel", False, ["wheel"], "wheel:x:870:\n", ""),
    ],
)
def test_the_groups_of_the_owner(
    guest: ModuleType, live: Live, capfd: Said, setting: str, fixed: bool, groups: list[str], added: str, said: str
) -> None:
    mine = "root:x:0:\nsudo:x:27:bob,eve\nodd:x:1\n"
    live.plant({"etc/group": mine, "usr/lib/group": "wheel:x:870:root\nusers:x:100:\n"})
    if fixed:
        _fixed(live)
    assert guest._wanted_groups(live.tree, setting) == groups
    assert live.tree.text("/etc/group") == mine + added
    assert capfd.readouterr().err == said
    assert guest.groups_of(live.tree)["sudo"] == ["bob", "eve"]


@pytest.mark.parametrize(
    ("uid", "home", "defs", "why"),
    [
        (1000, "/home/ada", "", ""),
        (999, "/home/ada", "", "uid 999"),
        (500, "/home/ada", "UID_MIN 500\n", ""),
        (499, "/home/ada", "UID_MIN 500\n", "uid 499"),
        (65534, "/home/ada", "", "uid 65534"),
        (1000, "/usr/lib", "", "home /usr/lib"),
        (1000, "/home/bob", "", "home /home/bob"),
    ],
)
def test_an_account_of_the_image_is_nobodys(
    guest: ModuleType, live: Live, uid: int, home: str, defs: str, why: str
) -> None:
    live.plant(
        {"etc/passwd": "bob:x:1001:1001::/home/bob/:/bin/sh\nada:x:1:1::/home/bob:/x\n", "usr/etc/login.defs": defs}
    )
    owner = guest.Account("ada", uid, uid, home, "/bin/sh")
    if not why:
        guest._refuse_system_account(live.tree, _wishes(guest), owner)
        return
    with pytest.raises(guest.Failed) as raised:
        guest._refuse_system_account(live.tree, _wishes(guest), owner)
    error = f"ada is a system account of this image ({why})"
    assert raised.value.facts == (("value", "ada"), ("error", error))
    assert raised.value.reason == "invalid IMDS metadata for key=compute.osProfile.adminUsername"


@pytest.mark.parametrize(
    ("tools", "groups", "own", "calls"),
    [
        ("useradd", ["sudo", "adm"], False, ["useradd --create-home --shell /bin/sh --groups sudo,adm ada"]),
        ("useradd", [], True, ["useradd --create-home --shell /bin/sh --gid ada ada"]),
        ("adduser", [], False, ["adduser -D -s /bin/sh ada"]),
        ("adduser addgroup", ["sudo", "adm"], True, ["adduser -D -s /bin/sh -G ada ada", "addgroup ada sudo", "addgroup ada adm"]),
        ("adduser usermod", ["sudo", "adm"], False, ["adduser -D -s /bin/sh ada", "usermod -a -G sudo,adm ada"]),
        ("", [], False, None),
    ],
)  # fmt: skip
def test_which_program_makes_an_account(
    guest: ModuleType, live: Live, tools: str, groups: list[str], own: bool, calls: list[str] | None
) -> None:
    for name in tools.split():
        live.tool(name)
    if calls is None:
        with pytest.raises(guest.Failed, match="failure in step user"):
            guest._add_user(live.tree, "ada", groups, own, "/bin/sh")
        return
    guest._add_user(live.tree, "ada", groups, own, "/bin/sh")
    assert live.called() == calls


@pytest.mark.parametrize(
    ("tools", "call"),
    [
        ("useradd", "useradd --prefix ROOT --create-home --shell /bin/sh ada"),
        ("adduser chroot", "chroot ROOT adduser -D -s /bin/sh ada"),
    ],
)
def test_an_account_is_made_in_a_tree(guest: ModuleType, live: Live, tools: str, call: str) -> None:
    for name in tools.split():
        live.tool(name)
    live.tree.live = False
    guest._add_user(live.tree, "ada", [], False, "/bin/sh")
    assert live.called() == [call.replace("ROOT", str(live.root))]


@pytest.mark.parametrize(
    ("status", "flag", "calls", "ends"),
    [
        (3, "--badname", ["useradd ada", "useradd --badname ada"], True),
        (19, "--badnames", ["useradd ada", "useradd --badname ada", "useradd --badnames ada"], True),
        (3, "--other", ["useradd ada", "useradd --badname ada", "useradd --badnames ada"], False),
        (1, "--badname", ["useradd ada"], False),
    ],
)
def test_a_name_that_useradd_does_not_like(
    guest: ModuleType, live: Live, capfd: Said, status: int, flag: str, calls: list[str], ends: bool
) -> None:
    live.tool("useradd", f'case " $* " in *" {flag} "*) exit 0 ;; esac\nexit {status}')
    try:
        guest._add_user(live.tree, "ada", [], False, "/bin/sh")
        ended = True
    except guest.CommandFailed as error:
        assert error.status == status
        ended = False
    assert [line.replace("--create-home --shell /bin/sh ", "") for line in live.called()] == calls
    assert ended is ends
    said = f"warning: useradd: exit {status}; trying again\n"
    assert capfd.readouterr().err == (said if status != 1 else "")


def test_the_mark_of_a_beginning_account_goes_when_useradd_has_ended(guest: ModuleType, live: Live) -> None:
    live.plant({"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/group": ""})
    live.tool("useradd", f"ls {live.root}/etc/.azure-provisioning-begun >>{live.calls}; exit 1")
    (live.tools / "ls").symlink_to("/bin/ls")
    with pytest.raises(guest.CommandFailed):
        guest._make_account(live.tree, "ada", [], False, {"SHELL": ""})
    assert live.called()[1].endswith(".azure-provisioning-begun")
    assert not live.tree.exists(guest.BEGUN) and "/etc" in live.tree._unsynced
    live.tool("useradd")
    with pytest.raises(guest.Failed) as raised:
        guest._make_account(live.tree, "ada", [], False, {"SHELL": ""})
    assert raised.value.facts == (("error", "the account is not there after useradd"),)
    guest._begin(live.tree)
    assert (live.root / guest.BEGUN[1:]).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("nodes", "made", "said"),
    [
        ({"home/": ""}, "", ""),
        ({}, "home", ""),
        ({"home": "-> var/home"}, "var/home", "user: made /var/home, which /home names\n"),
        ({"home": "-> a", "a": "-> b/c"}, "b/c", "user: made /b/c, which /home names\n"),
    ],
)
def test_room_for_homes(
    guest: ModuleType, live: Live, capfd: Said, nodes: dict[str, str], made: str, said: str
) -> None:
    live.plant(nodes)
    live.tree.dry_run = True
    guest._make_room_for_homes(live.tree)
    assert not made or not (live.root / made).exists()
    live.tree.dry_run = False
    guest._make_room_for_homes(live.tree)
    assert not made or (live.root / made).stat().st_mode & 0o7777 == 0o755
    assert capfd.readouterr().err == said


def test_room_for_homes_behind_a_link_from_the_root(guest: ModuleType, live: Live) -> None:
    (live.root / "home").symlink_to("/no-such-folder/homes")  # which is nowhere on this machine
    guest._make_room_for_homes(live.tree)
    assert (live.root / "no-such-folder/homes").is_dir()


def test_accounts_are_found_in_both_places_and_by_nss(guest: ModuleType, live: Live) -> None:
    live.plant({
        "etc/passwd": "adam:x:1:1::/a:/s\nada:x:y:1::/bad:/s\nada:x:7:8::/home/ada:/bin/sh\n",
        "usr/lib/passwd": "bob:x:9:9::/home/bob:/bin/sh\n",
        "etc/nsswitch.conf": "passwd: files\n",
    })  # fmt: skip
    ada = guest.account(live.tree, "ada")
    assert (ada.name, ada.uid, ada.gid, ada.home, ada.shell) == ("ada", 7, 8, "/home/ada", "/bin/sh")
    assert guest.account(live.tree, "bob").uid == 9
    assert guest.account(live.tree, "root") is None, "files alone are asked"
    live.plant({"etc/nsswitch.conf": "passwd: files sss\n"})
    root = guest.account(live.tree, "root")
    assert (root.uid, root.gid, root.home, bool(root.shell)) == (0, 0, "/root", True)
    assert guest.account(live.tree, "no-such-user") is None
    live.tree.live = False
    assert guest.account(live.tree, "root") is None


# -- sudo


@pytest.mark.parametrize(
    ("nodes", "files", "main", "checks"),
    [
        ({"etc/sudoers": "@includedir /etc/sudoers.d\n"}, ["90-azure-provisioning"], None, 0),
        ({"etc/sudoers": "@includedir /etc/sudoers.d\n", "etc/sudoers.d/95-x": ""}, ["95-x", "zz-90-azure-provisioning"], None, 0),
        ({"etc/sudoers": "@includedir /etc/sudoers.d\n", "etc/sudoers.d/95-x": "", "etc/sudoers.d/90-azure-provisioning": ""},
         ["95-x", "zz-90-azure-provisioning"], None, 0),
        ({"etc/sudoers": "bob ALL=ALL\n@includedir /etc/sudoers.d\n"}, ["90-azure-provisioning"], None, 1),
        ({"etc/sudoers": "root ALL=ALL"}, ["90-azure-provisioning"],
         "root ALL=ALL\n# azure-provisioning begins\n#include /etc/sudoers.d/90-azure-provisioning\n# azure-provisioning ends\n", 2),
        ({}, ["90-azure-provisioning"], None, 1),
    ],
)  # fmt: skip
def test_the_rule_of_sudo(
    guest: ModuleType, live: Live, nodes: dict[str, str], files: list[str], main: str | None, checks: int
) -> None:
    live.plant({"usr/bin/sudo": "", "etc/": "", **nodes})
    live.tool("visudo")
    assert guest.step_sudo(live.tree, _wishes(guest), {}) == "ada may sudo"
    folder = live.root / "etc/sudoers.d"
    assert sorted(path.name for path in folder.iterdir()) == files
    ours = folder / files[-1]
    assert ours.read_text() == "# Written by azure-provisioning\nada ALL=(ALL:ALL) NOPASSWD: ALL\n"
    assert ours.stat().st_mode & 0o7777 == 0o440 and len(live.called()) == checks
    assert live.tree.text("/etc/sudoers") == (main or nodes.get("etc/sudoers", ""))
    if "etc/sudoers.d/95-x" not in nodes:
        assert folder.stat().st_mode & 0o7777 == 0o750
    assert guest.step_sudo(live.tree, _wishes(guest), {}) == "ada may sudo already"


def test_who_becomes_root_by_what(guest: ModuleType, live: Live, capfd: Said) -> None:
    assert guest.step_sudo(live.tree, _wishes(guest, user=""), {}) == "no user name: skipped"
    assert guest.step_sudo(live.tree, _wishes(guest), {}) == "skipped"
    assert capfd.readouterr().err == "warning: neither sudo nor doas is there: ada cannot become root\n"
    live.plant({"etc/sudoers.d/": ""})
    assert guest.step_sudo(live.tree, _wishes(guest), {}) == "ada may sudo"
    live.plant({"usr/bin/doas": "a program that reads /etc/doas.d", "etc/doas.conf": "permit :wheel"})
    assert guest.step_sudo(live.tree, _wishes(guest), {}) == "ada may doas"
    assert live.tree.text("/etc/doas.conf") == (
        "permit :wheel\n# azure-provisioning begins\npermit nopass ada\n# azure-provisioning ends\n"
    )
    assert (live.root / "etc/doas.conf").stat().st_mode & 0o777 == 0o400
    assert guest.step_sudo(live.tree, _wishes(guest), {}) == "ada may doas already"
    live.plant({"etc/doas.d/": ""})
    assert guest.step_sudo(live.tree, _wishes(guest), {}) == "ada may doas"
    rule = live.root / "etc/doas.d/90-azure-provisioning.conf"
    assert (rule.read_text(), rule.stat().st_mode & 0o777) == ("permit nopass ada\n", 0o400)


def test_rules_stay_as_a_read_only_image_has_them(guest: ModuleType, live: Live, capfd: Said) -> None:
    def write(number: int) -> Callable[[], bool]:
        def fail() -> bool:
            raise OSError(number, "no")

        return fail

    assert guest._unless_fixed("x", "done", lambda: True) == "done"
    assert guest._unless_fixed("x", "done", lambda: False) == "done already"
    assert guest._unless_fixed("/x", "done", write(errno.EROFS)) == "left as it is"
    assert capfd.readouterr().err == "warning: /x: read-only, and stays as the image has it\n"
    with pytest.raises(OSError, match="no"):
        guest._unless_fixed("/x", "done", write(errno.ENOSPC))


@pytest.mark.parametrize(
    ("mode", "uid", "after"),
    [(0o440, 0, None), (0o660, 0, 0o640), (0o642, 0, 0o640), (0o440, 7, 0o440), (0o2775, 7, 0o755)],
)
def test_sudo_reads_what_root_alone_can_write(
    guest: ModuleType, live: Live, need: Need, capfd: Said, mode: int, uid: int, after: int | None
) -> None:
    need("root")
    live.plant({"etc/sudoers": ""})
    path = live.root / "etc/sudoers"
    os.chown(path, uid, 9)
    path.chmod(mode)
    live.tree.dry_run = True
    guest._close_to_others(live.tree, "/etc/sudoers")
    live.tree.dry_run = False
    guest._close_to_others(live.tree, "/etc/gone")
    assert (path.stat().st_mode & 0o7777, path.stat().st_uid) == (mode, uid)
    guest._close_to_others(live.tree, "/etc/sudoers")
    assert path.stat().st_uid == 0 and path.stat().st_gid == 9
    assert path.stat().st_mode & 0o777 == (mode if after is None else after)
    said = "warning: others than root could write to /etc/sudoers, and sudo would not read it: it is root's alone from now on\n"
    assert capfd.readouterr().err == ("" if after is None else said)


# -- the password


@pytest.mark.parametrize(
    ("field", "pam", "tools", "done", "calls"),
    [
        ("!", "yes", "usermod", "ada is locked for passwords", []),
        ("*", "no", "usermod", "ada is locked for passwords", []),
        ("!", "no", "usermod", "locked for ada", ["usermod -p * ada"]),
        ("$6$x", "no", "usermod", "locked for ada", ["usermod -p * ada"]),
        ("$6$x", "yes", "usermod", "locked for ada", ["usermod -L ada"]),
        ("", "yes", "chpasswd", "locked for ada", ["chpasswd -e", "  < ada:*"]),
        (None, "yes", "usermod", "ada has no entry in /etc/shadow", []),
    ],
)
def test_nobody_has_a_password(
    guest: ModuleType, live: Live, field: str | None, pam: str, tools: str, done: str, calls: list[str]
) -> None:
    line = "" if field is None else f"ada:{field}:19000:0::7:::\n"
    live.plant(
        {"etc/passwd": PASSWD, "etc/shadow": "root:*:1::::::\n" + line, "etc/ssh/sshd_config": f"UsePAM {pam}\n"}
    )
    live.tool(tools)
    assert guest.step_password(live.tree, _wishes(guest), {}) == done
    assert live.called() == calls


def test_passwords_where_etc_is_read_only_or_none_came(guest: ModuleType, live: Live, capfd: Said) -> None:
    live.plant({"etc/passwd": PASSWD, "etc/shadow": "ada:$6$x:0:0:90:7:5::\n"})
    live.tool("usermod")
    assert guest.step_password(live.tree, _wishes(guest, user=""), {}) == "no user name: skipped"
    _fixed(live)
    assert guest.step_password(live.tree, _wishes(guest), {}) == "left as it is"
    assert live.tree.text("/etc/shadow") == "ada:$6$x:0:0:90:7:5::\n" and live.called() == []
    assert capfd.readouterr().err == "warning: /etc is read-only: the password of ada stays as the image has it\n"
    live.tree.is_fixed = lambda path: False
    assert guest.step_password(live.tree, _wishes(guest, password_login=True), {}) == "locked for ada"
    assert capfd.readouterr().err == (
        "warning: passwords are allowed, but none came on a medium: ada has none\n"
        "password: ada has none, and none gets too old\n"
    )
    assert live.tree.text("/etc/shadow").startswith("ada:$6$x:") and live.tree.text("/etc/shadow").endswith(
        ":0::7:::\n"
    )


def test_a_password_is_set_by_chpasswd_or_as_a_hash_of_ours(guest: ModuleType, live: Live, capfd: Said) -> None:
    wishes = _wishes(guest, password="pw")
    live.tool("chpasswd")
    live.tool("useradd")
    assert guest.step_password(live.tree, wishes, {}) == "set for ada"
    (live.tools / "useradd").unlink()
    guest.step_password(live.tree, wishes, {})
    live.tree.live = False
    guest.step_password(live.tree, wishes, {})
    line = "  < ada:pw"
    assert live.called() == [
        "chpasswd",
        line,
        "chpasswd -c sha512",
        line,
        f"chpasswd --root {live.root} -c sha512",
        line,
    ]
    live.tree.live = True
    live.tool("chpasswd", 'echo ada:pw >&2; [ "$1" = -e ]')
    guest.step_password(live.tree, wishes, {})
    scheme, salt = live.called()[-1].removeprefix("  < ada:$").split("$")[:2]
    assert (scheme, len(salt), live.called()[-2]) == ("6", 16, "chpasswd -e")
    assert capfd.readouterr().err == "warning: chpasswd: exit 1; trying with a hash of ours\n"
    live.tool("chpasswd", "exit 4")
    with pytest.raises(guest.Failed) as raised:
        guest.step_password(live.tree, wishes, {})
    assert raised.value.facts == (("error", "chpasswd -e: exit 4"),)
