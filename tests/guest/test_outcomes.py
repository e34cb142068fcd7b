# ruff: noqa: E501 (tables)
"""What steps answer in each case, and the readings that they go by: patterns, groups, packets, pieces of answers."""

import errno
import os
import subprocess
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.guest.conftest import KEY, Live

Said = pytest.CaptureFixture[str]
PEOPLE = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\nsshd:x:7:7::/:/x\n",
    "etc/group": "ours:x:50:bob,ada\nada:x:1000:\nodd:x:1000\nsudo:x:27:adam\n",
    "usr/lib/group": "wheel:x:10:ada\n",
    "home/ada/": "",
}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("/etc/a/*.conf", ["/etc/a/1.conf", "/etc/a/2.conf"]), ("/etc/a/.*", ["/etc/a/.h.conf"]), ("/etc/*/1.conf", ["/etc/a/1.conf", "/etc/b/1.conf"]),
        ("/etc/a/?.conf", ["/etc/a/1.conf", "/etc/a/2.conf"]), ("/etc/a/[2-9].conf", ["/etc/a/2.conf"]), ("/etc/a/1.conf", ["/etc/a/1.conf"]), ("/etc/a/x", []),
        ("/etc/c/*", []), ("/*/b/*", ["/etc/b/1.conf", "/etc/b/gone"]), ("/etc/b/gone", ["/etc/b/gone"]), ("/etc/b/no", []),
    ],
)  # fmt: skip
def test_which_files_a_pattern_names(guest: ModuleType, live: Live, pattern: str, found: list[str]) -> None:
    live.plant(
        {
            "etc/a/2.conf": "",
            "etc/a/1.conf": "",
            "etc/a/.h.conf": "",
            "etc/a/n": "",
            "etc/b/1.conf": "",
            "etc/b/gone": "-> x",
        }
    )
    assert guest.glob(live.tree, pattern) == found


def test_the_groups_of_a_user(guest: ModuleType, live: Live) -> None:
    live.plant(PEOPLE)
    assert guest.groups_with(live.tree, "ada") == ["ours", "ada", "wheel"]
    assert guest.groups_with(live.tree, "bob") == ["ours"] and guest.groups_with(live.tree, "eve") == []


@pytest.mark.parametrize(
    ("user", "keys", "dry", "done"),
    [
        ("", [KEY], False, "no user name: skipped"),
        ("ada", [], False, "none given"),
        ("ada", [KEY], False, "/home/ada/.ssh/authorized_keys has 1 key(s), 1 added"),
        ("eve", [KEY, KEY], True, "would write 2 key(s) once eve exists"),
        ("eve", [KEY], False, "failure in step keys: there is no account eve with a home"),
        ("sys", [KEY], False, "failure in step keys: there is no account sys with a home"),
    ],
)
def test_the_step_of_keys(guest: ModuleType, live: Live, user: str, keys: list[str], dry: bool, done: str) -> None:
    live.plant({**PEOPLE, "etc/nsswitch.conf": "passwd: files\n"})
    live.plant({"etc/passwd": PEOPLE["etc/passwd"] + "sys:x:5:5::none:/bin/sh\n"})
    wishes = guest.Wishes()
    wishes.user, wishes.keys, live.tree.dry_run = user, keys, dry
    try:
        said = guest.step_keys(live.tree, wishes, {})
    except guest.Failed as failure:
        said = f"{failure.reason}: {failure.facts[0][1]}"
    assert said == done


@pytest.mark.parametrize("lacks", ["", "selinux", "restorecon", "live", "new keys"])
def test_new_keys_get_their_labels_back(guest: ModuleType, live: Live, lacks: str) -> None:
    live.plant({**PEOPLE, **({} if lacks == "selinux" else {"sys/fs/selinux/enforce": "1"})})
    if lacks != "restorecon":
        live.tool("restorecon")
    live.tree.live = lacks != "live"
    wishes, sshd = guest.Wishes(), guest.Sshd("")
    wishes.user, wishes.keys = "ada", [] if lacks == "new keys" else [KEY]
    path, added = guest._bring_keys(live.tree, wishes, guest.account(live.tree, "ada"), sshd)
    assert (path, added) == ("/home/ada/.ssh/authorized_keys", len(wishes.keys))
    assert live.called() == ([] if lacks else ["restorecon -F -R /home/ada/.ssh"])


DOCUMENT = b"<a><UserPassword>pw</UserPassword><b>x</b></a>"


