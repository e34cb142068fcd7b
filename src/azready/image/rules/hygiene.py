"""Repositories, versions, SELinux, and what the marketplace asks beyond."""

import re
from collections.abc import Iterator, Sequence

from azready import installed
from azready.image.actions import Action, Write
from azready.image.facts import Facts
from azready.image.facts.distro import Family
from azready.image.facts.packages.managers import MANAGERS
from azready.image.facts.selinux import SETFILES, missing_policy, relabels
from azready.image.rules import repairs
from azready.image.rules.guards import lines_with
from azready.image.rules.model import Finding, Profile, Severity, Skip, Stage, rule

_OMI_FIXED = (1, 6, 8, 1)


def _repositories(facts: Facts) -> list[str]:
    patterns = [manager.repositories for manager in MANAGERS.values() if manager.repositories]
    return [path for pattern in patterns for path in facts.files.glob(pattern)]


@rule(
    "P15",
    "package repositories are set, security updates among them",
    fault="package repositories or security updates are missing",
    why="An image that cannot be updated is refused by its users first.",
    fix="name the distribution's repositories, or its mirrors in Azure",
    sources="LISA UB",
    severity=Severity.INFO,
)
def repositories(facts: Facts) -> Iterator[Finding]:
    manager = MANAGERS.get(facts.packages.manager)
    if not manager or not manager.repositories:
        raise Skip("no package manager with repositories")
    texts = [facts.text(path) or "" for path in _repositories(facts)]
    lines = [line for text in texts for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        yield Finding("no repository is set")
    elif facts.distro.family is Family.DEBIAN and facts.distro.version and not re.search(r"security", "\n".join(lines)):
        yield Finding("no security updates among them", (_repositories(facts) or [""])[0])


@rule(
    "P16",
    "no repository or proxy of the build is left",
    fault="a repository or proxy of the build is left",
    why="apt and dnf fail at the first use: the DVD, the folder or the proxy is not there.",
    fix="comment the line out",
    sources="OWN",
    severity=Severity.WARNING,
    repair=repairs.comment_lines,
)
def no_build_repositories(facts: Facts) -> Iterator[Finding]:
    for path in _repositories(facts):
        pattern = r"^\s*(deb(-src)?\s+(\[[^]]*\]\s*)?|baseurl\s*=\s*|URIs:\s*|)(cdrom:|file:/|copy:/|hd:|dir:/)"
        for number, line in lines_with(facts, path, pattern):
            yield Finding(line, f"{path}:{number}")
    for path in facts.files.glob("etc/apt/{apt.conf,apt.conf.d/*}"):
        for number, line in lines_with(facts, path, r"^\s*Acquire::https?::Proxy\s"):
            if "DIRECT" not in line:
                yield Finding(re.sub(r"//[^/@\s]+@", "//…@", line), f"{path}:{number}")
    for path in ("etc/dnf/dnf.conf", "etc/yum.conf"):
        for number, line in lines_with(facts, path, r"^\s*proxy\s*=\s*\w"):
            yield Finding(re.sub(r"//[^/@\s]+@", "//…@", line), f"{path}:{number}")


_DEBCONF = "var/cache/debconf/config.dat"
_QUESTION = re.compile(r"^Name: grub-(pc|efi-\w+|cloud-\w+)/install_devices$", re.MULTILINE)


def _ask_again(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    """No disk chosen, and that on purpose: so answers cloud-init, too, where it finds none."""
    answered = re.compile(r"^Name: grub-\S+/install_devices_empty$", re.MULTILINE)
    stanzas = [each.strip("\n") for each in (facts.text(_DEBCONF) or "").split("\n\n") if not answered.search(each)]
    edited = [_no_disk(stanza) if _QUESTION.search(stanza) else stanza for stanza in stanzas if stanza]
    yield repairs.write(_DEBCONF, "".join(f"{stanza}\n\n" for stanza in edited))


def _no_disk(stanza: str) -> str:
    package = stanza.partition("Name: ")[2].partition("/")[0]
    empty = f"{package}/install_devices_empty"
    bare = re.sub(r"(?m)^Value:.*$", "Value: ", stanza)
    return f"{bare}\n\nName: {empty}\nTemplate: {empty}\nValue: true\nOwners: {package}\nFlags: seen"


@rule(
    "P24",
    "GRUB's package installs to no disk of the builder",
    fault="GRUB's package would install to a disk of the builder",
    why="debconf remembers the disk by its name. In another VM there is none of that name: the next update of GRUB "
    "stops with an error, and unattended upgrades with it.",
    fix="azready generalize forgets the disk: GRUB is then updated without touching a boot sector",
    sources="CI",
    severity=Severity.WARNING,
    repair=_ask_again,
    stage=Stage.WIPE,
)
def no_remembered_disk(facts: Facts) -> Iterator[Finding]:
    for stanza in (facts.text(_DEBCONF) or "").split("\n\n"):
        value = re.search(r"(?m)^Value: *(\S.*)$", stanza)
        if _QUESTION.search(stanza) and value:
            yield Finding(f"it remembers {value[1]}", _DEBCONF)


@rule(
    "P17",
    "no program with a hole that Microsoft tests for",
    fault="a program has a hole that Microsoft tests for",
    why="LISA and the marketplace look for OMI before 1.6.8.1 (remote root) and for OpenSSL before 1.0.2.",
    fix="update the package, or remove it",
    sources="LISA CERT",
    severity=Severity.ERROR,
)
def no_known_holes(facts: Facts) -> Iterator[Finding]:
    version = facts.packages.versions.get("omi", "")
    numbers = tuple(int(part) for part in re.findall("[0-9]{1,18}", version))
    if facts.files.exists("opt/omi/bin/omiserver") and (not numbers or numbers < _OMI_FIXED):
        yield Finding(f"OMI {version or 'of unknown version'}", "opt/omi/bin/omiserver")
    openssl = re.match(r"(?:\d+:)?(\d{1,9})\.(\d{1,9})\.(\d{1,9})", facts.packages.versions.get("openssl", ""))
    if openssl and tuple(map(int, openssl.groups())) < (1, 0, 2):
        yield Finding(f"OpenSSL {openssl[0]}")


@rule(
    "P19",
    "SELinux labels are right after the image was edited from outside",
    fault="SELinux labels are wrong after the image was edited from outside",
    why="Files written from another system carry no label: in enforcing mode nobody can log in.",
    fix="touch /.autorelabel (the first boot then relabels, and takes longer), or run setfiles inside the image",
    sources="VS MKOSI",
    severity=Severity.ERROR,
    repair=lambda facts, findings: [Write(".autorelabel", b"", 0o644) for each in findings if not each.by_hand],
)
def labels(facts: Facts) -> Iterator[Finding]:
    mode = facts.selinux
    if mode == "disabled" or facts.live:
        raise Skip("SELinux is off" if mode == "disabled" else "the running system labels what it writes")
    if (wanted := _no_policy(facts)) and mode == "enforcing":
        fix = "install the policy (selinux-policy-targeted), put SELINUXTYPE right, or say SELINUX=disabled"
        what = f"there is no policy of the type {wanted}: systemd stops the boot"
        yield Finding(what, "etc/selinux/config", fix, Severity.FATAL, by_hand=True)
        return
    if facts.files.exists(".autorelabel"):
        if mode == "enforcing" and not relabels(facts.files):
            what = "nothing in the image heeds /.autorelabel"
            yield Finding(what, "etc/selinux/config", SETFILES, Severity.WARNING, by_hand=True)
        return
    if facts.files.exists("etc/systemd/system-preset/05-azure-image.preset") or facts.files.exists(installed.PROGRAM):
        grave = None if mode == "enforcing" else Severity.INFO
        yield Finding(f"SELinux is {mode}, and azready wrote files from outside", "etc/selinux/config", severity=grave)


def _no_policy(facts: Facts) -> str:
    """The missing type. Kernels of Debian and its relatives leave SELinux off, unless they are asked."""
    args = [arg for entry in facts.boot_entries[:1] for arg in entry.args]
    asked = any(arg in ("selinux=1", "security=selinux") or re.match(r"lsm=.*selinux", arg) for arg in args)
    if not facts.systemd or (facts.distro.family is not Family.REDHAT and not asked):
        return ""
    return missing_policy(facts.files, facts.text("etc/selinux/config") or "")


@rule(
    "P21",
    "the marketplace certifies the image",
    fault="the marketplace does not certify the image",
    why="Its tests want an agent and working extensions: an image without agent passes only with an exception. "
    "Publishing in a gallery, also a community gallery, needs no certificate.",
    fix="publish in a gallery; or keep walinuxagent (azready prepare is then not for this image)",
    sources="LISA CERT",
    severity={Profile.MARKETPLACE: Severity.INFO},
)
def certifiable(facts: Facts) -> Iterator[Finding]:
    if not facts.program("waagent"):
        yield Finding("no agent: the marketplace's tests for its version and for extensions fail")
