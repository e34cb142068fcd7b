"""provision.sh is what its parts in src/azready/guest/sh say: whoever changes only one of the two loses the change."""

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]


def test_the_program_is_what_its_parts_say() -> None:
    done = subprocess.run([sys.executable, TOP / "scripts/join-guest", "--check"], check=False)
    assert done.returncode == 0, "run scripts/join-guest, and change provision.sh in its parts only"
