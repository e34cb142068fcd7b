# ruff: noqa: E501 (tables)
"""The guest's small decisions and its reading of sshd's files, each at its bounds: what still counts, and what no more."""

import base64
import re
import struct
from pathlib import Path
from types import ModuleType

import pytest

from azready.fabric.machine import Machine
from tests.guest.conftest import plant
from tests.guest.test_awk import AWKS, run


def _field(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _key(kind: str, *fields: bytes) -> str:
    return kind + " " + base64.b64encode(b"".join(map(_field, (kind.encode(), *fields)))).decode()


RSA, SK = "ssh-rsa", "sk-ssh-ed25519@openssh.com"
P256, P521 = "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521"


@pytest.mark.parametrize(
    ("key", "taken"),
    [
        (_key("ssh-ed25519", b"x" * 32), True),
        (_key("ssh-ed25519", b"x" * 31), False),
        (_key("ssh-ed25519", b"x" * 33), False),
        (_key("ssh-ed25519", b"x" * 32, b""), False),
        (_key("ssh-ed25519"), False),
        (_key(RSA, b"\1\0\1", b"\0" + b"x" * 127), True),
        (_key(RSA, b"\1\0\1", b"\0" + b"x" * 126), False),
        (_key(RSA, b"", b"x" * 256), False),
        (_key(RSA, b"\1" * 8, b"x" * 128), True),
        (_key(RSA, b"\1" * 9, b"x" * 128), False),
        (_key(RSA, b"\x80", b"x" * 128), False),
        (_key(RSA, b"\x7f", b"\x7f" + b"x" * 127), True),
        (_key(RSA, b"\x7f", b"\x80" + b"x" * 127), False),
        (_key(RSA, b"\1\0\1", b"x" * 128, b""), False),
        (_key(P256, b"nistp256", b"\4" + b"x" * 64), True),
        (_key(P256, b"nistp256", b"\3" + b"x" * 64), False),
        (_key(P256, b"nistp384", b"\4" + b"x" * 64), False),
        (_key(P256, b"nistp256", b"\4" + b"x" * 65), False),
        (_key("ecdsa-sha2-nistp384", b"nistp384", b"\4" + b"x" * 96), True),
        (_key(P521, b"nistp521", b"\4" + b"x" * 132), True),
        (_key(SK, b"x" * 32, b"ssh:"), True),
        (_key(SK, b"x" * 32, b""), False),
        (_key(SK, b"x" * 32), False),
        (_key("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", b"\4" + b"x" * 64, b"a"), True),
        (_key(RSA, b"\1\0\1", b"x" * 128).replace("ssh-rsa", "ssh-ed25519", 1), False),
    ],
)
def test_the_body_of_a_key_is_that_of_its_type(guest: ModuleType, key: str, taken: bool) -> None:
    if taken:
        assert guest.parse_key(key + "  me ") == key + " me"
        return
    with pytest.raises(ValueError, match="not a key of that type"):
        guest.parse_key(key)


KEY = _key("ssh-ed25519", b"x" * 32)


@pytest.mark.parametrize(
    ("line", "start"),
    [
        (KEY, 0),
        (f"restrict {KEY}", 9),
        (f'from="10.*",restrict\t{KEY}', 21),
        (f'command="a \\" b" {KEY}', 17),
        (f'command="a {KEY}', -1),
        (f'command="a\\"" {KEY}', 14),
        (f"restrict \t {KEY}", 11),
        ("restrict ", -1),
        (f"nothing {KEY}", -1),
        (f"NO-PTY {KEY}", 7),
        (f"restrict,{KEY}", -1),
        ("restrict", -1),
        ("", -1),
    ],
)
def test_where_a_key_begins_behind_its_options(guest: ModuleType, line: str, start: int) -> None:
    assert guest.key_start(line) == start


OPTIONS = [
    ('from="10.0.0.0/8,!10.1.*",command="a,b \\" c",no-pty,RESTRICT', ""),
    ('cert-authority,principals="a"', ""),
    ('environment="A_1=",environment="B=c d",touch-required,no-verify-required', ""),
    ('permitopen="h:80",permitopen="[::1]:*",permitlisten="8080",permitlisten="h:http",tunnel="0",tunnel="any"', ""),
    ('expiry-time="20990101",expiry-time="209901312359",expiry-time="20990101000000Z"', ""),
    ('expiry-time="20990101",expiry-time="20200101"', "its expiry-time has passed"),
    ('principals="a"', "its option principals is for authorities (cert-authority)"),
    ("command", "sshd does not take its option command"),
    ('pty="yes"', "sshd does not take its option pty"),
    ('command="a",command="a"', "sshd does not take its option command"),
    ('from=""', "sshd does not take its option from"),
    ('environment="A"', "sshd does not take its option environment"),
    ('environment="A-B=c"', "sshd does not take its option environment"),
    ('environment="=c"', "sshd does not take its option environment"),
    ('permitopen="80"', "sshd does not take its option permitopen"),
    ('permitopen="h:0"', "sshd does not take its option permitopen"),
    ('permitlisten="65536"', "sshd does not take its option permitlisten"),
    ('tunnel="tun0"', "sshd does not take its option tunnel"),
    ('expiry-time="soon"', "sshd does not take its option expiry-time"),
    ('expiry-time="20991301"', "sshd does not take its option expiry-time"),
    ('expiry-time="2099010112"', "sshd does not take its option expiry-time"),
]


@pytest.mark.parametrize(("options", "refused"), OPTIONS)
def test_options_that_sshd_does_not_take(guest: ModuleType, options: str, refused: str) -> None:
    line = f"{options} {KEY}"
    if refused:
        with pytest.raises(ValueError, match=f"^{re.escape(refused)}$"):
            guest.parse_key(line)
    else:
        assert guest.parse_key(line) == line


@pytest.mark.parametrize("awk", AWKS)
def test_every_awk_takes_the_same_options(awk: list[str]) -> None:
    keys = [f"{options} {_key('ssh-ed25519', bytes([number]) * 32)}" for number, (options, _) in enumerate(OPTIONS)]
    text = "".join(f"{key}\n" for key in keys).encode()
    done = run(awk, "shared", "keys", text=text, more="{ keys($0, NR - 1) }\n")
    said = [f"bad_key key {n} was skipped: {why}" if why else f"key {keys[n]}" for n, (_, why) in enumerate(OPTIONS)]
    assert done.stdout.decode().splitlines() == said


def test_keys_side_by_side_come_apart_and_comments_stay(guest: ModuleType) -> None:
    assert guest.split_keys(f"{KEY} a b {KEY} c") == [f"{KEY} a b", f"{KEY} c"]
    assert guest.split_keys(f"{KEY} {KEY}") == [KEY, KEY] and guest.split_keys(f"{KEY} ssh-rsa") == [f"{KEY} ssh-rsa"]
    assert guest.split_keys(f"{KEY} ssh-rsa is what it is") == [f"{KEY} ssh-rsa is what it is"]
    assert guest.split_keys(f"\ufeff{KEY}\n\n  \n") == [KEY]


@pytest.mark.parametrize(
    ("key", "bits"), [(_key(RSA, b"\1\0\1", b"\0" + b"x" * size), size * 8) for size in (128, 256, 384, 512)] + [(KEY, 0)]
)  # fmt: skip
def test_the_size_of_an_rsa_key(guest: ModuleType, key: str, bits: int) -> None:
    assert guest.rsa_bits(key) == bits


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("a b", ["a", "b"]),
        ("a\t b ", ["a", "b"]),
        ("'a b' c", ["a b", "c"]),
        ('"a" ""', ["a", ""]),
        ('a"b c"d', ["ab cd"]),
        ("a # b", ["a"]),
        ("a#b", ["a#b"]),
        (r"a\ b", ["a b"]),
        (r"'a\ b'", [r"a\ b"]),
        (r"\"a\'", ["\"a'"]),
        (r"a\\b", ["a\\b"]),
        ("a\\", ["a\\"]),
        ("'a", ["a"]),
    ],
)
def test_words_are_split_as_openssh_does(guest: ModuleType, text: str, words: list[str]) -> None:
    assert guest.quoted_words(text) == words


