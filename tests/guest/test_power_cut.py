"""A power cut at any point leaves a run that the next boot completes.

strace kills the program as it enters its N-th system call of a kind that changes something, for every N and kind.
A second trace holds the order of what reaches the disk, which a kill cannot show.
"""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.fabric import Fabric
from azready.fabric.machine import Machine
from tests.guest.conftest import KEY, PROGRAM, Scratch

CHANGING = ("rename,renameat,renameat2", "fsync", "mkdir,mkdirat", "unlink,unlinkat", "fchmod", "link,linkat", "sendto")
"""strace counts each kind by itself; a group holds the spellings of one."""
STATE = "/var/lib/azure-provisioning"
WANTS = "/etc/systemd/system/multi-user.target.wants/azure-provisioning.service"


def _strace(tree: Scratch, *options: str) -> list[str]:
    return ["strace", "-qq", "-y", *options, *tree.python, "-I", "-S", "-B", str(PROGRAM), f"--root={tree.root}"]


def _env(tree: Scratch) -> dict[str, str]:
    fakes = Path(__file__).parent / "fakes"
    return {"PATH": f"{fakes}:/usr/bin:/bin", "FAKE_CALLS": str(tree.calls)}


def _at(fabric: Fabric) -> list[str]:
    return [f"--imds={fabric.imds_url}", f"--wireserver={fabric.wireserver_url}"]


def _right(tree: Scratch, machine: Machine) -> None:
    """All that the owner asked for is there, once."""
    assert tree.text("/etc/hostname") == "vm1\n"
    assert tree.text("/etc/hosts").count("vm1") == 1
    assert tree.text("/etc/passwd").count("\nazureuser:") == 1
    assert re.search("^sudo:.*:azureuser$", tree.text("/etc/group"), re.MULTILINE)
    assert tree.text("/home/azureuser/.ssh/authorized_keys") == KEY + "\n"
    assert tree.mode("/home/azureuser/.ssh/authorized_keys") == 0o600
    assert tree.mode("/etc/sudoers.d/90-azure-provisioning") == 0o440
    assert tree.text(STATE + "/user-data") == "hello"
    assert tree.text(STATE + "/applied") == tree.text(STATE + "/reported")
    assert not tree.has(WANTS)
    assert not list(tree.root.rglob("*azp-tmp"))