@pytest.mark.parametrize(
    ("document", "password", "done", "kept"),
    [
        (b"", "", "no medium", ""),
        (DOCUMENT, "pw", "kept without secrets", "<a><UserPassword>REDACTED</UserPassword><b>x</b></a>"),
        (DOCUMENT.replace(b">x<", b">pw<"), "pw", "not kept: a secret is in an unexpected place", ""),
        (b"<a>", "", "not kept: no element found: line 1, column 3", ""),
    ],
)
def test_the_copy_of_the_document(
    guest: ModuleType, live: Live, document: bytes, password: str, done: str, kept: str
) -> None:
    live.plant({"var/lib/azure-provisioning/": ""})
    wishes = guest.Wishes()
    wishes.document, wishes.password = document, password
    assert guest.step_ovf_copy(live.tree, wishes, {}) == done
    copy = live.root / "var/lib/azure-provisioning/ovf-env.xml"
    assert (copy.read_text() if copy.exists() else "") == kept
    assert not kept or copy.stat().st_mode & 0o7777 == 0o600
    (live.root / "var/lib/azure-provisioning").rename(live.root / "gone")
    assert guest.step_ovf_copy(live.tree, wishes, {}) == ("not kept" if kept else done)


def _packet(*options: tuple[int, bytes]) -> bytes:
    body = b"".join(bytes([number, len(value)]) + value if number else b"\0" for number, value in options)
    return b"\0" * 236 + b"\x63\x82\x53\x63" + body


@pytest.mark.parametrize(
    ("options", "tail", "found"),
    [
        ([(245, b"abcd")], b"\xff", b"abcd"), ([(1, b"xxxx"), (0, b""), (245, b"abcd")], b"", b"abcd"), ([(245, b"abc")], b"", b""), ([(245, b"abcde")], b"", b""),
        ([(1, b""), (245, b"abcd")], b"", b"abcd"), ([(1, b"xy")], b"\xff\xf5\x04abcd", b""), ([(1, b"xy")], b"\xff\0\xf5\x04abcd", b""), ([], b"", b""), ([(1, b"xy")], b"\xf5", b""), ([(1, b"")] * 3, b"\0\0", b""),
    ],
)  # fmt: skip
def test_an_option_of_a_packet(guest: ModuleType, options: list[tuple[int, bytes]], tail: bytes, found: bytes) -> None:
    assert guest._packet_option(_packet(*options) + tail, 245) == found


def test_a_lease_in_a_packet_ends(guest: ModuleType) -> None:
    packet = _packet((245, bytes([10, 0, 0, 1])), (51, (600).to_bytes(4, "big")))
    now = time.time()
    assert guest.lease_option_245(packet) == "10.0.0.1"
    assert guest.lease_option_245(packet, now - 500) == "10.0.0.1"
    assert guest.lease_option_245(packet, now - 700) == ""
    assert guest.lease_option_245(_packet((245, bytes([10, 0, 0, 1]))), 5) == "10.0.0.1", "it does not say when it ends"


def test_a_block_within_a_lease_is_of_that_lease(guest: ModuleType) -> None:
    within = "lease {{\n  expire 4 {}/01/01 00:00:00;\n  on commit {{\n  }}\n  option unknown-245 a:0:0:1;\n}}\nlease\n"
    assert guest.lease_option_245(within.format(2100).encode()) == "10.0.0.1"
    assert guest.lease_option_245(within.format(2000).encode()) == ""


LEASE = 'lease {{\n  interface "{}";\n  option unknown-245 a:0:0:{};\n  expire {};\n}}\n'


