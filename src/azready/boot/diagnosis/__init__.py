"""Why a boot failed: from the record of it to the cause, the lines that show it, and what to do. Pure.

Rules are asked in order, from what stops a boot first; the first that applies is the cause. A wrong cause is worse
than none: rules that conclude from what was not said come after those that go by words.

The failures are those that users of Azure meet behind OSProvisioningTimedOut; the words looked for are those of the
Linux kernel, systemd, initramfs-tools, dracut, Python, walinuxagent, cloud-init, and azready's own guest program.
"""

from collections.abc import Callable

from azready.boot.diagnosis import early, network, owner, provisioner, questions, report
from azready.boot.record import BootRecord, Cause

Rule = Callable[[BootRecord], Cause | None]
"""One cause: the record in, the cause out, or None where it does not apply."""


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
    report.reported_failure,
    report.refused_report,
    early.init_not_run,
    early.nothing_on_console,
    early.starved,
    early.no_root_device,
    early.panic,
    early.no_kernel,
    early.medium_wait,
    early.emergency,
    early.stuck_early,
    provisioner.provisioner_crashed,
    network.no_dhcp,
    network.no_route,
    network.lost_network,
    report.asked_in_vain,
    provisioner.waits_for_another,
    provisioner.stale_marker,
    provisioner.two_provisioners,
    provisioner.anything_crashed,
    early.stuck,
    provisioner.not_enabled,
    report.stopped_short,
)

_NOT_AS_WANTED: tuple[Rule, ...] = (
    early.starved,
    owner.reported_again,
    report.reported_failure,
    owner.not_made_for_this_vm,
    owner.login_waits,
    owner.no_login,
    owner.wrong_name,
    owner.no_sudo,
    owner.still_on,
)
"""The platform is content, or was in an earlier boot: what failed is a check, or that nothing be reported again."""
