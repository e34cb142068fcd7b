"""Running QEMU: a scratch folder with a writable layer over the disk, the processes, and their certain end.

The disk is only ever read: everything the guest writes goes to a layer that is thrown away. QEMU dies with azready,
however that ends; folders of an azready that was killed are removed by the next one.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from azready.boot.qemu import command, relay
from azready.boot.qemu.acceleration import Acceleration
from azready.boot.qemu.command import Guest, Pflash
from azready.errors import Failure
from azready.proc import find_tool, run, spawn, stop


@dataclass(frozen=True)
class Room:
    """Scratch of one series of boots; `guest` is the guest with its disk replaced by the writable layer."""

    folder: Path
    guest: Guest
    pflash: Pflash | None
    acceleration: Acceleration

    @property
    def how(self) -> str:
        """In words: `qemu/tcg/uefi`."""
        loader = "kernel" if self.guest.kernel else self.guest.firmware
        name = "" if self.guest.architecture == "x86_64" else f"/{self.guest.architecture}"
        return f"qemu/{self.acceleration.kind}/{loader}{name}"

    def fresh_variables(self) -> None:
        """Forget what firmware remembers, as the platform does for a new VM."""
        if self.pflash is not None:
            shutil.copyfile(command.find_firmware(self.guest.architecture).variables, self.pflash.variables)
            self.pflash.variables.chmod(0o600)


@contextlib.contextmanager
def room(guest: Guest, acceleration: Acceleration) -> Iterator[Room]:
    """Prepare what the boots of one guest share.

    Raises Failure where QEMU or firmware is missing.
    """
    find_tool(*command.program(guest.architecture))
    with _scratch() as folder:
        pflash = None
        if guest.firmware == "uefi" and guest.kernel is None:
            found = command.find_firmware(guest.architecture)
            pflash = Pflash(found.code, folder / "variables.fd")
        if guest.disk is not None:
            layer = folder / "layer.qcow2"
            _make_layer(guest, layer)
            guest = replace(guest, disk=layer, format="qcow2")
        made = Room(folder, guest, pflash, acceleration)
        made.fresh_variables()
        yield made


def _make_layer(guest: Guest, layer: Path) -> None:
    """An empty layer that names what is below it only where that can name nothing itself; else QEMU is told so when it
    starts (`command.py`)."""
    assert guest.disk is not None
    tool = find_tool("qemu-img", "qemu-utils")
    if guest.node is not None:
        run([tool, "create", "-q", "-f", "qcow2", layer, str(guest.size)])
        return
    below = str(guest.disk.resolve())
    file = {"driver": "file", "filename": below}
    if guest.format == "raw" and guest.size:
        below = "json:" + json.dumps({"driver": "raw", "size": guest.size, "file": file})
    elif guest.format == "vpc":  # the size of its footer: QEMU takes the cylinders of creators that it does not know
        below = "json:" + json.dumps({"driver": "vpc", "force_size_calc": "current_size", "file": file})
    run([tool, "create", "-q", "-f", "qcow2", "-F", guest.format, "-b", below, layer])


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "azready" / "machines"
    home.mkdir(parents=True, exist_ok=True)
    _sweep(home)
    folder = Path(tempfile.mkdtemp(prefix="boot-", dir=home))
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _sweep(home: Path) -> None:
    """Remove folders whose owner has gone: nobody holds their lock."""
    for folder in home.glob("boot-*"):
        with contextlib.suppress(OSError):
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


@contextlib.contextmanager
def running(words: Sequence[str | Path], errors: Path, control: int) -> Iterator["subprocess.Popen[bytes]"]:
    """QEMU while the block lasts; it is killed with us, too. It inherits the descriptor `control`.

    What it complains of goes to the file `errors`.
    """
    with errors.open("wb") as file:
        bound = [find_tool("setpriv", "util-linux"), "--pdeathsig", "KILL", "--"]
        process = spawn([*bound, *words], stderr=file.fileno(), pass_fds=[control])
    try:
        yield process
    finally:
        stop(process)
        if process.stdout is not None:
            process.stdout.close()


def relay_words() -> list[str]:
    """The command that joins a connection of slirp to a port: our own small program, by this interpreter."""
    return [sys.executable, "-I", "-S", str(Path(relay.__file__).resolve())]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def complaint(errors: Path, process: "subprocess.Popen[bytes]") -> Failure | None:
    """Why QEMU ended at once, if it did so with an error."""
    if process.poll() in (None, 0):
        return None
    return Failure(f"QEMU did not run: {said(errors)}", "is another QEMU using the same disk or port?")


_TELLING = re.compile(r"KVM|kvm|error|[Ff]ail|[Cc]annot|[Cc]ould not|[Ii]nvalid|[Aa]ssert|denied|No space")
_DUMPED = re.compile(r"^(extra data\[|[A-Z0-9]{2,4} ?=|Code=)")
"""What QEMU shows of a processor that stopped."""


def said(errors: Path) -> str:
    """What QEMU complained of first, in a line; empty where it did not."""
    try:
        text = errors.read_text(errors="replace")
    except OSError:
        return ""
    lines = [re.sub(r"^qemu-system-\w+: ", "", line.strip()) for line in text.splitlines()]
    lines = [line for line in lines if line and not _DUMPED.match(line) and not line.startswith("warning:")]
    telling = [line for line in lines if _TELLING.search(line)]
    return "; ".join(dict.fromkeys((telling or lines)[:2]))
