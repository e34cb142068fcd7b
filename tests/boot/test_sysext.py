"""A tree whose only provisioner is a system extension, merged by its own systemd-sysext at its first boot."""

from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.container.tree import boot_tree
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.fabric import Machine
from azready.image import sysext
from azready.image.parts.guest_program import Flavour

RELOAD = "[Service]\nExecStartPost=systemctl daemon-reload\n"
"""What docs/sysext.md asks of systemd older than 255."""


def booted(tree: Path, guest: Flavour) -> tuple[BootRecord, ...]:
    units = tree / "etc/systemd/system"
    (units / "sysinit.target.wants").mkdir(exist_ok=True)
    (units / "sysinit.target.wants/systemd-sysext.service").symlink_to("/usr/lib/systemd/system/systemd-sysext.service")
    (tree / "var/lib/extensions").mkdir(parents=True)
    sysext.make(tree / "var/lib/extensions/azready", guest, "folder")
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    return boot_tree(tree, Machine(admin_username="someone"), Plan(boots=2, deadline=60.0))


def judge(first: BootRecord, second: BootRecord) -> None:
    assert first.passed, (first.headline, [line.text for line in first.journal if "ext" in line.text])
    assert {check.name: check.outcome for check in first.checks} == dict.fromkeys(
        ("ssh login", "host name", "sudo"), "passed"
    )
    assert [report.state for report in first.reports] == ["Ready"] and not second.reports
    started = [
        line for line in second.journal if line.text.startswith(("Starting", "Started")) and "rovision" in line.text
    ]
    assert not [line.text for line in started if "clone" not in line.unit], "the second boot has nothing to do"


def test_an_extension_provisions(debian_tree: Callable[..., Path]) -> None:
    judge(*booted(debian_tree("trixie", "python3-minimal"), "python"))


@pytest.mark.slow
def test_an_extension_provisions_under_an_older_systemd(debian_tree: Callable[..., Path]) -> None:
    tree = debian_tree("bookworm", "curl")
    drop_in = tree / "etc/systemd/system/systemd-sysext.service.d/reload.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(RELOAD)
    judge(*booted(tree, "sh"))
