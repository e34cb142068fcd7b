"""The ssh server that people will log in through."""

import re
from collections.abc import Iterator, Sequence

from azready import installed
from azready.image.actions import Action, Chmod, Write
from azready.image.facts import Facts
from azready.image.facts.pam import KINDS, PamRule, counted, modules_folders, pam_rules
from azready.image.facts.reading import numbered, stat_of
from azready.image.facts.sshd import Setting, Sshd, seconds
from azready.image.facts.units import Units
from azready.image.rules import repairs
from azready.image.rules.guards import in_initramfs, the_sshd, there, to_enable
from azready.image.rules.model import Copies, Finding, Profile, Severity, Skip, Stage, Vital, rule

UNITS = ("ssh.service", "ssh.socket", "sshd.service", "sshd.socket", "sshd", "dropbear.service", "dropbear")
HOST_KEYS = (
    "{,usr/}etc/ssh/ssh_host_*key*",
    "etc/dropbear/{,initramfs/}*_host_key",
    "etc/dropbear-initramfs/*_host_key",
    "etc/tinyssh/sshkeydir/{.*.sk,*.pk}",
)
_NAME_THE_USUAL = "let HostKey name /etc/ssh/ssh_host_…_key, or remove the line: ssh-keygen -A makes no others"
_CARRIED_KEYS = r"(^|/)(ssh_host_\w+_key|\w+_host_key|tinyssh/sshkeydir/\.[^/]+\.sk)$"
_KEY_MAKERS = (
    installed.HOST_KEYS_UNIT,
    "sshd-keygen.service",
    "sshd-keygen.target",
    "sshdgenkeys.service",
    "ssh-keygen.service",
    "sshd_keygen.service",
    "regenerate_ssh_host_keys.service",
    "ssh-host-keys.service",
)
_TIGHT = {
    "etc/ssh/sshd_config": 0o644,
    "etc/shadow": 0o640,
    "etc/gshadow": 0o640,
    "etc/passwd": 0o644,
    "etc/group": 0o644,
    "etc/sudoers": 0o644,
    "etc/sudoers.d": 0o755,
}
_ASK_MORE = ("pam_access", "pam_listfile", "pam_shells", "pam_succeed_if", "pam_time")
"""Modules of PAM that let in only whom they are told of."""
_NOLOGIN = "etc/nologin"
_NOT_TO_BE_RUN = "etc/ssh/sshd_not_to_be_run"
_DROP_IN = "etc/ssh/sshd_config.d/10-azure.conf"


def _installed(facts: Facts) -> bool:
    return bool(facts.program("sshd") or facts.program("dropbear"))


def _starts(facts: Facts) -> bool:
    """By a unit, or by a script of SysV's: systemd heeds that only where no unit has its name, be it a masked one."""
    units = facts.units
    native = facts.systemd and any(name in units.installed or name in units.masked for name in UNITS)
    return units.enabled(*UNITS) or bool(not native and facts.files.glob("etc/rc?.d/S*ssh*"))


def _link_to_nothing(facts: Facts) -> str:
    """An ssh unit that is enabled, where no unit of ssh's is there (a package that was removed leaves the link)."""
    units = facts.units
    if not facts.systemd or not units.installed or any(units.has(name) for name in UNITS):
        return ""
    return next((name for name in UNITS if name in units.wanted), "")


@rule(
    "S01",
    "an ssh server is installed and starts",
    fault="no ssh server is installed and starts",
    why="Without it nobody reaches the VM, and LISA's first test fails.",
    fix="install openssh-server and enable it; an image that wants none waives S01",
    sources="GEN UB LISA",
    severity=Severity.FATAL,
)
def server_starts(facts: Facts) -> Iterator[Finding]:
    if not _installed(facts):
        yield Finding("neither sshd nor dropbear is installed", severity=Severity.ERROR)
    elif not _starts(facts):
        unit = facts.distro.names.ssh_unit
        yield Finding(f"{unit}.service is not enabled", fix=to_enable(facts, unit))
    elif lost := _link_to_nothing(facts):
        yield Finding(f"{lost} is enabled, and not there", facts.units.wanted[lost][0], "install openssh-server")
    if facts.files.exists(_NOT_TO_BE_RUN):
        yield Finding("Debian's ssh.service does not start while this file is there", _NOT_TO_BE_RUN, "remove it")


