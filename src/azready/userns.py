"""What the kernel and /etc/subuid give an ordinary user: user namespaces, and the ids to fill them with.

Distributions forbid user namespaces in three ways, and each shows as an error that names none of them. Whoever needs a
namespace calls `require` first, or `become_root`: they say which switch it is.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from azready.errors import Failure
from azready.proc import find_tool, has_tool, run

_SWITCHES = (
    # Ubuntu 23.10 and newer: the namespace is made, but without any right in it (AppArmor, "unprivileged_userns")
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    # Debian's kernels up to 10, and whoever hardens newer ones
    ("kernel/unprivileged_userns_clone", "0", "1"),
    # RHEL 7, and hardening guides
    ("user/max_user_namespaces", "0", "15000"),
)


def forbidding(settings: Path = Path("/proc/sys")) -> tuple[str, str] | None:
    """The sysctl that forbids ordinary users their namespaces, and the value that would allow them."""
    for path, forbids, allows in _SWITCHES:
        try:
            value = (settings / path).read_text().strip()
        except OSError:
            continue
        if value == forbids:
            return path.replace("/", "."), allows
    return None


def require() -> None:
    """Raise Failure where this user gets no user namespace and the kernel says why; root needs none."""
    found = None if os.geteuid() == 0 else forbidding()
    if found is None or _works():  # a profile of AppArmor may allow one user what the switch forbids all others
        return
    name, allows = found
    raise Failure(
        f"this machine gives ordinary users no namespaces of their own ({name})",
        f"run it with sudo, or allow them until the next boot: sudo sysctl {name}={allows}",
    )


def _works(*options: str) -> bool:
    probe = [find_tool("unshare", "util-linux"), "--user", "--map-root-user", "--mount", *options, "true"]
    return run(probe, check=False).status == 0


def may_mount() -> bool:
    """Whether this process has CAP_SYS_ADMIN, which root of a container often has not (capabilities(7))."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.partition("CapEff:")[2].split()[0], 16) >> 21 & 1)


@dataclass(frozen=True)
class Root:
    """How this user is root of something: by `options` of unshare(1), or already, with none."""

    options: tuple[str, ...]
    one_user: bool
    """Whether there is but one user inside, so that no file can be given to another."""

    def words(self, *more: str) -> list[str]:
        """Words before a command that is to run so; `more` are further options of unshare."""
        options = (*self.options, *more)
        return [find_tool("unshare", "util-linux"), *options, "--"] if options else []


def become_root() -> Root:
    """The best that this machine allows: root, else all sub-ids, else this one user as root of a namespace.

    Raises Failure where not even that is allowed.
    """
    if os.geteuid() == 0:
        return Root((), one_user=False)
    require()
    if has_tool("newuidmap") and _works("--map-auto"):  # unshare before util-linux 2.38 knows no --map-auto
        return Root(("--user", "--map-root-user", "--map-auto"), one_user=False)
    if _works():
        return Root(("--user", "--map-root-user"), one_user=True)
    raise Failure("no namespaces of their own are allowed to ordinary users here", "run it as root")


def require_owners() -> None:
    """Raise Failure where this user has one id only: the files of a system belong to many users."""
    if become_root().one_user:
        name, ids = user_name(), "100000-165535"
        raise Failure(
            f"{name} has one user id only, and a system's files belong to many users",
            f"sudo usermod --add-subuids {ids} --add-subgids {ids} {name}, with numbers that nobody has "
            "(newuidmap hands them out: package uidmap); or use sudo",
        )


@contextmanager
def scratch_folder(prefix: str, root: Root) -> Iterator[Path]:
    """A temporary folder that is removed even where files in it belong to sub-ids of this user."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        run([*root.words(), "rm", "-rf", "--one-file-system", "--", folder])


def maps_of_sub_ids(uid: int, gid: int, beside: bool = False) -> dict[str, list[list[str]]] | None:
    """How users of a tree whose root has sub-ids of this user map to its own, as rootless builders leave it.

    By tool (newuidmap, newgidmap), its words but the process. `beside`: this user is in the namespace, too, under the
    id that follows, so that its files are within reach. None where uid or gid are no sub-ids of this user.
    """
    maps = {}
    tables = (("newuidmap", uid, "/etc/subuid", os.getuid()), ("newgidmap", gid, "/etc/subgid", os.getgid()))
    for tool, first, table, own in tables:
        ends = [start + count for start, count in own_sub_ids(Path(table)) if start <= first < start + count]
        if not ends:
            return None
        count = ends[0] - first
        words = [find_tool(tool, "uidmap"), "0", str(first), str(count)]
        maps[tool] = [[*words, str(count), str(own), "1"] if beside else words]
    return maps


def become_root_of(maps: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """Move this process into a user namespace with these maps (`maps_of_sub_ids`), as its root.

    Raises OSError, Failure.
    """
    from azready.kernel import user_namespace  # Linux alone has them
    from azready.kernel.syscalls import CLONE_NEWUSER, enter

    try:
        space = user_namespace.make(maps)
    except subprocess.CalledProcessError as error:
        why = "newuidmap gives this user none of its sub-ids"
        raise Failure(why, "look at /etc/subuid and /etc/subgid") from error
    enter(space, CLONE_NEWUSER)
    os.close(space)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def user_name() -> str:
    """This user's name; the number for a user id without an account, as in some containers."""
    import pwd  # not on Windows

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def own_sub_ids(table: Path) -> list[tuple[int, int]]:
    """The (first, count) ranges that /etc/subuid or /etc/subgid gives this user."""
    try:
        text = table.read_text()
    except OSError:
        return []
    return sub_ids(text, user_name(), os.geteuid())


def sub_ids(text: str, name: str, uid: int) -> list[tuple[int, int]]:
    """The (first, count) ranges of a user in the text of subuid(5) or subgid(5)."""
    rows = [line.split(":") for line in text.splitlines()]
    return [
        (int(row[1]), int(row[2]))
        for row in rows
        if len(row) == 3 and row[0] in (name, str(uid)) and row[1].isdigit() and row[2].isdigit()
    ]
