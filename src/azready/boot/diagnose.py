"""Why a boot failed: from the record of it to the cause, the lines that show it, and what to do. Pure.

The failures are those that users of Azure meet behind OSProvisioningTimedOut; the words looked for are those of the
Linux kernel, systemd, initramfs-tools, dracut, Python, walinuxagent, cloud-init, and azready's own guest program.
Rules are asked in order, from what stops a boot first; the first that applies is the cause.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from azready.boot import serial
from azready.boot.timeline import BootRecord

_QUOTED = 6


@dataclass(frozen=True)
class Cause:
    """One cause: a short name for scripts, a sentence, the evidence as it was seen, and a mend."""

    code: str
    says: str
    evidence: tuple[str, ...] = ()
    mend: str = ""

    def lines(self) -> tuple[str, ...]:
        seen = tuple(f"  seen: {line}" for line in self.evidence)
        return (f"cause: {self.says} [{self.code}]", *seen, *((f"  mend: {self.mend}",) if self.mend else ()))


def diagnose(record: BootRecord) -> tuple[str, ...]:
    """The cause in lines to print; nothing for a boot that went as it should, or was provisioned."""
    found = cause(record)
    return () if found is None else found.lines()


def cause(record: BootRecord) -> Cause | None:
    """The cause of a boot that should have been provisioned and was not; None otherwise."""
    if record.expected != "ready" or record.verdict.provisioned:
        return None
    return next((found for rule in _RULES if (found := rule(record)) is not None), _unknown(record))


# --- the evidence ---


def _console(record: BootRecord) -> list[str]:
    return [line.text for line in record.console]


def _said(record: BootRecord) -> list[str]:
    """All that the guest said, of journal and console, with the speaker's name."""
    journal = [f"{line.identifier}: {line.text}" for line in record.journal]
    return [*journal, *(text for text in _console(record) if text not in journal)]


def _matching(lines: Iterable[str], pattern: str, limit: int = 3) -> tuple[str, ...]:
    found: list[str] = []
    for line in lines:
        if re.search(pattern, line) and line.strip() not in found:
            found.append(line.strip())
    return tuple(found[:limit])


def _asked(record: BootRecord, service: str) -> bool:
    return any(exchange.service == service for exchange in record.exchanges)


def _is_virtual_machine(record: BootRecord) -> bool:
    return record.how.startswith("qemu")


def _multi_user(record: BootRecord) -> bool:
    return record.milestone("multi-user") is not None


# --- rules, in the order of a boot ---


def _reported_failure(record: BootRecord) -> Cause | None:
    failed = next((report for report in record.reports if report.accepted and report.state.lower() != "ready"), None)
    if failed is None or failed.substatus not in ("ProvisioningFailed", ""):
        return None
    said = failed.description or "no reason given"
    return Cause("reported-failure", "the guest itself reported that provisioning failed", (said,), "mend that reason")


def _refused_report(record: BootRecord) -> Cause | None:
    posted = [each for each in record.exchanges if each.method == "POST" and "comp=health" in each.target.lower()]
    refused = [each for each in posted if each.status is not None and 400 <= each.status < 500 and not each.fault]
    if not refused:
        return None
    why = tuple(dict.fromkeys(f.message for f in record.findings if f.severity == "error"))[:3]
    mends = next((finding.mend for finding in record.findings if finding.severity == "error" and finding.mend), "")
    return Cause("report-refused", f"{len(refused)} health report(s) reached the platform and were refused", why, mends)


def _nothing_on_console(record: BootRecord) -> Cause | None:
    if not _is_virtual_machine(record) or any(line.strip() for line in _console(record)):
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


def _no_kernel(record: BootRecord) -> Cause | None:
    if not _is_virtual_machine(record) or record.milestone("kernel") is not None or record.exchanges:
        return None
    lines = _console(record)
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


def _no_root_device(record: BootRecord) -> Cause | None:
    pattern = (
        r"ALERT!.*does not exist|Gave up waiting for root|Unable to mount root fs|Cannot open root device|"
        r"dracut-initqueue.*timeout|Warning: /dev/\S+ does not exist|[Tt]imed out waiting for device .*root"
    )
    seen = _matching(_console(record), pattern)
    if not seen:
        return None
    return Cause(
        "no-root-device",
        "the kernel did not find its root file system",
        seen,
        "compare root= with the disk's UUIDs; in Azure the initramfs needs hv_vmbus and hv_storvsc (`azready check`); "
        "here it needs a driver for --bus (virtio, nvme, scsi or sata)",
    )


def _panic(record: BootRecord) -> Cause | None:
    seen = _matching(_console(record), r"Kernel panic - not syncing|Failed to execute /|No working init")
    return Cause("kernel-panic", "the kernel panicked", seen) if seen else None


