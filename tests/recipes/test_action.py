"""The GitHub action: its file is one, its scripts are clean, and its steps run as the runner would run them."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.boot import machines

ACTION = Path(__file__).parents[2] / "action.yml"
STEPS: Mapping[str, Any] = {
    step["name"]: step for step in yaml.safe_load(ACTION.read_text())["runs"]["steps"] if "run" in step
}


@pytest.mark.long
def test_the_file_is_valid_by_the_official_schema() -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-actions", str(ACTION)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", STEPS)
def test_shellcheck_finds_nothing_in_a_step(name: str, need: Callable[..., None]) -> None:
    need("tool:shellcheck")
    words = ["shellcheck", "--shell=bash", "-"]
    done = subprocess.run(words, input=STEPS[name]["run"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def _run(name: str, folder: Path, path: str, inputs: Mapping[str, str]) -> None:
    """As the runner does: bash -e -o pipefail, with the inputs in place of their expressions."""
    given = STEPS[name].get("env", {}).items()
    env = {key: inputs[str(value).split("inputs.")[1].split()[0]] for key, value in given}
    env |= {"GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    env |= {"RUNNER_TEMP": str(folder / "temp"), "GITHUB_ACTION_PATH": str(ACTION.parent), "PATH": path}
    script = folder / "step.sh"
    script.write_text(STEPS[name]["run"])
    words = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)]
    done = subprocess.run(words, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


_APT = """#!/bin/sh
# The machine of a test is not changed: apt says what it would do, and whether it knows every package.
[ "$1" = update ] || exec {apt} --simulate "$@"
"""


@pytest.mark.slow
def test_it_makes_a_vhd_where_there_is_no_sudo(need: Callable[..., None], tmp_path: Path) -> None:
    need("root", "tool:apt-get", "tool:qemu-img", "tool:mcopy", "file:/dev/loop-control")
    tools, apt = tmp_path / "bin", shutil.which("apt-get")
    tools.mkdir()
    (tmp_path / "temp").mkdir()
    (tools / "apt-get").write_text(_APT.format(apt=shlex.quote(str(apt))))
    (tools / "apt-get").chmod(0o755)
    # Of /usr/bin all but sudo, so that the machine's own does not count.
    (tmp_path / "usr").mkdir()
    for program in (each for folder in ("/usr/bin", "/usr/sbin") for each in Path(folder).iterdir()):
        link = tmp_path / "usr" / program.name
        if program.name != "sudo" and not link.is_symlink():
            link.symlink_to(program)
    path = f"{tools}:{tmp_path / 'usr'}"
    disk = tmp_path / "disk.raw"
    subprocess.run(["cp", "--sparse=always", machines.debian_disk(2), disk], check=True)
    inputs = {"disk": "disk.raw", "vhd": "out.vhd", "options": "--skip boot"}
    _run("Install", tmp_path, path, inputs)
    _run("Build", tmp_path, path, inputs)
    _run("Report", tmp_path, path, inputs)
    assert "### azready: 1 image: all yes" in (tmp_path / "summary.md").read_text()
    assert json.loads((tmp_path / "out.vhd.check.sarif").read_text())["runs"]
    assert (tmp_path / "out.vhd").stat().st_size % (1 << 20) == 512
    manifest = json.loads((tmp_path / "out.vhd.manifest.json").read_text())
    assert manifest["steps"]["check"]["summary"]
    assert manifest["ready"] is False, "the boot was left out"
