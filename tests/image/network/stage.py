"""Network programs of Debian on made-up configurations, and what they make of each card. Run as root of namespaces of
its own, by path and with nothing of ours: `stage.py TREE`, jobs as JSON on stdin, answers as JSON on stdout.

A job is {"program", "files": {path: text}, "cards": [{"name", "kind"}]}; an answer is {card: {"asks"}}, of
networkd with "file".
Nothing is decided by a clock: a program has answered when its own state, or a later card's, says so.
"""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

GIVE_UP = 90
DHCP_PORT = 67
ROOT = Path("/mnt/root")


def sh(*words: object, check: bool = True, **more: object) -> str:
    done = subprocess.run([str(word) for word in words], check=check, capture_output=True, text=True, **more)
    return done.stdout + done.stderr


@contextmanager
def root(tree: str, files: Mapping[str, str]) -> Iterator[Path]:
    """The tree with these files, and without what it had of them."""
    layer = Path("/mnt/layer")
    for name in ("upper", "work"):
        (layer / name).mkdir(parents=True)
    ROOT.mkdir(exist_ok=True)
    sh("mount", "-t", "overlay", "-o", f"lowerdir={tree},upperdir={layer}/upper,workdir={layer}/work", "overlay", ROOT)
    try:
        for folder in ("etc/systemd/network", "etc/netplan", "etc/NetworkManager/system-connections", "etc/network"):
            shutil.rmtree(ROOT / folder, ignore_errors=True)
            (ROOT / folder).mkdir(parents=True)
        for folder in ("dev", "proc", "sys", "run"):
            (ROOT / folder).mkdir(exist_ok=True)
        sh("mount", "-t", "proc", "proc", ROOT / "proc")
        sh("mount", "-t", "sysfs", "-o", "ro", "sysfs", ROOT / "sys")  # read-only: nobody waits for udev
        sh("mount", "-t", "tmpfs", "tmpfs", ROOT / "run")
        sh("mount", "-t", "tmpfs", "tmpfs", ROOT / "dev")
        for name in ("null", "urandom", "random"):
            (ROOT / "dev" / name).touch()
            sh("mount", "--bind", f"/dev/{name}", ROOT / "dev" / name)
        (ROOT / "etc/machine-id").write_text("c0ffee00c0ffee00c0ffee00c0ffee00\n")
        for path, text in files.items():
            place = ROOT / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
            place.chmod(0o600 if "system-connections" in path or "netplan" in path else 0o644)
        yield ROOT
    finally:
        sh("umount", "-R", "-l", ROOT, check=False)
        shutil.rmtree(layer)


@contextmanager
def cards(wanted: list[dict[str, str]]) -> Iterator[dict[str, socket.socket]]:
    """Cards with the far end of each, which hears what it sends."""
    heard = {}
    for number, card in enumerate(wanted):
        name, far = card["name"], f"far{number}"
        sh("ip", "link", "add", name, "type", "veth", "peer", "name", far)
        sh("ip", "link", "set", far, "up")
        heard[name] = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        heard[name].bind((far, 0x0800))
    try:
        yield heard
    finally:
        for name, listener in heard.items():
            listener.close()
            sh("ip", "link", "del", name, check=False)


def asked(listener: socket.socket) -> bool:
    """Whether a DHCP client has sent something by now."""
    while select.select([listener], [], [], 0)[0]:
        try:
            packet = listener.recv(2048)
        except OSError:  # the far end was switched off
            return False
        udp = (packet[0] & 15) * 4
        if packet[9] == 17 and int.from_bytes(packet[udp + 2 : udp + 4], "big") == DHCP_PORT:
            return True
    return False


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[bytes]]:
    """A program in the tree."""
    with Path("/mnt/log").open("wb") as log:
        program = subprocess.Popen(["chroot", str(ROOT), *map(str, words)], stdout=log, stderr=log)
    try:
        yield program
    finally:
        program.send_signal(signal.SIGKILL)
        program.wait()