def _emergency(record: BootRecord) -> Cause | None:
    said = _said(record)
    if not _matching(said, r"emergency mode|[Ee]mergency\.target|[Ee]mergency [Mm]ode|emergency shell"):
        return None
    why = _matching(said, r"Dependency failed for|Timed out waiting for device|Failed to mount|fsck.*failed|UNEXPECTED")
    return Cause(
        "emergency-mode",
        "the boot ended in emergency mode",
        why or _matching(said, r"[Ee]mergency"),
        "every device in fstab must exist in the new VM, or have nofail",
    )


def _crash(record: BootRecord) -> Cause | None:
    trace = next(_tracebacks(record), None)
    if trace is not None:
        speaker, lines = trace
        return Cause("agent-crashed", f"{speaker or 'a program'} crashed", lines, "mend what the last line says")
    seen = _matching(_said(record), r"status=203/EXEC|status=127|Failed at step EXEC|Unable to locate executable")
    if seen:
        return Cause("agent-crashed", "a service could not be started", seen, "is its interpreter in the image?")
    return None


def _tracebacks(record: BootRecord) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Python's tracebacks: who, and the last lines up to the exception. Lines of others in between are left out."""
    spoken = [(line.identifier, line.text) for line in record.journal]
    spoken = spoken or [("", _bare(text)) for text in _console(record)]
    for at, (speaker, text) in enumerate(spoken):
        if "Traceback (most recent call last)" not in text:
            continue
        block: list[str] = []
        for who, line in spoken[at + 1 : at + 60]:
            if who != speaker:
                continue
            block.append(line)
            if line and not line.startswith((" ", "\t")):
                break
        yield speaker, tuple(line.strip() for line in block[-_QUOTED:])


def _bare(text: str) -> str:
    """A console line without the kernel's time and the speaker's name."""
    return re.sub(r"^\[\s*\d+\.\d+\]\s+\S+\[\d+\]: ", "", text)


_PROVISIONERS = (
    ("cloud-init", r"cloud-init"),
    ("walinuxagent", r"waagent|walinuxagent|azure-linux-agent"),
    ("azready", r"azure-provisioning"),
    ("azure-init", r"azure-init"),
    ("afterburn", r"afterburn"),
)


_ANY_PROVISIONER = "|".join(pattern for _, pattern in _PROVISIONERS)


def _speakers(record: BootRecord) -> tuple[str, ...]:
    """The provisioners that ran: by the names in the journal and the console, and by how they named themselves."""
    names = [f"{line.identifier} {line.unit}" for line in record.journal if line.identifier != "systemd"]
    names += [f"{line.identifier}" for line in serial.spoken(record.console) if line.identifier != "systemd"]
    names += [value for each in record.exchanges for key, value in each.request_headers if key.lower() == "user-agent"]
    return tuple(name for name, pattern in _PROVISIONERS if any(re.search(pattern, each, re.I) for each in names))


def _two_provisioners(record: BootRecord) -> Cause | None:
    waiting = _matching(_said(record), r"Waiting for cloud-init|cloud-init does not appear to be running")
    ran = _speakers(record)
    if waiting:
        return Cause(
            "provisioner-waits-for-another",
            "walinuxagent waits for a cloud-init that does not provision",
            waiting,
            "keep one provisioner: `azready prepare` removes both, or set Provisioning.Agent in waagent.conf",
        )
    if len(ran) < 2:
        return None
    return Cause(
        "two-provisioners",
        f"several provisioners run in this image: {' and '.join(ran)}",
        _matching(_said(record), "|".join(pattern for name, pattern in _PROVISIONERS if name in ran), 4),
        "keep one: `azready prepare` removes the others",
    )


def _stale_marker(record: BootRecord) -> Cause | None:
    pattern = (
        r"[Pp]rovisioning( is| already)? (already )?(completed|complete|done)|already provisioned|"
        r"provisioned (and reported )?already"
    )
    seen = _matching(_said(record), pattern)
    if not seen:
        return None
    return Cause(
        "stale-marker",
        "the provisioner takes this new VM for one that is provisioned already",
        seen,
        "seal the image before it is captured: `azready generalize`",
    )


def _medium(record: BootRecord) -> Cause | None:
    pattern = (
        r"[Ff]ailed to get dvd device|[Ee]rror mounting dvd|[Ff]ailed to mount dvd|no medium found|"
        r"[Tt]imed out waiting for device .*sr0|dev-sr0\.device.*(timed out|timeout)"
    )
    seen = _matching(_said(record), pattern)
    if not seen:
        return None
    return Cause(
        "medium-wait",
        "the guest waits for the provisioning medium",
        seen,
        "the kernel needs udf and the CD drive's driver; the medium is gone after the first boot: never in fstab",
    )


