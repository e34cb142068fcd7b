"""What every verb has: --quiet, --debug, --log-file, --config and examples; and that help is whole at 80 columns."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from azready.cli import app, defaults, guide
from azready.cli.common import furnish
from azready.errors import UsageFailure


def _command(*verbs: str) -> Any:
    import importlib

    fresh = typer.Typer(rich_markup_mode=None)
    fresh.callback()(lambda: None)
    for verb in verbs or app.VERBS:
        importlib.import_module(f"azready.cli.{verb}").register(fresh)
    command = typer.main.get_command(fresh)
    furnish(command)
    return command


def _every() -> list[tuple[str, Any]]:
    found = []
    for name, command in _command().commands.items():
        found.append((name, command))
        found += [(f"{name} {each}", below) for each, below in getattr(command, "commands", {}).items()]
    return found


EVERY = _every()


def _azready(*words: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "80", **environment}
    argv = [sys.executable, "-m", "azready", *words]
    return subprocess.run(argv, capture_output=True, text=True, env=env, cwd=cwd, check=False, errors="surrogateescape")


@pytest.mark.parametrize(("name", "command"), EVERY, ids=[name for name, _ in EVERY])
def test_every_verb_has_them_and_its_help_cuts_nothing(name: str, command: Any) -> None:
    names = {option for param in command.params for option in param.opts}
    assert {"--quiet", "--debug", "--log-file", "--config"} <= names
    long = [option for param in command.params for option in param.opts]
    assert len(long) == len(set(long)), "one letter has one meaning"
    with typer.Context(command, info_name=name, terminal_width=80, max_content_width=80) as context:
        text = command.get_help(context)
    assert max(map(len, text.splitlines())) <= 80 + 40, "only a metavariable may be long"
    for param in command.params:
        for option in param.opts:
            if option.startswith("--") and not getattr(param, "hidden", False):
                assert re.search(rf"{option}\b", text), option
    assert guide.SHORT[name]


@pytest.mark.parametrize("verb", sorted(guide.EXAMPLES))
def test_examples_are_commands_that_azready_has(verb: str) -> None:
    commands = dict(EVERY)
    for line in guide.EXAMPLES[verb]:
        words = line.partition("azready ")[2].split(" -- ")[0].split()
        assert " ".join(words[: len(verb.split())]) == verb
        names = {option for param in commands[verb].params for option in (*param.opts, *param.secondary_opts)}
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= names, line


def test_every_verb_has_an_example() -> None:
    assert set(app.VERBS) <= set(guide.EXAMPLES)


FILE = """
profile = ["nvme"]
waivers = "accepted.toml"
[check]
fail-on = "info"
"""


@pytest.mark.long
def test_a_file_gives_defaults_and_the_command_line_wins(tmp_path: Path) -> None:
    for folder in ("etc", "usr/bin", "tree/etc", "tree/usr/bin", "tree/usr/sbin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tree/etc/os-release").write_text("ID=debian\n")
    (tmp_path / "tree/etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "azready.toml").write_text("[check]\nonly = ['P12']\nfail-on = 'fatal'\n")
    plain = _azready("check", "tree", cwd=tmp_path)
    assert plain.returncode == 0, plain.stdout + plain.stderr
    assert _azready("check", "tree", "--fail-on", "info", "--only", "A", cwd=tmp_path).returncode == 1
    elsewhere = tmp_path / "usr"
    named = _azready("check", "../tree", "--config", "../azready.toml", cwd=elsewhere)
    assert named.stdout.replace("../tree", "tree") == plain.stdout


def test_files_that_it_names_lie_beside_it() -> None:
    found = defaults.parse({"waivers": "w.toml", "scenario": "flaky"}, Path("/project/azready.toml"))
    options = {"waivers": defaults.Option("waivers", False), "scenario": defaults.Option("scenario", False)}
    assert defaults.for_command(found, ["check"], options) == {"waivers": "/project/w.toml", "scenario": "flaky"}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"profil": ["nvme"]}, "do you mean profile?"),
        ({"chek": {}}, "do you mean check?"),
        ({"check": {"fail_on": "info"}}, "do you mean fail-on?"),
        ({"yes": True}, "use one of"),
        ({"boot": {"judge": "rm -rf /"}}, "use one of"),
    ],
)
def test_what_it_may_not_say_is_refused_with_the_nearest_name(table: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageFailure) as caught:
        defaults.parse(table, Path("azready.toml"))
    assert says in caught.value.hint


def test_an_option_that_the_verb_has_not_is_refused_in_its_own_table_only() -> None:
    found = defaults.parse({"profile": ["nvme"], "convert": {"profile": "nvme"}}, Path("azready.toml"))
    assert defaults.for_command(found, ["boot"], {}) == {}
    with pytest.raises(UsageFailure):
        defaults.for_command(found, ["convert"], {"quiet": defaults.Option("quiet", False)})


def test_every_option_of_a_file_is_one_that_some_verb_has() -> None:
    options = {name[2:] for _, command in EVERY for param in command.params for name in param.opts if name[:2] == "--"}
    assert set(defaults.ALLOWED) <= options
    assert not {"yes", "in-place", "to", "out", "judge", "agent", "run", "output"} & set(defaults.ALLOWED)


@pytest.mark.parametrize("text", ["profile = ", "\xff", "check = 3", "waivers = true"])
def test_what_is_no_such_file_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "azready.toml").write_bytes(text.encode("latin-1"))
    done = _azready("check", "/nowhere", cwd=tmp_path)
    assert done.returncode == 2 and "azready.toml: " in done.stderr and "Traceback" not in done.stderr


@pytest.mark.long
def test_a_log_file_has_what_was_done_and_why_it_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = _azready("convert", "absent.raw", "out.vhd", "--log-file", str(log))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "azready convert absent.raw" in log.read_text() and "Traceback" in log.read_text()
    assert _azready("convert", "a", "b", "--log-file", str(tmp_path)).returncode == 2


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "latin-1"}]
)
@pytest.mark.parametrize("words", [("check", "--explain", "P01"), ("check", "--list"), ("fabric", "--help")])
def test_a_terminal_without_utf_8_shows_everything(words: tuple[str, ...], locale: dict[str, str]) -> None:
    done = _azready(*words, **locale)
    assert "fault in azready" not in done.stderr and done.stdout
    assert "→" not in done.stdout


def test_the_version_names_what_goes_into_images() -> None:
    from azready import __version__
    from azready.installed import digest

    done = _azready("--version")
    assert done.stdout == f"azready {__version__}\nguest program sha256 {digest()}\n"
    assert re.fullmatch("[0-9a-f]{64}", digest())
