"""pytest again and again on a copy of the checkout: in forks of one process that has the packages imported already."""

import io
import os
import select
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

_OURS = ("azready", "tests")


@dataclass(frozen=True)
class Asking:
    """A copy of the checkout, and the environment its tests run in."""

    copy: Path
    env: Mapping[str, str]

    def warm(self, words: Sequence[str]) -> None:
        """Import what the tests import, so that each fork has it; what is changed, it reads anew."""
        with redirect_stdout(io.StringIO()):
            pytest.main([*words, "--collect-only"])

    def status(self, words: Sequence[str], longest: float) -> int:
        """How pytest ends in the copy with these words. Tests that take longer than so many seconds have failed."""
        child = os.fork()
        if child == 0:
            self._run(words)
        ended, _, _ = select.select([pidfd := os.pidfd_open(child)], [], [], longest)
        os.close(pidfd)
        if not ended:
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) if ended else 1

    def _run(self, words: Sequence[str]) -> None:
        """In the fork: forget all modules of ours, and read those of the copy."""
        status = 1
        try:
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(nothing, number)
            os.chdir(self.copy)
            os.environ.clear()
            os.environ.update(self.env)
            tempfile.tempdir = None
            sys.dont_write_bytecode = True
            sys.pycache_prefix = self.env["PYTHONPYCACHEPREFIX"]
            sys.path[:0] = [str(self.copy / "src"), str(self.copy)]
            for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
                del sys.modules[name]
            status = int(pytest.main(list(words)))
        finally:
            os._exit(status)
