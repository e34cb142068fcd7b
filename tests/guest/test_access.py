# ruff: noqa: E501 (tables)
"""Whether the owner gets in and becomes root: each reason and each doubt, with what is said of it."""

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tests.guest.conftest import KEY, Live

ADA = ("ada", 1000, 1000, "/home/ada", "/bin/sh")
BASE = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n",
    "etc/group": "root:x:0:\nsudo:x:27:ada\n",
    "etc/nsswitch.conf": "passwd: files\n",
    "bin/sh": "",
    "home/ada/": "",
}
RULE = "# x\nada ALL=(ALL:ALL) NOPASSWD: ALL\n"
OURS = "etc/sudoers.d/90-azure-provisioning"
SUDOERS = {"etc/sudoers": "root ALL=(ALL) ALL\n%sudo ALL=(ALL) ALL\n@includedir /etc/sudoers.d\n", OURS: RULE}


def _sshd(guest: ModuleType, words: dict[str, str]) -> Any:
    sshd = guest.Sshd("/etc/ssh/sshd_config")
    sshd.usual = {name: text.split() for name, text in words.items()}
    return sshd


@pytest.mark.parametrize(
    ("shell", "nodes", "why"),
    [
        ("/bin/sh", {}, ""),
        ("", {}, ""),
        *[(f"/usr/sbin/{name}", {}, f"the shell of ada is /usr/sbin/{name}")
          for name in ("nologin", "false", "true", "sync", "halt", "shutdown", "git-shell")],
        ("/bin/zsh", {}, "the shell of ada, /bin/zsh, is not there"),
        ("/home", {}, "the shell of ada, /home, is a folder"),
        ("/bin/sh", {"etc/shadow": "bob:x:1::::::\nada:x:1:0:9:7::10:\n"}, "the account ada has expired"),
        ("/bin/sh", {"etc/shadow": "bob:x:1:::::1:\nada:x:1:0:9:7::99999999:\n"}, ""),
        ("/bin/sh", {"etc/shadow": "ada:x:1:0:9:7:::\n"}, ""),
        ("/bin/sh", {"etc/shadow": "ada:x:1:0:9:7:0\n"}, ""),
        ("/bin/sh", {"etc/shadow": "ada:x:1:0:9:7::0\n"}, "the account ada has expired"),
        ("/bin/sh", {"etc/nsswitch.conf": "passwd: sss files\n"},
         "the system does not find the account ada (passwd: sss files in /etc/nsswitch.conf)"),
        ("/bin/sh", {"etc/nsswitch.conf": "passwd: compat sss\n"}, ""),
        ("/bin/sh", {"etc/nsswitch.conf": "passwd: files sss\n"}, ""),
        ("/bin/sh", {"etc/nsswitch.conf": "group: sss\n"}, ""),
    ],
)  # fmt: skip
def test_an_account_that_lets_nobody_in(
    guest: ModuleType, live: Live, shell: str, nodes: dict[str, str], why: str
) -> None:
    live.plant({**BASE, **nodes})
    owner = guest.Account("ada", 1000, 1000, "/home/ada", shell)
    assert guest._shut_account(live.tree, owner) == why
    live.tree.live = False
    offline = not why.endswith(("is not there", "is a folder", "nsswitch.conf)"))
    assert guest._shut_account(live.tree, owner) == (why if offline else "")