def until(ready: Callable[[], bool], program: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + GIVE_UP
    while not ready():
        if time.monotonic() > end or program.poll() is not None:
            raise SystemExit(f"no answer ({program.poll()}):\n{Path('/mnt/log').read_text(errors='replace')[-3000:]}")
        time.sleep(0.02)


def networkd(job: dict[str, object], heard: dict[str, socket.socket]) -> dict[str, object]:
    """By the state that networkd keeps of each link, and by what the far ends hear."""
    netif = ROOT / "run/systemd/netif"
    for name in ("links", "leases", "lldp"):
        (netif / name).mkdir(parents=True)
    uid, gid = _ids("systemd-network")
    for path in (netif, *netif.iterdir()):
        os.chown(path, uid, gid)
    numbers = {name: socket.if_nametoindex(name) for name in heard}
    answers: dict[str, object] = {}

    def look(name: str) -> bool:
        if name in answers:
            return True
        path = netif / f"links/{numbers[name]}"
        state = dict(re.findall(r"(?m)^(\w+)=(.*)$", path.read_text())) if path.exists() else {}
        file = re.sub(r"^/", "", state.get("NETWORK_FILE", ""))
        if asked(heard[name]):
            answers[name] = {"file": file, "asks": True}
        elif state.get("ADMIN_STATE") in ("configured", "unmanaged", "failed"):
            answers[name] = {"file": file, "asks": False}
        return name in answers

    daemon = next(path for path in ("/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd")
                  if (ROOT / path[1:]).exists())  # fmt: skip
    with started(daemon) as program:
        until(lambda: False not in [look(name) for name in heard], program)
    return answers


def _ids(user: str) -> tuple[int, int]:
    line = re.search(rf"(?m)^{user}:[^:]*:(\d+):(\d+)", (ROOT / "etc/passwd").read_text())
    assert line
    return int(line[1]), int(line[2])


def networkmanager(job: dict[str, object], heard: dict[str, socket.socket]) -> dict[str, object]:
    """By nmcli's word of each device, once the daemon says that starting up is over, and by what the far ends hear."""
    answers: dict[str, object] = {}
    nmcli = ("chroot", ROOT, "nmcli", "-t", "-f")

    def look(name: str) -> bool:
        if name in answers:
            return True
        said = dict(re.findall(r"(?m)^([\w.-]+):(.*)$", sh(
            *nmcli, "GENERAL.STATE", "device", "show", name, check=False)))  # fmt: skip
        state = int((re.match(r"\d+", said.get("GENERAL.STATE", "")) or ["-1"])[0])
        if asked(heard[name]):
            answers[name] = {"asks": True}
        elif state in (10, 100) or (state == 30 and "started" in sh(*nmcli, "STARTUP", "general", check=False)):
            answers[name] = {"asks": False}
        return name in answers

    (ROOT / "run/dbus").mkdir()
    far = ROOT / "etc/NetworkManager/conf.d/99-far.conf"
    far.parent.mkdir(exist_ok=True)
    far.write_text("[device-far]\nmatch-device=interface-name:far*\nmanaged=0\n")
    with started("dbus-daemon", "--system", "--nofork", "--nopidfile") as bus:
        until(lambda: (ROOT / "run/dbus/system_bus_socket").exists(), bus)
        with started("NetworkManager", "--no-daemon") as program:
            until(lambda: False not in [look(name) for name in heard], program)
    return answers


def ifupdown(job: dict[str, object], heard: dict[str, socket.socket]) -> dict[str, object]:
    """By the commands that `ifup` would run for what is brought up at boot."""
    more = [] if job["program"] == "ifupdown-ng" else ["--allow=hotplug"]
    said = sh("chroot", ROOT, "ifup", "-n", "-v", "-a", check=False)
    for name in heard if more else ():
        said += sh("chroot", ROOT, "ifup", "-n", "-v", *more, name, check=False)
    return {name: {"asks": _runs_client(said, name)} for name in heard}


def _runs_client(said: str, name: str) -> bool:
    if f"{name}: attempting to run dhcp executor for phase up" in said:
        return True
    client = re.compile(r"\b(dhclient|udhcpc|dhcpcd)\b")
    return any(client.search(line) and re.search(rf"\b{re.escape(name)}\b", line) for line in said.splitlines())


def netplan(job: dict[str, object], heard: dict[str, socket.socket]) -> dict[str, object]:
    """What the generator writes for networkd and NetworkManager, as text."""
    tool = next(path for path in ("/usr/libexec/netplan/generate", "/usr/lib/netplan/generate")
                if (ROOT / path[1:]).exists())  # fmt: skip
    done = subprocess.run(["chroot", str(ROOT), tool], capture_output=True, text=True)
    folders = ("run/systemd/network", "run/NetworkManager/system-connections")
    written = {str(path.relative_to(ROOT)): path.read_text() for each in folders for path in (ROOT / each).glob("*")}
    return {"status": done.returncode, "said": done.stderr, "files": written}


def dhcpcd(job: dict[str, object], heard: dict[str, socket.socket]) -> dict[str, object]:
    """By its log: the last card, which nothing forbids, is met after the others."""
    log, last = Path("/mnt/log"), list(heard)[-1]
    for name in heard:
        sh("ip", "link", "set", name, "up")
    passwd = ROOT / "etc/passwd"  # without its user it stays one process, and needs nothing that a namespace lacks
    passwd.write_text(re.sub(r"(?m)^_?dhcpcd:.*\n", "", passwd.read_text()))
    with started("dhcpcd", "-B", "-d", "-4", "--nodelay", "--nodev") as program:
        until(lambda: f"{last}: soliciting a DHCP lease" in log.read_text(errors="replace"), program)
        said = log.read_text(errors="replace")
    return {name: {"asks": f"{name}: soliciting a DHCP lease" in said} for name in heard}


def connman(job: dict[str, object], heard: dict[str, socket.socket]) -> dict[str, object]:
    """By what the far ends hear; the last card, which nothing forbids, is met after the others."""
    last = list(heard)[-1]
    answers: set[str] = set()
    for name in heard:
        sh("ip", "link", "set", name, "up")

    def look() -> bool:
        answers.update(name for name in heard if asked(heard[name]))
        return last in answers

    (ROOT / "run/dbus").mkdir()
    with started("dbus-daemon", "--system", "--nofork", "--nopidfile") as bus:
        until(lambda: (ROOT / "run/dbus/system_bus_socket").exists(), bus)
        with started("connmand", "-n", "-d", "--nobacktrace") as program:
            until(look, program)
            time.sleep(0.5)
            look()
    return {name: {"asks": name in answers} for name in heard}


PROGRAMS = {"networkd": networkd, "networkmanager": networkmanager, "ifupdown": ifupdown, "ifupdown-ng": ifupdown,
            "netplan": netplan, "dhcpcd": dhcpcd, "connman": connman}  # fmt: skip


def main() -> None:
    sh("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    sh("mount", "-t", "sysfs", "sysfs", "/sys", check=False)
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    sh("ip", "link", "set", "lo", "up")
    answers = []
    for job in json.load(sys.stdin):
        with root(sys.argv[1], job["files"]), cards(job["cards"]) as heard:
            answers.append(PROGRAMS[job["program"]](job, heard))
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
