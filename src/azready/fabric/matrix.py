"""Guests × scenarios: every guest provisions a scratch tree while the platform misbehaves; none may stay silent.

A guest is a command with places for what differs from run to run:

    {root} {imds} {wireserver} {medium} {deadline}      and {provision_py}, {provision_sh}: azready's own

It runs as whoever calls, with host name and mounts of its own (namespaces), beside a fabric on loopback of its own.
"""

import base64
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from azready.errors import UsageFailure
from azready.fabric.faults import Fault
from azready.fabric.machine import Machine
from azready.fabric.protocol import media
from azready.fabric.scenario import Expected, Scenario
from azready.fabric.serve.live import Fabric
from azready.fabric.verdict import Verdict, judge
from azready.proc import find_tool, spawn, stop
from azready.proc import run as run_tool

OWN_GUESTS = {
    "provision.py": "{python} {provision_py} --platform azure --root {root} --imds {imds} --wireserver {wireserver} "
    "--medium {medium} --deadline {deadline}",
    "provision.sh": "sh {provision_sh} --platform azure --root {root} --imds {imds} --wireserver {wireserver} "
    "--medium {medium} --deadline {deadline}",
}
GRACE = 10.0
"""Seconds that a guest may take beyond its deadline before it is stopped, and counts as hung."""

Outcome = Expected | Literal["hung"]

_ED25519 = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)
MACHINE = Machine(
    name="matrix-vm",
    admin_password="Azready-matrix-1",
    public_keys=(f"ssh-ed25519 {base64.b64encode(_ED25519).decode()} matrix",),
    custom_data="#!/bin/sh\n",
)
"""What every guest is asked to make of its tree, unless the scenario changes it."""


@dataclass(frozen=True)
class Guest:
    name: str
    command: str
    """Words as in a shell, with places in braces."""


@dataclass(frozen=True)
class Cell:
    """How one guest fared in one scenario."""

    scenario: Scenario
    guest: Guest
    outcome: Outcome
    verdict: Verdict
    seconds: float
    status: int | None
    """The guest's exit status; None when it was stopped."""
    output: str = ""
    notes: tuple[str, ...] = ()
    """What is wrong with the tree afterwards, whatever was reported."""

    @property
    def good(self) -> bool:
        """Whether it ended as the scenario expects, and left the tree as it should be."""
        return self.outcome == self.scenario.expect and not self.notes

    @property
    def silent(self) -> bool:
        """Whether the platform never heard how it went, though it would have listened; or the guest did not end."""
        return self.outcome == "hung" or (self.outcome == "timed-out" and self.scenario.expect != "timed-out")

    def __str__(self) -> str:
        """What the table says: the outcome, when, and the errors that the platform found in the requests."""
        at = self.verdict.at if self.verdict.at is not None else self.seconds
        errors = sorted({one.code for one in self.verdict.findings if one.severity == "error"})
        remarks = (*errors, *self.notes)
        noted = f" ({'; '.join(remarks)})" if remarks else ""
        return f"{'' if self.good else '✗ '}{self.outcome} {at:.1f} s{noted}"


def guest(word: str) -> Guest:
    """A guest from `NAME=COMMAND`, or the name of one of azready's own."""
    name, equals, command = word.partition("=")
    if not equals:
        if name not in OWN_GUESTS:
            raise UsageFailure(f"there is no guest {name!r}", f"guests: {', '.join(OWN_GUESTS)}; or NAME=COMMAND")
        command = OWN_GUESTS[name]
    try:
        command.format(**dict.fromkeys(_PLACES, ""))
        shlex.split(command)
    except (KeyError, ValueError, IndexError) as error:
        places = ", ".join(f"{{{place}}}" for place in _PLACES)
        raise UsageFailure(f"--guest {word!r}: {error} is not a place", f"places: {places}") from error
    return Guest(name, command)


_PLACES = ("root", "imds", "wireserver", "medium", "deadline", "python", "provision_py", "provision_sh")


def table(cells: Sequence[Cell]) -> Iterator[str]:
    """Scenarios down, guests across, as lines of text."""
    guests = list(dict.fromkeys(cell.guest.name for cell in cells))
    rows = {cell.scenario.name: {"": cell.scenario.name} for cell in cells}
    for cell in cells:
        rows[cell.scenario.name][cell.guest.name] = str(cell)
    columns = ["", *guests]
    lines = [{name: name for name in columns}, *rows.values()]
    widths = {name: max(len(line.get(name, "")) for line in lines) for name in columns}
    yield from ("  ".join(line.get(name, "").ljust(widths[name]) for name in columns).rstrip() for line in lines)


def needs_boot(scenario: Scenario) -> bool:
    """Whether a scenario shows only in a boot: its faults are of DHCP, of the clock, or of when the medium comes."""
    return any(_of_boot(fault) for fault in scenario.faults)


def _of_boot(fault: Fault) -> bool:
    return fault.service in ("dhcp", "clock") or (fault.service == "media" and not fault.silent)