@pytest.mark.parametrize(
    ("leases", "interfaces", "found"),
    [
        ([("eth0", 1, "4 2100/01/01 00:00:00")], ["eth0"], "10.0.0.1"), ([("eth0", 1, "4 2100/01/01 00:00:00")], ["eth1"], ""), ([("eth0", 1, "never")], [], "10.0.0.1"),
        ([("eth0", 1, "4 2000/01/01 00:00:00")], [], ""), ([("eth0", 1, "never"), ("eth0", 2, "4 2000/01/01 00:00:00")], [], "10.0.0.1"),
        ([("eth0", 1, "never"), ("eth0", 2, "never")], [], "10.0.0.2"), ([("eth0", 1, "epoch 5; # Thu Jan  1 00:00:05 1970")], [], ""),
        ([("eth0", 1, "4 2000/01/01 00:00:00; # over")], [], ""), ([("eth0", 1, "epoch 4110000000; # 2100")], [], "10.0.0.1"),
    ],
)  # fmt: skip
def test_which_lease_of_a_file_counts(
    guest: ModuleType, leases: list[tuple[str, int, str]], interfaces: list[str], found: str
) -> None:
    text = "".join(LEASE.format(*lease) for lease in leases)
    assert guest.lease_option_245(text.encode(), None, interfaces) == found


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b"2\r\nok\r\n0\r\n", b"ok"), (b"2;x=y\r\nok\r\n00\r\n", b"ok"), (b"1\r\no\r\n1\r\nk\r\n0\r\n", b"ok"), (b"2\r\nok\r\n0", None), (b"2\r\nok\r", None), (b"2\r\no", None), (b"", None),
        (b"\r\nok\r\n", ValueError), (b"g\r\n", ValueError), (b"123456789\r\n", ValueError), (b"-1\r\n", ValueError), (b"00000002\r\nok\r\n0\r\n", b"ok"), (b"A\r\n0123456789\r\n0\r\n", b"0123456789"), (b"10\r\n0123456789abcdef\r\n0\r\n", b"0123456789abcdef"),
    ],
)  # fmt: skip
def test_pieces_of_an_answer(guest: ModuleType, data: bytes, content: Any) -> None:
    if content is ValueError:
        with pytest.raises(ValueError, match="a bad chunk"):
            guest._chunks(data)
    else:
        assert guest._chunks(data) == content


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("data", "ended", "said"),
    [
        (b"", True, "an empty answer"), (b"H", True, "the answer was cut short"), (b"H" * 65536, False, None), (b"H" * 65537, False, "the answer was cut short"),
        (HEAD + b"Content-Length: 1048576\r\n\r\n", False, None), (HEAD + b"Content-Length: 1048577\r\n\r\n", False, "the answer is too large"),
        (HEAD + b"Content-Length: 2\r\n\r\no", False, None), (HEAD + b"Content-Length: 2\r\n\r\no", True, "the answer was cut short"), (HEAD + b"Content-Length: 2\r\n\r\nok!", False, b"ok"),
        (b"HTTP/1.1 99 x\r\n\r\n", True, "not an HTTP answer"), (b"HTTP/1.1 100 x\r\n\r\n", True, b""), (b"HTTP/1.1 599 x\r\n\r\n", True, b""), (b"HTTP/1.1 600 x\r\n\r\n", True, "not an HTTP answer"),
        (b"HTTP/1.1 204 x\r\n\r\n", False, b""), (b"HTTP/1.1 304 x\r\n\r\n", False, b""), (b"HTTP/1.1 200 x\r\n\r\n", False, None), (b"HTTP/2 200 x\r\n\r\n", True, "not an HTTP answer"),
    ],
    ids=range(17),
)  # fmt: skip
def test_answers_at_their_bounds(guest: ModuleType, data: bytes, ended: bool, said: Any) -> None:
    if isinstance(said, str):
        with pytest.raises(ValueError, match=said):
            guest.parse_response(data, ended)
        return
    response = guest.parse_response(data, ended)
    assert (response and response.body) == said


def test_an_answer_is_shown_in_one_line(guest: ModuleType) -> None:
    response = guest.parse_response(b"HTTP/1.0 500  \r\nA:b\r\n\r\n", True)
    assert (str(response), response.headers) == ("500", {"a": "b"})
    assert len(guest.parse_response(b"HTTP/1.0 500 " + b"x" * 90 + b"\r\n\r\n", True).phrase) == 63


STEPS = {"ACCESS": "fail", "SKIP": "", "GROUPS": "", "SHELL": ""}