def test_an_account_expires_at_the_beginning_of_its_day(guest: ModuleType, live: Live) -> None:
    today = int(guest.time.time() // 86400)
    for day, shut in ((today - 1, True), (today, True), (today + 2, False)):
        live.plant({**BASE, "etc/shadow": f"ada:x:1:0:9:7::{day}:\n"})
        assert bool(guest._shut_account(live.tree, guest.Account(*ADA))) is shut


@pytest.mark.parametrize(
    ("path", "mode", "uid", "gid", "why"),
    [
        ("home", 0o755, 0, 0, ""),
        ("home", 0o711, 0, 0, ""),
        ("home", 0o750, 0, 0, "ada cannot enter /home, which has mode 750"),
        ("home", 0o710, 0, 27, ""),
        ("home", 0o700, 0, 27, "ada cannot enter /home, which has mode 700"),
        ("home/ada", 0o700, 1000, 1000, ""),
        ("home/ada", 0o700, 0, 0, ""),
        ("bin/sh", 0o700, 0, 0, "ada may not run /bin/sh, which has mode 700"),
        ("bin/sh", 0o700, 1000, 0, ""),
        ("bin", 0o700, 0, 0, "ada cannot enter /bin, which has mode 700"),
        ("usr/lib", 0o700, 0, 0, "ada cannot enter /usr/lib, which has mode 700"),
        ("usr", 0o744, 0, 0, "ada cannot enter /usr, which has mode 744"),
        (".", 0o700, 0, 0, "ada cannot enter /, which has mode 700"),
        (".", 0o4711, 0, 0, ""),
        (".", 0o1700, 0, 0, "ada cannot enter /, which has mode 1700"),
    ],
)
def test_the_way_to_home_and_shell(
    guest: ModuleType, live: Live, need: Callable[..., None], path: str, mode: int, uid: int, gid: int, why: str
) -> None:
    need("root")
    live.plant({**BASE, "usr/lib/": ""})
    for place in (live.root, *live.root.rglob("*")):
        place.chmod(0o755)
    os.chown(live.root / path, uid, gid)
    (live.root / path).chmod(mode)
    assert guest._closed_way(live.tree, guest.Account(*ADA)) == why


@pytest.mark.parametrize(
    ("path", "mode", "verb"),
    [
        ("lib64/libc.so.6", 0o644, ""),
        ("lib64/libc.so.6", 0o755, ""),
        ("lib64/libc.so.6", 0o711, "cannot read"),
        ("lib64/libc.so.6", 0o660, "cannot read"),
        ("lib64/libtinfo.so.6", 0o600, "cannot read"),
        ("lib64", 0o700, "cannot enter"),
        ("lib64/libz.so.1", 0o600, ""),
    ],
)
def test_libraries_that_the_owner_cannot_read(
    guest: ModuleType, live: Live, need: Callable[..., None], path: str, mode: int, verb: str
) -> None:
    need("root")
    live.plant({**BASE, "lib64/": ""})
    if path != "lib64":
        live.plant({path: ""})
    for place in (live.root, *live.root.rglob("*")):
        place.chmod(0o755)
    (live.root / path).chmod(mode)
    said = f"ada {verb} /{path}, which has mode {mode:o}"
    assert guest._closed_way(live.tree, guest.Account(*ADA)) == (said if verb else "")


def test_roots_group_is_a_group_like_any_other_only_where_the_owner_is_in_it(
    guest: ModuleType, live: Live, need: Callable[..., None]
) -> None:
    need("root")
    live.plant(BASE)
    (live.root / "home").chmod(0o710)
    (live.root / "bin/sh").chmod(0o755)
    owner = guest.Account(*ADA)
    assert "cannot enter /home" in guest._closed_way(live.tree, owner)
    live.plant({"etc/group": "root:x:0:ada\n"})
    assert guest._closed_way(live.tree, owner) == ""
    live.plant({"etc/group": "root:x:0:\n"})
    live.tree.live = False
    assert guest._closed_way(live.tree, owner) == ""


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({}, ""),
        ({"hostkey": "/bin/sh"}, ""),
        ({"hostkey": "/gone /bin/sh"}, ""),
        ({"hostkey": "/gone /too"}, "sshd does not start: none of its host keys is there (HostKey /gone /too)"),
    ],
)
def test_host_keys_that_are_named_and_not_there(guest: ModuleType, live: Live, words: dict[str, str], why: str) -> None:
    live.plant(BASE)
    assert guest._without_host_keys(live.tree, _sshd(guest, words)) == why
    live.tree.live = False
    assert guest._without_host_keys(live.tree, _sshd(guest, words)) == ""


