"""The one table of agents, and the names of our own files: nobody else keeps a second copy of them."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from azready import agents, installed

SOURCE = Path(installed.__file__).parent
OURS = re.compile(rf"(usr/lib|var/lib|etc)/{installed.NAME}(?!-wireserver)|^{installed.NAME}[\w-]*\.service$")


def _strings(path: Path) -> Iterator[str]:
    docs = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docs.add(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs:
            yield node.value


@pytest.mark.parametrize("name", ["UNITS", "WANTED_LINK", "SUDO_FILES", "PROGRAM", "STATE", "SETTINGS", "HOOKS"])
def test_each_name_is_one_that_is_installed_or_written(name: str) -> None:
    rows = installed.manifest()
    known = {
        row.get("target", row.get("path", "")).strip("/")
        for rows in rows.values()
        if isinstance(rows, list)
        for row in rows
    }
    known |= {installed.manifest()[key].strip("/") for key in ("program", "state", "settings", "hooks")}
    value = getattr(installed, name)
    for each in value if isinstance(value, tuple) else (value,):
        assert each in {path if "/" in each else path.rpartition("/")[2] for path in known}, each


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(SOURCE.rglob("*.py")) if "guest" not in path.relative_to(SOURCE).parts],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_nobody_spells_our_paths_out(path: Path) -> None:
    assert not [text for text in _strings(path) if OURS.search(text)]


def test_an_agent_is_known_by_its_own_words() -> None:
    for agent in agents.AGENTS.values():
        names = [*agent.starts, agent.program, agent.called]
        assert any(re.search(agent.words, name) for name in names), agent.name
        others = [each for each in agents.AGENTS.values() if each is not agent]
        assert not [each.name for each in others if re.search(each.words, " ".join(agent.starts))], agent.name


def test_pages_have_an_address_where_there_is_no_checkout(tmp_path: Path) -> None:
    text = "see docs/boot-disk.md, and usr/share/docs/boot.md"
    assert installed.with_pages(text) == text, "this is a checkout"
    told = installed.with_pages(text, tmp_path)
    assert told == f"see {installed.DOCUMENTATION}/boot-disk.md, and usr/share/docs/boot.md"
    assert installed.with_pages(told, tmp_path) == told
    pyproject = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())
    assert pyproject["project"]["urls"]["Documentation"].replace("/tree/", "/blob/") == installed.DOCUMENTATION


def test_every_page_that_a_message_names_is_there() -> None:
    named = {page for path in SOURCE.rglob("*.py") for page in re.findall(r"docs/([\w-]+\.md)", path.read_text())}
    assert len(named) > 8 and [page for page in named if not (SOURCE.parents[1] / "docs" / page).is_file()] == []
