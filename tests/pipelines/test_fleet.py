"""Many images in one report: from real answers of `check`, and boots of each outcome."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from azready.boot.record import document
from azready.errors import Exit, UsageFailure
from azready.fabric.verdict import Verdict
from azready.image.checking import Found, Passed, Result, Unseen, exit_code
from azready.image.render import as_github, as_json
from azready.image.rules import RULES
from azready.image.rules.model import Finding, Severity
from azready.pipelines import fleet
from tests.boot.test_page import EVIL, RECORD
from tests.cli.schemas import conforms

GOOD = replace(RECORD, target="disk.raw", verdict=Verdict("", 1.0, "Ready"), checks=(), cause=None, findings=())
WARNED = Result(RULES[0], Severity.WARNING, Found((Finding("a thing"),)))
BROKEN = Result(RULES[1], Severity.ERROR, Found((Finding(f"{EVIL}\n::error::x", "etc/x", fix="50%"),)))
PASSED = Result(RULES[2], Severity.ERROR, Passed())


def _kept(folder: Path, **files: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.json").write_text(text)
    return [folder / f"{name}.json" for name in files]


def test_images_of_one_name_are_told_apart_and_one_no_is_a_no(tmp_path: Path) -> None:
    good = _kept(tmp_path / "debian", check=as_json([WARNED, PASSED], "disk.raw"), boots=document([GOOD]))
    bad = _kept(tmp_path / "alpine", check=as_json([BROKEN], "disk.raw"))
    alone = fleet.read(good)
    assert [(row.image, row.kind, row.outcome) for row in alone] == [
        ("disk.raw", "check", "yes"),
        ("disk.raw", "boot", "yes"),
    ]
    assert fleet.summary(alone) == "1 image: all yes" and fleet.outcome(alone) == "yes"
    assert fleet.outcome(fleet.read(good, "warning")) == "no"
    rows = fleet.read([*good, *bad])
    assert {row.image for row in rows} == {f"{tmp_path}/debian: disk.raw", f"{tmp_path}/alpine: disk.raw"}
    assert (fleet.outcome(rows), fleet.summary(rows)) == ("no", "2 images: 1 no")


def test_a_boot_that_this_machine_spoilt_is_undecided_and_no_success(tmp_path: Path) -> None:
    spoilt = json.loads(document([GOOD]))
    spoilt["boots"][0]["passed"] = None
    rows = fleet.read(_kept(tmp_path, boots=json.dumps(spoilt)))
    assert fleet.outcome(rows) == "undecided"
    (suite,) = ElementTree.fromstring(fleet.as_junit(rows))
    assert suite.get("errors") == "1" and suite.get("failures") == "0"
    assert fleet.outcome(()) == "undecided"


def test_a_rule_that_could_not_look_is_undecided_as_for_check_itself(tmp_path: Path) -> None:
    unseen = Result(RULES[0], Severity.ERROR, Unseen("no right to read /boot"))
    (row,) = fleet.read(_kept(tmp_path, check=as_json([unseen, PASSED], "disk.raw")))
    assert exit_code([unseen, PASSED], Severity.ERROR) == Exit.UNABLE
    assert row.outcome == "undecided" and "no right to read /boot" in row.why[0]
    assert fleet.outcome(fleet.read([tmp_path / "check.json"], "fatal")) == "yes"
    (worse,) = fleet.read(_kept(tmp_path, check=as_json([unseen, BROKEN], "disk.raw")))
    assert worse.outcome == "no"


def test_every_form_says_what_is_wrong_and_an_images_words_stay_text(tmp_path: Path) -> None:
    rows = fleet.read(_kept(tmp_path, check=as_json([BROKEN, PASSED], EVIL), boots=document([RECORD])))
    for text in (fleet.as_text(rows), fleet.as_markdown(rows), fleet.as_html(rows), fleet.as_junit(rows)):
        assert "\n::error" not in text
        assert "fix: 50%" in text and "\x1b" not in text and "\u202e" not in text
    for text in (fleet.as_html(rows), fleet.as_markdown(rows)):
        assert "<script>" not in text
    assert all(line.startswith(("|", "#")) or not line for line in fleet.as_markdown(rows).splitlines())
    suites = list(ElementTree.fromstring(fleet.as_junit(rows)))
    assert [suite.get("failures") for suite in suites] == ["1", "1"]
    assert conforms("report", fleet.as_json(rows))["outcome"] == "no"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"results": 3}', '{"boots": [{}]}', '{"results": [{"answer": "finding"}]}']
)
def test_what_is_no_answer_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageFailure, match=r"x\.json"):
        fleet.read(_kept(tmp_path, x=text))
    with pytest.raises(UsageFailure, match="absent"):
        fleet.read([tmp_path / "absent"])


def test_annotations_cannot_be_broken_out_of() -> None:
    lines = as_github([WARNED, BROKEN, PASSED], EVIL).splitlines()
    assert [line.split()[0] for line in lines] == ["::error", "::warning", "::notice"]
    assert "%0A::error::x (/etc/x); fix: 50%25" in lines[0]
    assert ":" not in lines[0].split("title=")[1].split("::")[0]


@pytest.mark.long
def test_the_command_writes_every_form_and_ends_as_it_says(tmp_path: Path) -> None:
    files = _kept(tmp_path, check=as_json([BROKEN], "a"), boots=document([GOOD]))
    words = [sys.executable, "-m", "azready", "report", *map(str, files)]
    done = subprocess.run(
        [*words, "-o", "html=p.html", "-o", "junit=j.xml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1 and "2 images: 1 no" in done.stdout
    assert (tmp_path / "p.html").read_text().startswith("<!doctype html>") and (tmp_path / "j.xml").exists()
