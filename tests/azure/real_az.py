"""The real Azure CLI, from PyPI, in an environment of its own outside the checkout: installed once, by whoever comes
first (a lock), some 730 MB and one to two minutes."""

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path

VERSION = "2.91.0"


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "azready"


def install() -> Path:
    """The path of `az`; installs it when it is not there yet."""
    folder = cache() / f"az-{VERSION}"
    done = folder / ".complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "az.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            venv.create(folder, with_pip=True, clear=True)
            pip = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, f"azure-cli=={VERSION}"], check=True, stdout=sys.stderr)
            done.touch()
    return folder / "bin/az"


HOSTS = ("management.azure.com", "login.microsoftonline.com", "md-fake.blob.storage.azure.net")


def in_namespace(argv: list[str], hosts: Path) -> list[str]:
    """`argv` in a mount namespace where Azure's names are 127.0.0.1; the network is the caller's, only `lo`."""
    hosts.write_text("127.0.0.1 localhost " + " ".join(HOSTS) + "\n")
    command = 'mount --bind "$0" /etc/hosts && exec "$@"'
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "sh", "-c", command, str(hosts), *argv]


def environment(folder: Path, ca: Path) -> dict[str, str]:
    """For az and for azready: nothing of the caller's login, the fake's authority, no telemetry."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "XDG_STATE_HOME": str(folder / "state"),
        "AZURE_CONFIG_DIR": str(folder / "config"),
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
        "AZURE_CORE_NO_COLOR": "yes",
        "AZURE_CORE_SURVEY_MESSAGE": "no",
        "AZURE_CORE_ONLY_SHOW_ERRORS": "yes",
        "REQUESTS_CA_BUNDLE": str(ca),
    }
