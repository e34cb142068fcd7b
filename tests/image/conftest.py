"""Trees for the tests of `image`: real ones from Debian's mirror, copied so that each test may change its own."""

import subprocess
import sys
from collections.abc import Callable
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
def copy_tree(debian_tree: Callable[..., Path]) -> CopyTree:
    """`copy_tree("bookworm", ("waagent",))`: a tree of one's own, gone after the test."""

    def copy(suite: str = "bookworm", packages: tuple[str, ...] = (), network: trees.Network = "networkd") -> Path:
        return debian_tree(suite, *packages, network=network)

    return copy
