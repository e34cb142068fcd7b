"""Trees for the tests of `image`: real ones from Debian's mirror, copied so that each test may change its own."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azready.pipelines import trees

Azready = Callable[..., subprocess.CompletedProcess[str]]
CopyTree = Callable[..., Path]


@pytest.fixture
def azready() -> Azready:
    """The command itself, as a user runs it: returns status, stdout and stderr."""

    def run(*words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "azready", *map(str, words)]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=120)

    return run


@pytest.fixture
def copy_tree(tmp_path: Path, need: Callable[..., None]) -> Iterator[CopyTree]:
    """`copy_tree("bookworm", ("waagent",))`: a tree of one's own, in memory above the cached one, gone afterwards."""
    need("root", "tool:mmdebstrap", "tool:zstd")
    mounted: list[Path] = []

    def mount(*words: str | Path) -> None:
        subprocess.run(["mount", *words], check=True)
        mounted.append(Path(words[-1]))

    def copy(suite: str = "bookworm", packages: tuple[str, ...] = (), network: trees.Network = "networkd") -> Path:
        source = trees.unpacked(suite, packages, network)
        memory, root = tmp_path / f"memory{len(mounted)}", tmp_path / f"tree{len(mounted)}"
        memory.mkdir()
        root.mkdir()
        mount("-t", "tmpfs", "tmpfs", memory)
        (memory / "upper").mkdir()
        (memory / "work").mkdir()
        layers = f"lowerdir={source},upperdir={memory}/upper,workdir={memory}/work"
        mount("-t", "overlay", "-o", layers, "overlay", root)
        return root

    try:
        yield copy
    finally:
        for path in reversed(mounted):
            subprocess.run(["umount", "--lazy", path], check=True)
