"""Man pages in roff, made of what the program itself says: its help, examples and exit codes; the guest's settings.

`make packages` writes azready.1, azready-VERB.1, azure-provisioning.8 and azure-provisioning.conf.5 into dist/man.
"""

import importlib
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from azready.cli import app, guide
from azready.cli.common import furnish
from azready.installed import manifest
from release.about import Release


def pages(release: Release) -> dict[str, str]:
    """File name to page."""
    command = _command()
    made = {"azready.1": _overview(command, release)}
    for verb, each in command.commands.items():
        made[f"azready-{verb}.1"] = _verb(verb, each, release)
        for name, below in getattr(each, "commands", {}).items():
            made[f"azready-{verb}-{name}.1"] = _verb(f"{verb} {name}", below, release)
    return {**made, **of_guest(release)}


def of_guest(release: Release) -> dict[str, str]:
    """The pages of what is in an image."""
    from release import guest_page

    return {"azure-provisioning.8": guest_page.page(release), "azure-provisioning.conf.5": settings(release)}


def _command() -> Any:
    whole = typer.Typer(help="Linux images for Azure that need no provisioning agent.", rich_markup_mode=None)
    whole.callback()(lambda: None)
    for verb in app.VERBS:
        importlib.import_module(f"azready.cli.{verb}").register(whole)
    command = typer.main.get_command(whole)
    furnish(command)
    return command


def head(name: str, section: int, release: Release) -> str:
    """The first line of a page."""
    day = time.strftime("%Y-%m-%d", time.gmtime(release.epoch))
    return f'.TH {name.upper()} {section} {day} "azready {release.version}"\n'


def roff(text: str) -> str:
    """Text as it is: no word of it is a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "\n".join(f"\\&{line}" if line.startswith((".", "\\(aq")) else line for line in text.split("\n"))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        yield f".PP\n{roff(' '.join(paragraph.split()))}\n"


def _verb(name: str, command: Any, release: Release) -> str:
    words = f"azready {name}"
    arguments = [param for param in command.params if not any(word.startswith("-") for word in param.opts)]
    options = [param for param in command.params if param not in arguments and not getattr(param, "hidden", False)]
    shown = " ".join(_metavar(param) for param in arguments)
    parts = [
        head(words.replace(" ", "-"), 1, release),
        f".SH NAME\n{roff(words.replace(' ', '-'))} \\- {roff(guide.SHORT[name])}\n",
        f".SH SYNOPSIS\n.B {roff(words)}\n[OPTION...] {roff(shown)}\n",
        ".SH DESCRIPTION\n",
        *_paragraphs(command.help or ""),
        ".SH OPTIONS\n",
        *(_option(param) for param in options),
    ]
    if name in guide.EXAMPLES:
        parts += [".SH EXAMPLES\n.EX\n", *(f"{roff(line)}\n" for line in guide.EXAMPLES[name]), ".EE\n"]
    return "".join((*parts, ".SH SEE ALSO\n.BR azready (1)\n"))


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _option(param: Any) -> str:
    names = ", ".join((*param.opts, *param.secondary_opts))
    value = "" if getattr(param, "is_flag", False) else f" {param.metavar or 'VALUE'}"
    return f".TP\n.B {roff(names + value)}\n{roff(' '.join((param.help or '').split()))}\n"


def _overview(command: Any, release: Release) -> str:
    verbs = "".join(f".TP\n.BR azready\\-{roff(verb)} (1)\n{roff(guide.SHORT[verb])}\n" for verb in command.commands)
    codes = ("0 yes", "1 no: findings, or a verdict other than Provisioned", "2 wrong usage or input",
             "3 could not be answered", "130 interrupted")  # fmt: skip
    status = "".join(f".TP\n.B {code.partition(' ')[0]}\n{roff(code.partition(' ')[2])}\n" for code in codes)
    return (
        head("azready", 1, release)
        + ".SH NAME\nazready \\- Linux images for Azure that need no provisioning agent\n"
        + ".SH SYNOPSIS\n.B azready\nVERB [OPTION...]\n.SH DESCRIPTION\n"
        + f"{verbs}.SH EXIT STATUS\n{status}.SH FILES\n.TP\n.I azready.toml\n"
        + "Defaults of options, in the folder where azready is run.\n"
        + ".SH SEE ALSO\n.BR azure\\-provisioning (8),\n.BR azure\\-provisioning.conf (5)\n"
    )


def settings(release: Release) -> str:
    rows: list[Mapping[str, Any]] = manifest()["setting"]
    return (
        head("azure-provisioning.conf", 5, release)
        + ".SH NAME\nazure\\-provisioning.conf \\- settings of the program that provisions an Azure VM\n"
        + f".SH SYNOPSIS\n.I {roff(manifest()['settings'])}\n.SH DESCRIPTION\n"
        + "Lines are KEY=value. There is no quoting, and nothing is evaluated; lines that begin with # are comments.\n"
        + ".SH SETTINGS\n"
        + "".join(_setting(row) for row in rows)
        + ".SH SEE ALSO\n.BR azure\\-provisioning (8),\n.BR azready\\-prepare (1)\n"
    )


def _setting(row: Mapping[str, Any]) -> str:
    values = row["values"] if isinstance(row["values"], str) else ", ".join(row["values"])
    default = f" Default: {row['default']}." if row["default"] else ""
    return f".TP\n.B {roff(row['key'])}\n{roff(row['why'])} ({roff(values)}).{roff(default)}\n"


def write(folder: Path, release: Release) -> None:
    """Write every page into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(release).items():
        (folder / name).write_text(text, encoding="utf-8")