@pytest.mark.parametrize(
    ("text", "pattern", "sets", "whole"),
    [
        ("abc", "a*c", False, True), ("abc", "a?c", False, True), ("abc", "ab", False, False), ("", "*", False, True),
        ("", "?", False, False), ("a", "", False, False), ("", "", False, True), ("ac", "a?c", False, False),
        ("b", "[a-c]", True, True), ("d", "[a-c]", True, False), ("d", "[!a-c]", True, True), ("b", "[^a-c]", True, False),
        ("-", "[a-]", True, True), ("]", "[]a]", True, True), ("b", "[]a]", True, False), ("[", "[", True, True),
        ("b", "[a-c]", False, False), ("a", "[!]", True, False), ("[!]", "[!]", True, True), ("[]", "[]", True, True), ("c", "[abc]", True, True), ("bx", "[b]x", True, True),
        ("abc", "*b?", False, True), ("abcd", "*b*d", False, True), ("xab", "*[a]b", True, True), ("xcb", "*[a]b", True, False), ("ab", "*?", False, True), ("", "*?", False, False),
        ("b", "[!a]", True, True), ("a", "[!a]", True, False), ("a", "[!]]", True, True), ("]", "[!]]", True, False), ("]", "[]]", True, True),
    ],
)  # fmt: skip
def test_patterns_fit_the_whole_text(guest: ModuleType, text: str, pattern: str, sets: bool, whole: bool) -> None:
    assert guest.fits(text, pattern, sets) is whole


