"""What macOS and Windows have not is not asked for by verbs that need it not; the others say what to do instead.

Played on Linux: modules and names that those systems lack are taken away. Nobody runs it there.
"""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.cli.app import ANYWHERE, require_linux
from azready.errors import Failure
from azready.image import conversion
from tests.image.sample import good_image

_WINDOWS = """
import importlib.abc, os, signal, sys
import asyncio, http.server, logging, multiprocessing, selectors, socket, subprocess, tempfile, typer, rich.console

class Gone(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {"fcntl", "pwd", "grp", "resource", "termios", "tty", "pty"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in [name for name in sys.modules if name.partition(".")[0] in ("fcntl", "pwd", "grp", "resource", "pty")]:
    del sys.modules[name]
sys.meta_path.insert(0, Gone())
gone = "O_PATH O_NOFOLLOW O_DIRECTORY O_CLOEXEC geteuid getuid getgid SEEK_DATA SEEK_HOLE"
for name in f"{gone} pread preadv pwrite copy_file_range fdatasync".split():
    delattr(os, name)
del signal.SIGHUP
from azready.cli import main
from azready.cli import app
app.require_linux.__defaults__ = ("win32",)
sys.platform = "win32"
main()
"""


def _on_windows(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", _WINDOWS, *words]
    environment = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(argv, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60, check=False)


def _here(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "azready", *words]
    return subprocess.run(argv, capture_output=True, text=True, cwd=cwd, timeout=60, check=False)


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("check --list", "P01"),
        ("convert disk.vhd --dry-run new.vhd", "would write"),
        ("convert disk.vhd new.vhd --verify", "no difference"),
        ("fabric medium medium.iso", ""),
        ("publish disk.vhd -n web -g images -l westeurope --hyper-v-generation V1 --dry-run", "managed disk"),
    ],
)
def test_a_verb_that_needs_no_linux_does_its_work(tmp_path: Path, words: str, says: str) -> None:
    entry = bytes((0x80, 0, 0, 0, 0x83, 0, 0, 0)) + struct.pack("<II", 2048, 4096)
    table = (b"\xeb\x63" + bytes(444) + entry + bytes(48) + b"\x55\xaa").ljust(4 << 20, b"\0")
    (tmp_path / "disk.raw").write_bytes(table)
    conversion.convert(conversion.plan(tmp_path / "disk.raw"), tmp_path / "disk.vhd")
    done = _on_windows(*words.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout + done.stderr


@pytest.mark.long
def test_a_disk_is_checked(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:mke2fs")
    good_image(tmp_path / "tree")
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tmp_path / "tree", tmp_path / "disk.raw", "20M"], check=True)
    here, there = (run("check", "disk.raw", "-o", "json", cwd=tmp_path) for run in (_here, _on_windows))
    assert there.returncode == here.returncode, there.stderr
    assert json.loads(there.stdout) == json.loads(here.stdout)


def test_a_verb_that_does_says_the_line_for_a_container() -> None:
    with pytest.raises(Failure, match="Linux only") as caught:
        require_linux(("boot", "my disk.qcow2"), "darwin")
    assert "docker run" in caught.value.hint and "azready boot 'my disk.qcow2'" in caught.value.hint


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        *(((verb, "x"), True) for verb in ANYWHERE if verb != "publish"),
        (("check", "ssh://me@host"), True),
        (("check", "disk.qcow2"), False),
        (("prepare", "--help"), True),
        (("fabric", "run", "--", "agent"), False),
        (("doctor",), False),
        (("publish", "x.vhd"), False),
        ((), True),
    ],
)
def test_what_is_allowed_where(words: tuple[str, ...], allowed: bool) -> None:
    require_linux(words, "linux")
    if allowed:
        require_linux(words, "win32")
    else:
        with pytest.raises(Failure):
            require_linux(words, "win32")
