"""Running a program of an image inside its root, so that nothing of it leaks out.

The program is an enemy until it has shown otherwise, so it is contained (`contained.py`): namespaces of its own for
mounts, processes, network (nothing is reachable), IPC, host name and users, no device of this machine, no setting of
its kernel, and no capability but those that package scripts need. Killing azready kills it all.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from azready.errors import Failure
from azready.image.targets import web_proxy
from azready.proc import CommandFailed, Completed, dies_with_parent, find_tool, run

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(extra: dict[str, str] | None) -> dict[str, str]:
    """What a program of an image sees: nothing of the caller's language, proxies or secrets."""
    return {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root", "TERM": "dumb", **(extra or {})}


def run_here(argv: Sequence[str], *, stdin: bytes, env: dict[str, str] | None, check: bool) -> Completed:
    """Run a program of this very machine."""
    return run(argv, stdin=stdin, env=environment(env), check=check, cwd=Path("/"), umask=0o022)


def run_in(
    root: Path,
    folder: int,
    argv: Sequence[str],
    *,
    stdin: bytes,
    env: dict[str, str] | None,
    check: bool,
    network: bool = False,
) -> Completed:
    """Run `argv` inside the tree `root`, of which `folder` is open; the caller is root, or root of its own user
    namespace."""
    guard = [*dies_with_parent(), find_tool("unshare", "util-linux")]
    spaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child=KILL"]
    from azready.image.targets.contained import FAILED, UNUSABLE_ROOT, identity  # Linux alone has what it loads

    enter = [*guard, *spaces, "--", sys.executable, "-P", "-m", "azready.image.targets.contained"]
    known = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    seen = environment({**(web_proxy.ENVIRONMENT if network else {}), **(env or {})})
    words = [*(f"{name}={value}" for name, value in seen.items()), "--", *argv]
    with _way_out(network) as (channel, refused):
        passed = () if channel < 0 else (channel,)
        whole = [*enter, os.path.abspath(root), identity(os.fstat(folder)), str(channel), *words]
        done = run(whole, stdin=stdin, env={"PATH": PATH, **known}, check=False, pass_fds=passed)
    said = "\n".join((done.stderr.rstrip("\n"), *refused)) if refused else done.stderr
    shown = Completed(tuple(argv), done.status, done.stdout, said)
    if done.status == UNUSABLE_ROOT:
        raise Failure(
            f"{root} has no proc, sys, dev, run and tmp folders of its own", "is it the root of a Linux system?"
        )
    if done.status == FAILED:
        raise Failure(f"{argv[0]} of {root} could not be contained: {done.stderr.strip()}", "see docs/prepare.md")
    if "Exec format error" in done.stderr and done.status != 0:
        raise Failure(
            f"{argv[0]} of this image cannot run here: it is for another architecture",
            "install qemu-user-static with binfmt-support, or do it on a machine of that architecture",
        )
    if check and done.status != 0:
        raise CommandFailed(shown)
    return shown


@contextlib.contextmanager
def _way_out(wanted: bool) -> Iterator[tuple[int, list[str]]]:
    """The descriptor over which the contained program's keeper sends the proxy's socket, and what that refused; -1
    without one."""
    if not wanted:
        yield -1, []
        return
    ours, theirs = socket.socketpair()
    with ours, theirs, web_proxy.proxy(ours) as refused:
        yield theirs.fileno(), refused
