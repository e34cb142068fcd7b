"""An agent that nobody here wrote talks to the fabric: WALinuxAgent as Debian packages it, protocol code unmodified."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.fabric.machine import load
from azready.fabric.protocol import certificates

EXCHANGE = Path(__file__).with_name("waagent_exchange.py")


@pytest.fixture
def modules(need: Callable[..., None]) -> Path:
    """The folder of Debian 12's azurelinuxagent, downloaded once."""
    need("tool:apt-get", "tool:dpkg-deb", "tool:openssl", "tool:unshare", "tool:ip")
    if sys.version_info >= (3, 12):
        pytest.skip("needs Python before 3.12 for Debian 12's waagent: tests run with Debian 12's")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "azready" / "waagent"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = home / "tree" / "usr/lib/python3/dist-packages"
        if not (folder / "distro").exists():
            words = ["apt-get", "download", "waagent", "python3-distro"]
            done = subprocess.run(words, cwd=home, capture_output=True, check=False)
            if done.returncode:
                pytest.skip("needs Debian's mirror: a machine that reaches it")
            for package in home.glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", package, home / "tree"], check=True)
    return folder


@pytest.mark.long
def test_waagent_starts_up_reports_and_takes_its_certificates(modules: Path, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", "key"], cwd=tmp_path, check=True)
    description, scratch, log = tmp_path / "vm.toml", tmp_path / "lib", tmp_path / "log"
    scratch.mkdir()
    key = (tmp_path / "key.pub").read_text().strip()
    description.write_text(f'name = "web-1"\nincarnation = "3"\ncertificates = true\npublic_keys = ["{key}"]\n')
    fabric = [sys.executable, "-m", "azready", "fabric", "run", "--machine", str(description), "--log", str(log)]
    done = subprocess.run(
        [*fabric, "--", sys.executable, EXCHANGE, modules, scratch],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    machine = load(description)
    assert (told["incarnation"], told["vm_id"]) == ("3", machine.vm_id)
    (thumbprint,) = certificates.thumbprints(machine).values()
    assert f"{thumbprint}.crt" in told["certificates"]
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["state"] for one in entries if one["kind"] == "HealthReport"] == ["NotReady", "Ready"]
    assert [one["code"] for one in entries if one["kind"] == "Finding"] == []