@rule(
    "S02",
    "the image carries no host keys",
    fault="the image carries host keys",
    why="All clones would have the same: whoever reads one image can pose as every VM made of it.",
    fix="azready generalize removes them; the first boot makes new ones",
    sources="DIS WALA VS",
    severity=Severity.ERROR,
    repair=repairs.remove,
    stage=Stage.WIPE,
    in_copies=Copies.TOLD,
)
def no_host_keys(facts: Facts) -> Iterator[Finding]:
    found = {each.path: each for each in there(facts, *HOST_KEYS)}
    named = [path for path in _named_keys(facts) if path not in found]
    for path in [*found, *named]:
        fix = f"{_NAME_THE_USUAL}; then azready generalize" if path in named else ""
        for each in dict.fromkeys((path, facts.files.resolve(path))):
            if facts.files.exists(each):
                found.setdefault(each, Finding(f"/{each} is there", each, fix))
    yield from found.values()
    yield from in_initramfs(facts, _CARRIED_KEYS, "a host key")


def _named_keys(facts: Facts) -> Iterator[str]:
    """Keys in other places, by sshd's own HostKey lines."""
    for setting in facts.sshd.values.get("hostkey", ()) if facts.sshd else ():
        path = setting.value.strip('"').strip("/")
        found = stat_of(facts.files, path)
        if found and found.kind == "file" and b"PRIVATE KEY" in facts.files.read_head(path, 100):
            yield from (each for each in (path, f"{path}.pub") if facts.files.exists(each))


@rule(
    "S03",
    "somebody makes host keys before the ssh server starts",
    fault="nobody makes host keys before the ssh server starts",
    why="Without keys sshd does not start. Red Hat, SUSE and Arch make them at every start that finds none; Debian "
    "and Ubuntu only when the package is installed.",
    fix=f"azready prepare installs {installed.HOST_KEYS_UNIT}; or a unit before ssh that runs ssh-keygen -A",
    sources="CI OWN",
    severity=Severity.FATAL,
    vital=Vital(
        "nothing makes ssh host keys at the first boot: without them sshd will not start",
        "run azready prepare first; or say --skip S02 to keep the keys (the same on every VM), --skip S03 to go on",
        frozenset({"S02"}),
    ),
    in_copies=Copies.UNASKED,
)
def host_keys_are_made(facts: Facts) -> Iterator[Finding]:
    named = facts.sshd.values.get("hostkey", ()) if facts.sshd else ()
    if named and not any(re.match(r'"?/etc/ssh/ssh_host_\w+_key"?$', each.value) for each in named):
        what = f"HostKey names {named[0].value}, which nobody makes at the first boot"
        yield Finding(what, named[0].where, _NAME_THE_USUAL)
        return
    if not _installed(facts) or not facts.program("sshd"):
        raise Skip("OpenSSH's server is not installed")
    if _an_agent_makes_keys(facts):
        return
    if facts.systemd and not _a_unit_makes_keys(facts.units):
        yield Finding("no unit makes host keys at boot")
    script = "" if facts.systemd else facts.text("etc/init.d/sshd") or facts.text("etc/init.d/ssh") or ""
    if not facts.systemd and not re.search(r"ssh-keygen|checkconfig|generate_host_keys", script):
        yield Finding("the init script of sshd makes no keys", "etc/init.d")


def _a_unit_makes_keys(units: Units) -> bool:
    """One of its own, or sshd's, which starts or wants the program that does."""
    if units.enabled(*_KEY_MAKERS) or any("sshd-keygen@" in name for name in units.wanted):
        return True
    wants = [value for name in UNITS for key in ("Wants", "Requires") for value in units.values(name, "Unit", key)]
    starts = [value for name in UNITS for value in units.values(name, "Service", "ExecStartPre")]
    return bool(re.search("keygen|gen-keys", " ".join(wants + starts)))


def _an_agent_makes_keys(facts: Facts) -> bool:
    """cloud-init before sshd starts; waagent while it provisions, and it starts sshd again."""
    if facts.cloud_init and facts.cloud_init.makes_keys and facts.cloud_init.runs("ssh"):
        return True
    return bool(facts.waagent and facts.waagent.provisions and facts.waagent.makes_keys)


