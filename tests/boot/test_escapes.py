"""A booted tree is an enemy: its root tries known ways out of a container, and stays inside."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from azready.boot.container import ids
from azready.boot.container.host import GUEST_PATH, Container, Order
from azready.boot.network.links import Network
from tests.boot import host_program, machines
from tests.boot.conftest import Prepared
from tests.conftest import layered

SCRIPT = Path(__file__).with_name("escapes.py").read_text()
NEEDS = ("tool:mmdebstrap", "tool:zstd", "tool:unshare", "tool:nsenter")


@pytest.fixture
def secret() -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix="azready-secret-", dir="/var/tmp") as file:
        file.write(b"of the host\n")
        file.flush()
        yield Path(file.name)


def attempt(tree: Path, secret: Path) -> list[str]:
    """What the script said."""
    lines: list[str] = []
    with Container(tree, Network()) as container:
        words = ["/usr/bin/python3", "/run/escapes.py", str(secret)]
        guest = container.start(Order(1, words, {}, ["00:0d:3a:00:00:01"], files={"/run/escapes.py": SCRIPT}))
        os.set_blocking(guest.console, True)
        with os.fdopen(guest.console, "rb") as console:
            for line in console:
                lines.append(line.decode().rstrip())
                if lines[-1].startswith("Seccomp_filters"):
                    break
        os.close(guest.alive)
        os.close(guest.notify)
    return lines


def escaped(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line.startswith("ESCAPED")]


def test_no_known_way_leads_out_of_a_booted_tree(secret: Path, need: Callable[..., None]) -> None:
    need("ids", *NEEDS)
    tree = machines.kernel_tree()
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    before = (tree / "etc/passwd").stat()
    lines = attempt(tree, secret)
    assert escaped(lines) == []
    held = [line for line in lines if line.startswith("held")]
    assert len(held) >= 30
    assert f"tried {len(held)}" in lines, lines
    assert "Seccomp:\t2" in lines
    assert Path("/proc/sys/kernel/core_pattern").read_text() == pattern
    assert (tree / "etc/passwd").stat() == before


@pytest.mark.long
def test_a_program_of_this_machine_that_enters_a_tree_stays_as_it_is(need: Callable[..., None], tmp_path: Path) -> None:
    """What starts init, and what comes in later to log in or to ask: the tree's root gets hold of both, and no more."""
    need("root", *NEEDS, "tool:gcc", "file:/lib64/ld-linux-x86-64.so.2")
    with layered(machines.kernel_tree(), tmp_path / "overlay") as tree:
        host_program.plant(tree)
        with Container(tree, Network()) as container:
            guest = container.start(Order(1, [f"/{host_program.SCRIPT}"], {}, ["00:0d:3a:00:00:01"]))
            os.set_blocking(guest.console, True)
            with os.fdopen(guest.console, "rb", buffering=0) as console:
                said = b""
                while said.count(b"\n") < host_program.TRIED:
                    said += console.read(4096)
                done = container.ask_guest(guest, [f"/{host_program.SCRIPT}"])
            for each in (guest.alive, guest.notify):
                os.close(each)
    assert done is not None
    lines = [*said.decode().splitlines(), *done.stdout.splitlines()]
    assert len(lines) == 2 * host_program.TRIED and all(line.startswith("held") for line in lines), lines


def test_the_attempts_are_real(secret: Path, need: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the guest's root for the machine's, as it once was, the same script gets out."""
    need("root", *NEEDS)
    identity = {kind: [[0, 0, 65536]] for kind in ("uid", "gid")}
    monkeypatch.setattr(ids, "id_maps", lambda: identity)
    found = "\n".join(escaped(attempt(machines.kernel_tree(), secret)))
    assert "ESCAPED core_pattern_below_the_masks" in found
    assert "ESCAPED core_pattern_of_a_fresh_proc" in found


@pytest.mark.long
def test_a_file_system_without_mapped_owners_is_copied(secret: Path, need: Callable[..., None], tmp_path: Path) -> None:
    need("root", *NEEDS, "tool:tar")
    with layered(machines.kernel_tree(), tmp_path / "overlay") as tree:
        (tree / "var/tmp/owned").write_text("")
        os.chown(tree / "var/tmp/owned", 1000, 70000)
        lines = attempt(tree, secret)
    assert escaped(lines) == []
    assert "Seccomp:\t2" in lines


def test_ids_that_may_be_given_away() -> None:
    assert ids.spare([(0, 0, 4294967295)]) == (0, ids.FIRST, ids.COUNT)
    assert ids.spare([(0, 100000, 65536)]) is None
    assert ids.spare([(0, 1000, 1), (1, 100000, 1 << 17)]) == (0, 65537, 65536)
    assert not ids.is_shifted({"newuidmap": [["newuidmap", "0", "1000", "1"]], "newgidmap": []})


@pytest.mark.long
def test_a_way_in_is_as_the_guests_root(
    need: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks into the guest gets its ids, no terminal of the caller's, and nothing of the caller's environment,
    whatever programs the guest has."""
    need("root", *NEEDS)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "of the caller")
    look = "id; cat /proc/self/uid_map; : </dev/tty"
    with layered(machines.kernel_tree(), tmp_path / "overlay") as tree:
        (tree / "usr/bin/env").unlink()
        (tree / "usr/bin/env").write_text("#!/bin/sh\nset\n")
        (tree / "usr/bin/env").chmod(0o755)
        with Container(tree, Network()) as container:
            guest = container.start(Order(1, ["/bin/sleep", "60"], {}, ["00:0d:3a:00:00:01"]))
            done, told = (container.ask_guest(guest, ["/bin/sh", "-c", words]) for words in (look, "set"))
            for each in (guest.console, guest.alive, guest.notify):
                os.close(each)
    assert done is not None and told is not None
    assert done.stdout.startswith("uid=0(root) gid=0(root) groups=0(root)")
    assert str(ids.FIRST) in done.stdout
    assert "No such device" in done.stderr
    assert f"PATH='{GUEST_PATH}'" in told.stdout and "of the caller" not in told.stdout


LIES = {
    "usr/bin/journalctl": 'echo \'{"__MONOTONIC_TIMESTAMP":"1e999"}\'; exec yes \'["\\ud800"]\'',
    "usr/bin/base64": "echo =; exec yes é",
    "etc/azure-provisioning.d/50-flood": "head -c 20000000 /dev/zero | tr '\\0' x >/dev/console",
}
"""Programs of a tree that answer azready's questions, and one that fills the console."""


@pytest.mark.slow
def test_a_guest_whose_own_tools_lie_without_end_fills_no_memory(prepared: Prepared, tmp_path: Path) -> None:
    """Nor does it stop azready, which looks at the memory of its own process."""
    limit = 2 << 30
    with layered(prepared(), tmp_path / "tree") as tree:
        for name, text in LIES.items():
            (tree / name).unlink(missing_ok=True)
            (tree / name).write_text(f"#!/bin/sh\n{text}\n")
            (tree / name).chmod(0o755)
        words = ["prlimit", f"--as={limit}", sys.executable, "-m", "azready", "boot", tree, "--boots", "1"]
        done = subprocess.run([*words, "--output", f"json={tmp_path}/boot.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (record,) = json.loads((tmp_path / "boot.json").read_text())["boots"]
    assert record["verdict"]["code"] == "", record["verdict"]
    assert not record["journal"]
