"""Images that say themselves when they are ready, booted: my.service is up, or has failed, and why."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.container.tree import boot_tree
from azready.boot.series import Plan
from azready.fabric import Machine
from azready.pipelines import trees
from azready.proc import run
from tests.boot.conftest import Prepared
from tests.conftest import layered

MACHINE = Machine(name="vm-reports", admin_username="someone")
UNIT = """\
[Unit]
Wants=azure-report@%n.service

[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh -c 'sleep 2; {then}'

[Install]
WantedBy=multi-user.target
"""
COMES_UP = "systemd-notify --ready; sleep 600"
DIES = 'systemd-notify --status="no database"; exit 3'


def add_service(tree: Path, then: str, target: str = "multi-user") -> None:
    """my.service, enabled; the one line in it asks for the report."""
    folder = tree / "etc/systemd/system"
    (folder / "my.service").write_text(UNIT.format(then=then))
    (folder / f"{target}.target.wants").mkdir(exist_ok=True)
    (folder / f"{target}.target.wants/my.service").symlink_to("../my.service")


def journal(record: object, *words: str) -> str:
    lines = [line.text for line in record.journal]  # type: ignore[attr-defined]
    return "\n".join(line for line in lines if not words or any(word in line for word in words))


@pytest.mark.slow
def test_cloud_init_brings_the_data_and_azready_the_report(need: Callable[..., None], tmp_path: Path) -> None:
    """As a user that systemd makes up, on dbus-broker; the second boot has nothing to report."""
    need("root", "tool:mmdebstrap", "tool:zstd", "tool:ssh")
    source = trees.unpacked("sid", ("cloud-init", "dbus-broker"), "networkd")
    with layered(source, tmp_path / "tree") as tree:
        add_service(tree, COMES_UP)
        run([sys.executable, "-m", "azready", "prepare", tree, "--report-only", "--silence", "cloud-init"])
        assert not (tree / "usr/lib/systemd/system/azure-report@.service.d").exists()
        first, second = boot_tree(tree, MACHINE, Plan(boots=2, deadline=60.0))
    assert first.passed, (first.verdict, first.checks, journal(first, "report"))
    assert {check.name: check.outcome for check in first.checks} == dict.fromkeys(
        ("ssh login", "host name", "sudo"), "passed"
    )
    assert [(report.state, report.agent) for report in first.reports] == [("Ready", "azure-report/0.1.0")]
    assert not second.reports, journal(second, "report")
    assert "is reported already" in journal(second, "azure-report")


WAAGENT_HAS_WORKED = """until ls /var/lib/waagent | grep -q SharedConfig; do sleep 0.5; done; systemd-notify --ready
sleep 600"""


@pytest.mark.slow
def test_waagent_stays_for_the_data_and_says_nothing(debian_tree: Callable[..., Path]) -> None:
    """It provisions (Debian leaves that to cloud-init), and has read its goal state before my.service is up. It starts
    after multi-user.target, which therefore does not wait for my.service."""
    tree = debian_tree("bookworm", "waagent", "eject", "curl", network="ifupdown")
    config = tree / "etc/waagent.conf"
    config.write_text(config.read_text().replace("Provisioning.Agent=cloud-init", "Provisioning.Agent=auto"))
    add_service(tree, WAAGENT_HAS_WORKED.replace("\n", "; "), target="graphical")
    run([sys.executable, "-m", "azready", "prepare", tree, "--report-only", "--silence", "waagent", "--guest", "sh"])
    first, second = boot_tree(tree, MACHINE, Plan(boots=2, deadline=60.0, login=False))
    assert [(report.state, report.agent) for report in first.reports] == [("Ready", "azure-report/0.1.0")]
    assert "Provisioning already completed" in journal(first, "rovision"), journal(first)
    asked = {
        dict(each.request_headers).get("User-Agent", "")[:12]
        for each in first.exchanges
        if each.at < first.reports[0].at
    }
    assert "WALinuxAgent" in asked and not second.reports, journal(second, "report")


@pytest.mark.slow
def test_a_unit_that_fails_is_reported_at_once_and_why(prepared: Prepared, tmp_path: Path) -> None:
    """The whole program, of sh, whose report waits for my.service."""
    source = prepared("bookworm", "curl", guest="sh", options=("--set", "REPORT=none"))
    with layered(source, tmp_path / "tree") as tree:
        add_service(tree, DIES)
        (record,) = boot_tree(tree, MACHINE, Plan(boots=1, deadline=60.0, login=False))
    assert record.verdict.code == "OSProvisioningClientError", (record.verdict, journal(record, "report", "my."))
    assert record.verdict.because.startswith("my.service failed: exit-code, status 3: no database|")
    assert len(record.reports) == 1


OTHERS = {
    "skipped": "[Unit]\nConditionPathExists=/nowhere\n[Service]\nExecStart=sleep 900\n",
    "done": "[Service]\nType=oneshot\nExecStart=true\n",
    "dies": "[Service]\nType=oneshot\nExecStart=false\n",
    "needs": "[Unit]\nRequires=dies.service\nAfter=dies.service\n[Service]\nExecStart=sleep 900\n",
    "idle": "[Service]\nExecStart=sleep 900\n",
}
ASK = """for unit in masked absent skipped done dies needs idle; do
    echo "asked: $unit: $(sh /usr/lib/azure-provisioning/await-unit $unit.service 0)"
done"""
ANSWERS = {
    "masked": "masked.service is masked",
    "absent": "",
    "skipped": "skipped.service was not started: its conditions are not met",
    "done": "up",
    "dies": "dies.service failed: exit-code, status 1",
    "needs": "needs.service cannot start: dies.service failed: exit-code, status 1",
    "idle": "",
}


def add_others(tree: Path) -> None:
    """Units of every fate, which my.service comes after."""
    folder = tree / "etc/systemd/system"
    for name, text in OTHERS.items():
        (folder / f"{name}.service").write_text(text)
    (folder / "masked.service").symlink_to("/dev/null")
    (folder / "my.service.d").mkdir()
    started = " ".join(f"{name}.service" for name in ("skipped", "done", "dies", "needs"))
    (folder / "my.service.d/others.conf").write_text(f"[Unit]\nWants={started}\nAfter={started}\n")
    (tree / "etc/ask").write_text(ASK)


@pytest.mark.slow
def test_the_whole_program_is_ready_when_the_unit_is(prepared: Prepared, tmp_path: Path) -> None:
    """And what await-unit makes of other units is what tests/contract/test_reporters.py has systemd say of them."""
    source = prepared(options=("--ready-when", "my.service"))
    with layered(source, tmp_path / "tree") as tree:
        add_service(tree, f"sh /etc/ask; {COMES_UP}")
        add_others(tree)
        first, second = boot_tree(tree, MACHINE, Plan(boots=2, deadline=60.0))
    assert first.passed, (first.verdict, first.checks, journal(first, "report", "my."))
    up = next(line.at for line in first.journal if line.text.startswith("Started my.service"))
    assert [report.state for report in first.reports] == ["Ready"] and first.reports[0].at >= up
    asked = [line.split(": ", 2)[1:] for line in journal(first, "asked: ").splitlines()]
    assert {words[0].rstrip(":"): "".join(words[1:]) for words in asked} == ANSWERS
    assert not second.reports, journal(second)
