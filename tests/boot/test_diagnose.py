"""Why a boot failed, shown on images that really fail so: trees in containers, a mini kernel in QEMU."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azready.boot.diagnose import cause
from azready.boot.disk_session import boot_disk
from azready.boot.qemu import Guest, Hardware, Kernel
from azready.boot.session import Plan, boot_tree
from azready.boot.timeline import BootRecord, ConsoleLine, from_json
from azready.fabric import Machine
from azready.fabric.faults import Fault
from azready.fabric.ledger import Exchange
from tests.boot import failing, machines

Prepared = Callable[..., Path]
CURL = "/usr/bin/curl -sf -m 2 -H x-ms-version:2012-11-30"
RETRY = "Restart=on-failure\nRestartSec=1"


def _boot(tree: Path, deadline: float = 8.0, faults: tuple[Fault, ...] = ()) -> BootRecord:
    (record,) = boot_tree(tree, Machine(), Plan(deadline=deadline, boots=1, login=False, faults=faults))
    assert not record.passed
    return record


def test_a_good_boot_has_no_cause(prepared: Prepared) -> None:
    (record,) = boot_tree(prepared("bookworm"), Machine(), Plan(boots=1, login=False))
    assert record.passed and cause(record) is None and record.diagnosis == ()


def test_no_provisioner_is_enabled(broken: Callable[..., Path]) -> None:
    tree = broken()
    failing.without_azready(tree)
    record = _boot(tree)
    found = cause(record)
    assert found and found.code == "no-provisioner" and "azready prepare" in found.mend
    assert record.diagnosis[0].endswith("[no-provisioner]"), "the record says so itself"


@pytest.mark.slow
def test_nothing_asks_for_an_address(broken: Callable[..., Path]) -> None:
    tree = broken(network="none")
    for profile in (tree / "etc/systemd/network").glob("*"):
        profile.unlink()
    for link in (tree / "etc/systemd/system").rglob("systemd-networkd*"):
        link.unlink()
    found = cause(_boot(tree))
    assert found and found.code == "no-dhcp"


@pytest.mark.slow
def test_the_lease_never_comes(broken: Callable[..., Path]) -> None:
    record = _boot(broken(), faults=(Fault(service="dhcp", delay=60.0),))
    found = cause(record)
    assert found and found.code == "no-lease" and "DHCPDISCOVER" in found.evidence[0]


@pytest.mark.slow
def test_no_route_leads_to_the_platform(broken: Callable[..., Path]) -> None:
    tree = broken()
    failing.service(
        tree,
        "hardening",
        "ExecStart=/usr/sbin/ip route add prohibit 168.63.129.16/32 metric 0\n"
        "ExecStart=/usr/sbin/ip route add prohibit 169.254.169.254/32 metric 0",
        "DefaultDependencies=no\nBefore=azure-provisioning.service systemd-networkd.service",
    )
    config = tree / "etc/azure-provisioning.conf"
    config.write_text(config.read_text() + "\nDEADLINE=4\nIMDS_WAIT=2\n")
    found = cause(_boot(tree, deadline=12.0))
    assert found and found.code == "no-route", found
    assert any("ermission denied" in line or "No route" in line for line in found.evidence)


def test_the_agent_crashes(broken: Callable[..., Path]) -> None:
    tree = broken()
    (tree / "usr/lib/azure-provisioning/provision.py").write_text("import distutils.nothing\n")
    shutil.rmtree(tree / "usr/lib/azure-provisioning/__pycache__", ignore_errors=True)
    unit = tree / "usr/lib/systemd/system/azure-provisioning.service"
    assert "provision" in unit.read_text()
    found = cause(_boot(tree))
    assert found and found.code == "agent-crashed"
    assert any("Error: No module named" in line for line in found.evidence), found.evidence


@pytest.mark.slow
def test_the_interpreter_is_missing(broken: Callable[..., Path]) -> None:
    tree = broken()
    for python in (tree / "usr/bin").glob("python3*"):
        python.unlink()
    found = cause(_boot(tree))
    assert (
        found and found.code == "agent-crashed" and any("EXEC" in line or "locate" in line for line in found.evidence)
    )


@pytest.mark.slow
def test_a_file_system_that_cannot_be_mounted_ends_in_emergency_mode(broken: Callable[..., Path]) -> None:
    tree = broken()
    (tree / "etc/fstab").write_text("tmpfs /data tmpfs size=a-lot 0 0\n")
    (tree / "data").mkdir()
    found = cause(_boot(tree, deadline=10.0))
    assert found and found.code == "emergency-mode"
    assert any("Dependency failed" in line or "Failed to mount" in line for line in found.evidence)


@pytest.mark.slow
def test_a_report_with_a_wrong_incarnation_is_refused(broken: Callable[..., Path]) -> None:
    tree = broken("python3-minimal", "curl")
    failing.without_azready(tree)
    body = "<Health><GoalStateIncarnation>77</GoalStateIncarnation></Health>"
    failing.service(
        tree,
        "sample",
        f"{RETRY}\nExecStart={CURL} -H Content-Type:text/xml -d {body} http://168.63.129.16/machine?comp=health",
    )
    found = cause(_boot(tree))
    assert found and found.code == "report-refused" and found.evidence


@pytest.mark.slow
def test_the_agent_asks_and_never_reports(broken: Callable[..., Path]) -> None:
    tree = broken("python3-minimal", "curl")
    failing.without_azready(tree)
    failing.service(
        tree,
        "sample",
        f"{RETRY}\nExecStart={CURL} http://168.63.129.16/machine?comp=goalstate",
    )
    found = cause(_boot(tree))
    assert found and found.code == "no-report" and "goal state" in found.says


def test_the_guest_reports_its_own_failure(broken: Callable[..., Path]) -> None:
    tree = broken()
    hook = tree / "etc/azure-provisioning.d/10-site"
    hook.write_text("#!/bin/sh\necho no licence >&2; exit 3\n")
    hook.chmod(0o755)
    found = cause(_boot(tree))
    assert found and found.code == "reported-failure" and "10-site" in found.evidence[0]


@pytest.mark.slow
def test_waagent_waits_for_a_cloud_init_that_is_not_there(debian_tree: Callable[..., Path]) -> None:
    tree = debian_tree("bookworm", "waagent", network="ifupdown")
    config = tree / "etc/waagent.conf"
    config.write_text(config.read_text().replace("Provisioning.Agent=auto", "Provisioning.Agent=cloud-init"))
    found = cause(_boot(tree, deadline=12.0))
    assert found and found.code == "provisioner-waits-for-another", found


# --- machines ---


def _boot_kernel(kernel: Kernel, deadline: float = 40.0) -> BootRecord:
    guest = Guest(kernel=kernel, hardware=Hardware(memory=256))
    plan = Plan(boots=1, login=False, deadline=deadline)
    (record,) = boot_disk(guest, Machine(), plan, target="mini kernel")
    return record


@pytest.fixture
def mini(need: Callable[..., None]) -> Callable[..., Kernel]:
    need("root", "tool:mmdebstrap", "tool:zstd", "tool:busybox", "tool:qemu-system-x86_64")
    return machines.mini


def test_no_root_device(mini: Callable[..., Kernel]) -> None:
    kernel = replace(mini("exit"), initrd=None, command_line="console=ttyS0 panic=-1 root=/dev/sda1")
    found = cause(_boot_kernel(kernel))
    assert found and found.code == "no-root-device" and "hv_storvsc" in found.mend
    assert any("Unable to mount root fs" in line for line in found.evidence)


@pytest.mark.slow
def test_a_kernel_that_panics(mini: Callable[..., Kernel]) -> None:
    found = cause(_boot_kernel(mini("echo c >/proc/sysrq-trigger")))
    assert found and found.code == "kernel-panic", found


@pytest.mark.slow
def test_a_guest_without_a_serial_console(mini: Callable[..., Kernel]) -> None:
    kernel = mini(machines.NETWORK + "poweroff -f", command_line="quiet")
    found = cause(_boot_kernel(kernel))
    assert found and found.code == "no-serial-console"


def test_a_disk_with_nothing_to_boot(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:qemu-system-x86_64", "tool:sfdisk", "tool:qemu-img")
    disk = tmp_path / "empty.raw"
    machines.make_table(disk, 64 << 20, "label: dos\nsize=32M, bootable\n")
    plan = Plan(boots=1, login=False, deadline=6.0)
    guest = Guest(firmware="bios", disk=disk, format="raw", size=64 << 20, hardware=Hardware(memory=128))
    (record,) = boot_disk(guest, Machine(generation=1), plan, target=str(disk))
    found = cause(record)
    assert found and found.code in ("no-boot-loader", "no-kernel-output", "no-kernel"), found


# --- words of programs that cannot run here ---


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("ALERT!  UUID=5f3b1c2e does not exist.  Dropping to a shell!", "no-root-device"),
        (
            "[  191.1] dracut-initqueue[452]: Warning: dracut-initqueue timeout - starting timeout scripts",
            "no-root-device",
        ),
        ("[ TIME ] Timed out waiting for device dev-sr0.device - /dev/sr0.", "medium-wait"),
        ("[  ***  ] (1 of 2) A start job is running for /dev/sr0 (42s / 1min 30s)", "medium-wait"),
        ("[   12.0] waagent[612]: Failed to get dvd device from dev", "medium-wait"),
        ("[   12.0] waagent[612]: Provisioning already completed, skipping.", "stale-marker"),
    ],
)
def test_words_of_other_programs(line: str, code: str) -> None:
    lease = Exchange(2.0, "dhcp", "DHCPACK", "10.1.0.4", 200)
    record = replace(
        _silent(),
        exchanges=(lease,),
        console=(ConsoleLine(1.0, "[    0.0] Linux version 6.1.0"), ConsoleLine(30.0, line)),
    )
    found = cause(record)
    assert found and found.code == code and line in found.evidence


def _silent() -> BootRecord:
    verdict = {"code": "OSProvisioningTimedOut", "at": None, "because": "", "findings": []}
    base = {"number": 1, "title": "first boot", "target": "t", "how": "qemu/tcg/uefi", "started": "", "seconds": 40.0}
    lists = ("milestones", "exchanges", "findings", "reports", "journal", "console", "checks", "diagnosis", "faults")
    stones = [{"name": "kernel", "at": 1.0}, {"name": "multi-user", "at": 9.0}]
    table = {**base, "deadline": 40.0, "verdict": verdict, "machine": [], **{name: [] for name in lists}}
    return from_json({**table, "expected": "ready", "milestones": stones})
