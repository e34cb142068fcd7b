# ruff: noqa: E501 (tables)
"""What may end a shell, a login or the way to root: each reading at its bounds."""

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tests.guest.conftest import KEY, Live

Said = pytest.CaptureFixture[str]
ADA = ("ada", 1000, 1000, "/home/ada", "/bin/sh")
PEOPLE = {
    "etc/passwd": "ada:x:1000:1000::/home/ada:/bin/sh\n",
    "etc/group": "ours:x:50:ada\nada:x:1000:\n",
    "home/ada/": "",
}


def _sshd(guest: ModuleType, words: dict[str, str], plain: bool = False) -> Any:
    sshd = guest.Sshd("/etc/ssh/sshd_config")
    sshd.usual, sshd.plain = {name: text.split() for name, text in words.items()}, plain
    return sshd


@pytest.mark.parametrize(
    ("text", "at_once"),
    [
        ("", False), ("exit\n", True), ("x\nexit 0", True), (" exit", False), ("# exit", False), ("exec zsh\n", True), ("x\nexec /bin/zsh", True),
        ("exec 2>/dev/null\n", False), ("exec >log", False), (" exec zsh", False), ("exec a", True), ("exec z", True), ("exec {", False), ("exec `", False),
    ],
)  # fmt: skip
def test_what_ends_a_shell_whatever_comes(guest: ModuleType, text: str, at_once: bool) -> None:
    assert guest.ends_at_once(text) is at_once


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", ""), ("x\n  exit 1\n", "exit"), (" # exit\n#exit\n", ""), ("a && exec b\n", "exec"), ("# executed by bash\n", ""), ("kill -9 $$", "kill"),
        ("set -eu", "set"), ("source x", "source"), ("  . /etc/site.sh", "."), ("  . /etc/bash_completion", ""),
        ("PATH=/nowhere", "PATH="), ('PATH="$HOME/bin:$PATH"', ""), ("export PATH=/usr/bin", ""), ("ulimit -u 1", "ulimit"),
        ("trap x EXIT", "trap"), ("logout", "logout"), ("# exit\nexit", "exit"),
    ],
)  # fmt: skip
def test_words_for_which_a_shell_is_tried(guest: ModuleType, text: str, word: str) -> None:
    assert guest.ending_word(text) == word


@pytest.mark.parametrize(
    ("script", "doubts"),
    [
        ("echo by-command; echo '$ '; echo by-lines; echo asked", []),
        ("echo by-command; echo asked", ["/home/ada/.bashrc may end the shell of ada: it says exit"]),
        ("echo by-lines; echo asked", ["/home/ada/.bashrc may end the shell of ada: it says exit"]),
        ("echo by-command", []),
        ("exit 1", []),
    ],
)
def test_the_shell_itself_is_asked(
    guest: ModuleType, live: Live, need: Callable[..., None], script: str, doubts: list[str]
) -> None:
    need("root")
    live.plant({**PEOPLE, "bin/sh": "", "home/ada/.bashrc": "if x; then\n  exit\nfi\n"})
    live.tool("su", script)
    assert list(guest._ending_shell(live.tree, guest.Account(*ADA))) == doubts
    assert "\n".join(live.called()) == f"su -s /bin/sh ada -c {guest.ASK_SHELL} /bin/sh"


