"""Commands whose options are the fields of one record, which is then handed on whole."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

Record = TypeVar("Record")


def takes(
    record: type[Record], *, inherited_first: bool = False
) -> Callable[[Callable[[Record], None]], Callable[..., None]]:
    """Make a command of a function of one record: every field of it is an option, as its annotation says for Typer.

    The command's help begins with what is its own, or with what is `inherited_first`.
    """

    def decorate(function: Callable[[Record], None]) -> Callable[..., None]:
        def command(**given: Any) -> None:
            function(record(**given))

        shape: Any = record
        hints = get_type_hints(record, include_extras=True)
        parameters = [
            inspect.Parameter(
                each.name, inspect.Parameter.KEYWORD_ONLY, default=_default(each), annotation=hints[each.name]
            )
            for each in (dataclasses.fields(shape) if inherited_first else _own_first(record))
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = hints
        command.__doc__ = function.__doc__
        return command

    return decorate


def _own_first(record: type[Any]) -> list["dataclasses.Field[Any]"]:
    """The fields of a record, those of its bases last."""
    order = {name: n for n, each in enumerate(record.__mro__) for name in inspect.get_annotations(each)}
    return sorted(dataclasses.fields(record), key=lambda each: order[each.name])


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    made = field.default_factory
    return inspect.Parameter.empty if made is dataclasses.MISSING else made()
