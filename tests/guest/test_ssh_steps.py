# ruff: noqa: E501 (tables)
"""The steps about sshd: the policy of passwords, host keys, and a running sshd that is told to read it all again."""

import errno
import functools
import os
import signal
import subprocess
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tests.guest.conftest import HOST_KEY, Live

Said = pytest.CaptureFixture[str]
KINDS = ("rsa", "ecdsa", "ed25519")
HOST_KEYS = {f"etc/ssh/ssh_host_{kind}_key": HOST_KEY for kind in KINDS}
DROP_IN = "etc/ssh/sshd_config.d/00-azure-provisioning.conf"
INCLUDE = {"etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\n"}
NO, YES = (
    f"PasswordAuthentication {w}\nKbdInteractiveAuthentication {w}\nChallengeResponseAuthentication {w}\n"
    for w in ("no", "yes")
)
MINE = "# azure-provisioning begins\n{}# azure-provisioning ends\n"


def _step(guest: ModuleType, live: Live, login: bool | None = None, skip: str = "") -> str:
    wishes = guest.Wishes()
    wishes.user, wishes.password_login = "ada", login
    done: str = guest.step_sshd(live.tree, wishes, {"SKIP": skip})
    return done


@pytest.mark.parametrize(
    ("nodes", "login", "done", "drop_in", "main"),
    [
        ({}, None, "no sshd: skipped", "", ""),
        (INCLUDE, None, f"PasswordAuthentication no in /{DROP_IN}", NO, None),
        (INCLUDE, True, f"PasswordAuthentication yes in /{DROP_IN}", YES, None),
        ({**INCLUDE, DROP_IN: "PasswordAuthentication no\n"}, None, f"PasswordAuthentication no in /{DROP_IN}", NO, None),
        ({**INCLUDE, DROP_IN: "PasswordAuthentication yes\n"}, True, "PasswordAuthentication is yes already", "PasswordAuthentication yes\n", None),
        ({**INCLUDE, DROP_IN: NO}, None, "PasswordAuthentication is no already", NO, None),
        ({"etc/ssh/sshd_config": "Port 1"}, None, "PasswordAuthentication no in /etc/ssh/sshd_config", "", MINE.format(NO) + "Port 1\n"),
        ({"etc/ssh/sshd_config": ""}, True, "PasswordAuthentication yes in /etc/ssh/sshd_config", "", MINE.format(YES)),
        ({"etc/ssh/sshd_config": "PasswordAuthentication yes\nInclude sshd_config.d/*.conf\n"}, False,
         "PasswordAuthentication no in /etc/ssh/sshd_config", NO, MINE.format(NO) + "PasswordAuthentication yes\nInclude sshd_config.d/*.conf\n"),
        ({"etc/ssh/sshd_config": "Match all\nInclude sshd_config.d/*.conf\n"}, None, "PasswordAuthentication no in /etc/ssh/sshd_config", "",
         MINE.format(NO) + "Match all\nInclude sshd_config.d/*.conf\n"),
        ({"usr/etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*\n", "etc/ssh/": ""}, None, f"PasswordAuthentication no in /{DROP_IN}", NO, ""),
        ({"etc/ssh/sshd_config": "AuthenticationMethods publickey,keyboard-interactive\nInclude sshd_config.d/*\n"}, None,
         f"PasswordAuthentication no in /{DROP_IN}", "PasswordAuthentication no\n", None),
    ],
)  # fmt: skip
def test_where_the_policy_of_passwords_is_written(
    guest: ModuleType, live: Live, nodes: dict[str, str], login: bool | None, done: str, drop_in: str, main: str | None
) -> None:
    live.plant(nodes)
    assert _step(guest, live, login) == done
    assert live.tree.text("/" + DROP_IN).removeprefix(guest._DROP_IN_HEAD) == drop_in
    assert live.tree.text("/etc/ssh/sshd_config") == (nodes["etc/ssh/sshd_config"] if main is None else main)
    if " in " in done:
        assert _step(guest, live, login).endswith(" already")
    if drop_in and DROP_IN not in nodes:
        assert [oct((live.root / path).stat().st_mode & 0o7777) for path in (DROP_IN, "etc/ssh/sshd_config.d")] == [
            "0o644",
            "0o755",
        ]