@pytest.mark.parametrize(
    ("words", "applies"),
    [
        (["all"], True), (["User", "ada"], True), (["user", "bob"], False), (["User=a*,!ada"], False),
        (["Group", "sudo"], True), (["group", "x,wheel"], False), (["invalid-user"], False),
        (["address", "10.0.0.0/8"], None), (["address", "10.0.0.0/8", "user", "bob"], False),
        (["user", "ada", "host", "x"], None), (["user"], False), (["group", "sudo", "user", "ada"], True),
    ],
)  # fmt: skip
def test_whom_a_match_block_is_about(guest: ModuleType, words: list[str], applies: bool | None) -> None:
    assert guest.match_applies(words, "ada", ["ada", "sudo"]) is applies


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("", {"plain": True}),
        ("UsePAM yes\nPort 22\n#x\n", {"plain": True}),
        ("Port\n", {"plain": False}),
        ("Port x\n", {"plain": False}),
        ("PasswordAuthentication maybe\n", {"plain": False}),
        ("AllowUsers ada\n", {"plain": False}),
        ("PubkeyAuthentication yes\n", {"plain": True}),
        ("PubkeyAuthentication no\n", {"plain": False}),
        ("MaxAuthTries 3\n", {"plain": True}),
        ("MaxAuthTries 0\n", {"plain": False}),
        ("DisableForwarding yes\n", {"plain": False}),
        ("AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2\n", {"plain": True}),
        ("AuthorizedKeysFile /etc/keys/%u\n", {"plain": False}),
        ("AuthorizedKeysFile\n", {"plain": False}),
        ("Subsystem sftp internal-sftp\n", {"plain": True}),
        ("Subsystem sftp a\nSubsystem x b\n", {"plain": True}),
        ("Subsystem sftp a\nSubsystem sftp b\n", {"plain": False}),
        ("Subsystem\n", {"plain": False}),
        ("AcceptEnv LANG LC_*\nBanner /etc/issue\n", {"plain": True}),
        ("Banner\n", {"plain": False}),
        ("Match User bob\nPasswordAuthentication yes\n", {"plain": False, "opens": True}),
        ("Match User bob\nPasswordAuthentication no\n", {"plain": False, "opens": False}),
        ("Match User bob\nKbdInteractiveAuthentication yes\n", {"plain": False, "opens": True}),
        ("PasswordAuthentication yes\n", {"plain": True, "opens": False}),
        ("Match User bob\nX11Forwarding yes\n", {"plain": False, "opens": False}),
        ("Match Address 10.0.0.0/8\nAllowUsers x\n", {"plain": False, "unsure": True, "shuts": True}),
        ("Match Address 10.0.0.0/8\nMaxSessions 0\n", {"plain": False, "unsure": True, "shuts": True}),
        ("Match Address 10.0.0.0/8\nMaxSessions 1\n", {"plain": False, "unsure": True, "shuts": False}),
        ("Match User bob\nAllowUsers x\n", {"plain": False, "unsure": False, "shuts": False}),
        ("Match User bob\nInclude shut.conf\nMatch Address 10.1\nAllowUsers x\n", {"plain": False, "unsure": True, "shuts": True}),
        ("Include shut.conf\n", {"plain": False, "unsure": True, "shuts": True}),
        ("Include /etc/ssh/shut.conf\n", {"plain": False, "unsure": True, "shuts": True}),
        ("Match User bob\nInclude shut.conf\n", {"plain": False, "unsure": True, "shuts": False}),
        ("Include none.conf\n", {"plain": True}),
        ("Include loop.conf\n", {"plain": False}),
    ],
)  # fmt: skip
def test_what_is_read_of_sshds_files(guest: ModuleType, config: str, said: dict[str, bool], tmp_path: Path) -> None:
    plant(tmp_path, Machine())
    (tmp_path / "etc/ssh/sshd_config").write_text(config)
    (tmp_path / "etc/ssh/shut.conf").write_text("Match Host x\nAllowGroups y\n")
    (tmp_path / "etc/ssh/loop.conf").write_text("Include loop.conf\n")
    sshd = guest.read_sshd(guest.Tree(str(tmp_path), False), "ada")
    found = {name: getattr(sshd, name) for name in ("plain", "unsure", "opens", "shuts")}
    assert found == {"unsure": False, "opens": False, "shuts": False, **said}