def test_a_stock_shell_is_not_asked(guest: ModuleType, live: Live) -> None:
    usual = ". ~/.bash_aliases\n. /usr/share/bash-completion/bash_completion\n# exit\n"
    live.plant({**PEOPLE, "bin/sh": "", "home/ada/.bashrc": usual, "home/ada/.profile": '. "$HOME/.bashrc"\n'})
    live.tool("su", "")
    assert list(guest._ending_shell(live.tree, guest.Account(*ADA))) == []
    assert live.called() == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ""), ("PATH DEFAULT=/a\n", "/a"), ("PATH DEFAULT=/a OVERRIDE=/b\n", "/b"), ("PATH OVERRIDE= DEFAULT=/a\n", "/a"), ("MYPATH DEFAULT=/a\n", ""),
        ('PATH\tDEFAULT="/a:/b"\n', "/a:/b"), ("PATH \\\n DEFAULT=/a\n", "/a"), ("PATH DEFAULT=/a\nPATH DEFAULT=/b # new\n", "/b"),
        ("PATH DEFAULT=${PATH}:/opt/bin\n", ":/opt/bin"), ("PATH DEFAULT=/a:${B}:/c${D}\n", "/a::/c"), ("#PATH DEFAULT=/a\n", ""), ("PATH\n", ""),
    ],
)  # fmt: skip
def test_the_path_of_pam_env(guest: ModuleType, text: str, path: str) -> None:
    assert guest.pam_env_path(text) == path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ""), ("LANG=C\n", ""), ("PATH=/a:/b\n", "/a:/b"), ('PATH="/a"\nPATH=\'/b\'\n', "/b"), (" export \tPATH=/a", "/a"), ("MYPATH=/a\n", ""),
        ("exportPATH=/a", ""), ("PATH=\n", ""),
    ],
)  # fmt: skip
def test_the_path_of_the_environment(guest: ModuleType, text: str, path: str) -> None:
    assert guest.environment_path(text) == path


@pytest.mark.parametrize(
    ("file", "text", "doubt"),
    [
        ("etc/bash.bashrc", "exit", "/etc/bash.bashrc may end the shell of ada: it says exit"),
        ("etc/bashrc", "exec zsh", "/etc/bashrc may end the shell of ada: it says exec"),
        ("etc/profile", "exit", "/etc/profile may end the shell of ada: it says exit"),
        ("home/ada/.bash_profile", "exit", "/home/ada/.bash_profile may end the shell of ada: it says exit"),
        ("etc/environment", "PATH=/x:/y", "/etc/environment leaves ada without programs: PATH=/x:/y"),
        ("etc/environment", "PATH=/x:/bin", ""),
        ("etc/environment", "LANG=C", ""),
        ("etc/profile.d/x.sh", "exit", "/etc/profile.d/x.sh may end the shell of ada: it says exit"),
        ("etc/profile.d/x.csh", "exit", ""),
        (
            "etc/security/pam_env.conf",
            "PATH DEFAULT=/x",
            "/etc/security/pam_env.conf leaves ada without programs: PATH=/x",
        ),
    ],
)
def test_files_that_shells_read(guest: ModuleType, live: Live, file: str, text: str, doubt: str) -> None:
    live.plant({**PEOPLE, "bin/sh": "", file: text})
    wishes = guest.Wishes()
    wishes.user, wishes.keys = "ada", [KEY]
    found = list(guest._doubts(live.tree, guest.Account(*ADA), wishes, _sshd(guest, {})))
    assert found == ([doubt] if doubt else [])


ELF = "\x7fELF\0x\0/lib/ld-linux.so\0"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is no program"),
        ("\n", "is no program"),
        ("\t \n#!/bin/sh", "is no program"),
        ("echo\n", "is no program"),
        ("\x01\x02\n", ""),
        ("#!/bin/sh -e\n", ""),
        ("#! /bin/gone -e\n", "wants /bin/gone, which is not there"),
        ("#!\n", ""),
        (ELF, "wants /lib/ld-linux.so, which is not there"),
        (ELF.replace("/lib/ld-linux.so", "/bin/ld.so"), ""),
        ("\x7fELF\0static\0", ""),
        ("\x7fELF\0/lib/other.so\0", ""),
        ("\x7fELF\0see /lib/ld x\0", ""),
    ],
    ids=lambda value: repr(value)[:25],
)
def test_shells_that_cannot_start(guest: ModuleType, live: Live, content: str, why: str) -> None:
    live.plant({**PEOPLE, "bin/sh": "", "bin/ld.so": "", "bin/zsh": content})
    found = guest._not_a_program(live.tree, "/bin/zsh")
    assert found == why
    owner = guest.Account("ada", 1000, 1000, "/home/ada", "/bin/zsh")
    assert guest._shut_account(live.tree, owner) == (f"the shell of ada, /bin/zsh, {found}" if found else "")
    live.plant({"bin/bash": ""})
    assert guest._shut_account(live.tree, guest.Account("ada", 1000, 1000, "/home/ada", "/bin/bash")) == ""
    live.tree.live = False
    assert guest._shut_account(live.tree, owner) == ""


