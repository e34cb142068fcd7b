"""Azure's own command line logs in with the machine's identity, as far as there is an Azure."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("identity", "says"), [("identity=[]", "Identity not found"), ("identity=system", "management.azure.com")]
)
def test_az_takes_the_token_and_goes_on_to_the_control_plane(
    need: Callable[..., None], tmp_path: Path, identity: str, says: str
) -> None:
    """It decodes the token on its way, and ends where no route leads: its network has nothing but this fabric."""
    need("root", "tool:unshare", "tool:ip")
    if shutil.which("az") is None:
        pytest.skip("needs az: Azure's command line, installed")
    fabric = [sys.executable, "-m", "azready", "fabric", "run", "--set", identity]
    done = subprocess.run(
        [*fabric, "--", "az", "login", "--identity", "--allow-no-subscriptions"],
        env={**os.environ, "AZURE_CONFIG_DIR": str(tmp_path), "AZURE_CORE_COLLECT_TELEMETRY": "no"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert says in done.stderr
    assert "Traceback" not in done.stderr
