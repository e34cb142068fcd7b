"""What is wrong on a disk after a boot: the owner's wishes, by the files and by a login; and how a tree looks."""

import hashlib
import re
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from azready.fabric.machine import Machine
from tests.crash.disk import STATE
from tests.crash.units import ENV

Kind = Literal["login", "host keys", "left over", "home", "settings"]
USER = "azureuser"
HOST_KEYS = ("rsa", "ecdsa", "ed25519")
_LOOKED_AT = ("etc", "home", "root", STATE)
_LEFT_OVER = re.compile(
    r"azp-tmp|^\.azure-provisioning|\.lock$|^(passwd|shadow|group|gshadow|sub.id)(\.\d+|\+)$|^nscd|_key\.\w{10}$|^\.authorized_keys\."
)
_CHANGES_ANYWAY = re.compile(
    rf"^etc/(ssh/ssh_host_.*|.*-|machine-id|.*wants/azure-provisioning\.service)$|^{STATE}/(applied|reported)$"
)
"""Keys are random, and judged by themselves, as the stamps are; a name with - at its end is the account tools' backup;
the unit's link is removed last, and its condition on `reported` keeps it off with the link, too."""


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it must be."""

    kind: Kind
    text: str


def problems(root: Path, machine: Machine) -> Iterator[Problem]:
    """What of the owner's wishes is not on the disk."""
    yield from _account(root, machine)
    yield from _keys(root, machine)
    yield from _settings(root, machine)
    yield from _host_keys(root)
    left = [path.relative_to(root) for top in _LOOKED_AT for path in (root / top).rglob("*") if _is_left(path)]
    if left:
        yield Problem("left over", " ".join(re.sub(r"\d{2,}|(?<=_key\.)\w{10}", "N", str(path)) for path in left))


def _is_left(path: Path) -> bool:
    return path.name != ".pwd.lock" and _LEFT_OVER.search(path.name) is not None


def _account(root: Path, machine: Machine) -> Iterator[Problem]:
    for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid"):
        lines = [line for line in _text(root / "etc" / name).splitlines() if line.startswith(f"{USER}:")]
        if len(lines) != 1:
            kind: Kind = "login" if name in ("passwd", "shadow") else "settings"
            yield Problem(kind, f"{len(lines)} entries in /etc/{name}")
    field = re.search(rf"^{USER}:([^:]*):", _text(root / "etc/shadow"), re.MULTILINE)
    if field and not re.match(r"\$" if machine.admin_password else r"[!*]", field[1]):
        yield Problem("login", f"field of /etc/shadow: {field[1][:4]!r}")
    for name in ("group", "gshadow"):
        if not re.search(rf"^sudo:.*\b{USER}$", _text(root / "etc" / name), re.MULTILINE):
            yield Problem("settings", f"not in group sudo of /etc/{name}")
    home = root / "home" / USER
    if not home.exists() or home.stat().st_uid != 1000:
        yield Problem("home", f"/home/{USER} is missing or another's")


def _keys(root: Path, machine: Machine) -> Iterator[Problem]:
    keys = root / "home" / USER / ".ssh/authorized_keys"
    if _text(keys) != "".join(key + "\n" for key in machine.public_keys):
        yield Problem("login", "authorized_keys missing or wrong")
        return
    for path, mode in ((keys, 0o600), (keys.parent, 0o700)):
        status = path.stat()
        if stat.S_IMODE(status.st_mode) != mode or status.st_uid != 1000:
            yield Problem("login", f"{path.name} has mode {status.st_mode:o}, uid {status.st_uid}")


def _settings(root: Path, machine: Machine) -> Iterator[Problem]:
    if _text(root / "etc/hostname") != f"{machine.name}\n":
        yield Problem("settings", f"host name {_text(root / 'etc/hostname')!r}")
    rules = [path for path in (root / "etc/sudoers.d").iterdir() if f"{USER} ALL" in _text(path)]
    if len(rules) != 1 or stat.S_IMODE(rules[0].stat().st_mode) != 0o440:
        yield Problem("settings", "sudo rule missing or wrong")
    policy = _text(root / "etc/ssh/sshd_config.d/00-azure-provisioning.conf")
    if f"PasswordAuthentication {'yes' if machine.admin_password else 'no'}\n" not in policy:
        yield Problem("settings", "password policy of sshd")
    for name, wanted in (("custom-data", machine.custom_data), ("user-data", machine.user_data)):
        if wanted and not _text(root / STATE / name):
            yield Problem("settings", f"no {name}")


def _host_keys(root: Path) -> Iterator[Problem]:
    for kind in HOST_KEYS:
        key = root / f"etc/ssh/ssh_host_{kind}_key"
        if subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, stdin=subprocess.DEVNULL).returncode:
            size = key.stat().st_size if key.exists() else "none"
            yield Problem("host keys", f"{kind} missing or broken (bytes: {size})")
        elif not _text(key.with_suffix(".pub")):
            yield Problem("host keys", f"public half of {kind} missing or empty")


def login(root: Path, key: Path) -> Iterator[Problem]:
    """A login with the owner's key by the tree's own sshd, and sudo; a problem where either is refused."""
    options: list[str | Path] = [
        "-i",
        key,
        "-F",
        "none",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "StrictHostKeyChecking=no",
    ]
    options += ["-o", "BatchMode=yes", "-o", f"ProxyCommand=chroot {root} /usr/sbin/sshd -i"]
    words = ["ssh", *options, f"{USER}@vm", "sudo -n true"]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", env=ENV, timeout=120, check=False)
    if done.returncode:
        yield Problem("login", f"ssh: {(done.stderr.strip().splitlines() or ['?'])[-1][:120]}")


def look(root: Path) -> dict[str, tuple[str, ...]]:
    """Mode, owner and content of all that a boot may write; comparable with another boot's."""
    found = {}
    for top in _LOOKED_AT:
        for path in (root / top).rglob("*"):
            name, status = str(path.relative_to(root)), path.lstat()
            if _CHANGES_ANYWAY.match(name):
                continue
            what = [f"{status.st_mode:o}", str(status.st_uid), str(status.st_gid)]
            if path.is_symlink():
                what.append(str(path.readlink()))
            elif path.is_file():
                content = path.read_bytes()
                if name == "etc/shadow":  # salts are random, and midnight may lie between two boots
                    content = re.sub(rb"(?m)^([^:]*):(\$?)([^:]*):\d+:", _without_salt_and_day, content)
                what.append(hashlib.sha256(content).hexdigest()[:16])
            found[name] = tuple(what)
    return found


def _without_salt_and_day(found: re.Match[bytes]) -> bytes:
    return found[1] + b":" + (found[2] or found[3]) + b":day:"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
