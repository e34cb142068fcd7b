"""Whether the fields of a value that was read from a file hold what their types say; Python itself does not ask."""

import types
from dataclasses import is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Value = TypeVar("Value")
_MOST = 1 << 53
"""Beyond it no second, status or size lies; NaN is not below it."""


def as_float(value: Any) -> Any:
    """A whole number as the float that is wanted in its place; anything else, and what no float holds, as it is."""
    return float(value) if type(value) is int and abs(value) < _MOST else value


def held(value: Value) -> Value:
    """A frozen dataclass, as it is. Raises TypeError with the first field, of it or below it, that does not fit."""
    for name, hint in _hints(type(value)).items():  # type: ignore[arg-type]
        if not _fits(getattr(value, name), hint):
            raise TypeError(f"{name} is {getattr(value, name)!r}"[:200])
    return value


_hints = cache(get_type_hints)


def _fits(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is Literal:
        return isinstance(value, str | int) and value in args
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in args)
    if origin is tuple:
        return isinstance(value, tuple) and _fit(value, args)
    if hint in (float, int):
        kinds = (float, int) if hint is float else (int,)
        return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) < _MOST
    return isinstance(value, origin or hint) and (not is_dataclass(value) or held(value) is value)


def _fit(values: tuple[Any, ...], hints: tuple[Any, ...]) -> bool:
    kinds = [hints[0]] * len(values) if hints[1:] == (...,) else hints
    return len(values) == len(kinds) and all(map(_fits, values, kinds))
