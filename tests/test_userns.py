"""What the kernel forbids ordinary users is named, and what to do about it is said."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready import userns

FORBIDDEN = """
import os, sys
from azready.kernel.syscalls import CLONE_NEWUSER, unshare
own, group = os.geteuid(), os.getegid()
unshare(CLONE_NEWUSER)
for name, text in (("uid_map", f"424242 {own} 1"), ("setgroups", "deny"), ("gid_map", f"424242 {group} 1")):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
with open("/proc/sys/user/max_user_namespaces", "w") as file:
    file.write("0")
os.execv(sys.executable, [sys.executable, "-m", "azready", *sys.argv[1:]])
"""
"""Become a user who has no account, in a namespace in which nobody may make another; then run azready."""


def _settings(folder: Path, **values: str) -> Path:
    for name, value in values.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(value + "\n")
    return folder


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, None),
        ({"kernel__unprivileged_userns_clone": "1", "user__max_user_namespaces": "96364"}, None),
        (
            {"kernel__apparmor_restrict_unprivileged_userns": "1", "kernel__unprivileged_userns_clone": "1"},
            ("kernel.apparmor_restrict_unprivileged_userns", "0"),
        ),
        ({"kernel__unprivileged_userns_clone": "0"}, ("kernel.unprivileged_userns_clone", "1")),
        ({"user__max_user_namespaces": "0"}, ("user.max_user_namespaces", "15000")),
    ],
)
def test_the_switch_that_forbids_is_found(values: dict[str, str], found: object, tmp_path: Path) -> None:
    assert userns.forbidding(_settings(tmp_path, **values)) == found


def test_sub_ids_are_those_of_the_user_by_name_or_number() -> None:
    table = "me:100000:65536\nother:165536:65536\n1000:300000:10\nbroken:1\nme:x:y\n"
    assert userns.sub_ids(table, "me", 1000) == [(100000, 65536), (300000, 10)]
    assert userns.sub_ids(table, "nobody", 65534) == []


@pytest.mark.long
@pytest.mark.parametrize(
    "words", [["prepare", "DISK", "--in-place"], ["fabric", "run", "--", "true"], ["fabric", "matrix"]]
)
def test_a_user_who_gets_no_namespaces_is_told_which_switch_it_is(
    words: list[str], tmp_path: Path, need: Callable[..., None]
) -> None:
    need("tool:unshare")
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    done = _run(FORBIDDEN, *(str(disk) if word == "DISK" else word for word in words))
    assert done.returncode == 3, done.stderr
    assert "no namespaces of their own (user.max_user_namespaces)" in done.stderr
    assert "sudo sysctl user.max_user_namespaces=15000" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_user_without_an_account_has_a_number() -> None:
    done = _run(FORBIDDEN.rpartition("os.execv")[0] + "from azready import userns; print(userns.user_name())")
    assert done.stdout.strip() == "424242", done.stderr


@pytest.mark.long
def test_the_short_demo_needs_neither_an_account_nor_namespaces(need: Callable[..., None]) -> None:
    need("tool:unshare", "tool:useradd")
    done = _run(FORBIDDEN, "demo", "--scratch")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Provisioned: Ready after" in done.stdout


def _run(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    if "in unshare" in done.stderr:
        pytest.skip("needs user namespaces: a machine that allows them")
    return done
