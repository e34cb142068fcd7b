"""What every test may use: `need`, which skips with the reason, or fails where CI must have it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

IN_CI = os.environ.get("CI", "").lower() == "true"
ROOT = Path(__file__).parent.parent


def _missing(what: str) -> str:
    """Say why `what` is not to be had here, or nothing."""
    if what == "root":
        return "" if os.geteuid() == 0 else "needs root"
    if what == "user":
        return "" if os.geteuid() != 0 else "needs an ordinary user"
    kind, _, name = what.partition(":")
    if kind == "tool":
        path = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
        return "" if shutil.which(name, path=path) else f"needs {name}"
    if kind == "file":
        return "" if Path(name).exists() else f"needs {name}"
    raise ValueError(f"unknown need {what!r}: root, user, tool:NAME, file:PATH")


@pytest.fixture(scope="session")
def need() -> Callable[..., None]:
    """`need("root", "tool:qemu-img")` at the head of a test: skips where one is missing, says which.

    CI runs everything as root after installing every tool, so there a missing tool is a failure.
    `need("user")` and `need("file:…")` may skip anywhere.
    """

    def check(*needs: str) -> None:
        for what in needs:
            reason = _missing(what)
            if not reason:
                continue
            if IN_CI and (what == "root" or what.startswith("tool:")):
                pytest.fail(f"CI must have it, but this test {reason}")
            pytest.skip(reason)

    return check
