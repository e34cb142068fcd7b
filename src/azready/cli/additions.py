"""The options of `prepare` and `build` that put things into an image, carried out in the order of the command line."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from azready.image.parts.additions import Addition

Install = Annotated[
    list[str] | None,
    typer.Option(
        "--install",
        metavar="PACKAGE",
        help="Install packages: by name from the image's repositories, or files of this machine, offline; repeatable.",
    ),
]
CopyIn = Annotated[
    list[str] | None,
    typer.Option("--copy-in", metavar="SRC:DST", help="Put in a file or folder of this machine; repeatable."),
]
RunCommand = Annotated[
    list[str] | None,
    typer.Option("--run", metavar="COMMAND", help="Run it in the image's shell, without a network; repeatable."),
]
SshInject = Annotated[
    list[str] | None,
    typer.Option("--ssh-inject", metavar="USER:KEYFILE", help="Let these public keys log in as a user; repeatable."),
]

_OPTIONS = {"install": "--install", "copy_in": "--copy-in", "run": "--run", "ssh_inject": "--ssh-inject"}
"""By parameter, in the order of those that a file of defaults gives."""
_ORDER = "azready.order"


class InOrder(TyperCommand):
    """A command that knows in which order its options were given; click tells each its own words only."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_ORDER] = [param.name for param in self.make_parser(ctx).parse_args(args=list(args))[2]]
        return super().parse_args(ctx, args)


def additions(ctx: typer.Context, **given: Sequence[str] | None) -> "tuple[Addition, ...]":
    """What was asked for, by parameter, in the order of the command line. Raises UsageFailure."""
    from azready.image.parts.additions import parse

    return parse(_in_order(ctx.meta.get(_ORDER, ()), {name: given.get(name) or () for name in _OPTIONS}))


def _in_order(order: Sequence[str], given: dict[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    waiting = {name: deque(words) for name, words in given.items()}
    for name in (*order, *(name for name, words in given.items() for _ in words)):
        if waiting.get(name):
            yield _OPTIONS[name], waiting[name].popleft()