@pytest.mark.parametrize(
    ("nsswitch", "told"),
    [
        ("shadow: files\n", ""),
        ("shadow: compat\n", ""),
        ("", ""),
        ("shadow: sss files\n", ""),
        ("shadow: sss ldap\n", "sss ldap"),
    ],
)
def test_where_nothing_looks_into_shadow(guest: ModuleType, live: Live, capfd: Said, nsswitch: str, told: str) -> None:
    live.plant({**PEOPLE, "bin/sh": "", "etc/nsswitch.conf": nsswitch})
    assert guest._shut_account(live.tree, guest.Account(*ADA)) == ""
    said = f"warning: nothing looks into /etc/shadow (shadow: {told} in /etc/nsswitch.conf): PAM may keep ada out\n"
    assert capfd.readouterr().err == (said if told else "")


OFFERS = "sshd offers nothing that clients of today take: "
MAY = "sshd's {} may keep ada out, by where the connection comes from"


@pytest.mark.parametrize(
    ("words", "plain", "bounds"),
    [
        ({"ciphers": "3des-cbc,aes128-cbc"}, False, [f"{OFFERS}Ciphers 3des-cbc,aes128-cbc"]),
        ({"ciphers": "3des-cbc,aes128-cbc"}, True, []),
        ({"ciphers": "3des-cbc,aes128-ctr"}, False, []),
        ({"ciphers": "+3des-cbc"}, False, []),
        ({"ciphers": "-aes128-ctr"}, False, []),
        ({"ciphers": "^3des-cbc"}, False, []),
        ({"kexalgorithms": "diffie-hellman-group1-sha1"}, False, [f"{OFFERS}KexAlgorithms diffie-hellman-group1-sha1"]),
        ({"kexalgorithms": "sntrup761x25519-sha512"}, False, []),
        ({"hostkeyalgorithms": "ssh-rsa"}, False, [f"{OFFERS}HostKeyAlgorithms ssh-rsa"]),
        ({"hostkeyalgorithms": "rsa-sha2-512"}, False, []),
        ({"allowusers": "ada@10.*"}, False, [MAY.format("AllowUsers ada@10.*")]),
        ({"allowusers": "ada@10.* ada"}, False, []),
        ({"allowusers": "bob@10.*"}, False, []),
        ({"denyusers": "a*@10.*"}, False, [MAY.format("DenyUsers a*@10.*")]),
        ({"denyusers": "ada@1 ada@2"}, False, [MAY.format("DenyUsers ada@1"), MAY.format("DenyUsers ada@2")]),
    ],
)
def test_what_others_must_tell(guest: ModuleType, words: dict[str, str], plain: bool, bounds: list[str]) -> None:
    wishes = guest.Wishes()
    wishes.user, wishes.keys = "ada", [KEY]
    assert list(guest._bounds(wishes, _sshd(guest, words, plain))) == bounds


@pytest.mark.parametrize(
    ("texts", "usual"),
    [
        ([], True), (["Defaults env_reset\n"], True), (["Defaults env_reset, !lecture , secure_path=/a\n"], True), (['Defaults lecture, secure_path="/a"\n'], False), (["Defaults authenticate\n"], False),
        (["Defaults env_reset", "x\n Defaults\tnew\n"], False), (["Defaults:ada env_reset\n"], False), (["Defaults env_reset \\\n"], False),
        (["Defaults env_keep += \"A\"\n"], True), (["Defaults env_reset # new\n"], True), (["# Defaults new\nx Defaults new\n"], True), (["Defaults\n"], False),
        (["Defaults runas_default=root\n"], False), (['Defaults secure_path="/a#b"\n'], False), (["Defaults secure_path=/a\\,b\n"], False),
    ],
)  # fmt: skip
def test_settings_of_sudo_that_keep_nobody_out(guest: ModuleType, texts: list[str], usual: bool) -> None:
    assert guest._defaults_are_usual(texts) is usual


