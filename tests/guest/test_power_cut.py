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


def test_all_is_on_the_disk_before_it_is_called_done(
    need: Callable[..., None], scratch: Callable[[Machine], Scratch], tmp_path: Path
) -> None:
    need("tool:strace")
    machine = Machine(name="vm1", public_keys=(KEY,), user_data="hello")
    tree, log = scratch(machine), tmp_path / "log"
    with Fabric(machine) as fabric:
        trace = _strace(tree, "-s", "200", "-o", str(log), "-e", "trace=fsync,rename,renameat,renameat2,linkat,sendto")
        done = subprocess.run([*trace, *_at(fabric)], env=_env(tree), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    synced: set[str] = set()
    renamed: dict[str, str] = {}
    for line in log.read_text().splitlines():
        paths = re.findall(r"<([^>]*)>", line)
        if line.startswith("fsync("):
            synced.add(paths[0])
            renamed = {name: folder for name, folder in renamed.items() if folder != paths[0]}
        elif line.startswith("rename"):
            old, new = re.findall(r'"([^"]*)"', line)
            assert f"{paths[0]}/{old}" in synced, f"{new} was not synced before it was renamed"
            if new == "applied":
                assert not renamed, f"not durable before `applied`: {renamed}"
            renamed[new] = paths[1]
        elif "comp=health" in line:
            assert not renamed, f"not durable before the report: {renamed}"
    assert not renamed
