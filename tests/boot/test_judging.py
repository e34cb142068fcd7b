"""Judges that nobody here wrote: what they are handed, what becomes of what they say, and that a reboot is survived."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.judging import judges, junit
from azready.boot.judging import running as judging
from azready.boot.judging.access import Access
from azready.boot.judging.running import Heard
from azready.boot.record import BootRecord, Check, from_json
from azready.errors import Failure, UsageFailure
from azready.proc import run
from tests.boot import cloud, real_lisa
from tests.boot.conftest import Prepared

JUNIT = """<testsuites><testsuite name="s">
<testcase name="fine" classname="c"/>
<testcase name="broken" classname="c"><failure message="expected &lt;1&gt;
but was 2">trace</failure></testcase>
<testcase name="left out"><skipped/></testcase>
<testcase name="burst"><error>no message</error></testcase>
</testsuite></testsuites>"""


def access(folder: Path) -> Access:
    key = folder / "the key"
    key.write_text("secret\n")
    return Access("10.1.0.4", 2222, "someone", key, folder)


def test_ssh_reads_what_a_judge_is_handed(need: Callable[..., None], tmp_path: Path) -> None:
    need("tool:ssh")
    given = access(tmp_path)
    (tmp_path / "ssh_config").write_text(given.ssh_config())
    words = ["ssh", "-G", "-F", str(tmp_path / "ssh_config"), "azready"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    wanted = {"hostname 10.1.0.4", "port 2222", "user someone", f"identityfile {given.key}", "identitiesonly yes"}
    assert wanted <= set(said)


def test_the_inventory_is_one_line_that_a_shell_would_split_alike(tmp_path: Path) -> None:
    (line,) = access(tmp_path).inventory().splitlines()
    host, *words = shlex.split(line)
    values = dict(word.split("=", 1) for word in words)
    assert host == "azready" and values["ansible_host"] == "10.1.0.4" and values["ansible_port"] == "2222"
    assert values["ansible_ssh_private_key_file"] == str(tmp_path / "the key")


def test_every_case_of_a_junit_is_a_check(tmp_path: Path) -> None:
    (tmp_path / "judge.xml").write_text(JUNIT)
    told = junit.checks("lisa", [tmp_path / "judge.xml"], 2, 7.5)
    assert told == (
        Check("lisa: fine", "passed", "", 7.5),
        Check("lisa: broken", "failed", "expected <1> but was 2", 7.5),
        Check("lisa: left out", "skipped", "", 7.5),
        Check("lisa: burst", "failed", "no message", 7.5),
    )


GOOD = '<testsuite><testcase name="fine"/></testsuite>'


@pytest.mark.parametrize(
    ("text", "status", "outcomes"),
    [
        (GOOD, 0, ["passed"]),
        (GOOD, 4, ["passed", "failed"]),  # all that it told of is well, and yet it failed
        ("", 0, ["passed"]),
        ("", 1, ["failed"]),
        ("<testsuite/>", 0, ["passed"]),
        ("<testsuite/>", 5, ["failed"]),  # pytest's way to say that it found no test
    ],
)
def test_the_exit_code_counts_where_no_case_explains_it(
    tmp_path: Path, text: str, status: int, outcomes: list[str]
) -> None:
    (tmp_path / "judge.xml").write_text(text)
    files = [tmp_path / "judge.xml"] if text else []
    assert [check.outcome for check in junit.checks("j", files, status, 1.0)] == outcomes


def test_the_last_words_of_a_judge_are_kept(tmp_path: Path) -> None:
    judge = judges.judge("./mine --all", "container")
    (check,) = judging.verdict(judge, Heard(127, "a\n\nnot found\n", ()), 1.0)
    assert check == Check("mine", "failed", "exit code 127: a / not found", 1.0)


def test_a_junit_that_is_none_is_the_judges_failure(tmp_path: Path) -> None:
    (tmp_path / "judge.xml").write_text("<testsuite><testcase>")
    with pytest.raises(Failure, match="is no JUnit"):
        list(junit.cases(tmp_path / "judge.xml"))
    (check,) = judging.verdict(judges.judge("true", "container"), Heard(0, "", (tmp_path / "judge.xml",)), 1.0)
    assert check.outcome == "failed"


@pytest.mark.parametrize("word", ["", " ", "lisa:", "testinfra", "testinfra:", "a 'b"])
def test_what_names_no_judge_is_explained(word: str) -> None:
    with pytest.raises(UsageFailure, match="names no judge"):
        judges.judge(word, "container")


def test_lisa_is_asked_for_cases_that_the_vm_can_have(tmp_path: Path) -> None:
    given = access(tmp_path)
    texts = {kind: judges.judge("lisa", kind).files["judge.yml"](given) for kind in ("container", "qemu")}  # type: ignore[arg-type]
    assert "verify_grub" in texts["qemu"] and "verify_grub" not in texts["container"]
    assert 'name: "(one|two)"' in judges.judge("lisa:one,two", "qemu").files["judge.yml"](given)
    for word in ('address: "10.1.0.4"', 'public_address: "10.1.0.4"', "port: 2222", "public_port: 2222"):
        assert f"          {word}\n" in texts["qemu"]


# --- for real ---


def judged(target: Path, *words: str, path: Path | None = None) -> tuple[int, BootRecord, str]:
    found = {**os.environ, **({"PATH": f"{path}:{os.environ['PATH']}", "PYTHON": f"{path}/python"} if path else {})}
    command = [sys.executable, "-m", "azready", "boot", target, "--boots", "1", *words, "--output", "json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1400, env=found)
    assert done.stdout, done.stderr
    return done.returncode, from_json(json.loads(done.stdout)["boots"][0]), done.stderr


REBOOTS = """
guest() { ssh -o ConnectTimeout=3 -F "$AZREADY_SSH_CONFIG" "$AZREADY_HOST" "$@"; }
before=$(guest cat /run/azready-judged 2>/dev/null; guest 'sudo -n touch /var/judged /run/azready-judged; uname -n')
# --force: now and then a session of ssh does not end, and systemd waits 90 s for it
guest sudo -n systemctl --force reboot
for i in $(seq 100); do
    sleep 0.3
    guest 'test -e /var/judged && test ! -e /run/azready-judged' && break
