"""docs/figures.md is what `make bench` writes: every promise is of a row that a part measures, and is on the page."""

import re
import tomllib
from pathlib import Path

from bench import promises

TOP = Path(__file__).parents[2]
PROMISES = tomllib.loads((TOP / "bench/promises.toml").read_text(encoding="utf-8"))["promise"]


def test_each_promise_names_a_row_that_is_measured_or_says_what_it_is_about() -> None:
    parts = "".join(path.read_text(encoding="utf-8") for path in (TOP / "bench").glob("*.py"))
    measured = set(re.findall(r'(?:Row|_row)\(\s*"(\w+)"', parts)) | set(re.findall(r'\("(V\d)",', parts))
    named = {promise["name"] for promise in PROMISES if "name" in promise}
    assert named <= measured, named - measured
    assert all(promise["why"].strip() for promise in PROMISES)
    assert all("name" in promise or promise.keys() >= {"what", "goal"} for promise in PROMISES)


def test_the_page_says_of_each_whether_it_is_reached() -> None:
    page = (TOP / "docs/figures.md").read_text(encoding="utf-8").partition("## What was to be reached")[2]
    for promise in PROMISES:
        row = promise.get("name", promise.get("what"))
        (line,) = [
            line for line in page.partition("\n## ")[0].splitlines() if re.match(rf"\| {re.escape(row)}[: ]", line)
        ]
        assert re.search(r"\| (yes|no|not measured) \|", line), line


def test_a_promise_that_is_measured_apart_says_whether_it_is_reached() -> None:
    apart = [promise for promise in PROMISES if "now" in promise]
    lines = "\n".join(promises.lines([]))
    for promise in apart:
        verdict = "yes" if float(promise["now"]) <= float(promise["goal"]) else "no"
        assert f"| {promise['what']} | {promise['now']} | {promise['goal']} | {verdict} |" in lines