def test_what_is_said_of_a_policy_that_does_not_hold(guest: ModuleType, live: Live, capfd: Said) -> None:
    live.plant({"usr/etc/ssh/sshd_config": "PasswordAuthentication yes\n", "etc/ssh/": ""})
    assert _step(guest, live) == "PasswordAuthentication no in /usr/etc/ssh/sshd_config"
    says = "warning: /usr/etc/ssh/sshd_config says otherwise before ours: passwords stay as the image has them\n"
    assert capfd.readouterr().err == says
    live.plant({"etc/ssh/sshd_config": "AuthenticationMethods keyboard-interactive\n"})
    assert _step(guest, live) == "PasswordAuthentication no in /etc/ssh/sshd_config"
    asks = "warning: sshd asks for keyboard-interactive by AuthenticationMethods: that stays on\n"
    assert capfd.readouterr().err == asks
    assert live.tree.text("/etc/ssh/sshd_config").count("Interactive") == 0
    assert _step(guest, live, True).startswith("PasswordAuthentication yes in")
    assert capfd.readouterr().err == ""


def test_a_policy_that_cannot_be_written(guest: ModuleType, live: Live, capfd: Said) -> None:
    live.plant(INCLUDE)

    def write(*_: object) -> bool:
        raise OSError(number, "no")

    number, live.tree.write = errno.EROFS, write
    assert _step(guest, live) == "left as it is"
    said = "warning: /etc/ssh/sshd_config: read-only, and passwords stay as the image has them\n"
    assert capfd.readouterr().err == said
    number = errno.ENOSPC
    with pytest.raises(OSError, match="no"):
        _step(guest, live)


@pytest.mark.parametrize(
    ("modes", "ours"),
    [((), 0o644), ((0o600,), 0o600), ((0o600, 0o644), 0o644), ((0o640,), 0o644), ((0o600, 0o4600), 0o600)],
)
def test_the_drop_in_is_as_strict_as_its_folder(
    guest: ModuleType, live: Live, modes: tuple[int, ...], ours: int
) -> None:
    live.plant({**INCLUDE, **{f"etc/ssh/sshd_config.d/{n}": "" for n in range(len(modes))}})
    live.plant({"etc/ssh/sshd_config.d/gone": "-> nowhere"})
    for n, mode in enumerate(modes):
        (live.root / f"etc/ssh/sshd_config.d/{n}").chmod(mode)
    _step(guest, live)
    assert (live.root / DROP_IN).stat().st_mode & 0o7777 == ours


@pytest.mark.parametrize(
    ("script", "there", "ends", "said", "kept"),
    [
        ("", True, "", "", True),
        ("exit 1", True, "", "warning: sshd: exit 1 (it said so before as well)\n", True),
        (f"/bin/grep -q Kbd {{root}}/{DROP_IN} || exit 0; echo bad >&2; exit 1", True, "sshd: exit 1: bad", "", False),
        (f"/bin/grep -q Kbd {{root}}/{DROP_IN} || exit 0; echo bad >&2; exit 1", False, "sshd: exit 1: bad", "", False),
    ],
)  # fmt: skip
def test_what_sshd_refuses_is_undone(
    guest: ModuleType, live: Live, capfd: Said, script: str, there: bool, ends: str, said: str, kept: bool
) -> None:
    live.plant({**INCLUDE, **({DROP_IN: "# mine\n"} if there else {})})
    if there:
        (live.root / DROP_IN).chmod(0o640)
    live.tool("sshd", script.replace("{root}", str(live.root)))
    if ends:
        with pytest.raises(guest.Failed) as raised:
            _step(guest, live)
        assert raised.value.reason == "failure in step sshd"
        assert raised.value.facts[0][1].replace(f"{live.tools}/", "") == ends
    else:
        _step(guest, live)
    assert live.tree.exists("/" + DROP_IN) is (there or kept)
    if there:
        assert ("Kbd" in live.tree.text("/" + DROP_IN)) is kept
        assert (live.root / DROP_IN).stat().st_mode & 0o777 == 0o640
    assert capfd.readouterr().err.replace(f"{live.tools}/", "") == said
    assert set(live.called()) == {"sshd -t"} and (live.root / "run/sshd").stat().st_mode & 0o777 == 0o755
    live.tree.live = False
    guest._sshd_complaint(live.tree)
    assert live.called()[-1] == f"sshd -t -f {live.root}/etc/ssh/sshd_config"


