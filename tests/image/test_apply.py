"""Plans are carried out once, whatever happens in between."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.image.actions import (
    Action,
    Chmod,
    Chown,
    Link,
    MakeFolder,
    Remove,
    RemoveContent,
    RemoveUser,
    Run,
    Truncate,
    Write,
)
from azready.image.apply import ApplyFailed, apply
from azready.image.facts import passwd
from azready.image.targets.tree import Tree

PLAN: tuple[Action, ...] = (
    Write("etc/new/file", b"hello", 0o640, 0, 4),
    MakeFolder("var/lib/x", 0o700),
    Link("etc/systemd/system/a.service", "/dev/null"),
    Truncate("var/log/syslog"),
    Remove("var/lib/waagent"),
    RemoveContent("tmp"),
    Chmod("etc/kept", 0o600),
    Chown("etc/kept", 1, 2),
    RemoveUser("build"),
)


@pytest.fixture
def tree(tmp_path: Path, need: Callable[..., None]) -> Tree:
    need("root")
    for folder in ("etc", "var/log", "var/lib/waagent/events", "tmp/a/b", "home/build/.ssh", "home/other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var/log/syslog").write_text("line\n")
    (tmp_path / "etc/kept").write_text("kept")
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nbuild:x:1000:1000::/home/build:/bin/sh\nother:x:1001:1001::/home/other:/bin/sh\n"
    )
    (tmp_path / "etc/shadow").write_text("root:*:1::::::\nbuild:$6$x:1::::::\nother:!:1::::::\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nsudo:x:27:build,other\nbuild:x:1000:\nother:x:1001:build\n")
    (tmp_path / "etc/gshadow").write_text("sudo:*::build,other\nbuild:!::\n")
    (tmp_path / "etc/subuid").write_text("build:100000:65536\nother:165536:65536\n")
    return Tree(tmp_path)


def test_a_plan_is_carried_out_and_a_second_time_changes_nothing(tree: Tree) -> None:
    first = apply(PLAN, tree)
    assert all(outcome.changed for outcome in first)
    assert tree.read_bytes("etc/new/file") == b"hello"
    assert (tree.stat("etc/new/file").mode, tree.stat("etc/new/file").gid) == (0o640, 4)
    assert tree.readlink("etc/systemd/system/a.service") == "/dev/null"
    assert tree.stat("var/log/syslog").size == 0
    assert tree.listdir("tmp") == []
    assert (tree.stat("etc/kept").mode, tree.stat("etc/kept").uid, tree.stat("etc/kept").gid) == (0o600, 1, 2)
    assert tree.listdir("home") == ["other"]
    assert "build" not in "".join(tree.read_text(path) for path in passwd.FILES if tree.exists(path))
    assert tree.read_text("etc/group") == "root:x:0:\nsudo:x:27:other\nother:x:1001:\n"
    assert not any(outcome.changed for outcome in apply(PLAN, tree))


def test_a_user_half_removed_is_removed_by_the_next_run(tree: Tree) -> None:
    full = Tree.write_atomic

    class Power(Exception):
        pass

    class Cut(Tree):
        def write_atomic(self, path: str, data: bytes, mode: int, uid: int = 0, gid: int = 0) -> None:
            if path == "etc/shadow":
                raise Power
            full(self, path, data, mode, uid, gid)

    with pytest.raises(Power):
        apply([RemoveUser("build")], Cut(tree.root))
    apply([RemoveUser("build")], tree)
    assert "build" not in "".join(tree.read_text(path) for path in passwd.FILES if tree.exists(path))


@pytest.mark.parametrize("home", ["/", "/home", "/home/other", "/root", "/home/../etc", "relative"])
def test_a_home_that_is_not_its_own_stays(tree: Tree, home: str) -> None:
    passwd = tree.read_text("etc/passwd").replace("/home/build", home)
    apply([Write("etc/passwd", passwd.encode()), RemoveUser("build")], tree)
    assert tree.listdir("home") == ["build", "other"]
    assert tree.exists("etc/kept")


def test_a_failure_says_what_and_what_was_done(tree: Tree) -> None:
    class Full(Tree):
        def write_atomic(self, path: str, data: bytes, mode: int, uid: int = 0, gid: int = 0) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", path)

    with pytest.raises(ApplyFailed) as caught:
        apply([Truncate("var/log/syslog"), Write("etc/x", b"1"), Remove("etc/kept")], Full(tree.root))
    assert "could not write /etc/x" in caught.value.message
    assert "No space left" in caught.value.message
    assert "make room" in caught.value.hint
    assert [outcome.action for outcome in caught.value.done] == [Truncate("var/log/syslog")]
    assert tree.exists("etc/kept")


def test_an_owner_that_this_user_may_not_be_is_said(tree: Tree) -> None:
    """The kernel calls an id that a user namespace does not map too large a value."""

    class OneId(Tree):
        def remove(self, path: str) -> None:
            raise OSError(errno.EOVERFLOW, "Value too large for defined data type", path)

    with pytest.raises(ApplyFailed) as caught:
        apply([Remove("etc/kept")], OneId(tree.root))
    assert "sub-ids" in caught.value.hint and "as root" in caught.value.hint


def test_descriptions_hold_no_content_and_no_terminal_tricks() -> None:
    assert "hunter2" not in Write("etc/x", b"hunter2").describe() + repr(Write("etc/x", b"hunter2"))
    assert "\x1b" not in Remove("tmp/\x1b[2J\n").describe()
    assert Run(("apt-get", "purge", "a b"), title="remove").describe() == "remove: apt-get purge 'a b'"
