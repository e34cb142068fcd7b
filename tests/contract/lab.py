"""Lay a case out in a scratch tree, run a program on it, and gather what came of it."""

import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from azready.fabric import Fabric
from azready.fabric.machine import ASSET_TAG
from tests.contract.case import CLOSED, HOST_KEY, LINK, Case, File, Folder, Link, Node, Report
from tests.contract.programs import Program

FAKES = Path(__file__).parents[1] / "guest/fakes"
OWN_FAKES = Path(__file__).parent / "fakes"
ACCOUNT_FILES = ("etc/passwd", "etc/group", "etc/shadow")
TOLD = "run/azure-provisioning/told"
"""Says that a run has reported how it went itself: the unit for programs that did not run is silent then."""

PLAIN: dict[str, Node] = {
    "etc/passwd": File("root:x:0:0:root:/root:/bin/bash\n"),
    "etc/group": File("root:x:0:\nadm:x:4:\nsudo:x:27:\n"),
    "etc/shadow": File("root:*:19000:0:99999:7:::\n", 0o640),
    "etc/nsswitch.conf": File("passwd: files\nhosts: files dns\n"),
    "etc/hosts": File("127.0.0.1 localhost\n"),
    "etc/ssh/sshd_config": File("Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n"),
    "etc/ssh/sshd_config.d/00-azure-provisioning.conf": CLOSED,
    "etc/ssh/ssh_host_rsa_key": HOST_KEY,
    "etc/ssh/ssh_host_ecdsa_key": HOST_KEY,
    "etc/ssh/ssh_host_ed25519_key": HOST_KEY,
    "etc/sudoers.d": Folder(0o750),
    "bin/bash": File("", 0o755),
    "usr/bin/sudo": File("", 0o755),
    "home": Folder(),
    "root": Folder(0o700),
    "run": Folder(),
    "tmp": Folder(0o1777),
    "var/lib": Folder(),
    LINK: Link("/usr/lib/systemd/system/azure-provisioning.service"),
}
"""The image before the run: what a prepared Debian looks like to the program."""


@dataclass(frozen=True)
class Outcome:
    """All that a run left behind, in the form in which a case states it."""

    exit: int
    changes: Mapping[str, Node | None]
    accounts: Mapping[str, Node | None]
    commands: tuple[str, ...]
    requests: tuple[str, ...]
    report: Report | None
    findings: tuple[str, ...]
    stdout: str
    stderr: str
    told: bool


def plant(case: Case, root: Path) -> None:
    """Make the image of a case."""
    nodes: dict[str, Node | None] = {**PLAIN, **_identity(case)}
    for path, node in case.tree.items():
        nodes[path] = node
    for path, node in nodes.items():
        target = root / path
        if node is None:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        match node:
            case File(text, mode):
                target.write_bytes(text.encode("utf-8", "surrogateescape"))
                target.chmod(mode)
            case Link(to):
                target.symlink_to(to)
            case Folder(mode):
                target.mkdir(exist_ok=True)
                target.chmod(mode)


def _identity(case: Case) -> dict[str, Node | None]:
    """What the machine's firmware shows, and the settings."""
    nodes: dict[str, Node | None] = {
        "sys/class/dmi/id/chassis_asset_tag": File(ASSET_TAG + "\n"),
        "sys/class/dmi/id/product_uuid": File(case.machine.product_uuid + "\n", 0o400),
    }
    if case.machine.generation == 2:
        nodes["sys/firmware/efi"] = Folder()
    if case.settings:
        nodes["etc/azure-provisioning.conf"] = File(case.settings)
    return nodes


def snapshot(root: Path) -> dict[str, Node]:
    """Everything in a tree."""
    return {str(path.relative_to(root)): _node(path) for path in _walk(root)}


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            yield path
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(path)


def _node(path: Path) -> Node:
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return Link(str(path.readlink()))
    if stat.S_ISDIR(status.st_mode):
        return Folder(mode)
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    if path.name == ".kvp_pool_1":
        text = re.sub(r"timestamp=.{20}", "timestamp=" + "T" * 20, text)
    return File(text, mode)


def tool_path(case: Case, program: Program, folder: Path) -> str:
    """A folder of programs: what the image has, and nothing else."""
    folder.mkdir()
    for name, target in program.links:
        (folder / name).symlink_to(target)
    more = case.environment.get("TOOLS", "").split()
    for fake in (*FAKES.iterdir(), *(OWN_FAKES / name for name in more)):
        if fake.name not in case.without:
            _script(folder / fake.name, f'PATH=/usr/local/bin:/usr/bin:/bin exec "{fake}" "$@"')
    for name, text in program.scripts:
        _script(folder / name, text)
    return str(folder)


