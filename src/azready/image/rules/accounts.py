"""Accounts, passwords, keys and sudo."""

import re
from collections.abc import Iterator, Sequence

from azready import installed
from azready.image.actions import Action, Chmod, Remove
from azready.image.facts import Facts
from azready.image.facts.leftovers import SUDO_RULES
from azready.image.facts.reading import names_in, stat_of
from azready.image.facts.users import usable
from azready.image.rules import repairs
from azready.image.rules.guards import in_initramfs, lines_with, there
from azready.image.rules.model import Copies, Finding, Profile, Severity, Skip, Stage, rule

_SUDOERS = ("etc/sudoers", "usr/etc/sudoers")
_HISTORY = (
    "*_history", ".history", ".histfile", ".zhistory", ".local/share/powershell/PSReadLine/*_history.txt",
    ".config/nushell/history.{txt,sqlite3}", ".local/share/nano/search_history",
    ".lesshst", ".viminfo", ".wget-hsts", ".python_history", ".node_repl_history",
    ".local/share/fish/fish_history", ".local/state/{lesshst,viminfo,nvim/shada/*,bash/history,zsh/history}",
    ".local/share/{nvim/shada/*,xonsh/history_json/*,xonsh/xonsh-history.sqlite}",
)  # fmt: skip
_CARRIED_KEYS = r"(^|/)(\.ssh|dropbear|tinyssh)/authorized_keys2?$"
_PLEASE = re.compile(rb'command="echo \'?Please login as')
_TOOLS = (
    (("useradd", "adduser"), "make the admin user"),
    (("chpasswd", "passwd"), "set its password"),
    (("mount",), "mount the provisioning medium"),
)


