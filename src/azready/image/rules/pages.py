"""The rules for people: a table, a page a rule, and the Markdown of docs/rules, all from the one table."""

from collections.abc import Iterable, Iterator
from typing import Any

from azready.image.rules import AREAS, RULES, Area, ids
from azready.image.rules.model import Profile, Rule
from azready.image.rules.sources import SOURCES

GENERATED = (
    "<!-- Made from src/azready/image/rules by `python -m azready.image.rules.pages docs/rules`; do not edit. -->"
)


def _severities(rule: Rule) -> str:
    """`warning; nvme: fatal`."""
    plain = rule.severities.get(Profile.AZURE)
    others = [
        f"{profile}: {severity.word}" for profile, severity in rule.severities.items() if profile != Profile.AZURE
    ]
    return "; ".join([*([plain.word] if plain else []), *others])


def _fixed_by(rule: Rule) -> str:
    if rule.repair is None:
        return ""
    return "azready generalize" if rule.seals else "azready generalize --fix"


def table() -> str:
    """One line a rule: id, severity, title."""
    lines = []
    for area in AREAS:
        lines += ["", area.title]
        lines += [f"  {rule.id}  {_severities(rule):<30} {rule.title}" for rule in area.rules]
    return "\n".join(lines[1:])


def named(id: str) -> Rule:
    """The rule with this id, however it is spelled. Raises UsageFailure when there is none."""
    (own,) = ids.named([id])
    return next(rule for rule in RULES if rule.id == own)


def page(rule: Rule) -> str:
    """Everything about one rule."""
    lines = [f"{rule.id}  {rule.title}", "", f"Severity  {_severities(rule)}", f"Why       {rule.why}"]
    lines.append(f"Fix       {rule.fix}")
    if by := _fixed_by(rule):
        lines.append(f"          done by {by}")
    lines += [f"Source    {SOURCES[key].title}: {SOURCES[key].url}" for key in rule.sources if key != "OWN"]
    return "\n".join(lines)


def catalogue(rules: Iterable[Rule] = RULES) -> dict[str, Any]:
    """The same for programs, of as many rules as wanted; its schema is `cli/schemas/rules.schema.json`."""
    areas = {rule.id: area.title for area in AREAS for rule in area.rules}
    return {
        "rules": [
            {
                "id": rule.id,
                "area": areas[rule.id],
                "title": rule.title,
                "severity": {str(profile): severity.word for profile, severity in rule.severities.items()},
                "why": rule.why,
                "fix": rule.fix,
                "fixed_by": _fixed_by(rule) or None,
                "sources": [{"title": SOURCES[key].title, "url": SOURCES[key].url} for key in rule.sources],
            }
            for rule in rules
        ]
    }


def documents() -> dict[str, str]:
    """The pages of docs/rules: file name to Markdown."""
    pages = {f"{area.name}.md": "\n".join(_area(area)) + "\n" for area in AREAS}
    return {"README.md": "\n".join(_index()) + "\n", **pages}


def _index() -> Iterator[str]:
    yield from (GENERATED, "", "# Rules", "")
    yield f"`azready check` asks these {len(RULES)} rules. Those marked *seal* are fixed by `azready generalize`,"
    yield "those marked *fix* by `azready generalize --fix`. `azready check --explain ID` prints one of them."
    for area in AREAS:
        yield from (
            "",
            f"## [{area.title}]({area.name}.md)",
            "",
            "| id | a good image | severity | |",
            "|---|---|---|---|",
        )
        for rule in area.rules:
            mark = "" if rule.repair is None else "seal" if rule.seals else "fix"
            link = f"[{rule.id}]({area.name}.md#{rule.id.lower()})"
            yield f"| {link} | {_cell(rule.title)} | {_severities(rule)} | {mark} |"


def _area(area: Area) -> Iterator[str]:
    yield from (GENERATED, "", f"# {area.title}", "", "[All rules](README.md)")
    for rule in area.rules:
        yield from (
            "",
            f'## <a id="{rule.id.lower()}"></a>{rule.id}: {rule.title}',
            "",
            f"*{_severities(rule)}*",
            "",
            rule.why,
        )
        yield from ("", f"**To fix:** {rule.fix}.")
        if by := _fixed_by(rule):
            yield f"`{by}` does it."
        links = [f"[{SOURCES[key].title}]({SOURCES[key].url})" for key in rule.sources]
        yield from ("", f"Sources: {', '.join(links)}.")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _write(folder: str) -> None:
    from pathlib import Path

    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        Path(folder, name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    import sys

    _write(sys.argv[1])
