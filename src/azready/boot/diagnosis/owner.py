"""Azure would be content, the owner is not. Pure."""

import re
from dataclasses import replace

from azready import installed
from azready.agents import OURS
from azready.boot.diagnosis import early, provisioner, questions
from azready.boot.diagnosis.questions import matching
from azready.boot.record import BootRecord, Cause
from azready.boot.watching.login import HANGS_UP, SESSION_ENDS

_REACHED = re.compile(f"Permission denied|{re.escape(SESSION_ENDS)}")
"""What ssh's failure says where a server answered."""


def _hung_up_by_sshd(record: BootRecord, failure: str) -> bool:
    """Whether it was the guest's sshd: QEMU's own network takes a connection, and ends it where no sshd listens."""
    return HANGS_UP.search(failure) is not None and bool(
        not questions.is_virtual_machine(record) or _complaints(record)
    )


def _complaints(record: BootRecord) -> tuple[str, ...]:
    """What sshd and our program said of a connection that was ended."""
    sshd = matching(questions.said(record), r"^sshd.*(fatal|refused connect|PAM|Access denied|[Tt]oo many|error: )")
    return (*sshd, *matching(questions.said(record), r"may keep .* out|keeps everybody out|lets nobody in"))


def not_made_for_this_vm(record: BootRecord) -> Cause | None:
    """Ready was reported, but nothing was set: an old marker said so."""
    seen = matching(questions.said(record), provisioner.MARKED)
    if not seen or (record.number > 1 and not questions.is_copy(record)) or not questions.failed(record, "ssh login"):
        return None
    return Cause(
        "stale-marker",
        "Ready was reported, but nothing was set: the provisioner takes this new VM for one provisioned already",
        (*seen, *questions.failed(record, "ssh login")),
        provisioner.SEAL,
    )


def login_waits(record: BootRecord) -> Cause | None:
    """No ssh server answers yet: it is ordered behind a unit that does not come to its end."""
    told = questions.failed(record, "ssh login")
    reached = told and (_REACHED.search(told[0]) or _hung_up_by_sshd(record, told[0]))
    found = early.stuck(record) if told and not reached else None
    if found is None:
        return None
    says = f"Ready was reported, but no ssh server answers: {found.says}"
    fix = (
        "give that unit a time limit (systemd-networkd-wait-online: --timeout=30), or let ssh not start after it; "
        "where it waits for a network card, name none that Azure does not give (`azready check`: N04, N08)"
    )
    return replace(found, says=says, evidence=(*told, *found.evidence), fix=fix)


def no_login(record: BootRecord) -> Cause | None:
    told = questions.failed(record, "ssh login")
    if not told:
        return None
    sshd = matching(
        questions.said(record),
        r"Invalid user|bad ownership or modes|not allowed because|userauth_pubkey|Authentication refused"
        r"|in revoked keys file|refusing RSA key|PAM: pam_open_session|fork: ",
    )
    if SESSION_ENDS in told[0]:
        return Cause(
            "no-shell",
            "Ready was reported and the owner's key is accepted, but nothing runs for the admin user",
            (*told, *sshd),
            "is the shell of /etc/passwd there, and does it start? do its profiles end it, or does a ForceCommand "
            "stand before it, or PAM's rules for sessions (`azready check`: S08)?",
        )
    if _hung_up_by_sshd(record, told[0]):
        fix = (
            "what keeps the owner out stands in PAM's rules of sshd (`azready check`: S08), in /etc/hosts.deny, or in "
            "sshd_config (S06)"
        )
        says = "Ready was reported, but sshd hangs up on the owner"
        return Cause("login-closed", says, (*told, *_complaints(record)), fix)
    if "Permission denied" not in told[0]:
        ends = matching(
            questions.said(record), r"^sshd.*(fatal|error: |no hostkeys)|Failed to start .*(ssh|SSH|Secure Shell)"
        )
        fix = "enable sshd, and let it start: `azready check` (S01, S03)"
        return Cause("no-sshd", "Ready was reported, but no ssh server answers", (*told, *ends), fix)
    broken = record.machine.keys_broken
    keys = (f"the platform's keys: {record.machine.keys}, with CR and LF inside",) if broken else ()
    fix = (
        "compare ~/.ssh/authorized_keys, its owner and modes with what IMDS says; AllowUsers and AllowGroups must let "
        "the admin user in (`azready check`: S06)"
    )
    if keys:
        fix = "take CR and LF out of keys before writing them, as `azready prepare`'s program and cloud-init do"
    return Cause("login-refused", "Ready was reported, but the owner's key is refused", (*told, *sshd, *keys), fix)


def wrong_name(record: BootRecord) -> Cause | None:
    told = questions.failed(record, "host name")
    fix = "osProfile.computerName of IMDS, or HostName of the medium, is the name: does anything set another one later?"
    return Cause("wrong-host-name", "Ready was reported, but the host has another name", told, fix) if told else None


def no_sudo(record: BootRecord) -> Cause | None:
    told = questions.failed(record, "sudo")
    fix = (
        "a file in /etc/sudoers.d for the admin user, with NOPASSWD, and an /etc/sudoers that includes that folder "
        "(`azready check`: A07, A08)"
    )
    return Cause("no-sudo", "Ready was reported, but the admin user cannot become root", told, fix) if told else None


def still_on(record: BootRecord) -> Cause | None:
    told = questions.failed(record, "unit is off")
    fix = f"is the state folder /{installed.STATE} writable, and /etc/systemd/system too?"
    return (
        Cause("unit-still-on", "Ready was reported, but the provisioning unit stays enabled", told, fix)
        if told
        else None
    )


def reported_again(record: BootRecord) -> Cause | None:
    if record.expected != "silence" or not record.reports:
        return None
    who = [agent.called for agent in questions.speakers(record) if agent is not OURS]
    agents = tuple(dict.fromkeys(report.agent for report in record.reports if report.agent))
    shown = tuple(
        f"{each.at:.1f} s: {each.state}" + (f" by {each.agent}" if each.agent else "") for each in record.reports[:3]
    )
    if who:
        return Cause(
            "two-provisioners",
            f"beside azready's program, {' and '.join(who)} reports too",
            shown,
            provisioner.KEEP_ONE,
        )
    return Cause(
        "reported-again",
        f"a VM that is provisioned already reported again{f', by {agents[0]}' if agents else ''}",
        shown,
        "the provisioner must mark the VM by its id when the platform has accepted the report, and stay silent then",
    )
