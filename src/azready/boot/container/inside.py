"""The process that holds the fabric's namespaces and starts guests: `python -P -m azready.boot.container.inside FD`.

Four processes, one program:

    holder      who called: makes the user namespace, opens the tree, and clears away what only its user may
    steward     enters the user namespace and makes the fabric's; waits for the supervisor
    supervisor  PID 1 of the fabric's namespaces (user, network, mount, process); everything ends when it ends
    guest       one a boot: PID 1 of the guest's namespaces, which becomes the guest's init

The supervisor answers messages on a socket and ends when its other end is closed, however that came: an interrupted
or killed azready leaves no process, mount, namespace or file behind. Standard library only, so that it starts at once,
and single-threaded, because only such a process may enter a user namespace.
"""

import ctypes
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from azready.boot.container import lower, root
from azready.boot.container.cgroups import give, join, make_cgroup, remove_cgroup
from azready.boot.network import messages
from azready.fabric.serve.sealed import NotSealed, require_sealed
from azready.fabric.serve.sockets import open_socket
from azready.kernel import seccomp, user_namespace
from azready.kernel.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_PRIVATE,
    MS_REC,
    NOT_THE_GUESTS,
    die_with_parent,
    drop_capability,
    enter,
    mount,
    unmount,
    unshare,
)

_FABRIC = CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC
_GUEST = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP


def main() -> None:
    """Make the namespaces that the host process asks for, say so, and start guests until it hangs up."""
    os.umask(0o022)  # the caller's may close the guest's root folder to all but root
    control = socket.socket(fileno=int(sys.argv[1]))
    spec, _, _ = messages.receive(control)
    cgroup: Path | None = None
    try:
        if spec["needs_cgroup"]:
            cgroup = make_cgroup(spec["name"])
            give(cgroup, *spec["owner"])
        space = user_namespace.make(spec["id_maps"])
        made_in = user_namespace.make(spec["tree_maps"]) if spec["tree_maps"] else None
        tree = lower.opened(spec["tree"], space if spec["shifted"] else None, made_in)
    except (OSError, subprocess.CalledProcessError) as error:
        _complain(control, error)
        _clear(cgroup, Path(spec["scratch"]))
        sys.exit(1)
    steward = os.fork()
    if steward == 0:
        die_with_parent()
        _steward(control, spec, cgroup, space, tree)
    control.close()
    os.close(space)
    tree.close()
    _, status = os.waitpid(steward, 0)
    _clear(cgroup, Path(spec["scratch"]))
    sys.exit(os.waitstatus_to_exitcode(status) & 127)


def _steward(control: socket.socket, spec: dict[str, Any], cgroup: Path | None, space: int, tree: lower.Lower) -> None:
    """Give up what this user may, and be the supervisor's parent."""
    try:
        if cgroup is not None:
            join(cgroup / "azready")
        enter(space, CLONE_NEWUSER)
        os.close(space)
        _become_root()
        unshare(_FABRIC)
    except OSError as error:
        _complain(control, error)
        os._exit(1)
    supervisor = os.fork()
    if supervisor == 0:
        die_with_parent()
        _supervise(control, spec, cgroup, tree)
    control.close()
    _, status = os.waitpid(supervisor, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 127)


def _become_root() -> None:
    """Be root of the user namespace, and nobody else beside: no group of the caller's stays."""
    try:
        os.setgroups([])
    except PermissionError:
        pass  # where the caller's groups are all that it has
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    die_with_parent()  # the kernel forgets that when ids change


def _clear(cgroup: Path | None, scratch: Path) -> None:
    """Remove what lies in folders that the guest's root may not write to."""
    if cgroup is not None:
        remove_cgroup(cgroup)
    shutil.rmtree(scratch, ignore_errors=True)


# --- the supervisor ---


def _supervise(control: socket.socket, spec: dict[str, Any], cgroup: Path | None, tree: lower.Lower) -> None:
    """Set the namespaces up, then answer messages until their end."""
    scratch = Path(spec["scratch"])
    try:
        sockets = _prepare(spec, scratch, tree)
        messages.send(control, {"ready": True}, [each.fileno() for each in sockets])
        for each in sockets:
            each.close()
        _serve(control, {**spec, "cgroup": cgroup and str(cgroup)}, scratch)
    except (OSError, subprocess.CalledProcessError, NotSealed) as error:
        _complain(control, error)
    finally:
        _end(scratch)
        os._exit(0)


def _prepare(spec: dict[str, Any], scratch: Path, tree: lower.Lower) -> list[socket.socket]:
    mount("", "/", flags=MS_REC | MS_PRIVATE)
    mount("tmpfs", str(scratch), "tmpfs", 0, "mode=755,size=75%")
    if not root.fit_for_overlay(scratch):
        unmount(str(scratch))  # Linux before 6.6: the writable layer goes to disk instead
    root.make_overlay(lower.placed(tree, scratch), scratch)
    subprocess.run([spec["ip"], "-batch", "-"], input=spec["links"].encode(), check=True, capture_output=True)
    own = [address for _, address, _ in spec["listeners"]]
    require_sealed(
        links=("lo", spec["bridge"]), subnets=[spec["subnet"]], addresses=own, host_network=spec["host_network"]
    )
    return [open_socket(service, address, port, spec["bridge"]) for service, address, port in spec["listeners"]]


