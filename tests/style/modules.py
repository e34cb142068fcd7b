"""The modules of azready as trees, each read once: several tests ask every one of them."""

import ast
import functools
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "azready"


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())
