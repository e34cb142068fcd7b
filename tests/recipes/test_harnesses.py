"""Recipes for other people's harnesses: kiwi and tmt by their programs, azldev's suite by pytest, Terraform as HCL."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import hcl2
import pytest

from azready.pipelines import trees
from azready.proc import run
from tests.boot.conftest import prepared
from tests.boot.test_judging import judged
from tests.cli.test_common import EVERY
from tests.installed import from_pypi

__all__ = ["prepared"]

RECIPES = Path(__file__).parents[2] / "recipes"
KIWI, TMT = "11.1.6", "1.78.0"
DESCRIBED = """
import sys
from kiwi.xml_description import XMLDescription
from kiwi.xml_state import XMLState
state = XMLState(XMLDescription(sys.argv[1]).load())
print(state.get_package_manager(), state.build_type.get_image(), *state.get_system_packages())
"""


@pytest.mark.slow
def test_kiwi_takes_its_description(need: Callable[..., None]) -> None:
    """By kiwi's own schema and rules; what else azready wants of an image is among its packages."""
    python = from_pypi("kiwi", KIWI, f"kiwi=={KIWI}") / "python"
    said = run([python, "-c", DESCRIBED, RECIPES / "kiwi/config.xml"]).stdout  # kiwi's log comes first
    manager, kind, *packages = said.splitlines()[-1].split()
    assert (manager, kind) == ("apt", "oem") and {*trees.BASE_PACKAGES, "python3"} <= set(packages)


def test_the_script_for_kiwi_is_shell(need: Callable[..., None]) -> None:
    need("tool:shellcheck")
    run(["shellcheck", RECIPES / "kiwi/build", RECIPES / "tmt/judge"])


@pytest.mark.slow
def test_tmt_judges_a_booted_tree(prepared: Callable[..., Path], need: Callable[..., None]) -> None:
    need("tool:rsync")
    tree = prepared("bookworm", "python3-minimal", "rsync")
    _, record, said = judged(tree, "--judge", str(RECIPES / "tmt/judge"), path=from_pypi("tmt", TMT, f"tmt=={TMT}"))
    found = {check.name: check.outcome for check in record.checks}
    assert found["judge: /up"] == found["judge: /sshd"] == "passed", said


def test_azldev_gets_a_suite_of_its_form() -> None:
    """Keys, placeholders and the way of installing are those of azldev's reference (test-suites.md)."""
    table = tomllib.loads((RECIPES / "azldev/azldev.toml").read_text())
    suite = table["test-suites"]["azure"]
    assert set(suite) == {"description", "type", "pytest"} and suite["type"] == "pytest"
    assert set(suite["pytest"]) <= {"working-dir", "test-paths", "extra-args", "install"}
    folder = RECIPES / "azldev" / suite["pytest"]["working-dir"]
    assert suite["pytest"]["install"] == "requirements" and (folder / "requirements.txt").exists()
    assert all((folder / name).exists() for name in suite["pytest"]["test-paths"])
    words = {word for word in suite["pytest"]["extra-args"] if word.startswith("{")}
    assert words <= {"{image-path}", "{image-name}", "{capabilities}"}
    assert table["images"]["vm-base"]["tests"] == {"test-suites": [{"name": "azure"}]}


@pytest.mark.slow
def test_the_suite_for_azldev_passes_for_an_image_that_provisions(
    prepared: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copytree(RECIPES / "azldev/tests", tmp_path / "tests")
    words = [sys.executable, "-m", "pytest", "-q", "-k", "not_ready_yet", "--image-path", str(prepared())]
    done = subprocess.run(
        [*words, "test_azure.py"], cwd=tmp_path / "tests", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


@pytest.mark.long
def test_terraform_runs_a_command_that_azready_has() -> None:
    with (RECIPES / "terraform/main.tf").open() as file:
        main = hcl2.load(file)
    with (RECIPES / "terraform/tests/image.tftest.hcl").open() as file:
        tests = hcl2.load(file)
    text = str(main)
    verb, rest = re.findall(r"azready (\w+) ([^,]*)", text)[0]
    options = {option for param in dict(EVERY)[verb].params for option in param.opts}
    assert set(re.findall(r"--[a-z]+", rest)) <= options
    assert {"variable", "resource", "output"} <= set(main) and "run" in tests
