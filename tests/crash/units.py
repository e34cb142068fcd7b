"""What systemd would start of our units at a boot, by the unit files: their order, conditions and commands."""

import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.lab import GUEST, PATH

ORDER = ("azure-provisioning-name", "azure-provisioning-hostkeys", "azure-provisioning")
ENV = {"PATH": PATH, "LANG": "C.UTF-8"}


@dataclass(frozen=True)
class Result:
    """How the provisioning itself ended; `started` is False where its condition kept it from running."""

    started: bool
    status: int
    last: str


Start = Callable[[list[str]], tuple[int, str]]
"""Runs one command in the tree; returns its exit status and what it said."""


def boot(root: Path, program: str, options: list[str], start: Start) -> Result:
    """The units of one boot, one after another. `options` are given to the program: where its medium is."""
    result = Result(False, 0, "not started: its condition was not met")
    for name in ORDER:
        lines = list(_lines(name, program))
        if not _conditions_hold(root, [line for line in lines if line[0].startswith("Condition")]):
            continue
        for key, value in lines:
            if key in ("ExecStartPre", "ExecStart", "ExecStartPost"):
                words = shlex.split(value.lstrip("-").replace("$$", "$"))
                status, said = start(words + (options if "provision" in value else []))
                if name == ORDER[-1]:
                    result = Result(True, status, (said.strip().splitlines() or [""])[-1])
    return result


def plain(root: Path) -> Start:
    """Runs commands in the tree and lets them run to their end."""

    def start(words: list[str]) -> tuple[int, str]:
        done = subprocess.run(
            ["chroot", root, *words], env=ENV, capture_output=True, text=True, errors="replace", timeout=300
        )
        return done.returncode, done.stderr

    return start


def _lines(name: str, program: str) -> Iterator[tuple[str, str]]:
    """The settings of a unit as the image has it: with the sh program a drop-in, and no unit for the name."""
    if program == "sh" and name == ORDER[0]:
        return
    files = [f"{name}.service"] + (["sh.conf"] if program == "sh" and name == ORDER[-1] else [])
    found: list[tuple[str, str]] = []
    for file in files:
        for line in (GUEST / "units/systemd" / file).read_text().splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                found = [each for each in found if value or each[0] != key] + ([(key, value)] if value else [])
    yield from found


def _conditions_hold(root: Path, conditions: list[tuple[str, str]]) -> bool:
    """All plain conditions, and at least one of those with a | (systemd.unit(5))."""
    plain_ones = [_holds(root, key, value) for key, value in conditions if not value.startswith("|")]
    triggers = [_holds(root, key, value[1:]) for key, value in conditions if value.startswith("|")]
    return all(plain_ones) and (any(triggers) or not triggers)


def _holds(root: Path, key: str, value: str) -> bool:
    path = root / value.lstrip("!").lstrip("/")
    held = path.exists()
    if key == "ConditionFileNotEmpty":
        held = path.is_file() and path.stat().st_size > 0
    return held != value.startswith("!")