@pytest.mark.parametrize(
    ("config", "user", "says"),
    [
        ("Port 1\nPort 2\n", "ada", {"port": ["1"]}),
        ("AllowUsers a\nAllowUsers b c\n", "ada", {"allowusers": ["a", "b", "c"]}),
        (
            "Port 1\nMatch User ada\nMaxAuthTries 5\nMatch all\nMaxAuthTries 7\n",
            "ada",
            {"maxauthtries": ["5"], "port": ["1"]},
        ),
        ("Match User ada\nMaxAuthTries 5\n", "bob", {"maxauthtries": []}),
        ("MaxAuthTries 1\nMatch User ada\nMaxAuthTries 5\n", "ada", {"maxauthtries": ["5"]}),
        ("MaxAuthTries 1\nMatch User ada\nMaxAuthTries 5\n", "", {"maxauthtries": ["1"]}),
        ("Match Group sudo\nBanner /x\n", "ada", {"banner": ["/x"]}),
        ("ChallengeResponseAuthentication no\n", "ada", {"kbdinteractiveauthentication": ["no"]}),
        ("Match User bob\nInclude in.conf\nMatch all\nBanner /y\n", "ada", {"port": [], "banner": ["/y"]}),
        ("Match User ada\nInclude in.conf\nBanner /y\n", "ada", {"port": ["9"], "banner": ["/y"]}),
    ],
)
def test_which_line_of_sshds_files_counts(
    guest: ModuleType, config: str, user: str, says: dict[str, list[str]], tmp_path: Path
) -> None:
    plant(tmp_path, Machine())
    with (tmp_path / "etc/passwd").open("a") as people:
        people.write("ada:x:1000:1000::/home/ada:/bin/sh\n")
    (tmp_path / "etc/group").write_text("sudo:x:27:ada\nada:x:1000:\n")
    (tmp_path / "etc/ssh/sshd_config").write_text(config)
    (tmp_path / "etc/ssh/in.conf").write_text("Port 9\nMatch User bob\nBanner /z\n")
    sshd = guest.read_sshd(guest.Tree(str(tmp_path), False), user)
    assert {name: sshd.words(name) for name in says} == says


