"""`azready boot DISK` as its users run it, on a whole disk of 48 MiB: boot code, kernel, and an agent that remembers.

The agent keeps the id of the VM that it provisioned on the disk, and reports only where it finds another there. Every
bus is one test's: the disk is read by firmware, loader and (but for SATA) the kernel.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azready.fabric.machine import Machine
from tests.boot import machines
from tests.boot.test_rootless import AsUser, as_user, home

__all__ = ["as_user", "home"]

NEEDS = ("root", "tool:mmdebstrap", "tool:zstd", "tool:busybox", "tool:qemu-system-x86_64", "tool:qemu-img")
AGENT = f"""{machines.NETWORK}
cat /sys/class/net/*/address
disk=$(ls /sys/block | grep -E '^(vd|sd|nvme)')
echo "disk: $disk"
id=$(cat /sys/class/dmi/id/product_uuid)
known=$(dd if=/dev/$disk bs=36 skip=1024 count=1 2>/dev/null)
if [ "$known" != "$id" ]; then
    {machines.REPORT.replace("agent-name:mini", "agent-name:azure-provisioning-mini")}
    [ -s /tmp/goal ] && printf %s "$id" | dd of=/dev/$disk bs=36 seek=1024 conv=notrunc,fsync 2>/dev/null
fi
"""
SECOND_NIC = "00:0d:3a:6e:00:99"


@pytest.fixture
def disk(need: Callable[..., None], tmp_path: Path) -> Callable[..., Path]:
    """`disk(ending, before)`: the disk; what its init does at the end, and when the agent is through."""
    need(*NEEDS, "tool:syslinux", "tool:mcopy")

    def make(ending: str, before: str = "") -> Path:
        made = tmp_path / "mini.raw"
        machines.mini_disk(made, tmp_path, f"{AGENT}{before}\necho ready login:\n{ending}\n")
        return made

    return make


def _words(disk: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "azready", "boot", str(disk), "--no-ssh-check", "--memory", "256", *words]


def _boot(disk: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_words(disk, *words), capture_output=True, text=True, timeout=500, check=False)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_second_boot_is_silent_and_a_copy_is_a_new_vm(disk: Callable[..., Path], tmp_path: Path) -> None:
    base, page, console = disk("poweroff -f"), tmp_path / "page.html", tmp_path / "console.txt"
    image = tmp_path / "over, it.qcow2"  # a chain, which azready reads and tells QEMU of
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base.name, "-F", "raw", image], check=True)
    before = _sha256(image), _sha256(base)
    kept = ("--report", str(page), "--console", str(console))
    done = _boot(image, "--bus", "nvme", "--recapture", "--output", "json", *kept)
    assert done.returncode == 0, done.stdout + done.stderr
    table = json.loads(done.stdout)
    outcomes = [boot["headline"].partition(" after")[0] for boot in table["boots"]]
    assert outcomes == ["Provisioned: Ready", "Silent, as it should be: nothing was reported again", outcomes[0]]
    first, second, copy = (dict(boot["machine"])["vm_id"] for boot in table["boots"])
    assert first == second != copy
    assert console.read_text().count("disk: nvme0n1") == 3 and "First boot of a copy, as a new VM" in page.read_text()
    assert (_sha256(image), _sha256(base)) == before, "the disk is never written to"


@pytest.mark.slow
def test_a_platform_that_misbehaves_in_the_first_boot_only(disk: Callable[..., Path], tmp_path: Path) -> None:
    image, console = disk("poweroff -f"), tmp_path / "console.txt"
    done = _boot(image, "--bus", "scsi", "--scenario", "goalstate-never", "--heal", "--console", str(console))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✘ OSProvisioningTimedOut" in done.stdout and "✔ Provisioned: Ready after" in done.stdout
    assert done.stdout.count("faults in force") == 1 and console.read_text().count("disk: sda") == 2


@pytest.fixture
def kept(disk: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a boot that stays up, as a terminal does: in a process group that gets Ctrl-C as a whole."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
        # The kernels and modules of `disk` are cached elsewhere: it is made before.
        process = subprocess.Popen(
            _words(disk("while :; do sleep 1; done"), "--keep", *words),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.long
def test_it_stays_up_and_ctrl_c_leaves_nothing_behind(
    kept: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = kept("--boots", "1")
    assert process.stderr is not None
    said = ""
    while "log in:" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    assert "Provisioned: Ready after" in said and "Ctrl-C ends it" in said
    assert "azureuser@127.0.0.1" in said and "ssh -F /dev/null" in said
    assert _group(process.pid) > {process.pid}, "QEMU runs"
    os.killpg(process.pid, signal.SIGINT)
    out, rest = process.communicate(timeout=60)
    assert process.returncode == 0, out + rest
    assert "✔ Provisioned: Ready after" in out
    assert _group(process.pid) == set(), "no process stays"
    assert list((tmp_path / "cache/azready/machines").iterdir()) == []
    assert not list(tmp_path.glob("azready-key-*")), "no key stays"


def _group(leader: int) -> set[int]:
    """The processes of a group."""
    found = set()
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = each.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            found.add(int(each.parent.name))
    return found


@pytest.mark.slow
def test_two_nics_and_all_of_azures_dhcp(disk: Callable[..., Path], need: Callable[..., None], tmp_path: Path) -> None:
    need("tool:nsenter")
    machine = tmp_path / "machine.toml"
    machine.write_text(f'secondary_nics = [["{SECOND_NIC}", "10.1.0.9"]]\n')
    second = "ip link set eth1 up; udhcpc -q -n -f -i eth1 -s /lease -t 10 -T 1; ip -4 -o addr show eth1"
    done = _boot(
        disk("poweroff -f", second),
        "--bus",
        "sata",
        "--dhcp-options",
        "--boots",
        "1",
        "--recapture",
        "--machine",
        str(machine),
        "--output",
        "json",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, copy = ([line["text"] for line in boot["console"]] for boot in json.loads(done.stdout)["boots"])
    assert {Machine().mac, SECOND_NIC} <= set(first)
    assert any("inet 10.1.0.9" in line for line in first) and "lease: a83f8110" in first
    assert not {Machine().mac, SECOND_NIC} & set(copy), "a new VM has new NICs"
    assert any("inet 10.1.0.9" in line for line in copy)
    assert "disk:" in first, "Debian's kernel for clouds has no driver of SATA; firmware and loader need none"


@pytest.mark.slow
def test_an_ordinary_user_boots_a_disk(disk: Callable[..., Path], as_user: AsUser, home: Path) -> None:
    image = home / "mini.raw"
    disk("poweroff -f").replace(image)
    image.chmod(0o444)
    done = as_user("-m", "azready", *_words(image)[3:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✔ Provisioned: Ready after" in done.stdout and "✔ Silent" in done.stdout
    assert list((home / ".cache/azready/machines").iterdir()) == [], "nothing stays"
