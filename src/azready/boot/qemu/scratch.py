"""The scratch folder of one series of boots: a writable layer over the disk for every boot, and firmware's variables.

The disk is only ever read: what the guest writes goes to layers that are thrown away. Folders of an azready that was
killed are removed by the next one.
"""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from azready import locks
from azready.boot.qemu import command
from azready.boot.qemu.command import Bootable, Pflash
from azready.errors import Failure
from azready.proc import CommandFailed, find_tool, run


@dataclass(frozen=True)
class Scratch:
    """The folder, and the guest that boots there."""

    folder: Path
    guest: Bootable

    def prepare(self, number: int, new_vm: bool) -> tuple[Bootable, Pflash | None]:
        """What QEMU runs in this boot: the disk as the boot before left it, under a new layer; and the firmware, which
        for a new VM remembers nothing. Called again for the same number, it begins again."""
        with room(self.folder.parent):
            return self._layered(number), self._firmware(number, new_vm)

    def _layered(self, number: int) -> Bootable:
        """A layer names what is below it only where that can name nothing itself; else QEMU is told so when it starts
        (`command.py`), and the layer before is copied."""
        if self.guest.disk is None:
            return self.guest
        before, layer = self._layer(number - 1), self._layer(number)
        layer.unlink(missing_ok=True)
        tool = find_tool("qemu-img", "qemu-utils")
        if self.guest.node is not None and before.exists():
            run(["cp", "--sparse=always", before, layer])
            return replace(self.guest, disk=layer, format="qcow2")
        if self.guest.node is not None:
            run([tool, "create", "-q", "-f", "qcow2", layer, str(self.guest.size)])
            return replace(self.guest, disk=layer, format="qcow2")
        below, form = (str(before), "qcow2") if before.exists() else (_below(self.guest), self.guest.format)
        run([tool, "create", "-q", "-f", "qcow2", "-F", form, "-b", below, layer])
        return replace(self.guest, disk=layer, format="qcow2")

    def _layer(self, number: int) -> Path:
        return self.folder / f"layer{number}.qcow2"

    def _firmware(self, number: int, new_vm: bool) -> Pflash | None:
        if self.guest.firmware != "uefi" or self.guest.kernel is not None:
            return None
        found = command.find_firmware(self.guest.architecture)
        before, now = (self.folder / f"variables{each}.fd" for each in (number - 1, number))
        now.unlink(missing_ok=True)  # a QEMU that was given up may hold the old one
        shutil.copyfile(found.variables if new_vm or not before.exists() else before, now)
        now.chmod(0o600)
        return Pflash(found.code, now)


def _below(guest: Bootable) -> str:
    if guest.disk is None:
        raise RuntimeError("it is not open")
    path = str(guest.disk.resolve())
    file = {"driver": "file", "filename": path}
    if guest.format == "raw" and guest.size:
        return "json:" + json.dumps({"driver": "raw", "size": guest.size, "file": file})
    if guest.format == "vpc":  # the size of its footer: QEMU takes the cylinders of creators that it does not know
        return "json:" + json.dumps({"driver": "vpc", "force_size_calc": "current_size", "file": file})
    return path


@contextlib.contextmanager
def room(folder: Path) -> Iterator[None]:
    """Raises Failure where the block finds no room for its files, all of which lie in `folder`."""
    try:
        yield
    except (OSError, CommandFailed) as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) if isinstance(error, OSError) else _FULL in error.done.stderr
        if not full:
            raise
        raise Failure(f"there is no room for the boot's files in {folder} [no-space]", make_room(folder)) from error


_FULL = "No space left on device"


def make_room(folder: Path) -> str:
    """What to do about a full file system of scratch files."""
    return f"make room in {folder}, or let XDG_CACHE_HOME name a folder with room"


@contextlib.contextmanager
def scratch(guest: Bootable) -> Iterator[Scratch]:
    """The scratch folder while the block lasts. Raises Failure where QEMU or firmware is missing."""
    find_tool(*command.program(guest.architecture))
    if guest.firmware == "uefi" and guest.kernel is None:
        command.find_firmware(guest.architecture)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "azready" / "machines"
    with room(home):
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        folder = Path(tempfile.mkdtemp(prefix="boot-", dir=home))
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    locks.hold(lock, wait=True)
    try:
        yield Scratch(folder, guest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _sweep(home: Path) -> None:
    """Remove folders whose owner has gone: nobody holds their lock."""
    for folder in home.glob("boot-*"):
        with contextlib.suppress(OSError):
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
            try:
                locks.hold(lock)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