def _sshd(guest: ModuleType, **words: str) -> object:
    sshd = guest.Sshd("/etc/ssh/sshd_config")
    sshd.usual = {name: text.split() for name, text in words.items()}
    return sshd


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({}, ""),
        ({"denyusers": "ada"}, "sshd's DenyUsers names ada"),
        ({"denyusers": "ada@10.*"}, ""),
        ({"allowusers": "bob"}, "sshd's AllowUsers does not name ada"),
        ({"allowusers": "ada@10.*"}, ""),
        ({"allowusers": "ada@*"}, ""),
        ({"allowusers": "ad@*"}, "sshd's AllowUsers does not name ada"),
        ({"denyusers": "ada@*"}, "sshd's DenyUsers names ada"),
        ({"allowusers": "a* !ada"}, ""),
        ({"allowgroups": "s* !sudo"}, ""),
        ({"denygroups": "sudo"}, "sshd's DenyGroups names ada"),
        ({"denygroups": "wheel"}, ""),
        ({"allowgroups": "wheel"}, "sshd's AllowGroups does not name ada"),
        ({"allowgroups": "wheel s*"}, ""),
        ({"denyusers": "ada", "allowusers": "bob"}, "sshd's DenyUsers names ada"),
        ({"maxsessions": "0"}, "sshd's MaxSessions 0 opens no session"),
        ({"maxauthtries": "0"}, "sshd's MaxAuthTries 0 takes no try"),
        ({"maxsessions": "1", "maxauthtries": "1"}, ""),
    ],
)
def test_whom_sshds_lists_shut_out(guest: ModuleType, words: dict[str, str], why: str) -> None:
    assert guest.shut_out(_sshd(guest, **words), "ada", ["ada", "sudo"]) == why


OLD = _key(RSA, b"\1\0\1", b"\0" + b"x" * 128)


@pytest.mark.parametrize(
    ("words", "keys", "why"),
    [
        ({}, [KEY], ""),
        ({"pubkeyauthentication": "no"}, [KEY], "sshd takes no keys (PubkeyAuthentication no)"),
        ({"authorizedkeysfile": "none"}, [KEY], "sshd reads no file of keys (AuthorizedKeysFile none)"),
        ({"authorizedkeysfile": "none", "authorizedkeyscommand": "/x"}, [KEY], ""),
        ({"authorizedkeysfile": "none", "authorizedkeyscommand": "none"}, [KEY], "sshd reads no file of keys (AuthorizedKeysFile none)"),
        ({"authorizedkeysfile": "none", "trustedusercakeys": "/x"}, [KEY], ""),
        ({"pubkeyacceptedalgorithms": "ssh-rsa"}, [KEY], "sshd takes no key of type ssh-ed25519 (PubkeyAcceptedAlgorithms)"),
        ({"pubkeyacceptedalgorithms": "ssh-rsa"}, [KEY, OLD], ""),
        ({"pubkeyacceptedalgorithms": "rsa-sha2-512"}, [OLD], ""),
        ({"pubkeyacceptedalgorithms": "-ssh-ed25519"}, [KEY], ""),
        ({"pubkeyacceptedalgorithms": "+x"}, [KEY], ""),
        ({"pubkeyacceptedalgorithms": "^x"}, [KEY], ""),
        ({"requiredrsasize": "1024"}, [OLD], ""),
        ({"requiredrsasize": "1025"}, [OLD], "sshd takes no RSA key of 1024 bits (RequiredRSASize 1025)"),
        ({"requiredrsasize": "2048"}, [OLD, KEY], ""),
        ({"requiredrsasize": "x"}, [OLD], ""),
    ],
)  # fmt: skip
def test_which_keys_sshd_refuses(guest: ModuleType, words: dict[str, str], keys: list[str], why: str) -> None:
    assert guest.keys_refused(_sshd(guest, **words), keys) == why


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ({}, False),
        ({"passwordauthentication": "no"}, False),
        ({"kbdinteractiveauthentication": "no"}, False),
        ({"passwordauthentication": "no", "kbdinteractiveauthentication": "no"}, True),
    ],
)
def test_passwords_are_refused_where_both_ways_are_off(guest: ModuleType, words: dict[str, str], refused: bool) -> None:
    assert bool(guest.passwords_refused(_sshd(guest, **words))) is refused


