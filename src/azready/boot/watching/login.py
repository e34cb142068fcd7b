"""Logging in as the VM's owner would: over ssh, with the key that the platform gave the guest, from its network."""

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from azready.boot.record import Check
from azready.errors import Failure
from azready.fabric.machine import Machine
from azready.proc import Completed, ask, has_tool, how_to_install


@dataclass(frozen=True)
class Key:
    """A throw-away ed25519 key pair: the file of the private half, and the line of authorized_keys."""

    private: Path
    public: str


@contextlib.contextmanager
def throwaway_key(owner: tuple[int, int] | None = None) -> Iterator[Key]:
    """A key pair that exists as long as the `with` block, for another user (uid, gid) where one is given."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    folder = Path(tempfile.mkdtemp(prefix="azready-key-", dir=_open_to_others() if owner else None))
    try:
        path = folder / "id_ed25519"
        path.touch(0o600)
        path.write_bytes(private)
        for each in (folder, path):
            os.chown(each, *(owner or (-1, -1)))
        yield Key(path, public.decode() + " azready-boot")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _open_to_others() -> str:
    """Where another user can come to a file of theirs: TMPDIR may lie where only this user may go."""
    chosen = Path(tempfile.gettempdir()).resolve()
    if all(folder.stat().st_mode & 0o001 for folder in (chosen, *chosen.parents)):
        return str(chosen)
    return "/var/tmp"


def in_style(key: str, others: Sequence[str]) -> str:
    """A key as the platform would hand it out beside `others`: the portal once put CR and LF inside keys."""
    if not any("\r\n" in other.strip() for other in others):
        return key
    return key[:50] + "\r\n" + key[50:] + "\r\n"


BEGINS = "azready logs in:"
"""The line before what the guest answers: PAM, sshd and profiles may say something of their own before it."""
REMOTE = f"echo {BEGINS}; uname -n; id -un; sudo -n true && echo sudo works"
"""Three lines behind that one, when all is well."""
_REFUSED = 3.0
"""Seconds in which a refused key is tried again: the provisioner may be about to write it."""
_MOST_SAID = 64 * 1024
"""Bytes: a guest may answer with more than its three lines, a message of the day for one, but not without end."""


def ssh_words(
    key: Path,
    user: str,
    address: str,
    port: int = 22,
    command: Sequence[str] = ("-T", REMOTE),
    level: Literal["ERROR", "INFO"] = "ERROR",
) -> list[str | Path]:
    """An ssh that asks nothing, remembers nothing and heeds no configuration of this machine."""
    options = (
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "PreferredAuthentications=publickey",
        "ConnectTimeout=3",
        f"LogLevel={level}",
    )
    words: list[str | Path] = ["ssh", "-F", "/dev/null", "-i", key, "-p", str(port)]
    words += [word for option in options for word in ("-o", option)]
    flags = [word for word in command if word.startswith("-")]
    return [*words, *flags, f"{user}@{address}", *(word for word in command if word not in flags)]


def check_login(
    wrap: Callable[[Sequence[str | Path]], list[str | Path]],
    key: Key,
    machine: Machine,
    clock: Callable[[], float],
    patience: float = 15.0,
    gone: Callable[[], bool] = lambda: False,
) -> tuple[Check, ...]:
    """Log in as the admin user; `wrap` puts words where the guest's network is. Tries until `patience` seconds passed,
    or the guest is gone.

    A refused key is not tried again for long: sshd is up then, and says what it thinks. A connection that ends is:
    QEMU's own network takes one, and ends it, before the guest has an sshd.
    """
    if not machine.admin_username:
        return (Check("ssh login", "skipped", "the machine has no admin user"),)
    if not has_tool("ssh"):
        return (Check("ssh login", "skipped", f"ssh is not installed here: {how_to_install('openssh-client')}"),)
    words = wrap(ssh_words(key.private, machine.admin_username, machine.address, level="INFO"))  # it tells a hang-up
    until, refused_until = time.monotonic() + patience, time.monotonic() + min(_REFUSED, patience)
    while True:
        done = _try(words)
        refused = "Permission denied" in done.stderr
        over = gone() or time.monotonic() > (refused_until if refused else until)
        if done.status != 255 or over:
            return judge_login(done, machine, round(clock(), 4))
        time.sleep(0.2)


def _try(words: Sequence[str | Path]) -> Completed:
    try:
        return ask(words, timeout=10, most=_MOST_SAID, env={**os.environ, "LC_ALL": "C"})
    except Failure as failure:
        return Completed(tuple(map(str, words)), 255, "", failure.message)


HANGS_UP = re.compile(
    r"Connection (closed|reset) |kex_exchange_identification|during banner exchange|Too many authentication failures"
)
"""What ssh says where something took the connection and ended it, whatever key would have come."""
SESSION_ENDS = "logged in, but the session ends"
"""What a check says where ssh itself succeeded and the account's shell did not."""


def judge_login(done: Completed, machine: Machine, at: float) -> tuple[Check, ...]:
    """What a login said, as checks: that it worked, as whom, on which host, and whether sudo asks nothing."""
    lines = done.stdout.rpartition(f"{BEGINS}\n")[2].splitlines() if f"{BEGINS}\n" in done.stdout else []
    errors = [line for line in done.stderr.strip().splitlines() if not line.startswith("Warning: Permanently added")]
    if done.status == 255 or len(lines) < 2:
        hung_up = [line for line in errors if HANGS_UP.search(line)]
        said = (hung_up or errors or done.stdout.splitlines() or ["no answer"])[-1]
        how = "" if done.status == 255 else f"{SESSION_ENDS}: "
        return (Check("ssh login", "failed", f"as {machine.admin_username}@{machine.address}: {how}{said}", at),)
    host, user = lines[:2]
    wanted = machine.computer_name
    sudo = lines[2:] == ["sudo works"]
    said = (errors or ["sudo -n true failed"])[-1]
    return (
        _check("ssh login", user == machine.admin_username, f"as {user}", at),
        _check("host name", host == wanted, host if host == wanted else f"{host}, not {wanted}", at),
        _check("sudo", sudo, "asks no password" if sudo else said, at),
    )


def _check(name: str, passed: bool, detail: str, at: float) -> Check:
    return Check(name, "passed" if passed else "failed", detail, at)
