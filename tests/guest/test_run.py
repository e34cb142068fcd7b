"""The whole program as a process, on a scratch tree, against the local Azure on loopback."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azready.fabric import Fabric
from azready.fabric.faults import Fault
from azready.fabric.machine import Machine
from azready.fabric.protocol.media import ovf_env
from tests.guest.conftest import KEY, Scratch, become

Make = Callable[[Machine], Scratch]
STATE = "/var/lib/azure-provisioning"
WANTS = "/etc/systemd/system/multi-user.target.wants/azure-provisioning.service"
GOALSTATE, HEALTH, INSTANCE = "*comp=goalstate*", "*comp=health*", "/metadata/instance*"


@pytest.fixture
def fabric(machine: Machine) -> Iterator[Fabric]:
    with Fabric(machine) as served:
        yield served


def _at(fabric: Fabric) -> list[str]:
    return [f"--imds={fabric.imds_url}", f"--wireserver={fabric.wireserver_url}"]


def _said(stderr: str, *lines: str) -> None:
    for line in lines:
        assert line in stderr, f"{line!r} is not in:\n{stderr}"


def test_a_first_boot_does_everything_and_reports_ready(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    done = tree.run(*_at(fabric))
    assert done.returncode == 0, done.stderr
    assert fabric.verdict(1).provisioned
    assert not [finding for finding in fabric.ledger.findings if finding.severity != "note"]
    assert tree.text("/etc/hostname") == "vm1\n"
    assert "127.0.1.1 vm1\n" in tree.text("/etc/hosts")
    assert tree.text("/home/azureuser/.ssh/authorized_keys") == KEY + "\n"
    assert tree.mode("/home/azureuser/.ssh/authorized_keys") == 0o600
    assert tree.mode("/home/azureuser/.ssh") == 0o700
    assert tree.text("/etc/sudoers.d/90-azure-provisioning").endswith("azureuser ALL=(ALL:ALL) NOPASSWD: ALL\n")
    assert tree.mode("/etc/sudoers.d/90-azure-provisioning") == 0o440
    assert "PasswordAuthentication no\n" in tree.text("/etc/ssh/sshd_config.d/00-azure-provisioning.conf")
    assert tree.mode(STATE) == 0o700
    assert tree.text(STATE + "/reported").splitlines()[0] == machine.vm_id
    assert not tree.has(WANTS)
    _said(done.stderr, f"ContainerId: {machine.container_id}", f"InstanceId: {machine.instance_id}", "Response: 200 OK")
    assert done.stderr.splitlines()[-1].startswith("Provisioned vm1 in ")
    assert not [name for name in _all_files(tree.root) if name.endswith("azp-tmp")]


def _all_files(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()]


def test_a_second_run_does_nothing_and_says_so(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    tree.run(*_at(fabric))
    fabric.restart()
    calls = tree.called()
    done = tree.run(*_at(fabric))
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == f"VM {machine.vm_id} is provisioned and reported already: nothing to do"
    assert not fabric.ledger.exchanges
    assert tree.called() == calls


@pytest.mark.parametrize("generation", [1, 2])
def test_the_id_is_known_again_in_the_other_byte_order(scratch: Make, generation: int) -> None:
    machine = Machine(generation=generation, public_keys=(KEY,))
    tree = scratch(machine)
    with Fabric(machine) as fabric:
        assert f"VM {machine.vm_id}, generation {generation}" in tree.run(*_at(fabric)).stderr
        (tree.root / "sys/class/dmi/id/product_uuid").write_text(
            tree.text(STATE + "/applied").splitlines()[1].upper() + "\n"
        )
        assert tree.run(*_at(fabric)).stderr.endswith("nothing to do\n")


@pytest.mark.long
def test_a_recaptured_image_provisions_again_and_leaves_the_old_user_alone(
    fabric: Fabric, scratch: Make, machine: Machine
) -> None:
    tree = scratch(machine)
    tree.run(*_at(fabric))
    second = Machine(name="vm2", admin_username="bea", public_keys=(KEY,))
    become(tree.root, second)
    fabric.restart(second)
    done = tree.run(*_at(fabric))
    assert done.returncode == 0, done.stderr
    assert tree.text("/etc/hostname") == "vm2\n"
    assert "azureuser:" in tree.text("/etc/passwd") and "bea:" in tree.text("/etc/passwd")
    assert tree.text("/home/azureuser/.ssh/authorized_keys") == KEY + "\n"
    assert tree.text(STATE + "/reported").splitlines()[0] == second.vm_id
    assert fabric.ledger.ready


def test_a_lost_report_is_sent_by_the_next_run_and_nothing_is_done_twice(
    fabric: Fabric, scratch: Make, machine: Machine
) -> None:
    tree = scratch(machine)
    fabric.restart(faults=[Fault(service="wireserver", status=500)])
    done = tree.run(*_at(fabric), "--deadline=2")
    assert done.returncode == 2
    _said(done.stderr.splitlines()[-1], "but not reported", "the next boot reports again")
    assert tree.has(STATE + "/applied") and not tree.has(STATE + "/reported") and tree.has(WANTS)
    calls = tree.called()
    fabric.restart(faults=[])
    done = tree.run(*_at(fabric))
    assert done.returncode == 0, done.stderr
    _said(done.stderr, "is provisioned already: reporting again", "reported Ready")
    assert tree.called() == calls
    assert fabric.ledger.ready and not tree.has(WANTS)
    assert not [exchange for exchange in fabric.ledger.exchanges if exchange.service == "imds"]


FAULTS = {
    "IMDS is late": Fault(service="imds", path=INSTANCE, status=503, attempts="1-2"),
    "IMDS has an error": Fault(service="imds", path=INSTANCE, status=500, attempts="1"),
    "IMDS throttles": Fault(service="imds", path=INSTANCE, status=429, attempts="1", retry_after="1"),
    "IMDS is gone for a while": Fault(service="imds", path=INSTANCE, status=410, attempts="1"),
    "IMDS resets": Fault(service="imds", path=INSTANCE, reset=True, attempts="1-2"),
    "IMDS sends half": Fault(service="imds", path=INSTANCE, cut=100, attempts="1"),
    "IMDS drips": Fault(service="imds", path=INSTANCE, drip=3000, attempts="1"),
    "IMDS sends noise": Fault(service="imds", path=INSTANCE, body="<html>", status=200, attempts="1"),
    "no goal state yet": Fault(service="wireserver", path=GOALSTATE, status=503, attempts="1-2"),
    "no role yet": Fault(service="wireserver", path=GOALSTATE, drop="RoleInstanceList", attempts="1"),
    "goal state with a mark": Fault(service="wireserver", path=GOALSTATE, bom=True),
    "report refused": Fault(service="wireserver", path=HEALTH, status=400, attempts="1"),
    "report throttled": Fault(service="wireserver", path=HEALTH, status=503, retry_after="date", attempts="1"),
    "report reset": Fault(service="wireserver", path=HEALTH, reset=True, attempts="1"),
    "incarnation moves on": Fault(service="wireserver", path=GOALSTATE, change="incarnation", attempts="1"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_hiccups_of_the_platform_end_ready(fabric: Fabric, scratch: Make, machine: Machine, fault: Fault) -> None:
    tree = scratch(machine)
    fabric.restart(faults=[fault])
    done = tree.run(*_at(fabric), "--deadline=30", "--report=xml")
    assert done.returncode == 0, done.stderr
    assert fabric.ledger.ready and fabric.ledger.ready.form == "xml"
    assert tree.text("/home/azureuser/.ssh/authorized_keys") == KEY + "\n"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(service="imds", status=403), "http error 403 querying IMDS"),
        (Fault(service="imds", status=500), "http error 500 querying IMDS"),
        (Fault(service="imds", body="[]", status=200), "error parsing IMDS metadata"),
        (Fault(service="imds", reset=True), "connection timeout querying IMDS"),
    ],
)
def test_without_inputs_provisioning_fails_and_the_platform_is_told(
    fabric: Fabric, scratch: Make, machine: Machine, fault: Fault, reason: str
) -> None:
    tree = scratch(machine)
    (tree.root / "etc/azure-provisioning.conf").write_text("MEDIUM_WAIT=0\n")
    fabric.restart(faults=[fault])
    done = tree.run(*_at(fabric), "--deadline=2")
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == "Provisioning failed: " + reason
    assert fabric.ledger.failed and fabric.ledger.failed.description.startswith(reason + "|")
    assert machine.vm_id in fabric.ledger.failed.description
    assert tree.has(WANTS) and not tree.has(STATE + "/applied")


def _medium(tree: Scratch, machine: Machine) -> str:
    folder = tree.root.parent / "medium"
    folder.mkdir()
    (folder / "ovf-env.xml").write_text(ovf_env(machine))
    return f"--medium={folder}"


PASSWORD = "s3cret:with'colon"


def test_the_medium_alone_is_enough(scratch: Make) -> None:
    machine = Machine(name="vm1", admin_password=PASSWORD, disable_password_authentication=False, custom_data="data")
    tree = scratch(machine)
    (tree.root / "etc/azure-provisioning.conf").write_text("IMDS_WAIT=1\n")
    with Fabric(machine, faults=[Fault(service="imds", reset=True)]) as fabric:
        done = tree.run(*_at(fabric), _medium(tree, machine))
        assert done.returncode == 0, done.stderr
        assert fabric.ledger.ready
    assert tree.text(STATE + "/custom-data") == "data"
    assert tree.mode(STATE + "/custom-data") == 0o600
    assert f"azureuser:hashed-by-policy-{len(PASSWORD)}" in tree.text("/etc/shadow")
    assert "PasswordAuthentication yes" in tree.text("/etc/ssh/sshd_config.d/00-azure-provisioning.conf")
    assert "REDACTED" in tree.text(STATE + "/ovf-env.xml")


@pytest.mark.parametrize("env", [{}, {"FAKE_CHPASSWD_CANNOT_HASH": "1"}])
def test_the_password_is_nowhere_but_in_the_shadow_file(scratch: Make, env: dict[str, str]) -> None:
    machine = Machine(admin_password=PASSWORD, disable_password_authentication=False)
    tree = scratch(machine)
    with Fabric(machine) as fabric:
        done = tree.run(*_at(fabric), _medium(tree, machine), env=env)
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stderr + "".join(tree.called())
    for name in _all_files(tree.root):
        assert PASSWORD.encode() not in (tree.root / name).read_bytes(), name
    assert ("azureuser:$6$" in tree.text("/etc/shadow")) == bool(env)


def test_a_document_with_a_dtd_fails_by_its_reason(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    option = _medium(tree, machine)
    path = tree.root.parent / "medium/ovf-env.xml"
    path.write_text('<!DOCTYPE x [<!ENTITY y "z">]>' + ovf_env(machine).partition("?>")[2])
    done = tree.run(*_at(fabric), option)
    assert done.returncode == 1
    assert fabric.ledger.failed and fabric.ledger.failed.description.startswith("error parsing ovf-env.xml|")


@pytest.mark.parametrize(("env", "step"), [({"FAKE_USERADD_FAILS": "1"}, "user"), ({"FAKE_VISUDO_FAILS": "1"}, "sudo")])
def test_a_failing_step_is_named_and_nothing_is_called_ready(
    fabric: Fabric, scratch: Make, machine: Machine, env: dict[str, str], step: str
) -> None:
    tree = scratch(machine)
    done = tree.run(*_at(fabric), env=env)
    assert done.returncode == 1
    assert fabric.ledger.failed and fabric.ledger.failed.description.startswith(f"failure in step {step}|step={step}|")
    assert not tree.has(STATE + "/applied") and not tree.has("/etc/sudoers.d/90-azure-provisioning")
    assert not fabric.ledger.ready
    assert not [name for name in _all_files(tree.root) if "azp-tmp" in name]


def test_stale_lock_files_of_a_power_cut_are_removed(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    lock = tree.root / "etc/passwd.lock"
    lock.write_text("1")
    os.utime(lock, (1, 1))
    done = tree.run(*_at(fabric), env={"FAKE_USERADD_FAILS": "1"})
    _said(done.stderr, "of no process that lives")
    assert not lock.exists()


def test_sshd_keeps_what_it_had_when_it_refuses_ours(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    done = tree.run(*_at(fabric), env={"FAKE_SSHD_HATES": "Written by azure-provisioning"})
    assert done.returncode == 1
    assert not tree.has("/etc/ssh/sshd_config.d/00-azure-provisioning.conf")


def test_an_sshd_that_was_broken_before_does_not_stop_us(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    (tree.root / "etc/ssh/ssh_config").write_text("broken\n")
    done = tree.run(*_at(fabric))
    assert done.returncode == 0
    _said(done.stderr, "it said so before as well")


def test_an_sshd_without_drop_ins_gets_its_line_at_the_head(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    config = tree.root / "etc/ssh/sshd_config"
    config.write_text("PasswordAuthentication yes\nMatch User x\n")
    assert tree.run(*_at(fabric)).returncode == 0
    assert "PasswordAuthentication no\n" in tree.text("/etc/ssh/sshd_config").partition("PasswordAuthentication yes")[0]
    assert tree.text("/etc/ssh/sshd_config").endswith("PasswordAuthentication yes\nMatch User x\n")


@pytest.mark.parametrize("where", [".ssh", ".ssh/authorized_keys"])
def test_no_symbolic_link_in_the_home_is_followed(fabric: Fabric, scratch: Make, machine: Machine, where: str) -> None:
    tree = scratch(machine)
    tree.run(*_at(fabric), "--only=user")
    target = tree.root / "etc/target"
    link = tree.root / "home/azureuser" / where
    link.parent.mkdir(exist_ok=True)
    if where == ".ssh":
        target.mkdir()
    link.symlink_to(target)
    done = tree.run(*_at(fabric))
    assert done.returncode == 1
    assert not target.exists() or not list(target.iterdir())


def test_hooks_run_in_order_with_the_facts(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    hooks = tree.root / "etc/azure-provisioning.d"
    hooks.mkdir()
    for name in ("20-b", "10-a", ".hidden", "old~", "30-not-executable"):
        hook = hooks / name
        hook.write_text(
            f'#!/bin/sh\necho "{name} $AZURE_HOSTNAME $AZURE_ADMIN_USER $AZURE_VM_ID" >>"$AZURE_ROOT/ran"\n'
        )
        hook.chmod(0o644 if name.startswith("30") else 0o755)
    assert tree.run(*_at(fabric)).returncode == 0
    assert tree.text("/ran") == f"10-a vm1 azureuser {machine.vm_id}\n20-b vm1 azureuser {machine.vm_id}\n"


@pytest.mark.parametrize(
    ("script", "reason"), [("exit 3", "hook 10-a failed"), ("sleep 9 & sleep 9", "hook 10-a timed out")]
)
def test_a_hook_that_fails_or_hangs_fails_provisioning_by_its_name(
    fabric: Fabric, scratch: Make, machine: Machine, script: str, reason: str
) -> None:
    tree = scratch(machine)
    (tree.root / "etc/azure-provisioning.conf").write_text("HOOK_TIMEOUT=1\n")
    hook = tree.root / "etc/azure-provisioning.d/10-a"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\n" + script)
    hook.chmod(0o755)
    assert tree.run(*_at(fabric)).returncode == 1
    assert fabric.ledger.failed and fabric.ledger.failed.description.startswith(reason)


@pytest.mark.parametrize(("setting", "ran"), [("run", True), ("save", False)])
def test_custom_data_runs_only_when_the_image_says_so(scratch: Make, setting: str, ran: bool) -> None:
    machine = Machine(custom_data='#!/bin/sh\n: >"$AZURE_ROOT/ran"\n')
    tree = scratch(machine)
    (tree.root / "etc/azure-provisioning.conf").write_text(f"CUSTOM_DATA={setting}\n")
    with Fabric(machine) as fabric:
        assert tree.run(*_at(fabric), _medium(tree, machine)).returncode == 0
    assert tree.has("/ran") is ran


def test_a_dry_run_changes_nothing_and_reports_nothing(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    before = {name: (tree.root / name).lstat().st_mtime_ns for name in _all_files(tree.root)}
    done = tree.run(*_at(fabric), "--dry-run")
    assert done.returncode == 0, done.stderr
    _said(done.stderr, "would write /etc/hostname", "would run useradd", "not reported (--dry-run)")
    assert {name: (tree.root / name).lstat().st_mtime_ns for name in _all_files(tree.root)} == before
    assert not tree.called() and not fabric.ledger.reports


def test_only_and_skip_choose_steps(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    assert tree.run(*_at(fabric), "--only=hostname").returncode == 0
    assert tree.has("/etc/hostname") and not tree.called() and not tree.has(STATE + "/applied")
    assert not fabric.ledger.reports
    assert tree.run(*_at(fabric), "--skip=sudo,sshd").returncode == 0
    assert not tree.has("/etc/sudoers.d/90-azure-provisioning") and fabric.ledger.ready


@pytest.mark.long
def test_an_image_may_report_by_itself(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    (tree.root / "etc/azure-provisioning.conf").write_text("REPORT=none\n")
    early = tree.run("report", *_at(fabric))
    assert early.returncode == 1 and not fabric.ledger.exchanges
    assert tree.run(*_at(fabric)).returncode == 0
    assert not fabric.ledger.reports and tree.has(WANTS)
    assert tree.run("report", *_at(fabric)).returncode == 0
    assert fabric.ledger.ready and not tree.has(WANTS)
    assert tree.run("report", *_at(fabric)).stderr.endswith("nothing to do\n")


def test_a_failure_of_the_image_can_be_reported_by_hand(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    assert tree.run("report", "--failed", "my service <died>", *_at(fabric)).returncode == 0
    assert fabric.ledger.failed and fabric.ledger.failed.description.startswith("my service <died>|agent=")


@pytest.mark.parametrize("form", ["json", "auto"])
def test_the_json_form_is_used_when_chosen_or_when_there_is_no_goal_state(
    fabric: Fabric, scratch: Make, machine: Machine, form: str
) -> None:
    tree = scratch(machine)
    fabric.restart(faults=[Fault(service="wireserver", path=GOALSTATE, status=404)])
    assert tree.run(*_at(fabric), f"--report={form}").returncode == 0
    assert fabric.ledger.ready and fabric.ledger.ready.form == "json"


def test_an_early_report_and_a_kvp_record_are_sent_when_wanted(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    (tree.root / "etc/azure-provisioning.conf").write_text("EARLY_REPORT=yes\n")
    pool = tree.root / "var/lib/hyperv/.kvp_pool_1"
    pool.parent.mkdir()
    pool.write_bytes(b"Other".ljust(512, b"\0") + b"x".ljust(2048, b"\0"))
    assert tree.run(*_at(fabric)).returncode == 0
    assert [(report.state, report.substatus) for report in fabric.ledger.reports] == [
        ("NotReady", "Provisioning"),
        ("Ready", ""),
    ]
    data = pool.read_bytes()
    assert len(data) == 2 * 2560 and data[2560:].startswith(b"PROVISIONING_REPORT\0")
    assert data[2560 + 512 :].startswith(b"result=success|agent=azure-provisioning/")


def test_option_245_of_a_lease_names_the_wireserver(guest, scratch: Make, machine: Machine) -> None:  # type: ignore[no-untyped-def]
    tree = scratch(machine)
    leases = tree.root / "run/systemd/netif/leases"
    leases.mkdir(parents=True)
    (leases / "2").write_text("ADDRESS=10.1.0.4\nOPTION_245=0a010001\n")
    options = guest.parse_options([])
    reporter = guest.Reporter(guest.Tree(str(tree.root), False), options, "auto", None, 0)
    assert reporter._address() == ("10.1.0.1", 80)
    reporter._failures = 3
    assert {reporter._address() for reporter._failures in (3, 4)} == {("10.1.0.1", 80), ("168.63.129.16", 80)}
    options.wireserver = "http://127.0.0.1:8080"
    assert reporter._address() == ("127.0.0.1", 8080)


@pytest.mark.long
@pytest.mark.parametrize("lost", ["group", "home"])
def test_an_interrupted_useradd_is_completed(fabric: Fabric, scratch: Make, machine: Machine, lost: str) -> None:
    tree = scratch(machine)
    tree.run(*_at(fabric), "--only=user")
    if lost == "group":
        (tree.root / "etc/group").write_text("root:x:0:\nadm:x:4:\nsudo:x:27:\n")
    else:
        (tree.root / "home/azureuser").rmdir()
    assert tree.run(*_at(fabric)).returncode == 0
    assert "sudo:x:27:azureuser" in tree.text("/etc/group")
    assert tree.has("/home/azureuser/.ssh/authorized_keys")


def test_where_no_state_can_be_kept_the_vm_is_provisioned_all_the_same(
    fabric: Fabric, scratch: Make, machine: Machine
) -> None:
    tree = scratch(machine)
    (tree.root / "var/lib/azure-provisioning").write_text("a file in the way")
    done = tree.run(*_at(fabric))
    assert done.returncode == 0 and fabric.ledger.ready, done.stderr
    assert "this VM is provisioned again at each boot" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_without_dmi_the_id_comes_from_imds_and_nothing_is_done_twice(
    fabric: Fabric, scratch: Make, machine: Machine
) -> None:
    tree = scratch(machine)
    (tree.root / "sys/class/dmi/id/product_uuid").unlink()
    assert tree.run(*_at(fabric)).returncode == 0
    assert tree.text(STATE + "/reported").splitlines()[0] == machine.vm_id
    fabric.restart()
    calls = tree.called()
    again = tree.run(*_at(fabric))
    assert again.stderr.endswith("nothing to do\n")
    assert tree.called() == calls and not fabric.ledger.reports


@pytest.mark.long
def test_doas_is_used_where_there_is_no_sudo(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    (tree.root / "usr/bin/sudo").rename(tree.root / "usr/bin/doas")
    (tree.root / "etc/doas.conf").write_text("permit persist :wheel")
    for _ in range(2):
        assert tree.run(*_at(fabric), "--only=user,sudo").returncode == 0
    assert tree.text("/etc/doas.conf").startswith("permit persist :wheel\n#")
    assert tree.text("/etc/doas.conf").count("permit nopass azureuser\n") == 1


@pytest.mark.long
def test_the_host_is_named_by_the_medium_without_asking_anybody(
    fabric: Fabric, scratch: Make, machine: Machine
) -> None:
    tree = scratch(machine)
    option = _medium(tree, machine)
    done = tree.run("name", *_at(fabric), option)
    assert (done.returncode, tree.text("/etc/hostname")) == (0, "vm1\n")
    assert not fabric.ledger.exchanges and not tree.has(STATE + "/applied") and tree.has(WANTS)
    assert tree.run(*_at(fabric), option).returncode == 0
    (tree.root / "etc/hostname").write_text("renamed-by-its-owner\n")
    assert tree.run("name", *_at(fabric), option).returncode == 0
    assert tree.text("/etc/hostname") == "renamed-by-its-owner\n"


def test_naming_never_fails_a_boot(fabric: Fabric, scratch: Make, machine: Machine) -> None:
    tree = scratch(machine)
    option = _medium(tree, machine)
    (tree.root.parent / "medium/ovf-env.xml").write_text("<")
    done = tree.run("name", *_at(fabric), option)
    assert done.returncode == 0
    _said(done.stderr, "warning: not named yet: error parsing ovf-env.xml")
    assert tree.run("name", *_at(fabric), "--medium=none").returncode == 0
    assert not tree.has("/etc/hostname")
