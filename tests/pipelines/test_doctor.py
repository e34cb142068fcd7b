"""`azready doctor`: what is missing is named, all of it at once, with this machine's own package names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from azready import packages
from azready.errors import Failure
from azready.pipelines import doctor
from azready.pipelines.doctor import Ability, advice, examine
from tests.cli.schemas import conforms


def _refused() -> None:
    raise Failure("not for you", "ask nicely")


def test_all_that_is_missing_is_named_at_once() -> None:
    tools = {"no-such-a": "qemu-utils", "sh": "dash", "no-such-b": "ovmf"}
    found = examine(Ability("x", "all", lambda: tools, (_refused,), lambda: "never asked"))
    assert [lack.what for lack in found.lacks] == [
        "no-such-a is not installed",
        "no-such-b is not installed",
        "not for you",
    ]
    assert found.lacks[2].fix == "ask nicely" and not found.works and found.note == ""
    line = advice([found, found])
    assert line.count("qemu") == 1 and "not for you" not in line


def test_where_all_is_there_nothing_is_advised() -> None:
    found = examine(Ability("x", "all", lambda: {"sh": "dash"}, note=lambda: "well"))
    assert found.works and found.note == "well" and advice([found]) == ""


@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("apt-get", "apt-get install qemu-utils uidmap iproute2 mmdebstrap"),
        ("dnf", "dnf install qemu-img shadow-utils iproute mmdebstrap"),
        ("zypper", "zypper install qemu-img shadow iproute2 mmdebstrap"),
        ("pacman", "pacman -S qemu-img shadow iproute2 mmdebstrap"),
        ("apk", "apk add qemu-img shadow-uidmap iproute2"),
    ],
)
def test_packages_have_the_names_of_the_distribution(
    program: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / program).write_text("#!/bin/sh\n")
    (tmp_path / program).chmod(0o755)
    monkeypatch.setattr(packages.shutil, "which", lambda name, path: name if name == program else None)
    assert packages.install_line(["qemu-utils", "uidmap", "iproute2", "mmdebstrap"], packages.manager("")) == line


def test_a_distribution_nobody_knows_gets_debians_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.shutil, "which", lambda name, path: None)
    assert packages.install_line(["ovmf"], packages.manager("")) == "install what Debian calls ovmf"


def test_the_packages_are_those_that_setup_installs() -> None:
    named = {package for ability in doctor.ABILITIES for package in ability.tools().values()} | set(packages._NAMES)
    setup = (Path(__file__).parents[2] / "scripts/setup").read_text().split()
    assert named - {"mount"} <= {word.strip('"') for word in setup}


def _doctor(*words: str, path: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **({"PATH": path} if path is not None else {})}
    command = [sys.executable, "-m", "azready", "doctor", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.long
def test_the_verb_says_it_and_its_exit_code_too(tmp_path: Path) -> None:
    done = _doctor("azure", "trees", "-o", "json")
    document = conforms("doctor", done.stdout)
    works = [row["works"] for row in document["abilities"]]
    assert [row["name"] for row in document["abilities"]] == ["trees", "azure"]
    assert done.returncode == (0 if all(works) else 3)
    wrong = _doctor("dentist")
    assert wrong.returncode == 2 and "boot-disk" in wrong.stderr
