"""What this machine does to a boot is told as such: a cause of its own, and no verdict. Each is done for real."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from azready.boot.container.tree import boot_tree
from azready.boot.qemu import disk, health, trial
from azready.boot.qemu.command import Bootable, Hardware
from azready.boot.qemu.disk import boot_disk
from azready.boot.qemu.monitor import Monitor
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.console import Console
from azready.errors import Failure
from azready.fabric import Machine
from tests.boot import lying_kvm, machines

TOOLS = ("root", "tool:mmdebstrap", "tool:zstd", "tool:busybox", "tool:qemu-system-x86_64", "tool:qemu-img")
WAITS = "echo here I am\nwhile true; do sleep 1; done\n"
WORKS = "echo here I am\nwhile true; do :; done\n"
ONCE = Plan(boots=1, login=False, deadline=600.0)  # what ends well is waited for, however busy this machine is
PATIENT = Plan(boots=1, login=False, deadline=3600.0)
"""Ended by the fault alone."""


@pytest.fixture
def qemu(need: Callable[..., None]) -> Callable[..., BootRecord]:
    """`qemu(script, plan, disturb)`: boot a guest that does `script`; `disturb(pid of QEMU)` once that runs."""
    need(*TOOLS)

    def boot(
        script: str, plan: Plan, disturb: Callable[[int], object] = lambda pid: None, **hardware: object
    ) -> BootRecord:
        disk = hardware.pop("disk", None)
        chosen = Hardware(**{"memory": 192, "accel": "tcg", **hardware})  # type: ignore[arg-type]
        guest = Bootable(kernel=machines.mini(script), hardware=chosen, disk=disk, format="raw")  # type: ignore[arg-type]
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(boot_disk, guest, Machine(), plan, target="mini")
            if pid := _child("qemu-system", running, "-name"):
                disturb(pid)
            return running.result()[0]

    return boot


def _child(name: str, running: "Future[tuple[BootRecord, ...]]", word: str = "") -> int:
    """A process that this one started, when it is there: its program is `name`, and one of its words is `word`."""
    while not running.done():
        for path in Path("/proc/self/task").glob("*/children"):
            for pid in map(int, path.read_text().split()):
                with contextlib.suppress(OSError):  # it ended meanwhile
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
                    if name in words[0] and (not word or word in words):
                        return pid
        time.sleep(0.05)
    return 0


def _is(record: BootRecord, code: str, evidence: str = "") -> None:
    assert record.cause is not None, record.headline
    assert record.cause.code == code and record.undecided and not record.passed, record.cause
    assert evidence in " ".join(record.cause.evidence), record.cause
    assert record.headline.startswith("No verdict: ")


# --- QEMU ---


@pytest.mark.long
@pytest.mark.parametrize("bus", ["virtio", pytest.param("nvme", marks=pytest.mark.slow)])
def test_a_full_scratch_disk(
    need: Callable[..., None], bus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(*TOOLS)
    cache, disk = tmp_path / "cache", tmp_path / "disk.raw"
    cache.mkdir()
    with disk.open("wb") as file:
        file.truncate(64 << 20)
    load = "for m in $(cat /modules/order); do insmod /modules/$m 2>/dev/null; done\n"
    script = f"{load}disk=$(ls /dev/vda /dev/nvme0n1 2>/dev/null)\ndd if=/dev/urandom of=$disk bs=1M; sync\n{WAITS}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", cache], check=True)
    try:
        real = machines.mini(script)  # made in the cache that has room
        assert real.initrd
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        guest = Bootable(
            kernel=real,
            disk=disk,
            format="raw",
            hardware=Hardware(memory=192, accel="tcg", bus=bus),  # type: ignore[arg-type]
        )
        (record,) = boot_disk(guest, Machine(), PATIENT, target="mini")
    finally:
        subprocess.run(["umount", "--lazy", cache], check=True)
    _is(record, "no-space")


def test_no_room_for_the_files_that_a_boot_begins_with(
    need: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(*TOOLS, "file:/usr/share/OVMF/OVMF_VARS_4M.fd")
    cache, disk = tmp_path / "cache", tmp_path / "disk.raw"
    cache.mkdir()
    disk.write_bytes(bytes(1 << 20))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", cache], check=True)
    try:
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        for size in (40, 0):  # the layer finds no room; nor does the folder itself
            guest = Bootable(firmware="bios", disk=disk, format="raw", size=1 << 20, hardware=Hardware(accel="tcg"))
            with (cache / f"fill{size}").open("wb") as file, contextlib.suppress(OSError):
                while os.statvfs(cache).f_bfree * 4 > size:
                    file.write(bytes(4096))
                    file.flush()
            with pytest.raises(Failure, match=r"\[no-space\]") as told:
                boot_disk(guest, Machine(), ONCE, target="empty")
            assert told.value.exit_code == 3 and "XDG_CACHE_HOME" in told.value.hint
    finally:
        subprocess.run(["umount", "--lazy", cache], check=True)


def test_no_memory_for_the_guest(qemu: Callable[..., BootRecord]) -> None:
    _is(qemu(WAITS, ONCE, memory=16_000_000), "no-memory", "llocate memory")


@pytest.mark.long
def test_a_machine_whose_memory_runs_out(qemu: Callable[..., BootRecord]) -> None:
    with _control_group("memory") as group:
        group.set({"memory.limit_in_bytes": 120 << 20}, {"memory.max": 120 << 20, "memory.swap.max": 0})
        record = qemu("dd if=/dev/zero of=/tmp/fill bs=1M count=150\n" + WAITS, PATIENT, group.take)
    _is(record, "no-memory", "killed by the kernel")


@pytest.mark.long
def test_a_guest_that_gets_no_processor(qemu: Callable[..., BootRecord]) -> None:
    with _control_group("cpu") as group:
        group.set({"cpu.cfs_period_us": 100_000, "cpu.cfs_quota_us": 5_000}, {"cpu.max": "5000 100000"})
        record = qemu(WORKS, Plan(boots=1, login=False, deadline=25.0), group.take)
    _is(record, "starved", "% of the time in which it could run")
    assert record.host.cpu_share < 0.5


def test_a_qemu_that_somebody_stops(qemu: Callable[..., BootRecord]) -> None:
    _is(qemu(WAITS, PATIENT, lambda pid: os.kill(pid, signal.SIGSTOP)), "qemu-stopped")


def test_a_qemu_that_somebody_kills(qemu: Callable[..., BootRecord]) -> None:
    _is(qemu(WAITS, PATIENT, lambda pid: os.kill(pid, signal.SIGKILL)), "qemu-died", "SIGKILL")


_BOOTED = """
import sys
from azready.boot.qemu.command import Bootable, Hardware
from azready.boot.qemu.disk import boot_disk
from azready.boot.series import Plan
from azready.console import Console
from azready.fabric import Machine
disk = {"disk": sys.argv[1], "format": "raw", "size": 1 << 20}
boot_disk(Bootable(firmware="bios", hardware=Hardware(accel="tcg"), **disk), Machine(), Plan(boots=1), target="empty")
"""


@pytest.mark.long
def test_a_machine_whose_loopback_is_down(need: Callable[..., None], tmp_path: Path) -> None:
    need(*TOOLS)
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    words = ["unshare", "--net", sys.executable, "-c", _BOOTED, str(disk)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert "Network is unreachable [no-loopback]" in done.stderr, done.stderr


class _Speaker:
    """The other end of a monitor: answers every command, or says nothing at all."""

    def __init__(self, answers: bool) -> None:
        self.ours, self._theirs = socket.socketpair()
        if answers:
            threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        with contextlib.suppress(OSError), self._theirs.makefile("rwb") as stream:
            for _ in stream:
                stream.write(b'{"return": {}}\n')
                stream.flush()


@pytest.mark.parametrize("accelerated", [False, True])
@pytest.mark.parametrize("answers", [False, True])
def test_a_qemu_that_does_not_answer_hangs(
    accelerated: bool, answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_ASK_EVERY", 0.0)
    with subprocess.Popen(["sleep", "1000"]) as process, Monitor(_Speaker(answers).ours, lambda *_: None) as monitor:
        looked = health.Health(process, monitor, tmp_path / "errors", tmp_path, accelerated)
        try:
            assert looked.trouble() is None
            since = monitor.heard
            if answers:
                while monitor.heard == since:  # asked again and again, it goes on answering
                    assert looked.trouble() is None
                return
            monitor.heard -= 2 * health._SPEECHLESS
            found = looked.trouble()
            assert found and found.blames == "host"
            assert found.code == ("kvm-failed" if accelerated else "qemu-hangs")
        finally:
            process.kill()


# --- KVM ---


@pytest.fixture
def kvm(need: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`kvm("later: crash")`: this machine's KVM, which passes its trial."""
    need(*TOOLS)
    if os.uname().machine != "x86_64":
        pytest.skip("needs x86-64: a machine of that kind")
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(trial, "DEVICE", device)
    monkeypatch.setenv("PATH", f"{lying_kvm.install(tmp_path / 'bin')}:{os.environ['PATH']}")
    trial._why_not_kvm.cache_clear()
    yield lambda lie: monkeypatch.setenv("AZREADY_TEST_KVM", lie)
    trial._why_not_kvm.cache_clear()


