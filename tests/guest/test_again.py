# ruff: noqa: E501 (tables)
"""What is right stays untouched, what was begun is ended, and what only root can do is tried by nobody else."""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.guest.conftest import HOST_KEY, KEY, Live

Need = Callable[..., None]
Said = pytest.CaptureFixture[str]
SETTINGS = {"GROUPS": "", "SHELL": "", "SKIP": "", "CUSTOM_DATA": "save", "HOOK_TIMEOUT": "5"}
PEOPLE = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\nsshd:x:7:7::/:/x\n"


def _touched(root: Path) -> dict[str, int]:
    """When each node was changed last, in whatever way."""
    return {str(path.relative_to(root)): path.lstat().st_ctime_ns for path in root.rglob("*")}


def _wishes(guest: ModuleType, **values: Any) -> Any:
    wishes = guest.Wishes()
    for name, value in {"user": "ada", "hostname": "web1", "keys": [KEY], **values}.items():
        setattr(wishes, name, value)
    return wishes


@pytest.mark.parametrize(
    "name", ["hostname", "user", "sudo", "keys", "password", "host-keys", "sshd", "custom-data", "ovf-copy"]
)
def test_a_step_that_is_taken_again_touches_nothing(guest: ModuleType, live: Live, need: Need, name: str) -> None:
    need("root")
    live.tree.live = False
    live.plant({"etc/passwd": PEOPLE.replace("1000:1000", "2000:2000"), "etc/shadow": "ada:*:1:0:99999:7:::\n"})
    live.plant({"etc/group": "sudo:x:27:ada\n", "etc/sudoers.d/": "", "etc/sudoers": "@includedir /etc/sudoers.d\n"})
    live.plant({"etc/ssh/sshd_config": "Include sshd_config.d/*.conf\n", "home/ada/": "", "usr/bin/sudo": ""})
    live.plant({f"etc/ssh/ssh_host_{kind}_key": HOST_KEY for kind in ("rsa", "ecdsa", "ed25519")})
    live.plant({"var/lib/azure-provisioning/": "", "etc/skel/.profile": ""})
    step = dict(guest.STEPS)[name]
    wishes = _wishes(guest, custom_data=b"x", user_data=b"y", document=b"<a><b>x</b></a>")
    step(live.tree, wishes, SETTINGS)
    before = _touched(live.root)
    step(live.tree, wishes, SETTINGS)
    assert _touched(live.root) == before


def test_an_ordinary_user_changes_no_owner(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch, capfd: Said
) -> None:
    """Of a tree that is made by somebody who is not root; here all of it belongs to the one who runs the test."""
    live.plant({"etc/skel/.config/set": "on", "etc/skel/link": "-> .config", "home/ada/.ssh/": "", "etc/sudoers": ""})
    (live.root / "etc/sudoers").chmod(0o666)
    monkeypatch.setattr(guest.posix, "geteuid", lambda: 1)
    owner = guest.Account("ada", os.getuid() + 5, os.getgid() + 5, "/home/ada", "/bin/sh")
    guest._settle_home(live.tree, owner, True)
    assert guest.add_keys(live.tree, "/home/ada/.ssh/keys", owner, [KEY]) == 1
    guest._close_to_others(live.tree, "/etc/sudoers")
    assert {path.lstat().st_uid for path in live.root.rglob("*")} == {os.getuid()}
    assert (live.root / "etc/sudoers").stat().st_mode & 0o777 == 0o666
    assert guest._closed_way(live.tree, owner) == "" and capfd.readouterr().err == ""
    strict = guest.Sshd("x")
    assert guest._unreadable(live.tree, _wishes(guest), owner, strict) == ""


@pytest.mark.parametrize(
    ("left", "whole"),
    [({}, False), ({"etc/passwd.lock": "99999999"}, True), ({"etc/.azure-provisioning-begun": ""}, True)],
    ids=["nothing", "a lock", "the mark"],
)
def test_an_account_whose_making_was_cut_is_completed(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch, left: dict[str, str], whole: bool
) -> None:
    monkeypatch.setattr(guest.posix, "geteuid", lambda: 1)
    live.plant({"etc/passwd": "ada:x:1000:1000::/home/ada:/bin/sh\n", "etc/group": "ada:x:1000:\n"})
    live.plant({"etc/nsswitch.conf": "passwd: files\n", "etc/skel/.profile": "skel"})
    live.plant({"home/ada/": "", **left})
    assert guest.step_user(live.tree, _wishes(guest), SETTINGS) == "ada exists, uid 1000, groups none"
    assert live.tree.exists("/home/ada/.profile") is whole
    assert not [path for path in left if live.tree.exists("/" + path)]


