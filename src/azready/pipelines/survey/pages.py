"""A survey as text: Markdown, one self-contained HTML page, JSON, and the short form for a terminal. Pure."""

import json
from collections import Counter
from collections.abc import Iterator
from html import escape

from azready.pipelines.survey.cells import Cell, Run, Survey, Surveyed, as_json
from azready.pipelines.survey.conformance import broken


def all_of(survey: Survey) -> dict[str, str]:
    """The files of a survey, by name."""
    return {
        "survey.md": markdown(survey),
        "survey.html": page(survey),
        "survey.json": json.dumps(as_json(survey), indent=1, ensure_ascii=False) + "\n",
    }


# --- words that every form shares ---


def short(cell: Cell | None) -> str:
    """A cell in a few words: how it ended, when, and what is wrong with the VM."""
    if cell is None:
        return "–"
    run = cell.run
    what = {"ready": "Ready", "failed": "failed", "silent": "silent"}[run.end]
    seconds = f" {run.at:.1f} s" if run.at is not None else ""
    remarks = f", but {' and '.join(remark.partition(':')[0] for remark in run.remarks)} failed" if run.remarks else ""
    return f"{what}{seconds}{remarks}{'' if cell.steady else ' (not each time)'}"


def mark(cell: Cell | None) -> str:
    """`good`, `lost` (Azure would lose the VM without a word), `bad` (anything else that is not owed), `none`."""
    if cell is None:
        return "none"
    return "good" if cell.good else "lost" if cell.lost else "bad"


def _marked(cell: Cell | None) -> str:
    """A cell in a word, with a cross where it is not as owed."""
    return f"{'' if mark(cell) in ('good', 'none') else '✗ '}{short(cell)}"


def reason(run: Run) -> str:
    """Why a cell is not as owed, in one line."""
    return "; ".join((*([run.says] if run.says else []), *run.remarks)) or "Ready, which it does not owe"


def _survivors(survey: Survey) -> Iterator[tuple[str, list[str]]]:
    """Scenarios by who does in them as owed."""
    ours = {agent.name for agent in survey.agents if agent.ours}
    groups: dict[str, list[str]] = {"everybody": [], "only azready": [], "nobody": []}
    for scenario in survey.scenarios:
        row = survey.row(scenario.name)
        good = {cell.agent for cell in row if cell.good}
        others = {cell.agent for cell in row} - ours
        if good == {cell.agent for cell in row}:
            groups["everybody"].append(scenario.name)
        elif others and good and good <= ours:
            groups["only azready"].append(scenario.name)
        elif not good:
            groups["nobody"].append(scenario.name)
    yield from groups.items()


def _counts(survey: Survey, agent: Surveyed) -> tuple[int, int, int, int]:
    """Cells of an agent: all, as owed, lost, otherwise wrong."""
    counted = Counter(mark(cell) for cell in survey.column(agent.name))
    return sum(counted.values()), counted["good"], counted["lost"], counted["bad"]


# --- a terminal ---