@pytest.mark.parametrize(
    ("plain", "words", "unfit"),
    [
        (False, {}, False),
        (False, {"hostkeyalgorithms": "ssh-ed25519", "hostkey": "/etc/ssh/ssh_host_rsa_key"}, True),
        (True, {"hostkeyalgorithms": "ssh-ed25519", "hostkey": "/etc/ssh/ssh_host_rsa_key"}, False),
        (False, {"hostkeyalgorithms": "rsa-sha2-512,ssh-ed25519", "hostkey": "/etc/ssh/ssh_host_rsa_key"}, False),
        (False, {"hostkeyalgorithms": "+x", "hostkey": "/etc/ssh/ssh_host_rsa_key"}, False),
        (False, {"hostkeyalgorithms": "ssh-ed25519", "hostkey": "/etc/ssh/special"}, False),
        (False, {"hostkeyalgorithms": "ssh-ed25519", "hostkey": "/k/rsa /k/ed25519"}, False),
        (False, {"hostkeyalgorithms": "ssh-ed25519", "hostkey": "/ed25519/rsa"}, True),
        (False, {"hostkeyalgorithms": "ssh-ed25519"}, False),
        (False, {"hostkeyalgorithms": "ssh-ed25519-cert-v01@openssh.com", "hostkey": "/k/ed25519"}, True),
        (False, {"hostkeyalgorithms": "sk-ssh-ed25519@openssh.com", "hostkey": "/k/ed25519"}, True),
        (False, {"hostkeyalgorithms": "ssh-ed25519", "hostkey": "/k/rsa", "hostkeyagent": "/x"}, False),
        (False, {"hostkeyalgorithms": "ssh-ed25519", "hostkey": "/k/rsa", "hostcertificate": "/x"}, False),
        (False, {"hostkeyalgorithms": "ssh-ed25519", "hostkey": "/k/rsa", "hostcertificate": "none", "hostkeyagent": "none"}, True),
    ],
)  # fmt: skip
def test_host_keys_that_may_not_be_shown(guest: ModuleType, plain: bool, words: dict[str, str], unfit: bool) -> None:
    sshd = _sshd(guest, words)
    sshd.plain = plain
    said = f"sshd has no host key of the kinds that it may show (HostKeyAlgorithms {words.get('hostkeyalgorithms')})"
    assert guest.host_keys_unfit(sshd) == (said if unfit else "")


@pytest.mark.parametrize(
    ("words", "text", "why"),
    [
        ({}, None, ""),
        ({"revokedkeys": "none"}, None, ""),
        ({"revokedkeys": "/etc/gone"}, None, "sshd takes no keys: RevokedKeys /etc/gone is not there"),
        ({"revokedkeys": "/etc/revoked"}, "# none\n", ""),
        ({"revokedkeys": "/etc/revoked"}, "#\n\n# none\n", ""),
        ({"revokedkeys": "/etc/revoked"}, KEY, "RevokedKeys /etc/revoked names the key"),
    ],
)
def test_keys_that_count_no_more(
    guest: ModuleType, live: Live, words: dict[str, str], text: str | None, why: str
) -> None:
    live.plant({**BASE, **({"etc/revoked": text} if text else {})})
    assert guest._revoked(live.tree, _sshd(guest, words), [KEY]) == why
    other = "ssh-rsa AAAAother"
    assert guest._revoked(live.tree, _sshd(guest, words), [KEY, other]) == ("" if text else why)
    live.tree.live = False
    assert guest._revoked(live.tree, _sshd(guest, words), [KEY]) == ""


LISTENS = "sshd listens to this machine alone (ListenAddress %s)"
BOTH = {"usepam": "no"}


