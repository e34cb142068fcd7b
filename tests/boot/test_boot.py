"""Real boots: systemd as PID 1, networkd as DHCP client, sshd, the guest program; the fabric at Azure's addresses."""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from azready.boot.container.host import (
    GUEST_PATH,
    Container,
    Order,
    check_tree,
    find_init,
)
from azready.boot.container.tree import boot_tree
from azready.boot.identity import ENVIRONMENT, dmi
from azready.boot.network.links import Network
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.errors import Failure, UsageFailure
from azready.fabric import Fault, Machine
from azready.fabric.protocol import kvp
from azready.proc import run
from tests.boot.patience import names, patiently
from tests.boot.test_inits import FIREWALL_HOLDS
from tests.conftest import layered

Prepared = Callable[..., Path]
MACHINE = Machine(
    name="web-1", computer_name="web-one", admin_username="me", incarnation="7", custom_data="#!/bin/sh\n"
)


def said(record: BootRecord) -> str:
    """What the guest program said in the journal."""
    return "\n".join(line.text for line in record.journal if line.identifier == "azure-provisioning")


@pytest.mark.long
def test_the_walk_through_first_boot_silence_and_a_copy(prepared: Prepared) -> None:
    first, second, copy = boot_tree(prepared(), MACHINE, Plan(recapture=True))
    assert first.verdict.provisioned, said(first)
    assert first.passed, first.checks
    assert {check.name: check.outcome for check in first.checks} == {
        "ssh login": "passed",
        "host name": "passed",
        "sudo": "passed",
        "unit is off": "passed",
    }
    assert [report.state for report in first.reports] == ["Ready"]
    posted = next(each for each in first.exchanges if each.target == "/machine?comp=health")
    assert "<GoalStateIncarnation>7</GoalStateIncarnation>" in posted.request_body
    for line in (f"ContainerId: {MACHINE.container_id}", f"InstanceId: {MACHINE.instance_id}", "Response: 200 OK"):
        assert line in said(first), line
    assert "medium: /dev/sr0" in said(first)
    times = {stone.name: stone.at for stone in first.milestones}
    assert times["lease"] < times["imds"] < times["goal state"] < times["ready"]
    assert {"init", "basic.target", "sshd", "multi-user"} <= set(times)
    assert any("Welcome to" in line.text for line in first.console)

    assert second.expected == "silence"
    assert second.passed, second.checks
    assert not [each for each in second.exchanges if each.service != "dhcp"]
    assert said(second) == ""

    assert copy.passed, said(copy)
    assert copy.verdict.provisioned
    assert copy.machine.vm_id != first.machine.vm_id


@pytest.mark.long
def test_the_tree_is_never_changed(prepared: Prepared) -> None:
    root = prepared()
    before = fingerprint(root)
    boot_tree(root, MACHINE, Plan(boots=1))
    assert fingerprint(root) == before