def _keep_alive(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    if facts.sshd and facts.sshd.drop_ins:
        yield Write(_DROP_IN, b"ClientAliveInterval 180\n", 0o644)


@rule(
    "S04",
    "idle ssh connections are kept alive",
    fault="idle ssh connections are not kept alive",
    why="Azure's load balancers cut a connection that is silent for four minutes. The marketplace wants "
    "ClientAliveInterval between 30 and 235 seconds.",
    fix="set ClientAliveInterval 180 in sshd's configuration",
    sources="LISA CERT RH",
    severity={Profile.AZURE: Severity.INFO, Profile.MARKETPLACE: Severity.WARNING},
    repair=_keep_alive,
)
def kept_alive(facts: Facts) -> Iterator[Finding]:
    sshd = the_sshd(facts)
    setting = sshd.first("ClientAliveInterval")
    value = seconds(setting.value) if setting else 0
    if not value or not 1 <= value <= 235:
        said = f"ClientAliveInterval is {setting.value}" if setting else "ClientAliveInterval is not set"
        yield Finding(said, setting.where if setting else sshd.main)


@rule(
    "S05",
    "root does not log in by password, and nobody without one",
    fault="root can log in by password, or somebody without one",
    why="Every public address is tried with common passwords, all day.",
    fix="set PermitRootLogin prohibit-password and PermitEmptyPasswords no",
    sources="CERT",
    severity=Severity.WARNING,
)
def no_root_password_login(facts: Facts) -> Iterator[Finding]:
    sshd = the_sshd(facts)
    root, empty, passwords = (
        sshd.first(key) for key in ("PermitRootLogin", "PermitEmptyPasswords", "PasswordAuthentication")
    )
    if root and root.value.lower() == "yes" and not (passwords and passwords.value.lower() == "no"):
        yield Finding("PermitRootLogin yes", root.where)
    if empty and empty.value.lower() == "yes":
        yield Finding("PermitEmptyPasswords yes", empty.where, severity=Severity.ERROR)


@rule(
    "S06",
    "nothing keeps the provisioned user from logging in",
    fault="a setting keeps the provisioned user from logging in",
    why="The platform says who may log in and how; lists of users, other key files, or a leftover of an agent that is "
    "read first, defeat it.",
    fix="remove the setting, or name the group that the provisioned user will be in",
    sources="PROV AI",
    severity=Severity.ERROR,
    in_copies=Copies.UNASKED,
)
def nothing_defeats_login(facts: Facts) -> Iterator[Finding]:
    sshd = the_sshd(facts)
    for key, value in (("PubkeyAuthentication", "no"), ("MaxSessions", "0"), ("MaxAuthTries", "0")):
        if (setting := sshd.first(key)) and setting.value.lower() == value:
            yield Finding(f"{key} {value}", setting.where)
    if facts.files.exists(_NOLOGIN):
        yield Finding("while it is there, nobody but root logs in", _NOLOGIN, "remove it")
    revoked = sshd.first("RevokedKeys")
    if revoked and revoked.value != "none" and not facts.files.exists(revoked.value.strip("/")):
        yield Finding(f"RevokedKeys {revoked.value} is not there: sshd takes no key at all", revoked.where)
    yield from _closed_folders(facts)
    yield from _unreachable(sshd)
    yield from _denied_hosts(facts)
    yield from _refused(sshd)
    keys = sshd.first("AuthorizedKeysFile")
    if keys and keys.value == "none":
        yield Finding("AuthorizedKeysFile none: sshd reads no keys", keys.where)
    elif keys and not re.search(r"%[hu]|\.ssh/authorized_keys", keys.value):
        yield Finding(f"AuthorizedKeysFile {keys.value}: the same file for everybody", keys.where)
    passwords = sshd.first("PasswordAuthentication")
    if passwords and passwords.value.lower() == "no" and "cloud" in passwords.where:
        fix = "remove the leftover: our own file would be read after it"
        yield Finding("PasswordAuthentication no, whatever the platform says", passwords.where, fix, Severity.WARNING)


_ENTERED = ("", "usr", "usr/bin", "usr/lib", "home")
"""Folders through which everybody comes to home and shell. `mktemp -d` makes a root folder of mode 0700."""


def _closed_folders(facts: Facts) -> Iterator[Finding]:
    root = stat_of(facts.files, "")
    of_root = {0, root.gid if root else 0}  # a tree of an ordinary user's has his group where it means root's
    for path in _ENTERED:
        found = stat_of(facts.files, path)
        if not found or found.kind != "dir":
            continue
        if not found.mode & (0o001 if found.gid in of_root else 0o011):
            yield Finding(f"mode {found.mode:04o}: nobody but root enters it", path or "/", f"chmod 0755 /{path}")


_ADMINS = frozenset({"sudo", "wheel", "adm"})
"""Groups that provisioners put their user in."""


def _refused(sshd: Sshd) -> Iterator[Finding]:
    """Lists that leave the user out; then what a key alone does not satisfy, or a login does not come through."""
    for key in ("AllowUsers", "AllowGroups"):
        names = {name for setting in sshd.values.get(key.lower(), ()) for name in setting.value.split()}
        if names and "*" not in names and not (key == "AllowGroups" and _ADMINS & names):
            setting = sshd.values[key.lower()][0]
            yield Finding(f"{key} {setting.value}", setting.where)
    for key, everybody in (("DenyUsers", {"*"}), ("DenyGroups", {"*", *_ADMINS})):
        for setting in sshd.values.get(key.lower(), ()):
            if everybody & set(setting.value.split()):
                yield Finding(f"{key} {setting.value}", setting.where)
    yield from _more_than_a_key(sshd)


def _more_than_a_key(sshd: Sshd) -> Iterator[Finding]:
    methods = sshd.first("AuthenticationMethods")
    if methods and not {"any", "publickey"} & set(methods.value.split()):
        yield Finding(f"AuthenticationMethods {methods.value}: a key alone does not do", methods.where)
    for key in ("ForceCommand", "ChrootDirectory"):
        if (forced := sshd.first(key)) and forced.value.lower() != "none":
            yield Finding(f"{key} {forced.value}: nobody gets a shell of the system", forced.where)
    command = sshd.first("AuthorizedKeysCommand")
    if command and command.value.lower() != "none" and not sshd.first("AuthorizedKeysCommandUser"):
        what = "AuthorizedKeysCommand without AuthorizedKeysCommandUser: sshd does not start"
        yield Finding(what, command.where)


_NOT_IPV4 = re.compile(r"\[|[^:]*:[^:]*:|127\.|localhost")
"""An address of IPv6, or of this machine alone."""
_WILDCARD = re.compile(r"(\*|0\.0\.0\.0)(:\d+)?$")


def _unreachable(sshd: Sshd) -> Iterator[Finding]:
    """Addresses and ports that nobody connects to."""
    if places := sshd.values.get("listenaddress", ()):
        yield from _closed_addresses(places)
    family = sshd.first("AddressFamily")
    if family and family.value.lower() == "inet6":
        yield Finding("AddressFamily inet6: sshd listens to IPv6 alone", family.where)
    ports = sshd.values.get("port", ())
    if ports and all(each.value != "22" for each in ports):
        what = f"Port {ports[0].value}: Azure's tools and network rules expect 22"
        yield Finding(what, ports[0].where, "let Port 22 stand beside it, or tell the image's users", Severity.INFO)


def _closed_addresses(places: Sequence[Setting]) -> Iterator[Finding]:
    values = [each.value.split()[0] if each.value else "" for each in places]
    if all(re.match(r"\[?(127\.|::1|localhost)", value) for value in values):
        yield Finding(f"ListenAddress {values[0]}: sshd listens to this machine alone", places[0].where)
    elif all(_NOT_IPV4.match(value) for value in values):
        yield Finding(f"ListenAddress {values[0]}: sshd listens to IPv6 alone", places[0].where)
    elif not any(_WILDCARD.match(value) for value in values):
        found = next(each for each in places if not _NOT_IPV4.match(each.value))
        yield Finding(f"ListenAddress {found.value}: an address of the builder's network", found.where)


def _denied_hosts(facts: Facts) -> Iterator[Finding]:
    """Source: hosts_access(5), which sshd of some distributions heeds."""
    if "sshd" in (facts.text("etc/hosts.allow") or ""):
        return
    for number, line in numbered(facts.text("etc/hosts.deny") or ""):
        if {"ALL", "sshd"} & set(line.partition(":")[0].replace(",", " ").split()):
            yield Finding(
                f"{line}: it may keep everybody out of sshd", f"etc/hosts.deny:{number}", "", Severity.WARNING
            )


@rule(
    "S07",
    "modes of account and ssh files are tight",
    fault="modes of account or ssh files are too open",
    why="sshd refuses keys in files that others may write (StrictModes); LISA takes loose ones for a compromise.",
    fix="chmod",
    sources="LISA",
    severity=Severity.WARNING,
    repair=lambda facts, findings: [Chmod(each.path, _TIGHT.get(each.path, 0o600)) for each in findings],
)
def tight_modes(facts: Facts) -> Iterator[Finding]:
    for path, allowed in _TIGHT.items():
        found = stat_of(facts.files, path)
        if found and found.mode & ~(allowed | 0o200):
            yield Finding(f"mode {found.mode:04o}", path, f"chmod {allowed:04o} /{path}")
    for home in facts.homes():
        path = f"{home}/.ssh/authorized_keys"
        found = stat_of(facts.files, path)
        if found and found.mode & 0o077:
            yield Finding(f"mode {found.mode:04o}", path, f"chmod 0600 /{path}")


@rule(
    "S08",
    "PAM lets the provisioned user in",
    fault="PAM keeps the provisioned user out",
    why="sshd and sudo ask PAM's account and session rules even of who comes with a key. A module that a line demands "
    "and the image lacks (pam_tally2, pam_lastlog after an upgrade), or a pam_deny that is reached, keeps all out.",
    fix="take the line out, or install the module; let it name the group that the provisioned user will be in",
    sources="PROV",
    severity=Severity.ERROR,
    in_copies=Copies.UNASKED,
)
def pam_lets_in(facts: Facts) -> Iterator[Finding]:
    modules = modules_folders(facts.files)
    if not modules:
        raise Skip("no PAM in it")
    for service in ("sshd", "sudo"):
        if facts.program(service):
            yield from _kept_out(facts, modules, service)


def _kept_out(facts: Facts, folders: Sequence[str], service: str) -> Iterator[Finding]:
    def answer(rule: PamRule) -> str:
        named = rule.module.startswith("/")
        paths = (rule.module.strip("/"),) if named else tuple(f"{folder}/{rule.module}" for folder in folders)
        if rule.broken:
            return "broken"
        if not any(map(facts.files.exists, paths)):
            return "module_unknown"
        if rule.name == "pam_deny":
            return "auth_err" if rule.kind == "account" else "session_err"
        return "success"

    rules = pam_rules(facts.files, service)
    unread = [each for each in rules if not each.kind]
    yield from (Finding(f"{each.broken}: {service} lets nobody in", each.where) for each in unread)
    for kind in KINDS if rules and not unread else ():
        reached = counted([each for each in rules if each.kind == kind], answer)
        if not reached:
            yield Finding(f"no {kind} rule of PAM says yes: {service} lets nobody in", f"etc/pam.d/{service}")
        for each in reached:
            yield from _against(facts, each, answer(each), service)


def _against(facts: Facts, rule: PamRule, answer: str, service: str) -> Iterator[Finding]:
    """What a rule that is reached, and gets that answer, has against the owner."""
    if rule.broken:
        yield Finding(f"{rule.broken}: {service} lets nobody in", rule.where)
    elif answer == "module_unknown" and rule.module.endswith("\r"):
        yield Finding(f"the line ends in CR LF: {service} lets nobody in", rule.where)
    elif answer == "module_unknown":
        yield Finding(f"{rule.module} is not there: {service} lets nobody in", rule.where)
    elif answer != "success":
        yield Finding(f"pam_deny keeps everybody out of {service}", rule.where)
    elif rule.kind == "account" and rule.name in _ASK_MORE and not _says_nothing(facts, rule):
        text = f"{rule.name} may keep the provisioned user out of {service}: {rule.arguments or 'see its file'}"
        yield Finding(text, rule.where, severity=Severity.WARNING)


def _says_nothing(facts: Facts, asked: PamRule) -> bool:
    """Whether the module's own file names nobody, so that everybody gets in."""
    match asked.name:
        case "pam_access":
            return not any(line.startswith("-") for line in (facts.text("etc/security/access.conf") or "").splitlines())
        case "pam_time":
            return not list(numbered(facts.text("etc/security/time.conf") or ""))
        case "pam_shells":
            return "/bin/bash" in (facts.text("etc/shells") or "/bin/bash").split()
        case _:
            return False