def _no_dhcp(record: BootRecord) -> Cause | None:
    kinds = [exchange.method for exchange in record.exchanges if exchange.service == "dhcp"]
    if _asked(record, "imds") or _asked(record, "wireserver") or "DHCPACK" in kinds:
        return None
    seen = _matching(
        _said(record), r"dhcp|DHCP|udhcpc|dhclient|Cannot find device|SIOCGIF|wait-online.*(failed|timeout)"
    )
    if not kinds:
        return Cause(
            "no-dhcp",
            "the guest never asked for an address",
            seen,
            "one network stack must be enabled, with DHCP on a NIC whose name is not known beforehand (en* eth*); "
            "here the NIC is virtio, in Azure hv_netvsc",
        )
    return Cause(
        "no-lease",
        "the guest asked for an address and got none",
        (f"{len(kinds)} × {', '.join(sorted(set(kinds)))}", *seen[:2]),
        "the DHCP client must take the offer: does it wait long enough?",
    )


def _no_route(record: BootRecord) -> Cause | None:
    if _asked(record, "imds") or _asked(record, "wireserver"):
        return None
    theirs = [
        line for line in _said(record) if re.search(r"168\.63\.129|169\.254\.169|" + _ANY_PROVISIONER, line, re.I)
    ]
    seen = _matching(
        theirs, r"unreachable|No route|[Tt]imed out|[Cc]ould not connect|not permitted|[Pp]ermission denied|refused"
    )
    if not seen:
        return None
    return Cause(
        "no-route",
        "the guest has an address, but reaches neither platform address",
        seen,
        "routes of DHCP (option 121) must be taken, and no firewall may drop 168.63.129.16 and 169.254.169.254",
    )


def _not_enabled(record: BootRecord) -> Cause | None:
    if _asked(record, "imds") or _asked(record, "wireserver") or _speakers(record):
        return None
    if record.how == "container" and not _multi_user(record):
        return None
    if not _multi_user(record) and record.milestone("sshd") is None:
        return None
    return Cause(
        "no-provisioner",
        "the system came up, and nothing in it tried to provision it",
        ("no request to IMDS or the WireServer; no provisioner spoke",),
        "install and enable one: `azready prepare`; a unit that switched itself off is armed by `azready generalize`",
    )


def _stuck(record: BootRecord) -> Cause | None:
    jobs = [text.strip() for text in _console(record) if "start job is running for" in text or "Job " in text]
    if _multi_user(record) or not jobs:
        return None
    return Cause(
        "slow-boot", "the boot waited for a unit until the deadline", (jobs[-1],), "what does that unit wait for?"
    )


def _asked_in_vain(record: BootRecord) -> Cause | None:
    wrong = [each for each in record.exchanges if each.service in ("imds", "wireserver") and (each.status or 0) >= 400]
    silent = [each for each in record.exchanges if each.service in ("imds", "wireserver") and each.status is None]
    if not wrong and not silent:
        return None
    last = (wrong or silent)[-1]
    shown = f"{last.method} {last.target} → {last.status or 'no answer'}" + (
        f" (fault: {last.fault})" if last.fault else ""
    )
    return Cause(
        "platform-refused",
        f"{len(wrong) + len(silent)} requests were refused or not answered, and the guest did not get past that",
        (shown, *(finding.message for finding in record.findings[:2])),
        next((finding.mend for finding in record.findings if finding.mend), "a provisioner has to try again"),
    )


def _stopped_short(record: BootRecord) -> Cause | None:
    if not (_asked(record, "imds") or _asked(record, "wireserver")):
        return None
    last = [each for each in record.exchanges if each.service in ("imds", "wireserver")][-1]
    at = "the goal state" if "goalstate" in last.target else last.target
    return Cause(
        "no-report",
        f"the guest asked the platform, last for {at}, and then posted no health report",
        (f"{last.at:.1f} s: {last.method} {last.target} → {last.status}",),
        "the report needs ContainerId, InstanceId (RoleInstanceList/RoleInstance) and Incarnation of the goal state",
    )


def _unknown(record: BootRecord) -> Cause:
    tail = [text for text in _said(record) if text.strip()][-3:]
    return Cause("unknown", "none of the known causes fits", tuple(tail), "look at the console (--console FILE)")


_RULES: tuple[Callable[[BootRecord], Cause | None], ...] = (
    _reported_failure,
    _refused_report,
    _nothing_on_console,
    _no_root_device,
    _panic,
    _no_kernel,
    _emergency,
    _crash,
    _two_provisioners,
    _stale_marker,
    _medium,
    _no_dhcp,
    _no_route,
    _not_enabled,
    _asked_in_vain,
    _stopped_short,
    _stuck,
)