@pytest.mark.parametrize(
    ("processes", "told"),
    [
        ({"5": ("sshd", 1, "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups")}, "5"),
        ({"5": ("sshd", 1, "/usr/sbin/sshd -D")}, "5"),
        ({"5": ("sshd", 1, "/usr/sbin/sshd -i")}, None),
        ({"5": ("sshd", 1, "")}, None),
        ({"5": ("sshd", 1, "sshd: ada [priv]")}, None),
        ({"5": ("bash", 1, "/usr/sbin/sshd -D")}, None),
        ({"5": ("sshd", 6, "/usr/sbin/sshd -D"), "6": ("sshd", 1, "/usr/sbin/sshd -D")}, "6"),
        ({"5": ("sshd", 6, "/usr/sbin/sshd -D"), "6": ("init", 1, "/sbin/init")}, "5"),
    ],
)
def test_which_process_is_told_to_read_anew(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch, capfd: Said,
    processes: dict[str, tuple[str, int, str]], told: str | None,
) -> None:  # fmt: skip
    live.plant(
        {
            "proc/1/comm": "systemd\n",
            "proc/1/stat": "1 (systemd) S 0",
            "proc/self/comm": "sshd\n",
            "etc/ssh/sshd_config": "",
        }
    )
    for pid, (comm, parent, line) in processes.items():
        live.plant({f"proc/{pid}/comm": comm + "\n", f"proc/{pid}/stat": f"{pid} ({comm}) x) S {parent} 1 1"})
        live.plant({f"proc/{pid}/cmdline": line.replace(" ", "\0") + "\0"})
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(guest.posix, "kill", lambda *words: signals.append(words))
    sshd = guest.read_sshd(live.tree, "")
    guest._reload_sshd(live.tree, sshd)
    assert signals == ([(int(told), 1)] if told else [])
    assert capfd.readouterr().err == ("sshd: reloaded\n" if told else "")
    for live.tree.live, live.tree.dry_run in ((False, False), (True, True)):
        guest._reload_sshd(live.tree, sshd)
    assert len(signals) == bool(told)


@pytest.mark.parametrize(
    ("config", "files", "told"),
    [
        ("", {"run/sshd.pid": "7\n"}, 7),
        ("PidFile /x.pid\n", {"x.pid": "7\n", "run/sshd.pid": "5\n"}, 7),
        ("PidFile none\n", {"none": "7", "run/sshd.pid": "7\n"}, 7),
        ("", {"run/sshd.pid": "1\n"}, 5),
        ("", {"run/sshd.pid": "x"}, 5),
        ("", {"run/sshd.pid": "99"}, 5),
        ("", {}, 5),
    ],
)
def test_the_file_that_names_sshds_process_is_read_first(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch, config: str, files: dict[str, str], told: int
) -> None:
    live.plant({"etc/ssh/sshd_config": config, **files})
    for pid in ("1", "5", "7"):
        live.plant(
            {
                f"proc/{pid}/comm": "sshd\n",
                f"proc/{pid}/stat": f"{pid} (sshd) S 0 1",
                f"proc/{pid}/cmdline": "sshd\0-D\0",
            }
        )
    live.plant({"proc/1/cmdline": "sshd: x"})
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(guest.posix, "kill", lambda *words: signals.append(words))
    guest._reload_sshd(live.tree, guest.read_sshd(live.tree, ""))
    assert signals == [(told, 1)]


def test_a_process_is_told_to_read_anew_for_real(guest: ModuleType, live: Live) -> None:
    heeds = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)  # under nohup children inherit the contrary
    with subprocess.Popen(["/bin/sleep", "60"], preexec_fn=heeds) as running:
        live.plant({f"proc/{running.pid}/comm": "sshd\n", f"proc/{running.pid}/stat": "5 (sshd) S 1 5 5"})
        live.plant({f"proc/{running.pid}/cmdline": "/usr/sbin/sshd\0", "etc/ssh/sshd_config": ""})
        guest._reload_sshd(live.tree, guest.read_sshd(live.tree, ""))
        assert running.wait(30) == -signal.SIGHUP


