"""What every verb has beside its own options: --quiet, --debug, --log-file, --config, and examples in its help.

They are added to the finished commands, so that a verb's module says only what is its own.
"""

import copy
import logging
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from azready import console
from azready.cli import defaults, guide
from azready.errors import UsageFailure

_LOG = logging.getLogger("azready")


def _quiet(value: bool) -> None:
    if value:
        console.hush()


def _debug(value: bool) -> None:
    if value:
        _log_to(logging.StreamHandler(sys.stderr))


def _log_file(value: Path | None) -> None:
    if value is None:
        return
    try:
        _log_to(logging.FileHandler(value, encoding="utf-8"))
    except OSError as error:
        raise UsageFailure(f"cannot write {value}: {error.strerror}", "choose a file in a folder of yours") from error


def _log_to(handler: logging.Handler) -> None:
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.DEBUG)
    _LOG.debug("azready %s", " ".join(sys.argv[1:]))


def _config(ctx: typer.Context, value: Path | None) -> None:
    if ctx.resilient_parsing:
        return
    found = defaults.read(value)
    if found is not None:
        ctx.default_map = defaults.for_command(found, ctx.command_path.split()[1:], _options(ctx.command))


def _added(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", callback=_quiet, help="No progress.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", callback=_debug, help="Say on stderr what is done: programs, requests, errors.")
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option("--log-file", metavar="FILE", callback=_log_file, help="Write what --debug says to a file."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            envvar="AZREADY_CONFIG",
            callback=_config,
            is_eager=True,
            help="Defaults of these options; ./azready.toml where there is one.",
        ),
    ] = None,
) -> None:
    pass


def furnish(command: Any, verb: str = "") -> None:
    """Add the common options and the examples to a command and to those below it; the group itself has none."""
    below: Mapping[str, Any] = getattr(command, "commands", {})
    if verb:
        own = {name for param in command.params for name in param.opts}
        for added in _common():
            if added.opts[0] not in own:
                param = copy.copy(added)
                param.opts = [name for name in added.opts if name not in own]
                command.params.append(param)
        command.epilog = guide.epilog(verb)
        if "docs/" in (command.help or ""):
            from azready.installed import with_pages

            command.help = with_pages(command.help)
    for name, each in below.items():
        furnish(each, f"{verb} {name}".strip())
        each.short_help = guide.SHORT.get(f"{verb} {name}".strip(), each.short_help)


@cache
def _common() -> tuple[Any, ...]:
    """The parameters of `_added`; their callbacks do the work, and no verb is given their values."""
    app = typer.Typer(add_completion=False)
    app.command()(_added)
    params = tuple(typer.main.get_command(app).params)
    for param in params:
        param.expose_value = False
    return params


def _options(command: Any) -> dict[str, defaults.Option]:
    """The options that have a long name, by that name without dashes."""
    return {
        name[2:]: defaults.Option(param.name, bool(param.multiple))
        for param in command.params
        for name in param.opts
        if name.startswith("--") and hasattr(param, "multiple")
    }
