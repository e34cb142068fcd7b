"""A tree is read and changed inside its root, whatever its links say."""

import errno
import gc
import glob
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from azready.image.targets.pattern import expand_braces, glob_each
from azready.image.targets.tree import Tree


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """The host, as seen from the tree: nothing in it may be read or changed."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("host")
    return folder


@pytest.fixture
def root(tmp_path: Path, outside: Path) -> Path:
    root = tmp_path / "root"
    (root / "etc/systemd").mkdir(parents=True)
    (root / "usr/lib/modules/6.1").mkdir(parents=True)
    (root / "usr/lib/os-release").write_text("ID=debian\n")
    (root / "lib").symlink_to("usr/lib")
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    (root / "etc/absolute").symlink_to("/usr/lib/os-release")
    (root / "etc/climbs").symlink_to("../../../../../../outside/secret")
    (root / "etc/host").symlink_to(outside / "secret")
    (root / "etc/hostfolder").symlink_to(outside)
    (root / "etc/loop").symlink_to("loop")
    (root / "etc/.hidden").write_text("x")
    os.mkfifo(root / "etc/pipe")
    return root


def test_links_are_followed_inside_the_root(root: Path) -> None:
    with Tree(root) as tree:
        assert tree.read_text("etc/os-release") == "ID=debian\n"
        assert tree.read_text("/etc/absolute") == "ID=debian\n"
        assert tree.resolve("lib/modules/new") == "usr/lib/modules/new"
        assert tree.readlink("etc/absolute") == "/usr/lib/os-release"
        assert tree.stat("etc/absolute").kind == "file"
        assert tree.lstat("etc/absolute").kind == "link"


@pytest.mark.parametrize("path", ["etc/climbs", "etc/host", "etc/hostfolder/secret", "../outside/secret", "etc/loop"])
def test_no_path_leads_to_the_host(root: Path, path: str) -> None:
    with Tree(root) as tree:
        assert not tree.exists(path)
        with pytest.raises(OSError):
            tree.read_bytes(path)


@pytest.mark.parametrize("path", ["etc/hostfolder/secret", "etc/hostfolder/new", "../outside/secret"])
def test_nothing_is_written_on_the_host(root: Path, outside: Path, path: str, need: Callable[..., None]) -> None:
    need("root")
    with Tree(root) as tree:
        for change in (
            lambda: tree.write_atomic(path, b"x", 0o644),
            lambda: tree.remove(path),
            lambda: tree.truncate(path),
            lambda: tree.mkdir(path),
            lambda: tree.symlink(path, "x"),
            lambda: tree.chmod(path, 0o777),
        ):
            with suppress(OSError):  # `..` at the root is the root: some of these rightly make a folder in the tree
                change()
    assert [each.name for each in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == "host"


def test_only_regular_files_are_read_and_nothing_blocks(root: Path) -> None:
    with Tree(root) as tree:
        for path in ("etc/pipe", "etc", "."):
            with pytest.raises(OSError):
                tree.read_bytes(path)


def test_a_file_over_the_limit_is_an_error_and_its_head_can_be_read(root: Path) -> None:
    (root / "big").write_bytes(b"x" * 100)
    with Tree(root) as tree:
        with pytest.raises(OSError) as caught:
            tree.read_bytes("big", 99)
        assert caught.value.errno == errno.EFBIG
        assert tree.read_bytes("big", 100) == b"x" * 100
        assert tree.read_head("big", 7) == b"x" * 7


def test_missing_things_say_which(root: Path) -> None:
    with Tree(root) as tree, pytest.raises(FileNotFoundError) as caught:
        tree.read_bytes("etc/none/here")
    assert caught.value.filename == "etc/none/here"


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("etc/os-*", ["etc/os-release"]),
        ("etc/*e", ["etc/absolute", "etc/os-release", "etc/pipe"]),
        ("etc/.h*", ["etc/.hidden"]),
        ("{usr/lib,opt}/os-release", ["usr/lib/os-release"]),
        ("lib/mod*/*", ["lib/modules/6.1"]),
        ("**/6.1", ["usr/lib/modules/6.1"]),
        ("etc/hostfolder/*", []),
        ("none/*", []),
        ("etc/os-release/*", []),
        ("etc/host", ["etc/host"]),
    ],
)
def test_glob(root: Path, pattern: str, found: list[str]) -> None:
    with Tree(root) as tree:
        assert tree.glob(pattern) == found


def _pythons(pattern: str, root: Path) -> list[str]:
    return glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207 (pathlib's is another one)


def test_many_patterns_at_once_find_what_pythons_own_glob_finds(tmp_path: Path) -> None:
    for path in ("etc/a.conf", "etc/b.conf", "etc/.c.conf", "usr/lib/x/y/a.conf", "usr/lib/x/a.conf", "opt/.h/a.conf"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "lib").symlink_to("usr/lib")
    patterns = [
        *(
            "etc/*.conf",
            "etc/.*.conf",
            "etc/{a,b,c}.conf",
            "etc/a.conf",
            "etc",
            "{etc,lib/x,none}/a.conf",
            "*/x/*.conf",
        ),
        *(
            "usr/**/a.conf",
            "usr/**/y",
            "etc/a.conf/*",
            "none/*",
            "etc/[ab].conf",
            "usr/?ib",
            "lib/x/{y,a.conf}{,/a.conf}",
        ),
    ]
    with Tree(tmp_path) as tree:
        found = tree.glob_each(patterns)
    for each in patterns:
        theirs = {path for one in expand_braces(each) for path in _pythons(one, tmp_path)}
        assert found[each] == sorted(theirs), each


def test_a_name_that_is_written_out_is_found_in_a_folder_that_may_not_be_listed() -> None:
    def closed(folder: str) -> list[str]:
        raise PermissionError(errno.EACCES, "closed", folder)

    there = {"root/a", "root/c"}
    patterns = ["root/a", "root/b", "root/c"]
    found = glob_each(patterns, closed, there.__contains__, lambda path: False)
    assert found == {"root/a": ["root/a"], "root/b": [], "root/c": ["root/c"]}
    with pytest.raises(PermissionError):
        glob_each([*patterns, "root/*"], closed, there.__contains__, lambda path: False)


@pytest.mark.long
def test_folders_in_folders_without_end_are_an_error_and_no_more(tmp_path: Path, need: Callable[..., None]) -> None:
    need("root")
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("a", dir_fd=fd)
        below = os.open("a", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    with Tree(tmp_path) as tree:
        for look in (lambda: [*tree.walk("")], lambda: tree.glob("a/**/x"), lambda: tree.remove("a")):
            with pytest.raises(OSError, match="256 folders in each other"):
                look()
    subprocess.run(["rm", "-r", tmp_path / "a"], check=True)


def test_braces_in_one_choice_of_others() -> None:
    assert expand_braces("{a,{b,c}/{d,e}}x") == ["ax", "b/dx", "b/ex", "c/dx", "c/ex"]


def test_a_pattern_of_an_image_may_not_have_more_choices_than_there_are_files() -> None:
    with pytest.raises(ValueError, match="more than 4096 choices"):
        expand_braces("/etc/" + "{a,b}" * 40)


def test_walk_lists_everything_and_follows_no_link(root: Path) -> None:
    with Tree(root) as tree:
        seen = dict(tree.walk(""))
    assert seen["usr/lib/os-release"].size == 10
    assert seen["lib"].kind == "link"
    assert not any(path.startswith(("lib/", "etc/hostfolder/")) for path in seen)
    assert list(seen) == sorted(seen, key=lambda path: path.split("/"))


def test_write_replaces_a_link_and_keeps_the_rest(root: Path, outside: Path, need: Callable[..., None]) -> None:
    need("root")
    with Tree(root) as tree:
        tree.write_atomic("etc/host", b"new", 0o600, 3, 4)
        assert tree.lstat("etc/host").kind == "file"
        assert tree.read_bytes("etc/host") == b"new"
        assert (tree.stat("etc/host").mode, tree.stat("etc/host").uid, tree.stat("etc/host").gid) == (0o600, 3, 4)
        with pytest.raises(IsADirectoryError):
            tree.write_atomic("etc/systemd", b"", 0o644)
        assert not [name for name in tree.listdir("etc") if "azready" in name]
    assert (outside / "secret").read_text() == "host"


def test_a_killed_write_is_replaced_by_the_next(root: Path, need: Callable[..., None]) -> None:
    need("root")
    (root / "etc/.hostname.azready").write_text("half")
    with Tree(root) as tree:
        tree.write_atomic("etc/hostname", b"whole", 0o644)
        assert tree.listdir("etc").count(".hostname.azready") == 0


def test_remove_takes_a_folder_with_everything_but_follows_nothing(
    root: Path, outside: Path, need: Callable[..., None]
) -> None:
    need("root")
    with Tree(root) as tree:
        tree.remove("etc")
        assert not tree.exists("etc")
    assert (outside / "secret").read_text() == "host"
    assert (root / "usr/lib/os-release").exists()


def test_a_folder_in_the_way_is_said(root: Path) -> None:
    with Tree(root) as tree, pytest.raises(OSError):
        tree.mkdir("usr/lib/os-release/x")


def test_slash_is_live_and_a_tree_is_not(root: Path) -> None:
    with Tree(Path("/")) as machine, Tree(root) as tree:
        assert machine.live
        assert not tree.live
        assert str(root) in tree.describe()


@pytest.mark.long
def test_a_tree_that_is_forgotten_keeps_no_descriptor(root: Path) -> None:
    gc.collect()  # what other tests forgot
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        Tree(root).exists("etc")
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
