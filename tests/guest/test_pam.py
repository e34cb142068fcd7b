"""What PAM's rules and hosts.deny have against the owner: what provision.py says, and that every awk says the same."""

import ctypes.util
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azready.image.facts.pam import KINDS, PamRule, counted, pam_rules
from azready.image.targets.tree import Tree as Files
from tests.guest.test_awk import AWKS, run

DENY = "account required pam_deny.so"
YES = "account required pam_permit.so\nsession required pam_permit.so"
OUT = "pam_deny keeps everybody out: /etc/pam.d/"
VENDOR = "pam_deny keeps everybody out: /usr/lib/pam.d/"
GONE = "/etc/pam.d/sshd wants pam_gone.so, which is not there: sshd lets nobody in"
ODD = "/etc/pam.d/sshd has a line that PAM does not understand (%s): sshd lets nobody in"
HALF = "/etc/pam.d/sshd ends within a line, which PAM before 1.7 does not read: sshd lets nobody in"
NO_ACCOUNT = "no account rule of PAM for sshd says yes: it lets nobody in"
CASES = {
    "nothing against it": (f"{YES}\nsession optional pam_gone.so\nauth required pam_deny.so", []),
    "pam_deny": (f"{DENY}\n{YES}", [f"{OUT}sshd"]),
    "pam_deny of sessions": (f"{YES}\nsession requisite pam_deny.so", [f"{OUT}sshd"]),
    "behind a jump": (f"account [success=1 default=ignore] pam_unix.so\n{DENY}\n{YES}", []),
    "behind a jump that ends before it": (
        f"account [success=1 default=ignore] pam_unix.so\naccount required pam_unix.so\n{DENY}\n{YES}",
        [f"{OUT}sshd"],
    ),
    "a jump past the last": (f"{YES}\naccount [success=1 default=ignore] pam_unix.so", [NO_ACCOUNT]),
    "a jump over a substack": (f"account [success=1 default=ignore] pam_unix.so\naccount substack two\n{YES}", []),
    "behind what is sufficient": (f"{YES}\naccount sufficient pam_unix.so\n{DENY}", []),
    "behind what is sufficient in a substack": (f"{YES}\naccount substack enough\n{DENY}", [f"{OUT}sshd"]),
    "behind what is sufficient in an include": (f"{YES}\naccount include enough\n{DENY}", []),
    "no jump": (f"account [success=ok default=die] pam_unix.so\n{DENY}\n{YES}", [f"{OUT}sshd"]),
    "that does not matter": (f"account optional pam_deny.so\naccount [default=ignore] pam_deny.so\n{YES}", []),
    "included": (f"@include site\naccount substack site\n{YES}", [f"{OUT}site"]),
    "of another type": (f"session include site\n{YES}", []),
    "includes itself": (
        f"account include sshd\n{DENY}\n{YES}",
        ["/etc/pam.d/sshd includes itself: sshd lets nobody in", f"{OUT}sshd"],
    ),
    "includes the one that includes it": (
        f"@include round\n{YES}",
        ["/etc/pam.d/round includes itself: sshd lets nobody in"],
    ),
    "includes what is gone": (
        f"{YES}\naccount include gone",
        ["/etc/pam.d/sshd includes gone, which is not there: sshd lets nobody in"],
    ),
    "cannot be read for what is gone": (
        f"{DENY}\n@include gone\n{YES}",
        ["/etc/pam.d/sshd includes gone, which is not there: sshd lets nobody in"],
    ),
    "includes files without end": (
        f"{YES}\n@include n0",
        ["the rules of PAM include files without end: sshd lets nobody in"],
    ),
    "ends within a line": (f"{YES}\n# c\nauth required pam_unix.so \\", [HALF]),
    "ends within a line, over a blank one": (f"{YES}\nauth required pam_unix.so \\\n  ", [HALF]),
    "a comment does not go on": (f"# c \\\n{DENY}\n{YES}", [f"{OUT}sshd"]),
    "nothing that says yes": ("account sufficient pam_deny.so\nsession required pam_permit.so", [NO_ACCOUNT]),
    "no session, but other's": ("account required pam_permit.so", []),
    "nothing of its own": ("", []),
    "Windows": (
        YES.replace("\n", "\r\n") + "\r\n",
        ["/etc/pam.d/sshd has lines that end in CR LF: sshd lets nobody in"],
    ),
    "Windows, where it does not matter": ("account required pam_permit.so x\r\n\r\nsession required pam_permit.so", []),
    "a control that is none": (f"{YES}\naccount needed pam_unix.so", [ODD % "account needed pam_unix.so"]),
    "an action that is none": (
        f"{YES}\naccount [success=foo] pam_unix.so",
        [ODD % "account [success=foo] pam_unix.so"],
    ),
    "brackets that stay open": (f"{YES}\naccount [default=bad pam_unix.so", [ODD % "account [default=bad pam_unix.so"]),
    "no module": (f"{YES}\nsession\trequired", [ODD % "session required"]),
    "a jump over nothing": (f"{YES}\naccount [success=0] pam_unix.so", [ODD % "account [success=0] pam_unix.so"]),
    "a jump of three digits": (f"{YES}\naccount [success=999 default=ignore] pam_unix.so", [NO_ACCOUNT]),
    "a jump of four digits": (
        f"{YES}\naccount [success=1000 default=ignore] pam_unix.so",
        [ODD % "account [success=1000 default=ignore] pam_unix.so"],
    ),
    "a type that is none": (f"acount required pam_deny.so\n{YES}", []),
    "brackets and a module without a blank": (f"account [ default = die ]pam_deny.so\n{YES}", [f"{OUT}sshd"]),
    "a module is gone": (f"{YES}\n-session required pam_gone.so", [GONE]),
    "two modules are gone": (f"{YES}\nsession requisite pam_gone.so\naccount required pam_gone.so", [GONE]),
    "and does not matter": (
        f"{YES}\nsession [success=ok module_unknown=ignore default=bad] pam_gone.so close",
        [],
    ),
    "over two lines": (
        f"account required \\\n pam_listfile.so item=user\n{YES}",
        ["pam_listfile may keep me out: item=user"],
    ),
    "by the shells": (
        f"ACCOUNT Required pam_shells.so # c\n{YES}",
        ["pam_shells may keep me out: /bin/zsh is not in /etc/shells"],
    ),
    "by the access table": (
        f"account requisite pam_access.so\n{YES}",
        ["pam_access may keep me out: -:ALL EXCEPT root:ALL"],
    ),
    "by nothing in the time table": (f"account required pam_time.so\n{YES}", []),
    "by the access table, for sessions": (
        f"session required pam_access.so\n{YES}",
        ["pam_access may keep me out: -:ALL EXCEPT root:ALL"],
    ),
    "by a group": (f"account required pam_wheel.so\n{YES}", ["pam_wheel may keep me out: ?"]),
    "by a limit": (f"session required pam_limits.so\n{YES}", ["pam_limits may keep me out: me - nproc 0"]),
    "by a file of limits that is gone": (
        f"session required pam_limits.so conf=/gone\n{YES}",
        ["pam_limits may keep me out: /gone is not there"],
    ),
    "by a file that closes": (
        f"account required pam_nologin.so file=/etc/shells\n{YES}",
        ["pam_nologin may keep me out: /etc/shells is there"],
    ),
    "by a file that would close": (
        f"account required pam_nologin.so file=/gone\naccount required pam_nologin.so\n{YES}",
        [],
    ),
    "by a file of accounts": (
        f"account required pam_localuser.so file=/etc/shells\n{YES}",
        ["pam_localuser may keep me out: file=/etc/shells"],
    ),
    "by what may say no, around which there is a way": (
        f"account sufficient pam_succeed_if.so uid < 9\n{YES}\naccount [success=1 default=ignore] pam_wheel.so\n{YES}",
        [],
    ),
    "by what may say no, where the way around it is closed": (
        f"account [success=1 default=ignore] pam_succeed_if.so user ingroup x\n{DENY}\n{YES}",
        ["pam_succeed_if may keep me out: user ingroup x"],
    ),
    "by what may say no, where nobody else says yes": (
        "account sufficient pam_succeed_if.so user = me\nsession required pam_permit.so",
        ["pam_succeed_if may keep me out: user = me"],
    ),
    "by a jump of what may say no past the last": (
        f"{YES}\naccount [success=ok default=1] pam_succeed_if.so user = me",
        ["pam_succeed_if may keep me out: user = me"],
    ),
    "by a directory": (
        f"{YES}\naccount required pam_sss.so",
        ["pam_sss may keep me out: it knows no account of this machine"],
    ),
    "by a directory that does not mind": (
        (
            f"{YES}\naccount required pam_sss.so ignore_unknown_user\naccount sufficient pam_sss.so\n"
            "account [default=bad success=ok user_unknown=ignore] pam_sss.so\nsession required pam_sss.so"
        ),
        [],
    ),
    "by a type of users": (
        f"{YES}\naccount required pam_usertype.so isregular\naccount required pam_usertype.so issystem",
        ["pam_usertype may keep me out: issystem"],
    ),
    "by a quota, a data base and what is for tests": (
        (
            f"{YES}\nsession required pam_setquota.so\naccount required pam_userdb.so db=/x\n"
            "session required pam_debug.so\naccount required pam_debug.so acct=perm_denied\nauth required pam_ftp.so"
        ),
        [
            "pam_userdb may keep me out: db=/x",
            "pam_debug may keep me out: acct=perm_denied",
            "pam_setquota may keep me out: ?",
        ],
    ),
    "by name spaces that nothing describes": (
        f"{YES}\nsession required pam_namespace.so",
        ["pam_namespace may keep me out: /etc/security/namespace.conf is not there"],
    ),
    "by a limit of a group": (
        f"session required pam_limits.so conf=/etc/groups.conf\n{YES}",
        ["pam_limits may keep me out: @ours hard nofile 3"],
    ),
    "by a limit of a range": (
        f"session required pam_limits.so conf=/etc/ranges.conf\n{YES}",
        ["pam_limits may keep me out: 1000: hard nproc 1"],
    ),
    "by a file of the distribution": (
        f"@include vendor\naccount include site\n{YES}",
        [f"{VENDOR}vendor", f"{OUT}site"],
    ),
    "by a file of the distribution, as a substack": (f"account substack vendor\n{YES}", [f"{VENDOR}vendor"]),
    "by the audit": (
        f"session required pam_loginuid.so require_auditd\nsession required pam_loginuid.so\n{YES}",
        ["pam_loginuid may keep me out: there is no auditd"],
    ),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pam")
    for path, text in {
        "etc/pam.d/site": f"{DENY}\n",
        "etc/pam.d/two": f"{DENY}\n{DENY}\n",
        "etc/pam.d/enough": "account sufficient pam_permit.so\n",
        "etc/pam.d/round": "@include sshd\n",
        "etc/pam.d/other": f"{YES}\n",
        **{f"etc/pam.d/n{n}": f"@include n{n + 1}\n" * 3 for n in range(8)},
        "etc/pam.d/n8": "",
        "usr/lib/pam.d/vendor": f"{DENY}\n",
        "usr/lib/pam.d/site": f"{YES}\n",
        "etc/shells": "# shells\n/bin/sh\n /bin/bash \n",
        "etc/security/access.conf": "# -:ALL:ALL\n-:ALL EXCEPT root:ALL\n",
        "etc/security/time.conf": "# nobody\n",
        "etc/group": "ours:x:2000:me\n",
        "etc/groups.conf": "@theirs hard nproc 0\n@ours hard nofile 65536\n@ours hard nproc -1\n@ours hard nofile 3\n",
        "etc/ranges.conf": ":1001 hard nproc 0\n2000:3000 - as 1\n1000:1500 soft cpu 1\n1000: hard nproc 1\n",
        "etc/security/limits.conf": "# * - nproc 0\nyou - nproc 0\n* hard nproc 100 # 0\nme  -\tnproc 0\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "usr/lib64/security").mkdir(parents=True)
    names = (
        "unix permit deny access shells time listfile wheel limits nologin localuser loginuid sss usertype setquota "
        "userdb debug namespace succeed_if ftp"
    )
    for name in names.split():
        (root / f"usr/lib64/security/pam_{name}.so").write_bytes(b"\x7fELF\0\0\n")
    return root


def by_python(guest: ModuleType, root: Path) -> list[str]:
    owner = SimpleNamespace(name="me", shell="/bin/zsh", uid=1000)
    return list(guest.pam_doubts(guest.Tree(str(root), False), "sshd", owner, guest.PAM_TYPES))


def by_awk(awk: list[str], root: Path, uses_pam: str = "yes") -> "subprocess.CompletedProcess[bytes]":
    values = {
        "user": "me",
        "uid": "1000",
        "groups": "ours",
        "shell": "/bin/zsh",
        "service": "sshd",
        "uses_pam": uses_pam,
    }
    return run(awk, "pam", "pam-doubts", text=b"", root=str(root), modules=f"{root}/usr/lib64/security", **values)


@pytest.mark.parametrize("name", CASES)
def test_what_pam_has_against_the_owner(guest: ModuleType, tree: Path, name: str) -> None:
    text, doubts = CASES[name]
    (tree / "etc/pam.d/sshd").write_text(text + "\n")
    assert by_python(guest, tree) == doubts


@pytest.mark.parametrize("awk", AWKS)
@pytest.mark.parametrize("name", CASES)
def test_every_awk_says_the_same(awk: list[str], tree: Path, name: str) -> None:
    text, doubts = CASES[name]
    (tree / "etc/pam.d/sshd").write_text(text + "\n")
    done = by_awk(awk, tree)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == doubts


# Where a file includes itself the library of Debian 12 breaks; that of 13 reads a line that the file ends in; the
# time table is that of this machine.
UNJUDGED = (
    "ends within a line",
    "ends within a line, over a blank one",
    "includes files without end",
    "includes itself",
    "includes the one that includes it",
    "by nothing in the time table",
    *(name for name in CASES if name.startswith(("by a ", "by the audit", "by the access table, for"))),
)
RULES = (
    *("account required pam_permit.so", "account required pam_deny.so", "account sufficient pam_permit.so"),
    *("account [success=1 default=ignore] pam_permit.so", "account [success=2 default=ignore] pam_permit.so"),
    *("account [success=done default=ignore] pam_permit.so", "account [default=die] pam_deny.so", "@include three"),
    *("account include two", "account substack three", "account include gone", "@include gone", "session include two"),
    *("account [success=ok auth_err=1 default=bad] pam_deny.so", "account requisite pam_deny.so", "# c \\", "", " \\"),
    *(
        "session required pam_permit.so",
        "session optional pam_gone.so",
        "-session required pam_gone.so",
        "account required",
    ),
    *("session sufficient pam_permit.so", "session [success=1 default=ignore] pam_permit.so", "account needed x.so"),
    *("account required pam_permit.so\r", "account required pam_permit.so \\", "session requisite pam_deny.so"),
    *("account [default=bad pam_permit.so", "Account Required\tpam_permit.so # x", "account optional pam_deny.so"),
)


def some_rules(seed: int) -> dict[str, str]:
    """The files of /etc/pam.d; none includes itself."""
    dice = random.Random(seed)

    def drawn(*without: str) -> str:
        rules = [rule for rule in RULES if not any(word in rule for word in without)]
        return "\n".join(dice.choices(rules, k=dice.randint(0, 5))) + dice.choice(["", "\n"])

    other = f"{dice.choice([YES, DENY])}\n"
    return {"sshd": drawn(), "two": drawn("two"), "three": drawn("two", "three"), "other": other}


def judged(tmp_path: Path, inputs: list[dict[str, str]]) -> list[list[int] | None]:
    """What this machine's library says to each, in a namespace where /etc/pam.d is a folder of ours."""
    folder = tmp_path / "pam.d"
    folder.mkdir()
    there = folder.stat()
    words = ["mount --make-rprivate /", 'mount --bind "$0" /etc/pam.d', 'exec "$@"']
    judge = [sys.executable, str(Path(__file__).with_name("pam_judge.py")), f"{there.st_dev} {there.st_ino}"]
    space = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.getuid() else [])]
    done = subprocess.run(
        [*space, "sh", "-euc", "\n".join(words), str(folder), *judge],
        input="".join(f"{json.dumps(files)}\n" for files in inputs),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def kept_out_by_check(root: Path) -> bool:
    """What the reader of `azready check` makes of it, where pam_permit and pam_deny are all modules."""

    def answer(rule: PamRule) -> str:
        known = {"pam_permit.so": "success", "pam_deny.so": "auth_err"}
        return "broken" if rule.broken else known.get(rule.module, "module_unknown")

    rules = pam_rules(Files(root), "sshd")
    reached = [counted([rule for rule in rules if rule.kind == kind], answer) for kind in KINDS]
    refused = any(answer(rule) != "success" for each in reached for rule in each)
    return refused or any(not rule.kind for rule in rules) or not all(reached)


@pytest.mark.long
def test_who_is_kept_out_by_our_readings_is_kept_out_by_the_library(
    guest: ModuleType, tree: Path, tmp_path: Path, need: Callable[..., None]
) -> None:
    """Every case that names no module but pam_permit, pam_deny and none, and as many drawn ones."""
    need("ids", "tool:unshare")
    if not ctypes.util.find_library("pam"):
        pytest.skip("needs the library of PAM: apt-get install libpam0g")
    others = {path.name: path.read_text() for path in (tree / "etc/pam.d").iterdir() if path.name != "sshd"}
    cases = [
        others | {"sshd": text.replace("pam_unix.so", "pam_permit.so")}
        for name, (text, doubts) in CASES.items()
        if name not in UNJUDGED and not any(" may keep " in doubt for doubt in doubts)
    ]
    inputs = cases + [some_rules(seed) for seed in range(200)]
    differ = []
    for files, answers in zip(inputs, judged(tmp_path, inputs), strict=True):
        for path in (tree / "etc/pam.d").iterdir():
            path.unlink()
        for name, text in files.items():
            (tree / "etc/pam.d" / name).write_text(text, newline="")
        doubts = by_python(guest, tree)
        by_check = kept_out_by_check(tree)
        if answers is None or any(answers) != bool(doubts) or any(answers) != by_check:
            differ.append((files, answers, doubts, by_check))
    for name, text in others.items():
        (tree / "etc/pam.d" / name).write_text(text)
    assert differ == [], differ[0]


LINES = st.sampled_from(
    [line for text, _ in CASES.values() for line in text.split("\n")] + ["", "#", "account", "x y z"]
)


@settings(max_examples=30)
@given(lines=st.lists(LINES, max_size=6))
def test_any_rules_are_read_alike(guest: ModuleType, tree: Path, lines: list[str]) -> None:
    (tree / "etc/pam.d/sshd").write_text("\n".join(lines))
    done = by_awk(AWKS[0].values[0], tree)  # type: ignore[arg-type]
    assert done.stdout.decode().splitlines() == by_python(guest, tree)


@pytest.mark.parametrize("awk", AWKS)
def test_hosts_deny_is_told_where_hosts_allow_does_not_speak_of_sshd(awk: list[str], tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for deny, allow, told in (
        ("# ALL: ALL\n", "", False),
        ("in.ftpd,sshd : ALL\nx: ALL", "", True),
        ("ALL:ALL", "# nobody\n", True),
        ("ALL:ALL", "sshd: 10.\n", False),
        ("sshdx: ALL\n", "", False),
    ):
        (tmp_path / "etc/hosts.deny").write_text(deny)
        (tmp_path / "etc/hosts.allow").write_text(allow)
        done = by_awk(awk, tmp_path, "no")
        assert bool(done.stdout) == told, (deny, allow, done.stdout)
        assert not told or b"/etc/hosts.deny may keep me out: " in done.stdout
