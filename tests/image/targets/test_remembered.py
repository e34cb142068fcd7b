"""What is answered from memory is what the tree itself says, refusals too; and it is asked once."""

import errno
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.image.targets import pattern
from azready.image.targets.remembered import Remembered
from azready.image.targets.tree import Tree

PATHS = (
    "",
    *["etc", "etc/passwd", "etc/passwd/x", "etc/absent", "absent/x", "link", "link/passwd", "loop", "away", "big"],
)
QUESTIONS = ("read_text", "read_bytes", "exists", "stat", "lstat", "readlink", "resolve", "listdir", "glob")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "big").write_bytes(bytes(3 << 20))
    for name, target in (("link", "/etc"), ("loop", "loop"), ("away", "../../../../etc/passwd")):
        (tmp_path / name).symlink_to(target)
    return Tree(tmp_path)


def _said(files: Any, question: str, path: str) -> object:
    try:
        return getattr(files, question)(path)
    except OSError as error:
        return type(error), error.errno, error.filename


@pytest.mark.parametrize("question", QUESTIONS)
def test_it_says_what_the_tree_says_and_asks_once(question: str, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[tuple[str, str]] = Counter()
    for name in QUESTIONS[:-1]:

        def counted(self: Tree, path: str, *more: Any, name: str = name, ask: Any = getattr(Tree, name)) -> Any:
            asked[name, path] += 1
            return ask(self, path, *more)

        monkeypatch.setattr(Tree, name, counted)
    expected = [_said(tree, question, path) for path in PATHS]
    asked.clear()
    remembered = Remembered(tree)
    for _ in range(2):
        assert [_said(remembered, question, path) for path in PATHS] == expected
    outer = {path: count for (name, path), count in asked.items() if name == question and path != "big"}
    assert set(outer.values()) <= {1}, "and a large file is not kept"


def test_a_list_that_is_changed_by_who_got_it_is_not_the_one_that_is_kept(tree: Tree) -> None:
    remembered = Remembered(tree)
    remembered.listdir("").clear()
    assert "etc" in remembered.listdir("")


def test_a_file_on_the_way_is_no_folder(tree: Tree) -> None:
    with pytest.raises(NotADirectoryError) as caught:
        tree.stat("etc/passwd/x")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOTDIR, "etc/passwd/x")
    assert tree.read_text("link/../etc/passwd") == Path(tree.root / "etc/passwd").read_text()
    assert tree.listdir("link") == ["passwd"]


@pytest.mark.long
@given(st.text("ab.*?[]!-", max_size=6), st.text("ab.*[]", max_size=6))
def test_a_name_matches_as_by_fnmatch(part: str, name: str) -> None:
    hidden = name.startswith(".") and not part.startswith(".")
    assert pattern.matches(name, part) == (fnmatchcase(name, part) and not hidden)