@pytest.mark.parametrize(
    ("script", "doubt"),
    [
        ("echo 0; echo asked", "proven"),
        ("echo 1; echo asked", "ada cannot become root: sudo makes 1"),
        ("echo 7; echo asked", "ada cannot become root: sudo makes 7"),
        ("echo sorry >&2; echo asked", "ada cannot become root: sorry"),
        ("echo; echo asked", "ada cannot become root: sudo ends without a word"),
        ("echo 7", ""),
        ("exit 1", ""),
    ],
)
def test_sudo_is_tried_as_the_owner(guest: ModuleType, live: Live, script: str, doubt: str) -> None:
    live.tool("su", script)
    assert guest._tried_sudo(live.tree, "ada") == (("", True) if doubt == "proven" else (doubt, False))
    assert live.called() == ["su -s /bin/sh ada -c sudo -n id -u; echo asked"]


def test_doas_is_tried_as_the_owner(guest: ModuleType, live: Live) -> None:
    live.plant({"usr/bin/doas": ""})
    live.tool("su", "echo doas: not installed setuid >&2; echo asked")
    said = "ada cannot become root: doas: not installed setuid"
    assert guest._sudo_in_doubt(live.tree, "ada") == (said, False)
    assert live.called() == ["su -s /bin/sh ada -c doas -n id -u; echo asked"]


def test_doas_that_reads_no_folder_has_its_rule_in_its_file(guest: ModuleType, live: Live) -> None:
    wishes = guest.Wishes()
    wishes.user = "ada"
    live.plant({"usr/bin/doas": "a program", "etc/doas.d/": ""})
    assert guest.step_sudo(live.tree, wishes, {}) == "ada may doas"
    assert "permit nopass ada\n" in live.tree.text("/etc/doas.conf")
    (live.root / "etc/doas.conf").unlink()
    live.plant({"etc/doas.conf/": ""})
    assert guest.step_sudo(live.tree, wishes, {}) == "left as it is"


def test_a_rule_without_sudo_makes_nobody_root(guest: ModuleType, live: Live) -> None:
    assert guest._sudo_in_doubt(live.tree, "ada") == ("", False)
    live.plant({"etc/sudoers.d/": ""})
    assert guest._sudo_in_doubt(live.tree, "ada") == ("ada cannot become root: there is no sudo", False)
    live.tree.live = False
    assert guest._sudo_in_doubt(live.tree, "ada") == ("", False)
    live.tree.live = True
    live.plant({"usr/bin/doas": ""})
    assert guest._sudo_in_doubt(live.tree, "ada") == ("", False)


@pytest.mark.parametrize(
    ("whom", "limited"),
    [
        ("*", True), ("%", True), ("ada", True), ("bob", False), ("@ours", True), ("%ours", True), ("@ada", True), ("@sudo", False), ("@", False),
        ("1000:", True), ("1001:", False), (":1000", True), (":999", False), ("1000:1000", True), ("900:1100", True), ("900:999", False), (":", False),
        ("1000", False), ("a:b", False),
    ],
)  # fmt: skip
def test_whom_a_limit_is_for(guest: ModuleType, live: Live, whom: str, limited: bool) -> None:
    live.plant(PEOPLE)
    assert bool(guest._limited(live.tree, guest.Account(*ADA), whom)) is limited