@pytest.mark.parametrize(
    ("methods", "key", "password", "missing"),
    [
        ("", True, False, False), ("any", False, False, False), ("publickey", True, False, False),
        ("publickey", False, True, True), ("publickey,password", True, False, True), ("publickey,password", True, True, False),
        ("publickey,password publickey", True, False, False), ("keyboard-interactive:pam", False, True, False),
        ("hostbased", True, True, True), ("Publickey", True, False, False), ("none", False, False, True),
    ],
)  # fmt: skip
def test_methods_that_the_owner_lacks(
    guest: ModuleType, methods: str, key: bool, password: bool, missing: bool
) -> None:
    said = guest.methods_missing(_sshd(guest, authenticationmethods=methods), key, password)
    assert said == (f"sshd wants more than one way to log in (AuthenticationMethods {methods})" if missing else "")


@pytest.mark.parametrize(
    ("function", "given", "wanted"),
    [
        ("own_home", "/home/ada", True), ("own_home", "/home/ada/", True), ("own_home", "/home", False), ("own_home", "/", False),
        ("own_home", "", False), ("own_home", "home/ada", False), ("own_home", "/var/lib/ada", True), ("own_home", "/var/lib", False),
        ("own_home", "/usr/ada", False), ("own_home", "/data/ada", True), ("own_home", "/root", False), ("own_home", "/rootx", True),
        ("uid_min", "", 1000), ("uid_min", "UID_MIN 500\nUID_MIN 600\n", 500), ("uid_min", "UID_MIN\n", 1000), ("uid_min", "UID_MIN x\n", 1000),
        ("uid_min", "#UID_MIN 5\nSYS_UID_MIN 100\n", 1000), ("uid_min", "UID_MIN 0\n", 0),
        ("last_word_is_include", "@includedir /etc/sudoers.d\n", True), ("last_word_is_include", "#includedir /etc/sudoers.d/\n# x\nDefaults a\n", True),
        ("last_word_is_include", "@includedir /etc/sudoers.d\nroot ALL=(ALL) ALL\n", False), ("last_word_is_include", "@includedir /x\n", False),
        ("last_word_is_include", "root ALL=(ALL) ALL\n", False), ("last_word_is_include", "@includedir /etc/sudoers.d\n@include /x\n@includedir /y\n", True),
        ("sudo_asks", "    (ALL) NOPASSWD: ALL\n", False), ("sudo_asks", "    (ALL : ALL) ALL\n", True), ("sudo_asks", "", True),
        ("sudo_asks", "    (ALL) NOPASSWD: ALL\n    (ALL) ALL\n", True), ("sudo_asks", "    (ALL) ALL\n    (root) NOPASSWD: ALL\n", False),
        ("sudo_asks", "    (ALL) NOPASSWD: /bin/ls\n", True), ("sudo_asks", "NOPASSWD: ALL\n", True),
        ("sudoers_name", "ada", "ada"), ("sudoers_name", "ADA", '"ADA"'), ("sudoers_name", "Ada", '"Ada"'),
        ("valid_hostname", "a" * 63, True), ("valid_hostname", "a" * 64, False), ("valid_hostname", ".".join(["a" * 50] * 5), True),
        ("valid_hostname", ".".join(["a" * 51] * 5), False), ("valid_hostname", "", False),
        ("fit_hostname", "a" * 64, "a" * 64), ("fit_hostname", "a" * 65, "a" * 64), ("fit_hostname", "a" * 64 + ".b", "a" * 64),
        ("fit_hostname", "a" * 63 + "-b", "a" * 63), ("fit_hostname", "a.b." + "c" * 62, "a.b"),
        ("knows_itself", "hosts: files myhostname # x\n", True), ("knows_itself", "hosts: files # myhostname\n", False),
        ("knows_itself", "#hosts: myhostname\nhosts: dns\nhosts: myhostname\n", False), ("knows_itself", "", False),
        ("escape_json", 'a"\\\n\ud800\uffff', 'a\\"\\\\   '), ("escape_xml", "<&>\x1f\ufffe", "&lt;&amp;&gt;  "),
        ("refused_config", "/etc/ssh/sshd_config line 3: Bad", "/etc/ssh/sshd_config line 3: Bad"), ("refused_config", "sshd: no hostkeys available line 1 /etc/ssh", ""),
        ("refused_config", "line 3: Bad", ""), ("refused_config", "/etc/ssh/x: Bad", ""),
    ],
)  # fmt: skip
def test_decisions_of_one_text(guest: ModuleType, function: str, given: str, wanted: object) -> None:
    assert getattr(guest, function)(given) == wanted