def run(
    scenarios: Sequence[Scenario], guests: Sequence[Guest], deadline: float, seed: int = 0, jobs: int = 4
) -> Iterator[Cell]:
    """Run every guest in every scenario, at most `jobs` at once; cells come in order, as they end.

    `deadline` is in seconds, and given to each guest; a slow scenario gets five times as long.
    """
    hint = "run as root, or allow unprivileged user namespaces: guests must not touch this machine"
    run_tool([*_namespaces(), "true"], hint=hint)
    with tempfile.TemporaryDirectory(prefix="azready-matrix-") as folder:
        programs = _programs(Path(folder))
        work = [(scenario, one) for scenario in scenarios for one in guests]

        def cell(number: int) -> Cell:
            scenario, one = work[number]
            patience = deadline * (5 if scenario.slow else 1)
            return _run_one(scenario, one, patience, seed, Path(folder) / str(number), programs)

        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            yield from pool.map(cell, range(len(work)))


def _programs(folder: Path) -> dict[str, str]:
    """The guest programs as files, since they are run, not imported."""
    places = {"python": sys.executable}
    for name in ("provision.py", "provision.sh"):
        path = folder / name
        path.write_bytes((resources.files("azready.guest") / name).read_bytes())
        places[name.replace(".", "_")] = str(path)
    return places


def _run_one(
    scenario: Scenario, one: Guest, deadline: float, seed: int, folder: Path, programs: Mapping[str, str]
) -> Cell:
    machine = scenario.applied_to(MACHINE)
    medium = _medium(machine, scenario.faults, folder / "medium")
    root = scratch_tree(folder / "root")
    with Fabric(machine, faults=scenario.faults, seed=seed) as fabric:
        places = {
            **programs,
            "root": str(root),
            "imds": fabric.imds_url,
            "wireserver": fabric.wireserver_url,
            "medium": medium,
            "deadline": f"{deadline:g}",
        }
        began = time.monotonic()
        status, output = _guest(one, places, deadline + GRACE)
        seconds = time.monotonic() - began
        verdict = judge(fabric.ledger, round(seconds, 1))
    outcome: Outcome = "ready" if verdict.provisioned else "failed" if verdict.at is not None else "timed-out"
    if status is None:
        outcome = "hung"
    return Cell(scenario, one, outcome, verdict, seconds, status, output, _notes(root, machine, verdict))


def _notes(root: Path, machine: Machine, verdict: Verdict) -> tuple[str, ...]:
    """What the tree shows that the platform cannot see."""
    notes = []
    name = (root / "etc/hostname").read_text(encoding="utf-8", errors="replace").strip()
    if name not in (IMAGE_NAME, machine.computer_name):
        notes.append(f"the host name became {name[:60]!r}")
    if not verdict.provisioned and not (root / UNIT_LINK).is_symlink():
        notes.append("disabled itself, though the platform accepted no report")
    return tuple(notes)


IMAGE_NAME = "image"
UNIT_LINK = "etc/systemd/system/multi-user.target.wants/azure-provisioning.service"
"""By which the guest's unit is enabled; a guest removes it when its report was accepted, and not before."""


def _guest(one: Guest, places: Mapping[str, str], patience: float) -> tuple[int | None, str]:
    """Run a guest to its end, or stop it; its exit status, and what it said."""
    words = [word.format(**places) for word in shlex.split(one.command)]
    process = spawn([*_namespaces(), *words], stdout=subprocess.PIPE)
    try:
        said, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        stop(process)
        said, _ = process.communicate()
        return None, said.decode(errors="replace")
    return process.returncode, said.decode(errors="replace")


def _namespaces() -> list[str]:
    """The words that give a guest processes, host name and mounts of its own, all of which end with it."""
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    own = ["--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "--ipc"]
    return [find_tool("unshare", "util-linux"), *as_root, *own, "--"]


def _medium(machine: Machine, faults: Iterable[Fault], folder: Path) -> str:
    """A folder that holds ovf-env.xml, or the word for none."""
    if any(fault.service == "media" and fault.silent for fault in faults):
        return "none"
    folder.mkdir(parents=True)
    (folder / media.FILE_NAME).write_text(media.ovf_env(machine), encoding="utf-8")
    return str(folder)


def scratch_tree(root: Path) -> Path:
    """The few files of a root tree that a first boot changes."""
    for folder in ("etc/ssh", "etc/sudoers.d", "home", "var/lib", "run", "tmp", "root", "bin", "usr/bin"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    files = {
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
        "etc/group": "root:x:0:\nsudo:x:27:\nadm:x:4:\n",
        "etc/shadow": "root:*:19000:0:99999:7:::\n",
        "etc/gshadow": "root:*::\nsudo:*::\nadm:*::\n",
        "etc/login.defs": "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\n",
        "etc/hostname": f"{IMAGE_NAME}\n",
        "etc/hosts": "127.0.0.1 localhost\n",
        "etc/os-release": 'ID=debian\nNAME="Debian"\n',
        "etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\n",
    }
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")
    (root / "etc/shadow").chmod(0o600)
    (root / UNIT_LINK).parent.mkdir(parents=True)
    (root / UNIT_LINK).symlink_to("../azure-provisioning.service")
    return root
