"""The command line: one module a verb, each a function that parses, makes one call, renders, and exits.

A verb's module imports its part inside the function, so that `azready --help` stays fast and `azready check`
never loads Azure's libraries. To add a verb: a module here, a line in `VERBS`.
"""

import importlib
import signal
import sys
from types import FrameType

import typer

from azready import __version__
from azready.errors import Exit, Failure

VERBS = (
    "demo",
    "prepare",
    "check",
    "generalize",
    "boot",
    "convert",
    "build",
    "capture",
    "publish",
    "verify",
    "fabric",
    "timeline",
)

app = typer.Typer(
    name="azready",
    help="Linux images for Azure that need no provisioning agent, proven before anything is uploaded.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"azready {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def _register() -> None:
    for verb in VERBS:
        try:
            module = importlib.import_module(f"azready.cli.{verb}")
        except ModuleNotFoundError as missing:
            if missing.name != f"azready.cli.{verb}":
                raise
            continue
        module.register(app)


def _interrupted(number: int, frame: FrameType | None) -> None:
    """End like Ctrl-C does, so that everything under way cleans up behind itself."""
    raise KeyboardInterrupt


def main() -> None:
    """Entry point of the `azready` command; every expected failure becomes a sentence, a hint and an exit code."""
    _register()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    try:
        app()
    except Failure as failure:
        print(f"azready: {failure.message}", file=sys.stderr)
        if failure.hint:
            print(f"  what to do: {failure.hint}", file=sys.stderr)
        sys.exit(failure.exit_code)
    except KeyboardInterrupt:
        print("azready: interrupted", file=sys.stderr)
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(Exit.OK)