@pytest.mark.parametrize(
    ("nodes", "tool", "done", "calls", "gone"),
    [
        ({}, True, "no sshd: skipped", [], ()),
        ({"etc/ssh/": "", **HOST_KEYS}, True, "all there", [], ()),
        ({**HOST_KEYS, "etc/ssh/ssh_host_rsa_key.pub": ""}, True, "all there, public halves made: rsa", ["ssh-keygen -y -f ROOT/etc/ssh/ssh_host_rsa_key"], ()),
        ({**HOST_KEYS, "etc/ssh/ssh_host_rsa_key": "-----BEGIN x", "etc/ssh/ssh_host_ed25519_key": ""}, True, "made: rsa, ed25519",
         ["ssh-keygen -A"], ("ssh_host_rsa_key",)),
        ({"etc/ssh/": "", "usr/sbin/sshd": ""}, False, "skipped", [], ()),
        ({"etc/ssh/": ""}, False, "no sshd: skipped", [], ()),
        ({"etc/ssh/ssh_host_rsa_key.abcdefghij": "", "etc/ssh/ssh_host_x_key.pub.0123456789": "", "etc/ssh/moduli_key.abcdefghij": ""},
         True, "made: rsa, ecdsa, ed25519", ["ssh-keygen -A"], ("ssh_host_rsa_key.abcdefghij", "ssh_host_x_key.pub.0123456789")),
        ({"etc/ssh/ssh_host_rsa_key.abcdefghi": "", "etc/ssh/ssh_host_rsa_key.abcde-ghij": "", "etc/ssh/ssh_host_rsa_key.pub": "x"},
         True, "made: rsa, ecdsa, ed25519", ["ssh-keygen -A"], ()),
    ],
)  # fmt: skip
def test_host_keys(
    guest: ModuleType, live: Live, nodes: dict[str, str], tool: bool, done: str, calls: list[str], gone: tuple[str, ...]
) -> None:
    live.plant(nodes)
    if tool:
        live.tool("ssh-keygen", '[ "$1" != -y ] || echo public')
    assert guest.step_host_keys(live.tree, guest.Wishes(), {}) == done
    assert [line.replace(str(live.root), "ROOT") for line in live.called()] == calls
    left = {f"etc/ssh/{name}" for name in live.tree.names("/etc/ssh")}
    assert left == {path for path in nodes if path.startswith("etc/ssh/s") or "moduli" in path} - {
        f"etc/ssh/{name}" for name in gone
    }
    if "halves" in done:
        assert live.tree.text("/etc/ssh/ssh_host_rsa_key.pub") == "public\n"


def test_host_keys_are_left_to_our_unit_or_cannot_be_made(guest: ModuleType, live: Live, capfd: Said) -> None:
    live.plant({"etc/ssh/": "", "usr/sbin/sshd": ""})
    assert guest.step_host_keys(live.tree, guest.Wishes(), {}) == "skipped"
    assert capfd.readouterr().err == "warning: no ssh-keygen: host keys are missing (rsa, ecdsa, ed25519)\n"
    live.tool("ssh-keygen", "echo no >&2; exit 1")
    live.plant({**HOST_KEYS, "etc/ssh/ssh_host_rsa_key.pub": ""})
    assert guest.step_host_keys(live.tree, guest.Wishes(), {}) == "all there"
    said = capfd.readouterr().err
    assert said == "warning: /etc/ssh/ssh_host_rsa_key.pub cannot be made: ssh-keygen: exit 1: no\n"
    (live.root / "etc/ssh/ssh_host_rsa_key").unlink()
    wants = "etc/systemd/system/multi-user.target.wants/azure-provisioning-hostkeys.service"
    live.plant({wants: "", "run/systemd/system/": ""})
    assert guest.step_host_keys(live.tree, guest.Wishes(), {}) == "left to azure-provisioning-hostkeys.service"
    live.plant({"etc/ssh/ssh_host_rsa_key": "cut"})
    with pytest.raises(guest.CommandFailed):
        guest.step_host_keys(live.tree, guest.Wishes(), {})
    assert live.called()[-1] == "ssh-keygen -A"
    live.tree.live = False
    (live.root / wants).unlink()
    live.tool("ssh-keygen")
    guest.step_host_keys(live.tree, guest.Wishes(), {})
    assert live.called()[-1] == f"ssh-keygen -A -f {live.root}"


