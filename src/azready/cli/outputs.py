"""`--output FORM[=FILE]`: one result in several forms in one run, on stdout and in files."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from azready import durable
from azready.errors import UsageFailure

Wanted = Mapping[str, Path | None]
"""Form to file; None is stdout."""


def option(forms: Sequence[str], *more: str) -> Any:
    """The option itself, of a verb that has these forms; `more` are other names of it."""
    *others, last = forms
    known = f"{', '.join(others)} or {last}"
    how = "with =FILE written there, and the text still printed; repeatable."

    def complete(incomplete: str) -> list[str]:
        return [form for form in forms if form.startswith(incomplete)]

    return typer.Option("--output", *more, "-o", metavar="FORM[=FILE]", help=f"{known}; {how}", autocompletion=complete)


def parse(words: Sequence[str], forms: Sequence[str]) -> Wanted:
    """What is to be written where; the first of `forms` on stdout where nothing else is.

    Raises UsageFailure, before any work is done, for a form that is none, two results on stdout, a form named twice,
    and a file that could not be written.
    """
    wanted: dict[str, Path | None] = {}
    for word in words:
        form, equals, file = word.partition("=")
        if form not in forms:
            raise UsageFailure(
                f"there is no form {form or word}", f"--output is one of {', '.join(forms)}, or FORM=FILE"
            )
        if form in wanted:
            raise UsageFailure(f"--output {form} is given twice", "name each form once")
        wanted[form] = _file(file) if equals else None
    printed = [form for form, file in wanted.items() if file is None]
    if len(printed) > 1:
        raise UsageFailure(
            f"{' and '.join(printed)} cannot both be printed", f"write one to a file: --output {printed[-1]}=FILE"
        )
    return wanted if printed or forms[0] in wanted else {forms[0]: None, **wanted}


def _file(name: str) -> Path:
    if not name:
        raise UsageFailure("cannot write a file without a name", "write FORM=FILE")
    return require_writable(Path(name))


def require_writable(path: Path) -> Path:
    """The path, where a file can be written. Raises UsageFailure: said before work that may take minutes."""
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageFailure(f"cannot write {path}", "choose a file in a folder of yours")
    return path


def write(wanted: Wanted, forms: Mapping[str, Callable[[], str]]) -> None:
    """Files first, so that a full disk is said before a long text."""
    for form, file in sorted(wanted.items(), key=lambda each: each[1] is None):
        text = forms[form]()
        if file is None:
            print(text)
        else:
            _write(file, f"{text}\n")


def _write(file: Path, text: str) -> None:
    """What stands there is lost only when the new text is whole; a device or pipe is written to as it is."""
    if file.exists() and not file.is_file():
        file.write_text(text, encoding="utf-8")
        return
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        durable.rename(part, file)
    finally:
        part.unlink(missing_ok=True)