@pytest.mark.parametrize(
    ("nodes", "words", "doubts"),
    [
        ({}, {}, []),
        ({"etc/nologin": ""}, {}, ["/etc/nologin is there: nobody but root logs in while it is"]),
        ({"etc/hosts.deny": "ALL: ALL\n"}, {}, ["/etc/hosts.deny may keep ada out: ALL: ALL"]),
        ({"etc/hosts.deny": "x, sshd : 10.\nftpd: ALL\n"}, {}, ["/etc/hosts.deny may keep ada out: x, sshd : 10."]),
        ({"etc/hosts.deny": "#ALL: ALL\nvsftpd: sshd\n"}, {}, []),
        ({"etc/hosts.deny": "ALL: ALL\n", "etc/hosts.allow": "sshd: ALL\n"}, {}, []),
        ({"home/ada/.bashrc": "exit\n"}, {}, ["/home/ada/.bashrc may end the shell of ada: it says exit"]),
        ({"home/ada/.profile": "x\nexit 0\n"}, {}, ["/home/ada/.profile may end the shell of ada: it says exit"]),
        ({"home/ada/.bash_profile": "  exit\n# exit"}, {}, []),
        ({"etc/ssh/sshd_not_to_be_run": ""}, {}, ["/etc/ssh/sshd_not_to_be_run is there: Debian's ssh.service does not start while it is"]),
        ({}, {"listenaddress": "127.0.0.1"}, [LISTENS % "127.0.0.1"]),
        ({}, {"listenaddress": "[::1]:22 localhost"}, [LISTENS % "[::1]:22 localhost"]),
        ({}, {"listenaddress": "127.0.0.1 10.0.0.4"}, ["sshd listens to certain addresses alone (ListenAddress 127.0.0.1 10.0.0.4)"]),
        ({}, {"listenaddress": "127.0.0.1 0.0.0.0"}, []),
        ({}, {"listenaddress": "::"}, ["sshd listens to IPv6 alone"]),
        ({}, {"listenaddress": "[fe80::1]:22 ::"}, ["sshd listens to IPv6 alone"]),
        ({}, {"listenaddress": ":: 0.0.0.0"}, []),
        ({}, {"addressfamily": "inet6"}, ["sshd listens to IPv6 alone"]),
        ({}, {"addressfamily": "inet6", "listenaddress": "::1"}, [LISTENS % "::1"]),
        ({}, {"addressfamily": "inet"}, []),
        ({"etc/pam.d/sshd": "account required pam_deny.so\nsession required pam_permit.so\n"}, {"usepam": "yes"},
         ["pam_deny keeps everybody out: /etc/pam.d/sshd"]),
        ({"etc/pam.d/sshd": "account required pam_deny.so\nsession required pam_permit.so\n"}, {}, []),
        ({"etc/pam.d/sshd": "auth required pam_deny.so\naccount required pam_permit.so\nsession required pam_permit.so\n"},
         {"usepam": "yes"}, []),
    ],
)  # fmt: skip
def test_doubts(guest: ModuleType, live: Live, nodes: dict[str, str], words: dict[str, str], doubts: list[str]) -> None:
    live.plant({**BASE, **nodes})
    wishes = guest.Wishes()
    wishes.user, wishes.keys = "ada", [KEY]
    assert list(guest._doubts(live.tree, guest.Account(*ADA), wishes, _sshd(guest, words))) == doubts


@pytest.mark.parametrize(
    ("keys", "password", "login", "opens", "shuts", "doubts"),
    [
        ([KEY], "", False, True, False, ["a Match block of sshd_config allows passwords"]),
        ([KEY], "", None, True, False, ["a Match block of sshd_config allows passwords"]),
        ([KEY], "", True, True, False, []),
        ([KEY], "", None, False, True, ["a Match block of sshd_config may keep ada out, by where the connection comes from"]),
        (["cert-authority " + KEY], "", None, False, False, ["every key is an authority's: ada gets in by a certificate alone (cert-authority)"]),
        (["restrict,cert-authority " + KEY], "", None, False, False, ["every key is an authority's: ada gets in by a certificate alone (cert-authority)"]),
        (["cert-authority " + KEY, KEY], "", None, False, False, []),
        ([], "pw", None, False, False, ["pam_deny keeps everybody out: /etc/pam.d/sshd"]),
        ([KEY], "pw", None, False, False, []),
    ],
)  # fmt: skip
def test_doubts_by_the_owners_wishes(
    guest: ModuleType, live: Live, keys: list[str], password: str, login: bool | None, opens: bool, shuts: bool, doubts: list[str]
) -> None:  # fmt: skip
    yes = "account required pam_permit.so\nsession required pam_permit.so\n"
    live.plant({**BASE, "etc/pam.d/sshd": f"auth required pam_deny.so\n{yes}"})
    wishes, sshd = guest.Wishes(), _sshd(guest, {"usepam": "yes"})
    wishes.user, wishes.keys, wishes.password, wishes.password_login = "ada", keys, password, login
    sshd.opens, sshd.shuts = opens, shuts
    assert list(guest._doubts(live.tree, guest.Account(*ADA), wishes, sshd)) == doubts


