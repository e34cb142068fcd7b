"""Runs a judge against a VM that stays up, as long as it takes; a guest that reboots meanwhile is started again."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from azready.boot.judging import junit
from azready.boot.judging.access import Access
from azready.boot.judging.judges import Judge
from azready.boot.record import Check
from azready.errors import Failure
from azready.proc import spawn, stop

TAIL = 5
"""Lines of the judge's own output that are shown where it failed without a case."""


@dataclass(frozen=True)
class Heard:
    """How a judge ended: exit code, what it wrote, and its JUnit files."""

    status: int
    said: str
    files: tuple[Path, ...]


@contextmanager
def prepared(judge: Judge, access: Access) -> Iterator[Access]:
    """A folder of the judge's own, with the key and what else it reads; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="azready-judge-"))
    try:
        own = replace(access, key=folder / "id_ed25519", folder=folder)
        os.close(os.open(own.key, os.O_WRONLY | os.O_CREAT, 0o600))
        shutil.copyfile(access.key, own.key)
        more = {folder / name: text(own) for name, text in judge.files.items()}
        for path, text in {**own.files(), **more}.items():
            path.write_text(text, encoding="utf-8")
        yield own
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hear(
    judge: Judge,
    access: Access,
    inside: Callable[[Sequence[str | Path]], Sequence[str | Path]],
    meanwhile: Callable[[float], None],
    environment: Mapping[str, str] = os.environ,
) -> Heard:
    """Run it to its end. `inside` puts words where the guest's network is; `meanwhile(seconds)` is called on end."""
    log = access.folder / "output"
    with log.open("wb") as file:
        words = inside(["sh", "-c", judge.command])
        own = {**environment, **access.environment()}
        process: subprocess.Popen[bytes] = spawn(list(map(str, words)), stdout=file.fileno(), env=own)
        try:
            while process.poll() is None:
                meanwhile(0.5)
        finally:
            stop(process)
    files = sorted({*access.folder.rglob("*.junit.xml"), *([access.junit] if access.junit.exists() else [])})
    return Heard(process.returncode, log.read_text(encoding="utf-8", errors="replace"), tuple(files))


def verdict(judge: Judge, heard: Heard, at: float) -> tuple[Check, ...]:
    """What it found as checks; where nothing says why it failed, with its last words."""
    try:
        told = junit.checks(judge.name, heard.files, heard.status, at)
    except Failure as failure:
        return (Check(judge.name, "failed", failure.message, at),)
    *cases, last = told
    if last.name == judge.name and last.outcome == "failed":
        words = " / ".join(line.strip() for line in heard.said.splitlines()[-TAIL:] if line.strip())
        last = replace(last, detail=f"{last.detail}: {words}" if words else last.detail)
    return (*cases, last)