@pytest.mark.parametrize(
    ("setting", "wishes", "done"),
    [
        ({"ACCESS": "off"}, {}, "off (ACCESS=off)"),
        ({}, {"user": ""}, "no user name: skipped"),
        ({}, {"user": "eve"}, "there is no account eve: skipped"),
        ({}, {"keys": []}, "neither a key nor a password was asked for"),
        ({}, {}, "ada gets in and becomes root"),
        ({}, {"keys": [], "bad_keys": ["key 0 is bad"]}, "no way to log in: no usable key | key 0 is bad"),
        ({}, {"keys": [], "password_wanted": True}, "no way to log in: passwords are wanted, and none came"),
        ({"SKIP": "keys"}, {"keys": [], "password_wanted": True}, "ada gets in and becomes root"),
        ({"SKIP": "password"}, {"keys": [], "password_wanted": True}, "ada gets in and becomes root"),
        ({"ACCESS": "warn"}, {"keys": [], "password_wanted": True}, "in doubt"),
        ({}, {"keys": [], "bad_keys": [f"key {n}" for n in range(9)]}, "no way to log in: no usable key" + "".join(f" | key {n}" for n in range(8))),
        ({"SSHD": "Match Host x\nX11Forwarding no\n"}, {"keys": [], "password": "", "password_wanted": True}, "in doubt"),
        ({"SSHD": "PubkeyAuthentication no\n"}, {}, "no way to log in: sshd takes no keys (PubkeyAuthentication no)"),
        ({"SSHD": "PubkeyAuthentication no\nUsePAM no\n"}, {"password": "pw"}, "ada gets in and becomes root"),
        ({"SSHD": "PubkeyAuthentication no\n", "SKIP": "keys"}, {}, "ada gets in and becomes root"),
        ({"SSHD": "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPubkeyAuthentication no\n"}, {"password": "pw"},
         "no way to log in: sshd takes no keys (PubkeyAuthentication no); sshd takes no passwords (PasswordAuthentication no)"),
        ({"SSHD": "AuthenticationMethods publickey,password\n"}, {}, "no way to log in: sshd wants more than one way to log in (AuthenticationMethods publickey,password)"),
        ({"SSHD": "DenyUsers ada\n"}, {}, "no way to log in: sshd's DenyUsers names ada"),
        ({"SSHD": "HostKey /gone\n"}, {}, "no way to log in: sshd does not start: none of its host keys is there (HostKey /gone)"),
        ({"SSHD": "HostKey /gone\n", "SKIP": "host-keys"}, {}, "ada gets in and becomes root"),
        ({"SSHD": None}, {}, "ada gets in and becomes root"),
    ],
)  # fmt: skip
def test_who_gets_in(
    guest: ModuleType, live: Live, capfd: Said, setting: dict[str, Any], wishes: dict[str, Any], done: str
) -> None:
    live.plant(
        {
            **PEOPLE,
            "bin/sh": "#!/bin/sh\n",
            "home/ada/.ssh/authorized_keys": KEY,
            "etc/nsswitch.conf": "passwd: files\n",
        }
    )
    for path in (live.root, *live.root.rglob("*")):
        path.chmod(0o755)
    settings = {**STEPS, **setting}
    config = settings.pop("SSHD", "UsePAM no\n")
    if config is not None:
        live.plant({"etc/ssh/sshd_config": config, "usr/sbin/sshd": ""})
        (live.root / "usr/sbin/sshd").chmod(0o755)
    wanted = guest.Wishes()
    for name, value in {"user": "ada", "keys": [KEY], **wishes}.items():
        setattr(wanted, name, value)
    try:
        said = guest.step_access(live.tree, wanted, settings)
    except guest.Failed as failure:
        said = " | ".join([failure.reason, *(text for _, text in failure.facts)])
    assert said == done
    warned = capfd.readouterr().err
    assert ("no sshd: nobody logs in over the network" in warned) is (config is None)
    assert ("warning: no way to log in: " in warned) is (done == "in doubt")


def test_the_step_of_the_user(guest: ModuleType, live: Live, capfd: Said) -> None:
    live.plant({**PEOPLE, "etc/nsswitch.conf": "passwd: files\n", "etc/skel/": ""})
    wishes = guest.Wishes()
    assert guest.step_user(live.tree, wishes, STEPS) == "no user name: users and keys are skipped"
    wishes.user = "ada"
    live.tool("usermod")
    settings = {**STEPS, "GROUPS": "ours"}
    assert guest.step_user(live.tree, wishes, settings) == "ada exists, uid 1000, groups ours"
    assert guest.step_user(live.tree, wishes, {**STEPS, "GROUPS": "ops"}) == "ada exists, uid 1000, groups none"
    assert (
        guest.step_user(live.tree, wishes, {**STEPS, "GROUPS": "sudo,ours"}) == "ada exists, uid 1000, groups sudo,ours"
    )
    assert live.called() == ["usermod -a -G sudo ada"]
    live.tree.is_fixed = lambda path: path == "/etc"
    capfd.readouterr()
    assert guest.step_user(live.tree, wishes, {**STEPS, "GROUPS": "sudo"}) == "ada exists, uid 1000, groups sudo"
    assert capfd.readouterr().err == "warning: /etc is read-only: ada does not join sudo\n" and len(live.called()) == 1
    wishes.user = "eve"
    with pytest.raises(guest.Failed) as raised:
        guest.step_user(live.tree, wishes, STEPS)
    assert raised.value.facts == (("error", "/etc is read-only, and eve is not in the image"),)
    live.tree.is_fixed = lambda path: False
    live.tree.dry_run = True
    live.tool("useradd")
    assert guest.step_user(live.tree, wishes, {**STEPS, "GROUPS": "sudo"}) == "eve created, uid ?, groups sudo"
    assert capfd.readouterr().err == "would run useradd --create-home --shell /bin/sh --groups sudo eve\n"