@pytest.mark.parametrize(
    ("line", "shuts"),
    [
        *[(f"* hard {item} {least - 1}", True) for item, least in
          (("as", 1024), ("data", 1024), ("stack", 64), ("nproc", 4), ("nofile", 10), ("cpu", 1), ("maxlogins", 1), ("maxsyslogins", 1))],
        *[(f"* hard {item} {least}", False) for item, least in
          (("as", 1024), ("data", 1024), ("stack", 64), ("nproc", 4), ("nofile", 10), ("cpu", 1), ("maxlogins", 1), ("maxsyslogins", 1))],
        ("* hard core 0", False), ("* hard nproc unlimited", False), ("* hard nproc", False), ("# * hard nproc 0", False), ("* hard nproc 0 # x", True),
        ("bob hard nproc 0", False), ("* - chroot /srv", True), ("* chroot /srv", False), ("bob - chroot /srv", False),
    ],
)  # fmt: skip
def test_limits_that_let_nobody_in(guest: ModuleType, live: Live, line: str, shuts: bool) -> None:
    live.plant({**PEOPLE, "etc/security/limits.conf": line + "\n"})
    owner = guest.Account(*ADA)
    said = line.partition("#")[0].strip() if shuts else ""
    assert guest._pam_limits(live.tree, owner, "session", "") == said
    live.plant(
        {
            "etc/security/limits.conf": "",
            "etc/security/limits.d/x.conf": line,
            "etc/security/limits.d/.y.conf": "* - nproc 0\n",
        }
    )
    live.plant({"etc/security/limits.d/z": "* - nproc 0\n"})
    assert guest._pam_limits(live.tree, owner, "session", "set_all") == said
    live.plant({"x.conf": "* - nproc 0\n"})
    assert guest._pam_limits(live.tree, owner, "session", "conf=/x.conf") == "* - nproc 0"
    assert guest._pam_limits(live.tree, owner, "session", "conf=/gone") == "/gone is not there"
    (live.root / "etc/security/limits.conf").unlink()
    assert guest._pam_limits(live.tree, owner, "session", "") == "/etc/security/limits.conf is not there"


@pytest.mark.parametrize(
    ("module", "kind", "rest", "doubt"),
    [
        ("pam_debug", "auth", "auth=perm_denied", "auth=perm_denied"), ("pam_debug", "account", "auth=perm_denied", ""), ("pam_debug", "account", "acct=x y", "acct=x y"),
        ("pam_debug", "session", "open_session=x", "open_session=x"), ("pam_debug", "auth", "auth=success", ""),
        ("pam_usertype", "account", "issystem", "issystem"), ("pam_usertype", "account", "isregular", ""),
        ("pam_sss", "account", "", "it knows no account of this machine"), ("pam_ldap", "account", "x ignore_unknown_user", ""),
        ("pam_rhosts", "auth", "", "?"), ("pam_wheel", "account", "group=x", "group=x"), ("pam_nologin", "account", "file=/home", "/home is there"),
        ("pam_nologin", "account", "", ""), ("pam_localuser", "account", "file=/etc/passwd", ""), ("pam_localuser", "account", "file=/etc/shells", "file=/etc/shells"),
        ("pam_loginuid", "session", "require_auditd", "there is no auditd"), ("pam_loginuid", "session", "", ""),
        ("pam_namespace", "session", "", "/etc/security/namespace.conf is not there"), ("pam_shells", "account", "", "/bin/sh is not in /etc/shells"),
        ("pam_access", "account", "", "-:ALL"), ("pam_time", "account", "", "*;*;ada;Al"),
    ],
)  # fmt: skip
def test_what_modules_of_pam_have_against_the_owner(
    guest: ModuleType, live: Live, module: str, kind: str, rest: str, doubt: str
) -> None:
    live.plant({**PEOPLE, "etc/shells": "/bin/bash\n", "etc/security/access.conf": "+:x\n-:bob\n-:ALL\n#-:z\n"})
    live.plant({"etc/security/time.conf": "x\n*;*;ada;Al\n # y\n"})
    kinds, ask = guest.PAM_ASKS[module]
    assert kind in kinds and ask(live.tree, guest.Account(*ADA), kind, rest) == doubt


