"""Many images, one answer: the JSON of their checks and boots, joined to a table, a page and one JUnit."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any, Literal

from azready.console import printable
from azready.errors import UsageFailure
from azready.image.rules.model import Severity
from azready.page import whole

Outcome = Literal["yes", "no", "undecided"]
_MARKS = {"yes": "✔", "no": "✘", "undecided": "?"}
_TONES = {"yes": "good", "no": "bad", "undecided": "warn"}
_HOW = "keep them with: azready check … --output json=FILE, azready boot … --output json=FILE"


@dataclass(frozen=True)
class Row:
    """What one check or one boot said of an image: an outcome, a line, and lines that say why."""

    image: str
    source: str
    kind: Literal["check", "boot"]
    outcome: Outcome
    summary: str
    why: tuple[str, ...]


def read(paths: Sequence[Path], fail_on: str = "error") -> tuple[Row, ...]:
    """The rows of these files, in their order. Images of one name are told apart by their files.

    `fail_on` is the least grave finding that is a no. Raises UsageFailure for a file that is no such JSON.
    """
    grave = [each.word for each in Severity if each >= Severity[fail_on.upper()]]
    rows = [row for path in paths for row in _rows(path, grave)]
    sources: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        sources.setdefault((row.image, row.kind), set()).add(row.source)
    repeated = {image for (image, _), found in sources.items() if len(found) > 1}
    return tuple(replace(row, image=f"{row.source}: {row.image}") if row.image in repeated else row for row in rows)


def _rows(path: Path, grave: Sequence[str]) -> Iterator[Row]:
    try:
        table: Any = json.loads(path.read_text(encoding="utf-8"))
        if "results" in table:
            yield _of_check(table, str(path.parent), grave)
        elif "boots" in table:
            for boot in table["boots"]:
                yield _of_boot(boot, str(path.parent))
        else:
            raise UsageFailure(f"{path} holds neither a check nor boots", _HOW)
    except OSError as error:
        raise UsageFailure(f"{path}: {error.strerror}", _HOW) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageFailure(f"{path} is not the JSON of a check or of boots: {error}", _HOW) from error


def _of_check(table: dict[str, Any], source: str, grave: Sequence[str]) -> Row:
    """As `azready check` ends: no by a finding that is grave enough, undecided where a rule so grave could not look."""
    wrong: list[str] = []
    unseen: list[str] = []
    for row in table["results"]:
        if row["answer"] == "could-not-look" and row["severity"] in grave:
            unseen.append(f"{row['id']} could not look: {row['reason']}")
        for finding in row["findings"] if row["answer"] == "finding" else ():
            if finding["severity"] in grave:
                wrong.append(f"{row['id']} {finding['severity']}: {finding['what']}; fix: {finding['fix']}")
    image, said = _line(table["target"]), _line(table["summary"])
    found: Outcome = "no" if wrong else "undecided" if unseen else "yes"
    return Row(image, source, "check", found, said, tuple(map(_line, (*wrong, *unseen))))


def _line(text: str) -> str:
    """What an image or a guest wrote, as one harmless line: in a build's log a line of its own might be a command."""
    return printable(" ".join(text.split()))


def _of_boot(boot: dict[str, Any], source: str) -> Row:
    outcomes: dict[bool | None, Outcome] = {True: "yes", False: "no", None: "undecided"}
    cause = boot.get("cause") or {}
    why = [f"{key}: {cause[key]}" for key in ("code", "says", "fix") if cause.get(key)]
    why += [f"{check['name']}: {check['detail']}" for check in boot["checks"] if check["outcome"] == "failed"]
    image, said = _line(boot["target"]), _line(f"{boot['title']}: {boot['headline']}")
    return Row(image, source, "boot", outcomes[boot["passed"]], said, tuple(map(_line, why)))


def outcome(rows: Sequence[Row]) -> Outcome:
    """No where one is a no; undecided where one is and none is a no."""
    found = {row.outcome for row in rows}
    return "no" if "no" in found else "undecided" if "undecided" in found or not rows else "yes"


def summary(rows: Sequence[Row]) -> str:
    """`3 images: 1 no`, in a line."""
    images = {row.image for row in rows}
    wrong = {row.image for row in rows if row.outcome == "no"}
    unsure = {row.image for row in rows if row.outcome == "undecided"} - wrong
    parts = [f"{len(wrong)} no"] if wrong else []
    parts += [f"{len(unsure)} undecided"] if unsure else []
    count = f"{len(images)} image{'s' if len(images) != 1 else ''}"
    return f"{count}: {', '.join(parts) or 'all yes'}"


def as_text(rows: Sequence[Row]) -> str:
    """A line an image, what speaks against it below, and the summary."""
    lines = []
    for row in rows:
        lines.append(f"{_MARKS[row.outcome]} {row.image}  {row.kind}  {row.summary}")
        lines += [f"    {line}" for line in row.why]
    return "\n".join([*lines, summary(rows)])


def as_json(rows: Sequence[Row]) -> str:
    table = [{**vars(row), "why": list(row.why)} for row in rows]
    return json.dumps({"version": 1, "outcome": outcome(rows), "summary": summary(rows), "rows": table}, indent=2)


def as_markdown(rows: Sequence[Row]) -> str:
    """A table, for GitHub's job summary and the like."""
    lines = [f"### azready: {summary(rows)}", "", "| | image | by | says |", "|---|---|---|---|"]
    for row in rows:
        said = "<br>".join(_cell(text) for text in (row.summary, *row.why))
        lines.append(f"| {_MARKS[row.outcome]} | {_cell(row.image)} | {row.kind} | {said} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return escape(text).replace("|", "\\|").replace("\n", " ").replace("`", "&#96;").replace("[", "&#91;")


def as_junit(rows: Sequence[Row]) -> str:
    """A suite an image and kind, a case a row."""
    whole = ElementTree.Element("testsuites", name="azready report")
    for row in rows:
        failures, errors = int(row.outcome == "no"), int(row.outcome == "undecided")
        numbers = {"tests": "1", "failures": str(failures), "errors": str(errors), "skipped": "0"}
        suite = ElementTree.SubElement(whole, "testsuite", {"name": f"{row.image} {row.kind}", **numbers})
        case = ElementTree.SubElement(suite, "testcase", classname=f"azready.{row.kind}", name=row.image)
        if row.outcome != "yes":
            kind = "failure" if failures else "error"
            ElementTree.SubElement(case, kind, message=row.summary).text = "\n".join(row.why)
    ElementTree.indent(whole)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(whole, encoding="unicode")


def as_html(rows: Sequence[Row]) -> str:
    """One self-contained page: the verdict, then a row for each check and boot, what is wrong unfolded."""
    judged = outcome(rows)
    body = "\n".join(map(_html_row, rows))
    table = f"""<section><table><thead><tr><th></th><th scope="col">image</th><th scope="col">by</th>
<th scope="col">says</th></tr></thead><tbody>
{body}
</tbody></table></section>"""
    return whole(summary(rows), table, tone=_TONES[judged], mark=_MARKS[judged])


def _html_row(row: Row) -> str:
    why = "".join(f"<li>{escape(line)}</li>" for line in row.why)
    folded = f"<details{' open' if row.outcome == 'no' else ''}><summary>why</summary><ul>{why}</ul></details>"
    return (
        f'<tr><td class="{_TONES[row.outcome]}">{_MARKS[row.outcome]}</td><td class=what>{escape(row.image)}</td>'
        f'<td class="who soft">{row.kind}</td><td class=what>{escape(row.summary)}{folded if why else ""}</td></tr>'
    )