def _serve(control: socket.socket, spec: dict[str, Any], scratch: Path) -> None:
    """Answer `guest` messages, reap what ends, until the host process closes its end."""
    signal.signal(signal.SIGCHLD, lambda *_: None)
    wake, awake = os.pipe()
    for end in (wake, awake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(awake)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if wake in ready:
            os.read(wake, 4096)
            _reap(control)
        if control.fileno() not in ready:
            continue
        try:
            order, _, _ = messages.receive(control)
        except (EOFError, ConnectionError):
            return
        try:
            _start_guest(control, {**spec, **order}, scratch)
        except (OSError, subprocess.CalledProcessError) as error:
            _complain(control, error)


def _reap(control: socket.socket) -> None:
    """PID 1 is the parent of every orphan."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        messages.send(control, {"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def _start_guest(control: socket.socket, order: dict[str, Any], scratch: Path) -> None:
    root.set_identity(scratch, order["dmi"])
    ours, theirs = socket.socketpair()
    outer = os.fork()
    if outer == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ours.close()
        try:
            _guest(control, order, scratch, theirs)
        except BaseException as error:
            _complain(control, error)
        os._exit(1)
    theirs.close()
    with ours:
        _, networks, _, _ = socket.recv_fds(ours, 1, 1)
        if networks:
            _join(order, networks[0])
            ours.send(b"1")
    messages.send(control, {"started": outer})


def _join(order: dict[str, Any], network: int) -> None:
    """Make the guest's links. Its network namespace is named by a descriptor: by a process id, iproute2 6.15 and newer
    look for it in /proc, where the host's ids stand and not those of our own process namespace."""
    try:
        links = order["guest_links"].replace("@NETNS@", f"/proc/self/fd/{network}")
        words = [order["ip"], "-batch", "-"]
        subprocess.run(words, input=links.encode(), check=True, capture_output=True, pass_fds=[network])
        if order["guest_rules"]:
            rules = order["guest_rules"].encode()
            subprocess.run(
                words, input=rules, check=True, capture_output=True, preexec_fn=lambda: enter(network, CLONE_NEWNET)
            )
    finally:
        os.close(network)


def _guest(control: socket.socket, order: dict[str, Any], scratch: Path, supervisor: socket.socket) -> None:
    """Enter the guest's namespaces, and be its PID 1's parent; ends with the status of init."""
    die_with_parent()
    if order["cgroup"]:
        own = Path(order["cgroup"], f"boot{order['number']}")
        own.mkdir()
        (own / "cgroup.procs").write_text("0")
    unshare(_GUEST)
    with Path("/proc/self/ns/net").open("rb") as network:
        socket.send_fds(supervisor, [b"1"], [network.fileno()])
    if supervisor.recv(1) != b"1":
        raise OSError("the guest's network could not be made")
    # This process keeps the console open: a terminal that nobody has open tells its reader that it is gone.
    master, console = pty.openpty()
    init = os.fork()
    if init == 0:
        die_with_parent()
        _become_init(control, order, scratch, master, console)
    os.close(master)
    control.close()
    _, status = os.waitpid(init, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 255)


def _become_init(control: socket.socket, order: dict[str, Any], scratch: Path, master: int, console: int) -> None:
    mount("", "/", flags=MS_REC | MS_PRIVATE)
    require_sealed(links=("*",))  # it has its cards by now, and no route yet
    ctypes.CDLL(None).sethostname(b"localhost", 9)
    os.setsid()
    notify = root.enter(scratch, order, console)
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            try:
                signal.signal(number, signal.SIG_DFL)
            except (OSError, ValueError):
                pass
    for capability in NOT_THE_GUESTS:
        drop_capability(capability)
    messages.send(control, {"guest": time.monotonic()}, [master, notify.fileno(), os.pidfd_open(os.getpid())])
    os.closerange(3, 1024)
    seccomp.install()
    try:
        os.execve(order["init"][0], order["init"], order["environment"])
    except OSError as error:  # on the console, where the diagnosis reads it
        os.write(2, f"azready: cannot run {order['init'][0]}: {error.strerror}\n".encode(errors="replace"))
        os._exit(127)


# --- the end ---


def _complain(control: socket.socket, error: BaseException) -> None:
    detail = str(error) or type(error).__name__
    if isinstance(error, subprocess.CalledProcessError):
        detail = f"{error.cmd[0]}: {error.stderr.decode(errors='replace').strip()}"
    try:
        messages.send(control, {"error": detail})
    except OSError:
        pass


def _end(scratch: Path) -> None:
    """Kill all that is left, then remove what namespaces do not take with them."""
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.waitpid(-1, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
    try:
        unmount(str(scratch / "root"))
        unmount(str(scratch))
    except OSError:
        pass
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
