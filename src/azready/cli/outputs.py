"""`--output FORM[=FILE]`: one result in several forms in one run, on stdout and in files."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from azready import durable
from azready.cli.documents import as_json
from azready.errors import UsageFailure

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

Wanted = Mapping[str, Path | None]
"""Form to file; None is stdout."""


def option(forms: Sequence[str], *more: str) -> Any:
    """The option itself, of a verb that has these forms; `more` are other names of it."""
    *others, last = forms
    known = f"{', '.join(others)} or {last}"
    how = "with =FILE written there, and the text is still printed; repeatable."

    def complete(incomplete: str) -> list[str]:
        return [form for form in forms if form.startswith(incomplete)]

    return typer.Option("--output", *more, "-o", metavar="FORM[=FILE]", help=f"{known}; {how}", autocompletion=complete)


BOTH = ("text", "json")
"""The forms of a verb that has no others."""
Both = Annotated[list[str] | None, option(BOTH)]


def parse(words: Iterable[str] | None, forms: Sequence[str], apart: Iterable[object] = (), made: str = "") -> Wanted:
    """What is to be written where; the first of `forms` on stdout where nothing else is.

    `apart` are files that the verb reads, or writes otherwise; `made` is the line that names the file which it makes.
    Raises UsageFailure, before any work is done, for a form that is none, two results on stdout or in one file, a form
    named twice, and a file that could not be written, or is one of `apart`.
    """
    wanted: dict[str, Path | None] = {}
    taken = {Path(str(each)).resolve() for each in apart if each}
    for word in words or ():
        form = word.partition("=")[0]
        if form not in forms:
            raise UsageFailure(f"there is no form {form or word}", _how(word, forms, made))
        if form in wanted:
            raise UsageFailure(f"--output {form} is given twice", "name each form once")
        wanted[form] = path = _place(word, taken)
        taken |= {path.resolve()} if path is not None and (path.is_file() or not path.exists()) else set()
    if _is_printed(wanted) or forms[0] in wanted:
        return wanted
    return {forms[0]: None, **wanted}


def _is_printed(wanted: Wanted) -> bool:
    """Whether one goes to stdout. Raises UsageFailure for two."""
    printed = [form for form, file in wanted.items() if file is None]
    if len(printed) > 1:
        raise UsageFailure(
            f"{' and '.join(printed)} cannot both be printed", f"write one to a file: --output {printed[-1]}=FILE"
        )
    return bool(printed)


def _how(word: str, forms: Sequence[str], made: str) -> str:
    """What to write instead of a word that is no form: it may be a file's name."""
    known = f"--output is one of {', '.join(forms)}, or FORM=FILE"
    if made and "=" not in word and Path(word).suffix:
        return f"what is made is named without -o: {made}; {known}"
    return known


def _place(word: str, taken: set[Path]) -> Path | None:
    """The file of FORM=FILE; None for stdout."""
    _, equals, file = word.partition("=")
    path = _file(file) if equals and file != "-" else None
    if path is not None and path.resolve() in taken:
        raise UsageFailure(f"--output {word} would overwrite {file}", "name another file for each form")
    return path


def _file(name: str) -> Path:
    if not name:
        raise UsageFailure("cannot write a file without a name", "write FORM=FILE")
    return require_writable(Path(name))


def require_writable(path: Path) -> Path:
    """The path, where a file can be written. Raises UsageFailure: said before work that may take minutes."""
    if path.is_dir():
        raise UsageFailure(f"cannot write {path}: it is a folder", "name a file in it")
    if not path.parent.is_dir():
        raise UsageFailure(f"cannot write {path}: there is no folder {path.parent}", f"mkdir -p {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageFailure(f"cannot write {path}", "choose a file in a folder of yours")
    return path


def tell(wanted: Wanted, text: Callable[[], str], data: Callable[[], Mapping[str, Any]]) -> None:
    """A result of a verb that has the forms `BOTH`."""
    write(wanted, {"text": text, "json": lambda: as_json(data())})


def drawn(plain: bool, draw: "Callable[[RichConsole], None]") -> str:
    """What is drawn as this terminal shows it, with its colours and width; plain for a file."""
    from rich.console import Console as RichConsole

    out = RichConsole(highlight=False, soft_wrap=True, no_color=plain or None, force_terminal=False if plain else None)
    with out.capture() as captured:
        draw(out)
    return captured.get().removesuffix("\n")


def write(wanted: Wanted, forms: Mapping[str, Callable[[], str]]) -> None:
    """Files first, so that a full disk is said before a long text."""
    for form, file in sorted(wanted.items(), key=lambda each: each[1] is None):
        text = _with_addresses(forms[form]()) if form == "text" else forms[form]()
        if file is None:
            print(text)
        else:
            _write(file, f"{text}\n")


def _with_addresses(text: str) -> str:
    from azready.installed import with_pages  # at the end of a verb, which mostly has loaded it

    return with_pages(text)


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
