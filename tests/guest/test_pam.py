"""What PAM's rules and hosts.deny have against the owner: what provision.py says, and that every awk says the same."""

import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guest.test_awk import AWKS, run

DENY = "account required pam_deny.so"
CASES = {
    "nothing against it": ("account required pam_unix.so\nsession optional pam_gone.so\nauth required pam_deny.so", []),
    "pam_deny": (DENY, ["pam_deny keeps everybody out: /etc/pam.d/sshd"]),
    "behind a jump": (f"account [success=1 default=ignore] pam_unix.so\n{DENY}", []),
    "behind what is sufficient": (f"account sufficient pam_unix.so\n{DENY}", []),
    "no jump": (
        f"account [success=ok default=die] pam_unix.so\n{DENY}",
        ["pam_deny keeps everybody out: /etc/pam.d/sshd"],
    ),
    "included": ("@include site\naccount substack site", ["pam_deny keeps everybody out: /etc/pam.d/site"] * 2),
    "of another type": ("session include site", []),
    "includes itself": (f"account include sshd\n{DENY}", ["pam_deny keeps everybody out: /etc/pam.d/sshd"]),
    "includes the one that includes it": ("@include round\n@include round", []),
    "a module is gone": (
        "-session required pam_tally2.so",
        ["/etc/pam.d/sshd wants pam_tally2.so, which is not there: sshd lets nobody in"],
    ),
    "and does not matter": ("session [success=ok module_unknown=ignore default=bad] pam_selinux.so close", []),
    "over two lines": (
        "account required \\\n pam_listfile.so item=user",
        ["pam_listfile may keep me out: item=user"],
    ),
    "by the shells": (
        "ACCOUNT Required pam_shells.so # c",
        ["pam_shells may keep me out: /bin/zsh is not in /etc/shells"],
    ),
    "by the access table": ("account requisite pam_access.so", ["pam_access may keep me out: -:ALL EXCEPT root:ALL"]),
    "by nothing in the time table": ("account required pam_time.so", []),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pam")
    for path, text in {
        "etc/pam.d/site": f"{DENY}\n",
        "etc/pam.d/round": "@include sshd\n",
        "etc/pam.d/other": "account required pam_permit.so\n",
        "etc/shells": "# shells\n/bin/sh\n /bin/bash \n",
        "etc/security/access.conf": "# -:ALL:ALL\n-:ALL EXCEPT root:ALL\n",
        "etc/security/time.conf": "# nobody\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "usr/lib64/security").mkdir(parents=True)
    for name in ("unix", "permit", "deny", "access", "shells", "time", "listfile"):
        (root / f"usr/lib64/security/pam_{name}.so").write_bytes(b"\x7fELF\0\0\n")
    return root


def by_python(guest: ModuleType, root: Path) -> list[str]:
    owner = SimpleNamespace(name="me", shell="/bin/zsh")
    return list(guest.pam_doubts(guest.Tree(str(root), False), "sshd", owner))


def by_awk(awk: list[str], root: Path) -> "subprocess.CompletedProcess[bytes]":
    values = {"user": "me", "shell": "/bin/zsh", "service": "sshd", "uses_pam": "yes"}
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
        done = by_awk(awk, tmp_path)
        assert bool(done.stdout) == told, (deny, allow, done.stdout)
        assert not told or b"/etc/hosts.deny may keep me out: " in done.stdout
