"""Programs from PyPI that tests use as judges: each in an environment of its own outside the checkout, installed by the
first test to come, however many come at the same time."""

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "azready"


def from_pypi(name: str, version: str, *packages: str) -> Path:
    """The `bin` folder of the environment NAME-VERSION; installs these packages into it when it is not there yet."""
    folder = cache() / f"{name}-{version}"
    done = folder / ".complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            venv.create(folder, with_pip=True, clear=True)
            pip = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, *packages], check=True, stdout=sys.stderr)
            done.touch()
    return folder / "bin"
