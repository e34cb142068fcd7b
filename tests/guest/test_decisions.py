"""What shall be done, decided from what was read: values in, values out."""

import subprocess
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

RSA = "ssh-rsa " + "AAAAB3NzaC1yc2EAAAADAQABAAABAQC7" + "A" * 340
ED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMlZb0mFpOVY5rT0gIFbKxZ8Wcx3bqLJ9D2dJ0rCkq7Q"
VM = "0d1f6a1f-0a7e-4f7e-8a3b-5ec2a6f49d0c"


def _imds(
    name: str = "", user: str = "", disabled: object = "", keys: object = None, vm: str = "vm1", **more: Any
) -> Any:
    profile = {"adminUsername": user, "computerName": name, "disablePasswordAuthentication": disabled}
    return {"compute": {"name": vm, "osProfile": profile, "publicKeys": keys or [], **more}}


def _medium(guest: ModuleType, **values: Any) -> Any:
    medium = guest.Medium()
    for name, value in values.items():
        setattr(medium, name, value)
    return medium


def test_imds_goes_before_the_medium_and_the_medium_fills_its_gaps(guest: ModuleType) -> None:
    medium = _medium(guest, hostname="from-medium", user="mia", keys=[RSA], password="pw", password_login=True)
    both = guest.decide(_imds("from-imds", "ida", "true", [{"keyData": ED}]), medium, VM)
    assert (both.hostname, both.user, both.keys, both.password_login, both.password) == (
        "from-imds",
        "ida",
        [ED],
        False,
        "pw",
    )
    gaps = guest.decide(_imds(vm=""), medium, VM)
    assert (gaps.hostname, gaps.user, gaps.keys, gaps.password_login) == ("from-medium", "mia", [RSA], True)
    alone = guest.decide(None, medium, VM)
    assert (alone.hostname, alone.user, alone.keys) == ("from-medium", "mia", [RSA])
    bare = guest.decide(_imds(), None, VM)
    assert (bare.hostname, bare.user, bare.keys, bare.password_login) == ("vm1", "", [], None)


@pytest.mark.parametrize(
    ("disabled", "login"),
    [
        ("true", False),
        ("TRUE", False),
        ("false", True),
        ("False", True),
        ("", None),
        ("maybe", None),
        (None, None),
        (True, False),
        (0, None),
    ],
)
def test_passwords_stay_off_unless_they_are_asked_for(guest: ModuleType, disabled: object, login: bool | None) -> None:
    wishes = guest.decide(_imds(disabled=disabled), None, VM)
    assert (wishes.password_login, wishes.password_wanted) == (login, login is True)


@pytest.mark.parametrize(
    ("imds", "medium", "password", "login", "wanted"),
    [
        (None, None, "pw", True, True),
        (None, False, "pw", False, True),
        (None, True, "pw", True, True),
        ("true", True, "pw", False, True),
        ("false", False, "", True, True),
        (None, None, "", None, False),
        (None, False, "", False, False),
        (None, True, "", True, True),
    ],
)
def test_what_both_sources_say_of_passwords(
    guest: ModuleType, imds: object, medium: bool | None, password: str, login: bool | None, wanted: bool
) -> None:
    disc = _medium(guest, password=password, password_login=medium)
    wishes = guest.decide(_imds(disabled=imds), disc, VM)
    assert (wishes.password_login, wishes.password_wanted) == (login, wanted)


@pytest.mark.parametrize("name", ["-a", "a-", "a_b", "a..b", "ä", "a b", "$(reboot)", "a\n", "x" * 64 + ".y", "a/b"])
def test_a_host_name_that_is_none_fails_by_its_key(guest: ModuleType, name: str) -> None:
    if name.strip() == "a":  # texts are trimmed
        assert guest.decide(_imds(name), None, VM).hostname == "a"
        return
    with pytest.raises(guest.Failed) as raised:
        guest.decide(_imds(name), None, VM)
    assert raised.value.reason == "invalid IMDS metadata for key=compute.osProfile.computerName"


REFUSED = "unexpected metadata parsing ovf-env.xml: HostName"


