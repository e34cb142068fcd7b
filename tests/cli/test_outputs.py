"""`--output FORM[=FILE]` means the same in every verb, and what cannot be meant is refused before any work."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from azready.boot.record import document
from azready.cli import outputs
from azready.errors import UsageFailure
from tests.boot.test_timeline import RECORD
from tests.cli.schemas import conforms
from tests.cli.test_common import EVERY
from tests.image.sample import good_image

FORMS = ("text", "json", "html")
DRAWN = {"demo"}
"""Verbs that tell a story on a terminal, and have no result."""


def azready(*words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "azready", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "80"})


def _output_of(command: Any) -> Any:
    return next((param for param in command.params if "-o" in param.opts), None)


def test_every_verb_has_the_same_option() -> None:
    without = {name for name, command in EVERY if _output_of(command) is None}
    assert without == DRAWN
    for name, command in EVERY:
        if name not in DRAWN:
            option = _output_of(command)
            assert option.multiple and option.metavar == "FORM[=FILE]" and "--output" in option.opts, name
            with typer.Context(command, info_name=name) as context:
                completed = [item.value for item in option.shell_complete(context, "")]
            assert {"text", "json"} <= set(completed), name


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], {"text": None}),
        (["json"], {"json": None}),
        (["json=-"], {"json": None}),
        (["json=a"], {"text": None, "json": Path("a")}),
        (["text=a"], {"text": Path("a")}),
        (["json", "html=b", "text=a"], {"json": None, "html": Path("b"), "text": Path("a")}),
        (["json=a=b"], {"text": None, "json": Path("a=b")}),
        (["json=/dev/null", "html=/dev/null"], {"text": None, "json": Path("/dev/null"), "html": Path("/dev/null")}),
    ],
)
def test_what_goes_where(words: list[str], wanted: dict[str, Path | None]) -> None:
    assert outputs.parse(words, FORMS) == wanted


@pytest.mark.parametrize(
    ("words", "why", "what_to_do"),
    [
        (["xml"], "no form xml", "one of text, json, html, or FORM=FILE"),
        (["JSON"], "no form JSON", "one of text"),
        (["=a"], "no form =a", "FORM=FILE"),
        (["a.vhd"], "no form a.vhd", "named without -o: azready make DISK OUT.vhd"),
        (["xml=a.vhd"], "no form xml", "one of text"),
        (["json="], "without a name", "FORM=FILE"),
        (["json", "json=a"], "given twice", "once"),
        (["json", "html"], "cannot both be printed", "html=FILE"),
        (["json", "html=-"], "cannot both be printed", "html=FILE"),
        (["json=a", "html=./a"], "would overwrite ./a", "another file"),
        (["json=input"], "would overwrite input", "another file"),
        (["json=link"], "would overwrite link", "another file"),
        (["json=no/such/a"], "there is no folder no/such", "mkdir -p no/such"),
        (["json=."], "it is a folder", "name a file in it"),
    ],
)
def test_what_cannot_be_meant(
    words: list[str], why: str, what_to_do: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("input").touch()
    Path("link").symlink_to("input")
    with pytest.raises(UsageFailure) as refused:
        outputs.parse(words, FORMS, ("input", None), "azready make DISK OUT.vhd")
    assert why in refused.value.message and what_to_do in refused.value.hint
    assert {path.name for path in tmp_path.iterdir()} == {"input", "link"}


@pytest.mark.long
def test_several_forms_in_one_run(tmp_path: Path) -> None:
    good_image(tmp_path / "tree").write("usr/bin/curl", "", 0o755)
    data, text = tmp_path / "plan.json", tmp_path / "plan.txt"
    for verb in ("prepare", "generalize"):
        done = azready(verb, tmp_path / "tree", "--dry-run", "-o", f"json={data}", "-o", f"text={text}")
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert conforms(verb, data.read_text())["target"] in text.read_text()
    (tmp_path / "boots.json").write_text(document([RECORD]))
    page = tmp_path / "page.html"
    done = azready("timeline", tmp_path / "boots.json", "-o", f"html={page}", "-o", "json=-")
    assert conforms("boot", done.stdout)["boots"] and page.read_text().startswith("<!doctype html>")
    before = (tmp_path / "boots.json").read_bytes()
    again = azready("timeline", tmp_path / "boots.json", "-o", f"json={tmp_path}/boots.json")
    assert again.returncode == 2 and (tmp_path / "boots.json").read_bytes() == before


@pytest.mark.long
def test_verbs_that_make_a_file_say_where_it_is_named(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"x" * 1024)
    for verb, line in (
        (("convert", disk), "azready convert DISK OUT.vhd"),
        (("sysext", tmp_path / "a.raw"), "azready sysext OUT.raw"),
        (("fabric", "medium", tmp_path / "a.iso"), "azready fabric medium OUT.iso"),
        (("build", disk, tmp_path / "a.vhd"), "azready build DISK OUT.vhd"),
    ):
        done = azready(*verb, "-o", "a.img")
        assert done.returncode == 2 and line in done.stderr, done.stderr
    over = azready("convert", disk, tmp_path / "a.vhd", "-o", f"json={disk}")
    assert over.returncode == 2 and "would overwrite" in over.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["disk.raw"] and disk.read_bytes() == b"x" * 1024


@pytest.mark.long
def test_a_folder_is_no_disk_and_a_tree_is_told_what_comes_next(tmp_path: Path) -> None:
    good_image(tmp_path / "my tree").write("usr/bin/curl", "", 0o755)
    for words in (("convert", tmp_path), ("build", tmp_path, tmp_path / "a.vhd")):
        done = azready(*words)
        assert done.returncode == 2 and "is not a disk file" in done.stderr and "mkosi" in done.stderr
    sealed = azready("generalize", tmp_path / "my tree")
    named = f"'{tmp_path}/my tree'"
    assert sealed.stdout.endswith(f"next: azready check {named} && azready boot {named}\n"), sealed.stderr


@pytest.mark.long
def test_what_is_made_and_listed_as_json(tmp_path: Path) -> None:
    named = azready("fabric", "scenarios", "-o", "json")
    assert "imds-locked" in {one["name"] for one in conforms("fabric-scenarios", named.stdout)["scenarios"]}
    made = conforms("fabric-medium", azready("fabric", "medium", tmp_path / "a.xml", "-o", "json").stdout)
    assert made["sizeBytes"] == (tmp_path / "a.xml").stat().st_size
    planned = azready("sysext", tmp_path / "a", "--format", "folder", "--dry-run", "-o", "json")
    assert any("provision.py" in path for path in conforms("sysext", planned.stdout)["holds"])
    table = tmp_path / "disk.raw"
    table.write_bytes(bytes(1 << 20))
    dry = azready("convert", table, "--blank", "--dry-run", "-o", "json")
    assert json.loads(dry.stdout) == conforms("dry-run", dry.stdout) and "would write" in dry.stdout