@pytest.mark.parametrize(
    ("names", "end", "ours"),
    [
        ([], "", "90-azure-provisioning"), (["10-a"], "", "90-azure-provisioning"), (["README"], "", "zz-90-azure-provisioning"), (["95-x"], "", "zz-90-azure-provisioning"),
        (["95-x~", "99.bak"], "", "90-azure-provisioning"), (["zzz"], "", "zzz-90-azure-provisioning"), (["{a"], "", "90-azure-provisioning"),
        (["90-azure-provisioning", "zz-90-azure-provisioning"], "", "90-azure-provisioning"), (["95-x"], ".conf", "90-azure-provisioning"),
        (["95-x.conf"], ".conf", "zz-90-azure-provisioning"),
    ],
)  # fmt: skip
def test_our_file_sorts_behind_all_that_are_read(guest: ModuleType, names: list[str], end: str, ours: str) -> None:
    assert guest.rule_name(names, "90-azure-provisioning", end) == ours


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("a:x:0:0:99:7:5::", "a:x:20000:0::7:::"),
        ("a:x:19000:0:99999:7:5::", "a:x:19000:0:99999:7:::"),
        ("a:x:19000:0:9999:7:::", "a:x:19000:0::7:::"),
        ("a:x:1:0::7:3::", "a:x:1:0::7:::"),
        ("a:x:1:0:0:7:3::", "a:x:1:0::7:::"),
        ("a:x:0:0:99:7", "a:x:0:0:99:7"),
    ],
)
def test_a_password_that_nobody_has_does_not_get_too_old(guest: ModuleType, line: str, wanted: str) -> None:
    assert guest.without_ageing(line, 20000) == wanted


ADA = ("ada", 1000, 1000, "/home/ada", "/bin/sh")
PASSWD = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n"


@pytest.mark.parametrize(
    ("texts", "was_cut", "made"),
    [
        ({"passwd": PASSWD, "shadow": "ada:!:1::::::\n"}, False, {}),
        ({"passwd": PASSWD, "shadow": "root:*:1::::::\n"}, False, {"shadow": "root:*:1::::::\nada:!:20000:0:99999:7:::\n"}),
        ({"passwd": PASSWD.replace("ada:x", "ada:*"), "shadow": ""}, False, {}),
        ({"passwd": PASSWD, "group": "staff:x:1000:\n"}, False, {}),
        ({"passwd": PASSWD, "group": "ada:x:7:\n"}, False, {}),
        ({"passwd": PASSWD, "group": "sudo:x:27:ada\n", "gshadow": "sudo:*::\n"}, False,
         {"group": "sudo:x:27:ada\nada:x:1000:\n", "gshadow": "sudo:*::ada\nada:!::\n"}),
        ({"passwd": PASSWD, "group": "ada:x:1000:\n", "gshadow": ""}, False, {}),
        ({"passwd": PASSWD, "group": "ada:x:1000:\n", "gshadow": ""}, True, {"gshadow": "ada:!::\n"}),
        ({"passwd": PASSWD, "group": "staff:x:1000:\n", "gshadow": ""}, True, {}),
        ({"passwd": PASSWD, "group": "ada:x:1000:\nsudo:x:27:bob,ada\n", "gshadow": "ada:!::\nsudo:*::bob\n"}, True,
         {"gshadow": "ada:!::\nsudo:*::bob,ada\n"}),
        ({"passwd": PASSWD, "subuid": ""}, False, {}),
        ({"passwd": PASSWD, "subuid": ""}, True, {"subuid": "ada:100000:65536\n"}),
        ({"passwd": PASSWD, "subuid": "bob:100000:65536\n"}, True, {"subuid": "bob:100000:65536\nada:165536:65536\n"}),
        ({"passwd": PASSWD, "subuid": "bob:5:6\nx:y:z\nshort:1\n"}, True, {"subuid": "bob:5:6\nx:y:z\nshort:1\nada:100000:65536\n"}),
        ({"passwd": PASSWD, "subgid": "ada:1:2\n"}, True, {}),
        ({"passwd": PASSWD, "subuid": "a:200000:0\nb:0:300000\n"}, True, {"subuid": "a:200000:0\nb:0:300000\nada:300000:65536\n"}),
        ({"passwd": PASSWD, "subuid": "a:4294967296:1\n"}, True, {"subuid": "a:4294967296:1\nada:4294967297:65536\n"}),
        ({"passwd": PASSWD, "subuid": "a:4294967297:1\nb:1:4294967297\n"}, True, {"subuid": "a:4294967297:1\nb:1:4294967297\nada:100000:65536\n"}),
    ],
)  # fmt: skip
def test_account_files_that_were_cut_are_completed(
    guest: ModuleType, texts: dict[str, str], was_cut: bool, made: dict[str, str]
) -> None:
    assert guest.completed(texts, guest.Account(*ADA), 20000, was_cut) == made