@pytest.mark.parametrize(
    ("words", "keys", "password", "bounds"),
    [
        ({}, [KEY], "", []),
        ({"authorizedkeysfile": "none", "trustedusercakeys": "/ca"}, [KEY], "",
         ["sshd reads no file of keys: whether it takes a key is left to TrustedUserCAKeys /ca"]),
        ({"authorizedkeysfile": "none", "trustedusercakeys": "/ca", "authorizedkeyscommand": "/c %u"}, [KEY], "",
         ["sshd reads no file of keys: whether it takes a key is left to AuthorizedKeysCommand /c %u"]),
        ({"authorizedkeysfile": "none", "trustedusercakeys": "/ca"}, [], "pw", []),
        ({"setenv": "A=1 PATH=/x"}, [KEY], "", ["sshd's SetEnv A=1 PATH=/x holds for ada"]),
        ({"setenv": "XPATH=/x"}, [KEY], "", []),
        ({"forcecommand": "/bin/false x"}, [KEY], "", ["sshd's ForceCommand /bin/false x holds for ada"]),
        ({"chrootdirectory": "/srv"}, [], "pw", ["sshd's ChrootDirectory /srv holds for ada"]),
        ({"chrootdirectory": "none", "forcecommand": "None"}, [KEY], "", []),
        ({"chrootdirectory": "/srv"}, [], "", []),
    ],
)  # fmt: skip
def test_bounds(guest: ModuleType, words: dict[str, str], keys: list[str], password: str, bounds: list[str]) -> None:
    wishes = guest.Wishes()
    wishes.user, wishes.keys, wishes.password = "ada", keys, password
    assert list(guest._bounds(wishes, _sshd(guest, words))) == bounds


@pytest.mark.parametrize(
    ("nodes", "plain"),
    [
        (SUDOERS, True),
        ({**SUDOERS, OURS: "# x\nbob ALL=(ALL:ALL) NOPASSWD: ALL\n"}, False),
        ({**SUDOERS, "etc/sudoers.d/README": ""}, False),
        ({**SUDOERS, "etc/sudoers.d/10-x": ""}, True),
        ({**SUDOERS, "etc/sudoers": "@includedir /etc/sudoers.d\nbob ALL=(ALL) ALL\n"}, False),
        ({**SUDOERS, "etc/sudoers": "bob ALL=(ALL) ALL\n@includedir /etc/sudoers.d\n"}, False),
        ({**SUDOERS, "etc/sudoers": "root ALL=(ALL) ALL\n"}, False),
        ({**SUDOERS, "etc/sudoers": f"root ALL=(ALL) ALL\n#include /{OURS}\n"}, True),
        ({**SUDOERS, "etc/nsswitch.conf": "sudoers: files # x\n"}, True),
        ({**SUDOERS, "etc/nsswitch.conf": "sudoers: ldap files\n"}, False),
        ({**SUDOERS, "etc/nsswitch.conf": "x: y\nsudoers: files ldap\n"}, False),
        ({**SUDOERS, "etc/sudo.conf": "Plugin sudoers_policy sudoers.so\nDebug x\n"}, True),
        ({**SUDOERS, "etc/sudo.conf": " Plugin sudoers_policy other.so\n"}, False),
        ({**SUDOERS, "etc/sudo.conf": "Path plugin_dir /x\n"}, False),
        ({**SUDOERS, "etc/sudo.conf": "Path askpass /x\nProbe\n#Plugin sudoers_policy other.so\n"}, True),
    ],
)
def test_sudo_is_asked_where_more_than_our_rule_counts(
    guest: ModuleType, live: Live, nodes: dict[str, str], plain: bool
) -> None:
    live.plant({**BASE, **nodes})
    assert guest.sudo_is_plain(live.tree, "ada") is plain


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["Defaults requiretty\n"], {"requiretty": "yes"}),
        (["Defaults !requiretty, x\n"], {"requiretty": "no", "x": "yes"}),
        (["Defaults requiretty\n", " Defaults\t! requiretty # x\n"], {"requiretty": "no"}),
        (['Defaults secure_path="/a:/b"\n'], {"secure_path": "/a:/b"}),
        (["Defaults:ada runcwd = /x\nDefaults:bob runcwd=/y\nDefaults@host z\n"], {"runcwd": "/x"}),
        (["#Defaults a\nx Defaults b\n"], {}),
    ],
)
def test_settings_of_sudo(guest: ModuleType, texts: list[str], said: dict[str, str]) -> None:
    assert guest.sudo_settings(texts, "ada") == said