@pytest.mark.long
@pytest.mark.parametrize("lie", ["later: crash", pytest.param("later: stands still", marks=pytest.mark.slow)])
def test_a_kvm_that_dies_later_is_left_for_emulation(kvm: Callable[[str], None], lie: str) -> None:
    kvm(lie)
    script = f"{machines.NETWORK}{machines.REPORT}echo ready login:\nsleep 1\npoweroff -f\n"
    guest = Bootable(kernel=machines.mini(script), hardware=Hardware(memory=192))
    (record,) = boot_disk(guest, Machine(), ONCE, target="mini")
    assert record.passed and record.how == "qemu/tcg/kernel", record.cause
    assert "KVM ran a trial guest and its firmware, but" in record.host.why and "emulated" in record.host.why


@pytest.mark.long
def test_a_kvm_that_dies_later_and_is_insisted_on_is_no_verdict(kvm: Callable[[str], None]) -> None:
    kvm("later: crash")
    guest = Bootable(kernel=machines.mini(WAITS), hardware=Hardware(memory=192, accel="kvm"))
    (record,) = boot_disk(guest, Machine(), PATIENT, target="mini")
    _is(record, "kvm-failed", "kvm run failed")


# --- emulation ---


@pytest.mark.slow
def test_an_emulator_that_hangs_before_the_first_word_boots_it_once_more(
    kvm: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kvm("emulation hangs once")
    monkeypatch.setattr(disk, "_FIRST_WORD", 20.0)
    script = f"{machines.NETWORK}{machines.REPORT}echo ready login:\nsleep 1\npoweroff -f\n"
    guest = Bootable(kernel=machines.mini(script), hardware=Hardware(memory=192, accel="tcg"))
    (record,) = boot_disk(guest, Machine(), ONCE, Console(), target="mini")
    assert record.passed, record.cause
    assert "the emulated machine said nothing" in capsys.readouterr().err


@pytest.mark.long
def test_an_emulator_that_hangs_twice_is_no_verdict(
    kvm: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    kvm("emulation hangs")
    monkeypatch.setattr(disk, "_FIRST_WORD", 1.0)
    guest = Bootable(kernel=machines.mini(WAITS), hardware=Hardware(memory=192, accel="tcg"))
    (record,) = boot_disk(guest, Machine(), ONCE, target="mini")
    _is(record, "emulator-hangs", "")


# --- containers ---


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_container_whose_supervisor_dies(debian_base: Callable[..., Path], how: signal.Signals) -> None:
    silent = "/bin/sh -c 'echo here; while :; do sleep 1; done'"
    plan = Plan(boots=1, login=False, deadline=3600.0, init=silent)
    tree = debian_base("bookworm", "python3-minimal")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(boot_tree, tree, Machine(), plan)
        while not (pid := _supervisor()):
            time.sleep(0.05)
        os.kill(pid, how)
        try:
            record = running.result()[0]
        except Failure as failure:  # it died before the guest was there
            assert "namespaces" in failure.message
            return
        finally:
            while Path(f"/proc/{pid}").exists():  # it ends with its parents, a moment after them
                time.sleep(0.05)
    _is(record, "supervisor-died")


def _supervisor() -> int:
    """PID 1 of the fabric's process namespace, among those that this process started, when its guest is there."""
    below = [pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
    found = 0
    for pid in below:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            below += Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            numbers = status.partition("NSpid:")[2].splitlines()[0].split()
            if len(numbers) == 2 and numbers[-1] == "1":
                found = int(pid)
            elif len(numbers) == 3 and found:
                return found
    return 0


# --- control groups ---


class _control_group:
    """A control group of one controller, of either version, for the time of a block."""

    def __init__(self, controller: str) -> None:
        first = Path("/sys/fs/cgroup", controller)
        second = Path("/sys/fs/cgroup/cgroup.controllers")
        self._second = second.exists() and controller in second.read_text().split()
        if os.geteuid() != 0 or not (self._second or first.is_dir()):
            pytest.skip(f"needs a control group with {controller}: sudo make test, on a machine that has it")
        root = Path("/sys/fs/cgroup") if self._second else first
        self.path = root / f"azready-test-{os.getpid()}-{threading.get_ident()}"
        if self._second:
            (root / "cgroup.subtree_control").write_text(f"+{controller}")

    def __enter__(self) -> "_control_group":
        self.path.mkdir()
        return self

    def __exit__(self, *about: object) -> None:
        for _ in range(100):
            try:
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.05)

    def set(self, first: dict[str, object], second: dict[str, object]) -> None:
        for name, value in (second if self._second else first).items():
            if (self.path / name).exists():
                (self.path / name).write_text(str(value))

    def take(self, pid: int) -> None:
        (self.path / "cgroup.procs").write_text(str(pid))