@pytest.mark.parametrize(
    ("compute", "extended", "wanted"),
    [
        ({}, {}, (False, False)),
        ({}, {"hasCustomData": "true"}, (True, True)),
        ({}, {"hasCustomData": True}, (True, True)),
        ({}, {"hasCustomData": "false"}, (False, False)),
        ({"osProfile": {"disablePasswordAuthentication": "false"}}, {}, (False, True)),
        ({"osProfile": {"disablePasswordAuthentication": "true"}}, {"hasCustomData": "x"}, (False, False)),
        ({"osProfile": None}, None, (False, False)),
    ],
)
def test_whether_the_medium_is_waited_for(
    guest: ModuleType, compute: object, extended: object, wanted: tuple[bool, bool]
) -> None:
    assert guest.medium_expected({"compute": compute, "extended": {"compute": extended}}) == wanted


@pytest.mark.parametrize(("size", "fits"), [(72, True), (73, False)])
def test_a_password_has_72_characters_at_most(guest: ModuleType, size: int, fits: bool) -> None:
    medium = guest.Medium()
    medium.password = "x" * size
    if fits:
        assert guest.decide(None, medium, "id").password == "x" * size
        return
    with pytest.raises(guest.Failed):
        guest.decide(None, medium, "id")


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("4 2030/04/01 10:00:00", 1901268000), ("4 1970/01/01 00:00:01", 1), ("4 2030/13/01 10:00:00", None), ("4 2030/00/01 10:00:00", None),
        ("epoch 1901268000", 1901268000), ("epoch", None), ("epoch 5 x", 5), ("5 x", None), ("4 9999/12/31 23:59:59", 253402300799), ("4 10000/01/01 00:00:00", None), ("1901268000", 1901268000), ("never", None), ("9" * 12, int("9" * 12)), ("9" * 13, None),
        ("4 2030/04/xx 10:00:00", None), ("", None), ("1 2", None),
    ],
)  # fmt: skip
def test_when_a_lease_ends(guest: ModuleType, words: str, seconds: int | None) -> None:
    assert guest.lease_end(words.split()) == seconds


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("a83f8110", "168.63.129.16"), ("a8:3f:81:10", "168.63.129.16"), ("a8:f:1:10", "168.15.1.16"), ('"\\250?\\201\\020"', "168.63.129.16"),
        ('"\\"\\\\ab"', "34.92.97.98"), ("168.63.129.16", "168.63.129.16"), ("'a83f8110'", "168.63.129.16"), ("a83f811", ""), ("g83f8110", ""),
        ("a8:3f:81:100", ""), ("a8:3f:81:010", ""), ("a8:3f::10", ""), ("", ""),
    ],
)  # fmt: skip
def test_forms_of_an_address_in_a_lease(guest: ModuleType, value: str, address: str) -> None:
    assert guest.parse_ipv4(guest._lease_value(value)) == address


@pytest.mark.parametrize(("root", "whole"), [("/", ""), ("/t/", "/t"), ("t/", "HERE/t"), ("./t", "HERE/./t")])
def test_a_tree_is_named_in_whole(guest: ModuleType, root: str, whole: str) -> None:
    """useradd takes no other."""
    assert guest.Tree(root, dry_run=False).root == whole.replace("HERE", str(Path.cwd()))