@pytest.mark.parametrize(
    ("setting", "bounds"),
    [
        ("requiretty", ["sudo wants a terminal: requiretty"]),
        ("!requiretty", []),
        ("runas_default=bob", ["sudo makes ada bob, and not root: runas_default"]),
        ("runas_default=root", []),
        ('secure_path="/x:/y"', ["sudo finds no programs: secure_path /x:/y"]),
        ('secure_path="/x:/bin"', []),
        ("runchroot=/gone", ["sudo starts no program: runchroot /gone is not there"]),
        ("runcwd=/gone", ["sudo starts no program: runcwd /gone is not there"]),
        ("runcwd=/home", []),
        ("runcwd=~", []),
    ],
)
def test_bounds_of_sudo(guest: ModuleType, live: Live, setting: str, bounds: list[str]) -> None:
    live.plant({**BASE, "etc/sudoers": f"Defaults {setting}\n"})
    assert guest._sudo_bounds(live.tree, "ada") == bounds
    live.plant(
        {"etc/sudoers": "", "etc/sudoers.d/10-x": f"Defaults {setting}\n", "etc/sudoers.d/y~": "Defaults requiretty\n"}
    )
    assert guest._sudo_bounds(live.tree, "ada") == bounds


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        (0o4755, ""),
        (0o4711, ""),
        (0o755, "ada cannot become root: TOOL is not setuid root"),
        (0o4750, "ada may not run TOOL, which has mode 4750"),
    ],
)
def test_a_sudo_that_makes_nobody_root(
    guest: ModuleType, live: Live, need: Callable[..., None], mode: int, why: str
) -> None:
    need("root")
    assert guest._sudo_is_closed(live.tree, "ada") == ""
    live.tool("sudo")
    (live.tools / "sudo").chmod(mode)
    assert guest._sudo_is_closed(live.tree, "ada") == why.replace("TOOL", f"{live.tools}/sudo")
    os.chown(live.tools / "sudo", 7, 7)
    assert "is not setuid root" in guest._sudo_is_closed(live.tree, "ada")


@pytest.mark.parametrize(
    ("here", "script", "doubt", "calls"),
    [
        ("sudo", "echo '    (ALL : ALL) NOPASSWD: ALL'", "", ["sudo -n -l -U ada"]),
        ("sudo", "echo '    (ALL : ALL) ALL'", "ada cannot become root: sudo wants a password that nobody has", ["sudo -n -l -U ada"]),
        ("sudo", "echo broken >&2; exit 1", "whether ada may sudo is not known: sudo: exit 1: broken", ["sudo -n -l -U ada"]),
        ("doas", "", "", ["doas -C /etc/doas.conf"]),
        ("doas", "echo syntax >&2; exit 1", "ada cannot become root: doas: exit 1: syntax", ["doas -C /etc/doas.conf"]),
    ],
)  # fmt: skip
def test_sudo_and_doas_are_asked(
    guest: ModuleType, live: Live, need: Callable[..., None], here: str, script: str, doubt: str, calls: list[str]
) -> None:
    need("root")
    live.plant({**BASE, f"usr/bin/{here}": "", "etc/sudoers": "", "etc/doas.conf": ""})
    live.tool(here, script)
    (live.tools / here).chmod(0o4755)
    assert guest._sudo_in_doubt(live.tree, "ada") == (doubt, False)
    assert live.called() == calls
    live.plant(SUDOERS)
    live.tree.live = here == "sudo"  # plain: nobody is asked; nor is anybody of a tree
    assert guest._sudo_in_doubt(live.tree, "ada") == ("", False)
    live.tree.live = False
    assert guest._sudo_in_doubt(live.tree, "ada") == ("", False)
    assert live.called() == calls
