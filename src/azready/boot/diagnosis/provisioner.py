"""Who should have provisioned the VM, and did not: it crashed, waits, is marked, or is off. Pure."""

import re

from azready import agents
from azready.boot.diagnosis import questions
from azready.boot.diagnosis.questions import matching
from azready.boot.record import BootRecord, Cause

KEEP_ONE = "keep one: `azready prepare` removes the agents and installs one first-boot program"
_NOT_STARTED = r"status=203/EXEC|status=127|Failed at step EXEC|Unable to locate executable"


def provisioner_crashed(record: BootRecord) -> Cause | None:
    return _crash(record, agents.ANY)


def anything_crashed(record: BootRecord) -> Cause | None:
    """Late, for provisioners that nobody knows: of a crash elsewhere one may not conclude much."""
    return _crash(record, "")


def _crash(record: BootRecord, of: str) -> Cause | None:
    trace = next(questions.tracebacks(record, of), None)
    if trace is not None:
        speaker, lines = trace
        return Cause(
            "agent-crashed",
            f"{speaker or 'a program'} crashed",
            lines,
            "fix what the last line says; `azready prepare` replaces agents by a program that needs Python alone",
        )
    failed = matching(questions.said(record), _NOT_STARTED)
    seen = tuple(line for line in failed if re.search(of, line, re.I))
    if seen:
        return Cause("agent-crashed", "a service could not be started", seen, "is its interpreter in the image?")
    return None


def waits_for_another(record: BootRecord) -> Cause | None:
    waiting = matching(questions.said(record), r"Waiting for cloud-init|cloud-init does not appear to be running")
    if not waiting:
        return None
    return Cause(
        "provisioner-waits-for-another",
        "walinuxagent waits for a cloud-init that does not provision",
        waiting,
        f"{KEEP_ONE}; or set Provisioning.Agent in waagent.conf",
    )


def two_provisioners(record: BootRecord) -> Cause | None:
    """Late: two agents are harmless where one waits for the other, and no reason for a missing network."""
    ran = questions.speakers(record)
    if len(ran) < 2:
        return None
    theirs = [matching(questions.said(record), agent.words, 1) for agent in ran]
    return Cause(
        "two-provisioners",
        f"several provisioners run in this image: {' and '.join(agent.called for agent in ran)}",
        tuple(line for lines in theirs for line in lines),
        KEEP_ONE,
    )


SEAL = "seal the image before it is captured: `azready generalize`; then check it: `azready check`"
MARKED = (
    r"unique identifier has changed|[Pp]rovisioning( is| already)? (already )?(completed|complete|done)|"
    r"already provisioned|provisioned (and reported )?already|init-local/check-cache: SUCCESS: restored from cache"
)


def stale_marker(record: BootRecord) -> Cause | None:
    seen = matching(questions.said(record), MARKED)
    if record.number > 1 and not questions.is_copy(record):
        return _marked_too_early(seen)
    if not seen:
        return _switched_off(record) if questions.is_copy(record) else None
    return Cause("stale-marker", "the provisioner takes this new VM for one that is provisioned already", seen, SEAL)


def _marked_too_early(seen: tuple[str, ...]) -> Cause | None:
    if not seen:
        return None
    return Cause(
        "stale-marker",
        "the provisioner takes itself to be done, but no report of the boot before was accepted",
        seen,
        "it marks the VM as provisioned before the report succeeds, and never reports again: the program of "
        "`azready prepare` keeps both apart",
    )


def _switched_off(record: BootRecord) -> Cause | None:
    if questions.asked_platform(record) or questions.speakers(record):
        return None
    return Cause(
        "stale-marker",
        "this copy of a provisioned VM is not provisioned again: its provisioning unit is switched off",
        (*questions.failed(record, "unit stays on"), "no request to IMDS or the WireServer; no provisioner spoke"),
        f"{SEAL}; or leave the clone guard of `azready prepare` on, which needs no sealing",
    )


def not_enabled(record: BootRecord) -> Cause | None:
    if questions.asked_platform(record) or questions.speakers(record):
        return None
    if not questions.multi_user(record) and (record.kind == "container" or record.milestone("sshd") is None):
        return None
    seen = ("no request to IMDS or the WireServer; no provisioner spoke", *questions.failed(record, "unit stays on"))
    if record.number > 1:
        return Cause(
            "no-provisioner",
            "nothing tried to provision it any more, although the platform accepted no report in the boot before",
            seen,
            "a provisioner may switch itself off only when its report was accepted, as that of `azready prepare` does",
        )
    return Cause(
        "no-provisioner",
        "the system came up, and nothing in it tried to provision it",
        seen,
        "install and enable one: `azready prepare`; a unit that switched itself off is armed by `azready generalize`",
    )
