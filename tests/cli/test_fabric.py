"""`azready fabric` as its users call it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fabric.client import ask

AZREADY = [sys.executable, "-m", "azready", "fabric"]
AGENT = """
import re, urllib.request as u
opener = u.build_opener(u.ProxyHandler({}))
wire = {"x-ms-version": "2012-11-30", "x-ms-agent-name": "t", "Content-Type": "text/xml"}
def ask(url, headers, data=None):
    return opener.open(u.Request(url, data, headers), timeout=60).read().decode()
goal = ask("http://168.63.129.16/machine?comp=goalstate", wire)
ids = [re.search(f"<{tag}>(.*)</{tag}>", goal)[1] for tag in ("Incarnation", "ContainerId", "InstanceId")]
body = "<Health><GoalStateIncarnation>%s</GoalStateIncarnation><Container><ContainerId>%s</ContainerId>" \\
    "<RoleInstanceList><Role><InstanceId>%s</InstanceId><Health><State>Ready</State></Health></Role>" \\
    "</RoleInstanceList></Container></Health>" % tuple(ids)
print(ask("http://169.254.169.254/metadata/instance/compute/name?api-version=2019-06-01&format=text",
          {"Metadata": "true"}))
ask("http://168.63.129.16/machine?comp=health", wire, body.encode())
"""


def azready(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AZREADY, *words], capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **(env or {})}
    )


@pytest.fixture
def namespaces(need: Callable[..., None]) -> None:
    need("tool:unshare", "tool:ip")
    flags = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    if subprocess.run(["unshare", *flags, "--net", "true"], capture_output=True, check=False).returncode:
        need("root")


@pytest.mark.long
def test_run_gives_a_command_the_real_addresses_and_judges_it(namespaces: None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = azready("run", "--log", str(log), "--set", "name=web", "--", sys.executable, "-c", AGENT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "web"
    assert "Provisioned: Ready after" in done.stdout
    assert log.stat().st_mode & 0o777 == 0o600
    replayed = azready("replay", str(log))
    assert (replayed.returncode, replayed.stdout) == (0, "3 requests asked again, 0 answered otherwise, 0 left out\n")


@pytest.mark.long
def test_a_log_of_another_machine_is_answered_otherwise(namespaces: None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    azready("run", "--log", str(log), "--", sys.executable, "-c", AGENT)
    log.write_text(log.read_text().replace('"incarnation": "1"', "").replace('"strict": true', '"strict": true', 1))
    first, rest = log.read_text().split("\n", 1)
    head = json.loads(first)
    head["machine"]["incarnation"] = "5"
    log.write_text(json.dumps(head) + "\n" + rest)
    replayed = azready("replay", str(log))
    assert replayed.returncode == 1
    assert "status 410" in replayed.stdout


@pytest.mark.long
def test_run_cannot_reach_anything_else(namespaces: None) -> None:
    done = azready("run", "--", "sh", "-c", "ip route; ip -br link | grep -v ^lo")
    assert "ended with status 1" in done.stderr
    assert done.stdout.startswith("OSProvisioningTimedOut: the platform heard nothing")
    assert done.returncode == 1
    assert "to repeat: azready fabric run --seed 0 -- sh" in done.stderr


def test_a_missing_command_is_told(namespaces: None) -> None:
    done = azready("run", "--", "/no/such/command")
    assert "there is no program /no/such/command" in done.stderr
    assert done.returncode == 2


@pytest.mark.long
def test_serve_on_loopback_prints_routes_and_stops_with_a_verdict() -> None:
    words = [*AZREADY, "--imds-port", "0", "--wireserver-port", "0", "--hostplugin-port", "0", "-o", "json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        told = []
        while not told or "point an agent" not in told[-1]:
            told.append(process.stderr.readline())
        (wireserver,) = [line.split()[-1] for line in told if line.startswith("wireserver at ")]
        assert any("/machine?comp=goalstate" in line for line in told)
        headers = {"Content-Type": "application/json", "x-ms-guest-agent-name": "t"}
        assert ask(wireserver, "/provisioning/health", headers, "POST", b'{"state":"Ready"}').status == 201
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert json.loads(out)["provisioned"] is True
        assert "report     Ready" in err
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.long
def test_effective_settings_are_saved_and_repeat_the_run(tmp_path: Path) -> None:
    saved, again = tmp_path / "a.toml", tmp_path / "b.toml"
    ports = ["--imds-port", "0", "--wireserver-port", "0", "--hostplugin-port", "0", "--deadline", "0.1"]
    words = ["--scenario", "goalstate-503", "--fault", "service=imds,status=500,attempts=2-", "--set", "name=web"]
    assert azready(*ports, *words, "--save-settings", str(saved)).returncode == 1
    assert azready("--settings", str(saved), "--save-settings", str(again)).returncode == 1
    assert saved.read_text().splitlines()[1:] == again.read_text().splitlines()


def test_a_taken_port_is_told() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as sock:
        done = azready("--imds-port", str(sock.getsockname()[1]), "--wireserver-port", "0", "--hostplugin-port", "0")
    assert done.returncode == 3
    assert "--imds-port" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--scenario", "nix"], "scenarios: "),
        (["--fault", "status=x"], "must be a whole number"),
        (["--machine", "/no/such"], "No such file"),
        (["--settings", "/no/such"], "No such file"),
        (["--set", "nix"], "write FIELD=VALUE"),
        (["--set", "generation=3"], "use 1 (BIOS) or 2 (UEFI)"),
        (["--imds-port", "70000"], "1 to 65535"),
        (["replay", "/no/such"], "No such file"),
        (["replay", "/dev/null"], "does not begin with a run"),
    ],
)
def test_wrong_words_end_with_2_and_say_what_is_right(words: list[str], says: str) -> None:
    done = azready(*words)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr


@pytest.mark.long
def test_the_environment_comes_before_the_file_and_after_the_flag(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("seed = 1\ndeadline = 0.1\nimds_port = 0\nwireserver_port = 0\nhostplugin_port = 0\n")
    words = ["--settings", str(file)]
    assert "seed 1" in azready(*words).stderr
    assert "seed 2" in azready(*words, env={"AZREADY_SEED": "2"}).stderr
    assert "seed 3" in azready(*words, "--seed", "3", env={"AZREADY_SEED": "2"}).stderr


@pytest.mark.long
def test_medium_writes_the_disc_or_its_text(tmp_path: Path) -> None:
    for name, start in (("m.iso", b"\0"), ("m.xml", b"<?xml")):
        path = tmp_path / name
        assert azready("medium", str(path), "--set", "name=web").returncode == 0
        assert path.read_bytes().startswith(start)
        assert path.stat().st_mode & 0o777 == 0o600
    assert "<HostName>web<" in (tmp_path / "m.xml").read_text()
    assert "name it OUT.iso" in azready("medium", str(tmp_path / "m.img")).stderr
