"""A serial console log of a VM, as boot diagnostics gives it, taken apart: bytes in, boots out. Pure; never raises.

Azure keeps the last megabyte or so of ttyS0: the first line may be half a line, several boots follow each other, escape
codes and spinners of systemd are in it, and two writers share a line (a kernel message in the middle of a status line).
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

LARGEST = 16 * 1024 * 1024
"""Bytes of a log that are looked at, from its end: Azure keeps far less."""
_LONGEST = 4000
"""Characters of a line that are looked at."""

_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[()#][0-9A-Za-z]|[@-Z\\^_=>78c])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STAMP = re.compile(r"\[ {0,7}\d{1,7}\.\d{6}\](?:\[ *[TC]\d+\])? ?")


@dataclass(frozen=True)
class Boot:
    """The lines of one boot, without escape codes, empty lines and the kernel's time stamps."""

    lines: tuple[str, ...]
    whole: bool = True
    """Whether the log holds its beginning."""

    def find(self, pattern: str, flags: re.RegexFlag = re.RegexFlag(0), limit: int = 3) -> tuple[str, ...]:
        """The first lines in which the pattern is found, each text once."""
        expression, found = re.compile(pattern, flags), dict[str, None]()
        for line in self.lines:
            if expression.search(line):
                found[line] = None
                if len(found) == limit:
                    break
        return tuple(found)

    def has(self, pattern: str, flags: re.RegexFlag = re.RegexFlag(0)) -> bool:
        return bool(self.find(pattern, flags, 1))

    def last(self, pattern: str) -> int:
        """The number of the last line in which the pattern is found; -1 for none."""
        expression = re.compile(pattern)
        return next((n for n in range(len(self.lines) - 1, -1, -1) if expression.search(self.lines[n])), -1)

    @cached_property
    def command_line(self) -> str:
        """The kernel's command line, as the kernel printed it; empty when the log does not have it."""
        for line in self.lines:
            if match := re.search(r"(?:^|\b)(?:Kernel )?[Cc]ommand line: (.*)", line):
                return match[1]
        return ""

    @cached_property
    def has_kernel(self) -> bool:
        """Whether a kernel wrote something."""
        return self.has(r"^Linux version \d|Hypervisor detected|hv_vmbus|Run /\S+ as init|systemd\[1\]|printk: ")


_KERNEL = re.compile(r"(?:\[ *[0-4]\.\d+\](?:\[ *[TC]\d+\])? )?Linux version \d")
_RUNNING = re.compile(r"\[ *(?:[1-9]\d*\.\d|0\.\d*[1-9])")
_LOADER = re.compile(
    r"BdsDxe: (?:loading|failed to load|No bootable)|^SeaBIOS |^\s*Booting `|GNU GRUB +version|^GRUB loading|"
    r"^Welcome to GRUB|EFI stub: |^Booting from Hard Disk|systemd-boot"
)
_BEGINS = re.compile(r"^Linux version \d|^Booting Linux on physical CPU|" + _LOADER.pattern)


def text_of(raw: bytes) -> str:
    """The log as text: UTF-8, or UTF-16 as PowerShell's `>` writes it, or the JSON string that an API answered."""
    raw = raw[-LARGEST:] if not raw.startswith((b"\xff\xfe", b"\xfe\xff")) else raw[:LARGEST]
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = raw.decode("utf-16", errors="replace")
    else:
        text = raw.decode("utf-8-sig", errors="replace")
    if text.count("\n") < 5 and text.count("\\n") > 5:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text.replace("\\r", "").replace("\\n", "\n").replace("\\u001b", "\x1b").replace("\\t", " ")
        text = value if isinstance(value, str) else text
    return text


def lines_of(text: str) -> Iterator[str]:
    """The lines that say something, without escape codes; time stamps only where they begin a line."""
    for line in re.split(r"\r*\n|\r+", text):
        clean = _printable(_CONTROL.sub("", _ESCAPE.sub("", line[:_LONGEST])).strip())
        if clean:
            yield clean


def _printable(text: str) -> str:
    """What a guest wrote must not move the cursor of whoever reads about it."""
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text).strip()


def boots_of(text: str) -> tuple[Boot, ...]:
    """The boots of a log, oldest first. A crash kernel (kdump) belongs to the boot that crashed."""
    found = [boot for boot in _cut(text) if boot]
    whole = bool(found) and any(_BEGINS.search(line) for line in found[0][:3])
    return tuple(_with_crash_kernels([Boot(tuple(lines), whole or n > 0) for n, lines in enumerate(found)]))


def _cut(text: str) -> list[list[str]]:
    """The lines of each boot: one begins where a kernel or a boot loader does, and there was one before."""
    boots: list[list[str]] = [[]]
    kernel = loader = False
    for line in lines_of(text):
        bare = _STAMP.sub("", line).strip()
        starts_kernel = bool(_KERNEL.match(line))
        starts_loader = bool(_LOADER.search(bare))
        if (starts_kernel and kernel) or (starts_loader and (kernel or (loader and "BdsDxe: loading" in bare))):
            boots.append([])
            kernel = loader = False
        kernel, loader = kernel or starts_kernel or bool(_RUNNING.match(line)), loader or starts_loader
        if bare:
            boots[-1].append(bare)
    return boots


def _with_crash_kernels(boots: Sequence[Boot]) -> Iterator[Boot]:
    held: Boot | None = None
    for boot in boots:
        if held is not None and "elfcorehdr=" in boot.command_line:
            held = Boot((*held.lines, *boot.lines), held.whole)
            continue
        if held is not None:
            yield held
        held = boot
    if held is not None:
        yield held
