"""Values of options that need no converting are taken as they are.

Typer (0.29) builds a pydantic model for each option of a verb, given or not. To import pydantic and to build them takes
longer than all else at the start of a verb, and most values are what was asked for before: a text, a default, a path.
Whatever else a value is, Typer's own conversion has it, with Typer's own message.
"""

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer.core

_BUILD: Any = getattr(typer.core, "build_runtime_param", None)
"""Typer's own; None in a Typer that has no such step."""


def spare() -> None:
    """Let all commands of this process take plain values without Typer's conversion."""
    if _BUILD is not None:
        setattr(typer.core, "build_runtime_param", _Sparing)  # noqa: B010 (not there for every Typer's types)


@dataclass(frozen=True)
class _Sparing:
    """Stands where Typer keeps a parameter's converter, which is made only when it is needed."""

    descriptor: Any

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        wanted, asks = self.descriptor.annotation, self.descriptor.parameter_info
        try:
            if several and get_origin(wanted) is list and isinstance(value, list | tuple):
                (of,) = get_args(wanted)
                return [plain(each, of, asks) for each in value]
            return plain(value, wanted, asks)
        except ValueError:
            return _BUILD(self.descriptor).coerce(value, param=param, ctx=ctx)


def plain(value: Any, wanted: Any, asks: Any) -> Any:
    """The value as the type that is wanted of it; `asks` is what the option says beside (Typer's ParameterInfo).

    Raises ValueError where more than a look at it is needed.
    """
    if asks.parser is None:
        if get_origin(wanted) is Literal and value in get_args(wanted):
            return value
        if isinstance(wanted, type) and issubclass(wanted, Enum):
            return wanted(value)
        if wanted is int and isinstance(value, str) and value.isascii() and value.isdecimal():
            value = int(value)
        if type(value) is wanted and wanted in (str, bool, int, float) and _within(value, asks):
            return value
        if wanted is Path and _any_path(asks) and (os.access(value, os.R_OK) or not Path(value).exists()):
            return Path(value)
    raise ValueError("wants a conversion")


def _within(value: Any, asks: Any) -> bool:
    return (asks.min is None or value >= asks.min) and (asks.max is None or value <= asks.max)


def _any_path(asks: Any) -> bool:
    wants = asks.exists or asks.writable or asks.resolve_path or asks.allow_dash or asks.path_type
    return not wants and asks.file_okay and asks.dir_okay