done
outcome=$([ "$before" = azready-vm ] && [ "$i" -lt 100 ] || echo "<failure message='$before after $i tries'/>")
echo "<testsuite><testcase name='came back'>$outcome</testcase></testsuite>" >"$AZREADY_JUNIT"
"""


@pytest.mark.long
def test_a_judge_reboots_the_guest_and_another_fails_it(prepared: Prepared, tmp_path: Path) -> None:
    script = tmp_path / "reboots"
    script.write_text(REBOOTS)
    status, record, said = judged(prepared(), "--judge", f"sh {script}", "--judge", "echo no luck; exit 7")
    found = {check.name: (check.outcome, check.detail) for check in record.checks}
    assert found["sh: came back"] == ("passed", ""), said
    assert found["echo"] == ("failed", "exit code 7: no luck")
    assert status == 1 and not record.passed and record.headline.endswith("but echo failed")
    assert "The guest rebooted, and is up again" in said


@pytest.mark.long
def test_a_judge_has_nothing_to_look_at_where_there_is_no_vm(prepared: Prepared) -> None:
    refused = ["--fault", "service=wireserver,path=*health*,status=503", "--deadline", "3"]
    status, record, _ = judged(prepared(), *refused, "--judge", "true")
    assert status == 1 and not any(check.name == "true" for check in record.checks)


TESTINFRA = """
def test_the_name(host):
    assert host.check_output("uname -n") == "azready-vm"

def test_no_agent(host):
    assert not host.package("waagent").is_installed
"""


@pytest.mark.slow
def test_lisa_and_testinfra_judge_a_prepared_image(prepared: Prepared, tmp_path: Path) -> None:
    """LISA's reboot test is among its cases. Its other cases have rules of `azready check` beside them, and both must
    say the same."""
    tests = tmp_path / "test_vm.py"
    tests.write_text(TESTINFRA)
    words = ["--judge", "lisa", "--judge", f"testinfra:{tests}"]
    _, record, said = judged(prepared(), *words, path=real_lisa.install())
    found = {check.name: check.outcome for check in record.checks}
    assert found["testinfra: test_the_name[ssh://azready]"] == "passed", said
    assert found["testinfra: test_no_agent[ssh://azready]"] == "passed"
    assert found["lisa: smoke_test"] == "passed", said
    agree(found, prepared())
    assert found["lisa: verify_dhcp_client_timeout"] == "failed"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_lisa_judges_a_disk(need: Callable[..., None], tmp_path: Path) -> None:
    """With GRUB and a kernel of its own, made of Debian's cloud image; QEMU lets it reboot for LISA's smoke_test."""
    need("root", *(f"tool:{name}" for name in ("mmdebstrap", "mcopy", "fatlabel", "qemu-system-x86_64", "ssh")))
    disk = tmp_path / "disk.raw"
    run([sys.executable, "-m", "azready", "prepare", cloud.disk(), "--to", disk])
    run([sys.executable, "-m", "azready", "generalize", disk, "--in-place", "--yes", "--fix"])
    _, record, said = judged(disk, "--judge", "lisa", path=real_lisa.install())
    found = {check.name: check.outcome for check in record.checks}
    assert found["lisa: smoke_test"] == found["lisa: verify_grub"] == "passed", said
    agree(found, disk)


SAME = {
    "verify_client_active_interval": "S04",
    "verify_default_targetpw": "A07",
    "verify_no_pre_exist_users": "A05",
    "verify_serial_console_is_enabled": "B12",
    "verify_grub": "B05",
    "verify_essential_kernel_modules": "K13",
    "verify_floppy_module_is_blacklisted": "K14",
}
"""LISA's cases, and our rules for the same."""


def agree(found: dict[str, str], target: Path) -> None:
    """LISA and `azready check` say the same, but of dhclient, which LISA demands of every Debian (docs/boot.md)."""
    words = [sys.executable, "-m", "azready", "check", str(target), "--profile", "marketplace", "--output", "json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    ours = {row["id"]: row["answer"] for row in json.loads(done.stdout)["results"]}
    for case, rule in SAME.items():
        if found.get(f"lisa: {case}", "skipped") != "skipped":
            assert (found[f"lisa: {case}"] == "passed") == (ours[rule] == "pass"), (case, found, ours[rule])
    assert ours["N06"] == "pass"
