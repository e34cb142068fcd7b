"""The platform's moods: IMDS, the goal state and the report, each refused, late, cut or malformed."""

from azready import __version__
from azready.fabric.faults import Fault
from tests.contract.case import (
    GOAL,
    HEALTH,
    IMDS,
    JSON,
    OLD_IMDS,
    STATE,
    USUAL,
    Case,
    File,
    Report,
    begun,
    failed,
    imds,
    machine,
    named,
    provisioned,
    stamp,
    stamps,
)

BACKSLASH = imds(compute__osProfile__adminUsername='a\\b"c&<d>')
QUICK = ("--deadline", "3")
REPORTED = (f"{GOAL} 200", f"{HEALTH} 200")
BY_JSON = Report("Ready", form="json")


def mood(name: str, fault: Fault, requests: tuple[str, ...], **more: object) -> Case:
    """A fault that a good guest gets over."""
    return Case(name, **{"faults": (fault,), "requests": requests, "changes": provisioned(), **more})  # type: ignore[arg-type]


def imds_fails(name: str, fault: Fault, requests: tuple[str, ...], reason: str, error: str) -> Case:
    """IMDS never gives a document, and there is no medium."""
    return Case(
        name,
        faults=(fault,),
        options=("--deadline", "1"),
        settings="MEDIUM_WAIT=0\n",
        everywhere="401" in name,
        exit=1,
        commands=(),
        changes=begun(),
        requests=(*requests, *REPORTED),
        repeats=True,
        report=failed(reason, f"error={error}", "url=http://127.0.0.1:PORT"),
    )


def unreported(name: str, fault: Fault, requests: tuple[str, ...], why: str, **more: object) -> Case:
    """Everything is done, but no report is accepted: the next boot reports again."""
    done = {path: node for path, node in provisioned().items() if node is not None and not path.endswith("reported")}
    return Case(
        name,
        **{  # type: ignore[arg-type]
            "faults": (fault,),
            "options": ("--deadline", "1"),
            "exit": 2,
            "report": None,
            "changes": done,
            "requests": requests,
            "repeats": True,
            "verdict": f"Provisioned web1 in T s, but not reported: {why}; the next boot reports again",
            **more,
        },
    )


def imds_fault(**fields: object) -> Fault:
    return Fault(**{"name": "f", "service": "imds", "path": "/metadata/instance*", **fields})  # type: ignore[arg-type]


def goal_fault(**fields: object) -> Fault:
    return Fault(**{"name": "f", "service": "wireserver", "path": "*goalstate*", **fields})  # type: ignore[arg-type]


def health_fault(**fields: object) -> Fault:
    return Fault(**{"name": "f", "service": "wireserver", "path": "*health*", **fields})  # type: ignore[arg-type]


RECORD = f"result=success|agent=azure-provisioning/{__version__}|vm_id={machine().vm_id}|timestamp={'T' * 20}"
"""What Hyper-V is told of a run that ended Ready."""

