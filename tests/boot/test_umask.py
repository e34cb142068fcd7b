"""Whatever umask azready is called with (077 on hardened machines), images get the modes that a distribution gives."""

import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import layered

Prepared = Callable[..., Path]
UMASKS = ("077", "000")


def azready(umask: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "azready", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, umask=int(umask, 8))


def modes(root: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(root.rglob("*")):
        yield str(path.relative_to(root)), stat.filemode(path.lstat().st_mode)


@pytest.mark.long
@pytest.mark.parametrize("umask", UMASKS)
def test_a_prepared_tree_has_the_same_modes(
    debian_base: Callable[..., Path], prepared: Prepared, tmp_path: Path, umask: str
) -> None:
    """The folder of the program's bytecode was open to all users of the image, or closed to them."""
    usual = dict(modes(prepared()))
    with layered(debian_base("bookworm", "python3-minimal"), tmp_path / "tree") as tree:
        assert azready(umask, "prepare", tree).returncode == 0
        assert dict(modes(tree)) == usual


@pytest.mark.long
@pytest.mark.parametrize("umask", UMASKS)
def test_a_good_image_provisions(prepared: Prepared, umask: str) -> None:
    """The guest's root folder was closed to all but root: networkd asked for no address, and the image was blamed."""
    done = azready(umask, "boot", prepared(), "--boots", "1")
    assert done.returncode == 0, done.stdout + done.stderr