@pytest.mark.long
@pytest.mark.parametrize("calls", CHANGING)
def test_a_cut_anywhere_is_completed_by_the_next_boot(
    need: Callable[..., None], scratch: Callable[[Machine], Scratch], tmp_path: Path, calls: str
) -> None:
    need("tool:strace")
    machine = Machine(name="vm1", public_keys=(KEY,), user_data="hello")
    points = 0
    with Fabric(machine, strict=False) as fabric:
        while True:
            points += 1
            tree = scratch(machine)
            cut = _strace(tree, "-o", str(tmp_path / "log"), "-e", f"inject={calls}:signal=KILL:when={points}")
            done = subprocess.run([*cut, *_at(fabric)], env=_env(tree), capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break  # the program has no N-th change: every point was tried
            assert done.returncode in (-9, 137), done.stderr
            if tree.has(STATE + "/reported"):
                assert fabric.ledger.ready, "reported is written only after the platform accepted"
            fabric.restart()
            again = tree.run(*_at(fabric))
            assert again.returncode == 0, f"after a cut at change {points}: {again.stderr}"
            if "nothing to do" not in again.stderr:
                assert fabric.ledger.ready
            _right(tree, machine)
            subprocess.run(["rm", "-rf", tree.root], check=True)
            fabric.restart()
    assert points > 1, f"the program makes no {calls}"


SH = PROGRAM.with_suffix(".sh")
MUTANTS = {
    "py": {
        "no sync before `applied`": ("    tree.sync()\n    if not options.only", "    if not options.only"),
        "`reported` before the accepted Ready": (
            '    refused = reporter.send("Ready")\n',
            '    stamp_reported(tree)\n    refused = reporter.send("Ready")\n',
        ),
        "`reported` not synced": ('"/reported")\n    tree.sync()\n', '"/reported")\n'),
        "a file not synced": ("        posix.fsync(descriptor)\n        if check:", "        if check:"),
    },
    "sh": {
        "no sync before `applied`": ('    settle\n    mv -f "$state', "    dirty=''\n    mv -f \"$state"),
        "`reported` before the accepted Ready": ("    send Ready\n", "    stamp reported\n    send Ready\n"),
        "`reported` not synced": ('    touched "$state"\n    settle\n', '    touched "$state"\n'),
        "a file not synced": ("dd bs=65536 conv=fsync", "dd bs=65536"),
    },
}
"""Mistakes that a person could make, in each program: what stands there, and the mistake."""


def _out_of_order(log: str) -> list[str]:
    """What a trace of one run did too early: before it was synced, or before the platform had accepted."""
    synced: set[str] = set()
    renamed: dict[str, str] = {}
    wrong: list[str] = []
    accepted = False
    for line in log.splitlines():
        call = re.search(r"\b(fsync|rename|renameat2?|link|linkat|sendto)\(", line)
        paths = re.findall(r"<([^<>]*)>", line)
        if not call or " = -1 " in line:
            continue
        if call[1] == "fsync":
            synced.add(paths[0].removesuffix(" (deleted)"))
            renamed = {name: folder for name, folder in renamed.items() if folder != paths[0]}
        elif call[1] == "sendto":
            if "comp=health" in line:
                wrong += [f"not durable before the report: {name}" for name in renamed]
                accepted = True
        elif not re.search(r'/(group|passwd|shadow)"', line):  # the account tools are fakes here
            old, new = (Path(name) for name in re.findall(r'"([^"]*)"', line)[:2])
            folder = str(new.parent) if new.is_absolute() else paths[0]
            if call[1].startswith("rename") and not {str(old), f"{folder}/{old.name}"} & synced:
                wrong.append(f"renamed before it was synced: {new.name}")
            if new.name == "applied":
                wrong += [f"not durable before `applied`: {name}" for name in renamed]
            if new.name == "reported" and not accepted:
                wrong.append("`reported` before the platform had accepted")
            renamed[new.name] = folder
    return wrong + [f"never durable: {name}" for name in renamed]


@pytest.mark.long
@pytest.mark.parametrize("mutant", ["", *MUTANTS["py"]])
@pytest.mark.parametrize("program", ["py", "sh"])
def test_all_is_on_the_disk_before_it_is_called_done(
    need: Callable[..., None], scratch: Callable[[Machine], Scratch], tmp_path: Path, program: str, mutant: str
) -> None:
    """And a program with a known mistake is found to have one."""
    need("tool:strace", "tool:curl")
    machine = Machine(name="vm1", public_keys=(KEY,), user_data="hello")
    tree, log, copy = scratch(machine), tmp_path / "log", tmp_path / f"provision.{program}"
    text = (PROGRAM if program == "py" else SH).read_text()
    if mutant:
        old, new = MUTANTS[program][mutant]
        assert text.count(old) == 1, f"the program has changed: {old}"
        text = text.replace(old, new)
    copy.write_text(text)
    run = [*tree.python, "-I", "-S", "-B"] if program == "py" else ["/bin/sh"]
    trace = ["strace", "-f", "-qq", "-y", "-s", "200", "-o", str(log)]
    trace += ["-e", "trace=fsync,rename,renameat,renameat2,link,linkat,sendto"]
    with Fabric(machine, strict=False) as fabric:
        words = [*trace, *run, str(copy), f"--root={tree.root}", *_at(fabric)]
        done = subprocess.run(words, env=_env(tree), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert bool(_out_of_order(log.read_text())) == bool(mutant), _out_of_order(log.read_text())
