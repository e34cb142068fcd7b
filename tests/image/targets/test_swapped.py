"""Somebody who may write to a tree swaps names for links while azready works on it, at every system call in turn."""

import contextlib
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from azready.errors import Failure
from azready.image.targets.tree import Tree

SECRET = b"secret of the host\n"
CALLS = (
    *("open", "stat", "lstat", "fstat", "readlink", "listdir", "read", "rename", "unlink", "rmdir", "mkdir", "symlink"),
    *("chmod", "chown", "fchmod", "fchown", "ftruncate", "fsync", "listxattr", "getxattr", "setxattr", "write"),
)
OPERATIONS: dict[str, tuple[str, Callable[[Tree], object]]] = {
    "write": ("etc/x", lambda tree: tree.write_atomic("etc/x", b"new", 0o600)),
    "write anew": ("etc/new", lambda tree: tree.write_atomic("etc/new", b"new", 0o600)),
    "truncate": ("etc/x", lambda tree: tree.truncate("etc/x")),
    "remove": ("etc/x", lambda tree: tree.remove("etc/x")),
    "remove a folder": ("etc/below", lambda tree: tree.remove("etc/below")),
    "mode of a file": ("etc/x", lambda tree: tree.chmod("etc/x", 0o777)),
    "mode of a folder": ("etc/below", lambda tree: tree.chmod("etc/below", 0o777)),
    "owner": ("etc/x", lambda tree: tree.chown("etc/x", os.geteuid(), os.getegid())),
    "link": ("etc/l", lambda tree: tree.symlink("etc/l", "elsewhere")),
    "folder": ("etc/made", lambda tree: tree.mkdir("etc/made/deep", 0o777)),
    "deep folder": ("etc/made/deep", lambda tree: tree.mkdir("etc/made/deep", 0o777)),
    "read": ("etc/x", lambda tree: tree.read_bytes("etc/x")),
    "list": ("etc/below", lambda tree: tree.listdir("etc/below")),
    "walk": ("etc/below", lambda tree: [*tree.walk("")]),
    "resolve": ("etc/below/x", lambda tree: tree.resolve("etc/below/x")),
}


def _made(folder: Path, content: bytes) -> Path:
    (folder / "etc/below").mkdir(parents=True)
    for name in ("etc/x", "etc/below/x"):
        (folder / name).write_bytes(content)
    return folder


def _looks(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_uid, status.st_ino, content)
    return found


def _swap(name: Path, canary: Path) -> None:
    """A link to the host's in the name's place, whatever is there."""
    if name.exists() or name.is_symlink():
        name.rename(name.with_name(f"{name.name}.was"))
    with contextlib.suppress(OSError):
        name.symlink_to(canary)


class Meddler:
    """Swaps before system call number `at`; counts how many there are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, swap: Callable[[], None]) -> None:
        self.seen = 0
        self._at, self._swap, self._busy = at, swap, False
        for name in CALLS:
            monkeypatch.setattr(os, name, self._watched(getattr(os, name)))

    def _watched(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*words: object, **more: object) -> object:
            if not self._busy:
                self.seen += 1
                if self.seen == self._at:
                    self._busy = True
                    self._swap()
                    self._busy = False
            return real(*words, **more)

        return call


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("swapped", ["the name", "its folder"])
def test_a_name_that_is_swapped_for_a_link_leads_nowhere(operation: str, swapped: str, tmp_path: Path) -> None:
    name, do = OPERATIONS[operation]
    where = name if swapped == "the name" else name.rpartition("/")[0]
    canary = _made(tmp_path / "host", SECRET)
    (canary / "etc/made/deep").mkdir(parents=True)
    (canary / "etc/l").symlink_to("nowhere")
    before = _looks(canary)
    at = 0
    while True:
        at += 1
        tree = _made(tmp_path / f"tree-{at}", b"of the tree\n")
        came: object = None
        with Tree(tree) as opened, pytest.MonkeyPatch.context() as patching, contextlib.suppress(OSError):
            meddler = Meddler(patching, at, partial(_swap, tree / where, canary / where))
            came = do(opened)
        assert _looks(canary) == before, f"at call {at}"
        assert came != SECRET, f"at call {at}"
        if meddler.seen < at:
            break
    assert at > 2, "calls are seen"


def test_a_program_never_runs_in_what_has_taken_the_trees_place(tmp_path: Path, need: Callable[..., None]) -> None:
    need("root", "tool:unshare")
    tree, other = tmp_path / "tree", tmp_path / "other"
    for folder in (tree, other):
        for name in ("proc", "sys", "dev", "run", "tmp", "usr"):
            (folder / name).mkdir(parents=True)
    with Tree(tree) as opened:
        tree.rename(tmp_path / "away")
        tree.symlink_to(other)
        with pytest.raises(Failure, match="another folder has taken its place"):
            opened.run(["true"])
