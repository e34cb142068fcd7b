"""Serial console logs in Azure's form, put together from what kernels, boot loaders and agents print."""

import re
from collections.abc import Sequence
from pathlib import Path

_KERNEL = """\
[    0.000000] Linux version 6.8.0-1041-azure (buildd@host) #47 SMP
[    0.000001] Command line: BOOT_IMAGE=/boot/vmlinuz {arguments}
[    0.220419] DMI: Microsoft Corporation Virtual Machine/Virtual Machine, BIOS Hyper-V UEFI Release v4.1
[    0.227563] Hypervisor detected: Microsoft Hyper-V
[    0.918637] hv_vmbus: Vmbus version:5.3
"""
_SCSI = """\
[    0.953685] hv_vmbus: registering driver hv_storvsc
[    1.018794] sd 0:0:0:0: [sda] 62914560 512-byte logical blocks: (32.2 GB/30.0 GiB)
[    1.043851]  sda: sda1 sda14 sda15
"""
_NVME = """\
[    1.208154] nvme nvme0: pci function 15c4:00:00.0
[    1.252486]  nvme0n1: p1 p14 p15
"""
_SYSTEMD = """\
[    3.102231] systemd[1]: Detected virtualization microsoft.

Welcome to \x1b[1mUbuntu 24.04 LTS\x1b[0m!

[\x1b[0;32m  OK  \x1b[0m] Reached target Swap.
[\x1b[0;32m  OK  [    3.248229] \x1b[0m] Listening on udev Kernel Socket.
hv_balloon: Using Dynamic Memory protocol version 2.0
[\x1b[0;32m  OK  \x1b[0m] Started Journal Service.
[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mLocal File Systems\x1b[0m.
[\x1b[0;32m  OK  \x1b[0m] Reached target Network is Online.
[\x1b[0;32m  OK  \x1b[0m] Started ssh.service - OpenBSD Secure Shell server.
"""
LOGIN = """\
[\x1b[0;32m  OK  \x1b[0m] Reached target multi-user.target - Multi-User System.

Ubuntu 24.04 LTS teal ttyS0

teal login: """
READY = (
    "[   25.1] cloud-init[1377]: Cloud-init v. 25.1 finished at Tue, 11 Nov 2025 07:03:44 +0000. "
    "Datasource DataSourceAzure [seed=/dev/sr0].  Up 25.02 seconds\n"
)


def kernel(arguments: str = "root=UUID=0d4f2a77 ro console=tty1 console=ttyS0", disk: str = "scsi") -> str:
    """A kernel that has started, with its disk (`scsi`, `nvme`) or none (``)."""
    return _KERNEL.format(arguments=arguments) + {"scsi": _SCSI, "nvme": _NVME, "": ""}[disk]


def up(*said: str, login: bool = True) -> str:
    """A boot to the login, with the lines that programs wrote on the way."""
    return kernel() + _SYSTEMD + "".join(f"{line}\n" for line in said) + (LOGIN if login else "")


def in_azures_form(text: str, cut: int = 0, ends: str = "\r\n") -> bytes:
    """The bytes of the log: CR LF, its first bytes lost."""
    return text.replace("\n", ends).encode()[cut:]


def boots(parts: Sequence[str]) -> str:
    """Several boots in one log."""
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def causes() -> dict[str, tuple[str, str]]:
    """The logs of causes.txt: name to the code of the cause, and the text."""
    text = Path(__file__).with_name("causes.txt").read_text()
    parts = re.split(r"^== (.+): (\S+), (.+)\n", text, flags=re.MULTILINE)[1:]
    rows = zip(parts[0::4], parts[1::4], parts[2::4], parts[3::4], strict=True)
    return {name: (code, _on_base(base, body)) for name, code, base, body in rows}


def _on_base(base: str, body: str) -> str:
    match base.split(" ", 2):
        case ["up" | "coming" as how]:
            return up(*body.splitlines(), login=how == "up")
        case ["kernel", disk]:
            return kernel(disk=disk.replace("none", "")) + body
        case ["kernel", disk, arguments]:
            return kernel(arguments, disk.replace("none", "")) + body
    return body
