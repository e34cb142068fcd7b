"""What every test may use: `need`, which skips with the reason, or fails where CI must have it."""

import contextlib
import functools
import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from azready import userns
from azready.errors import Failure
from azready.pipelines import trees

pytest_plugins = ["tests.collected", "tests.left_out", "tests.longest_first", "tests.own_mounts"]

settings.register_profile("azready", deadline=None)  # tests never assert on speed
settings.load_profile("azready")

# A shell starts what runs in the background with Ctrl-C ignored, and children inherit that: tests that press it mind.
signal.signal(signal.SIGINT, signal.default_int_handler)

IN_CI = os.environ.get("CI", "").lower() == "true"
ROOT = Path(__file__).parent.parent
OTHERS_PYTHON = "/usr/bin/python3"
"""A virtual environment's own may lie in a home folder that is closed to others."""


def _missing(what: str) -> str:
    """Say why `what` is not to be had here, or nothing."""
    if what == "root":
        return "" if os.geteuid() == 0 else "needs root: sudo make test"
    if what == "user":
        return "" if os.geteuid() != 0 else "needs an ordinary user: make test without root"
    if what == "ids":
        return _lacks_ids()
    if what == "others":
        return _closed_to_others()
    kind, _, name = what.partition(":")
    if kind == "tool":
        path = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
        return "" if shutil.which(name, path=path) else f"needs {name}: make setup, as root"
    if kind == "file":
        return "" if Path(name).exists() else f"needs {name}: a machine that has it"
    raise ValueError(f"unknown need {what!r}: root, user, ids, others, tool:NAME, file:PATH")


@functools.cache
def _closed_to_others() -> str:
    """As root some tests run azready as another user, who has to reach this checkout and its packages."""
    if os.geteuid() != 0:
        return ""
    version = f"sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", OTHERS_PYTHON, "-c"]
    environment = {**os.environ, "PYTHONPATH": ":".join(path for path in sys.path if path)}
    probe = subprocess.run([*words, f"import azready, typer, sys; {version}"], env=environment, capture_output=True)
    return "" if probe.returncode == 0 else f"needs others to reach this checkout with {OTHERS_PYTHON}: not in /root"


def _lacks_ids() -> str:
    """Root has all user ids; an ordinary user those of /etc/subuid, where namespaces are allowed."""
    try:
        rights = userns.become_root()
    except Failure as failure:
        return f"needs user namespaces: {failure.hint}"
    return "needs more than one user id: see /etc/subuid, or sudo make test" if rights.one_user else ""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick", action="store_true", help="only what needs nothing but Python: skips whatever asks `need`"
    )
    parser.addoption("--approve", action="store_true", help="write approved texts anew; look at what has changed")


@pytest.fixture(scope="session")
def need(pytestconfig: pytest.Config) -> Callable[..., None]:
    """`need("root", "tool:qemu-img")` at the head of a test: skips where one is missing, says which.

    CI runs everything as root after installing every tool, so there a missing tool is a failure.
    `need("user")` and `need("file:…")` may skip anywhere.
    """
    quick = pytestconfig.getoption("--quick")

    def check(*needs: str) -> None:
        if quick:
            pytest.skip("needs more than Python: make test")
        for what in needs:
            reason = _missing(what)
            if not reason:
                continue
            if IN_CI and (what == "root" or what.startswith("tool:")):
                pytest.fail(f"CI must have it, but this test {reason}")
            pytest.skip(reason)

    return check


@pytest.fixture(scope="session")
def debian_base(need: Callable[..., None]) -> Callable[..., Path]:
    """`debian_base("bookworm", "waagent", network="ifupdown")`: a shared, unpacked tree. Never write into it.

    Fit for reading, for `azready boot` and as the lower layer of an overlay. As root, or as a user with sub-ids.
    """
    need("ids", "tool:mmdebstrap", "tool:zstd")

    def base(suite: str = "bookworm", *packages: str, network: trees.Network = "networkd") -> Path:
        return trees.unpacked(suite, packages, network)

    return base


@contextlib.contextmanager
def layered(source: Path, folder: Path) -> Iterator[Path]:
    """A tree of one's own at `folder` while the block lasts: in memory, above `source`, which it leaves as it is.

    A copy where `source` is on an overlay already: a container puts one more above, and the kernel stacks only two.
    """
    folder.mkdir()
    if subprocess.run(["stat", "-fc", "%T", source], capture_output=True, text=True).stdout.startswith("overlay"):
        subprocess.run(["cp", "-a", f"{source}/.", folder], check=True)
        yield folder
        shutil.rmtree(folder)
        return
    memory = folder.with_name(f"{folder.name}.memory")
    memory.mkdir()
    with contextlib.ExitStack() as mounts:

        def mount(where: Path, *words: str) -> None:
            subprocess.run(["mount", "-t", *words, where], check=True)
            mounts.callback(subprocess.run, ["umount", "--lazy", where], check=True)

        mount(memory, "tmpfs", "tmpfs")
        for name in ("upper", "work"):
            (memory / name).mkdir()
        layers = f"lowerdir={source},upperdir={memory}/upper,workdir={memory}/work"
        mount(folder, "overlay", "-o", layers, "overlay")
        yield folder


@pytest.fixture
def debian_tree(need: Callable[..., None], tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`debian_tree("bookworm", "waagent")`: a tree to change at will; gone after the test."""
    need("root", "tool:mmdebstrap", "tool:zstd")
    with contextlib.ExitStack() as made:
        numbers = itertools.count()

        def tree(suite: str = "bookworm", *packages: str, network: trees.Network = "networkd") -> Path:
            source = trees.unpacked(suite, packages, network)
            return made.enter_context(layered(source, tmp_path / f"tree{next(numbers)}"))

        yield tree
