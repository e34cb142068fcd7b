"""Whole boots under the Metadata Security Protocol: with an agent that signs, and without, as images have it or not."""

from functools import partial
from pathlib import Path

import pytest

from azready.boot.container.tree import boot_tree
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.fabric import Machine
from tests.boot.conftest import Prepared
from tests.boot.patience import patiently
from tests.conftest import layered
from tests.fabric import guest_proxy

ENFORCED = Machine(name="web-1", admin_username="me", msp="enforce")
UNIT = """\
[Unit]
DefaultDependencies=no
After=local-fs.target

[Service]
ExecStart=/usr/sbin/azure-proxy-agent

[Install]
WantedBy=multi-user.target
"""


def with_agent(tree: Path) -> Path:
    """Install the stand-in for the Guest Proxy Agent."""
    program, unit = tree / "usr/sbin/azure-proxy-agent", tree / "etc/systemd/system/azure-proxy-agent.service"
    program.write_text("#!/usr/bin/python3\n" + Path(guest_proxy.__file__).read_text())
    program.chmod(0o755)
    unit.write_text(UNIT)
    (unit.parent / "multi-user.target.wants" / unit.name).symlink_to(f"../{unit.name}")
    return tree


@pytest.mark.long
@pytest.mark.parametrize("guest", ["python", pytest.param("sh", marks=pytest.mark.slow)])
def test_an_image_with_the_agent_is_ready(prepared: Prepared, tmp_path: Path, guest: str) -> None:
    source = prepared("bookworm", "python3", "nftables", "curl", guest=guest)
    with layered(source, tmp_path / "tree") as tree:
        (record,) = boot_tree(with_agent(tree), ENFORCED, Plan(boots=1))
    assert record.passed, (record.verdict, [line.text for line in record.journal[-30:]])
    assert not [one for one in record.findings if one.code == "msp-unsigned"], record.findings


@pytest.mark.long
def test_an_image_without_it_fails_as_documented(prepared: Prepared) -> None:
    plan = Plan(boots=1, deadline=10.0)
    (record,) = patiently(partial(boot_tree, prepared(), ENFORCED), plan, lambda records: bool(_statuses(records[-1])))
    assert record.verdict.code == "OSProvisioningInternalError", record.verdict
    assert not record.passed
    assert _statuses(record) == {401}


def _statuses(record: BootRecord) -> set[int]:
    """What the WireServer answered."""
    return {one.status for one in record.exchanges if one.service == "wireserver"}
