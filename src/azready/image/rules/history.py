"""What building left behind: logs, caches, spools, backups."""

from collections.abc import Iterator, Sequence

from azready.image.actions import Action, Remove, Truncate
from azready.image.facts import Facts
from azready.image.facts.reading import lstat_of, names_in
from azready.image.rules import repairs
from azready.image.rules.guards import there
from azready.image.rules.model import Copies, Finding, Profile, Severity, Stage, rule
from azready.image.targets import Stat

_JOURNAL = "var/log/journal"
_KEPT_LOGS = ("README", ".gitkeep", ".keep")
_ROTATED = (".gz", ".xz", ".zst", ".bz2", ".old", ".1", ".2", ".3", ".4", ".5", ".6", ".7")
_CACHES = (
    "var/cache/apt/archives/*.deb", "var/cache/apt/{pkgcache,srcpkgcache}.bin",
    "var/cache/{dnf,yum,tdnf,zypp,libdnf5}/*",
    "var/cache/pacman/pkg/*", "var/cache/apk/*", "var/cache/distfiles/*",
)  # fmt: skip
_ACCOUNT_BACKUPS = "etc/{passwd,shadow,group,gshadow,subuid,subgid}-"
_SPOOLS = (
    "var/spool/at/[!.]*", "var/spool/{atjobs,atspool}/[!.]*", "var/spool/cron/{crontabs/*,*}", "var/mail/*",
    "var/spool/mail/*", "var/lib/dhcpd/*.leases", "var/account/pacct*", "var/log/account/pacct*",
)  # fmt: skip
_CRASHES = (
    "var/crash/*",
    "var/spool/abrt/*",
    "var/lib/systemd/coredump/*",
    "var/lib/apport/coredump/*",
    "var/log/dump/*",
)
_INSTALLER = (
    "root/{anaconda-ks.cfg,original-ks.cfg,initial-setup-ks.cfg,install.log,install.log.syslog}",
    "var/log/{anaconda,installer}",
)


def _logs(facts: Facts) -> Iterator[tuple[str, int]]:
    """Logs that hold something, with their sizes; a journal is one, its folder is named after the machine id."""
    if not names_in(facts.files, "var/log"):
        return
    for name in names_in(facts.files, _JOURNAL):
        yield f"{_JOURNAL}/{name}", sum(found.size for _, found in _below(facts, f"{_JOURNAL}/{name}"))
    for path, found in facts.files.walk("var/log"):
        if found.kind == "file" and found.size and not path.startswith(_JOURNAL) and _name(path) not in _KEPT_LOGS:
            yield path, found.size


def _below(facts: Facts, path: str) -> Iterator[tuple[str, Stat]]:
    if facts.files.lstat(path).kind == "dir":
        yield from facts.files.walk(path)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _goes_whole(path: str) -> bool:
    """Journals and rotated logs go; a current log is emptied, since its writer expects it."""
    return path.startswith(_JOURNAL) or path.endswith(_ROTATED) or _name(path).rpartition(".")[2].isdigit()


def _empty_logs(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    for path, _ in list(_logs(facts)):
        yield Remove(path) if _goes_whole(path) else Truncate(path)


@rule(
    "G19",
    "logs are empty",
    fault="logs are not empty",
    why="They tell about the builder: names, addresses, sometimes secrets; and their times mislead whoever reads them "
    "later.",
    fix="azready generalize empties them",
    sources="VS AI",
    severity=Severity.INFO,
    repair=_empty_logs,
    stage=Stage.LOGS,
    rewritten_live=True,
    in_copies=Copies.TOLD,
)
def no_logs(facts: Facts) -> Iterator[Finding]:
    found = list(_logs(facts))
    if found:
        size = sum(number for _, number in found)
        others = len(found) - 1
        more = f" and {others} other{'s' if others > 1 else ''} hold" if others else " holds"
        yield Finding(f"/{found[0][0]}{more} {-(-size // 1024)} KiB")


def _temporary(facts: Facts) -> Iterator[str]:
    """What lies in the temporary folders; on a running system without what it is using."""
    for folder in ("tmp", "var/tmp"):
        if not (facts.live and folder == "tmp"):  # the session's own files; a restart empties it
            for name in names_in(facts.files, folder):
                if not (facts.live and name.startswith("systemd-private-")):
                    yield f"{folder}/{name}"


def _empty_caches(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    for path in _temporary(facts):
        yield Remove(path)
    for pattern in _CACHES:
        for path in facts.files.glob(pattern):
            yield Remove(path)


@rule(
    "G20",
    "temporary files and package caches are gone",
    fault="temporary files or package caches are left",
    why="Every VM would carry them, and every upload and replica of the image.",
    fix="azready generalize removes them",
    sources="VS",
    severity=Severity.INFO,
    repair=_empty_caches,
    stage=Stage.WIPE,
    rewritten_live=True,
    in_copies=Copies.TOLD,
)
def no_caches(facts: Facts) -> Iterator[Finding]:
    if temporary := list(_temporary(facts)):
        yield Finding(f"left in /tmp and /var/tmp: {len(temporary)}", temporary[0])
    cached = [path for pattern in _CACHES for path in facts.files.glob(pattern)]
    if cached:
        yield Finding(f"cached packages or indexes: {len(cached)}", cached[0])


@rule(
    "G21",
    "no backup of the account files is left",
    fault="a backup of the account files is left",
    why="shadow- holds the hashes of removed users and changed passwords.",
    fix="azready generalize removes them",
    sources="VS",
    severity=Severity.WARNING,
    repair=repairs.remove,
    stage=Stage.USERS,
    in_copies=Copies.TOLD,
)
def no_account_backups(facts: Facts) -> Iterator[Finding]:
    yield from there(facts, _ACCOUNT_BACKUPS)


@rule(
    "G23",
    "no crash data is left",
    fault="crash data is left",
    why="A dump holds the memory of a program, its secrets too.",
    fix="azready generalize removes it",
    sources="VS",
    severity=Severity.WARNING,
    repair=repairs.remove,
    stage=Stage.WIPE,
    in_copies=Copies.TOLD,
)
def no_crashes(facts: Facts) -> Iterator[Finding]:
    yield from there(facts, *_CRASHES)


@rule(
    "G24",
    "no mail, no jobs of cron and at, no accounting is left",
    fault="mail, jobs of cron and at, or accounting is left",
    why="Jobs of the builder would run in every VM.",
    fix="azready generalize removes them; a job that belongs to the image goes to /etc/cron.d or a timer",
    sources="VS",
    severity=Severity.WARNING,
    repair=repairs.remove,
    stage=Stage.WIPE,
    in_copies=Copies.TOLD,
)
def no_spools(facts: Facts) -> Iterator[Finding]:
    services = {account.name for account in facts.users.accounts} - {each.name for each in facts.users.people()}
    for pattern in _SPOOLS:
        for path in facts.files.glob(pattern):
            found = lstat_of(facts.files, path)
            image_s_own = "/cron/" in path and _name(path) in services
            if found and found.kind == "file" and found.size and not image_s_own:
                yield Finding("of a user of the builder", path)


@rule(
    "G27",
    "no file of the installer is left",
    fault="a file of the installer is left",
    why="Kickstart files and installer logs hold the password hashes and network of the installation.",
    fix="azready generalize removes them",
    sources="VS CERT",
    severity={Profile.AZURE: Severity.WARNING, Profile.MARKETPLACE: Severity.ERROR},
    repair=repairs.remove,
    stage=Stage.WIPE,
    in_copies=Copies.TOLD,
)
def no_installer(facts: Facts) -> Iterator[Finding]:
    yield from there(facts, *_INSTALLER)