@pytest.mark.parametrize(
    ("computer", "vm", "medium", "name", "refused"),
    [
        ("c1", "vm1", "m1", "c1", False),
        ("", "vm1", "m1", "m1", False),
        ("", "my_vm", "m1", "m1", False),
        ("", "vm1", "m_1", "vm1", False),
        ("", "my_vm", "m_1", "", True),
        ("", "", "m_1", "", True),
        ("", "", "m1", "m1", False),
        ("", "vm1", "", "vm1", False),
        ("", "my_vm", "", "", False),
        ("", "", "", "", False),
    ],
)
def test_which_of_three_names_the_host_has(
    guest: ModuleType, computer: str, vm: str, medium: str, name: str, refused: bool
) -> None:
    disc = _medium(guest, hostname=medium)
    if refused:
        with pytest.raises(guest.Failed, match=REFUSED):
            guest.decide(_imds(computer, vm=vm), disc, VM)
        return
    wishes = guest.decide(_imds(computer, vm=vm), disc, VM)
    assert (wishes.hostname, bool(wishes.remarks)) == (name, vm == "my_vm" and not medium)


def test_a_vm_name_that_is_no_host_name_is_not_used(guest: ModuleType) -> None:
    wishes = guest.decide(_imds(vm="my_vm"), None, VM)
    assert wishes.hostname == ""
    assert "my_vm" in wishes.remarks[0]


def test_a_long_host_name_is_cut_at_a_dot_or_at_64(guest: ModuleType) -> None:
    assert guest.fit_hostname("a" * 40 + "." + "b" * 40) == "a" * 40
    assert guest.fit_hostname("a" * 63 + "." + "b" * 40) == "a" * 63
    wishes = guest.decide(_imds("a" * 40 + "." + "b" * 40), None, VM)
    assert "cut" in wishes.remarks[0]


@settings(max_examples=200, deadline=None)
@given(name=st.text(alphabet="ab-.9", min_size=1, max_size=120))
def test_a_fitted_host_name_is_a_host_name(guest: ModuleType, name: str) -> None:
    if guest.valid_hostname(name):
        fitted = guest.fit_hostname(name)
        assert guest.valid_hostname(fitted)
        assert len(fitted) <= 64


@pytest.mark.parametrize("name", ["a", "_x", "azureuser", "a-b_c.d", "Admin1", "x" * 32])
def test_user_names(guest: ModuleType, name: str) -> None:
    assert guest.decide(_imds(user=name), None, VM).user == name


@pytest.mark.parametrize("name", ["1a", "-a", "a b", "a:b", "a/b", "ä", "x" * 33, "a\tb", "%wheel", "#0", "a,b", "a$"])
def test_bad_user_names_fail_by_their_key(guest: ModuleType, name: str) -> None:
    with pytest.raises(guest.Failed) as raised:
        guest.decide(_imds(user=name), None, VM)
    assert raised.value.reason == "invalid IMDS metadata for key=compute.osProfile.adminUsername"
    with pytest.raises(guest.Failed) as raised:
        guest.decide(None, _medium(guest, user=name), VM)
    assert raised.value.reason == "unexpected metadata parsing ovf-env.xml: UserName"


@pytest.mark.parametrize("password", ["a\nroot:b", "a\r", "a\0", "x" * 513])
def test_a_password_that_chpasswd_would_misread_is_refused(guest: ModuleType, password: str) -> None:
    with pytest.raises(guest.Failed) as raised:
        guest.decide(None, _medium(guest, password=password), VM)
    assert raised.value.reason == "unexpected metadata parsing ovf-env.xml: UserPassword"


def test_one_bad_key_is_skipped_by_its_number_and_the_others_are_used(guest: ModuleType) -> None:
    keys = [
        {"keyData": "-----BEGIN CERTIFICATE-----\nMII\n"},
        {"keyData": RSA + " me\r\n"},
        {"path": "/x"},
        {"keyData": ED},
        "x",
        {"keyData": RSA + " me"},
    ]
    wishes = guest.decide(_imds(keys=keys), None, VM)
    assert wishes.keys == [RSA + " me", ED]
    assert [remark[:5] for remark in wishes.remarks] == ["key 0", "key 2", "key 4"]