def test_new_host_keys_reach_the_disk_public_halves_first(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.plant({**HOST_KEYS, **{f"etc/ssh/ssh_host_{kind}_key.pub": "x" for kind in ("rsa", "ed25519")}})
    os.utime(live.root / "etc/ssh/ssh_host_ecdsa_key", (1, 1))
    synced: list[str] = []
    monkeypatch.setattr(guest, "_sync_file", lambda path: synced.append(path.rpartition("ssh_host_")[2]))
    monkeypatch.setattr(guest.posix, "fsync", lambda number: synced.append("the folder"))
    guest._sync_host_keys(live.tree)
    assert synced == ["rsa_key.pub", "ed25519_key.pub", "rsa_key", "ed25519_key", "the folder"]
    for path in (live.root / "etc/ssh").iterdir():
        os.utime(path, (1, 1))
    synced.clear()
    guest._sync_host_keys(live.tree)
    assert synced == []


@pytest.mark.parametrize(
    ("named", "made"),
    [
        ("/etc/ssh/ssh_host_rsa_key", ""),
        ("/keys/ssh_host_rsa_key", "rsa"),
        ("/keys/my_ed25519", "ed25519"),
        ("/keys/other", ""),
        ("rsa", ""),
        ("/there/rsa", ""),
    ],
)
def test_host_keys_that_sshd_config_names_are_made(
    guest: ModuleType, live: Live, capfd: Said, named: str, made: str
) -> None:
    live.plant({"etc/ssh/sshd_config": f"HostKey {named}\n", "there/rsa": ""})
    _step(guest, live)
    live.tool("ssh-keygen", 'for path; do :; done; echo key >"$path"; echo pub >"$path.pub"')
    _step(guest, live, True, skip="host-keys")
    assert live.called() == []
    capfd.readouterr()
    _step(guest, live, True)
    calls = [f"ssh-keygen -q -N  -t {made} -f {live.root}{named}"] if made else []
    assert live.called() == calls
    assert capfd.readouterr().err == (f"sshd: made {named}, a host key that sshd_config names\n" if made else "")
    if made:
        assert (live.root / "keys").stat().st_mode & 0o7777 == 0o755 and "/keys" in live.tree._unsynced
    _step(guest, live, True)
    assert live.called() == calls


def test_sshd_is_asked_for_what_counts(guest: ModuleType, live: Live) -> None:
    live.plant({"etc/ssh/sshd_config": "Match User ada\nAuthorizedKeysFile /a b\n"})
    answer = "port 22\nauthorizedkeysfile /etc/keys/%u\nhostkey /a\nhostkey /b\nsetenv A=1\nbanner\n"
    live.tool("sshd", f"/bin/cat <<'E'\n{answer}E")
    known = guest.read_sshd(live.tree, "ada")
    known.opens, known.shuts, known.unsure = True, False, True
    asked = guest.asked_sshd(live.tree, "ada", known)
    assert live.called() == ["sshd -T -C user=ada,host=203.0.113.1,addr=203.0.113.1"]
    words = {name: asked.words(name) for name in ("port", "authorizedkeysfile", "hostkey", "setenv", "banner")}
    assert words == {
        "port": ["22"],
        "authorizedkeysfile": ["/etc/keys/%u"],
        "hostkey": ["/a", "/b"],
        "setenv": ["A=1"],
        "banner": [],
    }
    assert (asked.plain, asked.opens, asked.shuts, asked.unsure, asked.broken) == (False, True, False, True, "")
    assert (live.root / "run/sshd").stat().st_mode & 0o777 == 0o755
    plain: Any = guest.Sshd("x")
    assert guest.asked_sshd(live.tree, "ada", plain) is None and guest.asked_sshd(live.tree, "", known) is None
    live.tool("sshd", "true")
    assert guest.asked_sshd(live.tree, "ada", known) is None
    live.tool("sshd", "echo '/etc/ssh/sshd_config: line 3: Bad configuration option: x' >&2; exit 255")
    assert guest.asked_sshd(live.tree, "ada", known) is None
    assert known.broken == f"{live.tools}/sshd: exit 255: /etc/ssh/sshd_config: line 3: Bad configuration option: x"
    calls = len(live.called())
    for live.tree.live, live.tree.dry_run in ((False, False), (True, True)):
        assert guest.asked_sshd(live.tree, "ada", known) is None
    assert len(live.called()) == calls


@pytest.mark.parametrize(
    ("mode", "groups", "uid", "after"),
    [
        (0o600, "", 0, None), (0o640, "", 0, 0o600), (0o604, "", 0, 0o600), (0o640, "ssh_keys:x:9:\n", 0, None), (0o641, "ssh_keys:x:9:\n", 0, 0o600),
        (0o660, "ssh_keys:x:9:\n", 0, 0o600), (0o640, "my_ssh_keys:x:9:\n", 0, 0o600), (0o644, "", 7, None), (0o400, "", 0, None),
    ],
)  # fmt: skip
def test_host_keys_that_others_can_read_are_closed(
    guest: ModuleType, live: Live, need: Callable[..., None], capfd: Said, mode: int, groups: str, uid: int, after: int | None
) -> None:  # fmt: skip
    need("root")
    live.plant({"etc/ssh/ssh_host_ecdsa_key": "", "etc/group": "root:x:0:\n" + groups})
    key = live.root / "etc/ssh/ssh_host_ecdsa_key"
    os.chown(key, uid, 0)
    key.chmod(mode)
    guest._close_host_keys(live.tree)
    assert key.stat().st_mode & 0o7777 == (mode if after is None else after)
    said = "warning: others could read /etc/ssh/ssh_host_ecdsa_key, and sshd would not use it: it has mode 600 from now on\n"
    assert capfd.readouterr().err == ("" if after is None else said)
