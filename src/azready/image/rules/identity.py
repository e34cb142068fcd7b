"""What makes a machine this machine: ids, seeds, leases, names, enrolments."""

import re
from collections.abc import Iterator, Sequence

from azready import installed
from azready.image.actions import Action, Remove, Write
from azready.image.facts import Facts
from azready.image.facts.distro import Family
from azready.image.facts.reading import lstat_of, shell_values, stat_of
from azready.image.rules import repairs
from azready.image.rules.guards import lines_with, there
from azready.image.rules.model import Copies, Finding, Severity, Stage, rule
from azready.image.rules.traces import ENROLMENTS, HARMLESS, ISCSI_NAME, SECRETS, SELF_SIGNED

UNINITIALIZED = "uninitialized\n"
_LEASES = (
    "var/lib/{dhcp,dhclient,dhcpcd,dhcpcd5}/*{lease,leases,lease6,duid,secret}*",
    "var/lib/NetworkManager/{*.lease,*.leases,timestamps,secret_key,seen-bssids,NetworkManager-intern.conf}",
    "var/lib/systemd/network/*",
    "var/lib/wicked/{lease-*,duid.xml,iaid.xml}",
    "var/lib/connman/ethernet_*",
    "etc/dhcpcd.{duid,secret}",
    "var/db/dhcpcd/*",
)
_SEEDS = (
    "var/lib/systemd/random-seed",
    "{boot,efi,boot/efi}/loader/random-seed",
    "var/lib/systemd/credential.secret",
    "var/lib/urandom/random-seed",
    "var/lib/random-seed",
    "var/lib/{seedrng,misc/random-seed}",
)
_NAMES = ("localhost", "localhost.localdomain", "localhost6", "debian", "ubuntu", "fedora", "alpine", "archlinux", "")


