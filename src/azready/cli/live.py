"""`--web` of `boot` and `build`: what happens, in a browser, while it happens."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from azready.console import Console

if TYPE_CHECKING:
    from azready.boot.series import Onlooker

Web = Annotated[
    bool, typer.Option("--web", help="Show it in a browser while it happens: prints a URL of this machine's loopback.")
]


@contextlib.contextmanager
def onlooker(target: str, web: bool, console: Console) -> "Iterator[Onlooker]":
    """Who is to be told of the boots of the block: a live view that serves meanwhile, or nobody."""
    from azready.boot.series import NOBODY

    if not web:
        yield NOBODY
        return
    from azready.boot.live import LiveView

    with LiveView(target) as view:
        console.say(f"live view, until the boots are over: {view.url}")
        yield view
