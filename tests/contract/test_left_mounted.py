"""A run that was killed with the medium mounted, as systemd kills the unit that names the host after ten seconds."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.fabric import Fabric
from azready.fabric.machine import Machine
from azready.fabric.protocol.media import medium, ovf_env
from tests.contract.case import Case
from tests.contract.lab import plant, tool_path, words
from tests.contract.programs import Program, reference_python, reference_shell

MACHINE = Machine(
    name="web1", admin_username="ada", admin_password="Secret12345!", disable_password_authentication=False
)
SCRIPT = """
PATH={killing}:{tools} {first} >/dev/null 2>&1
echo "killed: $?, mounted: $(grep -c " {place} [a-z0-9]* ro,nosuid,nodev,noexec," /proc/self/mounts)"
PATH={tools} {later} 2>&1
echo "ended: $?, mounted: $(grep -c " {place} " /proc/self/mounts)"
"""
KILLING = '#!/bin/sh\n[ "$1" = -l ] && exec umount "$@"\nkill -9 $PPID\n'
MOUNTING = """#!/bin/sh
for place; do :; done
set -e
{mount} -t tmpfs none "$place"
cp {document} "$place/ovf-env.xml"
{mount} -o remount,ro,nosuid,nodev,noexec "$place"
"""
"""For a kernel without UDF and ISO 9660, as in many containers: another file system, really mounted.
tests/boot/test_medium.py does the same with discs."""


def script_at(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize("program", [reference_python(), reference_shell()], ids=lambda program: program.name)
def test_the_run_after_one_that_was_killed_with_the_medium_mounted_is_ready(
    program: Program, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("root", "tool:unshare", "tool:mount")
    root, killing = tmp_path / "root", tmp_path / "killing"
    disc, document = tmp_path / "disc.iso", tmp_path / "document.xml"
    disc.write_bytes(medium(MACHINE, iso9660=True))
    document.write_text(ovf_env(MACHINE))
    killing.mkdir()
    script_at(killing / "umount", KILLING)
    root.mkdir()
    (tmp_path / "calls").touch()
    with Fabric(machine=MACHINE) as fabric:
        case = Case("", machine=MACHINE, options=("--medium", str(disc)))
        plant(case, root)
        tools = Path(tool_path(case, program, tmp_path / "bin"))
        script_at(tools / "mount", MOUNTING.format(document=document, mount=shutil.which("mount")))
        (tools / "umount").symlink_to(str(shutil.which("umount")))
        later = words(case, program, fabric, tmp_path)
        at, verb = len(program.words), ["--only", "hostname"] if program.is_shell else ["name"]
        script = SCRIPT.format(
            killing=killing,
            tools=tools,
            place=root / "run/azure-provisioning/medium",
            first=shlex.join([*later[:at], *verb, *later[at:]]),
            later=shlex.join(later),
        )
        environment = {**os.environ, "FAKE_CALLS": str(tmp_path / "calls"), "TMPDIR": str(tmp_path)}
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script], env=environment, stdout=-1, text=True, check=True
        )
        told = done.stdout
        assert told.startswith("killed: 137, mounted: 1\n"), told
        assert told.endswith("reported Ready\nended: 0, mounted: 0\n"), told
        assert [report.state for report in fabric.ledger.reports] == ["Ready"]
