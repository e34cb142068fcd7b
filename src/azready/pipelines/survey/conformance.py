"""What a guest owes the platform, in numbered sentences, each with the scenarios and findings that show it.

docs/conformance.md is made of this table; the survey says which sentences an agent breaks. The facts are those of
docs/fidelity.md.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from azready.pipelines.survey.cells import Cell


@dataclass(frozen=True)
class Sentence:
    """One thing that a guest owes, with what shows that it was broken."""

    number: int
    says: str
    scenarios: tuple[str, ...] = ()
    """A guest that does not end in them as it owes breaks the sentence."""
    findings: tuple[str, ...] = ()
    """A guest in whose requests one of these is found breaks it, too."""


@dataclass(frozen=True)
class Chapter:
    """The sentences about one part of the protocol."""

    title: str
    sentences: tuple[Sentence, ...]


def _chapters() -> Iterator[Chapter]:
    number = 0
    for title, rows in _TABLE.items():
        sentences = []
        for says, scenarios, findings in rows:
            number += 1
            sentences.append(Sentence(number, says, tuple(scenarios.split()), tuple(findings.split())))
        yield Chapter(title, tuple(sentences))


_TABLE: dict[str, tuple[tuple[str, str, str], ...]] = {
    "Address": (
        ("It waits for a lease that comes late.", "dhcp-late", ""),
        (
            "It takes the WireServer's address from DHCP option 245, and 168.63.129.16 where the lease has none.",
            "dhcp-no-245",
            "",
        ),
        (
            "It reaches both platform addresses by the routes of the lease; without option 121, by the router.",
            "dhcp-no-121",
            "",
        ),
        ("It sends no request through a proxy.", "", "imds-forwarded"),
        (
            "It measures its own deadlines by a clock that nobody sets: the time of day may jump at boot.",
            "clock-jump",
            "",
        ),
    ),
    "Goal state": (
        ("It asks for the goal state before it reports in XML.", "", "health-unasked"),
        ("Every request to the WireServer says `x-ms-version: 2012-11-30`.", "", "wire-no-version wire-version"),
        (
            "It asks for what is there, in the way that is documented, in whole HTTP/1.1.",
            "",
            "wire-unknown-path hostplugin-unknown-path wire-method wire-stale-link http-malformed http-host",
        ),
        (
            "A goal state that is refused is asked for again: the platform may need minutes to have one.",
            "goalstate-503 goalstate-503-date goalstate-late",
            "",
        ),
        (
            "A connection that breaks, or is never answered, is a reason to ask again.",
            "goalstate-reset goalstate-cut goalstate-too-long goalstate-silent",
            "",
        ),
        (
            "What is no whole goal state is not believed, however good its status code is.",
            "goalstate-empty goalstate-garbled goalstate-no-role goalstate-redirect goalstate-too-short goalstate-huge",
            "",
        ),
        ("A byte order mark before the XML does no harm.", "goalstate-bom", ""),
        ("A slow answer is waited for.", "goalstate-drip wireserver-slow", ""),
        (
            "Where there is never a goal state it reports in JSON to /provisioning/health, which needs none.",
            "goalstate-never",
            "",
        ),
    ),
    "Report": (
        ("It reports for the incarnation of the goal state, whatever its number.", "incarnation-7", ""),
        (
            "Before every try it asks for the goal state anew: incarnation and container may have changed.",
            "goalstate-changes goalstate-moves goalstate-stale",
            "",
        ),
        (
            "A report that was not accepted is sent again.",
            "report-429 report-500 report-503 report-reset flaky",
            "",
        ),
        ("A report whose answer was lost is sent again.", "report-answer-lost", ""),
        (
            "The report has every element of the documented form, in its place.",
            "",
            "health-malformed health-incomplete health-path health-state health-substatus too-big",
        ),
        ("A description is at most 4096 characters long, counted after escaping.", "", "health-too-long"),
        (
            "A guest that cannot provision says so, and why, at once: silence costs the owner 20 to 40 minutes.",
            "nothing-to-go-by",
            "health-no-description",
        ),
        ("After Ready it reports no failure.", "", "health-after-ready"),
        (
            "Where nobody takes a report it keeps trying, or gives up, but does not say Ready to its own boot.",
            "report-refused wireserver-dead",
            "",
        ),
    ),
    "Data: IMDS and the medium": (
        (
            "Every request to IMDS has the header `Metadata: true` and an api-version that exists.",
            "",
            "imds-no-header imds-version imds-duplicate imds-format imds-method imds-parameter",
        ),
        ("It asks IMDS for no more than five things a second.", "", "imds-rate"),
        (
            "IMDS that fails for a while is asked again: 404, 410 (for 70 seconds), 429, 5xx, a broken connection.",
            "imds-404 imds-410 imds-410-70s imds-429 imds-500 imds-reset imds-cut",
            "",
        ),
        (
            "What is no instance document is not believed: an error page becomes no host name.",
            "imds-503-page imds-empty imds-garbled imds-huge",
            "",
        ),
        ("A slow document is waited for.", "imds-drip", ""),
        ("An api-version that the platform does not know yet is replaced by an older one.", "imds-old", ""),
        (
            "Where IMDS fails for good, or has gaps, the medium is enough to provision.",
            "imds-dead imds-forbidden imds-blank",
            "",
        ),
        ("Where there is no medium, IMDS is enough.", "medium-missing", ""),
        ("A medium that comes late is waited for.", "medium-late", ""),
        ("The medium's XML is read by its namespaces, not by its prefixes.", "medium-plain", ""),
        ("A public key with line breaks inside becomes one that works.", "keys-crlf", ""),
        ("Network interfaces are told apart by MAC address, not by their order in IMDS.", "imds-order", ""),
        ("Where systemd keeps IMDS for itself, it uses systemd's mark, or the medium.", "imds-locked", ""),
    ),
    "Metadata Security Protocol": (
        (
            "On a VM with the protocol it waits for the Guest Proxy Agent, and reports a failure where there is none.",
            "msp-audit msp-enforce",
            "",
        ),
    ),
    "Proposed, not Azure today": (
        (
            "Without a medium, user and custom data come from /provisiondata, in each of its three forms.",
            "proposal-json proposal-ovf proposal-secrets",
            "",
        ),
    ),
}

CHAPTERS = tuple(_chapters())


def broken(cells: Iterable[Cell]) -> tuple[tuple[Sentence, tuple[Cell, ...]], ...]:
    """The sentences that an agent breaks in these cells of its own, with the cells that show it."""
    column = tuple(cells)
    shown = (
        (sentence, tuple(cell for cell in column if _breaks(cell, sentence)))
        for chapter in CHAPTERS
        for sentence in chapter.sentences
    )
    return tuple((sentence, evidence) for sentence, evidence in shown if evidence)


def _breaks(cell: Cell, sentence: Sentence) -> bool:
    found = {code for run in cell.runs for code in run.findings}
    return (cell.scenario in sentence.scenarios and not cell.good) or bool(found & set(sentence.findings))


def document() -> str:
    """docs/conformance.md."""
    return "\n".join([_HEAD, *(line for chapter in CHAPTERS for line in _chapter(chapter)), _TAIL])


def _chapter(chapter: Chapter) -> Iterator[str]:
    yield f"\n## {chapter.title}\n"
    yield "| | a guest | shown by the scenario | found in its requests |"
    yield "|---|---|---|---|"
    for one in chapter.sentences:
        scenarios, findings = (", ".join(f"`{word}`" for word in words) for words in (one.scenarios, one.findings))
        yield f"| {one.number} | {one.says} | {scenarios} | {findings} |"


_HEAD = """# What a guest owes the platform

For whoever writes a provisioning agent for Azure, in whatever language: what it must do so that no VM is lost, in
numbered sentences. Each names the scenarios that show it, or the findings by which the fabric tells that it was broken
([fabric.md](fabric.md) explains both). Where each fact comes from is in [fidelity.md](fidelity.md).

<!-- shown by tests/pipelines/test_survey.py::test_a_survey_of_commands_is_made_repeated_and_resumed -->
```sh
azready fabric survey --agent 'mine=my-agent --root {root}'      # a command; or
azready fabric survey --agent-tree mine=TREE                     # an image, booted
```

runs an agent in all of them, and prints the sentences that it breaks. An agent that reports and does nothing else
(`--expect report-only`) owes the chapters Address, Goal state, Report and Metadata Security Protocol.
[survey.md](survey.md) has the agents of today."""

_TAIL = """
This page is made of the table in `src/azready/pipelines/survey/conformance.py`; a test holds them together, and to the
scenarios that there are.
"""
