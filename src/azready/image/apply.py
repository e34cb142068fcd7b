"""Carrying out a plan: the only place of `image` that changes anything.

Each action looks first and says whether it changed something, so that a plan can be run again after an interruption:
what was done is found done.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass, replace

from azready.errors import Failure
from azready.image.actions import (
    Action,
    AddKeys,
    Chmod,
    Chown,
    Link,
    MakeFolder,
    Plan,
    Remove,
    RemoveContent,
    RemoveUser,
    Run,
    Truncate,
    Write,
)
from azready.image.facts import passwd
from azready.image.facts.reading import lstat_of, names_in, stat_of
from azready.image.targets import Files, Target

AGAIN = "what was done stays done: fix the cause, then run the same command again and it goes on from there"


@dataclass(frozen=True)
class Outcome:
    """An action that was carried out. `changed` is False when the image was like that already."""

    action: Action
    changed: bool
    warning: str = ""


class ApplyFailed(Failure):
    """The plan stopped at `action`; `done` came before it."""

    def __init__(self, action: Action, reason: str, done: tuple[Outcome, ...], hint: str) -> None:
        super().__init__(f"could not {action.describe()}: {reason}", hint)
        self.action = action
        self.done = done


def apply(plan: Plan, target: Target, report: Callable[[Outcome], None] | None = None) -> tuple[Outcome, ...]:
    """Carry out `plan` in order and report each action. Raises ApplyFailed at the first that fails."""
    done: list[Outcome] = []
    for action in plan:
        try:
            outcome = _carry_out(action, target)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ApplyFailed(action, reason, tuple(done), _hint(error)) from error
        except Failure as failed:
            hint = failed.hint or (action.hint if isinstance(action, Run) and action.hint else AGAIN)
            raise ApplyFailed(action, failed.message, tuple(done), hint) from failed
        done.append(outcome)
        if report:
            report(outcome)
    return tuple(done)


def _hint(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"make room in the image's file system (azready needs a few MiB); {AGAIN}"
        case errno.EROFS:
            return f"mount it writable; {AGAIN}"
        case errno.EOVERFLOW:
            return f"its owner is none of this user's ids: run it as root, or with sub-ids (docs/targets.md); {AGAIN}"
        case errno.EBUSY:
            return f"unmount what is mounted inside it; {AGAIN}"
        case _:
            return AGAIN


def _carry_out(action: Action, target: Target) -> Outcome:
    match action:
        case Run():
            return _run(action, target)
        case RemoveUser():
            return Outcome(action, _remove_user(action, target))
        case AddKeys():
            return Outcome(action, _add_keys(action, target))
        case _:
            return Outcome(action, _change(action, target))


def _change(action: Action, target: Target) -> bool:
    match action:
        case Remove(path):
            return _remove(path, target)
        case RemoveContent(path):
            removed = [_remove(f"{path}/{name}", target) for name in names_in(target, path)]
            return any(removed)
        case Truncate(path):
            old = stat_of(target, path)
            if old is None or (old.kind == "file" and old.size == 0):
                return False
            target.truncate(path)
            return True
        case Write():
            return _write(action, target)
        case MakeFolder(path, mode, uid, gid):
            if target.exists(path):
                return False
            target.mkdir(path, mode, uid, gid)
            return True
        case Link(path, to):
            if _link_text(path, target) == to:
                return False
            _make_parent(path, target)
            target.symlink(path, to)
            return True
        case Chmod(path, mode):
            if target.lstat(path).mode == mode:
                return False
            target.chmod(path, mode)
            return True
        case Chown(path, uid, gid):
            now = target.lstat(path)
            if (now.uid, now.gid) == (uid, gid):
                return False
            target.chown(path, uid, gid)
            return True
        case _:
            raise TypeError(f"not an action: {action!r}")


def _write(action: Write, target: Target) -> bool:
    if action.into and target.exists(action.path) and target.stat(action.path).kind == "dir":
        return _write(replace(action, path=f"{action.path}/{action.into}", into=""), target)
    old = lstat_of(target, action.path)
    there = old if old is not None and old.kind == "file" else None
    mode = action.mode if action.mode is not None else (there.mode if there else 0o644)
    uid = action.uid if action.uid is not None else (there.uid if there else 0)
    gid = action.gid if action.gid is not None else (there.gid if there else 0)
    if (
        there is not None
        and (there.mode, there.uid, there.gid, there.size) == (mode, uid, gid, len(action.data))
        and target.read_bytes(action.path, len(action.data)) == action.data
    ):
        return False
    _make_parent(action.path, target)
    target.write_atomic(action.path, action.data, mode, uid, gid)
    return True


def _run(action: Run, target: Target) -> Outcome:
    try:
        target.run(action.argv, env=dict(action.env), network=action.network)
    except Failure as failed:
        if action.needed:
            raise
        return Outcome(action, True, failed.message)
    return Outcome(action, True)


def _remove_user(action: RemoveUser, target: Target) -> bool:
    listed = passwd.parse_passwd(target.read_text("etc/passwd"))
    account = next((each for each in listed if each.name == action.name), None)
    changed = False
    if account is not None and action.home and _may_remove_home(account, listed):
        changed |= _remove(account.home, target)
    for path in (f"var/spool/cron/crontabs/{action.name}", f"var/spool/cron/{action.name}",
                 f"var/mail/{action.name}", f"var/spool/mail/{action.name}",
                 f"var/lib/systemd/linger/{action.name}"):  # fmt: skip
        changed |= _remove(path, target)
    for path in reversed(passwd.FILES):  # passwd last: while the name is there, a second run goes on from it
        if not target.exists(path):
            continue
        text = target.read_text(path)
        without = passwd.without_user(path, text, action.name)
        if without != text:
            changed |= _write(Write(path, without.encode(errors="surrogateescape")), target)
    return changed


def _add_keys(action: AddKeys, target: Target) -> bool:
    account = next(
        (each for each in passwd.parse_passwd(target.read_text("etc/passwd")) if each.name == action.user), None
    )
    if account is None:
        raise Failure(f"the image has no user {action.user}", "make the user first, or give one that there is")
    folder = f"{account.home.strip('/')}/.ssh"
    path = f"{folder}/authorized_keys"
    for each in (folder, path):
        if (found := lstat_of(target, each)) is not None and found.kind == "link":
            raise Failure(f"/{each} leads elsewhere: whose keys would these be?", "put the keys there by hand")
    old = target.read_text(path) if target.exists(path) else ""
    new = [line for line in dict.fromkeys(action.keys) if line not in old.splitlines()]
    text = old + ("\n" if old and not old.endswith("\n") else "") + "".join(f"{line}\n" for line in new)
    theirs = (account.uid, account.gid)
    parts = (
        MakeFolder(folder, 0o700, *theirs),
        Chown(folder, *theirs),
        Write(path, text.encode(errors="surrogateescape"), 0o600, *theirs),
    )
    changed = [_change(part, target) for part in parts]
    return any(changed)


def _may_remove_home(account: passwd.Account, listed: list[passwd.Account]) -> bool:
    """A home of its own, below some folder: never `/`, `/home`, nor a folder that holds or is another user's home."""
    home = "/" + account.home.strip("/")
    shared = any(
        other.name != account.name and (other.home.rstrip("/") + "/").startswith(home + "/") for other in listed
    )
    return home.count("/") >= 2 and ".." not in home.split("/") and not shared


def _remove(path: str, target: Target) -> bool:
    if lstat_of(target, path) is None:
        return False
    target.remove(path)
    return True


def _make_parent(path: str, target: Target) -> None:
    folder = path.strip("/").rpartition("/")[0]
    if folder and not target.exists(folder):
        target.mkdir(folder)


def _link_text(path: str, target: Files) -> str | None:
    found = lstat_of(target, path)
    return target.readlink(path) if found is not None and found.kind == "link" else None
