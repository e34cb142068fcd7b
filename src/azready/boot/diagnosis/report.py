"""What was said to the platform, and what came of it. Pure."""

import re
from collections.abc import Sequence

from azready.boot.diagnosis import questions
from azready.boot.diagnosis.provisioner import KEEP_ONE, provisioner_crashed
from azready.boot.record import BootRecord, Cause
from azready.fabric.ledger import Exchange, Finding

_REASONS = (
    (
        r"cloud-init appears to be installed and enabled",
        "two-provisioners",
        "walinuxagent refuses to provision because cloud-init is enabled too",
        KEEP_ONE,
    ),
    (
        r"\bdvd\b|CopyOvfEnv|ovf-env\.xml",
        "no-medium",
        "the guest could not read the provisioning medium, and gave up",
        (
            "it is a UDF disc in a CD drive: udf, cdrom and sr_mod must be there, and no rule of modprobe.d may keep "
            "them out (`azready check`: K07, K08); `azready prepare`'s program does without, where IMDS answers"
        ),
    ),
)
"""Reasons that guests report: what they say, and what that means."""
_DID_NOT_RUN = "the provisioning unit did not run"
"""What is told in the place of our program: why it did not run is in the log."""


def reported_failure(record: BootRecord) -> Cause | None:
    failed = next((report for report in record.reports if report.accepted and report.state.lower() != "ready"), None)
    failed = next((each for each in record.reports if each.accepted and each.substatus == "ProvisioningFailed"), failed)
    if failed is None or failed.substatus not in ("ProvisioningFailed", ""):
        return None
    told = failed.description or "no reason given"
    for pattern, code, says, fix in _REASONS:
        if re.search(pattern, told, re.I):
            return Cause(code, says, (told,), fix)
    if told.startswith(_DID_NOT_RUN) and (crash := provisioner_crashed(record)):
        return crash
    return Cause(
        "reported-failure",
        "the guest itself reported that provisioning failed",
        (told,),
        "the guest says why: fix that, and boot again; --report shows what it did before",
    )


def refused_report(record: BootRecord) -> Cause | None:
    posted = [each for each in record.exchanges if each.method == "POST" and "health" in each.target.lower()]
    refused = [each for each in posted if each.status is not None and 400 <= each.status < 500 and not each.fault]
    if not refused:
        return None
    errors = _errors(record)
    why = tuple(dict.fromkeys(finding.message for finding in errors))[:3] or (_exchange(refused[-1]),)
    fix = next((finding.fix for finding in errors if finding.fix), "see docs/what-the-sample-does.md")
    many = "a health report" if len(refused) == 1 else f"{len(refused)} health reports"
    return Cause("report-refused", f"{many} reached the platform, and was refused for what it says", why, fix)


def _errors(record: BootRecord) -> list[Finding]:
    return [finding for finding in record.findings if finding.severity == "error"]


def _failing_to_the_end(asked: Sequence[Exchange]) -> list[Exchange]:
    """Of each question the last answer, where that is an error or none."""
    last = {(each.service, each.method, each.target.partition("?")[0]): each for each in asked}
    return [each for each in last.values() if each.status is None or each.status >= 400]


def asked_in_vain(record: BootRecord) -> Cause | None:
    """The last answer to some question was an error, or none; an optional service may be missing."""
    asked = [each for each in record.exchanges if each.service in ("imds", "wireserver")]
    failing = _failing_to_the_end(asked)
    if not failing:
        return None
    same = [each for each in asked if (each.method, each.target) == (failing[-1].method, failing[-1].target)]
    tries = "did not ask again" if len(same) == 1 else f"asked {len(same)} times"
    return Cause(
        "platform-refused",
        f"the platform did not answer as wanted, and the guest {tries}",
        (
            *(f"{each.at:.1f} s: {_exchange(each)}" for each in failing[-3:]),
            *dict.fromkeys(finding.message for finding in _errors(record)),
        ),
        next(
            (finding.fix for finding in _errors(record) if finding.fix),
            "Azure has such moments: a provisioner asks again for minutes, and stays switched on until its report was "
            "accepted, as that of `azready prepare` does; does it recover? `azready boot --heal`",
        ),
    )


def _exchange(each: Exchange) -> str:
    shown = f"{each.method} {each.target} → {each.status or 'no answer'}"
    return shown + (f" (a fault on purpose: {each.fault})" if each.fault else "")


def stopped_short(record: BootRecord) -> Cause | None:
    if not questions.asked_platform(record):
        return None
    last = [each for each in record.exchanges if each.service in ("imds", "wireserver")][-1]
    at = "the goal state" if "goalstate" in last.target else last.target
    return Cause(
        "no-report",
        f"the guest asked the platform, last for {at}, and then posted no health report",
        (f"{last.at:.1f} s: {_exchange(last)}",),
        "the report needs ContainerId, InstanceId (RoleInstanceList/RoleInstance) and Incarnation of the goal state: "
        "docs/what-the-sample-does.md",
    )
