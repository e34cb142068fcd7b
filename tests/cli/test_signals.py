"""What the caller did with signals changes nothing."""

import subprocess
import sys

import pytest

HOW_A_PROGRAM_ENDS = """
import sys
from azready import cli, proc
cli._run = lambda: proc.run(["sh", "-c", "exit 3"], check=False).status
cli.main()
"""


def test_a_caller_that_ignores_sigchld_hides_no_failure() -> None:
    """Its children inherit that, and then every program seems to end with 0: a failed removal passed for a good one."""
    ignoring = ["env", "--ignore-signal=CHLD"]
    if subprocess.run([*ignoring, "true"], capture_output=True).returncode:
        pytest.skip("needs an env that takes --ignore-signal: coreutils 8.31")
    done = subprocess.run([*ignoring, sys.executable, "-c", HOW_A_PROGRAM_ENDS], capture_output=True, check=False)
    assert done.returncode == 3, done.stderr
