"""The QEMU command, packets and consoles as values; a mini kernel and whole disks for real."""

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.boot.compare import compare, worse
from azready.boot.drawing.page import page
from azready.boot.qemu import command, packets
from azready.boot.qemu.command import (
    Bootable,
    Hardware,
    Pflash,
    Taps,
    UserNetwork,
)
from azready.boot.qemu.disk import boot_disk
from azready.boot.record import ConsoleLine
from azready.boot.series import Plan
from azready.boot.watching import serial
from azready.fabric import Fault, Machine
from azready.fabric.ledger import Exchange, Finding
from azready.fabric.machine import ASSET_TAG
from azready.pipelines import bootdisk
from tests.boot import arm64, machines
from tests.boot.test_diagnose import _silent

VM_ID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


def _words(guest: Bootable, machine: Machine, **choices: object) -> list[str]:
    net = choices.pop("net", UserNetwork((), 2222))
    paths = {"medium": Path("/m.iso"), "pflash": None, "control": 3} | choices
    return command.command(guest, machine, net, **paths)  # type: ignore[arg-type]


def test_firmware_tables_are_those_of_azure() -> None:
    second = " ".join(_words(Bootable(disk=Path("/d")), Machine(vm_id=VM_ID)))
    assert f"asset={ASSET_TAG}" in second and f"uuid={VM_ID}" in second and "version=Hyper-V UEFI" in second
    first = " ".join(_words(Bootable(firmware="bios", disk=Path("/d")), Machine(vm_id=VM_ID, generation=1)))
    assert "uuid=3d2c1b0a-5f4e-7160-8293-a4b5c6d7e8f9" in first, "Generation 1 swaps the first three fields"
    assert "-machine pc " in first and "-machine q35 " in second


def test_nothing_leads_out_and_the_medium_can_be_gone() -> None:
    words = _words(Bootable(disk=Path("/d")), Machine())
    (net,) = [word for word in words if word.startswith("user,")]
    assert "restart" not in net and "restrict=on" in net and "hostfwd=tcp:127.0.0.1:2222-:22" in net
    assert any("file=/m.iso" in word for word in words)
    empty = _words(Bootable(disk=Path("/d")), Machine(), medium=None)
    assert not any("media=cdrom" in word for word in empty) and any(word.startswith("scsi-cd") for word in empty)