def test_line_ends_inside_a_key_are_taken_out_and_pasted_keys_come_apart(guest: ModuleType) -> None:
    broken = RSA[:50] + "\r\n" + RSA[50:70] + "\n" + RSA[70:]
    assert guest.split_keys(broken) == [RSA]
    assert guest.split_keys(f"{RSA} one\n{ED} two\n") == [RSA + " one", ED + " two"]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "ssh-rsa",
        "ssh-dss AAAA",
        'commands="x" ' + ED,
        'command="x ' + ED,
        "ssh-rsa " + ED.split()[1],
        ED[:-30],
        "ssh-rsa !!!!",
        ED.replace("IMlZ", "IM=Z"),
    ],
)
def test_what_is_no_key(guest: ModuleType, key: str) -> None:
    with pytest.raises(ValueError):
        guest.parse_key(key)


def test_a_comment_cannot_carry_control_characters(guest: ModuleType) -> None:
    assert guest.parse_key(ED + " me\x1b[2J\u2028x") == ED + " me [2J\u2028x"


def test_existing_keys_stay_and_none_is_repeated(guest: ModuleType) -> None:
    existing = f'# mine\nfrom="10.*" {RSA} old comment'.encode()
    content, added = guest.missing_keys(existing, [RSA + " new", ED])
    assert (content, added) == (existing + b"\n" + ED.encode() + b"\n", 1)
    assert guest.missing_keys(content, [RSA, ED]) == (content, 0)


def test_custom_data_that_is_not_base64_is_kept_as_it_came(guest: ModuleType) -> None:
    wishes = guest.decide(_imds(userData="aGVs\nbG8="), _medium(guest, custom_data="not base64!"), VM)
    assert (wishes.user_data, wishes.custom_data) == (b"hello", b"not base64!")
    assert wishes.remarks == ["custom data is not base64 and is kept as it came"]


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(reason=st.text(max_size=300), facts=st.lists(st.tuples(st.just("k"), st.text(max_size=3000)), max_size=8))
def test_a_description_fits_after_escaping_and_breaks_nothing(guest: ModuleType, reason: str, facts: Any) -> None:
    text = guest.description(reason, facts)
    assert len(guest.escape_xml(text)) < 4096
    goal = guest.GoalState("c<", "i&", "1")
    import json
    from xml.etree import ElementTree

    root = ElementTree.fromstring(guest.health_xml(goal, "NotReady", "ProvisioningFailed", text))
    assert root.findtext("Container/ContainerId") == "c<"
    assert (root.findtext(".//Description") or "") == guest.carriable(text)
    assert json.loads(guest.health_json("NotReady", "ProvisioningFailed", text))["details"][
        "description"
    ] == guest.carriable(text)


def test_a_description_of_ampersands_is_cut_before_it_is_escaped(guest: ModuleType) -> None:
    text = guest.description("r", [("k", "&" * 1500)] * 4)
    assert 4000 < len(guest.escape_xml(text)) < 4096


@settings(max_examples=100, deadline=None)
@given(value=st.text(max_size=1500))
def test_a_kvp_record_has_its_size_and_is_utf8(guest: ModuleType, value: str) -> None:
    record = guest.kvp_record("PROVISIONING_REPORT", value)
    assert len(record) == 2560
    text = record[512:].rstrip(b"\0")
    assert len(text) <= 1022
    text.decode()


def test_hosts_gets_the_name_once(guest: ModuleType) -> None:
    assert guest.hosts_with("127.0.0.1 localhost vm1 # x\n", "VM1") is None
    assert guest.hosts_with("127.0.0.1 localhost", "vm1") == "127.0.0.1 localhost\n127.0.1.1 vm1\n"
    assert guest.hosts_with("127.0.1.1 old\n::1 x\n", "a.b") == "127.0.1.1 a.b a\n::1 x\n"
    assert guest.hosts_with("# vm1\n", "vm1") == "# vm1\n127.0.1.1 vm1\n"
    assert (
        guest.hosts_with("10.0.0.1 a\r\n# x\u2028y\x0cz\n", "vm1") == "10.0.0.1 a\r\n# x\u2028y\x0cz\n127.0.1.1 vm1\n"
    )


