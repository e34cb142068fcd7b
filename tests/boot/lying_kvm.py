"""A KVM that is what a test wants it to be: a QEMU, first in PATH, that emulates where it is told to use KVM.

Run by itself it is that QEMU; `AZREADY_TEST_KVM` says how it lies. What QEMU does where KVM gives up, it does here by
a ROM of a few bytes that panics: it stops the guest, and says so in its monitor.
"""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NoReturn

PANIC = b"\xba\x05\x05\xb0\x01\xee\xf4"
"""mov $0x505,%dx; mov $1,%al; out %al,(%dx): a panic, for the device pvpanic."""
STUCK = b"\xeb\xfe"
STOPS = ("-device", "pvpanic", "-action", "panic=pause")


def install(folder: Path) -> Path:
    """Put it into a folder, for PATH, under QEMU's names."""
    folder.mkdir()
    for name in ("qemu-system-x86_64", "qemu-system-aarch64"):
        (folder / name).write_text(f"#!{sys.executable}\n{Path(__file__).read_text()}")
        (folder / name).chmod(0o755)
    return folder


def main(words: list[str], lie: str) -> None:
    program = f"/usr/bin/{Path(sys.argv[0]).name}"
    if lie.startswith("emulation hangs") and "-S" not in words:
        hung = Path(sys.argv[0]).with_name("hung")
        if lie != "emulation hangs once" or not hung.exists():
            hung.touch()
            words = [*words, "-S"]  # as silent, and costs no time
    if "kvm" not in words:
        os.execv(program, [program, *words])
    words = [{"kvm": "tcg", "host,-hypervisor": "max,-hypervisor"}.get(word, word) for word in words]
    firmware = any("pflash" in word for word in words)
    code = "-bios" in words
    if lie == "no support":
        sys.exit("qemu: -accel kvm: invalid accelerator kvm")
    if lie == "no permission":
        sys.exit(
            "Could not access KVM kernel module: Permission denied\nqemu: failed to initialize kvm: Permission denied"
        )
    if lie == "aborts":
        print("qemu: kvm_buf_set_msrs: Assertion `ret == cpu->kvm_msr_buf->nmsrs' failed.", file=sys.stderr)
        os.abort()
    if lie == "no life":
        time.sleep(1000)
    if lie == "runs nothing":
        words = _other_code(words, STUCK)
    if (lie == "stops at once") or (lie == "stops in firmware" and firmware) or (lie == "stops in BIOS" and not code):
        print("KVM internal error. Suberror: 1\nextra data[0]: 0x1\nemulation failure", file=sys.stderr, flush=True)
        words = _other_code(words, PANIC)
    if lie == "hangs in firmware" and firmware:
        words = _other_code(words, STUCK)
    booting = "-S" not in words
    if booting and lie.startswith("later: "):
        _run_on(program, words, lie.removeprefix("later: "))
    os.execv(program, [program, *words])


def _other_code(words: list[str], code: bytes) -> list[str]:
    """The same machine, whose first instructions are these."""
    rom = Path(tempfile.mkdtemp()) / "rom"
    rom.write_bytes(code.ljust(0xFFF0, b"\xf4") + b"\xe9\x0d\x00".ljust(16, b"\xf4"))
    gone = {
        at for at, word in enumerate(words) if word == "-bios" or (words[at + 1 : at + 2] and "pflash" in words[at + 1])
    }
    kept = [word for at, word in enumerate(words) if at not in gone and at - 1 not in gone]
    return [*kept, "-bios", str(rom), *STOPS]


def _run_on(program: str, words: list[str], how: str) -> NoReturn:
    """Run it for real, and let it die when the guest's console shows the word KVM_DIES or the kernel."""
    import subprocess

    bound = ("setpriv", "--pdeathsig", "KILL", "--")  # it ends with us, who are ended from outside
    process = subprocess.Popen([*bound, program, *words], stdout=subprocess.PIPE, pass_fds=_open_files())
    assert process.stdout is not None
    seen = b""
    while data := os.read(process.stdout.fileno(), 4096):
        os.write(1, data)
        seen = seen[-200:] + data
        if b"Linux version" in seen:
            _die(process.pid, how)
            seen = b""
    sys.exit(process.wait())


def _die(pid: int, how: str) -> None:
    if how == "crash":
        print("error: kvm run failed Bad address", file=sys.stderr, flush=True)
        os.kill(pid, 6)
    elif how == "stops":
        os.kill(pid, 19)
    elif how == "stands still":
        print("KVM internal error. Suberror: 3", file=sys.stderr, flush=True)
        threading.Thread(target=lambda: os.kill(pid, 19)).start()


def _open_files() -> list[int]:
    return [int(link.name) for link in Path("/proc/self/fd").iterdir() if int(link.name) > 2]


if __name__ == "__main__":
    main(sys.argv[1:], os.environ.get("AZREADY_TEST_KVM", ""))
