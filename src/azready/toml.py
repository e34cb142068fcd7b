"""TOML that somebody else wrote: whatever is none is a ValueError, what nests deeper than Python goes too."""

import tomllib
from typing import Any


def loads(text: str) -> dict[str, Any]:
    """The document. Raises ValueError that says where it goes wrong."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
