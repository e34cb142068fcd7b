"""What a serial console tells: how far the boot came, what the guest's programs said, and that it is over.

Pure functions over console lines. The words are those of the Linux kernel, systemd, GRUB, dracut, initramfs-tools,
EDK II and SeaBIOS.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from azready.boot.record import ConsoleLine, JournalLine, Milestone

_MARKS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("kernel", re.compile(r"Linux version \d")),
    ("init", re.compile(r"systemd\[1\]: systemd .*running in system mode|as init process|INIT: version|OpenRC \d")),
    ("basic.target", re.compile(r"Reached target .*\b[Bb]asic( System|\.target)")),
    ("sshd", re.compile(r"Started .*(OpenBSD Secure Shell|OpenSSH|ssh[d]?\.service)|Server listening on")),
    ("multi-user", re.compile(r"Reached target .*([Mm]ulti-[Uu]ser|[Gg]raphical)|\blogin:( |$)")),
)

OVER: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("panic", re.compile(r"Kernel panic - not syncing")),
    ("emergency", re.compile(r"You are in emergency mode|Reached target .*[Ee]mergency|emergency shell")),
    (
        "initramfs",
        re.compile(r"^\(initramfs\)|dropping to a shell!|Dropping to debug shell|dracut:/#|Entering emergency mode"),
    ),
    (
        "boot loader",
        re.compile(r"grub rescue>|error: no such device|Missing operating system|Operating system not found"),
    ),
    (
        "firmware",
        re.compile(r"No bootable device|Boot failed: not a bootable disk|UEFI Interactive Shell|No bootable option"),
    ),
)
"""Console lines after which no guest comes to report anything."""

_SPOKEN = re.compile(r"^\[\s*\d+\.\d+\]\s+([A-Za-z][\w@.-]*)(?:\[\d+\])?: (.*)$")
_KERNEL_SPEAKERS = re.compile(
    r"^(ACPI|PCI|NET|SCSI|EXT4-fs|TCP|UDP|usb|pci|acpi|virtio.*|x86/.*|e820|efi|clocksource)$"
)


def milestones(lines: Iterable[ConsoleLine]) -> tuple[Milestone, ...]:
    """The points by which boots are compared, as far as the console shows them; the first time of each."""
    found: dict[str, float] = {}
    for line in lines:
        for name, pattern in _MARKS:
            if name not in found and pattern.search(line.text):
                found[name] = line.at
    return tuple(Milestone(name, at) for name, at in sorted(found.items(), key=lambda item: item[1]))


ENDED_IN = {"panic": "a panic", "emergency": "emergency mode"}
"""How an end of `OVER` is named in a sentence, where its name is not enough."""


def over(lines: Sequence[ConsoleLine]) -> tuple[str, ConsoleLine] | None:
    """Why nothing more will come from this guest, and the line that says so; None while it may still come up."""
    for line in lines:
        for name, pattern in OVER:
            if pattern.search(line.text):
                return name, line
    return None


SILENCE = 150.0
"""Seconds, longer than anything that services wait for by themselves: a network 120 s, a device 90 s."""


def idle(lines: Sequence[ConsoleLine], now: float, silence: float = SILENCE) -> tuple[float, float] | None:
    """When the boot was complete and when a line came last, of a guest from which nothing is to be expected any more.

    It has been silent for as long again as it took to come up: on a slow machine everything takes longer.
    """
    complete = next((stone.at for stone in milestones(lines) if stone.name == "multi-user"), None)
    if complete is None or now - lines[-1].at < max(silence, complete):
        return None
    return complete, lines[-1].at


def spoken(lines: Iterable[ConsoleLine]) -> Iterator[JournalLine]:
    """Lines that programs of the guest wrote to the console through the kernel's log or the journal."""
    for line in lines:
        said = _SPOKEN.match(line.text)
        if said and not _KERNEL_SPEAKERS.match(said[1]):
            yield JournalLine(line.at, said[1], said[2])
