"""From a disk file to the fixed VHD that Azure takes: whole MiB, a footer, the backup GPT at the new end.

The source is only read. The target appears under its name when it is complete and on the disk, else not at all.
Facts: Microsoft, "Create and upload a generic Linux VHD" (fixed, whole MiB), "Upload a VHD to a managed disk" (limits).
"""

import contextlib
import glob
import os
import re
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from azready import durable, locks
from azready.errors import Failure, UsageFailure
from azready.image.disk import diskfile, qemu, sparse
from azready.image.disk.diskfile import DiskFile
from azready.image.disk.formats import gpt, superblocks, vhd
from azready.image.disk.formats.partitions import Table, read_table
from azready.image.disk.reading import reader, write_at
from azready.image.disk.sparse import Progress
from azready.proc import find_tool, run, spawn, stop

_ROOM = "make room where it is written, and run it again"
_MBR_LIMIT = 2 << 40
_OS_DISK_LIMIT = 4095 << 30
_OTHER_FORMS = (".qcow2", ".vhdx", ".vmdk", ".vdi", ".ova", ".iso")


@dataclass(frozen=True)
class Plan:
    """What a conversion will do; sizes in bytes. `warnings` do not stop it."""

    disk: DiskFile
    virtual_size: int
    moves_backup_gpt: bool
    generations: tuple[int, ...]
    warnings: tuple[str, ...]

    @property
    def source(self) -> Path:
        """The file that is read."""
        return self.disk.path

    @property
    def format(self) -> str:
        """Of the source: `qcow2`, `vmdk (streamOptimized)`."""
        return f"{self.disk.format} ({self.disk.variant})" if self.disk.variant else self.disk.format

    @property
    def disk_size(self) -> int:
        """Bytes of the disk in the source."""
        return self.disk.size

    @property
    def file_size(self) -> int:
        """Size of the VHD file, which is also Azure's `uploadSizeBytes`."""
        return self.virtual_size + vhd.FOOTER_SIZE

    def lines(self) -> tuple[str, ...]:
        """The plan in words."""
        grown = self.virtual_size - self.disk_size
        boots = " or ".join(f"Generation {number}" for number in self.generations)
        return (
            f"{self.source}: {self.format}, {self.disk_size} bytes",
            f"virtual size {self.virtual_size} bytes = {self.virtual_size // vhd.MIB} MiB"
            + (f" ({grown} bytes added)" if grown else ""),
            "the backup GPT moves to the end" if self.moves_backup_gpt else "the partition table stays as it is",
            f"boots as {boots}" if boots else "shows no sign that it can boot",
        )


@dataclass(frozen=True)
class Converted:
    """A finished conversion: the plan, the target, the bytes that it really occupies, whether it was compared."""

    plan: Plan
    target: Path
    allocated: int
    verified: bool


def plan(source: Path, blank: bool = False) -> Plan:
    """Decide how a disk becomes a VHD. Raises UsageFailure for a disk that Azure can never boot.

    `blank` allows one that holds neither a partition table nor a file system.
    """
    disk = diskfile.inspect(source)
    with diskfile.reading(disk) as read:
        table = read_table(read, disk.size)
        if table.scheme == "none" and not blank and superblocks.probe(read) is None:
            raise UsageFailure(
                f"{source} holds neither a partition table nor a file system: nothing can boot from it",
                "is it the right file? For an empty disk say so: azready convert --blank",
            )
        size = max(vhd.whole_mib(disk.size), vhd.SMALLEST)
        _refuse(disk, table, size)
        try:
            moves = bool(gpt.move_backup(read, disk.size, size))
        except ValueError as error:
            raise UsageFailure(f"{source}: {error}", f"repair it first, on a copy: sgdisk -e {source}") from error
    return Plan(disk, size, moves, table.generations, tuple(_warnings(table, size)))


def _refuse(disk: DiskFile, table: Table, size: int) -> None:
    if size > vhd.LARGEST:
        raise UsageFailure(f"{disk.path} holds {size} bytes; Azure takes at most {vhd.LARGEST}", "shrink the disk")
    if table.sector != 512:
        raise UsageFailure(
            f"{disk.path} is partitioned for sectors of {table.sector} bytes; Azure's have 512",
            "build it again with a sector size of 512 (mkosi: SectorSize=512)",
        )
    for problem in table.problems:
        if "after the disk's end" in problem:
            raise UsageFailure(f"{disk.path}: {problem}", "the file is cut off: fetch or build it again")


def _warnings(table: Table, size: int) -> Iterator[str]:
    if table.scheme == "none":
        yield "the disk has no partition table"
    for problem in table.problems:
        if "backup GPT header" not in problem:
            yield problem
    if size > _OS_DISK_LIMIT:
        yield f"larger than 4,095 GiB, the most that an OS disk can use ({size} bytes)"
    elif size > _MBR_LIMIT and table.scheme == "mbr":
        yield "larger than 2 TiB, the most that an MBR can describe"


def check_target(source: Path, target: Path, overwrite: bool) -> None:
    """Raise UsageFailure where `target` may not be written."""
    if not target.parent.is_dir():
        raise UsageFailure(f"there is no folder {target.parent}", "make it first, or name another target")
    if target.exists() and not target.is_file():
        raise UsageFailure(f"{target} is not a file", "name a file, such as disk.vhd")
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageFailure(f"{target} is the source itself", "name another target")
    if target.suffix.lower() in _OTHER_FORMS:
        raise UsageFailure(f"{target}: what is made is a fixed VHD, whatever its name", f"name it {target.stem}.vhd")
    if target.exists() and not overwrite:
        raise UsageFailure(f"{target} exists", "name another target, or say --yes to replace it")


