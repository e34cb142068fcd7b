"""systemd's own client of IMDS, in boots of Debian sid: what docs/systemd.md says of it."""

import os
import shutil
from pathlib import Path

import pytest

from azready.boot import systemd_imds
from azready.boot.container.tree import boot_tree
from azready.boot.identity import dmi
from azready.boot.network.links import Network
from azready.boot.series import Plan
from azready.fabric import Fault, Machine
from tests.boot.conftest import Prepared
from tests.conftest import layered

PROGRAM = "/usr/lib/azure-provisioning"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6h0Yl5q2Qm9b9v7r6JHkq1y5fX9w0Xq3F8kq1y5fX9 me@laptop"
MACHINE = Machine(
    name="web-1", user_data='{"systemd.credentials":[{"name":"motd","text":"hello"}]}', public_keys=(KEY,)
)
PAGE = (Path(__file__).parents[2] / "docs/systemd.md").read_text()
DATABASE = """\
# of another cloud
dmi:*:pnOther:*
 IMDS_VENDOR=other

dmi:*:svnMicrosoftCorporation:*
dmi:*:cat7783-7084-3265-9085-8269-3286-77:*
 IMDS_VENDOR=microsoft-azure
 IMDS_EXTRA_HEADER=Metadata: true
 IMDS_EXTRA_HEADER2=More: yes
 IMDS_KEY_IPV4_PUBLIC=/a

dmi:*:pnSomething:*
 IMDS_VENDOR=something
"""


def test_the_database_of_the_tree_says_what_init_is_told(tmp_path: Path) -> None:
    assert systemd_imds.arguments(tmp_path, dmi(MACHINE)) == ()
    for name, text in ((systemd_imds.DAEMON, ""), (systemd_imds.DATABASE, DATABASE)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert systemd_imds.arguments(tmp_path, dmi(MACHINE)) == (
        "systemd.imds=yes",
        "systemd.imds.vendor=microsoft-azure",
        "systemd.imds.extra_header=Metadata: true",
        "systemd.imds.extra_header=More: yes",
        "systemd.imds.key.ipv4_public=/a",
    )


@pytest.mark.parametrize("kind", ["pipe", "link", "bytes"])
def test_a_database_that_is_no_file_is_not_read(kind: str, tmp_path: Path) -> None:
    """A tree is hostile until it has shown otherwise: a pipe would wait for ever, a link may lead to this machine."""
    database = tmp_path / systemd_imds.DATABASE
    for path in (tmp_path / systemd_imds.DAEMON, database):
        path.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / systemd_imds.DAEMON).touch()
    (tmp_path / "other").write_text(DATABASE)
    if kind == "pipe":
        os.mkfifo(database)
    elif kind == "link":
        database.symlink_to(tmp_path / "other")
    else:
        database.write_bytes(b"dmi:*\n A=\xff\n")
    found = systemd_imds.arguments(tmp_path, dmi(MACHINE))
    assert found == ("systemd.imds=yes", *(("systemd.imds.a=\ufffd",) if kind == "bytes" else ()))


@pytest.mark.slow
def test_the_shells_program_reaches_imds_through_systemd_where_it_keeps_imds_for_itself(
    prepared: Prepared, tmp_path: Path
) -> None:
    source = prepared("sid", "python3-minimal", "systemd-imds", "udev")
    guest = Path(__file__).parents[2] / "src/azready/guest"
    with layered(source, tmp_path / "tree") as tree:
        unit = tree / "usr/lib/systemd/system/azure-provisioning.service"
        python = next(line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
        unit.write_text(unit.read_text().replace(python, f"ExecStart=/bin/sh {PROGRAM}/provision.sh"))
        shutil.copy(guest / "provision.sh", tree / PROGRAM[1:])
        locked = Fault(service="guest", imds_locked=True)
        (record,) = boot_tree(tree, MACHINE, Plan(boots=1, faults=(locked,)))
    told = "\n".join(line.text for line in record.journal)
    assert record.verdict.provisioned and "IMDS: 200 OK, by systemd-imds" in told, told
    asked = [(one.target, one.status) for one in record.exchanges if one.service == "imds"]
    assert ("/metadata/instance?api-version=2021-08-01&extended=true", 200) in asked


@pytest.mark.slow
def test_systemd_takes_from_imds_what_it_can_and_azready_reports(prepared: Prepared, tmp_path: Path) -> None:
    """With the WireServer elsewhere, too: this systemd keeps its leases in no file."""
    source = prepared("sid", "python3-minimal", "systemd-imds", "udev")
    unit = PAGE.partition("root-key.service, enabled\n")[2].partition("```")[0]
    (skip,) = (line.split()[1] for line in PAGE.splitlines() if line.startswith("/etc/azure-provisioning.conf"))
    with layered(source, tmp_path / "tree") as tree:
        wants = tree / "etc/systemd/system/multi-user.target.wants"
        (wants.parent / "root-key.service").write_text(unit)
        shown = "ExecStartPost=cat /root/.ssh/authorized_keys /run/credstore/firstboot.hostname /run/credstore/motd\n"
        (wants.parent / "root-key.service.d").mkdir()
        (wants.parent / "root-key.service.d/show.conf").write_text(f"[Service]\n{shown}")
        (wants / "root-key.service").symlink_to("../root-key.service")
        with (tree / "etc/azure-provisioning.conf").open("a") as settings:
            settings.write(f"{skip}\n")
        network = Network(wireserver="10.77.0.16")
        plan = Plan(boots=1, init="/sbin/init systemd.imds.import=yes", network=network, login=False)
        (record,) = boot_tree(tree, MACHINE, plan)
    assert record.verdict.provisioned, record.verdict
    told = "\n".join(line.text for line in record.journal)
    assert f"{KEY}" in told
    assert "web-1hello" in told
    asked = {one.target.partition("?")[0] for one in record.exchanges if one.service == "imds"}
    for key in ("osProfile/computerName", "publicKeys/0/keyData", "userData"):
        assert f"/metadata/instance/compute/{key}" in asked
    assert {one.code for one in record.findings} <= {"imds-absent", "imds-rate"}, record.findings
