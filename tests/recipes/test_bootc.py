"""The layer for bootc: its commands, in the order in which they stand, run as root inside a tree that is no machine."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.image.targets.tree import Tree
from tests.image.test_prepare_live import Inside

RECIPE = Path(__file__).parents[2] / "recipes/bootc/Containerfile"
LINES = RECIPE.read_text().replace("\\\n", " ").splitlines()
STEPS = [line.removeprefix("RUN ") for line in LINES if line.startswith("RUN ")]


def test_it_is_a_containerfile_whose_steps_are_shell(need: Callable[..., None]) -> None:
    need("tool:shellcheck")
    words = [line.split()[0] for line in LINES if line and not line.startswith("#")]
    assert words[0] == "FROM" and set(words[1:]) == {"RUN"}
    for step in STEPS:
        done = subprocess.run(
            ["shellcheck", "-s", "sh", "-"], input=step + "\n", text=True, check=False, capture_output=True
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_its_commands_make_the_layer_provision_itself(
    need: Callable[..., None], debian_tree: Callable[..., Path]
) -> None:
    need("root")
    if sys.version_info[:2] != (3, 11):
        pytest.skip("needs Python 3.11 as the tree has: tests run with it")
    inside = Inside(debian_tree("bookworm", "waagent"))
    commands = re.findall(r"/bin/azready ([^&]+)", STEPS[0])
    assert [command.split()[0] for command in commands] == ["prepare", "generalize"]
    for command in commands:
        done = inside.azready(*shlex.split(command))
        assert done.returncode == 0, done.stdout + done.stderr
    with Tree(inside.root) as tree:
        assert tree.exists("etc/systemd/system/multi-user.target.wants/azure-provisioning.service")
        assert not tree.exists("usr/sbin/waagent") and not tree.read_text("etc/machine-id").strip()
        assert not tree.glob("etc/ssh/ssh_host_*")