def _lock(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    names = {(facts.text("etc/shadow") or "").splitlines()[finding.line - 1].split(":")[0] for finding in findings}

    def locked(line: str) -> str:
        name, _, rest = line.split(":", 2) if line.count(":") > 1 else (line, "", "")
        return f"{name}:!*:{rest}" if name in names else line

    yield from repairs.edit_lines(facts, findings, locked)


def _shadow_lines(facts: Facts) -> Iterator[tuple[int, str, str]]:
    if facts.text("etc/shadow") is None:
        raise Skip("no /etc/shadow")
    for number, line in enumerate((facts.text("etc/shadow") or "").splitlines(), 1):
        name, colon, rest = line.partition(":")
        if colon and name and name[0] not in "+-#":
            yield number, name, rest.partition(":")[0]


@rule(
    "A01",
    "no account has a password",
    fault="an account has a password",
    why="A password in an image is the same on every VM, and can be read from the disk.",
    fix="passwd -l NAME, or remove the user",
    sources="LISA CERT",
    severity=Severity.ERROR,
    repair=_lock,
    stage=Stage.WIPE,
    in_copies=Copies.TOLD,
)
def no_passwords(facts: Facts) -> Iterator[Finding]:
    for number, name, password in _shadow_lines(facts):
        if usable(password):
            yield Finding(f"{name} has a password", f"etc/shadow:{number}", f"passwd -l {name}, or remove the user")


@rule(
    "A02",
    "no account has an empty password, and root is locked",
    fault="an account has an empty password, or root is not locked",
    why="An empty password field lets anybody in on the serial console; `passwd -d root`, often recommended, leaves "
    "one.",
    fix="passwd -l NAME",
    sources="DIS WALA",
    severity=Severity.ERROR,
    repair=_lock,
    stage=Stage.WIPE,
)
def no_empty_passwords(facts: Facts) -> Iterator[Finding]:
    for number, name, password in _shadow_lines(facts):
        if password == "":
            yield Finding(f"{name} has an empty password", f"etc/shadow:{number}", f"passwd -l {name}")


def _is_backdoor(facts: Facts, path: str) -> bool:
    data = facts.files.read_bytes(path)
    lines = [line for line in data.splitlines() if line.strip() and not line.startswith(b"#")]
    return any(not _PLEASE.search(line) for line in lines)


@rule(
    "A03",
    "no home holds ssh keys",
    fault="a home holds ssh keys",
    why="An authorized key is a way into every VM; a private one, a way out to somebody else's.",
    fix="azready generalize removes them",
    sources="LISA VS",
    severity=Severity.ERROR,
    repair=repairs.remove,
    stage=Stage.WIPE,
    in_copies=Copies.TOLD,
)
def no_keys(facts: Facts) -> Iterator[Finding]:
    for home in facts.homes():
        for name in names_in(facts.files, f"{home}/.ssh"):
            path = f"{home}/.ssh/{name}"
            if name.startswith("authorized_keys"):
                if _is_backdoor(facts, path):
                    yield Finding("authorized keys", path)
            elif name in ("known_hosts", "known_hosts.old"):
                yield Finding("hosts that the builder visited", path, severity=Severity.WARNING)
            elif name.startswith("id_") or b"PRIVATE KEY" in facts.files.read_head(path, 64):
                yield Finding("a private key" if not name.endswith(".pub") else "a public key", path)
    yield from in_initramfs(facts, _CARRIED_KEYS, "keys that let somebody in")


@rule(
    "A04",
    "only root has the user id 0",
    fault="another account than root has the user id 0",
    why="LISA takes a second one for a compromise.",
    fix="give the account another id, or remove it",
    sources="LISA",
    severity=Severity.ERROR,
)
def one_root(facts: Facts) -> Iterator[Finding]:
    for account in facts.users.accounts:
        if account.uid == 0 and account.name != "root":
            yield Finding(f"{account.name} has the user id 0", "etc/passwd")


@rule(
    "A05",
    "there is no ordinary user",
    fault="there is an ordinary user",
    why="The user who built the image lives on in every VM, with sudo.",
    fix="azready generalize --user NAME removes the user, also the one who runs it",
    sources="GEN WALA VS",
    severity={Profile.AZURE: Severity.WARNING, Profile.MARKETPLACE: Severity.ERROR},
    in_copies=Copies.UNASKED,
)
def no_people(facts: Facts) -> Iterator[Finding]:
    for account in facts.users.people():
        fix = f"azready generalize --user {account.name}, or waive A05 when the user belongs to the image"
        yield Finding(f"{account.name} (user id {account.uid}, home {account.home})", "etc/passwd", fix)


@rule(
    "A06",
    "shell and editor histories are empty",
    fault="shell or editor histories are left",
    why="They hold what was typed: addresses, names, passwords.",
    fix="azready generalize removes them; then leave the shell without letting it write again: unset HISTFILE",
    sources="LISA CERT",
    severity=Severity.ERROR,
    repair=repairs.remove,
    stage=Stage.LOGS,
    in_copies=Copies.TOLD,
)
def no_histories(facts: Facts) -> Iterator[Finding]:
    for home in facts.homes():
        for pattern in _HISTORY:
            for path in facts.files.glob(f"{home}/{'.' if pattern.startswith('*') else ''}{pattern}"):
                found = stat_of(facts.files, path)
                if found and found.kind == "file" and found.size:
                    yield Finding(f"it holds {found.size} {'byte' if found.size == 1 else 'bytes'}", path)


def _sudoers(facts: Facts) -> str:
    return next((path for path in _SUDOERS if facts.text(path) is not None), "")


def _unprivileged(facts: Facts) -> Iterator[Finding]:
    """sudo that makes nobody root, by its own mode; a tree that is no root's cannot tell by the owner."""
    path = facts.program("sudo")
    found = stat_of(facts.files, path) if path else None
    if path and found and not found.mode & 0o4000:
        yield Finding("it is not setuid root", path, f"chmod 4755 /{path}")
    elif path and found and not found.mode & 0o001:
        text = f"mode {found.mode & 0o7777:04o}: only its group may run it"
        yield Finding(text, path, f"chmod 4755 /{path}", Severity.WARNING)


@rule(
    "A07",
    "the provisioned user can become root",
    fault="the provisioned user cannot become root",
    why="The platform's user is an administrator: through sudo and its drop-in folder, or doas.",
    fix="install sudo; end /etc/sudoers with @includedir /etc/sudoers.d",
    sources="PROV",
    severity=Severity.ERROR,
    in_copies=Copies.UNASKED,
)
def sudo_works(facts: Facts) -> Iterator[Finding]:
    path = _sudoers(facts)
    if not facts.program("sudo"):
        if not facts.program("doas"):
            yield Finding("neither sudo nor doas is installed")
        return
    yield from _unprivileged(facts)
    if path and not re.search(r"(?m)^[ \t]*[#@]includedir\s+\"?(/etc/)?sudoers\.d/?\"?(\s|$)", facts.text(path) or ""):
        yield Finding("it does not include /etc/sudoers.d", path)


@rule(
    "A08",
    "sudo does not ask for root's password",
    fault="sudo asks for root's password",
    why="There is none: with `Defaults targetpw` the provisioned user cannot become root.",
    fix="remove `Defaults targetpw` and the `ALL ALL=(ALL) ALL` that goes with it",
    sources="LISA SUSE",
    severity=Severity.ERROR,
    repair=repairs.comment_lines,
    in_copies=Copies.UNASKED,
)
def own_password(facts: Facts) -> Iterator[Finding]:
    for path in (_sudoers(facts), *facts.files.glob("etc/sudoers.d/*")):
        for number, line in lines_with(facts, path, r"^\s*Defaults\b.*(?<!!)\b(targetpw|rootpw|runaspw)\b"):
            yield Finding(line, f"{path}:{number}")


_MODE = "mode"


@rule(
    "A09",
    "no sudo rule of a builder or agent is left",
    fault="a sudo rule of a builder or agent is left",
    why="Somebody may later make a user of that name, and gets sudo without a password.",
    fix="azready generalize removes them",
    sources="CI WALA",
    severity=Severity.WARNING,
    repair=lambda facts, findings: [_sudo_fix(each) for each in findings if not each.line],
    stage=Stage.USERS,
    in_copies=Copies.TOLD,
)
def no_left_sudo(facts: Facts) -> Iterator[Finding]:
    yield from there(facts, *SUDO_RULES, "etc/sudoers.d/90-cloudimg*", installed.SUDO_FILES)
    names = {account.name for account in facts.users.accounts}
    for path in facts.files.glob("etc/sudoers.d/*"):
        found = stat_of(facts.files, path)
        if found and found.kind == "file" and found.mode & 0o022:
            yield Finding(f"mode {found.mode:04o}: sudo ignores it", path, f"chmod 0440 /{path}", subject=_MODE)
        for number, line in lines_with(facts, path, r"^\s*[a-z_][\w-]*\s+\S+\s*=.*NOPASSWD"):
            if (user := line.split()[0]) not in names and user not in ("root", "ALL"):
                what = f"{user} does not exist"
                yield Finding(what, f"{path}:{number}", "remove the line", Severity.INFO, by_hand=True)


def _sudo_fix(finding: Finding) -> Action:
    return Chmod(finding.path, 0o440) if finding.subject == _MODE else Remove(finding.path)


@rule(
    "A10",
    "the programs that provisioning uses are there",
    fault="programs that provisioning uses are missing",
    why="Our program calls them on first boot, and every other provisioner does too.",
    fix="install the packages: passwd or shadow, mount or util-linux, iproute2",
    sources="PROV LISA",
    severity=Severity.FATAL,
    in_copies=Copies.UNASKED,
)
def tools(facts: Facts) -> Iterator[Finding]:
    for programs, purpose in _TOOLS:
        if not any(facts.program(name) for name in programs):
            yield Finding(f"no {' or '.join(programs)}: it cannot {purpose}")
    if facts.files.exists(f"{installed.PROGRAM}/provision.py") and not facts.program("python3"):
        yield Finding(
            "our program is the Python one, and there is no python3",
            installed.PROGRAM,
            "azready prepare --guest sh",
        )
