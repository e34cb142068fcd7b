"""The whole story on one image, without an Azure account: an agent goes, a VM is provisioned all the same.

`tell` is the story with a real Debian image and real boots; `tell_scratch` is what is left of it where neither the
tools nor the rights are there: the same guest program against the same fabric, on a scratch tree.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from azready import userns
from azready.boot.container.tree import boot_tree
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.console import Console
from azready.errors import Failure
from azready.fabric import Fabric, Machine
from azready.fabric.ledger import Exchange
from azready.fabric.serve.inside import enclosed
from azready.fabric.serve.trials import scratch_tree
from azready.fabric.verdict import Verdict
from azready.pipelines import trees
from azready.proc import MissingTool, find_tool, path_of_root, run
from azready.userns import Root

SUITE = "bookworm"
PACKAGES = ("waagent",)
MACHINE = Machine(name="demo-vm", admin_username="azureuser", location="westeurope")
_TOOLS = (
    ("mmdebstrap", "mmdebstrap"),
    ("zstd", "zstd"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Chapter:
    """What `azready prepare` said of the image: before (what it would do), or after."""

    distribution: str
    found: tuple[str, ...]
    """Agents and their traces: those that are there before, those that are left after."""
    changes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Story:
    """The demo's outcome."""

    before: Chapter
    after: Chapter
    records: tuple[BootRecord, ...]

    @property
    def passed(self) -> bool:
        agent_was_there = any(found.startswith("waagent: package") for found in self.before.found)
        return agent_was_there and not self.after.found and all(record.passed for record in self.records)


def missing() -> str:
    """Why the whole story cannot be told here; empty when it can, as far as one can know without trying."""
    from azready.boot.container.host import delegation
    from azready.boot.container.ids import id_maps

    try:
        for tool, package in _TOOLS:
            find_tool(tool, package)
        id_maps()
        delegation()
    except MissingTool as failure:
        return f"{failure.message} ({failure.hint})"
    except Failure as failure:
        return f"{failure.message}: {failure.hint}"
    return ""


def tell(console: Console, chapter: Callable[[Chapter, str], None]) -> Story:
    """Get the image (cached after the first time), prepare it, boot it twice and once more as a copy.

    `chapter` is called with what was found `before` and `after`. Raises Failure where the machine does not allow it;
    nothing is left behind then but the cached image.
    """
    tar = trees.tree(SUITE, PACKAGES, console=console)
    home = trees.cache_directory().parent / "demo"
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="image-", dir=home))
    tree = folder / "debian-12"
    try:
        with console.step("Unpacking the image"):
            trees.unpack(tar, tree)
        before = _prepare(tree, "--dry-run")
        chapter(before, "before")
        with console.step("azready prepare: the agent goes, the guest program comes"):
            after = _prepare(tree)
        chapter(after, "after")
        records = boot_tree(tree, MACHINE, Plan(recapture=True), console)
        return Story(before, after, records)
    finally:
        trees.remove(tree)
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(tree: Path, *options: str) -> Chapter:
    """`azready prepare` in a process of its own, because as a user it enters a namespace for good."""
    words = [sys.executable, "-P", "-m", "azready", "prepare", str(tree), *options, "--output", "json"]
    done = json.loads(run(words, hint="run it by hand to see more").stdout)
    changes = sum(bool(action.get("changed")) for action in done["actions"])
    found = done["found"] if "--dry-run" in options else done["left"]
    return Chapter(done["distribution"], tuple(found), changes, tuple(done["notes"]))


# --- where the whole story cannot be told ---

LEFT_OUT = (
    "the Debian image and the removal of its agent",
    "systemd, DHCP, sshd and the login",
    "the second boot and the copy",
)


@dataclass(frozen=True)
class Scratch:
    """What the guest program did to a scratch tree."""

    said: tuple[str, ...]
    exchanges: tuple[Exchange, ...]
    verdict: Verdict
    wrote: tuple[str, ...]
    enclosed: bool
    """Whether it ran at Azure's own addresses, in a network namespace; else on loopback ports."""

    @property
    def passed(self) -> bool:
        return self.verdict.provisioned


_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG9ubHkgZm9yIHRoZSBkZW1vOiBubyByZWFsIGtleSEh demo"


def tell_scratch(console: Console, deadline: int = 20) -> Scratch:
    """Provision a scratch tree: in an unprivileged namespace, or on loopback where even that is refused."""
    machine = replace(MACHINE, public_keys=(_KEY,))
    rights = _rights()
    with userns.scratch_folder("azready-demo-", rights) as folder:
        tree, log = folder / "tree", folder / "log"
        scratch_tree(tree, machine.admin_username if rights.one_user else "")
        program = folder / "provision.py"
        program.write_bytes((resources.files("azready.guest") / "provision.py").read_bytes())
        options = ["--root", str(tree), "--platform", "azure", "--vm-id", machine.vm_id, "--deadline", str(deadline)]
        # ssh-keygen wants an account for whoever runs it, which users of some containers lack
        options += ["--skip", "host-keys"]
        command = [sys.executable, "-I", str(program), *options]
        with console.step("The guest program provisions a scratch tree"):
            exchanges, verdict, inside = _run_guest(command, machine, log)
        said = tuple(log.read_text(encoding="utf-8").splitlines())
        return Scratch(said, exchanges, verdict, _wrote(tree, rights), inside)


def _run_guest(command: Sequence[str], machine: Machine, log: Path) -> tuple[tuple[Exchange, ...], Verdict, bool]:
    logged = ["/bin/sh", "-c", 'PATH=$1; shift; exec "$@" 2>"$0"', str(log), path_of_root()]
    try:
        with enclosed([*logged, *command]) as (sockets, start), Fabric(machine, sockets=sockets) as fabric:
            start()
            return fabric.ledger.exchanges, fabric.verdict(fabric.ledger.now()), True
    except Failure:
        with Fabric(machine) as fabric:
            addresses = ["--imds", fabric.imds_url, "--wireserver", fabric.wireserver_url]
            run([*logged, *command, *addresses], check=False, timeout=60)
            return fabric.ledger.exchanges, fabric.verdict(fabric.ledger.now()), False


def _rights() -> Root:
    """Root of a namespace where that is to be had; else this one user, on loopback."""
    try:
        return userns.become_root()
    except Failure:
        return Root((), one_user=True)


def _wrote(tree: Path, rights: Root) -> tuple[str, ...]:
    """The files of the tree, but for account tools' copies and what is gone with the boot.

    They are listed with the rights with which they were made: a home belongs to its user alone.
    """
    listed = run([*rights.words(), "find", tree, "-type", "f", "-printf", r"%P\n"]).stdout.splitlines()
    return tuple(sorted(name for name in listed if not name.endswith("-") and not name.startswith("run/")))
