"""What a serial console log shows: the cause by its code, and silence about logs that show none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.boot.console_log import diagnose
from azready.boot.console_log.reading import boots_of, text_of
from tests.boot.console_log.logs import LOGIN, READY, boots, causes, in_azures_form, kernel, up
from tests.cli.schemas import conforms

SHARED = Path(__file__).parents[4] / "shared/cases/azure-console-logs"
OF_OTHERS = {
    "02": "no-root-device",
    "07": "fstab",
    "15": "no-lease",
    "19": "no-medium",
    "22": "not-enabled",
    "24": "no-datasource",
    "31": "secure-boot",
    "33": "root-device-name",
    "38": "no-serial-console",
    "39": "no-provisioner",
    "51": "",
    "55": "",
}


def code(text: str) -> str:
    found = diagnose(in_azures_form(text))
    return found.cause.code if found.cause else ""


@pytest.mark.parametrize(("name", "expected"), OF_OTHERS.items())
def test_logs_that_others_made(name: str, expected: str) -> None:
    if not SHARED.is_dir():
        pytest.skip("needs console logs of others: ../shared/cases/azure-console-logs beside this checkout")
    found = diagnose((SHARED / f"{name}.log").read_bytes())
    assert (found.cause.code if found.cause else "") == expected


CAUSES = causes()


@pytest.mark.parametrize(("expected", "text"), CAUSES.values(), ids=CAUSES.keys())
def test_a_cause_is_named_with_its_lines_and_a_fix(expected: str, text: str) -> None:
    found = diagnose(in_azures_form(text))
    assert found.cause is not None and found.cause.code == expected, found
    assert found.cause.fix
    printed = " ".join(text.split())
    assert bool(found.cause.evidence) == (expected != "no-kernel-output"), "there is no line to show"
    assert all(" ".join(line.split())[:40] in printed.replace("\x1b", "") for line in found.cause.evidence)


SCARY = (
    "[    0.600554] ACPI BIOS Error (bug): Failure creating named object [\\_SB.PCI0.FDC0._STA], AE_ALREADY_EXISTS",
    "[    7.163605] Buffer I/O error on dev fd0, logical block 0, async page read",
    "[FAILED] Failed to start Holds Snappy daemon refresh.",
    "[   24.8] I/O error, dev sr0, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
    "[   30.0] cloud-init[402]: url_helper.py[WARNING]: Calling 'http://169.254.169.254/' failed [0/120s]: timed out",
    "[  OK  ] Finished File System Check on /dev/sda15.",
    "2025-11-11T07:03:41Z INFO Daemon Daemon Using cloud-init for provisioning",
    "modprobe: FATAL: Module floppy not found in directory /lib/modules/6.8.0",
)
DONE = (
    READY,
    "2025-11-11T07:03:42Z INFO Daemon Daemon Provisioning complete\n",
    "[    4.1] azure-provisioning[300]: Provisioned vm1 in 0.41 s: reported Ready\n",
)


@pytest.mark.parametrize("done", DONE)
def test_a_vm_that_was_provisioned_is_not_accused(done: str) -> None:
    found = diagnose(in_azures_form(up(*SCARY) + "\n" + done))
    assert found.cause is None and found.provisioned


def test_scary_lines_alone_accuse_nobody() -> None:
    quiet = (
        kernel()
        + "\n".join(line for line in SCARY if "cloud-init" not in line and "Daemon" not in line)
        + "\nteal login: "
    )
    found = diagnose(in_azures_form(quiet))
    assert found.cause is None and not found.provisioned
    assert any("azready boot" in note for note in found.notes)


EMERGENCY = CAUSES["data disk"][1]


def test_the_last_boot_counts() -> None:
    assert code(boots([EMERGENCY, up(login=False) + READY])) == ""
    assert code(boots([up(login=False) + READY, EMERGENCY])) == "fstab"
    assert code(boots([up("x", login=False) + READY + LOGIN, kernel() + "[  700.0] reboot: Restarting system\n"])) == ""


def test_a_boot_that_has_only_begun_does_not_hide_the_one_before() -> None:
    panic = kernel() + "[    3.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n"
    found = diagnose(in_azures_form(boots([panic, "[    0.000000] Linux version 6.8.0\n[    0.1] x86/fpu: x"])))
    assert found.cause and found.cause.code == "init-died" and "only begun" in found.notes[0]


def test_a_crash_kernel_is_no_boot_of_its_own() -> None:
    panic = kernel() + "[    3.1] Kernel panic - not syncing: Fatal exception\n"
    crash = kernel("root=UUID=1 elfcorehdr=0x2f000000 irqpoll nr_cpus=1") + "kdump: saving vmcore complete\n"
    assert len(boots_of(boots([panic, crash]))) == 1
    assert code(boots([panic, crash])) == "kernel-panic"


@pytest.mark.parametrize("cut", [5, 33, 140])
def test_a_log_whose_beginning_is_lost(cut: int) -> None:
    found = diagnose(in_azures_form(EMERGENCY, cut))
    assert found.cause and found.cause.code == "fstab"
    assert [boot.whole for boot in boots_of(text_of(in_azures_form(EMERGENCY, cut)))] == [False]


def test_forms_in_which_logs_are_kept() -> None:
    plain = in_azures_form(EMERGENCY)
    for raw in (
        EMERGENCY.encode("utf-16"),
        json.dumps(EMERGENCY).encode(),
        b"\xef\xbb\xbf" + plain,
        plain + b"\0" * 512,
        EMERGENCY.replace("\n", "\r\r\n").encode(),
    ):
        found = diagnose(raw)
        assert found.cause and found.cause.code == "fstab", raw[:40]


@pytest.mark.long
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_whatever_the_bytes_are_it_answers(raw: bytes) -> None:
    found = diagnose(raw)
    assert all(line.isprintable() for line in found.lines())
    json.loads(found.as_json())


@pytest.mark.long
def test_a_hostile_log_takes_no_time() -> None:
    """Regular expressions that go back and forth would not come to an end here."""
    raw = (b"(Network is unreachable 169.254 " * 100 + b"\n") * 200
    assert diagnose(raw).boots == 1


def run(*words: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "azready", "diagnose", *words], input=given, capture_output=True, check=False
    )


@pytest.mark.long
def test_the_verb(tmp_path: Path) -> None:
    log = tmp_path / "boot.log"
    log.write_bytes(in_azures_form(EMERGENCY))
    done = run(str(log))
    assert done.returncode == 1 and b"[fstab]" in done.stdout and b"fix: " in done.stdout and not done.stderr
    done = run("-", "-o", "json", given=in_azures_form(up(login=False) + READY))
    assert done.returncode == 0 and conforms("diagnose", done.stdout)["outcome"] == "provisioned"
    assert run().returncode == 2 and run("--vm", "x").returncode == 2 and run(str(tmp_path)).returncode == 2
    missing = run(str(tmp_path / "none"))
    assert missing.returncode in (2, 3) and b"Traceback" not in missing.stderr
