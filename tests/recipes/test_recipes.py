"""The recipes do what they say: each is run as its tool would run it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.pipelines import trees
from tests.cli.test_common import EVERY

RECIPES = Path(__file__).parents[2] / "recipes"


def _environment(**more: str) -> dict[str, str]:
    """With the `azready` of this interpreter first in PATH."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **more}


@pytest.mark.long
def test_the_pytest_example_passes_as_it_stands(need: Callable[..., None], tmp_path: Path) -> None:
    need("tool:curl")
    shutil.copy(RECIPES / "pytest/test_my_agent.py", tmp_path)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("script", ["mkosi/mkosi.finalize", "mmdebstrap/azready-hook"])
def test_a_hook_makes_the_tree_provision_itself(debian_tree: Callable[..., Path], script: str) -> None:
    tree = debian_tree("bookworm", "python3-minimal")
    hook = [str(RECIPES / script), str(tree)]
    done = subprocess.run(hook, env=_environment(BUILDROOT=str(tree)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tree / "etc/systemd/system/multi-user.target.wants/azure-provisioning.service").is_symlink()
    assert not list((tree / "etc/ssh").glob("ssh_host_*key*")), "the hook seals the tree"
    assert shutil.which("azready", path=_environment()["PATH"]), "the azready of this checkout was used"


@pytest.mark.slow
def test_mmdebstrap_runs_its_hook(need: Callable[..., None], tmp_path: Path) -> None:
    need("root", "tool:mmdebstrap")
    root = tmp_path / "root"
    include = ",".join((*trees.BASE_PACKAGES, "python3-minimal"))
    words = ["mmdebstrap", "-q", "--variant=minbase", f"--include={include}"]
    hook = f"--customize-hook={RECIPES / 'mmdebstrap/azready-hook'}"
    subprocess.run([*words, hook, "bookworm", str(root)], env=_environment(), check=True, capture_output=True)
    try:
        assert (root / "usr/lib/azure-provisioning/provision.py").exists()
    finally:
        trees.remove(root)


OPTION = re.compile(r"azready (\w+)\b([^\n]*)")


@pytest.mark.parametrize("recipe", sorted(path for path in RECIPES.rglob("*") if path.is_file()), ids=str)
def test_every_command_of_a_recipe_is_one_that_azready_has(recipe: Path) -> None:
    commands = dict(EVERY)
    for line in recipe.read_text().splitlines():
        if line.lstrip().startswith(("#", '"""')):
            continue
        for verb, rest in OPTION.findall(line.replace('azready"', "azready")):
            if verb in ("pytest", "comes"):
                continue
            if recipe.suffix in (".sh", ".hcl", ".yml", "") and re.search(r"--|\$|/", rest):
                known = {option for param in commands[verb].params for option in (*param.opts, *param.secondary_opts)}
                for option in re.findall(r"(?<=\s)--[a-z-]+", rest):
                    assert option in known, f"azready {verb} has no {option}"