def fingerprint(root: Path) -> str:
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *files]):
            status = (Path(folder) / name).lstat()
            digest.update(f"{folder}/{name} {status.st_mode} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


@pytest.mark.long
def test_a_goal_state_withheld_for_seconds_ends_ready(prepared: Prepared) -> None:
    withheld = Fault(service="wireserver", path="*comp=goalstate*", seconds="0-2.5", status=503)
    (record,) = boot_tree(prepared(), MACHINE, Plan(boots=1, faults=(withheld,)))
    assert record.passed, said(record)
    assert record.verdict.at is not None
    assert record.verdict.at > 2.5
    assert any(each.fault for each in record.exchanges)


@pytest.mark.slow
def test_a_goal_state_withheld_for_twenty_seconds_ends_ready(prepared: Prepared) -> None:
    withheld = Fault(service="wireserver", path="*comp=goalstate*", seconds="0-20", status=503)
    (record,) = boot_tree(prepared(), MACHINE, Plan(boots=1, faults=(withheld,)))
    assert record.passed, said(record)
    assert record.verdict.at is not None
    assert 20 < record.verdict.at < 40


@pytest.mark.long
def test_refused_for_ever_times_out_with_the_unit_on_and_the_next_boot_is_ready(prepared: Prepared) -> None:
    refused = Fault(service="wireserver", path="*comp=health*", status=503)
    plan = Plan(boots=2, deadline=8.0, faults=(refused,), heal=True)
    first, second = patiently(partial(boot_tree, prepared(), MACHINE), plan, lambda records: records[-1].passed)
    assert first.verdict.code == "OSProvisioningTimedOut"
    assert not first.passed
    assert [(check.name, check.outcome) for check in first.checks] == [("unit stays on", "passed")]
    assert second.expected == "ready"
    assert second.passed, said(second)


@pytest.mark.long
def test_a_guest_in_posix_sh_passes_the_same_boot(prepared: Prepared) -> None:
    first, second = boot_tree(prepared("bookworm", "curl", guest="sh"), MACHINE, Plan())
    assert first.passed, said(first)
    assert second.passed, second.checks


@pytest.mark.long
def test_a_wireserver_elsewhere_is_found_by_option_245(prepared: Prepared) -> None:
    plan = Plan(boots=1, network=Network(wireserver="10.77.0.16"), login=False)
    (record,) = boot_tree(prepared(), MACHINE, plan)
    assert record.passed, said(record)


@pytest.mark.long
def test_generation_1_swaps_the_uuid_and_is_still_the_same_vm(prepared: Prepared) -> None:
    machine = Machine(name="old", generation=1, vm_id="5a2c0a32-0000-4000-8000-00112233aabb")
    first, second = boot_tree(prepared(), machine, Plan(login=False))
    assert first.passed
    assert "VM 5a2c0a32-0000-4000-8000-00112233aabb, generation 1" in said(first)
    assert second.passed


@pytest.mark.long
def test_a_guest_without_dhcp_is_told_apart(prepared: Prepared) -> None:
    plan = Plan(boots=1, deadline=3.0, faults=(Fault(service="dhcp", silent=True),))
    (record,) = patiently(partial(boot_tree, prepared(), MACHINE), plan, names("no-lease"))
    assert record.verdict.code == "OSProvisioningTimedOut"
    assert "the platform gave none" in record.verdict.because


def test_an_init_that_ends_is_no_timeout(prepared: Prepared) -> None:
    (record,) = boot_tree(prepared(), MACHINE, Plan(boots=2, init="/bin/sh -c 'echo no system here; exit 3'"))
    assert not record.passed
    assert "the guest ended" in record.verdict.because
    assert any("no system here" in line.text for line in record.console)


@pytest.mark.long
def test_no_packet_can_leave_and_the_guest_sees_azure(prepared: Prepared) -> None:
    """The namespaces themselves, without a fabric: routes, SMBIOS data, disks, and the host's settings out of reach."""
    machine = MACHINE
    with Container(prepared(), Network()) as container:
        order = Order(1, find_init(container.tree), dmi(machine), [machine.mac], environment=ENVIRONMENT)
        guest = container.start(order)

        def ask(script: str) -> str:
            done = container.ask_guest(guest, ["/bin/sh", "-c", script])
            assert done is not None
            return done.stdout + done.stderr

        for where in (container.in_fabric, lambda words: container.in_guest(guest, words)):
            out = run(where(["ip", "route", "get", "192.0.2.1"]), check=False)
            assert "unreachable" in out.stderr, out
        assert ask("cat /sys/class/dmi/id/chassis_asset_tag") == "7783-7084-3265-9085-8269-3286-77\n"
        assert ask("ls /sys/block") == ""
        assert ask("ls -d /sys/firmware/efi") == "/sys/firmware/efi\n"
        assert "Read-only" in ask("echo 1 >/proc/sys/vm/overcommit_memory")
        assert "cannot create" in ask("echo h >/proc/sysrq-trigger")
        assert ask("chmod 666 /dev/null; chown 0 /dev/full").count("Read-only") == 2
        assert ask("echo used >/dev/null && head -c3 /dev/zero | wc -c") == "3\n"
        assert str(os.getpid()) not in ask("ls /proc").split()
        assert GUEST_PATH in ask("echo $PATH")


@pytest.mark.parametrize("name", ["missing", "empty", "file"])
def test_what_is_no_tree_is_refused_with_advice(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageFailure) as refused:
        check_tree(tmp_path / name)
    assert refused.value.hint


def test_the_running_system_and_trees_of_others_are_refused(tmp_path: Path, need: Callable[..., None]) -> None:
    with pytest.raises(UsageFailure, match="this machine itself"):
        check_tree(Path("/"))
    (tmp_path / "etc").mkdir()
    need("root")
    os.chown(tmp_path / "etc", 12345, 12345)
    (tmp_path / "usr").mkdir()
    with pytest.raises(Failure, match="uid 12345"):
        check_tree(tmp_path)


def test_a_tree_without_init_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageFailure, match="no init"):
        find_init(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suite", "network"),
    [("bookworm", "ifupdown"), ("bookworm", "network-manager"), ("bullseye", "networkd"), ("trixie", "networkd")],
)
def test_every_way_to_an_address_and_every_debian_ends_ready(prepared: Prepared, suite: str, network: str) -> None:
    first, second = boot_tree(prepared(suite, "python3-minimal", network=network), MACHINE, Plan())
    assert first.passed, said(first)
    assert second.passed, second.checks