@pytest.mark.parametrize(
    ("text", "taken"),
    [("0", True), ("4294967294", True), ("0" * 5000 + "7", True), ("4294967297", False), ("9" * 5000, False)]
    + [(text, False) for text in ("", "-1", "+1", " 1", "\u00b2", "\u0661", "1\n", "1_0")],
    ids=lambda value: repr(value)[:12],
)
def test_numbers_are_plain_decimals(guest: ModuleType, text: str, taken: bool) -> None:
    assert guest.is_number(text, 0, 1 << 32) is taken


def test_a_full_name_is_no_end_of_a_line(guest: ModuleType) -> None:
    """U+2028, U+0085 and form feeds in a name; numbers of another script in subuid."""
    people = "root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000:A\u2028B\x0cC\u0085:/home/me:/bin/sh\n"
    owner = guest.Account("me", 1000, 1000, "/home/me", "/bin/sh")
    texts = {"passwd": people, "shadow": "root:*:1::::::\n", "gshadow": "sudo:*::\n", "group": "sudo:x:27:me\n"}
    texts["subuid"] = "x:\u00b2:\u00b2\nbob:4294000000:65536\n"
    made = guest.completed(texts, owner, 19000, True)
    assert made["shadow"].endswith("me:!:19000:0:99999:7:::\n")
    assert made["gshadow"] == "sudo:*::me\nme:!::\n" and made["group"].endswith("me:x:1000:\n")
    assert made["subuid"].endswith("me:4294065536:65536\n")


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (["#PasswordAuthentication no", "PasswordAuthentication yes", "PasswordAuthentication no"], "yes"),
        (["passwordauthentication=no"], "no"),
        (["PasswordAuthentication = no"], "no"),
        (['PasswordAuthentication "no"'], "no"),
        ([""], ""),
    ],
)
def test_sshd_takes_the_first_value(guest: ModuleType, lines: list[str], value: str) -> None:
    sshd = guest.Sshd("/etc/ssh/sshd_config")
    for line in lines:
        name, words = guest.sshd_words(line)
        if name:
            guest._take_sshd_line(sshd, sshd.usual, name, words)
    assert sshd.says("passwordauthentication", "") == value


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("", "/home/ada/.ssh/authorized_keys"),
        ("none", "/home/ada/.ssh/authorized_keys"),
        (".ssh/authorized_keys .ssh/authorized_keys2", "/home/ada/.ssh/authorized_keys"),
        ("/etc/ssh/keys/%u", "/etc/ssh/keys/ada"),
        ("%h/keys-%U%%", "/home/ada/keys-1000%"),
    ],
)
def test_keys_go_where_sshd_looks(guest: ModuleType, setting: str, path: str) -> None:
    assert guest.keys_path(setting.split(), guest.Account("ada", 1000, 1000, "/home/ada", "/bin/sh")) == path


@settings(max_examples=15, deadline=None)
@given(
    password=st.text(
        min_size=1,
        max_size=130,
        alphabet=st.characters(min_codepoint=33, max_codepoint=0x2FF, blacklist_categories=("Cs", "Cc")),
    )
)
def test_our_hash_is_the_one_of_openssl(guest: ModuleType, password: str) -> None:
    try:
        done = subprocess.run(
            ["openssl", "passwd", "-6", "-salt", "saltsaltsaltsalt", "-stdin"],
            input=f"{password}\n".encode(),
            capture_output=True,
            check=True,
        )
    except FileNotFoundError:
        pytest.skip("needs openssl: make setup, as root")
    assert guest.sha512_crypt(password.encode(), "saltsaltsaltsalt") == done.stdout.decode().strip()


def test_a_home_has_the_mode_that_useradd_would_give_it(guest: ModuleType) -> None:
    for text, mode in (
        ("", 0o755),
        ("UMASK 077\n", 0o700),
        ("UMASK 022\nHOME_MODE 0750\n", 0o750),
        ("#HOME_MODE 0700\nUMASK\t027", 0o750),
        ("HOME_MODE 0777\n", 0o755),
        ("HOME_MODE what\nUMASK 9\n", 0o755),
    ):
        assert guest.home_mode(text) == mode, text
