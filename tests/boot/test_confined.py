"""Where no container can be made, the sentence says why and what to do: on machines of other kinds, played or read."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.container.confined import covered, no_cgroup, remedy_of

HOST = """\
22 28 0:20 / /sys rw,nosuid - sysfs sysfs rw
23 28 0:21 / /proc rw,nosuid - proc proc rw
31 22 0:7 / /sys/kernel/security rw - securityfs securityfs rw
32 22 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
35 23 0:30 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw
"""
DOCKER = f"""{HOST}\
81 23 0:49 /bus /proc/bus ro - proc proc rw
82 23 0:54 / /proc/acpi ro - tmpfs tmpfs ro
83 22 0:55 / /sys/firmware ro - tmpfs tmpfs ro
"""


def test_what_a_plain_host_mounts_below_proc_and_sys_covers_nothing() -> None:
    assert covered(HOST, "/proc") == covered(HOST, "/sys") == []
    assert covered(DOCKER, "/proc") == ["/proc/bus", "/proc/acpi"]


@pytest.mark.parametrize(
    ("refused", "forbidding", "engine", "says"),
    [
        ("mount proc on /x/proc: Operation not permitted", None, "Docker", "/proc/acpi is mounted over"),
        ("mount sysfs on /x/sys: Operation not permitted", None, "", "/sys/firmware is mounted over"),
        ("no user namespace could be made", None, "Docker", "seccomp"),
        ("no user namespace could be made", ("user.max_user_namespaces", "15000"), "", "sysctl user.max_user_name"),
        ("mount overlay on /x: No such device", None, "", "overlayfs"),
    ],
)
def test_the_step_that_was_refused_tells_the_cause(
    refused: str, forbidding: tuple[str, str] | None, engine: str, says: str
) -> None:
    said = remedy_of(refused, DOCKER, forbidding, engine)
    assert says in said
    assert (f"--privileged ({engine})" in said) == bool(engine)


def test_root_is_not_told_to_be_root(need: Callable[..., None]) -> None:
    need("root")
    assert "mount -t cgroup2" in no_cgroup(None, "systemd-run")
    assert "read-only" in no_cgroup(Path("/proc"), "systemd-run")


# A program that runs another as a plain Docker container would: seccomp's filter refuses to make namespaces or mounts.
_REFUSING = """
import ctypes, os, struct, sys
row = lambda code, when, otherwise, value: struct.pack("HBBI", code, when, otherwise, value)
numbers = {"x86_64": (272, 165, 308), "aarch64": (97, 40, 268)}[os.uname().machine]
rows = [row(0x20, 0, 0, 0)]
for number in numbers:
    rows += [row(0x15, 0, 1, number), row(0x06, 0, 0, 0x50001)]
rows.append(row(0x06, 0, 0, 0x7FFF0000))
code = ctypes.create_string_buffer(b"".join(rows))
program = struct.pack("HxxxxxxQ", len(rows), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""
_COVERED = 'mount -t tmpfs -o ro tmpfs /proc/irq; exec "$@"'


def azready(before: list[str], *words: str | Path) -> "subprocess.CompletedProcess[str]":
    argv = [*before, sys.executable, "-m", "azready", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)


def test_a_filter_of_system_calls_is_told(debian_base: Callable[..., Path], need: Callable[..., None]) -> None:
    need("root", "tool:ip")
    refusing = [sys.executable, "-c", _REFUSING]
    done = azready(refusing, "boot", debian_base())
    assert done.returncode == 3, done.stdout + done.stderr
    assert "no user namespace could be made" in done.stderr and "--privileged" in done.stderr
    demo = azready(refusing, "demo", "--whole")
    assert demo.returncode == 3 and "no namespaces can be made here" in demo.stderr and "seccomp" in demo.stderr


def test_a_covered_proc_is_told(debian_base: Callable[..., Path], need: Callable[..., None]) -> None:
    need("root", "tool:ip", "tool:unshare")
    done = azready(["unshare", "--mount", "sh", "-euc", _COVERED, "sh"], "boot", debian_base())
    assert done.returncode == 3, done.stdout + done.stderr
    assert "/proc/irq is mounted over" in done.stderr and "--privileged" in done.stderr
