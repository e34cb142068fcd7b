"""The survey: who is asked, what becomes of a run, what goes on after it was broken off, and what the pages say."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azready.boot.record import BootRecord, Check
from azready.errors import UsageFailure
from azready.fabric import scenario as plans
from azready.fabric.protocol.findings import KINDS
from azready.fabric.verdict import Verdict
from azready.pipelines.survey import agents, cells, conformance, pages, running
from azready.pipelines.survey.agents import Agent, Command, Tree
from azready.pipelines.survey.cells import Cell, Log, Run, Survey, Surveyed, Told
from tests.cli.schemas import conforms

DOCS = Path(__file__).parents[2] / "docs"
READY = Run("ready", 1.25, "")
SILENT = Run("silent", None, "OSProvisioningTimedOut: nobody spoke", ("health-incarnation",))
FAILED = Run("failed", 7.0, "OSProvisioningClientError: no medium")


def cell(agent: str, scenario: str, *runs: Run, owed: str = "ready") -> Cell:
    return Cell(agent, scenario, owed, f"azready fabric survey --agent {agent} --scenario {scenario}", runs)  # type: ignore[arg-type]


# --- who ---


def test_every_agent_is_named_by_its_options() -> None:
    """The words that repeat a cell find the same agent again."""
    named = agents.chosen(["all", "mine=my-agent --root {root}"], [], "report-only")
    assert len(named) == len(agents.OWN) + 1 >= 8
    assert named[-1] == Agent("mine", "", Command("my-agent --root {root}"), "report-only")
    for one in named:
        options = one.options
        expects = "report-only" if "--expect" in options else "provision"
        assert agents.chosen([options[1]], [], expects) == (one,)  # type: ignore[arg-type]


def test_a_tree_alone_is_the_only_agent(tmp_path: Path) -> None:
    (one,) = agents.chosen([], [f"mine={tmp_path}"], "provision")
    assert one.source == Tree(tmp_path) and one.options == ["--agent-tree", f"mine={tmp_path}"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nobody"], "there is no agent 'nobody'"),
        (["x="], "names no command"),
        (["x=run {nix}"], "is not a place"),
        (["x='run"], "is not a place"),
        (["=run"], "cannot be the name"),
        (["waagent-12=run"], "cannot be the name"),
        (["a|b=run"], "cannot be the name"),
        (["x=run", "x=walk"], "two agents have the same name"),
    ],
)
def test_a_wrong_agent_is_explained(words: list[str], says: str) -> None:
    with pytest.raises(UsageFailure, match=says) as caught:
        agents.chosen(words, [], "provision")
    assert caught.value.hint


def test_a_tree_that_is_none_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageFailure, match="is no directory"):
        agents.chosen([], [f"mine={tmp_path}/none"], "provision")


def test_commands_meet_no_boot_and_containers_no_clock() -> None:
    command, image = Agent("c", "", Command("run")), agents.OWN["waagent-12"]
    met = {name: (command.meets(plans.load(name)), image.meets(plans.load(name))) for name in plans.names()}
    assert met["report-503"] == (True, True) and met["dhcp-late"] == met["imds-locked"] == (False, True)
    assert met["clock-jump"] == met["medium-late"] == (False, False)


def test_a_reporter_owes_no_data() -> None:
    reporter = Agent("r", "", Command("run"), "report-only")
    assert reporter.owes(plans.load("nothing-to-go-by")) == "ready"
    assert agents.OWN["azready-py"].owes(plans.load("nothing-to-go-by")) == "failed"
    assert reporter.owes(plans.load("wireserver-dead")) == "timed-out"
    assert reporter.owes(plans.load("msp-audit")) == "failed"


# --- what came of it ---


@pytest.mark.parametrize(
    ("code", "at", "end"),
    [
        ("", 0.5, "ready"),
        ("OSProvisioningClientError", 0.5, "failed"),
        ("OSProvisioningInternalError", 0.5, "silent"),
        ("OSProvisioningTimedOut", None, "silent"),
    ],
)
def test_a_verdict_as_a_run(code: str, at: float | None, end: str) -> None:
    run = cells.run_of(Verdict(code, at, "told why"))  # type: ignore[arg-type]
    assert run.end == end and (run.at is None) == (end == "silent") and bool(run.says) == bool(code)


def test_ready_without_a_login_is_not_good() -> None:
    checks = (Check("ssh login", "failed", "no key"), Check("sudo", "passed"), Check("host name", "skipped"))
    record = BootRecord(1, "first boot", "t", "container", "", 1.0, 9.0, Verdict("", 1.0, ""), checks=checks)
    run = running.boot_as_run(record, "1.2")
    assert (run.end, run.remarks, run.version) == ("ready", ("ssh login: no key",), "1.2")
    assert not cell("a", "s", run).good and pages.short(cell("a", "s", run)) == "Ready 1.0 s, but ssh login failed"


def test_the_worst_run_is_shown_and_disagreement_told() -> None:
    both = cell("a", "s", READY, SILENT)
    assert both.run == SILENT and not both.good and both.lost and not both.steady
    assert pages.short(both) == "silent (not each time)"
    assert cell("a", "s", READY, READY).steady


def test_silence_is_all_that_is_left_where_nobody_hears() -> None:
    quiet = cell("a", "report-refused", SILENT, owed="timed-out")
    assert quiet.good and not quiet.lost
    assert cell("a", "nothing-to-go-by", FAILED, owed="failed").good
    assert not cell("a", "nothing-to-go-by", READY, owed="failed").good


def test_the_log_goes_on_after_a_line_that_was_cut(tmp_path: Path) -> None:
    log = Log(tmp_path / "runs.jsonl")
    log.append(("1", "a"), READY)
    log.append(("1", "a"), SILENT)
    log.append(("1", "b"), FAILED)
    with log.path.open("a") as file:
        file.write('{"key": ["1", "c"], "end": "rea')
    assert log.read() == {("1", "a"): (READY, SILENT), ("1", "b"): (FAILED,)}


def test_a_file_that_is_no_log_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text("[]\n{}\n")
    with pytest.raises(UsageFailure, match="line 1 is no run"):
        Log(tmp_path / "runs.jsonl").read()


# --- the pages ---


def survey() -> Survey:
    told = (Told("incarnation-7", "seven <7>", "ready"), Told("goalstate-bom", "", "ready"), Told("flaky", "", "ready"))
    return Survey(
        made="2026-01-02",
        azready="1.0",
        deadline=90.0,
        agents=(
            Surveyed("azready-py", "ours", "provision", True, "", "2026-01-02", "1.0"),
            Surveyed("theirs", "a | b", "report-only", False, "", "2026-01-01", "0.9"),
        ),
        scenarios=told,
        cells=(
            cell("azready-py", "incarnation-7", READY, READY),
            cell("theirs", "incarnation-7", SILENT, SILENT),
            cell("azready-py", "goalstate-bom", READY),
            cell("theirs", "goalstate-bom", READY),
            cell("azready-py", "flaky", SILENT),
        ),
    )


def test_a_survey_can_be_drawn_again_from_its_json() -> None:
    one = survey()
    assert cells.from_json(conforms("fabric-survey", pages.all_of(one)["survey.json"])) == one


def test_columns_of_an_older_survey_stand_beside_the_new_ones() -> None:
    """With their own day; who is in both is taken from the newer, of which ours come first."""
    mine = Surveyed("mine", "", "provision", True, "", "2026-02-03", "1.1")
    again = Surveyed("theirs", "", "report-only", False, "2", "2026-02-03", "1.1")
    newer = replace(
        survey(),
        agents=(again, mine),
        scenarios=(Told("report-503", "", "ready"),),
        cells=(cell("theirs", "report-503", READY), cell("mine", "report-503", READY)),
    )
    both = cells.beside(survey(), newer)
    assert [(agent.name, agent.made) for agent in both.agents] == [
        ("mine", "2026-02-03"),
        ("azready-py", "2026-01-02"),
        ("theirs", "2026-02-03"),
    ]
    assert [told.name for told in both.scenarios] == ["flaky", "goalstate-bom", "incarnation-7", "report-503"]
    assert {one.scenario for one in both.column("theirs")} == {"report-503"} and len(both.column("azready-py")) == 3
    with pytest.raises(UsageFailure, match="waited 90 s, this one 60 s"):
        cells.beside(survey(), replace(newer, deadline=60.0))


def test_the_page_shows_who_survives_what() -> None:
    text = pages.markdown(survey())
    assert "- **everybody**: `goalstate-bom`" in text
    assert "- **only azready**: `incarnation-7`" in text
    assert "- **nobody**: `flaky`" in text
    assert "| `incarnation-7` | ready | Ready 1.2 s | ✗ silent |" in text
    assert "| `flaky` | ready | ✗ silent | – |" in text
    assert "`azready fabric survey --agent theirs --scenario incarnation-7`" in text
    assert "| theirs | a \\| b (reports only) | 2026-01-01, azready 0.9 | 2 | 1 | 1 | 0 | 15 |" in text


def test_the_html_page_is_whole_and_escaped() -> None:
    text = pages.page(survey())
    assert "seven &lt;7&gt;" in text and "<7>" not in text
    assert "azready fabric survey --agent theirs" in text and "http" not in text.replace("HTTP", "")


def test_a_terminal_gets_the_reasons() -> None:
    lines = list(pages.text(survey()))
    assert lines[1].split() == ["incarnation-7", "Ready", "1.2", "s", "✗", "silent"]
    assert "theirs, incarnation-7: OSProvisioningTimedOut: nobody spoke" in lines
    assert any(line.startswith("theirs breaks 15: It reports for the incarnation") for line in lines)


# --- the contract ---


def test_every_scenario_is_in_a_sentence_and_every_sentence_can_be_broken() -> None:
    sentences = [one for chapter in conformance.CHAPTERS for one in chapter.sentences]
    assert [one.number for one in sentences] == list(range(1, len(sentences) + 1))
    assert {name for one in sentences for name in one.scenarios} == set(plans.names())
    assert all(one.scenarios or one.findings for one in sentences)


_NO_SENTENCE = {
    "health-incarnation": "a good guest is told so once, when the goal state changes between its two requests",
    "health-container": "the same",
    "health-instance": "the same",
    "role-properties": "no part of provisioning",
    "msp-unsigned": "what every guest without an agent of the protocol does",
    "certificates-header": "no part of provisioning",
    "kvp-record": "told by the medium of Hyper-V, which the platform does not wait for",
}


def test_every_error_that_the_fabric_finds_breaks_a_sentence() -> None:
    named = {code for chapter in conformance.CHAPTERS for one in chapter.sentences for code in one.findings}
    errors = {code for code, kind in KINDS.items() if kind.severity == "error"}
    assert named <= set(KINDS)
    assert errors - named == set(_NO_SENTENCE)


def test_the_contract_is_its_page() -> None:
    """Made anew: python -c 'from azready.pipelines.survey.conformance import document; print(document(), end="")'."""
    assert (DOCS / "conformance.md").read_text() == conformance.document()


@pytest.mark.long
def test_the_published_page_is_what_its_json_says() -> None:
    """After a change of how pages look: `pages.all_of(cells.from_json(…))` draws them again, without a run."""
    published = cells.from_json(json.loads((DOCS / "survey.json").read_text()))
    for name, text in pages.all_of(published).items():
        assert (DOCS / name).read_text() == text, name
    assert len(published.agents) >= 8


# --- the whole, for real ---

REPORTER = """
import sys, time, urllib.request as u
opened = u.build_opener(u.ProxyHandler({}))
for _ in range(int(sys.argv[1])):
    try:
        body = b'{"state":"Ready"}'
        headers = {"Content-Type": "application/json", "x-ms-guest-agent-name": "t"}
        opened.open(u.Request("http://168.63.129.16/provisioning/health", body, headers), timeout=5)
        break
    except OSError:
        time.sleep(0.2)
