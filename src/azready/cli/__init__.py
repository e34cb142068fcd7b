"""The command line: one module a verb, each a function that parses, makes one call, renders, and exits.

A verb's module imports its part inside the function, so that `azready --help` stays fast and `azready check`
never loads Azure's libraries. To add a verb: a module here, a line in `VERBS` of `app`.
"""

import errno
import os
import signal
import sys
import traceback
from types import FrameType

from azready.errors import Exit, Failure


def main() -> None:
    """Entry point of the `azready` command; every expected failure becomes a sentence, a hint and an exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    try:
        sys.exit(_run())
    except KeyboardInterrupt:  # before there was a verb, or while it ended
        print("azready: interrupted", file=sys.stderr)
        sys.exit(Exit.INTERRUPTED)


def _run() -> int:
    # Loaded here, where Ctrl-C is expected: it takes most of the start.
    from azready.cli.app import PipeClosed, run

    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except Failure as failure:
        return _told(failure)
    except (PipeClosed, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return _told(Failure(f"{error.filename or 'the output'}: {error.strerror}", "make room, and run it again"))
    except Exception:
        traceback.print_exc()
        return _told(Failure("this is a fault in azready itself", "please report it, with the lines above"))
    return status


def _told(failure: Failure) -> int:
    print(f"azready: {failure.message}", file=sys.stderr)
    if failure.hint:
        print(f"  what to do: {failure.hint}", file=sys.stderr)
    return failure.exit_code


def _interrupted(number: int, frame: FrameType | None) -> None:
    """End like Ctrl-C does, so that everything under way cleans up behind itself."""
    raise KeyboardInterrupt
