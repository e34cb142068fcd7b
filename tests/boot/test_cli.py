"""`azready boot` as its users run it: what it prints, the exit codes, and what it says to wrong input."""

import json
import subprocess
import sys
import time
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.record import from_json
from tests.cli.schemas import conforms

Prepared = Callable[..., Path]


def azready(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "azready", "boot", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.long
def test_text_on_stdout_progress_on_stderr_and_a_live_view(prepared: Prepared) -> None:
    words = [str(prepared()), "--set", "name=vm9", "--boots", "1", "--web"]
    command = [sys.executable, "-m", "azready", "boot", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stderr is not None
        url = running.stderr.readline().strip().rpartition(" ")[2]
        states, boot, lines = [], 0, 0
        while not states or not states[-1]["over"]:
            with urllib.request.urlopen(f"{url}state?boot={boot}&lines={lines}", timeout=60) as answer:
                states.append(json.loads(answer.read()))
            same = states[-1]["boot"] == boot
            time.sleep(0.2)
            boot, lines = states[-1]["boot"], lines + len(states[-1]["console"]) if same else 0
        stdout, stderr = running.communicate(timeout=120)
    assert running.returncode == 0, stderr
    assert "✔ Provisioned: Ready after" in stdout
    assert "✓ ssh login: as azureuser · ✓ host name: vm9 · ✓ sudo: asks no password · ✓ unit is off" in stdout
    assert "✓ First boot: " in stderr
    assert states[-1]["title"].startswith("✔ ") and any("first boot" in each["title"] for each in states)
    assert any(each["console"] for each in states)


@pytest.mark.long
def test_every_form_in_one_run_and_json_holds_the_whole_record(prepared: Prepared, tmp_path: Path) -> None:
    files = [word for form in ("junit", "html", "text") for word in ("-o", f"{form}={tmp_path / form}")]
    done = azready(prepared(), "--boots", "1", "--no-ssh-check", "--output", "json", *files)
    assert done.returncode == 0, done.stderr
    table = conforms("boot", done.stdout)
    assert "✔ Provisioned" in (tmp_path / "text").read_text() and "\x1b" not in (tmp_path / "text").read_text()
    assert "</html>" in (tmp_path / "html").read_text()
    suite = ElementTree.parse(tmp_path / "junit").getroot()[0]
    assert suite[0].attrib["name"] == "reports Ready" and suite.attrib["failures"] == "0"
    assert table["passed"] is True
    record = from_json(table["boots"][0])
    assert record.verdict.provisioned
    assert record.journal
    assert record.console


@pytest.mark.long
def test_a_refused_report_is_exit_1_with_a_line_that_repeats_it(prepared: Prepared) -> None:
    done = azready(prepared(), "--fault", "service=wireserver,path=*health*,status=503", "--deadline", "3")
    assert done.returncode == 1, done.stderr
    assert "✘ OSProvisioningTimedOut" in done.stdout
    assert "to repeat: azready boot" in done.stderr


@pytest.mark.long
def test_the_agent_report_names_the_agent(prepared: Prepared) -> None:
    done = azready(prepared(), "--agent-report", "--boots", "1", "--no-ssh-check")
    assert done.returncode == 0, done.stderr
    assert "agent:     azure-provisioning" in done.stdout
    assert "/machine?comp=goalstate → 200" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["/no/such/tree"], "does not exist"),
        (["/"], "this machine itself"),
        (["TMP", "--deadline", "0"], "--deadline"),
        (["TMP", "--scenario", "no-such"], "no scenario"),
        (["TMP", "--wireserver", "not-an-address"], "--wireserver"),
        (["TMP", "--heal", "--boots", "1"], "--heal"),
        (["TMP", "--boots", "0"], "--boots"),
        (["TMP", "--report", "/no/such/page.html"], "cannot write"),
        (["TMP", "-o", "junit=/no/such/b.xml"], "cannot write"),
        (["TMP", "-o", "sarif"], "text, json, junit, html"),
        (["TMP", "--console", "TMP"], "cannot write"),
        (["TMP"], "no operating system"),
        (["TMP", "--set", "nonsense=1"], "nonsense"),
    ],
)
def test_wrong_input_is_exit_2_with_advice(tmp_path: Path, words: list[str], says: str) -> None:
    done = azready(*(str(tmp_path) if word == "TMP" else word for word in words))
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