@pytest.mark.long
def test_what_the_guest_leaves_for_hyper_v_is_read_back(broken: Callable[..., Path]) -> None:
    """An image with Hyper-V's daemon has its five pools: what the host tells is in one, the guest's in another."""
    tree = broken("python3-minimal")
    (tree / kvp.DAEMON).write_text("#!/bin/sh\n")
    (tree / "root/show.sh").write_text(f"ls -A /{kvp.FOLDER}; tr -d '\\000' </{kvp.HOST_POOL}; echo\n")
    init = "/bin/sh -c 'sh /root/show.sh && exec /sbin/init'"
    (record,) = boot_tree(tree, MACHINE, Plan(boots=1, init=init))
    shown = "\n".join(str(line) for line in record.console)
    assert all(pool.rpartition("/")[2] in shown for pool in kvp.POOLS)
    assert f"VirtualMachineName{MACHINE.container_id}" in shown
    (told,) = [each for each in record.exchanges if each.service == "kvp"]
    assert told.target == "PROVISIONING_REPORT"
    assert told.request_body.startswith("result=success|")
    assert f"vm_id={MACHINE.vm_id}" in told.request_body
    assert record.findings == ()


@pytest.mark.long
@pytest.mark.parametrize("network", ["ifupdown", pytest.param("network-manager", marks=pytest.mark.slow)])
def test_an_image_that_does_not_name_itself_is_not_named_by_the_platform(
    broken: Callable[..., Path], network: str
) -> None:
    """Azure's DHCP has no host name: a lease that had one let such images pass."""
    tree = broken("python3-minimal", network=network)
    with (tree / "etc/azure-provisioning.conf").open("a") as settings:
        settings.write("SKIP=hostname\n")
    (tree / "etc/hostname").write_text("")
    (record,) = boot_tree(tree, MACHINE, Plan(boots=1))
    assert record.verdict.provisioned
    assert {check.name: check.outcome for check in record.checks}["host name"] != "passed"
    assert not record.passed


@pytest.mark.long
def test_our_program_reaches_imds_where_systemd_keeps_it_for_itself(prepared: Prepared) -> None:
    locked = Fault(service="guest", imds_locked=True)
    (record,) = boot_tree(prepared(), MACHINE, Plan(boots=1, faults=(locked,)))
    assert record.passed, said(record)
    asked = [each.status for each in record.exchanges if each.service == "imds"]
    assert asked and set(asked) == {200}


@pytest.mark.slow
def test_every_unit_does_its_work_shut_in_as_it_is(prepared: Prepared, tmp_path: Path) -> None:
    """The name by the medium before the network; host keys; and only root reaches the WireServer: a hook asks."""
    with layered(
        prepared("bookworm", "python3-minimal", "nftables", options=("--firewall",)), tmp_path / "tree"
    ) as tree:
        hook = tree / "etc/azure-provisioning.d/50-firewall"
        hook.write_text(FIREWALL_HOLDS)
        hook.chmod(0o755)
        (tree / "etc/hostname").write_text("old\n")
        for key in tree.glob("etc/ssh/ssh_host_*"):
            key.unlink()
        (record,) = boot_tree(tree, MACHINE, Plan(boots=1))
    lines = [line.text for line in record.journal]
    assert record.passed, lines
    named, later = (line for line in said(record).splitlines() if line.startswith("hostname: "))
    assert named.startswith("hostname: web-one (was old)") and later.startswith("hostname: web-one already")
    for unit in ("name", "hostkeys"):
        assert any(f"Finished azure-provisioning-{unit}.service" in line for line in lines), lines
    assert any("Finished azure-wireserver-firewall.service" in line for line in lines)
