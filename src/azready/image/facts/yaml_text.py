"""YAML that somebody else wrote: whatever is none, or more than it seems, is a ValueError."""

from typing import Any, Literal

_LONGEST = 1 << 20
"""Characters of a document; Python takes some ten seconds for as many."""
_MOST = 1 << 22
"""Characters that a document may come to, once every alias is written out."""


def loads(text: str, scalars: Literal["text", "typed"], more: Literal["ignored", "refused"]) -> Any:
    """The first document, None where there is none; `more` says what becomes of further ones.

    What an alias repeats is one value, and so small in memory; who copies or prints the whole gets no more than 4 MiB.
    Raises ValueError that says where it goes wrong.
    """
    import yaml  # here: most images have none, and it takes a tenth of a start

    if len(text) > _LONGEST:
        raise ValueError(f"it is longer than {_LONGEST >> 20} MiB")
    try:
        reader = yaml.BaseLoader(text) if scalars == "text" else yaml.SafeLoader(text)
        node = reader.get_single_node() if more == "refused" else reader.get_node() if reader.check_node() else None
        if node is None:
            return None
        if _written_out(node, {}) > _MOST:
            raise ValueError("its aliases repeat too much")
        return reader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError((str(error).splitlines() or ["no YAML"])[0]) from error
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    except (TypeError, OverflowError) as error:  # PyYAML's own, of values that it takes for numbers or dates
        raise ValueError(str(error)) from error


def _written_out(node: Any, known: dict[int, int]) -> int:
    """Characters of a node with every alias in it written out; each node is looked at once."""
    if id(node) not in known:
        known[id(node)] = _MOST + 1  # for what holds itself
        if isinstance(node.value, str):
            size = len(node.value)
        else:
            parts = [each for part in node.value for each in (part if isinstance(part, tuple) else (part,))]
            size = sum(_written_out(each, known) for each in parts)
        known[id(node)] = size + 1
    return known[id(node)]
