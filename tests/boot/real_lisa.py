"""Microsoft's LISA, from PyPI, in an environment of its own outside the checkout: installed once by the first to come
(a lock), some 250 MB."""

import fcntl
import subprocess
import sys
import venv
from pathlib import Path

from tests.azure.real_az import cache

VERSION = "20260921.2"
PACKAGES = (f"mslisa[azure]=={VERSION}", "pytest-testinfra==10.2.2")


def install() -> Path:
    """The folder that holds `lisa`, and a `python` with pytest-testinfra; installs them when they are not there yet."""
    folder = cache() / f"lisa-{VERSION}"
    done = folder / ".complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lisa.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            venv.create(folder, with_pip=True, clear=True)
            pip = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, *PACKAGES], check=True, stdout=sys.stderr)
            done.touch()
    return folder / "bin"