def _script(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def words(case: Case, program: Program, fabric: Fabric, folder: Path) -> list[str]:
    """The command line of a run."""
    options = [*case.options]
    if case.exit == 64:
        return [*program.words, *[option.replace("FOLDER", str(folder)) for option in options]]
    medium = str(folder / "medium") if case.medium is not None else "none"
    given = {
        "--root": str(folder / "root"),
        "--imds": fabric.imds_url,
        "--wireserver": fabric.wireserver_url,
        "--medium": medium,
        "--deadline": "30",
    }
    for name, value in given.items():
        if not any(option.partition("=")[0] == name for option in options):
            options += [name, value]
    return [*program.words, *[option.replace("FOLDER", str(folder)) for option in options]]


def carry_out(case: Case, program: Program, fabric: Fabric, folder: Path) -> Outcome:
    """Run a program on a case."""
    root = folder / "root"
    root.mkdir()
    plant(case, root)
    if case.medium is not None:
        (folder / "medium").mkdir()
        (folder / "medium/ovf-env.xml").write_bytes(case.medium.encode("utf-8", "surrogateescape"))
    before = snapshot(root)
    fabric.restart(case.machine, case.faults)
    calls = folder / "calls"
    calls.touch()
    done = subprocess.run(
        words(case, program, fabric, folder),
        env={
            "PATH": tool_path(case, program, folder / "bin"),
            "FAKE_CALLS": str(calls),
            "TMPDIR": str(folder),
            **case.environment,
        },
        capture_output=True,
        timeout=90,
        check=False,
        cwd=folder,
        restore_signals=False,  # SIGPIPE is ignored, as systemd has it for every service
        umask=0o077,  # as some inits have it: files of /etc are open to all the same
    )
    assert not list(folder.glob(".azp-*")), "the program left its temporary folder"
    return _outcome(case, fabric, folder, done, before)


def _outcome(
    case: Case, fabric: Fabric, folder: Path, done: subprocess.CompletedProcess[bytes], before: dict[str, Node]
) -> Outcome:
    root = folder / "root"
    after = snapshot(root)
    changes: dict[str, Node | None] = {path: node for path, node in after.items() if before.get(path) != node}
    changes.update({path: None for path in before if path not in after})
    commands = [_neutral(line, root, folder) for line in (folder / "calls").read_text().splitlines()]
    return Outcome(
        done.returncode,
        {path: node for path, node in changes.items() if _counts(path, node)},
        {path: after.get(path) for path in ACCOUNT_FILES},
        tuple(commands),
        tuple(f"{e.service} {e.method} {e.target} {e.status}" for e in fabric.ledger.exchanges),
        _last_report(fabric, folder),
        tuple(dict.fromkeys(f.code for f in fabric.ledger.findings if f.severity == "error")),
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace").replace(str(folder), "FOLDER"),
        TOLD in after,
    )


def _counts(path: str, node: Node | None) -> bool:
    """Folders are listed when they are ours to give a mode to; account files are compared by themselves."""
    if path in (*ACCOUNT_FILES, TOLD):
        return False
    return not isinstance(node, Folder) or path.endswith((".ssh", "azure-provisioning"))


def _neutral(line: str, root: Path, folder: Path) -> str:
    """A command line without the paths that differ from run to run."""
    line = re.sub(r"(visudo -c -q -f) .*", r"\1 FILE", line)
    return line.replace(str(root), "ROOT").replace(str(folder), "FOLDER").rstrip()


def _last_report(fabric: Fabric, folder: Path) -> Report | None:
    accepted = [report for report in fabric.ledger.reports if report.accepted]
    if not accepted:
        return None
    last = accepted[-1]
    description = re.sub(r"timestamp=[0-9TZ:-]+", "timestamp=TIME", last.description)
    description = re.sub(r"(http://127.0.0.1):\d+", r"\1:PORT", description)
    description = description.replace(str(folder / "root"), "ROOT").replace(f"{folder}/bin/", "")
    description = re.sub(r"(visudo: exit \d: )\S+?:(\d)", r"\1FILE:\2", description)
    return Report(last.state, description, last.substatus, last.form)
