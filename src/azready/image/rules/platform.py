"""What Azure, and systemd, put before the platform's addresses."""

from collections.abc import Iterator

from azready.image.facts import Facts
from azready.image.rules.guards import to_enable
from azready.image.rules.model import Finding, Profile, Severity, rule
from azready.installed import PROGRAM

_PROXY = "azure-proxy-agent"
_MARK = "7fff0815"
"""Of the sockets that systemd lets through; a program that knows the number sets it."""
_ASKED = "/usr/lib/systemd/systemd-imds"


@rule(
    "P22",
    "the Guest Proxy Agent signs what is asked of the platform",
    fault="no Guest Proxy Agent signs what is asked of the platform",
    why="With the Metadata Security Protocol, WireServer and IMDS refuse what the agent has not signed. Without it the "
    "guest may believe that it reported ready, but the deployment fails with OSProvisioningInternalError.",
    fix="install azure-proxy-agent (Ubuntu and Azure Linux package it) and enable its unit",
    sources="GPA MSP",
    severity={Profile.MSP: Severity.FATAL},
)
def guest_proxy(facts: Facts) -> Iterator[Finding]:
    if not facts.program(_PROXY):
        yield Finding(f"{_PROXY} is not installed")
    elif not facts.units.enabled(f"{_PROXY}.service", _PROXY):
        yield Finding(f"{_PROXY}.service is not enabled", fix=to_enable(facts, f"{_PROXY}.service"))


@rule(
    "P23",
    "who asks IMDS may reach it",
    fault="systemd keeps IMDS for itself",
    why="With systemd.imds.network=locked a prohibition stands before 169.254.169.254 for all sockets but marked ones "
    "(systemd 261 and newer). Agents that do not mark theirs see IMDS as dead, and wait for it for minutes.",
    fix="take systemd.imds.network=locked from the kernel's command line; or provision with a program that marks its "
    "sockets, or asks systemd-imds",
    sources="IMDSD",
    severity=Severity.ERROR,
)
def open_imds(facts: Facts) -> Iterator[Finding]:
    if _reaches_imds(facts):
        return
    for entry in facts.boot_entries:
        if entry.values("systemd.imds.network")[-1:] == ["locked"]:
            yield Finding("systemd.imds.network=locked", entry.where)


def _reaches_imds(facts: Facts) -> bool:
    """Whether our program is there, and does: in sh it cannot mark sockets, and asks systemd's own."""
    texts = [(facts.text(f"{PROGRAM}/{name}") or "").lower() for name in ("provision.py", "provision.sh")]
    return any(_MARK in text for text in texts) or (_ASKED in texts[1] and facts.files.exists(_ASKED))
