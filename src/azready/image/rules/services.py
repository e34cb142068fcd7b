"""Time, and what the agents did for disks."""

import re
from collections.abc import Iterator, Sequence

from azready.agents import WAAGENT
from azready.image.actions import Action, Write
from azready.image.facts import Facts
from azready.image.parts.replacements import plan_udev
from azready.image.rules import repairs
from azready.image.rules.guards import lines_with, needs_udev
from azready.image.rules.model import Finding, Profile, Severity, rule

_CHRONY = ("etc/chrony.conf", "etc/chrony/chrony.conf")
_CLOCK = "refclock PHC /dev/ptp_hyperv poll 3 dpoll -2 offset 0 stratum 2"
_DAEMONS = {
    "chrony": ("chrony.service", "chronyd.service", "chronyd"),
    "systemd-timesyncd": ("systemd-timesyncd.service",),
    "ntp": ("ntp.service", "ntpd.service", "ntpsec.service", "ntpd"),
}
_PTP_RULE = b'SUBSYSTEM=="ptp", ATTR{clock_name}=="hyperv", SYMLINK+="ptp_hyperv"\n'


def _host_clock(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    main = next((path for path in _CHRONY if facts.text(path) is not None), "")
    if not main or not facts.units.enabled(*_DAEMONS["chrony"]):
        return
    lines = f"{_CLOCK}\nmakestep 1.0 -1\n"
    folder = re.search(r"(?m)^[ \t]*(?:confdir|include)\s+/(etc/\S+?)/?(?:\*\.conf)?\s*$", facts.text(main) or "")
    if folder:
        yield repairs.write(f"{folder[1].rstrip('/')}/azure.conf", lines, 0o644)
    else:
        yield repairs.write(main, (facts.text(main) or "").rstrip("\n") + f"\n{lines}")


@rule(
    "P07",
    "chrony takes the time from the host",
    fault="chrony does not take the time from the host",
    why="The host's clock comes over /dev/ptp_hyperv, without network. After maintenance the VM's clock jumps, and "
    "nothing else puts it right quickly.",
    fix=f"install chrony; in its configuration: {_CLOCK}, and makestep 1.0 -1",
    sources="TIME LISA",
    severity=Severity.WARNING,
    repair=_host_clock,
)
def host_clock(facts: Facts) -> Iterator[Finding]:
    running = [name for name, units in _DAEMONS.items() if facts.units.enabled(*units)]
    if len(running) > 1:
        yield Finding(f"{' and '.join(running)} both set the clock", fix="disable all but chrony", by_hand=True)
    if "chrony" not in running:
        if running:
            yield Finding(f"{running[0]} sets the clock, and knows no host clock", severity=Severity.INFO, by_hand=True)
        else:
            yield Finding("nothing sets the clock", by_hand=True)
        return
    paths = [
        *_CHRONY,
        *facts.files.glob("etc/{chrony.d,chrony/conf.d}/*.conf"),
        *facts.files.glob("usr/lib/chrony.d/*.conf"),
    ]
    if not any(lines_with(facts, path, r"^\s*refclock\s+PHC\s+/dev/ptp") for path in paths):
        yield Finding(
            "chrony does not use the host's clock", next((p for p in _CHRONY if facts.text(p) is not None), "")
        )


@rule(
    "P08",
    "/dev/ptp_hyperv is the host's clock",
    fault="/dev/ptp_hyperv is not the host's clock",
    why="With accelerated networking there are two clocks, and their numbers may swap.",
    fix="ship a udev rule: " + _PTP_RULE.decode().strip(),
    sources="TIME LISA",
    severity=Severity.WARNING,
    repair=lambda facts, findings: [Write("etc/udev/rules.d/99-ptp_hyperv.rules", _PTP_RULE, 0o644)],
)
def clock_has_a_name(facts: Facts) -> Iterator[Finding]:
    needs_udev(facts)
    if not any("ptp_hyperv" in text for text in facts.udev_rules.values()):
        yield Finding("no udev rule makes the link")


@rule(
    "P09",
    "disks have their Azure names",
    fault="disks have no Azure names",
    why="Scripts and fstabs written for Azure use /dev/disk/azure/…; the rules come with an agent, and go with it.",
    fix="azready prepare ships the rules; or install azure-vm-utils",
    sources="AVU WALA",
    severity=Severity.WARNING,
    repair=lambda facts, findings: plan_udev(facts.files, ["disk-links"]),
)
def disk_names(facts: Facts) -> Iterator[Finding]:
    needs_udev(facts)
    if not any("disk/azure" in text for text in facts.udev_rules.values()):
        yield Finding("no udev rule makes /dev/disk/azure")


@rule(
    "P10",
    "SCSI commands may take 300 seconds",
    fault="SCSI commands time out too early",
    why="While a host fails over, disks pause; waagent raised the limit from 180 seconds. Few images miss it.",
    fix='ship a udev rule: ATTRS{vendor}=="Msft", ATTR{timeout}="300"',
    sources="LISA WALA",
    severity={Profile.MARKETPLACE: Severity.INFO},
    repair=lambda facts, findings: plan_udev(facts.files, ["disk-links"]),
)
def patient_disks(facts: Facts) -> Iterator[Finding]:
    if not any("timeout" in text and "Msft" in text for text in facts.udev_rules.values()):
        yield Finding("no udev rule raises the limit")


@rule(
    "P11",
    "the temporary disk is taken care of",
    fault="nobody takes care of the temporary disk",
    why="The agents formatted and mounted it, with a warning file in it. Without them it is an empty disk.",
    fix="azure-vm-utils has azure-ephemeral-disk-setup.service; or leave it to the user, and say so",
    sources="LISA AVU PROV",
    severity=Severity.INFO,
)
def temporary_disk(facts: Facts) -> Iterator[Finding]:
    if facts.units.enabled("azure-ephemeral-disk-setup.service", *WAAGENT.services):
        return
    if any("azure_resource" in m.device or "/disk/azure/resource" in m.device for m in facts.mounts):
        return
    yield Finding("nothing formats or mounts it")
