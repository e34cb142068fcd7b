"""Every Python of this machine from 3.6 on, and provision.py as bytecode of each.

Each worker of the tests needs them to know which tests there are: they are asked and compiled once, and kept beside the
cached trees.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from azready.pipelines import trees

PROGRAM = Path(__file__).parents[1] / "src/azready/guest/provision.py"
_KEPT = 86400.0
"""Seconds that the bytecode of another provision.py is kept: another checkout may be running its tests."""


@cache
def pythons() -> dict[str, Path]:
    """Version -> interpreter, one of each minor version, oldest first: of the system, of pyenv, of PATH, and ours."""
    versions: dict[str, Path] = {}
    for path in _found():
        if (version := _version(path)) and version not in versions:
            versions[version] = path
    return dict(sorted(versions.items(), key=lambda item: int(item[0].partition(".")[2])))


def _found() -> Iterator[Path]:
    yield Path("/usr/bin/python3")
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    if os.access(root, os.R_OK):
        yield from sorted(root.glob("3.*/bin/python3"))
    yield from (Path(path) for minor in range(6, 16) if (path := shutil.which(f"python3.{minor}")))
    yield Path(sys.executable)


def _version(interpreter: Path) -> str:
    """As `3.11`; empty of one that does not run, or is too old."""
    if not os.access(interpreter, os.X_OK):
        return ""
    kept = _cache() / f"version-{_identity(interpreter)}"
    try:
        text = kept.read_text()
    except FileNotFoundError:
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([interpreter, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
        text = done.stdout.strip()
        _put(kept, text.encode())
    return text if text.startswith("3.") and int(text.partition(".")[2]) >= 6 else ""


@cache
def compiled(version: str) -> Path:
    """provision.py as bytecode, as in a prepared image, under its own name: Python knows it by its first bytes.
    Compiling it for each run would cost more than the run."""
    interpreter = pythons()[version]
    known = json.dumps([_identity(interpreter), PROGRAM.read_text(encoding="utf-8")])
    target = _cache() / hashlib.sha256(known.encode()).hexdigest()[:24] / "provision.py"
    if not target.exists():
        _forget_old()
        partial = target.with_name(f"{os.getpid()}.partial")
        target.parent.mkdir(exist_ok=True)
        code = "import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[2], sys.argv[1], doraise=True)"
        subprocess.run([interpreter, "-I", "-S", "-c", code, PROGRAM, partial], check=True)
        partial.rename(target)
    return target


def _identity(interpreter: Path) -> str:
    there = interpreter.resolve()
    status = there.stat()
    return hashlib.sha256(f"{there} {status.st_mtime_ns} {status.st_size}".encode()).hexdigest()[:24]


def _cache() -> Path:
    folder = trees.cache_directory().parent / "test-pythons"
    folder.mkdir(exist_ok=True)
    return folder


def _put(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.rename(path)


def _forget_old() -> None:
    for path in _cache().iterdir():
        if path.is_dir() and time.time() - path.stat().st_mtime > _KEPT:
            shutil.rmtree(path, ignore_errors=True)
