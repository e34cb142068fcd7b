"""Removing an account by editing the account files: pure functions from text to text.

`userdel` would need a program that runs in the image (a foreign architecture cannot), refuses users who are logged in
(the one who runs azready over ssh), and leaves the name in sudoers. The formats are passwd(5), shadow(5), group(5),
gshadow(5) and subuid(5).
"""

from dataclasses import dataclass

from azready.image.facts.reading import decimal

FILES = ("etc/passwd", "etc/shadow", "etc/group", "etc/gshadow", "etc/subuid", "etc/subgid")
"""The account files, in the order in which they are rewritten: the password hash goes first when seen from a reader."""


@dataclass(frozen=True)
class Account:
    """A line of etc/passwd."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


def parse_passwd(text: str) -> list[Account]:
    """The accounts of a passwd file; lines that are not one (comments, NIS `+`) are left out."""
    accounts = []
    for line in text.splitlines():
        fields = line.split(":")
        uid, gid = (decimal(field) for field in fields[2:4]) if len(fields) == 7 else (None, None)
        if uid is not None and gid is not None:
            accounts.append(Account(fields[0], uid, gid, fields[5], fields[6]))
    return accounts


def without_user(path: str, text: str, name: str) -> str:
    """The text of the account file `path` without the user `name`: its line, and its place in groups' lists.

    A group of the same name goes too when nobody else is in it, as shadow-utils does it (USERGROUPS_ENAB).
    """
    keep = []
    for line in text.splitlines(keepends=True):
        fields = line.rstrip("\n").split(":")
        if path in ("etc/group", "etc/gshadow"):
            edited = _without_member(fields, name)
            if edited is not None:
                keep.append(":".join(edited) + "\n" if edited != fields else line)
        elif fields[0] != name:
            keep.append(line)
    return "".join(keep)


def _without_member(fields: list[str], name: str) -> list[str] | None:
    """A line of group or gshadow without `name`; None when the whole line goes."""
    if len(fields) < 4:
        return fields
    members = [member for member in fields[3].split(",") if member not in ("", name)]
    if fields[0] == name and not members:
        return None
    edited = [*fields[:3], ",".join(members), *fields[4:]]
    if len(fields) == 4 and fields[2] and decimal(fields[2]) is None:  # gshadow: administrators
        edited[2] = ",".join(admin for admin in fields[2].split(",") if admin != name)
    return edited if edited != fields else fields
