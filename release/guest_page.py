"""The man page of the guest program, azure-provisioning.8: what docs/guest.md says in its tables, in roff."""

import re
from collections.abc import Iterator
from pathlib import Path

from azready.installed import manifest
from release.about import Release
from release.man import head, roff

_DOCS = Path(__file__).parents[1] / "docs/guest.md"


def page(release: Release) -> str:
    """The whole page."""
    text = _DOCS.read_text(encoding="utf-8")
    about = manifest()
    files = (
        (about["settings"], "settings, azure-provisioning.conf(5)"),
        (f"{about['hooks']}/", "executables that run at the end of a first boot, in the order of their names"),
        (f"{about['state']}/", "what was applied and reported, by VM; without it the next boot provisions again"),
        (f"{about['program']}/", "the program"),
    )
    parts = [
        head("azure-provisioning", 8, release),
        ".SH NAME\nazure\\-provisioning \\- provision an Azure VM at its first boot, and report it ready\n",
        f".SH SYNOPSIS\n.nf\n{roff(_code(text, 'Command line'))}.fi\n",
        ".SH DESCRIPTION\n",
        *(f".PP\n{roff(_plain(paragraph))}\n" for paragraph in _opening(text)),
        _section("OPTIONS", _rows(text, "Command line", "option")),
        _section("STEPS", _rows(text, "The steps", "step")),
        _section("UNITS", _units(text)),
        _section("EXIT STATUS", _rows(text, "Command line", "exit")),
        _section("FILES", iter(files)),
        ".SH SEE ALSO\n.BR azure\\-provisioning.conf (5),\n.BR azready\\-prepare (1)\n",
    ]
    return "".join(parts)


def _section(title: str, rows: Iterator[tuple[str, str]]) -> str:
    return f".SH {title}\n" + "".join(f".TP\n.B {roff(_plain(name))}\n{roff(_plain(what))}\n" for name, what in rows)


def _between(text: str, title: str) -> str:
    """What stands below a heading, to the next of its rank."""
    return re.split(r"^## ", text.partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.M)[0]


def _opening(text: str) -> list[str]:
    return [each for each in text.partition("\n## ")[0].split("\n\n")[1:] if each.strip()]


def _code(text: str, title: str) -> str:
    found = re.search(r"^```text\n(.*?)^```$", _between(text, title), re.M | re.S)
    if found is None:
        raise LookupError(f"{title} of {_DOCS} shows no usage")
    return found[1]


def _table(text: str, title: str, first: str) -> Iterator[list[str]]:
    """The cells of a table below a heading, known by its first column's name."""
    section = _between(text, title)
    table = section.partition(f"\n| {first} |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        yield [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _rows(text: str, title: str, first: str) -> Iterator[tuple[str, str]]:
    for cells in _table(text, title, first):
        default = f". Default: {cells[2]}." if first == "option" and len(cells) > 2 and cells[2] else ""
        yield cells[0], cells[1] + default


def _units(text: str) -> Iterator[tuple[str, str]]:
    for unit, when, why in _table(text, "Units for systemd", "unit"):
        yield unit, f"{when}: {why}" if when else why


def _plain(markdown: str) -> str:
    """Without the signs of Markdown."""
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", markdown)
    return " ".join(re.sub(r"\*\*([^*]+)\*\*", r"\1", text).replace("`", "").split())
