"""On a machine that is not on Azure the program does nothing: no packet, no change, no process. Shown by strace."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.fabric.machine import Machine
from tests.guest.conftest import PROGRAM, Scratch

CHANGES = "open,openat,creat,mkdir,mkdirat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
MORE = (
    "chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,truncate,ftruncate,mknod,mknodat,sethostname,mount,umount2,kill"
)


def _traced(log: Path, root: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    what = f"trace=%network,%process,{CHANGES},{MORE}"
    words = ["strace", "-f", "-qq", "-e", what, "-e", "signal=none", "-o", str(log)]
    words += [sys.executable, "-I", "-S", "-B", str(PROGRAM), f"--root={root}", *options]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    return done, log.read_text().splitlines()


def _effects(lines: list[str]) -> list[str]:
    """System calls that send, change or start something: all but the start itself, opening to read, and the end."""
    harmless = re.compile(r"exit(_group)?\(|wait4|O_RDONLY|arch_prctl|set_tid_address|\+\+\+")
    return [line for line in lines[1:] if not harmless.search(line)]


@pytest.mark.parametrize("tag", ["", "No Asset Tag", "7783-7084-3265-9085-8269-3286-78"])
def test_elsewhere_nothing_happens(
    need: Callable[..., None], scratch: Callable[[Machine], Scratch], machine: Machine, tmp_path: Path, tag: str
) -> None:
    need("tool:strace")
    tree = scratch(machine)
    (tree.root / "sys/class/dmi/id/chassis_asset_tag").write_text(tag + "\n")
    done, lines = _traced(tmp_path / "log", tree.root)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"Not on Azure (chassis asset tag: {tag or 'none'}): nothing to do\n"
    assert lines and _effects(lines) == []


def test_the_trace_would_show_it(
    need: Callable[..., None], scratch: Callable[[Machine], Scratch], machine: Machine, tmp_path: Path
) -> None:
    """The same trace of a run on Azure (with a platform that refuses): the test above can fail."""
    need("tool:strace")
    tree = scratch(machine)
    closed = ("--imds=http://127.0.0.1:9", "--wireserver=http://127.0.0.1:9", "--deadline=1")
    _, lines = _traced(tmp_path / "log", tree.root, *closed)
    effects = "\n".join(_effects(lines))
    assert "connect(" in effects and "mkdir(" in effects


def test_without_root_the_machine_is_not_touched(need: Callable[..., None]) -> None:
    need("tool:setpriv", "root")
    words = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--",
        "/usr/bin/python3",
        "-I",
        "-S",
        "-B",
        "-",
    ]
    done = subprocess.run(
        words, input=PROGRAM.read_bytes(), capture_output=True, check=False, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 77
    assert done.stderr == b"azure-provisioning must run as root; --root DIR acts on a tree\n"