"""


def _survey(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "azready", "fabric", "survey", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.long
def test_a_survey_of_commands_is_made_repeated_and_resumed(need: Callable[..., None], tmp_path: Path) -> None:
    need("tool:unshare", "tool:ip")
    program = tmp_path / "reporter.py"
    program.write_text(REPORTER)
    out = tmp_path / "out"
    # Each has tries to spare, or none: report-500 fails the first POST by XML and JSON alike.
    words: list[str | Path] = ["--agent", f"once={sys.executable} {program} 1"]
    words += ["--agent", f"again={sys.executable} {program} 50", "--expect", "report-only"]
    words += ["--scenario", "report-500", "--scenario", "nothing-to-go-by", "--deadline", "60"]
    first = _survey(out, *words, "--limit", "1")
    assert first.returncode in (0, 1), first.stderr
    assert len((out / "runs.jsonl").read_text().splitlines()) == 1
    second = _survey(out, *words, "--runs", "2")
    assert second.returncode == 1, second.stderr
    lines = (out / "runs.jsonl").read_text().splitlines()
    assert len(lines) == 8
    made = cells.from_json(json.loads((out / "survey.json").read_text()))
    ends = {(one.agent, one.scenario): one.run.end for one in made.cells}
    assert ends == {
        ("once", "report-500"): "silent",
        ("again", "report-500"): "ready",
        ("once", "nothing-to-go-by"): "ready",
        ("again", "nothing-to-go-by"): "ready",
    }
    assert all(one.steady and len(one.runs) == 2 for one in made.cells)
    lost = made.cell("once", "report-500")
    assert lost is not None and f"to repeat once in report-500: {lost.repeat}" in second.stderr
    assert "once breaks 17: A report that was not accepted is sent again." in second.stdout
    assert _survey(out, *words, "--runs", "2").returncode == 1
    assert (out / "runs.jsonl").read_text().splitlines() == lines, "what was there is not run again"


@pytest.mark.long
def test_a_command_that_is_not_there_is_left_out_and_told_of(need: Callable[..., None]) -> None:
    need("tool:unshare", "tool:ip")
    done = _survey("--agent", "none=/no/such/agent", "--scenario", "report-500", "--deadline", "20")
    assert done.returncode == 3, done.stderr
    assert "none, report-500 is left out" in done.stderr and "was not found" in done.stderr
