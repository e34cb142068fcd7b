"""The verbs and what they have in common: which there are, and how a run of one ends."""

import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from azready.cli import values
from azready.cli.common import furnish
from azready.errors import Exit, Failure

VERBS = (
    "demo",
    "prepare",
    "check",
    "generalize",
    "boot",
    "convert",
    "build",
    "sysext",
    "capture",
    "publish",
    "verify",
    "fabric",
    "timeline",
    "report",
    "diagnose",
    "doctor",
)


ANYWHERE = ("convert", "fabric", "timeline", "report", "diagnose", "capture", "publish", "verify")
"""Verbs that want nothing which only Linux has. `fabric` itself: run, matrix and survey start guests."""
_COMPLETES = "_AZREADY_COMPLETE"
"""The variable by which a shell asks for completions."""
_ASKS = frozenset({"-h", "--help", "--list", "--explain"})


class Interrupted(Failure):
    """Ctrl-C, or the like of it."""

    exit_code = Exit.INTERRUPTED


class PipeClosed(Exception):
    """Whoever read the output has seen enough."""


class _Verbs(TyperGroup):
    """Typer has its own end for these two, which says nothing, and for the pipe an exit code that means `no`."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Interrupted("interrupted") from error
        except BrokenPipeError as error:
            raise PipeClosed from error


app = typer.Typer(
    name="azready",
    help="Linux images for Azure that need no provisioning agent, proven before anything is uploaded.",
    cls=_Verbs,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: no word is cut at 80 columns, and it starts faster
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from azready.installed import versions

        print(versions())
        raise typer.Exit


@app.callback()
def _global_options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def _runs_elsewhere(words: Sequence[str], platform: str) -> bool:
    away = words[0] in ("check", "prepare", "generalize") and any(word.startswith("ssh://") for word in words)
    disk = words[0] == "check" and any(Path(word).is_file() for word in words[1:])
    guests = words[0] == "fabric" and {"run", "matrix", "survey"} & set(words[1:2])
    uploads = platform == "win32" and words[0] == "publish" and "--dry-run" not in words
    return (words[0] in ANYWHERE or away or disk) and not guests and not uploads


def require_linux(words: Sequence[str], platform: str = sys.platform) -> None:
    """Raise Failure for a command that only Linux can carry out, with the line that does it in a container."""
    if platform == "linux" or not words or words[0].startswith("-") or _ASKS & set(words):
        return
    if _runs_elsewhere(words, platform):
        return
    works = f"{', '.join(ANYWHERE)}, check of disk files, and ssh:// targets"
    raise Failure(
        f"azready {words[0]} works on Linux only; on this system: {works}",
        f'run it in a container: docker run --rm --privileged -v "$PWD:/work" azready {shlex.join(words)} '
        "(once, in azready's source: docker build -f Containerfile -t azready .)",
    )


def _register(words: Sequence[str]) -> None:
    """Load the verb that comes first; none where a help or an error comes of it, which want but their names; all where
    it is unknown which: a shell completes words, or options end before the verb."""
    if words and words[0] in VERBS:
        wanted: Sequence[str] = words[:1]
    else:
        wanted = VERBS if _COMPLETES in os.environ or words[:1] == ["--"] else ()
    for verb in wanted:
        importlib.import_module(f"azready.cli.{verb}").register(app)
    for verb in () if wanted else VERBS:
        app.command(verb)(_named_only)


def _named_only() -> None:
    pass


def run(words: Sequence[str]) -> int:
    """Run the verb that the words begin with; returns its exit code.

    Raises Failure, PipeClosed. A verb is loaded alone: the options of all others take time to read.
    """
    require_linux(words)
    _register(words)
    command = typer.main.get_command(app)
    furnish(command)
    values.spare()
    try:
        command(words, prog_name="azready")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else Exit.OK if ended.code is None else Exit.NEGATIVE
    return Exit.OK
