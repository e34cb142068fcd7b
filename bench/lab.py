"""A place where the guest program can run for real and reach nobody: own network, host name, mounts and processes.

`command(argv)` puts a Python program into fresh namespaces; there, `Lab()` brings up a loopback that has Azure's two
addresses and no route, and serves a fabric on them. `Lab.tree(...)` is a throwaway overlay of a cached Debian tree,
and `run` runs a program in it as root and tells what it cost. Used by the benchmarks and by tests/guest.
"""

import contextlib
import json
import os
import resource  # noqa: F401  (os.wait4 imports it, which it cannot once the process is inside a tree)
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from azready.devices import own_dev
from azready.fabric import Fabric
from azready.fabric.machine import ASSET_TAG, Machine
from azready.fabric.protocol.messages import Rules
from azready.image.parts.guest_program import compiling
from azready.pipelines import trees

WIRESERVER, IMDS = "168.63.129.16", "169.254.169.254"
GUEST = Path(__file__).parents[1] / "src/azready/guest"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSIDE = "AZREADY_LAB"
PEERS = "AZREADY_PEERS"
"""Names the agents of `--peer`, NAME=COMMAND a line, to the process inside."""


def command(argv: Sequence[str | Path]) -> list[str | Path]:
    """`argv` in namespaces of its own, as root or as an ordinary user with sub-ids; everything ends with it."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    flags = ["--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["unshare", *user, *flags, "--", "env", f"{INSIDE}=1", *argv]


@dataclass(frozen=True)
class Cost:
    """What a program and its children took: exit status, seconds of wall time and CPU, KiB of the largest of them."""

    status: int
    wall: float
    cpu: float
    rss: int
    stderr: str = ""


class Lab:
    """The inside of the namespaces. Refuses to exist anywhere else."""

    def __init__(self, machine: Machine | None = None) -> None:
        if os.environ.get(INSIDE) != "1":
            raise RuntimeError("only inside the namespaces of lab.command")
        self.machine = machine or Machine(name="vm1")
        self._bytecode: dict[str, tuple[str, bytes]] = {}
        for words in (
            "link set lo up",
            f"addr add {WIRESERVER}/32 dev lo",
            f"addr add {IMDS}/32 dev lo",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        routes = subprocess.run(["ip", "-json", "route", "show", "table", "all"], capture_output=True, check=True)
        devices = {route.get("dev") for route in json.loads(routes.stdout or b"[]")}
        if devices - {"lo"}:
            raise RuntimeError(f"routes lead out of the lab: {devices}")
        self.fabric = Fabric(
            self.machine,
            strict=True,
            rules=Rules(imds_rate=1_000_000),  # hundreds of first boots a minute are the lab's doing
            sockets={"wireserver": _listen(WIRESERVER), "imds": _listen(IMDS)},
        )

    def __enter__(self) -> "Lab":
        self.fabric.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.fabric.stop()

    @contextlib.contextmanager
    def tree(self, lower: Path) -> Iterator[Path]:
        """A writable overlay of an unpacked tree, with /proc, a small /dev and the machine's DMI; gone afterwards."""
        base = Path(tempfile.mkdtemp(prefix="azready-lab-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "lab", base], check=True)
        root = base / "root"
        for name in ("root", "upper", "work"):
            (base / name).mkdir()
        options = f"lowerdir={lower},upperdir={base}/upper,workdir={base}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "lab", root], check=True)
        try:
            subprocess.run(["mount", "--rbind", "/proc", root / "proc"], check=True)
            self._populate(root)
            yield root
        finally:
            subprocess.run(["umount", "-l", root], check=True)
            subprocess.run(["umount", "-l", base], check=True)
            base.rmdir()

    def _populate(self, root: Path) -> None:
        subprocess.run(own_dev(root / "dev"), check=True)  # an image's programs may set modes there
        dmi = root / "sys/class/dmi/id"
        dmi.mkdir(parents=True)
        (root / "sys/firmware/efi").mkdir(parents=True)
        (dmi / "chassis_asset_tag").write_text(ASSET_TAG + "\n")
        (dmi / "product_uuid").write_text(self.machine.product_uuid + "\n")
        (root / "run").mkdir(exist_ok=True)

    def install(self, root: Path) -> None:
        """Put the guest program into a tree, with bytecode made by the tree's own Python, as `azready prepare` does."""
        target = root / "usr/lib/azure-provisioning"
        target.mkdir(parents=True)
        shutil.copy(GUEST / "provision.py", target)
        (root / "var/lib/azure-provisioning").mkdir(mode=0o700)
        drop_in = root / "etc/ssh/sshd_config.d/00-azure-provisioning.conf"
        if drop_in.parent.is_dir():
            shutil.copy(GUEST / "units/sshd" / drop_in.name, drop_in)
        link = root / "etc/systemd/system/multi-user.target.wants/azure-provisioning.service"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("/usr/lib/systemd/system/azure-provisioning.service")
        self._compile(root, target)

    def _compile(self, root: Path, target: Path) -> None:
        """Once for every Python: compiling costs more than a first boot does."""
        python = (root / "usr/bin/python3").readlink().name
        if python not in self._bytecode:
            made = run(root, ["/usr/bin/python3", *compiling(PROGRAM + "/provision.py", (3, 7))])
            if made.status:
                raise RuntimeError(made.stderr)
            (compiled,) = (target / "__pycache__").iterdir()
            self._bytecode[python] = compiled.name, compiled.read_bytes()
            return
        (target / "__pycache__").mkdir()
        name, code = self._bytecode[python]
        (target / "__pycache__" / name).write_bytes(code)


PROGRAM = "/usr/lib/azure-provisioning"
START = f"import sys; sys.path.insert(0, '{PROGRAM}'); import provision; provision.start()"
"""What the unit's ExecStart runs; tests/guest/test_units.py holds the two together."""
LAUNCH = ["/usr/bin/python3", "-I", "-S", "-B", "-c", START]


def _listen(address: str) -> socket.socket:
    listener = socket.create_server((address, 80), backlog=64)
    listener.setblocking(False)
    return listener


def run(root: Path, argv: Sequence[str], env: dict[str, str] | None = None, stdin: bytes = b"") -> Cost:
    """Run a program chrooted into `root`. A helper enters the tree first, so that only the program is counted."""
    read_end, write_end = os.pipe()
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        helper = os.fork()
        if helper == 0:
            _measure(
                root, argv, {"PATH": PATH, "LANG": "C.UTF-8", **(env or {})}, given.fileno(), errors.fileno(), write_end
            )
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(helper, 0)
        errors.seek(0)
        stderr = errors.read().decode(errors="replace")
    if not answer:
        raise RuntimeError(f"{argv[0]} could not be started in {root}: {stderr}")
    return Cost(**{**json.loads(answer), "stderr": stderr})


def _measure(root: Path, argv: Sequence[str], env: dict[str, str], stdin: int, errors: int, write_end: int) -> None:
    """In the helper: enter, start (vfork, so that this process's size costs nothing), wait, tell."""
    try:
        os.chroot(root)
        os.chdir("/")
        actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, errors, 1), (os.POSIX_SPAWN_DUP2, errors, 2)]
        began = time.monotonic()
        child = os.posix_spawn(argv[0], list(argv), env, file_actions=actions)
        _, status, usage = os.wait4(child, 0)
        wall = time.monotonic() - began
        cost = Cost(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
        os.write(write_end, json.dumps(asdict(cost)).encode())
    except Exception as error:
        os.write(errors, str(error).encode())
    finally:
        os._exit(0)


def debian(suite: str, *packages: str) -> Path:
    """A cached Debian tree with sshd, sudo and python3-minimal, and `packages`."""
    return trees.unpacked(suite, ("python3-minimal", *packages))


def reexec(module: str, *argv: str) -> int:
    """Run a module of ours in a lab; returns its exit status."""
    return subprocess.run(command([sys.executable, "-m", module, *argv]), check=False).returncode
