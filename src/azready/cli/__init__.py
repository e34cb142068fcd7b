"""The command line: one module a verb, each a function that parses, makes one call, renders, and exits.

A verb's module imports its part inside the function, so that `azready --help` stays fast and `azready check`
never loads Azure's libraries. To add a verb: a module here, a line in `VERBS` of `app`.
"""

import codecs
import errno
import logging
import os
import signal
import sys
import traceback
from types import FrameType

from azready.errors import Exit, Failure


def main() -> None:
    """Entry point of the `azready` command; every expected failure becomes a sentence, a hint and an exit code."""
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupted)
    if hasattr(signal, "SIGCHLD"):  # ignored by the caller: no program's failure would be seen
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _fit_the_terminal()
    try:
        sys.exit(_run())
    except KeyboardInterrupt:  # before there was a verb, or while it ended
        print("azready: interrupted", file=sys.stderr)
        sys.exit(Exit.INTERRUPTED)


_PLAIN = {
    "→": "->", "←": "<-", "✓": "+", "✔": "+", "✗": "x", "✘": "x", "●": "*", "▪": ".", "┊": "|", "…": "...", "·": "-",
    "–": "-", "—": "-", "×": "x", "“": '"', "”": '"', "’": "'", "≤": "<=", "≥": ">=",
}  # fmt: skip
"""What stands for a sign where the terminal's character set has it not."""


def _fit_the_terminal() -> None:
    """Words of ours and of guests are shown on a Latin-1 or ASCII terminal, too."""

    def plain(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return "".join(_PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end

    codecs.register_error("azready", plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and (stream.encoding or "").lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="azready")


def _run() -> int:
    if sys.argv[1:] == ["--version"]:  # recipes ask often, and what reads a command line takes most of the start
        from azready.installed import versions

        print(versions())
        return Exit.OK
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
    except Exception as error:
        if (refused := _of_the_machine(error)) is not None:
            return _told(refused)
        traceback.print_exc()
        logging.getLogger("azready").debug("a fault in azready itself", exc_info=True)
        return _told(Failure("this is a fault in azready itself", "please report it, with the lines above"))
    return status


_LOOK_AT_IT = "look at that file: is it what it should be, and is the file system below whole?"
_WHAT_TO_DO = {
    **dict.fromkeys((errno.EINVAL, errno.ENODEV, errno.EOPNOTSUPP, errno.EOVERFLOW), _LOOK_AT_IT),
    errno.EACCES: "run it as a user who may, or choose another file",
    errno.EPERM: "run it as a user who may, or choose another file",
    errno.EROFS: "choose a file on a file system that may be written to",
    errno.ENOSPC: "make room, and run it again",
    errno.EDQUOT: "make room, and run it again",
    errno.EFBIG: "choose a file system that takes files of this size",
    errno.ENOENT: "is the name right?",
    errno.ENOTDIR: "is the name right?",
    errno.EISDIR: "name a file in that folder",
    errno.ENOTEMPTY: "name another folder, or empty it",
    errno.EEXIST: "remove it, or choose another name",
    errno.ELOOP: "its symbolic links lead in a circle: name the file itself",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the drive below cannot be read or written: look at the kernel's log (dmesg)",
    errno.EUCLEAN: "the file system is damaged: check it with fsck",
    errno.ENXIO: "the drive below cannot be read or written: look at the kernel's log (dmesg)",
    errno.ESTALE: "the network drive below has lost the file: mount it again",
    errno.EBUSY: "something else uses it: end that first",
    errno.ETXTBSY: "something else uses it: end that first",
    errno.ENOMEM: "this machine has no memory left: end other programs, or give it more",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
    errno.ENFILE: "this machine has too many files open: end other programs",
    errno.EAGAIN: "this machine starts no more processes: end other programs, or raise ulimit -u",
}
"""What a user can do about an error of the operating system."""
_OF_NO_FILE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN})
"""Errors that say enough without a file's name."""


def _of_the_machine(error: Exception) -> Failure | None:
    """What this machine refused, or a file: a right, room, memory, its content where it is a pipe or its file system is
    damaged. None for what can only be a mistake of ours."""
    if isinstance(error, MemoryError):
        return Failure("no memory is left", _WHAT_TO_DO[errno.ENOMEM])
    if not isinstance(error, OSError) or error.errno not in _WHAT_TO_DO:
        return None
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    if not names and error.errno not in _OF_NO_FILE:
        return None
    where = " → ".join(names) or ("the output" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "this machine")
    return Failure(f"{where}: {error.strerror or error}", _WHAT_TO_DO[error.errno])


def _told(failure: Failure) -> int:
    logging.getLogger("azready").debug("ends with %s", failure.exit_code, exc_info=failure)
    from azready.console import printable

    print(f"azready: {printable(failure.message)}", file=sys.stderr)
    if failure.hint:
        from azready.installed import with_pages

        print(f"  what to do: {printable(with_pages(failure.hint))}", file=sys.stderr)
    return failure.exit_code


def _interrupted(number: int, frame: FrameType | None) -> None:
    """End like Ctrl-C does, so that everything under way cleans up behind itself."""
    raise KeyboardInterrupt