def convert(
    doing: Plan,
    target: Path,
    *,
    verify: bool = False,
    overwrite: bool = False,
    advance: Progress = lambda done: None,
    unique_id: uuid.UUID | None = None,
    created: int | None = None,
) -> Converted:
    """Make `target` the fixed VHD that was planned. `verify` compares every byte with the source and reads it back.

    `advance` gets the bytes done since its last call. Identity and time in the footer are new unless given.
    Raises UsageFailure where the target may not be written, Failure where source or target cannot be used after all.
    """
    check_target(doing.source, target, overwrite)
    with _appearing(target) as part:
        part.chmod(part.stat().st_mode & diskfile.mode_of_copy(doing.disk))
        with durable.settling(part):
            _copy(doing, part, advance)
        if verify:
            _compare(doing, part)
        _finish(doing, part, vhd.build(doing.virtual_size, unique_id, created))
        if verify:
            _read_back(part)
    return Converted(doing, target, target.stat().st_blocks * 512, verify)


@contextlib.contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A file beside the target that takes its name at the end, and vanishes if anything goes wrong."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    _sweep(target)
    try:
        held = part.open("xb")
    except OSError as error:
        raise UsageFailure(f"cannot write {target}: {error.strerror}", "choose a folder you may write to") from error
    with held:
        _is_free(held.fileno())
        try:
            yield part
            durable.rename(part, target)
        except OSError as error:
            raise Failure(f"cannot write {target}: {error.strerror}", _ROOM) from error
        finally:
            part.unlink(missing_ok=True)


def _sweep(target: Path) -> None:
    """Remove what runs that were killed left: parts of the same target that nobody holds any more."""
    for part in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        with contextlib.suppress(OSError), part.open("rb") as left:
            if _is_free(left.fileno()):
                part.unlink()


def _is_free(descriptor: int) -> bool:
    """Whether nobody held the file; from now on we do, until it is closed."""
    try:
        locks.hold(descriptor)
    except OSError:
        return False
    return True


def _copy(doing: Plan, part: Path, advance: Progress) -> None:
    """The disk's bytes, without zeros: by sharing blocks or by the kernel's copy, other formats by qemu-img.

    qemu-img's target is raw: the footer is ours, and no limit of its VHD driver holds.
    """
    if doing.disk.direct:
        with doing.source.open("rb") as source, part.open("r+b") as target:
            if sparse.clone(source.fileno(), target.fileno(), doing.disk_size):
                advance(doing.disk_size)
            else:
                sparse.copy(source.fileno(), target.fileno(), doing.disk_size, advance)
            return
    tool = find_tool("qemu-img", "qemu-utils")
    argv: list[str | Path] = [tool, "convert", "-p", "-U", qemu.name(doing.disk.node), "-O", "raw", part]
    with tempfile.TemporaryFile() as errors:
        running = spawn(argv, stderr=errors.fileno())
        try:
            _follow(running, doing.disk_size, advance)
        finally:
            stop(running)
        if running.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            if "while writing" in said:
                raise Failure(f"cannot write the VHD: {said.splitlines()[-1]}", _ROOM)
            raise Failure(f"qemu-img could not read {doing.source}: {said}")


def _follow(running: "subprocess.Popen[bytes]", total: int, advance: Progress) -> None:
    """Turn `qemu-img -p`'s percentages, which it ends with carriage returns, into bytes."""
    told, line = 0, b""
    while running.stdout is not None and (piece := os.read(running.stdout.fileno(), 256)):
        *lines, line = (line + piece).replace(b"\r", b"\n").split(b"\n")
        for found in re.findall(rb"\((\d+\.\d+)/100%\)", b"\n".join(lines)):
            done = int(total * float(found) / 100)
            advance(done - told)
            told = done
    running.wait()
    advance(total - told)


def _compare(doing: Plan, part: Path) -> None:
    """Every byte of the copy against the source, before the table moves."""
    if doing.disk.direct:
        with doing.source.open("rb") as source, part.open("rb") as target:
            at = sparse.first_difference(source.fileno(), target.fileno(), doing.disk_size)
        if at is not None:
            raise Failure(f"the copy differs from {doing.source} near byte {at}", "was it written to meanwhile?")
        return
    tool = find_tool("qemu-img", "qemu-utils")
    copy = qemu.node(part, "raw")
    done = run([tool, "compare", "-U", qemu.name(doing.disk.node), qemu.name(copy)], check=False)
    if done.status:
        raise Failure(f"the copy differs from {doing.source}: {done.stdout.strip() or done.stderr.strip()}")


def _finish(doing: Plan, part: Path, footer: bytes) -> None:
    """Grow to whole MiB, move the backup GPT, write the footer."""
    with part.open("r+b") as file:
        number = file.fileno()
        os.ftruncate(number, doing.disk_size)  # without the source's own footer, if it had one
        os.ftruncate(number, doing.virtual_size)
        for at, data in gpt.move_backup(reader(number, doing.virtual_size), doing.disk_size, doing.virtual_size):
            write_at(number, data, at)
        write_at(number, footer, doing.virtual_size)


def _read_back(part: Path) -> None:
    """The result, judged as a stranger would: footer, sizes, partition table."""
    with part.open("rb") as file:
        length = part.stat().st_size
        read = reader(file.fileno(), length)
        footer = vhd.parse(read(length - vhd.FOOTER_SIZE, vhd.FOOTER_SIZE))
        found = ("there is no footer",) if footer is None else vhd.problems(footer, length)
        table = read_table(read, length - vhd.FOOTER_SIZE)
    wrong = (*found, *(problem for problem in table.problems if "GPT header" in problem))
    if wrong:
        raise Failure(f"the VHD reads back wrong: {'; '.join(wrong)}", "please report this")
