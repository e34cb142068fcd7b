"""Who may import whom: the parts stay apart, so that a mistake in one cannot pass unseen in another."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.style.modules import SOURCE, parsed

SHARED = {
    "errors",
    "addresses",
    "proc",
    "console",
    "userns",
    "devices",
    "kernel",
    "durable",
    "locks",
    "toml",
    "packages",
    "agents",
    "installed",
    "page",
    "__init__",
}  # of `display` only `console` knows
MAY_IMPORT = {
    "cli": {"cli", "pipelines", "image", "fabric", "boot", "azure"},
    "pipelines": {"pipelines", "image", "fabric", "boot", "azure"},
    "boot": {"boot", "fabric"},
    "fabric": {"fabric"},
    "image": {"image"},
    "azure": {"azure"},
    "errors": set(),
    "addresses": set(),
    "proc": set(),
    "console": {"display"},
    "display": set(),
    "userns": set(),
    "devices": set(),
    "kernel": set(),
    "durable": set(),
    "locks": set(),
    "toml": set(),
    "packages": set(),
    "agents": set(),
    "installed": set(),
    "page": set(),
    "__main__": {"cli"},
    "__init__": set(),
}
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "guest" not in path.relative_to(SOURCE).parts)


def _part(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imported_parts(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            names = [node.module or ""]
            if node.module == "azready":
                names = [f"azready.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "azready" and len(parts) > 1 and not parts[1].startswith("__"):
                yield parts[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    wrong = set(_imported_parts(path)) - MAY_IMPORT[_part(path)] - SHARED
    assert not wrong, f"{path.name} of {_part(path)} imports {sorted(wrong)}"


def test_the_guest_imports_nothing_of_ours() -> None:
    for path in (SOURCE / "guest").rglob("*.py"):
        assert "azready" not in {name.split(".")[0] for name in _names(path)}, path


def _names(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
