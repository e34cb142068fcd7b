"""The network model beside the programs it speaks for: both are given the same files and cards."""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from azready.image.facts.network import STACKS, networkd
from azready.image.facts.network.model import Nic, Scene
from azready.image.facts.network.netplan import gather_netplan
from azready.image.facts.units import gather_units
from azready.image.targets.tree import Tree
from azready.pipelines import trees
from azready.proc import run

STAGE = Path(__file__).with_name("stage.py")
_OWN_TREES = {"ifupdown-ng": ("ifupdown-ng",), "connman": ("connman", "dbus")}
PACKAGES = ("netplan.io", "network-manager", "dhcpcd-base", "ifupdown", "isc-dhcp-client", "dbus")


@dataclass(frozen=True)
class Job:
    """Files, and the cards that a program meets them with."""

    program: str
    files: dict[str, str]
    cards: tuple[str, ...] = ("eth0",)


def tree_of(program: str) -> Path:
    """A Debian that has the program."""
    return trees.unpacked("bookworm", _OWN_TREES.get(program, PACKAGES))


def real(jobs: Sequence[Job]) -> list[dict[str, object]]:
    """What the program, the same for all jobs, answers to each."""
    told = json.dumps([{"program": job.program, "files": job.files, "cards": [{"name": name} for name in job.cards]}
                       for job in jobs])  # fmt: skip
    unshare = ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
    done = run([*unshare, sys.executable, "-I", STAGE, tree_of(jobs[0].program)], stdin=told)
    answers: list[dict[str, object]] = json.loads(done.stdout)
    return answers


def model(job: Job) -> dict[str, object]:
    """What azready says, in the same form. The cards here are veths: the model is asked for such ones."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        there = "usr/libexec/ifupdown-ng/dhcp" if job.program == "ifupdown-ng" else "usr/sbin/dhclient"
        for path, text in {there: "", "usr/sbin/dhclient": "", **job.files}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
            (root / path).chmod(0o600 if "system-connections" in path or "netplan" in path else 0o644)
        with Tree(root) as files:
            units = gather_units(files)
            stack = next(each for each in STACKS if each.name == job.program.removesuffix("-ng"))
            answers: dict[str, object] = {}
            for card in job.cards:
                nic = Nic(card, card, driver="veth")
                reading = stack.read(Scene(files, nic, units))
                answers[card] = {"asks": reading.asks}
                if job.program == "networkd":
                    taken = [each.path for each in reading.applied if not each.unmanaged]
                    answers[card] = {"file": taken[0] if taken else "", "asks": reading.asks}
            return answers


def disagreements(jobs: Sequence[Job]) -> list[str]:
    """Where model and program say different things, for people to read."""
    told = []
    for job, answer in zip(jobs, real(jobs), strict=True):
        mine, theirs = by_netplan(job, answer) if job.program == "netplan" else (model(job), answer)
        if mine != theirs:
            files = "\n".join(f"--- {path}\n{text}" for path, text in job.files.items())
            told.append(f"{job.program}: azready says {mine}\n  the program says {theirs}\n{files}")
    return told


def by_netplan(job: Job, answer: dict[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """Which cards ask by azready's reading of the YAML, and by networkd's reader of what the generator wrote of it."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        for root, files in ((one, job.files), (other, answer["files"])):
            assert isinstance(files, dict)
            for path, text in files.items():
                (Path(root) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(root) / path).write_text(text)
        with Tree(Path(one)) as mine, Tree(Path(other)) as theirs:
            made = gather_netplan(mine)
            ours: dict[str, object] = {"refused": made.refused is not None}
            real: dict[str, object] = {"refused": answer["status"] != 0}
            for card in job.cards if answer["status"] == 0 and made.refused is None else ():
                nic = Nic(card, card)
                for said, files, given in ((ours, mine, made.networkd), (real, theirs, ())):
                    reading = networkd.read(Scene(files, nic, gather_units(files), given))
                    file = reading.applied[0].order if reading.applied else ""
                    said[card] = {"file": file, "asks": reading.asks}
            return ours, real
