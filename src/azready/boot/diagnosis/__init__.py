"""Why a boot failed: from the record of it to the cause, the lines that show it, and what to do. Pure.

Rules are asked in order, from what stops a boot first; the first that applies is the cause. A wrong cause is worse
than none: rules that conclude from what was not said come after those that go by words.
"""

from azready.boot.diagnosis import causes, questions
from azready.boot.diagnosis.causes import Rule
from azready.boot.record import BootRecord, Cause


def diagnose(record: BootRecord) -> Cause | None:
    """The cause of a boot that did not go as it should; None otherwise."""
    if record.passed:
        return None
    timed_out = record.expected == "ready" and not record.verdict.provisioned
    rules = (*_NOT_PROVISIONED, _unknown) if timed_out else _NOT_AS_WANTED
    return next((found for rule in rules if (found := rule(record)) is not None), None)


def _unknown(record: BootRecord) -> Cause:
    tail = [text for text in questions.said(record) if text.strip()][-3:]
    return Cause(
        "unknown", "none of the known causes fits", tuple(tail), "look at the console (--console FILE, --report)"
    )


_NOT_PROVISIONED: tuple[Rule, ...] = (
    causes.reported_failure,
    causes.refused_report,
    causes.nothing_on_console,
    causes.starved,
    causes.no_root_device,
    causes.panic,
    causes.no_kernel,
    causes.medium_wait,
    causes.emergency,
    causes.stuck_early,
    causes.provisioner_crashed,
    causes.no_dhcp,
    causes.no_route,
    causes.lost_network,
    causes.asked_in_vain,
    causes.waits_for_another,
    causes.stale_marker,
    causes.two_provisioners,
    causes.anything_crashed,
    causes.stuck,
    causes.not_enabled,
    causes.stopped_short,
)

_NOT_AS_WANTED: tuple[Rule, ...] = (
    causes.starved,
    causes.reported_again,
    causes.reported_failure,
    causes.not_made_for_this_vm,
    causes.login_waits,
    causes.no_login,
    causes.wrong_name,
    causes.no_sudo,
    causes.still_on,
)
"""The platform is content, or was in an earlier boot: what failed is a check, or that nothing be reported again."""