def test_the_clock_may_be_ahead() -> None:
    assert "-rtc" not in _words(Bootable(disk=Path("/d")), Machine())
    words = _words(Bootable(disk=Path("/d")), Machine(), clock=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert words[words.index("-rtc") + 1] == "base=2026-01-02T03:04:05"


def test_random_bytes_come_as_hyper_v_gives_them_where_qemu_can() -> None:
    words = _words(Bootable(disk=Path("/d")), Machine(), entropy=Path("/e"))
    assert words[words.index("-acpitable") + 1] == "sig=OEM0,data=/e"
    assert "-acpitable" not in _words(Bootable(architecture="aarch64", disk=Path("/d")), Machine(), entropy=Path("/e"))


def test_paths_with_commas_stay_one_value() -> None:
    words = _words(Bootable(disk=Path("/a,b")), Machine(), pflash=Pflash(Path("/x,y"), Path("/v")))
    assert any("file=/a,,b" in word for word in words) and any("file=/x,,y" in word for word in words)


def test_every_nic_has_its_tap() -> None:
    machine = Machine(secondary_nics=(("00:0d:3a:6e:00:99", "10.1.0.9"),))
    words = _words(Bootable(disk=Path("/d")), machine, net=Taps(("tap0", "tap1")))
    nics = [word for word in words if word.startswith("virtio-net-pci")]
    assert [f"mac={machine.mac}" in nics[0], "mac=00:0d:3a:6e:00:99" in nics[1]] == [True, True]


def test_arm64_is_another_machine() -> None:
    words = _words(Bootable(architecture="aarch64", disk=Path("/d")), Machine())
    assert words[0] == "qemu-system-aarch64" and "virt" in words


def _frame(kind: int, name: bytes = b"", address: bytes = bytes(4)) -> bytes:
    message = bytearray(240)
    message[0], message[2] = 2 if any(address) else 1, 6
    message[16:20], message[28:34], message[236:240] = address, bytes.fromhex("000d3a6e0001"), b"\x63\x82\x53\x63"
    options = bytes([53, 1, kind]) + (bytes([12, len(name)]) + name if name else b"") + b"\xff"
    ports = struct.pack(">HHHH", 68, 67, 8 + 240 + len(options), 0)
    ip = bytes([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17]) + bytes(10)
    return bytes(12) + b"\x08\x00" + ip + ports + bytes(message) + options


def test_dhcp_is_read_from_packets_in_any_pieces() -> None:
    frames = [_frame(1, b"debian"), _frame(2, address=bytes([10, 1, 0, 4])), _frame(5, address=bytes([10, 1, 0, 4]))]
    stream = bytes(24) + b"".join(struct.pack("<IIII", 0, 0, len(each), len(each)) + each for each in frames)
    cutter = packets.Frames()
    cut = [frame for byte in stream for frame in cutter.feed(bytes([byte]))]
    assert cut == frames
    seen = [entry for frame in cut for entry in packets.entries(frame, 1.0, Machine(name="web"))]
    kinds = [(entry.method, entry.target, entry.status) for entry in seen if isinstance(entry, Exchange)]
    mac = "00:0d:3a:6e:00:01"
    assert kinds == [("DHCPDISCOVER", mac, None), ("DHCPOFFER", "10.1.0.4", 200), ("DHCPACK", "10.1.0.4", 200)]
    assert [entry.code for entry in seen if isinstance(entry, Finding)] == ["dhcp-hostname"]


@given(st.binary(max_size=400))
def test_no_packet_upsets_the_reader(data: bytes) -> None:
    packets.entries(bytes(12) + b"\x08\x00" + data, 0.0, Machine())
    packets.entries(_frame(1)[:282] + data, 0.0, Machine())


def test_a_console_tells_how_far_the_boot_came() -> None:
    lines = (
        ConsoleLine(1.0, "[    0.000000] Linux version 6.1.0-cloud"),
        ConsoleLine(3.0, "[    2.1] systemd[1]: systemd 252 running in system mode"),
        ConsoleLine(7.0, "[  OK  ] Reached target basic.target - Basic System."),
        ConsoleLine(9.0, "debian login: [   8.1] azure-provisioning[251]: user: made"),
    )
    assert [stone.name for stone in serial.milestones(lines)] == ["kernel", "init", "basic.target", "multi-user"]
    assert serial.over(lines) is None
    assert serial.over((*lines, ConsoleLine(10.0, "Kernel panic - not syncing: VFS")))[0] == "panic"  # type: ignore[index]


def test_a_guest_that_is_silent_long_after_its_boot_is_given_up() -> None:
    up = (ConsoleLine(1.0, "Linux version 6.1.0"), ConsoleLine(20.0, "debian login: "))
    assert serial.idle(up, 169.0) is None and serial.idle(up, 170.0) == (20.0, 20.0)
    spoke = (*up, ConsoleLine(100.0, "[   99.1] site[7]: still at work"))
    assert serial.idle(spoke, 249.0) is None and serial.idle(spoke, 250.0) == (20.0, 100.0)
    slow = (ConsoleLine(1.0, "Linux version 6.1.0"), ConsoleLine(400.0, "debian login: "))
    assert serial.idle(slow, 799.0) is None and serial.idle(slow, 800.0), "a slow machine is slow in everything"
    assert serial.idle(up[:1], 10_000.0) is None and serial.idle((), 10.0) is None


def test_a_page_holds_the_verdict_first_and_nothing_from_elsewhere() -> None:
    record = _silent()
    text = page((record,))
    assert text.index("does not provision") < text.index("OSProvisioningTimedOut")
    assert "http://" not in text.replace("http://1", "") and "<script" not in text and "src=" not in text
    assert "&lt;b&gt;" in page((_with_console(record, "<b>"),)), "what a guest writes is text, never markup"


def _with_console(record, text: str):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(record, console=(ConsoleLine(1.0, text),))


def test_two_boots_compare() -> None:
    from dataclasses import replace

    record = _silent()
    slower = replace(record, findings=(Finding(1.0, "imds-header", "error", "no Metadata header"),))
    assert not worse(compare((record,), (record,)))
    rows = compare((record,), (slower,))
    assert worse(rows) and any(row.what == "imds-header" for row in rows)
    assert worse(compare((record,), ()))


# --- for real ---

TOOLS = ("root", "tool:mmdebstrap", "tool:zstd", "tool:busybox", "tool:qemu-system-x86_64", "tool:qemu-img")


@pytest.mark.long
@pytest.mark.parametrize("network", ["user", "tap"])
def test_a_real_kernel_is_provisioned(need: Callable[..., None], network: str) -> None:
    need(*TOOLS, "tool:nsenter")
    look = "cat /sys/class/dmi/id/chassis_asset_tag; mount -t udf -o ro /dev/sr0 /cd && grep -c Section /cd/ovf-env.xml"
    script = f"{machines.NETWORK}{machines.REPORT}mkdir /cd\n{look}\ndate -u +day:%F\n"
    script += "echo ready login:\nsleep 1\npoweroff -f\n"
    guest = Bootable(kernel=machines.mini(script), hardware=Hardware(memory=256, network=network))  # type: ignore[arg-type]
    ahead = Fault(service="clock", jump=10 * 86400.0)
    plan = Plan(boots=1, login=False, deadline=300.0, faults=(ahead,))  # before pytest ends it, with no console to see
    days = {f"day:{datetime.now(UTC) + timedelta(days=10, minutes=later):%F}" for later in (0, 5)}
    (record,) = boot_disk(guest, Machine(), plan, target="mini")
    said = [line.text for line in record.console]
    assert record.verdict.provisioned, said[-20:]
    assert ASSET_TAG in said and any(line.isdigit() for line in said)
    assert days & set(said), "the clock is ten days ahead"
    assert any(exchange.method == "DHCPACK" for exchange in record.exchanges)
    assert ("lease: a83f8110" in said) == (network == "tap"), "option 245 comes with the whole DHCP only"


@pytest.mark.long
def test_an_interrupted_boot_leaves_nothing_behind(need: Callable[..., None], tmp_path: Path) -> None:
    need("root", "tool:qemu-system-x86_64", "tool:qemu-img", "tool:sfdisk")
    disk, cache = tmp_path / "disk.raw", tmp_path / "cache"
    machines.make_table(disk, 64 << 20, "label: dos\nsize=32M, bootable\n")
    with disk.open("r+b") as file:
        file.write(b"\xeb\xfe")  # a jump to itself
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    for ending in (signal.SIGTERM, signal.SIGKILL):
        words = [sys.executable, "-m", "azready", "boot", str(disk), "--boots", "1"]
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        folder = cache / "azready/machines"
        _until(lambda folder=folder: _qemus(folder) == 1)  # type: ignore[misc]
        process.send_signal(ending)
        process.wait(120)
        _until(lambda folder=folder: _qemus(folder) == 0)  # type: ignore[misc]
        left = list(folder.iterdir())
        assert len(left) == (ending == signal.SIGKILL), "a killed azready's folder is removed by the next"
    again = subprocess.run([*words, "--deadline", "1"], env=environment, capture_output=True, check=False)
    assert again.returncode in (1, 3) and list(folder.iterdir()) == []  # 3: in a second a busy machine ran nothing


def _qemus(folder: Path) -> int:
    found = 0
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += each.read_bytes().startswith(b"qemu-system") and str(folder).encode() in each.read_bytes()
        except OSError:
            continue
    return found


def _until(condition: Callable[[], bool], patience: float = 30.0) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_arm64_disk_boots_by_its_firmware(need: Callable[..., None], tmp_path: Path) -> None:
    need(*TOOLS, "tool:qemu-system-aarch64", "tool:mcopy", "tool:ssh")
    disk = tmp_path / "disk.raw"
    words = [sys.executable, "-m", "azready", "prepare", str(arm64.disk()), "--to", str(disk)]
    prepared = subprocess.run(words, check=True, capture_output=True, text=True)
    assert "it is for another architecture" in prepared.stderr, "only the bytecode of the guest program is left out"
    (record,) = bootdisk.boot(disk, Machine(), Plan(boots=1, deadline=600.0))
    assert record.passed, record.headline
    assert record.how.endswith("/uefi/aarch64")
    assert {check.name for check in record.checks} >= {"ssh login", "host name", "sudo", "unit is off"}
    assert any(exchange.method == "EJECT" for exchange in record.exchanges)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_generation_1_disk_boots_by_bios(need: Callable[..., None], tmp_path: Path) -> None:
    need(*TOOLS, "tool:syslinux", "tool:mcopy", "tool:ssh")
    disk = tmp_path / "disk.raw"
    words = [sys.executable, "-m", "azready", "prepare", str(machines.debian_disk(1)), "--to", str(disk)]
    subprocess.run(words, check=True, capture_output=True)
    before = disk.stat().st_mtime_ns
    (record,) = bootdisk.boot(disk, Machine(), Plan(boots=1, deadline=300.0))
    assert record.passed, record.headline
    assert record.how.endswith("bios") and record.machine.generation == 1
    assert {check.name for check in record.checks} >= {"ssh login", "host name", "sudo", "unit is off"}
    assert any(exchange.method == "EJECT" for exchange in record.exchanges), "udev had locked the drive"
    assert any("entropy: credited 256 bits" in line.text for line in record.journal)
    assert disk.stat().st_mtime_ns == before, "the disk is never written to"
