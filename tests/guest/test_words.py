# ruff: noqa: E501 (tables)
"""Texts and numbers at their bounds: the last that is taken, the first that is not, and what a log shows of them."""

from types import ModuleType

import pytest

L = "a" * 63
G = "0123abcd-0123-4567-89ab-0123456789ab"


@pytest.mark.parametrize(
    ("function", "given", "wanted"),
    [
        ("parse_ipv4", ("1.0.0.0",), "1.0.0.0"), ("parse_ipv4", ("0.0.0.1",), ""), ("parse_ipv4", ("223.255.255.255",), "223.255.255.255"),
        ("parse_ipv4", ("224.0.0.1",), ""), ("parse_ipv4", ("10.0.0.256",), ""), ("parse_ipv4", ("10.0.0.01",), ""), ("parse_ipv4", ("10.0.0",), ""),
        ("parse_ipv4", ("10.0.0.1.2",), ""), ("parse_ipv4", ("10.0.0.a",), ""),
        ("is_number", ("5", 5, 9), True), ("is_number", ("4", 5, 9), False), ("is_number", ("9", 5, 9), True), ("is_number", ("10", 5, 9), False),
        ("is_number", ("9999999999", 0, 10**10), True), ("is_number", ("10000000000", 0, 10**11), False), ("is_number", ("", 0, 9), False),
        ("printable", ("x" * 200,), "x" * 200), ("printable", ("x" * 201,), "x" * 200 + "..."), ("printable", ("abc", 2), "ab..."),
        ("printable", ("a\tb\x9fc\udc80\ufffe\uffff\u2028",), "a b c\ufffd\ufffd\ufffd\u2028"), ("printable", ("\xa0\x7f\x00",), "\xa0  "),
        ("without_controls", ("a\x1fb\x7f\x9fc \xa0",), "a b  c \xa0"), ("carriable", ("\x1f \ud7ff\ud800\udfff\ue000\ufffd\ufffe",), "  \ud7ff  \ue000\ufffd "),
        ("lines_of", ("a\nb\n",), ["a", "b"]), ("lines_of", ("a\nb",), ["a", "b"]), ("lines_of", ("",), []), ("lines_of", ("\n",), [""]),
        ("parse_url", ("http://a-b.c",), ("a-b.c", 80)), ("parse_url", ("http://a:1/",), ("a", 1)), ("parse_url", ("http://a:65535",), ("a", 65535)),
        ("parse_url", ("http://a:65536",), None), ("parse_url", ("http://a:0",), None), ("parse_url", ("http://a:",), None), ("parse_url", ("http://",), None),
        ("parse_url", ("https://a",), None), ("parse_url", ("http://a_b",), None), ("parse_url", ("http://a/b",), None),
        ("canonical", (f" {G.upper()}\n",), G), ("canonical", (G[:-1],), ""), ("canonical", (G + "0",), ""), ("canonical", (G.replace("a", "g"),), ""),
        ("canonical", (G.replace("-", "", 1),), ""), ("swapped", (G,), "cdab2301-2301-6745-89ab-0123456789ab"),
        ("same_vm", (G, G.upper()), True), ("same_vm", ("cdab2301-2301-6745-89ab-0123456789ab", G), True), ("same_vm", ("", ""), False), ("same_vm", (G, ""), False),
        ("without_mark", (b"\xef\xbb\xbfab",), b"ab"), ("without_mark", (b"\xef\xbbab",), b"\xef\xbbab"),
        ("stated", (" TRUE\n",), True), ("stated", ("False",), False), ("stated", (True,), True), ("stated", ("",), None), ("stated", ("1",), None),
        ("step_list", ("keys, user,,what",), (("keys", "user"), ["what"])),
        ("uid_min", ("UID_MIN 500\n",), 500), ("uid_min", ("#UID_MIN 5\nUID_MIN\nUID_MIN x\nUID_MIN 999999999\n",), 999999999),
        ("uid_min", ("UID_MIN 1000000000\nSYS_UID_MIN 5\n",), 1000), ("uid_min", ("UID_MIN 0\n",), 0),
        ("valid_user", ("a" * 32,), True), ("valid_user", ("a" * 33,), False), ("valid_user", ("",), False), ("valid_user", ("a.b-c_9",), True), ("valid_user", (".a",), False),
        ("valid_hostname", (f"{L}.{L}.{L}.{L}",), True), ("valid_hostname", (f"{L}.{L}.{L}.{L[:62]}.a",), False), ("valid_hostname", (L + "a",), False), ("valid_hostname", ("",), False),
        ("about_sshd", ("ALL : ALL",), True), ("about_sshd", ("sshd,x: 1",), True), ("about_sshd", ("# ALL: ALL",), False), ("about_sshd", ("x: ALL",), False),
        ("about_sshd", ("ALL EXCEPT sshd: ALL",), False), ("about_sshd", ("ALL EXCEPT x EXCEPT sshd: ALL",), True), ("about_sshd", ("ALL EXCEPT ALL EXCEPT sshd: 1",), True),
        ("about_sshd", ("",), False), ("about_sshd", ("sshd EXCEPT x",), True),
        ("denied_by", ("", ""), ("", "")), ("denied_by", ("", "ALL: ALL\nx: 1\n"), ("/etc/hosts.deny", "ALL: ALL")), ("denied_by", ("sshd: 1\n", "ALL: ALL\n"), ("", "")),
        ("denied_by", ("# sshd: ALL\n", "ALL: ALL\n"), ("/etc/hosts.deny", "ALL: ALL")), ("denied_by", ("sshd: ALL: deny\n", ""), ("/etc/hosts.allow", "sshd: ALL: deny")),
        ("denied_by", ("ALL: ALL : twist x\n", "ALL: ALL\n"), ("", "")), ("denied_by", ("x: ALL: deny\n", ""), ("", "")),
        ("with_line", ("", "x"), "x\n"), ("with_line", ("a", "x"), "a\nx\n"), ("with_line", ("a\n", "x"), "a\nx\n"),
        ("unmarked", ("a\n# azure-provisioning begins\nx\n# azure-provisioning ends\nb\n",), "a\nb\n"), ("unmarked", ("a\n",), "a\n"),
        ("_at_head", ("a", "x\n"), "# azure-provisioning begins\nx\n# azure-provisioning ends\na\n"), ("_at_head", ("", "x\n"), "# azure-provisioning begins\nx\n# azure-provisioning ends\n"),
        ("_marked", ("a", "x\n"), "a\n# azure-provisioning begins\nx\n# azure-provisioning ends\n"),
        ("rules_are_usual", ("root ALL\n%a ALL\n#x\n@include y\nDefaults z\n",), True), ("rules_are_usual", ("bob ALL\n",), False), ("rules_are_usual", ("Defaults:ada env_reset\n",), True), ("rules_are_usual", ("Default x\n",), False),
        ("nss_services", ("passwd:files\npasswd: a b # c\npasswd: d\n", "passwd"), ["a", "b"]), ("nss_services", ("", "passwd"), []),
        ("sshd_words", ("Port 22 # x",), ("port", ["22"])), ("sshd_words", ('"Port"=22',), ("port", ["22"])), ("sshd_words", ("Port\t22",), ("port", ["22"])),
        ("sshd_words", ("Port =  22",), ("port", ["22"])), ("sshd_words", ("\f #x",), ("", [])), ("sshd_words", ('Port"22"',), ("port", ["22"])), ("sshd_words", ("Port",), ("port", [])), ("sshd_words", ("=22",), ("", ["22"])), ("sshd_words", ("Match\tall",), ("match", ["all"])),
        ("retry_after_of", ("7",), 7.0), ("retry_after_of", ("0",), 0.0), ("retry_after_of", ("999999",), 999999.0), ("retry_after_of", ("1000000",), None), ("retry_after_of", ("",), None),
        ("days_since_1970", (1970, 1, 1), 0), ("days_since_1970", (2000, 2, 29), 11016), ("days_since_1970", (2000, 3, 1), 11017), ("days_since_1970", (2100, 3, 1), 47541),
        ("days_since_1970", (2026, 12, 31), 20818), ("days_since_1970", (1969, 12, 31), -1),
        ("http_date", ("Sun, 06 Nov 1994 08:49:37 GMT",), 784111777), ("http_date", ("Sun, 06 Nov 1994 08:49 GMT",), None), ("http_date", ("Sun, 06 Nov 1994 08:49:37",), None),
        ("http_date", ("Sun, 06 XXX 1994 08:49:37 GMT",), None), ("http_date", ("Sun, x6 Nov 1994 08:49:37 GMT",), None), ("http_date", ("Sun, 06 Nov 19940 08:49:37 GMT",), None),
        ("key_identity", ('from="x" ssh-rsa AAAA me',), ("ssh-rsa", "AAAA")), ("_spaced", ("  a  b ",), "a b"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value)[:30],
)  # fmt: skip
def test_small_readings(guest: ModuleType, function: str, given: tuple[object, ...], wanted: object) -> None:
    if function == "retry_after_of":
        assert guest.retry_after(guest.Response(503, "", {"retry-after": given[0]}, b"")) == wanted
        return
    found = getattr(guest, function)(*given)
    assert (found, type(found)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ("DEADLINE=1", True), ("DEADLINE=0", False), ("DEADLINE=86400", True), ("DEADLINE=86401", False), ("MEDIUM_WAIT=0", True), ("MEDIUM_WAIT=86401", False),
        ("IMDS_WAIT=0", False), ("HOOK_TIMEOUT=0", False), ("IMDS_WAIT=86400", True), ("HOOK_TIMEOUT=86400", True), ("MEDIUM_WAIT=86400", True),
        ("IMDS_WAIT=1", True), ("HOOK_TIMEOUT=1", True), ("IMDS_WAIT=86401", False), ("HOOK_TIMEOUT=86401", False),
        ("SHELL=/bin/a-b_c.d+9", True), ("SHELL=bin/sh", False), ("SHELL=/a b", False), ("SHELL=", True), ("GROUPS=a,b", True), ("GROUPS=a,,b", False),
        ("GROUPS=", True), ("GROUPS=9", False), ("SKIP=keys,user", True), ("SKIP=keys,x", False), ("SKIP=", True), (" KVP = no \r", True), ("KVP=No", False),
    ],
)  # fmt: skip
def test_which_settings_are_taken(guest: ModuleType, line: str, taken: bool) -> None:
    key, _, value = line.partition("=")
    values, warnings = guest.parse_settings(f"\n# x\n{line}\n")
    assert (values[key.strip()] == value.strip(), bool(warnings)) == (taken, not taken)
    assert len(values) == len(guest.SETTING)


