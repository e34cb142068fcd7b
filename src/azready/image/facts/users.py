"""The accounts of an image: passwd, shadow, groups, and the limits that tell people from services.

Sources: passwd(5), shadow(5), group(5), login.defs(5).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from azready.image.facts.passwd import Account, parse_passwd
from azready.image.facts.reading import decimal, numbered, text_of
from azready.image.targets import Files

NOBODY = 65534
_NO_LOGIN = ("nologin", "false", "sync", "shutdown", "halt")
_USABLE_MARKS = ("*", "!", "x")


@dataclass(frozen=True)
class Users:
    """Accounts, password fields by name, and members by group."""

    accounts: tuple[Account, ...]
    passwords: Mapping[str, str]
    groups: Mapping[str, tuple[str, ...]]
    first_uid: int
    last_uid: int

    def people(self) -> tuple[Account, ...]:
        """Ordinary users: with a UID of the range that useradd gives to people, and not `nobody`."""
        return tuple(
            account
            for account in self.accounts
            if self.first_uid <= account.uid <= self.last_uid and account.uid != NOBODY and account.name != "nobody"
        )

    def who_log_in(self) -> tuple[Account, ...]:
        """Root and everybody else with a shell: theirs are the homes that hold keys and histories."""
        return tuple(
            account
            for account in self.accounts
            if account.home not in ("", "/", "/nonexistent") and account.shell.rpartition("/")[2] not in _NO_LOGIN
        )


def usable(password: str) -> bool:
    """Whether a password field lets somebody in: a hash, not a lock (`*`, `!…`, `x`)."""
    return password != "" and not password.startswith(_USABLE_MARKS)


def gather_users(files: Files) -> Users:
    """Read the account files. Raises OSError when shadow may not be read."""
    accounts = parse_passwd(text_of(files, "etc/passwd") or "")
    shadow = dict(_pairs(text_of(files, "etc/shadow") or "", 1))
    groups = {
        name: tuple(filter(None, members.split(","))) for name, members in _pairs(text_of(files, "etc/group") or "", 3)
    }
    limits = {}
    for path in ("usr/etc/login.defs", "etc/login.defs"):
        for _, line in numbered(text_of(files, path) or ""):
            words = line.split()
            if len(words) >= 2 and words[0] in ("UID_MIN", "UID_MAX") and (limit := decimal(words[1])) is not None:
                limits[words[0]] = limit
    return Users(tuple(accounts), shadow, groups, limits.get("UID_MIN", 1000), limits.get("UID_MAX", 60000))


def _pairs(text: str, field: int) -> list[tuple[str, str]]:
    lines = (line.split(":") for line in text.splitlines() if line and line[0] not in "#+-")
    return [(fields[0], fields[field]) for fields in lines if len(fields) > field]
