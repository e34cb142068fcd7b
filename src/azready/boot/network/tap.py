"""A network for QEMU with all of Azure's DHCP: bridge, taps and the platform's addresses in a namespace of their own.

Two sides in one file. `tap_network` (the host's) starts `python -P -m azready.boot.network.tap FD`, which makes
the links, opens the fabric's sockets, hands them back and then only keeps the namespace; it ends
when its other end is closed or its parent dies. Needs no
root: a user namespace does, where /dev/net/tun may be used (as udev's default has it).
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from azready import userns
from azready.boot.network import messages
from azready.boot.network.links import (
    BRIDGE,
    LISTENERS,
    Network,
    fabric_links,
)
from azready.errors import Failure
from azready.fabric.ledger import Service
from azready.fabric.serve.sealed import NotSealed, require_sealed
from azready.fabric.serve.sockets import open_socket
from azready.kernel.syscalls import die_with_parent
from azready.proc import dies_with_parent, find_tool, spawn, stop

_TUN = Path("/dev/net/tun")


@dataclass(frozen=True)
class TapNetwork:
    """The fabric's sockets in the namespace, the taps' names, and the words that run a command in it."""

    sockets: Mapping[Service, socket.socket]
    taps: tuple[str, ...]
    prefix: tuple[str, ...]


def tap_links(count: int) -> str:
    """What `ip -batch` makes for the NICs of one machine."""
    lines = []
    for index in range(count):
        lines.append(f"tuntap add dev tap{index} mode tap")
        lines.append(f"link set tap{index} master {BRIDGE} up")
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def tap_network(network: Network, nics: int) -> Iterator[TapNetwork]:
    """The network while the block lasts. Raises Failure where it cannot be made here."""
    if not os.access(_TUN, os.R_OK | os.W_OK):
        raise Failure(
            f"{_TUN} may not be used by this user", "leave --dhcp-options out, or: sudo chmod 0666 /dev/net/tun"
        )
    userns.require()
    ours, theirs = messages.pair()
    root = os.geteuid() == 0
    own = ["--net"] if root else ["--user", "--map-root-user", "--net"]
    words = [find_tool("unshare", "util-linux"), *own, "--", sys.executable, "-P", "-m", __spec__.name]
    with ours, theirs:
        holder = spawn([*words, str(theirs.fileno())], stdout=None, stderr=subprocess.PIPE, pass_fds=[theirs.fileno()])
        try:
            theirs.close()
            links = fabric_links(network) + tap_links(nics)
            listeners = [[service, network.address_of(service), port] for service, port in LISTENERS]
            tool = find_tool("ip", "iproute2")
            messages.send(ours, {"ip": tool, "links": links, "listeners": listeners, "subnet": network.subnet})
            sockets = _received(ours, holder)
            prefix = [find_tool("nsenter", "util-linux"), f"--target={holder.pid}"]
            prefix += ["--net", "--"] if root else ["--user", "--preserve-credentials", "--net", "--"]
            prefix += dies_with_parent()
            yield TapNetwork(sockets, tuple(f"tap{index}" for index in range(nics)), tuple(prefix))
        finally:
            stop(holder)
            if holder.stderr is not None:
                holder.stderr.close()


def _received(ours: socket.socket, holder: "subprocess.Popen[bytes]") -> dict[Service, socket.socket]:
    try:
        answer, fds, _ = messages.receive(ours)
    except (EOFError, ConnectionError) as error:
        said = holder.stderr.read().decode(errors="replace").strip() if holder.stderr else ""
        raise Failure(f"no network namespace could be made: {said}", "see docs/boot-disk.md") from error
    if "error" in answer:
        raise Failure(f"the bridge could not be made: {answer['error']}", "see docs/boot-disk.md")
    names = [service for service, _ in LISTENERS]
    return {name: socket.socket(fileno=number) for name, number in zip(names, fds, strict=True)}


# --- the side inside ---


def main() -> None:
    """Make the bridge and the taps, see that nothing leads out, and hand the listening sockets to the host process."""
    die_with_parent()
    control = socket.socket(fileno=int(sys.argv[1]))
    spec, _, _ = messages.receive(control)
    try:
        subprocess.run([spec["ip"], "-batch", "-"], input=spec["links"].encode(), check=True, capture_output=True)
        own = [address for _, address, _ in spec["listeners"]]
        require_sealed(links=("lo", BRIDGE, "tap*"), subnets=[spec["subnet"]], addresses=own)
        sockets = [open_socket(service, address, port, BRIDGE) for service, address, port in spec["listeners"]]
    except (OSError, NotSealed) as error:
        messages.send(control, {"error": str(error)})
        return
    except subprocess.CalledProcessError as error:
        messages.send(control, {"error": error.stderr.decode(errors="replace").strip()})
        return
    messages.send(control, {"ready": True}, [each.fileno() for each in sockets])
    control.recv(1)


if __name__ == "__main__":
    main()
