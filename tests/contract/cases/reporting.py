"""The verb report for images that report by themselves: when a unit of theirs is up, and meanwhile."""

from azready.fabric.faults import Fault
from tests.contract.case import (
    GOAL,
    HEALTH,
    LINK,
    STATE,
    USUAL,
    Case,
    File,
    Node,
    Report,
    begun,
    failed,
    machine,
    stamp,
)

VM = machine()
REPORTED = USUAL[1:]
AWAIT = "usr/lib/azure-provisioning/await-unit"
APPLIED: dict[str, Node | None] = {f"{STATE}/applied": stamp(VM), "etc/hostname": File("web1\n")}
REPORTS: dict[str, Node | None] = {f"{STATE}/reported": stamp(VM), LINK: None, **begun()}
DIED = "my.service failed: exit-code, status 3: no <database>"


def later(name: str, *options: str, unit: str = "", **more: object) -> Case:
    """`report` with options on a VM that is provisioned; `unit` is what await-unit does in place of asking systemd."""
    usual: dict[str, object] = {
        "options": ("report", *options),
        "settings": "REPORT=none\n",
        "tree": {**APPLIED, AWAIT: File(f"{unit}\n", 0o755)},
        "commands": (),
        "requests": REPORTED,
        "changes": REPORTS,
        "verdict": "Provisioned web1 in T s: reported Ready",
    }
    return Case(name, **{**usual, **more})  # type: ignore[arg-type]


WAITS = ("--wait-for", "my.service")
SECOND_TIME = '[ "$1 $2" = "my.service 1" ] && [ -e "$0.asked" ] && echo up || : >"$0.asked"'
AT_WORK = Report("NotReady", "still at work", "Provisioning")

CASES = [
    later("the unit is up", *WAITS, unit='[ "$1" = my.service ] && echo up', everywhere=True),
    later(
        "the unit is up in the end, and the platform hears meanwhile that work goes on",
        *WAITS,
        "--every=1",
        unit=SECOND_TIME,
        requests=(*REPORTED, *REPORTED),
        changes={**REPORTS, f"{AWAIT}.asked": File("")},
        everywhere=True,
    ),
    later(
        "the unit failed",
        *WAITS,
        unit=f'echo "{DIED}"',
        changes=begun(),
        report=failed(DIED),
        verdict=f"Provisioning failed: {DIED}",
        everywhere=True,
    ),
    later(
        "the unit failed before the VM is provisioned",
        *WAITS,
        unit="echo my.service is masked",
        tree={AWAIT: File("echo my.service is masked\n", 0o755)},
        changes=begun(),
        report=failed("my.service is masked"),
        verdict="Provisioning failed: my.service is masked",
    ),
    later(
        "the unit is not up in time",
        *WAITS,
        "--deadline=1",
        "--every=1",
        unit="sleep 1",
        requests=REPORTED,
        repeats=True,
        changes=begun(),
        report=failed("my.service is not up in time"),
        verdict="Provisioning failed: my.service is not up in time",
    ),
    later(
        "systemd cannot be asked",
        *WAITS,
        unit="exit 3",
        changes=begun(),
        report=failed("systemd cannot be asked of my.service"),
        verdict="Provisioning failed: systemd cannot be asked of my.service",
    ),
    later(
        "the unit is up, and a report is refused at first",
        *WAITS,
        unit="echo up",
        faults=(Fault("f", "wireserver", path="*health*", attempts="1", status=503),),
        requests=(f"{GOAL} 200", f"{HEALTH} 503", f"{GOAL} 200", f"{HEALTH} 200"),
    ),
    later(
        "what is reported is not waited for again",
        *WAITS,
        unit="exit 9",
        tree={**APPLIED, f"{STATE}/reported": stamp(VM)},
        requests=(),
        changes=begun(),
        report=None,
        verdict=f"VM {VM.vm_id} is provisioned and reported already: nothing to do",
    ),
    later(
        "still at work",
        "--in-progress",
        tree={},
        changes={},
        report=AT_WORK,
        verdict="Reported that work goes on",
        everywhere=True,
    ),
    later(
        "still at work, every second",
        "--in-progress",
        "--every=1",
        "--deadline=3",
        tree={},
        repeats=True,
        changes={},
        report=AT_WORK,
        verdict="Reported that work goes on",
    ),
    later(
        "still at work, and the platform takes no report",
        "--in-progress",
        tree={},
        faults=(Fault("f", "wireserver", path="*health*", status=503),),
        requests=(f"{GOAL} 200", f"{HEALTH} 503"),
        exit=2,
        told=False,
        changes={},
        report=None,
        verdict="Not reported: health report: 503 Service Unavailable",
    ),
    later(
        "still at work is no news of a VM that is Ready",
        "--in-progress",
        tree={**APPLIED, f"{STATE}/reported": stamp(VM)},
        requests=(),
        changes=begun(),
        report=None,
        verdict=f"VM {VM.vm_id} is provisioned and reported already: nothing to do",
    ),
    later(
        "by JSON, as told",
        "--report=json",
        requests=("wireserver POST /provisioning/health 201",),
        report=Report("Ready", form="json"),
    ),
]
