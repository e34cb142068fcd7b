"""What people copy into their CI: valid by the official schemas, and its azready commands are ones that there are."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.cli.test_common import EVERY

ROOT = Path(__file__).parents[2]
FILES = (
    "recipes/gitlab/.gitlab-ci.yml",
    "recipes/azure-pipelines/azure-pipelines.yml",
    "recipes/kubernetes/fleet.yaml",
)
TEXTS = {name: (ROOT / name).read_text() for name in (*FILES, "action.yml", "docs/ci.md", ".pre-commit-hooks.yaml")}


@pytest.mark.long
@pytest.mark.parametrize(("schema", "name"), [("gitlab-ci", FILES[0]), ("azure-pipelines", FILES[1])])
def test_it_is_valid_by_the_official_schema(schema: str, name: str) -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(ROOT / name)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", TEXTS)
def test_its_azready_commands_are_ones_that_there_are(name: str) -> None:
    commands, found = dict(EVERY), 0
    text = TEXTS[name].replace("\\\n", " ")
    for verb, rest in re.findall(r'(?:\bazready"?|"\$run") ((?!azready)[a-z]+)\b([^\n;|]*)', text):
        if verb in commands and not rest.startswith("::"):
            found += 1
            names = {option for param in commands[verb].params for option in param.opts}
            assert set(re.findall(r"(?<= )--?[a-z][a-z-]*(?=[ =]|$)", rest)) <= names, (verb, rest)
    assert found or name.endswith("hooks.yaml")


def test_the_job_of_kubernetes_takes_a_disk_an_index(need: Callable[..., None], tmp_path: Path) -> None:
    need("tool:shellcheck")
    job = yaml.safe_load(TEXTS[FILES[2]])
    (container,) = job["spec"]["template"]["spec"]["containers"]
    script = container["args"][0].replace("/images", str(tmp_path))
    assert subprocess.run(["shellcheck", "--shell=bash", "-"], input=script, text=True, check=False).returncode == 0
    for name in ("a.qcow2", "b.qcow2"):
        (tmp_path / name).touch()
    fake = 'azready() { echo "$@" >>"$LOG"; [ "$1" != check ] || return 1; }; export -f azready; '
    words = [*container["command"], fake + script]
    done = subprocess.run(
        words, env={"JOB_COMPLETION_INDEX": "1", "LOG": str(tmp_path / "log"), "PATH": "/usr/bin:/bin"}, check=False
    )
    log = (tmp_path / "log").read_text().splitlines()
    assert done.returncode == 1 and [line.split()[:2] for line in log] == [
        ["check", f"{tmp_path}/b.qcow2"],
        ["boot", f"{tmp_path}/b.qcow2"],
    ]


@pytest.mark.long
def test_the_hook_tells_a_good_waiver_file_from_a_bad_one(tmp_path: Path) -> None:
    (hook,) = yaml.safe_load(TEXTS[".pre-commit-hooks.yaml"])
    assert re.search(hook["files"], "ci/waivers-web.toml") and not re.search(hook["files"], "pyproject.toml")
    bin_folder = str(Path(sys.executable).parent)
    answers = {}
    for name, text in (("good", 'S01 = "serial only"'), ("bad", 'S99 = "no such rule"'), ("empty", 'S01 = ""')):
        file = tmp_path / f"waivers-{name}.toml"
        file.write_text(f"[waivers]\n{text}\n")
        words = [*shlex.split(hook["entry"]), str(file)]
        answers[name] = subprocess.run(words, env={"PATH": f"{bin_folder}:/usr/bin:/bin"}, check=False).returncode
    assert answers == {"good": 0, "bad": 2, "empty": 2}


def test_the_packages_of_the_containerfile_are_those_that_the_action_installs() -> None:
    listed = {
        name: set(re.findall(r"install -qy --no-install-recommends ([^\n]+(?:\\\n[^\n]+)?)", text)[0].split())
        for name, text in (
            ("container", (ROOT / "Containerfile").read_text().replace("\\\n", "")),
            ("action", TEXTS["action.yml"].replace("\\\n", "")),
        )
    }
    assert listed["action"] - {"uidmap"} <= listed["container"]
    for line in re.findall(r"^COPY (.+) \S+$", (ROOT / "Containerfile").read_text(), re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split())
