"""KVM is believed when it has run a guest and the firmware; every other KVM is told, and the boot is emulated."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.qemu import command, trial
from azready.errors import Failure
from tests.boot import lying_kvm

Kvm = Callable[[str], None]


@pytest.fixture
def kvm(need: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kvm:
    """`kvm("stops at once")`: this machine's KVM from now on."""
    need("tool:qemu-system-x86_64")
    if os.uname().machine != "x86_64":
        pytest.skip("needs x86-64: a machine of that kind")
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(trial, "DEVICE", device)
    monkeypatch.setenv("PATH", f"{lying_kvm.install(tmp_path / 'bin')}:{os.environ['PATH']}")

    def choose(lie: str) -> None:
        monkeypatch.setenv("AZREADY_TEST_KVM", lie)
        trial._why_not_kvm.cache_clear()

    return choose


@pytest.mark.long
@pytest.mark.parametrize("firmware", ["uefi", "bios", None])
def test_a_kvm_that_runs_both_is_used(kvm: Kvm, firmware: command.Firmware | None) -> None:
    kvm("")
    assert trial.choose("auto", "x86_64", firmware).kind == "kvm"


@pytest.mark.long
@pytest.mark.parametrize(
    ("lie", "firmware", "why"),
    [
        ("no support", "uefi", "runs no guest: emulated (qemu: -accel kvm: invalid accelerator kvm)"),
        ("no permission", "uefi", "runs no guest: emulated (Could not access KVM kernel module: Permission denied"),
        ("aborts", "bios", "runs no guest: emulated (qemu: kvm_buf_set_msrs: Assertion"),
        ("stops at once", "bios", "runs no guest: emulated (KVM internal error. Suberror: 1"),
        ("runs nothing", "uefi", "runs no guest: emulated (within 2 s it did nothing)"),
        ("stops in firmware", "uefi", "does not run UEFI: emulated (KVM internal error. Suberror: 1"),
        ("stops in BIOS", "bios", "does not run the BIOS: emulated (KVM internal error. Suberror: 1"),
        ("stops in BIOS", None, "does not run the BIOS: emulated (KVM internal error. Suberror: 1"),
    ],
)
def test_a_kvm_that_lies_is_found_out_and_told(kvm: Kvm, lie: str, firmware: command.Firmware | None, why: str) -> None:
    kvm(lie)
    chosen = trial.choose("auto", "x86_64", firmware)
    assert chosen.kind == "tcg" and why in chosen.why
    with pytest.raises(Failure, match="KVM is offered here but") as told:
        trial.choose("kvm", "x86_64", firmware)
    assert told.value.exit_code == 3


@pytest.mark.long
@pytest.mark.parametrize("lie", ["no life", "hangs in firmware"])
def test_a_kvm_that_hangs_is_given_up(kvm: Kvm, lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_START", 3.0)
    monkeypatch.setattr(trial, "_FIRMWARE", 3.0)
    kvm(lie)
    assert "within 3 s it did nothing" in trial.choose("auto", "x86_64", "uefi").why


@pytest.mark.long
def test_a_firmware_that_hangs_is_no_matter_where_it_is_not_used(kvm: Kvm) -> None:
    kvm("hangs in firmware")
    assert trial.choose("auto", "x86_64", "bios").kind == "kvm"


@pytest.mark.long
def test_a_device_that_is_missing_or_closed_needs_no_trial(kvm: Kvm, monkeypatch: pytest.MonkeyPatch) -> None:
    kvm("")
    monkeypatch.setattr(trial, "DEVICE", Path("/dev/null/kvm"))
    with pytest.raises(Failure, match="offers no KVM"):
        trial.choose("kvm", "x86_64", "uefi")
    assert trial.choose("tcg", "x86_64", "uefi").why == "emulation was asked for"


@pytest.mark.parametrize(("mode", "group", "told"), [(0o660, 1, True), (0o600, 1, False), (0o660, 0, False)])
def test_who_may_join_the_group_of_kvm_is_told(
    kvm: Kvm, monkeypatch: pytest.MonkeyPatch, mode: int, group: int, told: bool
) -> None:
    kvm("")
    monkeypatch.setattr(os, "geteuid", lambda: 1234567)
    monkeypatch.setattr(os, "access", lambda path, how: False)
    monkeypatch.setattr(Path, "stat", lambda self: os.stat_result((mode, 0, 0, 0, 0, group, 0, 0, 0, 0)))
    monkeypatch.setattr(Path, "exists", lambda self: True)
    with pytest.raises(Failure) as raised:
        trial.choose("kvm", "x86_64", "uefi")
    assert ("sudo usermod -aG daemon 1234567" in raised.value.message) == told


def test_guests_of_another_processor_are_emulated(need: Callable[..., None]) -> None:
    need("tool:qemu-system-aarch64", "tool:qemu-system-x86_64")
    other: command.Architecture = "x86_64" if os.uname().machine == "aarch64" else "aarch64"
    chosen = trial.choose("auto", other, "uefi")
    assert (chosen.kind, chosen.slowness >= 1.0) == ("tcg", True) and f"{other} is not" in chosen.why


@pytest.mark.long
@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_the_trial_s_guest_speaks_and_counts(need: Callable[..., None], architecture: command.Architecture) -> None:
    need(f"tool:qemu-system-{architecture}")
    trial._slowness.cache_clear()
    assert 1.0 <= trial._slowness(architecture) < trial._SLOWEST