CASES = [
    mood("IMDS 404 once", imds_fault(attempts="1", status=404), (f"{IMDS} 404", *USUAL)),
    mood("IMDS 410 once", imds_fault(attempts="1", status=410), (f"{IMDS} 410", *USUAL)),
    mood(
        "IMDS 429 with Retry-After",
        imds_fault(attempts="1", status=429, retry_after="1"),
        (f"{IMDS} 429", *USUAL),
        everywhere=True,
    ),
    mood(
        "numbers with zeros at their head are not octal",
        imds_fault(attempts="1", status=429, retry_after="08"),
        (f"{IMDS} 429", *USUAL),
        options=("--deadline", "08"),
        settings="DEADLINE=09\nIMDS_WAIT=08\nMEDIUM_WAIT=09\nHOOK_TIMEOUT=08\n",
        tree={"etc/azure-provisioning.d/10-x": File("#!/bin/sh\n", 0o755)},
        says=("hooks: 10-x",),
        everywhere=True,
    ),
    mood("IMDS 503 twice", imds_fault(attempts="1-2", status=503), (f"{IMDS} 503", f"{IMDS} 503", *USUAL)),
    mood(
        "IMDS is too old for extended",
        imds_fault(path="*2021-08-01*", status=400),
        (f"{IMDS} 400", f"{OLD_IMDS} 200", *REPORTED),
        commands=(),
        changes={**stamps(machine()), **named()},
    ),
    mood("IMDS resets the connection once", imds_fault(attempts="1", reset=True), (f"{IMDS} None", *USUAL)),
    mood("IMDS cuts its document once", imds_fault(attempts="1", cut=200), (f"{IMDS} 200", *USUAL), everywhere=True),
    mood(
        "IMDS sends half a document once",
        imds_fault(attempts="1", body='{"compute":{"name":"x"'),
        (f"{IMDS} 200", *USUAL),
    ),
    mood("IMDS sends a page of HTML once", imds_fault(attempts="1", body="<html>busy</html>"), (f"{IMDS} 200", *USUAL)),
    mood("IMDS sends a document without compute once", imds_fault(attempts="1", body="{}"), (f"{IMDS} 200", *USUAL)),
    mood("IMDS with a BOM", imds_fault(bom=True), USUAL),
    mood("IMDS in drops", imds_fault(attempts="1", drip=8000.0), USUAL),
    imds_fails(
        "IMDS 401 for good",
        imds_fault(status=401),
        (f"{IMDS} 401",),
        "http error 401 querying IMDS",
        "401 Unauthorized",
    ),
    imds_fails(
        "a document of more than 1 MiB",
        imds_fault(oversize=1 << 20),
        (f"{IMDS} 200",),
        "error parsing IMDS metadata",
        "WHAT",
    ),
    mood(
        "goal state without RoleInstance once",
        goal_fault(attempts="1", drop="RoleInstance"),
        (f"{IMDS} 200", f"{GOAL} 200", f"{GOAL} 200", f"{HEALTH} 200"),
        everywhere=True,
    ),
    mood(
        "goal state without ContainerId once",
        goal_fault(attempts="1", drop="ContainerId"),
        (f"{IMDS} 200", f"{GOAL} 200", f"{GOAL} 200", f"{HEALTH} 200"),
    ),
    mood("goal state with a BOM", goal_fault(bom=True), USUAL),
    mood(
        "goal state 503 with Retry-After",
        goal_fault(attempts="1", status=503, retry_after="1"),
        (f"{IMDS} 200", f"{GOAL} 503", *REPORTED),
    ),
    mood(
        "goal state malformed once",
        goal_fault(attempts="1", body="<GoalState><Version>"),
        (f"{IMDS} 200", f"{GOAL} 200", *REPORTED),
    ),
    mood(
        "another incarnation is echoed",
        goal_fault(name="x", attempts="9", status=500),
        USUAL,
        machine=machine(incarnation="7"),
    ),
    mood(
        "the goal state changes between question and report",
        goal_fault(attempts="1", change="incarnation"),
        (f"{IMDS} 200", f"{GOAL} 200", f"{HEALTH} 410", *REPORTED),
        findings=("health-incarnation",),
    ),
    mood(
        "no goal state to be had: JSON at once",
        goal_fault(status=404),
        (f"{IMDS} 200", f"{GOAL} 404", f"{JSON} 201"),
        report=BY_JSON,
        verdict="Provisioned web1 in T s: reported Ready",
        everywhere=True,
    ),
    Case(
        "a failure in JSON is escaped",
        machine=BACKSLASH,
        faults=(goal_fault(status=404),),
        exit=1,
        commands=(),
        changes=begun(),
        requests=(f"{IMDS} 200", f"{GOAL} 404", f"{JSON} 201"),
        report=failed(
            "invalid IMDS metadata for key=compute.osProfile.adminUsername",
            'value=a\\b"c&<d>',
            vm=BACKSLASH,
            form="json",
        ),
        everywhere=True,
    ),
    mood(
        "JSON where it is chosen",
        goal_fault(status=500),
        (f"{IMDS} 200", f"{JSON} 201"),
        options=("--report", "json"),
        report=BY_JSON,
        verdict="Provisioned web1 in T s: reported Ready",
    ),
    mood(
        "the report is refused once",
        health_fault(attempts="1", status=500),
        (f"{IMDS} 200", f"{GOAL} 200", f"{HEALTH} 500", *REPORTED),
    ),
    mood("202 is accepted, too", health_fault(name="x", attempts="9", status=202), USUAL),
    unreported(
        "the report is refused for good",
        health_fault(status=500),
        (f"{IMDS} 200", f"{GOAL} 200", f"{HEALTH} 500", f"{JSON} 500"),
        "health report: 500 Internal Server Error",
    ),
    Case(
        "a failure that cannot be reported",
        machine=machine(imds=(("compute/osProfile/adminUsername", "no good"),)),
        faults=(health_fault(status=500), goal_fault(status=500)),
        options=("--deadline", "1", "--report", "xml"),
        exit=2,
        commands=(),
        report=None,
        changes=begun(),
        requests=(f"{IMDS} 200", f"{GOAL} 500"),
        repeats=True,
        verdict="Provisioning failed: invalid IMDS metadata for key=compute.osProfile.adminUsername; "
        "not reported: goal state: 500 Internal Server Error",
    ),
    Case(
        "a description of more than 4,096 characters after escaping",
        options=("report", "--failed", "&<>" * 600),
        verdict="Provisioning failed: " + "&<>" * 600,
        requests=REPORTED,
        commands=(),
        changes=begun(),
        report=Report("NotReady", "&<>" * 300 + "WHAT", "ProvisioningFailed"),
    ),
    *(
        Case(
            f"a reason of {what}",
            options=("report", "--failed", text),
            verdict=f"Provisioning failed: {said}",
            requests=REPORTED,
            commands=(),
            changes=begun(),
            report=failed(said),
        )
        for what, text, said in (
            ("control bytes", "a\x01\x1b[31mb", "a  [31mb"),
            ("bytes that are no UTF-8", "a\udcff\udcc3(z", "a\ufffd\ufffd(z"),
            ("markup", "]]></State>&amp;<!--", "]]></State>&amp;<!--"),
            ("one word that means success elsewhere", "up", "up"),
            ("a dash", "--in-progress", "--in-progress"),
            ("nothing", "", "no reason was given"),
            ("blanks", " \n\x01", "no reason was given"),
        )
    ),
    Case(
        "a reason of two lines",
        options=("report", "--failed", "a\nb: c"),
        verdict="Provisioning failed: a b: c",
        requests=REPORTED,
        commands=(),
        changes=begun(),
        report=failed("a b: c"),
    ),
    Case(
        "the report to Hyper-V's pool",
        tree={"var/lib/hyperv/.kvp_pool_1": File("OtherKey".ljust(512, "\0") + "other".ljust(2048, "\0"))},
        changes={
            **provisioned(),
            "var/lib/hyperv/.kvp_pool_1": File(
                "OtherKey".ljust(512, "\0")
                + "other".ljust(2048, "\0")
                + "PROVISIONING_REPORT".ljust(512, "\0")
                + RECORD.ljust(2048, "\0")
            ),
        },
    ),
    Case(
        "applied, but not reported: only the report",
        tree={f"{STATE}/applied": stamp(machine())},
        changes={k: v for k, v in provisioned().items() if k.startswith((STATE + "/reported", "etc/systemd", "run"))},
        requests=REPORTED,
        commands=(),
        verdict="Provisioned this VM in T s: reported Ready",
        says=("is provisioned already: reporting again",),
        everywhere=True,
    ),
]