@pytest.mark.parametrize("place", ["etc/security", "usr/share/pam/security", "usr/etc/security"])
def test_name_spaces_are_described_in_one_of_three_places(guest: ModuleType, live: Live, place: str) -> None:
    live.plant({f"{place}/namespace.conf": "", "usr/sbin/auditd": ""})
    assert guest._pam_namespace(live.tree, None, "session", "") == ""
    assert guest._pam_loginuid(live.tree, None, "session", "require_auditd") == ""


def test_a_key_is_over_where_its_day_is_in_every_zone(guest: ModuleType) -> None:
    for days, over in ((3, True), (1, False), (0, False)):
        day = time.strftime("%Y%m%d", time.gmtime(time.time() - days * 86400))
        assert guest.refused_option([("expiry-time", day)]) == ("its expiry-time has passed" if over else "")


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("tunnel", "1073741824", True), ("tunnel", "1073741825", False), ("permitopen", "h:65535", True), ("permitopen", ":80", False), ("permitlisten", "1", True),
        ("permitlisten", "0", False), ("permitlisten", "h:", False), ("expiry-time", "20991231z", True), ("expiry-time", "20990001", False),
        ("expiry-time", "20990132", False), ("expiry-time", "20990131", True), ("expiry-time", "209901311", False), ("environment", "_A=", True),
        ("environment", "A+=", False), ("from", "x", True),
    ],
)  # fmt: skip
def test_values_of_options_of_keys(guest: ModuleType, name: str, value: str, taken: bool) -> None:
    assert bool(guest.KEY_VALUES[name](value)) is taken


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("MaxStartups 10", True), ("MaxStartups 1", False), ("MaxStartups 2", True), ("MaxStartups 2:30:1", False), ("MaxStartups 10:30:100", True), ("MaxStartups 10:30", False), ("MaxStartups 9999", True),
        ("MaxStartups 10000", False), ("MaxStartups 10 20", False), ("Port 1", True), ("Port 0", False), ("Port 65535", True), ("Port 65536", False),
        ("RekeyLimit 65535", False), ("LoginGraceTime 1", False), ("LoginGraceTime 2m", True), ("LoginGraceTime 2d", False), ("ClientAliveInterval 5s", True),
        ("ClientAliveInterval 5x", False), ("Port 22s", False), ("RefuseConnection yes", False),
    ],
)  # fmt: skip
def test_numbers_that_every_sshd_takes(guest: ModuleType, live: Live, line: str, plain: bool) -> None:
    live.plant({"etc/ssh/sshd_config": line + "\n"})
    assert guest.read_sshd(live.tree, "").plain is plain


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"authorizedkeysfile": "/k/%u /x/%z"}, ""),
        ({"authorizedkeysfile": "/k/%h%%%U"}, ""),
        ({"authorizedkeysfile": "/k/%z"}, "sshd does not know %z (AuthorizedKeysFile /k/%z)"),
        ({"authorizedkeysfile": "/k/%%z"}, ""),
        ({"authorizedkeysfile": "/k/%u/x"}, ""),
        ({"authorizedkeysfile": "/k/%zx"}, "sshd does not know %z (AuthorizedKeysFile /k/%zx)"),
        ({"authorizedkeysfile": "/k/%"}, "sshd does not know % (AuthorizedKeysFile /k/%)"),
    ],
)
def test_patterns_of_files_of_keys(guest: ModuleType, words: dict[str, str], why: str) -> None:
    assert guest.keys_refused(_sshd(guest, words), [KEY]) == why


@pytest.mark.parametrize(
    ("methods", "keys", "missing"),
    [("publickey,publickey", 1, True), ("publickey,publickey", 2, False), ("publickey", 0, True)],
)
def test_another_key_each_time(guest: ModuleType, methods: str, keys: int, missing: bool) -> None:
    assert bool(guest.methods_missing(_sshd(guest, {"authenticationmethods": methods}), keys, False)) is missing


