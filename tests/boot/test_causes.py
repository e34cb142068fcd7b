"""Every cause by itself, and its near misses: from a record made by hand to the code that scripts read. No boots."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from azready.boot import series
from azready.boot.diagnosis import diagnose
from azready.boot.diagnosis.early import stuck_early
from azready.boot.diagnosis.questions import speakers
from azready.boot.record import BootRecord, Cause, Check, ConsoleLine, Expectation, JournalLine, MachineFacts, Milestone
from azready.boot.watching.login import SESSION_ENDS
from azready.fabric.faults import Fault
from azready.fabric.ledger import Exchange, Finding, HealthReport
from azready.fabric.verdict import Verdict

SILENT = Verdict("OSProvisioningTimedOut", None, "nothing was heard")
READY = Verdict("", 3.0, "reported Ready")
LEASE = Exchange(2.0, "dhcp", "DHCPACK", "10.1.0.4", 200)
DISCOVER = Exchange(1.0, "dhcp", "DHCPDISCOVER", "mac", None)
IMDS = Exchange(2.5, "imds", "GET", "/metadata/instance?api-version=2021-08-01", 200)
GOAL = Exchange(3.0, "wireserver", "GET", "/machine?comp=goalstate", 200)
POSTED = Exchange(3.2, "wireserver", "POST", "/machine?comp=health", 410)
WRONG = Finding(3.2, "health-incarnation", "error", "reported for incarnation 1", "ask for the goal state again")
TRACE = ("Traceback (most recent call last):", '  File "x.py", line 1', "    import y", "ImportError: no y", "goes on")
MARKED = "Provisioning already completed, skipping."


def boot(
    *exchanges: Exchange,
    vm: bool = False,
    console: Sequence[str] = (),
    journal: Sequence[tuple[str, str]] = (),
    up: bool = True,
    reports: Sequence[HealthReport] = (),
    findings: Sequence[Finding] = (),
    failed: Sequence[tuple[str, str]] = (),
    faults: Sequence[Fault] = (),
    ready: bool = False,
    number: int = 1,
    copy: bool = False,
    expected: Expectation = "ready",
    machine: MachineFacts = MachineFacts(),
) -> BootRecord:
    """A boot of 40 s that ended silent, or Ready with checks that failed; `up` has reached multi-user.target."""
    stones = (
        *((Milestone("kernel", 0.1),) if vm and console else ()),
        *((Milestone("multi-user", 9.0),) if up else ()),
    )
    return BootRecord(
        number=number,
        title="first boot",
        target="t",
        how="qemu/tcg/uefi" if vm else "container",
        started="",
        seconds=40.0,
        deadline=40.0,
        verdict=READY if ready else SILENT,
        expected=expected,
        kind="qemu" if vm else "container",
        copy=copy,
        machine=machine,
        faults=tuple(faults),
        milestones=stones,
        exchanges=exchanges,
        findings=tuple(findings),
        reports=tuple(reports),
        journal=tuple(JournalLine(5.0 + at / 10, who, text) for at, (who, text) in enumerate(journal)),
        console=tuple(ConsoleLine(1.0 + at, text) for at, text in enumerate(console)),
        checks=tuple(Check(name, "failed", detail) for name, detail in failed),
    )


def report(substatus: str, description: str = "", state: str = "NotReady", **more: object) -> HealthReport:
    return HealthReport(3.0, "xml", state, substatus, description, **more)  # type: ignore[arg-type]


KERNEL = "[    0.0] Linux version 6.1.0"
PANIC = "Kernel panic - not syncing: Attempted to kill init!"
NO_TIMER = "Kernel panic - not syncing: IO-APIC + timer doesn't work!"
JOB = "Job dev-vda.device running (5s / 1min)"
REFUSED = ("ssh login", "Permission denied (publickey)")
HUNG_UP = ("ssh login", "Connection closed by 10.1.0.4 port 22")
UNREACHED = ("ssh login", "Connection refused")

CAUSES: tuple[tuple[str, BootRecord, str], ...] = (
    # what was reported
    ("reported-failure", boot(GOAL, reports=[report("ProvisioningFailed", "no key")]), "no key"),
    ("reported-failure", boot(GOAL, reports=[report("ProvisioningFailed")]), "no reason given"),
    ("reported-failure", boot(GOAL, reports=[report("", "odd")]), "odd"),
    (
        "reported-failure",
        boot(GOAL, reports=[report("Provisioning"), report("ProvisioningFailed", "late")]),
        "late",
    ),
    (
        "two-provisioners",
        boot(GOAL, reports=[report("ProvisioningFailed", "cloud-init appears to be installed and enabled")]),
        "cloud-init appears",
    ),
    ("no-medium", boot(GOAL, reports=[report("ProvisioningFailed", "[CopyOvfEnv] Error mounting DVD")]), "CopyOvfEnv"),
    (
        "agent-crashed",
        boot(
            GOAL,
            reports=[report("ProvisioningFailed", "the provisioning unit did not run: exit-code")],
            journal=[("azure-provisioning", line) for line in TRACE],
        ),
        "ImportError: no y",
    ),
    (
        "reported-failure",
        boot(GOAL, reports=[report("ProvisioningFailed", "the provisioning unit did not run: timeout")]),
        "did not run: timeout",
    ),
    ("report-refused", boot(GOAL, POSTED, findings=[WRONG]), "reported for incarnation 1"),
    ("report-refused", boot(GOAL, POSTED), "POST /machine?comp=health → 410"),
    ("report-refused", boot(GOAL, replace(POSTED, status=400, target="/HealthService")), "→ 400"),
    # before any service
    ("no-kernel-output", boot(vm=True, up=False), ""),
    ("no-kernel-output", boot(vm=True, up=False, console=["", "   "]), ""),
    ("no-serial-console", boot(LEASE, IMDS, vm=True, up=False), "2 requests reached"),
    (
        "no-boot-loader",
        replace(boot(vm=True, up=False, console=["No bootable option"]), milestones=()),
        "No boo",
    ),
    ("no-init", boot(up=False, console=["azready: cannot run /init: Exec format error"]), "Exec format"),
    ("no-kernel", replace(boot(vm=True, up=False, console=["GRUB loading.", "a", "b", "c"]), milestones=()), "c"),
    (
        "no-root-device",
        boot(vm=True, up=False, console=[KERNEL, "Gave up waiting for root device."]),
        "Gave",
    ),
    (
        "no-root-device",
        boot(
            vm=True,
            up=False,
            console=[KERNEL, "Welcome to Debian (Initramfs)!", JOB],
        ),
        "Job dev-vda",
    ),
    (
        "kernel-panic",
        boot(vm=True, up=False, console=[KERNEL, PANIC]),
        "kill",
    ),
    (
        "starved-emulator",
        boot(vm=True, up=False, console=[KERNEL, NO_TIMER]),
        "IO-APIC",
    ),
    (
        "emergency-mode",
        boot(
            vm=True,
            up=False,
            console=[KERNEL, "Dependency failed for /data.", "You are in emergency mode. After logging in"],
        ),
        "Dependency failed for /data.",
    ),
    ("emergency-mode", boot(vm=True, up=False, console=[KERNEL, "You are in emergency mode."]), "You are in"),
    ("medium-wait", boot(LEASE, console=["Timed out waiting for device dev-sr0.device"], up=False), "dev-sr0"),
    (
        "medium-wait",
        boot(LEASE, vm=True, up=False, console=[KERNEL, "Found device /dev/sr0.", "Failed to mount media.mount - CD."]),
        "Failed to mount media.mount",
    ),
    ("slow-boot", boot(up=False, journal=[("systemd", "Starting big-job.service - Work...")]), "big-job.service"),
    ("slow-boot", boot(IMDS, up=False, console=["A start job is running for /data (5s / no limit)"]), "/data"),
    # who should have provisioned
    ("agent-crashed", boot(LEASE, journal=[("waagent", line) for line in TRACE]), "ImportError: no y"),
    ("agent-crashed", boot(LEASE, IMDS, GOAL, journal=[("mine", line) for line in TRACE]), "ImportError: no y"),
    ("agent-crashed", boot(LEASE, journal=[("systemd", "waagent.service: Failed at step EXEC spawning /x")]), "EXEC"),
    (
        "provisioner-waits-for-another",
        boot(LEASE, journal=[("waagent", "Waiting for cloud-init")]),
        "Waiting",
    ),
    ("stale-marker", boot(LEASE, journal=[("waagent", MARKED)]), MARKED),
    ("stale-marker", boot(LEASE, number=2, journal=[("waagent", MARKED)]), MARKED),
    ("stale-marker", boot(LEASE, copy=True), "no request to IMDS or the WireServer"),
    ("stale-marker", boot(LEASE, copy=True, number=2), "no request to IMDS or the WireServer"),
    (
        "two-provisioners",
        boot(LEASE, journal=[("waagent", "starts"), ("cloud-init", "starts")]),
        "waagent: starts",
    ),
    ("no-provisioner", boot(LEASE), "no provisioner spoke"),
    ("no-provisioner", boot(LEASE, number=2, failed=[("unit stays on", "disabled")]), "unit stays on: disabled"),
    # the network
    ("no-dhcp", boot(), ""),
    ("no-dhcp", boot(journal=[("ifup", "Cannot find device eth0")]), "Cannot find device"),
    ("no-lease", boot(DISCOVER, DISCOVER), "2 × DHCPDISCOVER"),
    ("no-lease", boot(journal=[("dhcpcd", "eth0: soliciting a DHCP lease")]), "soliciting"),
    ("no-lease", boot(faults=[Fault(service="dhcp", silent=True)]), "fault in force"),
    ("no-lease", boot(DISCOVER, faults=[Fault(service="dhcp", without=(3,))]), "fault in force"),
    (
        "no-route",
        boot(LEASE, journal=[("azure-provisioning", "IMDS: 169.254.169.254: Network is unreachable")]),
        "unreachable",
    ),
    ("no-route", boot(LEASE, IMDS, journal=[("cloud-init", "goal state: connect: timed out")]), "timed out"),
    (
        "network-lost",
        boot(LEASE, IMDS, GOAL, journal=[("ifup", "failed to bring up eth0"), ("waagent", "WireServer timed out")]),
        "failed to bring up eth0",
    ),
    (
        "network-lost",
        boot(
            LEASE,
            IMDS,
            GOAL,
            journal=[
                *(("ifup", f"failed to bring up eth{number}") for number in range(4)),
                *(("waagent", f"WireServer {number} timed out") for number in "ab"),
            ],
        ),
        "WireServer a timed out",
    ),
    (
        "two-provisioners",
        boot(LEASE, journal=[(who, text) for text in ("starts", "goes on") for who in ("waagent", "cloud-init")]),
        "cloud-init: starts",
    ),
    # answers
    ("platform-refused", boot(LEASE, replace(IMDS, status=503), replace(IMDS, status=503)), "→ 503"),
    (
        "platform-refused",
        boot(
            LEASE,
            replace(IMDS, status=400),
            findings=[
                Finding(1.0, "a", "warning", "a remark", "nothing"),
                Finding(2.0, "b", "error", "twice", "do it"),
                WRONG,
            ],
        ),
        "twice",
    ),
    (
        "no-lease",
        boot(DISCOVER, journal=[("dhclient", f"DHCPDISCOVER on eth{number}") for number in range(3)]),
        "DHCPDISCOVER on eth1",
    ),
    ("platform-refused", boot(LEASE, replace(GOAL, status=None, fault="lost")), "no answer (a fault on purpose: lost)"),
    ("no-report", boot(LEASE, IMDS), "/metadata/instance"),
    ("no-report", boot(LEASE, IMDS, GOAL), "comp=goalstate"),
    ("unknown", boot(LEASE, up=False), ""),
    # the platform is content, the owner is not
    ("stale-marker", boot(ready=True, failed=[REFUSED], journal=[("waagent", MARKED)]), "Permission denied"),
    (
        "slow-boot",
        boot(ready=True, up=False, failed=[UNREACHED], journal=[("systemd", "Starting x.service")]),
        "x.serv",
    ),
    ("login-refused", boot(ready=True, failed=[REFUSED], journal=[("sshd", "Invalid user joe")]), "Invalid user joe"),
    (
        "login-refused",
        boot(ready=True, failed=[REFUSED], machine=MachineFacts(keys=2, keys_broken=True)),
        "the platform's keys: 2",
    ),
    ("no-sshd", boot(ready=True, failed=[UNREACHED]), "Connection refused"),
    (
        "no-sshd",
        boot(ready=True, failed=[UNREACHED], journal=[("sshd", "no hostkeys available -- exiting.")]),
        "no hostkeys",
    ),
    (
        "login-closed",
        boot(ready=True, failed=[HUNG_UP], journal=[("sshd", "fatal: Access denied for user a by PAM account")]),
        "Access denied",
    ),
    (
        "login-closed",
        boot(ready=True, failed=[HUNG_UP], journal=[("azure-provisioning", "warning: pam_time may keep a out: x")]),
        "pam_time",
    ),
    ("no-sshd", boot(ready=True, vm=True, failed=[HUNG_UP]), "Connection closed"),
    ("login-closed", boot(ready=True, failed=[("ssh login", "kex_exchange_identification: read: reset")]), "kex"),
    (
        "no-shell",
        boot(ready=True, failed=[("ssh login", SESSION_ENDS)], journal=[("sshd", "error: PAM: pam_open_session(): x")]),
        "pam_open_session",
    ),
    ("wrong-host-name", boot(ready=True, failed=[("host name", "localhost")]), "localhost"),
    ("no-sudo", boot(ready=True, failed=[("sudo", "a password is required")]), "a password"),
    ("unit-still-on", boot(ready=True, failed=[("unit is off", "enabled")]), "enabled"),
    (
        "starved-emulator",
        boot(ready=True, failed=[UNREACHED], console=[NO_TIMER]),
        "IO-APIC",
    ),
    # reported again
    (
        "reported-again",
        boot(expected="silence", number=2, reports=[report("", state="Ready", agent="a/1")]),
        "Ready by a/1",
    ),
    (
        "two-provisioners",
        boot(expected="silence", number=2, reports=[report("", state="Ready")], journal=[("waagent", "starts")]),
        "3.0 s: Ready",
    ),
)


@pytest.mark.parametrize(("code", "record", "seen"), CAUSES, ids=[f"{n}-{row[0]}" for n, row in enumerate(CAUSES)])
def test_the_cause_of_a_boot(code: str, record: BootRecord, seen: str) -> None:
    found = diagnose(record)
    assert found is not None
    assert found.code == code, found
    assert seen in "\n".join(found.evidence)
    assert found.says and found.fix
    assert found.blames == ("host" if code == "starved-emulator" else "image")


STARVED = Cause("starved", "the guest got too little", ("3 % of the time",), "boot it later", blames="host")


@pytest.mark.parametrize(
    ("console", "trouble", "code"),
    [
        ((KERNEL, NO_TIMER), STARVED, "starved-emulator"),
        ((KERNEL, PANIC), STARVED, "starved"),
        ((KERNEL, NO_TIMER), replace(STARVED, code="qemu-died"), "qemu-died"),
        ((KERNEL, NO_TIMER), None, "starved-emulator"),
    ],
)
def test_a_kernel_that_got_no_processor_says_more_than_how_little_it_got(
    console: Sequence[str], trouble: Cause | None, code: str
) -> None:
    found = series._cause(replace(boot(vm=True, up=False, console=console), cause=trouble))
    assert found and found.code == code


APPROVED = Path(__file__).with_name("causes.txt")


def test_causes_are_told_in_the_approved_words(pytestconfig: pytest.Config) -> None:
    """All that users read of each: `pytest tests/boot/test_causes.py --approve` writes the file anew."""
    said = ""
    for _, record, _ in CAUSES:
        found = diagnose(record)
        assert found is not None
        said += f"# {found.code}\n{found.says}\n"
        said += "".join(f"    {line}\n" for line in found.evidence) + f"fix: {found.fix}\n\n"
    if pytestconfig.getoption("--approve"):
        APPROVED.write_text(said)
    assert said == APPROVED.read_text()


def _never(code: str, record: BootRecord) -> None:
    found = diagnose(record)
    assert found is None or found.code != code, found


@pytest.mark.parametrize(
    ("code", "record"),
    [
        # an accepted "still at work" is no failure; nor is a report that the platform never took
        ("reported-failure", boot(GOAL, reports=[report("Provisioning")])),
        ("reported-failure", boot(GOAL, reports=[report("ProvisioningFailed", accepted=False)])),
        # refused by a fault of the platform's own, or not at all
        ("report-refused", boot(GOAL, replace(POSTED, fault="busy"))),
        ("report-refused", boot(GOAL, replace(POSTED, status=500))),
        ("report-refused", boot(GOAL, replace(POSTED, status=399))),
        ("report-refused", boot(GOAL, replace(POSTED, target="/machine?comp=telemetrydata"))),
        ("report-refused", boot(GOAL, replace(POSTED, method="GET"))),
        # a container has no serial console of its own
        ("no-kernel-output", boot(up=False)),
        ("no-kernel", boot(up=False, console=["GRUB loading."])),
        ("no-kernel", boot(LEASE, vm=True, up=False, console=["GRUB loading."])),
        # the initramfs was left
        (
            "no-root-device",
            boot(
                vm=True,
                up=False,
                console=[KERNEL, "Running in initrd.", JOB, "Found device"],
            ),
        ),
        # what was only found is no failed mount
        ("medium-wait", boot(LEASE, vm=True, console=[KERNEL, "Found device /dev/sr0."])),
        ("medium-wait", boot(LEASE, vm=True, console=[KERNEL, "Failed to mount data.mount - Data."])),
        # a unit that came to its end is waited for no more; nor is the provisioner itself
        (
            "slow-boot",
            boot(up=False, journal=[("systemd", "Starting a.service..."), ("systemd", "Started a.service.")]),
        ),
        ("slow-boot", boot(up=False, journal=[("systemd", "Starting waagent.service - Azure...")])),
        ("slow-boot", boot(journal=[("systemd", "Starting big-job.service - Work...")])),
        ("slow-boot", boot(LEASE, up=False, journal=[("other", "Starting big-job.service - Work...")])),
        # one provisioner is not two
        ("two-provisioners", boot(LEASE, journal=[("waagent", "starts"), ("waagent", "goes on")])),
        ("two-provisioners", boot(LEASE, journal=[("systemd", "Started cloud-init.service"), ("waagent", "starts")])),
        # marked, in the second boot of the same VM, is right
        ("stale-marker", boot(ready=True, number=2, failed=[REFUSED], journal=[("waagent", MARKED)])),
        ("stale-marker", boot(ready=True, failed=[("sudo", "x")], journal=[("waagent", MARKED)])),
        ("stale-marker", boot(LEASE, IMDS, copy=True)),
        # who spoke with the platform is there
        ("no-provisioner", boot(LEASE, IMDS)),
        ("no-provisioner", boot(LEASE, journal=[("waagent", "starts")])),
        ("no-dhcp", boot(IMDS)),
        ("no-dhcp", boot(LEASE)),
        ("no-lease", boot(LEASE, faults=[Fault(service="imds", silent=True)])),
        # the WireServer was reached
        ("no-route", boot(LEASE, GOAL, journal=[("azure-provisioning", "168.63.129.16: timed out")])),
        ("no-route", boot(LEASE, journal=[("chronyd", "timed out")])),
        # the network was lost before it was used
        ("network-lost", boot(LEASE, replace(IMDS, at=39.0), journal=[("ifup", "failed to bring up eth0")])),
        ("network-lost", boot(LEASE, IMDS, journal=[("waagent", "WireServer timed out")])),
        # it recovered
        ("platform-refused", boot(LEASE, replace(IMDS, status=503), IMDS)),
        ("platform-refused", boot(LEASE, replace(IMDS, status=399), GOAL)),
        ("no-shell", boot(ready=True, failed=[UNREACHED])),
        ("login-refused", boot(ready=True, failed=[UNREACHED])),
        ("reported-again", boot(expected="silence", number=2, failed=[("sudo", "x")])),
    ],
)
def test_near_misses_are_not_that_cause(code: str, record: BootRecord) -> None:
    _never(code, record)


def test_a_boot_that_went_well_has_none() -> None:
    assert diagnose(boot(LEASE, IMDS, GOAL, ready=True)) is None
    assert diagnose(boot(expected="silence", number=2)) is None


def test_what_was_said_after_we_switched_it_off_is_no_clue() -> None:
    late = ConsoleLine(40.1, "Kernel panic - not syncing: Attempted to kill init!")
    _never("kernel-panic", replace(boot(LEASE), console=(late,)))


def test_the_units_that_wait_are_counted_and_the_network_comes_last() -> None:
    waits = [("systemd", f"Starting {name}.service...") for name in ("wait-online", "a", "b", "c")]
    found = diagnose(boot(up=False, journal=waits))
    assert found is not None
    assert found.says == "the boot still waits for a.service and 3 more"
    assert len(found.evidence) == 3 and "time limit" in found.fix
    alone = diagnose(boot(up=False, journal=waits[:1]))
    assert alone is not None
    assert alone.says == "the boot still waits for wait-online.service" and "network card" in alone.fix


def test_a_crash_is_quoted_from_its_first_line_to_the_exception() -> None:
    journal = [("agent", TRACE[0]), ("other", "in between"), *[("agent", line) for line in TRACE[1:]]]
    found = diagnose(boot(LEASE, IMDS, journal=journal))
    assert found is not None
    assert found.evidence == tuple(line.strip() for line in TRACE[1:4])
    deep = [("agent", TRACE[0]), *[("agent", f"  File {number}") for number in range(9)], ("agent", "E: it")]
    long = diagnose(boot(LEASE, IMDS, journal=deep))
    assert long is not None and long.evidence == (*(f"File {number}" for number in range(4, 9)), "E: it")


def test_how_often_it_asked_is_told() -> None:
    once = diagnose(boot(LEASE, replace(IMDS, status=503)))
    thrice = diagnose(boot(LEASE, *[replace(IMDS, status=503, at=at) for at in (2.0, 3.0, 4.0)]))
    assert once is not None and thrice is not None
    assert once.says.endswith("the guest did not ask again") and "--heal" in once.fix
    assert thrice.says.endswith("the guest asked 3 times")
    assert thrice.evidence == ("4.0 s: GET /metadata/instance?api-version=2021-08-01 → 503",)


def test_refusals_are_counted_and_name_their_fix() -> None:
    found = diagnose(boot(GOAL, POSTED, POSTED, findings=[WRONG, WRONG]))
    assert found is not None
    assert found.says.startswith("2 health reports reached the platform") and found.evidence == (WRONG.message,)
    assert found.fix == WRONG.fix
    single = diagnose(boot(GOAL, POSTED))
    assert single is not None and single.says.startswith("a health report reached") and "docs/" in single.fix


def test_several_nics_are_named_where_a_route_is_missing() -> None:
    lines = [("azure-provisioning", "IMDS: 169.254.169.254: Network is unreachable")]
    one, two = (diagnose(boot(LEASE, journal=lines, machine=MachineFacts(nics=nics))) for nics in (1, 2))
    assert one is not None and two is not None
    assert "several NICs" in two.fix and "several NICs" not in one.fix
    assert one.says == "the guest has an address, but reaches neither platform address"


def test_who_spoke_is_known_by_the_user_agent_too() -> None:
    def named(header: str) -> BootRecord:
        return boot(LEASE, replace(IMDS, request_headers=((header, "WALinuxAgent/2.9"),)))

    assert [agent.called for agent in speakers(named("User-Agent"))] == ["walinuxagent"]
    assert speakers(named("X-Other")) == ()


def test_after_basic_target_no_unit_blocks_the_boot_early() -> None:
    record = boot(up=False, journal=[("systemd", "Starting big-job.service - Work...")])
    assert stuck_early(record) is not None
    assert stuck_early(replace(record, milestones=(Milestone("basic.target", 3.0),))) is None
    assert stuck_early(replace(record, exchanges=(DISCOVER,))) is None