def _reset_machine_id(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    own = facts.files.resolve("etc/machine-id") if facts.files.exists("etc/machine-id") else ""
    for finding in findings:
        if finding.path == own and facts.systemd:
            yield Write(own, UNINITIALIZED.encode(), 0o444)
        elif not finding.by_hand:
            yield Remove(finding.path)


@rule(
    "P12",
    "there is no machine id",
    fault="there is a machine id",
    why="The DHCP client, the journal and IPv6 addresses are named after it: clones with the same one get in each "
    "other's way.",
    fix="azready generalize writes `uninitialized` to /etc/machine-id",
    sources="SD CI VS MKOSI",
    severity=Severity.ERROR,
    repair=_reset_machine_id,
    stage=Stage.IDENTITY,
    in_copies=Copies.TOLD,
)
def no_machine_id(facts: Facts) -> Iterator[Finding]:
    yield from _ids_in_files(facts)
    yield from _ids_on_the_command_line(facts)
    yield from _ids_in_the_initramfs(facts)


def _ids_in_files(facts: Facts) -> Iterator[Finding]:
    paths = [path for path in ("etc/machine-id", "var/lib/dbus/machine-id") if facts.files.exists(path)]
    for path in dict.fromkeys(facts.files.resolve(path) for path in paths):
        found = lstat_of(facts.files, path)
        if found and found.kind == "file" and _is_id(facts.files.read_text(path)):
            yield Finding("this machine's id", path)


def _ids_on_the_command_line(facts: Facts) -> Iterator[Finding]:
    for entry in facts.boot_entries[:1]:
        if any(_is_id(value.replace("-", "")) for value in entry.values("systemd.machine_id")):
            fix = "take systemd.machine_id= off the kernel's command line: it goes before /etc/machine-id"
            yield Finding("every VM takes the id on the kernel's command line", entry.where, fix, by_hand=True)


def _ids_in_the_initramfs(facts: Facts) -> Iterator[Finding]:
    kernels = [kernel for kernel in facts.kernels if kernel.default]
    for name, data in (kernels[0].initramfs.contents if kernels and kernels[0].initramfs else {}).items():
        if name.endswith("etc/machine-id") and _is_id(data.decode(errors="replace")):
            fix = f"remove /etc/machine-id's content first, then run {facts.distro.names.rebuild_initramfs}"
            what, place = f"the initramfs carries a copy ({name})", kernels[0].initramfs_path
            yield Finding(what, place, fix, Severity.WARNING, by_hand=True)


def _is_id(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{32}", text.strip()))


def _entry_token(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    yield repairs.write("etc/kernel/entry-token", findings[0].path.rpartition("/")[2][:32] + "\n", 0o644)


@rule(
    "P13",
    "boot entries named after the machine id stay findable",
    fault="boot entries named after the machine id get lost",
    why="kernel-install names entries after the machine id. When that changes, updates write beside the old ones, and "
    "remove none.",
    fix="write the old name to /etc/kernel/entry-token, before the machine id is reset",
    sources="SD",
    severity=Severity.WARNING,
    repair=_entry_token,
    stage=Stage.WIPE,
    in_copies=Copies.TOLD,
)
def entries_stay(facts: Facts) -> Iterator[Finding]:
    if facts.files.exists("etc/kernel/entry-token"):
        return
    for path in facts.files.glob("{boot,efi,boot/efi}/loader/entries/*.conf"):
        if re.match(r"[0-9a-f]{32}-", path.rpartition("/")[2]):
            yield Finding("it is named after the machine id", path)
            return


def _forget_name(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    yield from repairs.drop_lines(facts, findings)
    for finding in findings:
        if finding.path == "etc/hostname":
            yield Write("etc/hostname", b"localhost\n", 0o644)
        elif not finding.line:
            yield Remove(finding.path)


@rule(
    "P14",
    "the image has no host name of its own",
    fault="the image has a host name of its own",
    why="Until provisioning sets the VM's name it would call itself by the builder's, also to DHCP and DNS.",
    fix="azready generalize sets it to localhost",
    sources="WALA SD",
    severity=Severity.WARNING,
    repair=_forget_name,
    stage=Stage.IDENTITY,
    in_copies=Copies.TOLD,
)
def no_host_name(facts: Facts) -> Iterator[Finding]:
    for path in ("etc/hostname", "etc/HOSTNAME", "etc/machine-info"):
        text = facts.text(path)
        lines = [line.strip() for line in (text or "").splitlines() if not re.match(r"\s*(#|$)", line)]
        if lines and (path == "etc/machine-info" or lines[0] not in _NAMES):
            yield Finding(lines[0], path, severity=Severity.INFO if path == "etc/machine-info" else None)
    for path in ("etc/sysconfig/network", "etc/conf.d/hostname"):
        for number, line in lines_with(facts, path, r"(?i)^\s*HOSTNAME="):
            if shell_values(line).popitem()[1] not in _NAMES:
                yield Finding(line, f"{path}:{number}")
    for entry in facts.boot_entries[:1]:
        for value in entry.values("systemd.hostname"):
            fix = "take it off the kernel's command line: it goes before /etc/hostname, on every VM"
            yield Finding(f"systemd.hostname={value}", entry.where, fix, Severity.ERROR, by_hand=True)
    for number, line in lines_with(facts, "etc/dhcp/dhclient.conf", r"^\s*send\s+host-name\s+\""):
        yield Finding(line, f"etc/dhcp/dhclient.conf:{number}")


@rule(
    "P06",
    "no key-value pool of the builder is left",
    fault="a key-value pool of the builder is left",
    why="The daemon would tell the host the old VM's data as this VM's.",
    fix="azready generalize removes them",
    sources="CI",
    severity=Severity.WARNING,
    repair=repairs.remove,
    stage=Stage.WIPE,
    rewritten_live=True,
    in_copies=Copies.TOLD,
)
def no_pools(facts: Facts) -> Iterator[Finding]:
    for path in facts.files.glob("var/lib/hyperv/.kvp_pool_*"):
        found = stat_of(facts.files, path)
        if found and found.size:
            yield Finding(f"it holds {found.size} bytes", path)


@rule(
    "G03",
    "no DHCP lease or DHCP identity is left",
    fault="a DHCP lease or DHCP identity is left",
    why="A clone would ask for the builder's address, or call itself by the builder's DUID.",
    fix="azready generalize removes them",
    sources="WALA VS",
    severity=Severity.WARNING,
    repair=repairs.remove,
    stage=Stage.WIPE,
    rewritten_live=True,
    in_copies=Copies.TOLD,
)
def no_leases(facts: Facts) -> Iterator[Finding]:
    for pattern in _LEASES:
        for path in facts.files.glob(pattern):
            found = lstat_of(facts.files, path)
            if found and found.kind == "file" and found.size:
                yield Finding("a lease, or an identity for DHCP", path)


@rule(
    "G14",
    "no random seed or secret of the builder is left",
    fault="a random seed or secret of the builder is left",
    why="Clones that start from one seed can come to the same keys.",
    fix="azready generalize removes them",
    sources="SD MKOSI",
    severity=Severity.ERROR,
    repair=repairs.remove,
    stage=Stage.IDENTITY,
    in_copies=Copies.TOLD,
)
def no_seeds(facts: Facts) -> Iterator[Finding]:
    yield from there(facts, *_SEEDS)


@rule(
    "G25",
    "the image is enrolled nowhere",
    fault="the image is enrolled somewhere",
    why="A clone would pose as the builder: to a directory, a subscription, a management server, a storage array.",
    fix=f"azready generalize removes the identity; enrol each VM by itself (hooks in /{installed.HOOKS})",
    sources="VS OWN",
    severity=Severity.ERROR,
    repair=lambda facts, findings: [action for each in findings for action in _forget(facts, each)],
    stage=Stage.WIPE,
    in_copies=Copies.TOLD,
)
def enrolled_nowhere(facts: Facts) -> Iterator[Finding]:
    places = facts.files.glob_each(each for patterns in ENROLMENTS.values() for each in patterns)
    for what, patterns in ENROLMENTS.items():
        for pattern in patterns:
            for path in places[pattern]:
                found = lstat_of(facts.files, path)
                if found and not (found.kind == "file" and found.size == 0) and not _generates(facts, path):
                    yield Finding(what, path, severity=Severity.WARNING if what in HARMLESS else None)
    yield from _kept_by_hand(facts)
    for number, _ in lines_with(facts, _POPCON, r"^MY_HOSTID=.?\w"):
        yield Finding("popularity contest", f"{_POPCON}:{number}", severity=Severity.WARNING)


def _kept_by_hand(facts: Facts) -> Iterator[Finding]:
    fix = "take it out by hand; give each VM its own (custom data, a hook, a key vault)"
    places = facts.files.glob_each(pattern for _, pattern, _ in SECRETS)
    for what, pattern, line in SECRETS:
        for path in places[pattern]:
            found = lstat_of(facts.files, path)
            for number, _ in lines_with(facts, path, line)[:1] if found and found.kind == "file" else ():
                yield Finding(what, f"{path}:{number}", fix, Severity.WARNING, by_hand=True)


_POPCON = "etc/popularity-contest.conf"


def _generates(facts: Facts, path: str) -> bool:
    """Open-iSCSI makes a name at first start where its file says so."""
    return path == ISCSI_NAME and "GenerateName=yes" in (facts.text(path) or "")


def _forget(facts: Facts, finding: Finding) -> Iterator[Action]:
    if finding.by_hand:
        return
    if finding.line:
        yield from repairs.drop_lines(facts, [finding])
    elif finding.path == ISCSI_NAME and facts.distro.family is Family.DEBIAN:
        yield Write(finding.path, b"GenerateName=yes\n", 0o600)
    else:
        yield Remove(finding.path)


@rule(
    "G26",
    "no self-signed certificate of the builder is shared",
    fault="a self-signed certificate of the builder is shared",
    why="Every VM would answer with the same certificate, whose key is in the image.",
    fix=f"make a new one at first boot: a hook in /{installed.HOOKS} that runs make-ssl-cert "
    "generate-default-snakeoil --force-overwrite",
    sources="OWN",
    severity=Severity.WARNING,
    in_copies=Copies.TOLD,
)
def no_shared_certificate(facts: Facts) -> Iterator[Finding]:
    yield from there(facts, *SELF_SIGNED)