def test_a_sudoers_with_faults_of_its_own_stays(guest: ModuleType, live: Live, capfd: Said) -> None:
    live.plant({"usr/bin/sudo": "", "etc/sudoers": "odd\n", "etc/sudoers.d/": ""})
    live.tool("visudo", 'case "$*" in */.sudoers.azp-tmp) echo bad >&2; exit 1 ;; esac')
    assert guest._write_sudoers(live.tree, "ada") is True
    assert capfd.readouterr().err == "warning: /etc/sudoers stays as it is: visudo: exit 1: bad\n"
    assert live.tree.text("/etc/sudoers") == "odd\n" and live.tree.exists("/etc/sudoers.d/90-azure-provisioning")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, []),
        ({"etc/systemd/system/ssh.service": "x"}, []),
        ({"etc/systemd/system/ssh.service": ""}, ["ssh.service is masked: sshd does not start by it"]),
        ({"etc/systemd/system/ssh.service": "", "usr/lib/systemd/system/sshd.service": "x"}, []),
        (
            {"etc/systemd/system/ssh.service": "", "lib/systemd/system/ssh.socket": "x"},
            ["ssh.service is masked: sshd does not start by it"],
        ),
        (
            {
                "etc/systemd/system/ssh.service": "",
                "lib/systemd/system/ssh.socket": "x",
                "etc/systemd/system/sockets.target.wants/ssh.socket": "x",
            },
            [],
        ),
    ],
)
def test_units_that_are_masked(guest: ModuleType, live: Live, files: dict[str, str], said: list[str]) -> None:
    live.plant({"usr/lib/systemd/system/ssh.service": "x", **files})
    assert list(guest._shut_units(live.tree)) == said


@pytest.mark.parametrize(
    ("script", "is_none"), [("echo by-command; echo asked", False), ("echo asked", True), ("", False)]
)
def test_a_shell_that_runs_no_command(
    guest: ModuleType, live: Live, need: Callable[..., None], script: str, is_none: bool
) -> None:
    need("root")
    live.plant(PEOPLE)
    live.tool("su", script)
    assert guest._is_no_shell(live.tree, guest.Account("ada", 1000, 1000, "/home/ada", "/bin/menu")) is is_none
    assert not guest._is_no_shell(live.tree, guest.Account(*ADA))


@pytest.mark.parametrize(
    ("words", "bounds"),
    [
        ({"ciphers": "aes128-ctr", "macs": "hmac-md5"}, [f"{OFFERS}MACs hmac-md5"]),
        ({"ciphers": "aes128-ctr", "macs": "hmac-md5,hmac-sha1"}, []),
        ({"ciphers": "aes128-ctr", "macs": "hmac-sha1-96"}, [f"{OFFERS}MACs hmac-sha1-96"]),
        ({"ciphers": "aes128-ctr,aes256-gcm@openssh.com", "macs": "hmac-md5"}, []),
        ({"macs": "hmac-md5"}, []),
        ({"ciphers": "aes128-ctr", "macs": "-hmac-sha1"}, []),
        ({"pubkeyacceptedalgorithms": "ssh-rsa"}, []),  # the key is of another kind
    ],
)
def test_what_clients_of_today_do_not_take(guest: ModuleType, words: dict[str, str], bounds: list[str]) -> None:
    wishes = guest.Wishes()
    wishes.user, wishes.keys = "ada", [KEY]
    assert list(guest._old_by_parts(wishes, _sshd(guest, words))) == bounds


def test_rsa_keys_by_sha1_alone(guest: ModuleType) -> None:
    wishes = guest.Wishes()
    wishes.user, wishes.keys = "ada", ["ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB me"]
    said = "sshd takes RSA keys by SHA-1 alone, which clients of today do not use: PubkeyAcceptedAlgorithms"
    for accepted, bounds in (("ssh-rsa", [said]), ("ssh-rsa,rsa-sha2-256", []), ("+ssh-rsa", []), ("rsa-*", [])):
        assert list(guest._old_by_parts(wishes, _sshd(guest, {"pubkeyacceptedalgorithms": accepted}))) == bounds
