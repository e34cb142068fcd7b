"""A pytest plugin: as root a run mounts in a namespace of its own, so that nothing stays mounted when it is killed.

Nor does one run see another's mounts: pytest moves and removes the folders of runs that are over, and what was still
mounted in them came up as a change of the machine.
"""

import contextlib
import os

from azready.kernel.syscalls import CLONE_NEWNS, MS_PRIVATE, MS_REC, mount, unshare


def pytest_configure() -> None:
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # a root that may not mount at all: the tests that need it say so
            unshare(CLONE_NEWNS)
            mount("", "/", flags=MS_REC | MS_PRIVATE)