def test_an_account_on_a_read_only_file_system_is_whole(guest: ModuleType, live: Live, capfd: Said) -> None:
    live.plant({"etc/passwd": "ada:x:1000:1000::/home/ada:/bin/sh\n", "etc/shadow": "", "etc/group": ""})
    owner = guest.account(live.tree, "ada")
    live.tree.is_fixed = lambda path: path == "/etc"
    assert guest._complete_account(live.tree, owner, True) is False and live.tree.text("/etc/shadow") == ""
    live.tree.is_fixed = lambda path: False
    assert guest._complete_account(live.tree, owner, False) is True
    assert guest._complete_account(live.tree, owner, False) is False
    said = ("shadow", "group")
    assert capfd.readouterr().err == "".join(f"user: /etc/{name} had no entry for ada\n" for name in said)


def test_it_is_on_the_disk_that_an_account_is_begun_before_it_is_made(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.plant({"etc/": ""})
    seen: list[str] = []
    monkeypatch.setattr(
        guest.posix, "fsync", lambda number: seen.append(str(Path(f"/proc/self/fd/{number}").readlink()))
    )
    guest._begin(live.tree)
    assert seen == [f"{live.root}/etc/.azure-provisioning-begun"] and "/etc" in live.tree._unsynced


def test_what_a_tool_that_runs_is_writing_stays(guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ("passwd", "passwd.lock", "passwd.5", "passwd+", "shadow.7", "shadow.07x", "group.", "gshadow+")
    live.plant({f"etc/{name}": "" for name in files})
    monkeypatch.setattr(guest, "_lock_lives", lambda tree, path: path == "/etc/passwd.lock")
    assert guest._clear_locks(live.tree) is True
    assert live.tree.names("/etc") == ["group.", "passwd", "passwd+", "passwd.5", "passwd.lock", "shadow.07x"]


@pytest.mark.parametrize("links", [1, 2, 8, 9])
def test_a_chain_of_links_to_the_homes(guest: ModuleType, live: Live, capfd: Said, links: int) -> None:
    """Eight are followed; in a circle nobody goes for ever."""
    live.plant({"home": "-> l1", **{f"l{n}": f"-> l{n + 1}" for n in range(1, links)}})
    if links > 8:
        with pytest.raises(FileExistsError):
            guest._make_room_for_homes(live.tree)
        return
    guest._make_room_for_homes(live.tree)
    assert (live.root / f"l{links}").is_dir() and (live.root / "home").is_dir()
    assert capfd.readouterr().err == f"user: made /l{links}, which /home names\n"


def test_root_acts_on_this_machine(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A tree in its place, which the program takes for it."""
    monkeypatch.setattr(guest, "Tree", lambda root, dry_run: live.tree)
    monkeypatch.setattr(guest.posix, "geteuid", lambda: 0)
    monkeypatch.setitem(guest.VERBS, "report", lambda *_: 5)
    assert guest.act(guest.parse_options(["report", "--platform=azure"]), 0.0) == 5
    monkeypatch.setattr(guest.posix, "geteuid", lambda: 1)
    assert guest.act(guest.parse_options(["report", "--platform=azure"]), 0.0) == 77
    live.tree.live = False
    assert guest.act(guest.parse_options(["report", "--platform=azure"]), 0.0) == 5


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        ("/etc/ssh/sshd_config: line 3: Bad configuration option: x", True),
        ("/etc/ssh/sshd_config line 3: no hostkeys there", False),
        ("/usr/etc/x line 3: odd", False),
        ("/etc/ssh/x: odd", False),
        ("sshd: no hostkeys available -- exiting.", False),
        ("Missing privilege separation directory: /run/sshd", False),
        ("/etc/ssh/x line 1: Missing privilege separation directory", False),
        ("Privilege separation user sshd does not exist", True),
        ("AuthorizedKeysCommand set without AuthorizedKeysCommandUser", True),
        ("Too many recursive configuration includes", True),
        ("/etc/ssh/sshd_config: No such file or directory", True),
        ("/etc/ssh/sshd_config: Permission denied", False),
        ("/usr/sbin/sshd: No such file or directory", False),
    ],
)
def test_what_sshd_says_of_its_files(guest: ModuleType, error: str, broken: bool) -> None:
    assert guest.refused_config(error) == (error if broken else "")


@pytest.mark.parametrize(
    ("folders", "found"),
    [
        (["OWN", "usr/lib64"], "OWN"),
        (["usr/lib64", "usr/lib/mips-linux-gnu"], "usr/lib64"),
        (["lib64", "usr/lib"], "lib64"),
        (["usr/lib/mips-linux-gnu"], "usr/lib/mips-linux-gnu"),
        (["lib/mips-linux-gnu"], "lib/mips-linux-gnu"),
        (["usr/lib/mips"], ""),
    ],
)
def test_where_the_modules_of_pam_are(guest: ModuleType, live: Live, folders: list[str], found: str) -> None:
    own = f"usr/lib/{getattr(guest.sys.implementation, '_multiarch', '')}"
    live.plant({f"{folder.replace('OWN', own)}/security/pam_unix.so": "" for folder in folders})
    assert guest._pam_modules(live.tree) == (f"/{found.replace('OWN', own)}/security" if found else "")


@pytest.mark.parametrize(
    ("service", "arguments", "doubt"),
    [
        ("sshd", "", "pam_limits may keep ada out: * - nproc 0"),
        ("sudo", "", ""),
        ("sudo", "conf=/own.conf", "pam_limits may keep ada out of sudo: * - nproc 1"),
    ],
)
def test_limits_of_everybody_are_not_roots(
    guest: ModuleType, live: Live, service: str, arguments: str, doubt: str
) -> None:
    live.plant({"etc/passwd": PEOPLE, "etc/security/limits.conf": "* - nproc 0\n", "own.conf": "* - nproc 1\n"})
    live.plant({f"etc/pam.d/{service}": f"session required pam_limits.so {arguments}\n"})
    owner = guest.account(live.tree, "ada")
    assert guest.pam_doubts(live.tree, service, owner, ("session",)) == ([doubt] if doubt else [])


@pytest.mark.parametrize(
    ("rest", "doubt"),
    [
        ("uid >= 1000", ""),
        ("uid >= 0", ""),
        ("quiet_success uid >= 1000 use_uid", ""),
        ("uid >= 1001", "uid >= 1001"),
        ("uid > 1000", "uid > 1000"),
        ("uid >= 1000 user ingroup x", "uid >= 1000 user ingroup x"),
        ("user ingroup wheel", "user ingroup wheel"),
        ("", "?"),
        ("quiet", "quiet"),
    ],
)
def test_conditions_that_the_owner_meets(guest: ModuleType, live: Live, rest: str, doubt: str) -> None:
    owner = guest.Account("ada", 1000, 1000, "/home/ada", "/bin/sh")
    assert guest._pam_succeed_if(live.tree, owner, "account", rest) == doubt


def test_lines_of_one_letter_are_lines_like_others(guest: ModuleType, live: Live) -> None:
    assert guest.nss_services("x\n\n#\npasswd: files\n", "passwd") == ["files"]
    assert guest.last_word_is_include("x\n\n#\n# x\n@includedir /etc/sudoers.d\n") is True
    assert list(guest._pam_lines("x\n\n#\ny z\n")) == ["x", "y z"]
    live.plant({"etc/ssh/sshd_config": "x\n\n#\nPasswordAuthentication no\n"})
    assert guest.read_sshd(live.tree, "").words("passwordauthentication") == ["no"]


@pytest.mark.parametrize(("files", "plain"), [(1, True), (16, True), (17, False), (40, False)])
def test_includes_of_sshd_go_sixteen_deep(guest: ModuleType, live: Live, files: int, plain: bool) -> None:
    live.plant({f"etc/ssh/{n}": f"Include {n + 1}\n" for n in range(1, files)})
    live.plant({"etc/ssh/sshd_config": "Include 1\n", f"etc/ssh/{files}": "Port 22\n"})
    assert guest.read_sshd(live.tree, "").plain is plain


@pytest.mark.parametrize(("files", "read"), [(99, True), (100, False)])
def test_files_of_pam_are_a_hundred_at_most(guest: ModuleType, live: Live, files: int, read: bool) -> None:
    live.plant({f"etc/pam.d/{n}": f"@include {n + 1}\n" for n in range(1, files)})
    live.plant({"etc/pam.d/sshd": "@include 1\n", f"etc/pam.d/{files}": "account required pam_permit.so\n"})
    rules = list(guest.pam_rules(live.tree, "sshd", ("account",)))
    assert [rule[2] for rule in rules] == (
        ["pam_permit.so"] if read else ["the rules of PAM include files without end"]
    )


PLATFORM = (
    '<e:Environment xmlns:e="http://schemas.dmtf.org/ovf/environment/1" xmlns="http://schemas.microsoft.com/windowsazure">'
    "<ProvisioningSection><LinuxProvisioningConfigurationSet/></ProvisioningSection>"
    "<PlatformSettingsSection><PlatformSettings>%s</PlatformSettings></PlatformSettingsSection></e:Environment>"
)


@pytest.mark.parametrize(
    ("settings", "pool", "signed"),
    [
        ("", "", False),
        ("<PreprovisionedVm>true</PreprovisionedVm>", "true", False),
        ("<PreprovisionedVm> True\n</PreprovisionedVm><PreprovisionedVMType>Running</PreprovisionedVMType>", "Running", False),
        ("<PreprovisionedVm>true</PreprovisionedVm><PreprovisionedVmType>Savable</PreprovisionedVmType>", "Savable", False),
        ("<PreprovisionedVm>false</PreprovisionedVm><PreprovisionedVMType>Running</PreprovisionedVMType>", "", False),
        ("<ProvisionGuestProxyAgent>true</ProvisionGuestProxyAgent>", "", True),
        ("<ProvisionGuestProxyAgent>true</ProvisionGuestProxyAgent><ProvisionGuestProxyAgent>false</ProvisionGuestProxyAgent>", "", True),
        ("<Deep><ProvisionGuestProxyAgent>true</ProvisionGuestProxyAgent></Deep>", "", False),
    ],
)  # fmt: skip
def test_what_the_platform_says_of_itself_on_the_medium(
    guest: ModuleType, settings: str, pool: str, signed: bool
) -> None:
    medium = guest.parse_medium((PLATFORM % settings).encode())
    assert (medium.pool, medium.proxy_agent) == (pool, signed)


def test_a_new_folder_of_keys_is_on_the_disk_before_what_is_in_it_is_named(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.plant({"home/ada/": ""})
    owner = guest.Account("ada", os.getuid(), os.getgid(), "/home/ada", "/bin/sh")
    seen: list[str] = []
    monkeypatch.setattr(
        guest.posix, "fsync", lambda number: seen.append(str(Path(f"/proc/self/fd/{number}").readlink()))
    )
    guest.add_keys(live.tree, "/home/ada/.ssh/keys", owner, [KEY])
    home = f"{live.root}/home/ada"
    assert seen == [home, f"{home}/.ssh/.keys.azp-tmp", f"{home}/.ssh"]


@pytest.mark.parametrize(
    ("module", "gone"),
    [
        ("pam_unix.so", False),
        ("sub/pam_own.so", False),
        ("/opt/pam_own.so", False),
        ("pam_tally2.so", True),
        ("/opt/pam_gone.so", True),
        ("opt/pam_own.so", True),
    ],
)
def test_modules_that_rules_want(guest: ModuleType, live: Live, module: str, gone: bool) -> None:
    live.plant({f"usr/lib64/security/{name}": "" for name in ("pam_unix.so", "sub/pam_own.so")})
    live.plant({"opt/pam_own.so": "", "etc/pam.d/sshd": f"account required {module}\n", "etc/passwd": PEOPLE})
    doubts = guest.pam_doubts(live.tree, "sshd", guest.account(live.tree, "ada"), ("account",))
    wants = f"/etc/pam.d/sshd wants {module}, which is not there: sshd lets nobody in"
    assert doubts == ([wants] if gone else [])


def test_a_completed_home_is_on_the_disk(guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    live.plant({"etc/skel/.config/set": "on", "home/ada/": ""})
    owner = guest.Account("ada", os.getuid(), os.getgid(), "/home/ada", "/bin/sh")
    seen: list[str] = []
    monkeypatch.setattr(
        guest.posix, "fsync", lambda number: seen.append(str(Path(f"/proc/self/fd/{number}").readlink()))
    )
    guest._settle_home(live.tree, owner, True)
    home = f"{live.root}/home/ada"
    assert seen == [f"{home}/.config/.set.azp-tmp", f"{home}/.config", home]


@pytest.mark.parametrize(
    ("nodes", "config", "plain"),
    [
        ({"etc/passwd": PEOPLE}, "Port 22\n", True),
        ({"etc/passwd": PEOPLE}, None, False),
        ({"etc/passwd": PEOPLE.replace("sshd", "ssh")}, "Port 22\n", False),
        ({"etc/passwd": PEOPLE}, "Port 0\n", False),
    ],
)
def test_sshd_is_asked_unless_it_would_answer_what_is_known(
    guest: ModuleType,
    live: Live,
    monkeypatch: pytest.MonkeyPatch,
    nodes: dict[str, str],
    config: str | None,
    plain: bool,
) -> None:
    live.plant({**nodes, "etc/nsswitch.conf": "passwd: files\n"})
    if config is not None:
        live.plant({"etc/ssh/sshd_config": config})
    asked: list[bool] = []
    monkeypatch.setattr(guest, "asked_sshd", lambda tree, user, sshd: asked.append(sshd.plain))
    assert guest._sshd_for(live.tree, "ada").plain is plain
    assert asked == [plain]


@pytest.mark.parametrize(
    ("shadow", "field"), [("ada\n", None), ("ada:x\n", "x"), ("bob:y\nada:!:1\n", "!"), ("ada2:x\n", None)]
)
def test_the_field_of_the_password(guest: ModuleType, live: Live, shadow: str, field: str | None) -> None:
    live.plant({"etc/shadow": shadow})
    assert guest._shadow_field(live.tree, "ada") == field


@pytest.mark.parametrize(("ours", "is_live"), [(True, True), (False, True), (True, False)])
def test_host_keys_are_there_and_closed_before_anybody_is_judged_by_them(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch, ours: bool, is_live: bool
) -> None:
    live.plant({"etc/passwd": PEOPLE, "etc/nsswitch.conf": "passwd: files\n"})
    live.tree.live = is_live
    done: list[str] = []
    for name in ("_await_host_keys", "_sync_host_keys", "_close_host_keys"):
        monkeypatch.setattr(guest, name, lambda tree, name=name: done.append(name))
    monkeypatch.setattr(guest, "_own_unit_makes_keys", lambda tree: ours)
    monkeypatch.setattr(guest.posix, "geteuid", lambda: 0)
    wishes = _wishes(guest, keys=[])
    guest.step_access(live.tree, wishes, {**SETTINGS, "ACCESS": "fail"})
    monkeypatch.setattr(guest.posix, "geteuid", lambda: 1)
    guest.step_access(live.tree, wishes, {**SETTINGS, "ACCESS": "fail"})
    waited = ["_await_host_keys", "_sync_host_keys"] if ours and is_live else []
    assert done == [*waited, *(["_close_host_keys"] if is_live else []), *waited]


@pytest.mark.parametrize(("deep", "taken"), [(32, True), (33, False)])
def test_documents_are_nested_thirty_two_deep_at_most(guest: ModuleType, deep: int, taken: bool) -> None:
    document = b"<a>" * deep + b"</a>" * deep
    if taken:
        assert len(guest._xml_texts(document)) == deep
        return
    with pytest.raises(ValueError, match="nested too deep"):
        guest._xml_texts(document)


@pytest.mark.parametrize("leased", ["", "10.0.0.1"])
def test_where_the_wireserver_is_asked_for_the_medium(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch, leased: str
) -> None:
    asked: list[object] = []

    def fetch(address: object, *_: object) -> tuple[object, None]:
        asked.append(address)
        return guest.Response(200, "OK", {}, b"{}"), None

    monkeypatch.setattr(guest, "try_fetch", fetch)
    monkeypatch.setattr(guest, "leased_wireserver", lambda tree: leased)
    guest.ask_provisiondata(live.tree, guest.parse_options([]), None, 0.0)
    assert asked == [(leased or "168.63.129.16", 80)]


def test_days_are_counted_from_the_beginning_of_1970(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first second of a day: for the end of an account, the age of a password, a new entry of shadow."""
    day = 20000
    monkeypatch.setattr(guest, "time", SimpleNamespace(time=lambda: day * 86400.0))
    live.plant({"bin/sh": "", "etc/passwd": PEOPLE, "etc/shadow": f"ada:!:0:0:99:7::{day}:\nbob:!:0:0:99:7::{day}:\n"})
    owner = guest.account(live.tree, "ada")
    assert guest._shut_account(live.tree, owner) == "the account ada has expired"
    day -= 1
    assert guest._shut_account(live.tree, owner) == ""
    guest._stop_ageing(live.tree, "ada")
    assert live.tree.text("/etc/shadow") == f"ada:!:{day}:0::7::{day + 1}:\nbob:!:0:0:99:7::{day + 1}:\n"
    live.plant({"etc/shadow": ""})
    guest._complete_account(live.tree, owner, False)
    assert live.tree.text("/etc/shadow") == f"ada:!:{day}:0:99999:7:::\n"
    assert guest._yesterday() == day - 1


@pytest.mark.parametrize(
    ("after", "now", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:42 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", 5.0),
        ("Sun, 06 Nov 1994 08:49:32 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:42 GMT", "", None),
        ("soon", "Sun, 06 Nov 1994 08:49:37 GMT", None),
    ],
)
def test_a_date_to_come_again_counts_from_the_answers_own(
    guest: ModuleType, after: str, now: str, seconds: float | None
) -> None:
    assert guest.retry_after(guest.Response(503, "", {"retry-after": after, "date": now}, b"")) == seconds


def test_the_comment_of_a_key_has_256_bytes_at_most(guest: ModuleType) -> None:
    key = " ".join(KEY.split()[:2])
    for comment, kept in (
        ("x" * 256, "x" * 256),
        ("x" * 257, "x" * 256),
        ("\u00e4" * 200, "\u00e4" * 128),
        ("ab\ud800", "ab?"),
    ):
        assert guest.parse_key(f"{key} {comment}") == f"{key} {kept}"


def test_sshd_is_asked_when_its_keys_are_there(guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    live.tool("sshd")
    done: list[str] = []
    monkeypatch.setattr(guest, "_await_host_keys", lambda tree: done.append("waited"))
    assert guest._sshd_complaint(live.tree) == "" and done == ["waited"]
    live.tree.live = False
    assert guest._sshd_complaint(live.tree) == "" and done == ["waited"]


def test_host_keys_that_were_made_are_on_the_disk(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.plant({"etc/ssh/sshd_config": "HostKey /keys/my_rsa\n"})
    live.tool("ssh-keygen", 'for path; do :; done; echo key >"$path"; echo pub >"$path.pub"')
    seen: list[str] = []
    monkeypatch.setattr(
        guest.posix, "fsync", lambda number: seen.append(str(Path(f"/proc/self/fd/{number}").readlink()))
    )
    guest._make_named_host_keys(live.tree, guest.read_sshd(live.tree, ""))
    assert seen == [f"{live.root}/keys/my_rsa.pub", f"{live.root}/keys/my_rsa"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("30 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw", ("/dev/sda1", "ext4", "/dev/sda1")),
        ("30 1 8:1 / / rw - xfs /dev/root rw", ("/dev/sda1", "xfs", "/dev/root")),
        ("30 1 0:40 /@ / rw - btrfs /dev/sda1 rw", ("/dev/sda1", "btrfs", "/dev/sda1")),
        ("30 1 0:41 / / rw - overlay overlay rw", ("", "", "")),
        ("30 1 8:1 / /home rw - ext4 /dev/sda1 rw", ("", "", "")),
        ("30 1 8:1 / / rw", ("", "", "")),
        ("", ("", "", "")),
        ("30 1 8:1", ("", "", "")),
    ],
)
def test_on_which_device_the_root_is(guest: ModuleType, live: Live, line: str, found: tuple[str, str, str]) -> None:
    live.plant({"proc/self/mountinfo": f"29 1 0:5 / /proc rw - proc proc rw\n{line}\n", "sys/class/block/sda1/": ""})
    live.plant({"sys/dev/block/8:1": "-> ../../devices/x/block/sda/sda1"})
    assert guest._root_device(live.tree) == found