def text(survey: Survey) -> Iterator[str]:
    """Scenarios down, agents across; then what went wrong."""
    names = [agent.name for agent in survey.agents]
    rows = [["", *names]]
    for scenario in survey.scenarios:
        cells = [survey.cell(name, scenario.name) for name in names]
        rows.append([scenario.name, *map(_marked, cells)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
    yield from breaches(survey)


def breaches(survey: Survey) -> Iterator[str]:
    """Each cell that is not as owed, with its reason, and each sentence that an agent breaks, with what shows it."""
    for agent in survey.agents:
        for cell in survey.column(agent.name):
            if not cell.good:
                yield f"{agent.name}, {cell.scenario}: {reason(cell.run)}"
        for one, shown in broken(survey.column(agent.name)):
            yield f"{agent.name} breaks {one.number}: {one.says} [{', '.join(cell.scenario for cell in shown)}]"


# --- Markdown ---


def markdown(survey: Survey) -> str:
    return "\n".join([_head(survey), *_agents(survey), *_table(survey), *_wrong(survey), ""])


def _head(survey: Survey) -> str:
    groups = "\n".join(f"- **{who}**: {', '.join(f'`{one}`' for one in which)}" for who, which in _survivors(survey))
    return f"""# Which agent survives what

Made by `azready fabric survey` (`make survey`), last on {survey.made} with azready {survey.azready}; do not edit.
{len(survey.agents)} agents, {len(survey.scenarios)} scenarios, {len(survey.cells)} cells. {_repeated(survey)}

An agent of an image was booted as PID 1's child in a container, a command ran at Azure's addresses in a namespace
([boot.md](boot.md), [fabric.md](fabric.md)); a scenario that a container or a command cannot show is left out for it
(–), as is a cell in which this machine failed three times.
**Silent** is the VM that Azure would lose: within {survey.deadline:g} s (twice that in the slow scenarios, 30 s
where no report can be accepted) the platform accepted no report. Azure waits longer, 20 to 40 minutes, so an agent
that tries again after minutes may still come; the reason says what was heard of it last. Times are those of the machine
that made this page, busy with other work; compare who, not how fast. ✗ marks what is not as it should be.

The platform is the fabric, and strict: it refuses a report for a goal state that has changed since. How Azure answers
where no public source tells is decided here ([fabric.md](fabric.md), "Strictness"). A ✗ says that an agent is lost on
such a day, not that the day comes often.

Who does in a scenario what a good guest owes ([conformance.md](conformance.md)):

{groups}
"""


def _repeated(survey: Survey) -> str:
    """How many cells ran again, and which of them ended otherwise."""
    again = [cell for cell in survey.cells if len(cell.runs) > 1]
    restless = [f"{cell.agent} in `{cell.scenario}`" for cell in again if not cell.steady]
    if not again:
        return "Each ran once."
    whole = "Each" if len(again) == len(survey.cells) else f"{len(again)} of them"
    alike = f"these did not end alike: {', '.join(restless)}" if restless else "ended alike"
    return f"{whole} ran twice or more, and {alike}."


def _agents(survey: Survey) -> Iterator[str]:
    yield "## Agents\n"
    yield "| agent | what it is | run | cells | as owed | silent | otherwise wrong | sentences broken |"
    yield "|---|---|---|---|---|---|---|---|"
    for agent in survey.agents:
        cells, good, lost, bad = _counts(survey, agent)
        numbers = ", ".join(str(sentence.number) for sentence, _ in broken(survey.column(agent.name)))
        about = " ".join(filter(None, [_cell(agent.about), agent.version]))
        about += " (reports only)" if agent.expects == "report-only" else ""
        run = f"{agent.made}, azready {agent.azready}"
        yield f"| {agent.name} | {about} | {run} | {cells} | {good} | {lost} | {bad} | {numbers or 'none'} |"


def _table(survey: Survey) -> Iterator[str]:
    yield "\n## Scenarios\n"
    names = [agent.name for agent in survey.agents]
    yield f"| scenario | owed | {' | '.join(names)} |"
    yield "|---|---|" + "---|" * len(names)
    for scenario in survey.scenarios:
        cells = [survey.cell(name, scenario.name) for name in names]
        yield f"| `{scenario.name}` | {scenario.owed} | {' | '.join(map(_marked, cells))} |"


def _wrong(survey: Survey) -> Iterator[str]:
    yield "\n## What went wrong"
    for agent in survey.agents:
        wrong = [cell for cell in survey.column(agent.name) if not cell.good]
        if not wrong:
            continue
        yield f"\n### {agent.name}\n"
        for sentence, evidence in broken(survey.column(agent.name)):
            yield f"- breaks {sentence.number}: {sentence.says} ({', '.join(one.scenario for one in evidence)})"
        yield "\n| scenario | what the platform says | findings | to repeat |"
        yield "|---|---|---|---|"
        for cell in wrong:
            run = cell.run
            yield f"| `{cell.scenario}` | {_words(reason(run))} | {', '.join(run.findings)} | `{_cell(cell.repeat)}` |"


def _words(said: str) -> str:
    """A guest's words in a cell: brackets are no link."""
    return _cell(said).replace("[", "\\[")


def _cell(words: str) -> str:
    """Text inside a cell of a table."""
    return words.replace("|", "\\|")


# --- HTML ---


def page(survey: Survey) -> str:
    """One file; nothing is fetched."""
    title = "Which agent survives what"
    groups = "".join(
        f"<li><b>{escape(who)}</b>: {escape(', '.join(which)) or 'none'}</li>" for who, which in _survivors(survey)
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{_STYLE}</style></head><body>
<h1>{title}</h1>
<p>azready {escape(survey.azready)}, {escape(survey.made)}: {len(survey.agents)} agents,
{len(survey.scenarios)} scenarios.
Silent is the VM that Azure would lose: no report was accepted within {survey.deadline:g} s. Point at a cell for the
reason; open it for the command that repeats it.</p>
<ul>{groups}</ul>
<div class="wide" tabindex=0 role="region" aria-label="Agents by scenario"><table><thead><tr><th>scenario</th>
{"".join(f"<th>{_agent(agent)}</th>" for agent in survey.agents)}</tr></thead>
<tbody>
{chr(10).join(_row(survey, scenario.name, scenario.summary) for scenario in survey.scenarios)}
</tbody></table></div>
<h2>Sentences broken</h2>
{"".join(_sentences(survey, agent) for agent in survey.agents)}
</body></html>
"""


def _agent(agent: Surveyed) -> str:
    run = f"run {agent.made} with azready {agent.azready}"
    about = " ".join(filter(None, [agent.about, agent.version])) + f", {run}"
    return f'<span title="{escape(about)}">{escape(agent.name)}</span>'


def _row(survey: Survey, scenario: str, summary: str) -> str:
    cells = "".join(_data(survey.cell(agent.name, scenario)) for agent in survey.agents)
    return f'<tr><th title="{escape(summary)}">{escape(scenario)}</th>{cells}</tr>'


def _data(cell: Cell | None) -> str:
    if cell is None or cell.good:
        return f'<td class="{mark(cell)}">{escape(short(cell))}</td>'
    run = cell.run
    findings = f"<br>findings: {escape(', '.join(run.findings))}" if run.findings else ""
    return (
        f'<td class="{mark(cell)}" title="{escape(reason(run))}"><details><summary>{escape(short(cell))}</summary>'
        f"{escape(reason(run))}{findings}<br><code>{escape(cell.repeat)}</code></details></td>"
    )


def _sentences(survey: Survey, agent: Surveyed) -> str:
    items = "".join(
        f"<li>{sentence.number}: {escape(sentence.says)} <small>{escape(', '.join(one.scenario for one in evidence))}"
        "</small>"
        for sentence, evidence in broken(survey.column(agent.name))
    )
    return f"<h3>{escape(agent.name)}</h3><ul>{items or '<li>none'}</ul>"


_STYLE = """
:root { color-scheme: light dark; --line: light-dark(#dde1e8, #313742); --good: light-dark(#e3f4e8, #17351f);
  --lost: light-dark(#fbd9d6, #521d19); --bad: light-dark(#fcecc9, #4a3608); }
.wide { overflow: auto; max-height: 90vh; }
@media print { .wide { max-height: none; } table { font-size: .6em; } }
body { overflow-wrap: anywhere; font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem; }
table { border-collapse: collapse; }
th, td { border: 1px solid var(--line); padding: .2rem .5rem; text-align: left; vertical-align: top; max-width: 22rem; }
thead th { position: sticky; top: 0; background: Canvas; } tbody th { font-weight: 400; white-space: nowrap; }
.good { background: var(--good); } .lost { background: var(--lost); } .bad { background: var(--bad); }
summary { cursor: pointer; } code { overflow-wrap: anywhere; } small { opacity: .7; }
"""
