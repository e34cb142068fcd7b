"""A prepared Debian tree, made once and shared by all workers: boots never change it."""

import contextlib
import fcntl
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azready.pipelines import trees
from azready.proc import run
from tests.conftest import layered

Prepared = Callable[..., Path]


@pytest.fixture(scope="session")
def prepared(need: Callable[..., None], tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Prepared:
    """`prepared("bookworm", "curl", network="ifupdown", guest="sh")`: a tree that `azready prepare` has prepared.

    `options` are more words for `azready prepare`.
    """
    need("root", "tool:mmdebstrap", "tool:zstd", "tool:ssh", "tool:unshare", "tool:nsenter")
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def make(
        suite: str = "bookworm",
        *packages: str,
        network: trees.Network = "networkd",
        guest: str = "python",
        options: tuple[str, ...] = (),
    ) -> Path:
        packages = packages or ("python3-minimal",)
        root = shared / "-".join(("tree", suite, *packages, network, guest, *options))
        with (shared / f"{root.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not root.exists():
                partial = root.with_suffix(".partial")
                trees.unpack(trees.tree(suite, packages, network), partial)
                run([sys.executable, "-m", "azready", "prepare", partial, "--guest", guest, *options])
                partial.rename(root)
        return root

    return make


@pytest.fixture
def broken(prepared: Prepared, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`broken(packages…, network=…)`: a prepared tree of one's own, to break."""
    with contextlib.ExitStack() as made:
        numbers = itertools.count()

        def make(*packages: str, network: trees.Network = "networkd") -> Path:
            source = prepared("bookworm", *packages, network=network)
            return made.enter_context(layered(source, tmp_path / f"broken{next(numbers)}"))

        yield make
