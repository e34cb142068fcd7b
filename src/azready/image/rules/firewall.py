"""What packet filters do with what the platform and ssh need."""

import re
from collections.abc import Iterator

from azready.addresses import IMDS, WIRESERVER
from azready.image.facts import Facts
from azready.image.facts import firewall as filters
from azready.image.facts.firewall import Ruleset
from azready.image.facts.reading import shell_values
from azready.image.rules import repairs
from azready.image.rules.guards import lines_with
from azready.image.rules.model import Finding, Severity, Stage, rule

_NFTABLES = "etc/{nftables.conf,nftables.nft,sysconfig/nftables.conf}"
_IPTABLES = ("etc/iptables/rules.v4", "etc/sysconfig/iptables", "etc/iptables/rules-save")
_IPTABLES_UNITS = ("netfilter-persistent.service", "iptables.service", "iptables")


@rule(
    "N09",
    "the firewall lets root reach the platform, and everybody ssh",
    fault="the firewall keeps root from the platform, or everybody from ssh",
    why=f"Everything goes through {WIRESERVER} and {IMDS} (tcp 80): with a closed OUTPUT chain the VM never reports "
    f"ready.",
    fix=f"accept tcp to {WIRESERVER} (80, 443, 32526) and {IMDS} (80), DHCP and DNS; inbound tcp 22",
    sources="WIRE",
    severity=Severity.ERROR,
)
def firewall_open(facts: Facts) -> Iterator[Finding]:
    for path in facts.files.glob(_NFTABLES)[:1]:
        if facts.units.enabled("nftables.service", "nftables"):
            rules = filters.nftables(facts.files, path)
            yield from _closed(rules, path, "chain of nftables", "add: tcp dport 22 accept")
    for path in _IPTABLES:
        if (text := facts.text(path)) is not None and facts.units.enabled(*_IPTABLES_UNITS):
            fix = "add: -A INPUT -p tcp --dport 22 -j ACCEPT"
            yield from _closed(filters.iptables(text), path, "chain of iptables", fix)
    yield from _ufw(facts)
    yield from _firewalld(facts)
    for number, line in lines_with(facts, "etc/hosts.deny", r"^\s*(ALL|sshd)\s*:\s*ALL"):
        if facts.files.exists("usr/sbin/tcpd"):
            yield Finding(line, f"etc/hosts.deny:{number}", severity=Severity.WARNING)


def _closed(rules: Ruleset, path: str, what: str, fix: str) -> Iterator[Finding]:
    kept = [address for address in (WIRESERVER, IMDS) if rules.keeps_in(address)]
    if kept:
        yield Finding(f"an output {what} drops what goes to {' and '.join(kept)}", path, severity=Severity.FATAL)
    if rules.keeps_out():
        yield Finding(f"the input {what} does not let ssh in", path, fix)


def _ufw(facts: Facts) -> Iterator[Finding]:
    if not re.search(r"(?m)^ENABLED=yes", facts.text("etc/ufw/ufw.conf") or ""):
        return
    defaults = shell_values(facts.text("etc/default/ufw") or "")
    text = facts.text("etc/ufw/user.rules") or facts.text("lib/ufw/user.rules") or ""
    rules = filters.iptables(text, {"in": "ufw-user-input", "out": "ufw-user-output"})
    accepting = filters.closed(rules)
    if defaults.get("DEFAULT_OUTPUT_POLICY", "ACCEPT") != "ACCEPT" and any(
        accepting.keeps_in(address) for address in (WIRESERVER, IMDS)
    ):
        yield Finding("ufw drops outgoing traffic", "etc/default/ufw", severity=Severity.FATAL)
    if defaults.get("DEFAULT_INPUT_POLICY", "DROP") != "ACCEPT" and accepting.keeps_out():
        yield Finding("ufw is on and does not let ssh in", "etc/ufw/user.rules", "ufw allow OpenSSH")


def _firewalld(facts: Facts) -> Iterator[Finding]:
    if not facts.units.enabled("firewalld.service", "firewalld"):
        return
    zone = filters.zone_of(facts.files, facts.network.nic.name)
    if not zone.lets_ssh_in:
        place = zone.path or "etc/firewalld/firewalld.conf"
        fix = f"firewall-offline-cmd --zone={zone.name} --add-service=ssh"
        yield Finding(f"zone {zone.name} of firewalld does not let ssh in", place, fix)
    direct = filters.direct_rules(facts.files)
    if kept := [address for address in (WIRESERVER, IMDS) if direct.keeps_in(address)]:
        what = f"a direct rule of firewalld drops what goes to {' and '.join(kept)}"
        yield Finding(what, "etc/firewalld/direct.xml", severity=Severity.FATAL)
    for path in filters.closing_policies(facts.files):
        what = "a policy of firewalld drops what this machine sends"
        yield Finding(what, path, severity=Severity.FATAL)


@rule(
    "N10",
    "no firewall rule of a removed agent is left",
    fault="a firewall rule of a removed agent is left",
    why="waagent keeps permanent rules that let only root reach the WireServer; `waagent -deprovision` removes its "
    "service, and leaves those.",
    fix="azready prepare removes them; or delete the lines with the WireServer's address",
    sources="WALA",
    severity=Severity.WARNING,
    repair=lambda facts, findings: repairs.drop_lines(facts, findings),
    stage=Stage.WIPE,
)
def no_agent_firewall(facts: Facts) -> Iterator[Finding]:
    for path in ("etc/firewalld/direct.xml", "etc/iptables/rules.v4", "etc/sysconfig/iptables"):
        for number, line in lines_with(
            facts,
            path,
            rf"{re.escape(WIRESERVER)}.*(security|DROP|uid-owner|conntrack)|security.*{re.escape(WIRESERVER)}",
        ):
            yield Finding(line, f"{path}:{number}")