def test_what_is_said_of_settings(guest: ModuleType) -> None:
    _, warnings = guest.parse_settings("NEW=1\n=2\nnothing\nKVP=x\n")
    assert warnings == [
        "setting NEW is not known and ignored",
        "setting  is not known and ignored",
        "setting nothing is not known and ignored",
        "setting KVP=x is not allowed; the default holds",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--deadline", "0"], "--deadline is a number of seconds from 1 to 86400, not '0'"),
        (["--deadline=86401"], "--deadline is a number of seconds from 1 to 86400, not '86401'"),
        (["--root"], "--root needs a value"),
        (["--root="], "--root needs a value"),
        (["--dry-run=x"], "unknown option or verb '--dry-run=x': see --help"),
        (["x", "run"], "unknown option or verb 'x': see --help"),
        (["--platform", "x"], "--platform is one of auto, azure, not 'x'"),
        (["--vm-id", "x"], "--vm-id is a GUID, not 'x'"),
        (["--imds", "x"], "--imds is http://HOST or http://HOST:PORT, not 'x'"),
        (["--failed", "x"], "--failed belongs to the verb report"),
        (["name", "--in-progress"], "--in-progress belongs to the verb report"),
        (["report", "--failed=x", "--wait-for=y"], "--failed and --wait-for are two reports"),
        (["report", "--in-progress", "--wait-for=y"], "--wait-for and --in-progress are two reports"),
        (["report", "--failed=x", "--wait-for=y", "--in-progress"], "--failed and --wait-for are two reports"),
        (["report", "--every=5"], "--every belongs to --wait-for or --in-progress"),
        (["report", "--failed=x", "--every=5"], "--every belongs to --wait-for or --in-progress"),
    ],
)
def test_what_is_said_of_a_wrong_command_line(guest: ModuleType, words: list[str], said: str) -> None:
    with pytest.raises(guest.Usage) as raised:
        guest.parse_options(words)
    assert str(raised.value).replace("--dry-run'", "--dry-run=x'") == said


def test_a_command_line_in_whole(guest: ModuleType) -> None:
    usual = guest.parse_options([])
    assert {name: getattr(usual, name) for name in usual.__slots__} == {
        "verb": "run", "root": "/", "imds": "http://169.254.169.254", "wireserver": "", "medium": "", "platform": "auto", "vm_id": "",
        "config": "/etc/azure-provisioning.conf", "deadline": "", "report": "", "only": (), "skip": (), "dry_run": False, "failed": None,
        "in_progress": False, "wait_for": "", "every": "",
    }  # fmt: skip
    words = [
        "report",
        "--in-progress",
        "--every",
        "1",
        "--deadline=86400",
        "--dry-run",
        "--skip=keys,user",
        "--only",
        "sudo",
    ]
    chosen = guest.parse_options(words)
    assert (chosen.verb, chosen.in_progress, chosen.every, chosen.deadline, chosen.dry_run) == (
        "report",
        True,
        "1",
        "86400",
        True,
    )
    assert (chosen.skip, chosen.only, chosen.failed) == (("keys", "user"), ("sudo",), None)
    assert guest.parse_options(["report", "--failed", " \t"]).failed == "no reason was given"
    assert guest.parse_options(["report", "--failed", "x"]).failed == "x"
