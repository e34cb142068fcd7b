"""Running guests in scenarios: each provisions a scratch tree beside a fabric of its own, kept from this machine."""

import base64
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

from azready import installed, userns
from azready.fabric.faults import Fault
from azready.fabric.machine import Machine
from azready.fabric.matrix import Cell, GuestProgram, Outcome
from azready.fabric.protocol import media
from azready.fabric.scenario import Scenario
from azready.fabric.serve.live import Fabric
from azready.fabric.verdict import judge
from azready.proc import path_of_root, spawn, stop
from azready.userns import Root

GRACE = 10.0
"""Seconds that a guest may take beyond its deadline before it is stopped, and counts as hung."""

_ED25519 = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)
MACHINE = Machine(
    name="matrix-vm",
    admin_password="Azready-matrix-1",
    public_keys=(f"ssh-ed25519 {base64.b64encode(_ED25519).decode()} matrix",),
    custom_data="#!/bin/sh\n",
)
"""What every guest is asked to make of its tree, unless the scenario changes it."""


IMAGE_NAME = "image"


def run(
    scenarios: Sequence[Scenario], guests: Sequence[GuestProgram], deadline: float, seed: int = 0, jobs: int = 4
) -> Iterator[Cell]:
    """Run every guest in every scenario, at most `jobs` at once; cells come in order, as they end.

    `deadline` is in seconds, and given to each guest; a slow scenario gets five times as long.
    """
    rights = userns.become_root()
    with userns.scratch_folder("azready-matrix-", rights) as folder:
        programs = _programs(folder)
        work = [(scenario, one) for scenario in scenarios for one in guests]

        def cell(number: int) -> Cell:
            scenario, one = work[number]
            patience = deadline * (5 if scenario.slow else 1)
            return _run_one(scenario, one, patience, seed, folder / str(number), programs, rights)

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
    scenario: Scenario,
    one: GuestProgram,
    deadline: float,
    seed: int,
    folder: Path,
    programs: Mapping[str, str],
    rights: Root,
) -> Cell:
    machine = scenario.applied_to(MACHINE)
    medium = medium_folder(machine, scenario.faults, folder / "medium")
    root = scratch_tree(folder / "root", machine.admin_username if rights.one_user else "")
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
        status, output = _guest([*enclosure(rights), *one.words(places)], deadline + GRACE)
        seconds = time.monotonic() - began
        verdict = judge(fabric.ledger, round(seconds, 1))
        believed = fabric.ledger.ready is not None
    outcome: Outcome = "ready" if verdict.provisioned else "failed" if verdict.at is not None else "timed-out"
    if status is None:
        outcome = "hung"
    return Cell(scenario, one, outcome, verdict, seconds, status, output, _notes(root, machine, believed))


def _notes(root: Path, machine: Machine, believed: bool) -> tuple[str, ...]:
    """What the tree shows that the platform cannot see; `believed` is whether it took a Ready report."""
    notes = []
    name = (root / "etc/hostname").read_text(encoding="utf-8", errors="replace").strip()
    if name not in (IMAGE_NAME, machine.computer_name):
        notes.append(f"the host name became {name[:60]!r}")
    if not believed and not (root / installed.WANTED_LINK).is_symlink():
        notes.append("disabled itself, though the platform accepted no report")
    return tuple(notes)


def _guest(words: Sequence[str], patience: float) -> tuple[int | None, str]:
    """Run a guest to its end, or stop it; its exit status, and what it said."""
    process = spawn(words, stdout=subprocess.PIPE)
    try:
        said, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        stop(process)
        said, _ = process.communicate()
        return None, said.decode(errors="replace")
    return process.returncode, said.decode(errors="replace")


_OWN_RUN = 'PATH=$1; shift; mount -t tmpfs -o mode=755 tmpfs /run && exec "$@"'
"""A /run of its own: no leases of this machine in it, and no other guest's temporary files."""


def enclosure(rights: Root) -> list[str]:
    """Words that give a command processes, host name and mounts of its own, all of which end with it."""
    own = ("--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "--ipc")
    return [*rights.words(*own), "sh", "-c", _OWN_RUN, "sh", path_of_root()]


def medium_folder(machine: Machine, faults: Iterable[Fault], folder: Path) -> str:
    """A folder that holds ovf-env.xml, or the word for none."""
    if any(fault.service == "media" and fault.silent for fault in faults):
        return "none"
    folder.mkdir(parents=True)
    (folder / media.FILE_NAME).write_text(media.ovf_env(machine), encoding="utf-8")
    return str(folder)


def scratch_tree(root: Path, lone_user: str = "") -> Path:
    """The few files of a root tree that a first boot changes.

    `lone_user` exists in it already, with user id 0, which this tree does not call a system account: where no other id
    can own a file, all is his.
    """
    lone = f"{lone_user}:x:0:0::/home/{lone_user}:/bin/sh\n" if lone_user else ""
    for folder in ("etc/ssh", "etc/sudoers.d", "home", "var/lib", "run", "tmp", "root", "bin", "usr/bin"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    files = {
        "etc/passwd": f"root:x:0:0:root:/root:/bin/sh\n{lone}",
        "etc/group": "root:x:0:\nsudo:x:27:\nadm:x:4:\n",
        "etc/shadow": "root:*:19000:0:99999:7:::\n",
        "etc/gshadow": "root:*::\nsudo:*::\nadm:*::\n",
        "etc/login.defs": f"UID_MIN {0 if lone_user else 1000}\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\n",
        "etc/hostname": f"{IMAGE_NAME}\n",
        "etc/hosts": "127.0.0.1 localhost\n",
        "etc/os-release": 'ID=debian\nNAME="Debian"\n',
        "etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\n",
    }
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")
    if lone_user:
        (root / "home" / lone_user).mkdir()
        with (root / "etc/shadow").open("a", encoding="utf-8") as shadow:
            shadow.write(f"{lone_user}:!:19000:0:99999:7:::\n")
    (root / "etc/shadow").chmod(0o600)
    (root / installed.WANTED_LINK).parent.mkdir(parents=True)
    (root / installed.WANTED_LINK).symlink_to(f"../{installed.UNIT}")
    return root
