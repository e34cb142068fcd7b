"""The causes of failed boots, one rule each: a record in, a cause out, or None where it does not apply. Pure.

The failures are those that users of Azure meet behind OSProvisioningTimedOut; the words looked for are those of the
Linux kernel, systemd, initramfs-tools, dracut, Python, walinuxagent, cloud-init, and azready's own guest program.
"""

import re
from collections.abc import Callable
from dataclasses import replace

from azready.boot.diagnosis import questions
from azready.boot.diagnosis.questions import matching
from azready.boot.record import BootRecord, Cause
from azready.boot.watching import serial
from azready.boot.watching.login import SESSION_ENDS
from azready.fabric.ledger import Exchange
from azready.fabric.render import fault_words

Rule = Callable[[BootRecord], Cause | None]

_KEEP_ONE = "keep one: `azready prepare` removes the agents and installs one first-boot program"

# --- what the guest reported ---

_REASONS = (
    (
        r"cloud-init appears to be installed and enabled",
        "two-provisioners",
        "walinuxagent refuses to provision because cloud-init is enabled too",
        _KEEP_ONE,
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
    errors = [finding for finding in record.findings if finding.severity == "error"]
    why = tuple(dict.fromkeys(finding.message for finding in errors))[:3] or (_exchange(refused[-1]),)
    fix = next((finding.fix for finding in errors if finding.fix), "see docs/what-the-sample-does.md")
    many = "a health report" if len(refused) == 1 else f"{len(refused)} health reports"
    return Cause("report-refused", f"{many} reached the platform, and was refused for what it says", why, fix)


# --- before any service runs ---


def nothing_on_console(record: BootRecord) -> Cause | None:
    if not questions.is_virtual_machine(record) or any(line.strip() for line in questions.console(record)):
        return None
    if record.exchanges:
        return Cause(
            "no-serial-console",
            "the guest runs, but writes nothing to its serial console",
            (f"{len(record.exchanges)} requests reached the platform",),
            "add console=ttyS0 to the kernel command line (ttyAMA0 on arm64): Azure shows nothing else of a VM",
        )
    return Cause(
        "no-kernel-output",
        "nothing came on the serial console, and nothing was asked of the platform",
        (),
        "does the boot loader start a kernel, with console=ttyS0 (ttyAMA0 on arm64) on its command line?",
    )


def no_kernel(record: BootRecord) -> Cause | None:
    if not questions.is_virtual_machine(record) or record.milestone("kernel") is not None or record.exchanges:
        return None
    lines = questions.console(record)
    end = serial.over(record.console)
    shown = (end[1].text,) if end else tuple(lines[-3:])
    where = "the firmware found nothing to start" if end and end[0] == "firmware" else "no kernel was started"
    return Cause(
        "no-boot-loader" if end and end[0] == "firmware" else "no-kernel",
        where,
        shown,
        "a new VM has no memory of boot entries: \\EFI\\BOOT\\BOOTX64.EFI (BOOTAA64.EFI) must be on the ESP; "
        "for Generation 1, boot code in the MBR",
    )


def no_root_device(record: BootRecord) -> Cause | None:
    pattern = (
        r"ALERT!.*does not exist|Gave up waiting for root|Unable to mount root fs|Cannot open root device|"
        r"dracut-initqueue.*timeout|Warning: /dev/\S+ does not exist|[Tt]imed out waiting for device .*root|"
        r"Dependency failed for .*(Initrd Root Device|/sysroot)"
    )
    seen = matching(questions.console(record), pattern) or questions.awaited_root(record)
    if not seen:
        return None
    return Cause(
        "no-root-device",
        "the kernel did not find its root file system",
        seen,
        "compare root= with the disk's UUIDs; in Azure the initramfs needs hv_vmbus and hv_storvsc (`azready check`); "
        "here it needs a driver for --bus (virtio, nvme, scsi or sata)",
    )


def starved(record: BootRecord) -> Cause | None:
    """Linux counts ticks of its timer for a moment at its start; an emulator that gets no processor sends none."""
    seen = matching(questions.console(record), r"Kernel panic - not syncing: IO-APIC \+ timer doesn't work")
    return (
        Cause(
            "starved-emulator",
            "this machine was too busy to emulate another: that is no fault of the image",
            seen,
            "boot it again when the machine has less to do, or where KVM works",
            "host",
        )
        if seen
        else None
    )


def panic(record: BootRecord) -> Cause | None:
    seen = matching(questions.console(record), r"Kernel panic - not syncing|Failed to execute /|No working init")
    return (
        Cause("kernel-panic", "the kernel panicked", seen, "boot the kernel before it, or fix what it names")
        if seen
        else None
    )


def medium_wait(record: BootRecord) -> Cause | None:
    """A wait for the CD, which is gone once the VM is provisioned. Before emergency mode, which it ends in."""
    pattern = (
        r"[Ff]ailed to get dvd device|[Ee]rror mounting dvd|[Ff]ailed to mount dvd|no medium found|"
        r"[Tt]imed out waiting for device .*\b(sr\d|cdrom|dvd)\b|dev-(sr\d|cdrom|dvd)\.device.*(timed out|timeout)|"
        r"start job is running for (/dev/|dev-)(sr\d|cdrom|dvd)\b"
    )
    seen = matching(questions.said(record), pattern) or questions.empty_drive_mounted(record)
    if not seen:
        return None
    return Cause(
        "medium-wait",
        "the guest waits for the provisioning medium, or mounts a drive that is empty",
        seen,
        "Azure takes the medium away after the first boot: never in fstab, in no unit (or with nofail); "
        "to be read at all, it needs udf and the CD drive's driver (`azready check`: D09, K08)",
    )


def emergency(record: BootRecord) -> Cause | None:
    said = questions.said(record)
    if not matching(said, r"emergency mode|[Ee]mergency\.target|[Ee]mergency [Mm]ode|emergency shell"):
        return None
    why = matching(said, r"Dependency failed for|Timed out waiting for device|Failed to mount|fsck.*failed|UNEXPECTED")
    return Cause(
        "emergency-mode",
        "the boot ended in emergency mode",
        why or matching(said, r"[Ee]mergency"),
        "every device in fstab must exist in the new VM, or have nofail (`azready check`: D09)",
    )


def stuck_early(record: BootRecord) -> Cause | None:
    """Something blocks the boot before services may start, the network among them."""
    if record.milestone("basic.target") is not None or questions.multi_user(record) or questions.asked(record, "dhcp"):
        return None
    return stuck(record)


_WAITS_FOR_NETWORK = re.compile(r"network|dhcp|wait-online|" + questions.ANY_PROVISIONER, re.I)


def stuck(record: BootRecord) -> Cause | None:
    """A unit that others wait for and that does not come to its end. The provisioner itself may take its time."""
    waiting = questions.waiting_units(record)
    blamed = {name: line for name, line in waiting.items() if not re.search(questions.ANY_PROVISIONER, name, re.I)}
    if questions.multi_user(record) or not blamed:
        return None
    names = sorted(blamed, key=lambda name: bool(_WAITS_FOR_NETWORK.search(name)))
    for_network = all(_WAITS_FOR_NETWORK.search(name) for name in names)
    fix = (
        "it waits for a network card that Azure does not give, or that gets no address: name none (`azready check`: "
        "N04, N08), or let the provisioner not wait for network-online.target, as that of `azready prepare` does"
        if for_network
        else "let nothing that the provisioner waits for depend on that unit, or give the unit a time limit "
        "(TimeoutStartSec=)"
    )
    return Cause(
        "slow-boot",
        f"the boot still waits for {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else ""),
        tuple(blamed[name] for name in names[:3]),
        fix,
    )


# --- a program that crashed ---

_NOT_STARTED = r"status=203/EXEC|status=127|Failed at step EXEC|Unable to locate executable"


def provisioner_crashed(record: BootRecord) -> Cause | None:
    return _crash(record, questions.ANY_PROVISIONER)


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


# --- the network ---


def no_dhcp(record: BootRecord) -> Cause | None:
    kinds = [exchange.method for exchange in record.exchanges if exchange.service == "dhcp"]
    if questions.asked_platform(record) or "DHCPACK" in kinds:
        return None
    if mute := [each for each in record.faults if each.service == "dhcp" and each.silent]:
        faults = tuple(f"fault in force: {fault_words(each)}" for each in mute)
        return Cause("no-lease", "this platform answers no request for an address", faults, "boot without that fault")
    tried = matching(
        questions.said(record),
        r"DHCPDISCOVER on|[Ss]ending discover|broadcasting discover|soliciting a DHCP lease|No DHCPOFFERS|no lease, ",
    )
    if kinds or tried:
        asked = (f"{len(kinds)} × {', '.join(sorted(set(kinds)))}",) if kinds else ()
        faults = tuple(f"fault in force: {fault_words(each)}" for each in record.faults if each.service == "dhcp")
        return Cause(
            "no-lease",
            "the guest asked for an address and got none",
            (*asked, *tried[:2], *faults),
            "the DHCP client must take the offer, and ask for long enough: 300 s (`azready check`: N06)",
        )
    return Cause(
        "no-dhcp",
        "the guest never asked for an address",
        matching(
            questions.said(record),
            r"Cannot find device|SIOCGIF|(wait-online|dhc|networking).*([Ff]ailed|timeout|error)",
        ),
        "one network stack must be enabled, with DHCP on a NIC whose name is not known beforehand (en* eth*): "
        "`azready check` (N01, N02, N04); here the NIC is virtio or veth, in Azure hv_netvsc",
    )


_UNREACHED = (
    r"unreachable|No route|[Tt]imed? ?out|[Cc]ould not connect|[Cc]ouldn't connect|"
    r"(?<!failed: Operation )not permitted|[Pp]ermission denied|refused"
)
_OF_PLATFORM = r"168\.63\.129|169\.254\.169|" + questions.ANY_PROVISIONER
_NICS = "; of several NICs only the first reaches the platform: no route of another may be better"


def no_route(record: BootRecord) -> Cause | None:
    """The platform's addresses, or the WireServer alone, are out of reach although there is a lease."""
    if questions.asked(record, "wireserver"):
        return None
    half = questions.asked(record, "imds")
    about = r"168\.63\.129|[Gg]oal ?state|[Ww]ire ?[Ss]erver|report" if half else _OF_PLATFORM
    theirs = [line for line in questions.said(record) if re.search(about, line, re.I)]
    seen = matching(theirs, _UNREACHED)
    if not seen:
        return None
    several = record.machine.nics > 1
    return Cause(
        "no-route",
        "the guest reaches IMDS, but not the WireServer (168.63.129.16)"
        if half
        else "the guest has an address, but reaches neither platform address",
        seen,
        "no firewall of the image may drop 168.63.129.16 and 169.254.169.254 for root (`azready check`: N09), and the "
        f"routes of DHCP (option 121) must be taken (N14){_NICS if several else ''}",
    )


def lost_network(record: BootRecord) -> Cause | None:
    """It spoke with the platform, and then could not any more."""
    heard = [each.at for each in record.exchanges if each.service in ("imds", "wireserver")]
    if not heard:
        return None
    later = [f"{line.identifier}: {line.text}" for line in record.journal if line.at >= max(heard)]
    lost = matching(
        later, r"[Nn]etwork is unreachable|No route to host|failed to bring up|ifup.*fail|[Nn]etwork is down"
    )
    theirs = matching([line for line in later if re.search(_OF_PLATFORM, line, re.I)], _UNREACHED)
    if not lost:
        return None
    return Cause(
        "network-lost",
        f"the guest spoke with the platform until {max(heard):.1f} s, and then lost its network",
        tuple(dict.fromkeys((*lost, *theirs)))[:4],
        "the network must come back after `ifdown eth0 && ifup eth0`, by which walinuxagent publishes a host name; the "
        "program of `azready prepare` sets the name before the lease, and leaves the network alone",
    )


# --- who should have done it ---


def waits_for_another(record: BootRecord) -> Cause | None:
    waiting = matching(questions.said(record), r"Waiting for cloud-init|cloud-init does not appear to be running")
    if not waiting:
        return None
    return Cause(
        "provisioner-waits-for-another",
        "walinuxagent waits for a cloud-init that does not provision",
        waiting,
        f"{_KEEP_ONE}; or set Provisioning.Agent in waagent.conf",
    )


def two_provisioners(record: BootRecord) -> Cause | None:
    """Late: two agents are harmless where one waits for the other, and no reason for a missing network."""
    ran = questions.speakers(record)
    if len(ran) < 2:
        return None
    theirs = [matching(questions.said(record), pattern, 1) for name, pattern in questions.PROVISIONERS if name in ran]
    return Cause(
        "two-provisioners",
        f"several provisioners run in this image: {' and '.join(ran)}",
        tuple(line for lines in theirs for line in lines),
        _KEEP_ONE,
    )


_SEAL = "seal the image before it is captured: `azready generalize`; then check it: `azready check`"
_MARKED = (
    r"unique identifier has changed|[Pp]rovisioning( is| already)? (already )?(completed|complete|done)|"
    r"already provisioned|provisioned (and reported )?already|init-local/check-cache: SUCCESS: restored from cache"
)


def stale_marker(record: BootRecord) -> Cause | None:
    seen = matching(questions.said(record), _MARKED)
    if record.number > 1 and not questions.is_copy(record):
        return _marked_too_early(seen)
    if not seen:
        return _switched_off(record) if questions.is_copy(record) else None
    return Cause("stale-marker", "the provisioner takes this new VM for one that is provisioned already", seen, _SEAL)


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
        (*_checked(record, "unit stays on"), "no request to IMDS or the WireServer; no provisioner spoke"),
        f"{_SEAL}; or leave the clone guard of `azready prepare` on, which needs no sealing",
    )


def not_enabled(record: BootRecord) -> Cause | None:
    if questions.asked_platform(record) or questions.speakers(record):
        return None
    if not questions.multi_user(record) and (record.kind == "container" or record.milestone("sshd") is None):
        return None
    seen = ("no request to IMDS or the WireServer; no provisioner spoke", *_checked(record, "unit stays on"))
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


# --- a conversation that came to nothing ---


def asked_in_vain(record: BootRecord) -> Cause | None:
    """The last answer to some question was an error, or none; an optional service may be missing."""
    asked = [each for each in record.exchanges if each.service in ("imds", "wireserver")]
    last = {(each.service, each.method, each.target.partition("?")[0]): each for each in asked}
    failing = [each for each in last.values() if each.status is None or each.status >= 400]
    if not failing:
        return None
    worst = failing[-1]
    same = [each for each in asked if (each.method, each.target) == (worst.method, worst.target)]
    tries = "did not ask again" if len(same) == 1 else f"asked {len(same)} times"
    return Cause(
        "platform-refused",
        f"the platform did not answer as wanted, and the guest {tries}",
        (
            *(f"{each.at:.1f} s: {_exchange(each)}" for each in failing[-3:]),
            *dict.fromkeys(finding.message for finding in record.findings if finding.severity == "error"),
        ),
        next(
            (finding.fix for finding in record.findings if finding.fix and finding.severity == "error"),
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


# --- Azure would be content, the owner is not ---


_REACHED = re.compile(f"Permission denied|{re.escape(SESSION_ENDS)}")
"""What ssh's failure says where a server answered."""


def _checked(record: BootRecord, name: str) -> tuple[str, ...]:
    return tuple(
        f"{each.name}: {each.detail}" for each in record.checks if each.name == name and each.outcome == "failed"
    )


def not_made_for_this_vm(record: BootRecord) -> Cause | None:
    """Ready was reported, but nothing was set: an old marker said so."""
    seen = matching(questions.said(record), _MARKED)
    if not seen or (record.number > 1 and not questions.is_copy(record)) or not _checked(record, "ssh login"):
        return None
    return Cause(
        "stale-marker",
        "Ready was reported, but nothing was set: the provisioner takes this new VM for one provisioned already",
        (*seen, *_checked(record, "ssh login")),
        _SEAL,
    )


def login_waits(record: BootRecord) -> Cause | None:
    """No ssh server answers yet: it is ordered behind a unit that does not come to its end."""
    told = _checked(record, "ssh login")
    found = stuck(record) if told and not _REACHED.search(told[0]) else None
    if found is None:
        return None
    says = f"Ready was reported, but no ssh server answers: {found.says}"
    fix = (
        "give that unit a time limit (systemd-networkd-wait-online: --timeout=30), or let ssh not start after it; "
        "where it waits for a network card, name none that Azure does not give (`azready check`: N04, N08)"
    )
    return replace(found, says=says, evidence=(*told, *found.evidence), fix=fix)


def no_login(record: BootRecord) -> Cause | None:
    told = _checked(record, "ssh login")
    if not told:
        return None
    sshd = matching(
        questions.said(record),
        r"Invalid user|bad ownership or modes|not allowed because|userauth_pubkey|Authentication refused",
    )
    if SESSION_ENDS in told[0]:
        return Cause(
            "no-shell",
            "Ready was reported and the owner's key is accepted, but nothing runs for the admin user",
            (*told, *sshd),
            "is the shell of /etc/passwd there, and does it start? does a ForceCommand of sshd stand before it?",
        )
    if "Permission denied" not in told[0]:
        return Cause(
            "no-sshd", "Ready was reported, but no ssh server answers", told, "enable sshd: `azready check` (S01, S03)"
        )
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
    told = _checked(record, "host name")
    fix = "osProfile.computerName of IMDS, or HostName of the medium, is the name: does anything set another one later?"
    return Cause("wrong-host-name", "Ready was reported, but the host has another name", told, fix) if told else None


def no_sudo(record: BootRecord) -> Cause | None:
    told = _checked(record, "sudo")
    fix = (
        "a file in /etc/sudoers.d for the admin user, with NOPASSWD, and an /etc/sudoers that includes that folder "
        "(`azready check`: A07, A08)"
    )
    return Cause("no-sudo", "Ready was reported, but the admin user cannot become root", told, fix) if told else None


def still_on(record: BootRecord) -> Cause | None:
    told = _checked(record, "unit is off")
    fix = "is the state folder /var/lib/azure-provisioning writable, and /etc/systemd/system too?"
    return (
        Cause("unit-still-on", "Ready was reported, but the provisioning unit stays enabled", told, fix)
        if told
        else None
    )


def reported_again(record: BootRecord) -> Cause | None:
    if record.expected != "silence" or not record.reports:
        return None
    who = [each for each in questions.speakers(record) if each != "azready"]
    agents = tuple(dict.fromkeys(report.agent for report in record.reports if report.agent))
    shown = tuple(
        f"{each.at:.1f} s: {each.state}" + (f" by {each.agent}" if each.agent else "") for each in record.reports[:3]
    )
    if who:
        return Cause("two-provisioners", f"beside azready's program, {' and '.join(who)} reports too", shown, _KEEP_ONE)
    return Cause(
        "reported-again",
        f"a VM that is provisioned already reported again{f', by {agents[0]}' if agents else ''}",
        shown,
        "the provisioner must mark the VM by its id when the platform has accepted the report, and stay silent then",
    )