@pytest.mark.parametrize(
    ("raises", "reason", "facts"),
    [
        (OSError(errno.ENOSPC, "full", "/x"), "failure in step user", "[Errno 28] full: '/x'"),
        (ValueError("odd"), "failure in step user", "odd"),
    ],
)
def test_whatever_goes_wrong_in_a_step_names_it(
    guest: ModuleType, live: Live, raises: Exception, reason: str, facts: str
) -> None:
    def step(*_: object) -> str:
        raise error

    for error in (raises, guest.CommandFailed("x", 3, b""), guest.TimeLimit(), guest.Failed("own", ("a", "b"))):
        with pytest.raises(guest.Failed) as raised:
            guest.take_step("user", step, live.tree, None, {})
        told = [(key, str(value)) for key, value in raised.value.facts]
        last = {"CommandFailed": "x: exit 3", "TimeLimit": "a program does not end"}.get(type(error).__name__, facts)
        own = type(error).__name__ == "Failed"
        assert told == [("step", "user"), ("a", "b") if own else ("error", last)]
        assert raised.value.reason == ("own" if own else reason)


@pytest.mark.parametrize(("after_boot", "counts"), [(-90, False), (-30, True), (30, True)])
def test_what_was_written_within_a_minute_before_the_boot_is_of_this_boot(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch, after_boot: int, counts: bool
) -> None:
    """The clock may have been set meanwhile: for leases, for locks of the account tools, for new host keys."""
    at = guest.boot_time() + after_boot
    tool = live.tools / "useradd"
    tool.symlink_to("/bin/sleep")
    with subprocess.Popen([str(tool), "60"]) as running:
        try:
            while Path(f"/proc/{running.pid}/comm").read_text() != "useradd\n":
                pass  # it is on its way
            live.plant(
                {
                    "var/lib/dhcp/a.leases": "OPTION_245=0a000001\n",
                    "etc/passwd.lock": str(running.pid),
                    "etc/ssh/ssh_host_rsa_key": "x",
                }
            )
            for path in live.root.rglob("*"):
                os.utime(path, (at, at))
            synced: list[str] = []
            monkeypatch.setattr(guest, "_sync_file", synced.append)
            guest._sync_host_keys(live.tree)
            seen = (guest.leased_wireserver(live.tree), guest._lock_lives(live.tree, "/etc/passwd.lock"), len(synced))
        finally:
            running.kill()
    assert seen == (("10.0.0.1", True, 1) if counts else ("", False, 0))


def test_doubts_are_said_in_whole(guest: ModuleType, live: Live, capfd: Said) -> None:
    live.plant(
        {
            **PEOPLE,
            "bin/sh": "#!/bin/sh\n",
            "usr/bin/sudo": "",
            "etc/sudoers": "Defaults requiretty, runas_default=bob\n",
            "etc/nologin": "",
        }
    )
    live.plant(
        {
            "etc/ssh/sshd_config": "ForceCommand /x\n",
            "usr/sbin/sshd": "",
            "etc/pam.d/sudo": "account required pam_deny.so\nsession required pam_permit.so\n",
        }
    )
    for path in (live.root, *live.root.rglob("*")):
        path.chmod(0o755)
    wishes = guest.Wishes()
    wishes.user, wishes.keys = "ada", [KEY]
    live.plant({"home/ada/.ssh/authorized_keys": KEY})
    guest.step_access(live.tree, wishes, STEPS)
    assert [line.removeprefix("warning: ").split(":")[0] for line in capfd.readouterr().err.splitlines()] == [
        "whether ada may sudo is not known",
        "sudo wants a terminal",
        "sudo makes ada bob, and not root",
        "pam_deny keeps everybody out of sudo",
        "/etc/nologin is there",
        "sshd's ForceCommand /x holds for ada",
    ]
