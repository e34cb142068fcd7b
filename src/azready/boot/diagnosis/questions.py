"""What a boot's record shows, in small questions: who spoke, what was said and asked, what still waits. Pure.

What was said after the boot was over (our own switching off) is no clue, and is left out.
"""

import re
from collections.abc import Iterable, Iterator

from azready.agents import AGENTS, Agent
from azready.boot.record import BootRecord, ConsoleLine

_QUOTED = 6


def plain(text: str) -> str:
    """A line without the kernel's time, process ids and a log's own time: equal for all who passed it on."""
    text = re.sub(r"^[^\[]*\[\s*\d+\.\d+\]\s+", "", text.strip())
    text = re.sub(r"^([\w@.-]+)\[\d+\]: ", r"\1: ", text)
    return re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.,]+Z? (- )?", "", text)


def console_in_time(record: BootRecord) -> list[ConsoleLine]:
    """The console until the guest was switched off by us."""
    return [line for line in record.console if line.at <= record.seconds]


def console(record: BootRecord) -> list[str]:
    return [line.text for line in console_in_time(record)]


def said(record: BootRecord) -> list[str]:
    """All that the guest said, of journal and console, with the speaker's name; the same words once."""
    found: dict[str, str] = {}
    for text in [*(f"{line.identifier}: {line.text}" for line in record.journal), *console(record)]:
        found.setdefault(plain(text), text)
    return list(found.values())


def matching(lines: Iterable[str], pattern: str, limit: int = 3) -> tuple[str, ...]:
    """The first lines that the expression finds, each once, without blanks around them."""
    found: list[str] = []
    for line in lines:
        if re.search(pattern, line) and line.strip() not in found:
            found.append(line.strip())
    return tuple(found[:limit])


def asked(record: BootRecord, *services: str) -> bool:
    return any(exchange.service in services for exchange in record.exchanges)


def asked_platform(record: BootRecord) -> bool:
    return asked(record, "imds", "wireserver")


def is_virtual_machine(record: BootRecord) -> bool:
    return record.kind == "qemu"


def is_copy(record: BootRecord) -> bool:
    """Whether this VM was made from a used image, by us."""
    return record.copy


def multi_user(record: BootRecord) -> bool:
    return record.milestone("multi-user") is not None


def speakers(record: BootRecord) -> tuple[Agent, ...]:
    """The provisioners that ran: by the names in the journal and the console, and by how they named themselves."""
    names = [f"{line.identifier} {line.unit}" for line in record.journal if line.identifier != "systemd"]
    names += [value for each in record.exchanges for key, value in each.request_headers if key.lower() == "user-agent"]
    names += [match[1] for line in console(record) if (match := re.match(r"\[\s*[\d.]+\]\s+([\w@.-]+)\[\d+\]:", line))]
    return tuple(agent for agent in AGENTS.values() if any(re.search(agent.words, each, re.I) for each in names))


def tracebacks(record: BootRecord, of: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Python's tracebacks of speakers and units that `of` matches: who, and the last lines up to the exception.

    Lines of others in between are left out.
    """
    spoken = [(line.identifier, line.unit, line.text) for line in record.journal]
    spoken = spoken or [(*_speaker(text), plain(text)) for text in console(record)]
    for at, (speaker, unit, text) in enumerate(spoken):
        if "Traceback (most recent call last)" not in text or not re.search(of, f"{speaker} {unit}"):
            continue
        block: list[str] = []
        for who, _, line in spoken[at + 1 : at + 60]:
            if who != speaker:
                continue
            block.append(line.removeprefix(f"{speaker}: "))
            if line and not block[-1].startswith((" ", "\t")):
                break
        yield speaker, tuple(line.strip() for line in block[-_QUOTED:])


def _speaker(text: str) -> tuple[str, str]:
    match = re.match(r"\[\s*[\d.]+\]\s+([\w@.-]+)\[\d+\]:", text)
    return (match[1] if match else "", "")


def awaited_root(record: BootRecord) -> tuple[str, ...]:
    """What a systemd in the initramfs still waits for, in its last words; nothing where it left the initramfs."""
    lines = console(record)
    if not matching(lines, r"[Rr]unning in (initrd|initial RAM disk)|\(Initramfs\)!"):
        return ()
    if matching(lines, r"Found device|[Ss]witching root|Reached target .*([Ii]nitrd[ -][Rr]oot|[Ss]witch Root)"):
        return ()
    waits = r"(Job dev-|start job is running for (dev-|/dev/)).*(running|limit|\ds|\dmin)"
    return matching(reversed(lines), waits, 1)


def empty_drive_mounted(record: BootRecord) -> tuple[str, ...]:
    """That a unit wanted the CD drive, got it, and could not mount what is in it."""
    lines = console(record)
    wanted = matching(lines, r"(Expecting|Found) device .*\b(sr\d|cdrom|dvd)\b", 1)
    failed = matching(lines, r"Failed to mount .*\.mount", 1)
    return (*wanted, *failed) if wanted and failed else ()


_WAITS = re.compile(
    r"\b(?:Starting|Mounting|start job is running for) (\S+\.(?:service|mount)|/\S+)|\bJob ([^\s/…]+)\S* running"
)
_DONE = re.compile(r"\b(?:Started|Finished|Mounted|Stopped|Found device|Failed to start|Failed to mount) ([^\s…]+)(…?)")


def waiting_units(record: BootRecord) -> dict[str, str]:
    """Units that systemd is still starting: name, and the line that says so. On a console, long names are cut."""
    found: dict[str, str] = {}
    told = [(line.at, line.text) for line in record.journal if line.identifier == "systemd"]
    for _, line in sorted([*told, *((line.at, line.text) for line in console_in_time(record))]):
        if match := _WAITS.search(line):
            found[match[1] or match[2]] = line.strip()
        elif match := _DONE.search(line):
            done = match[1].removesuffix(".")  # of StatusUnitFormat=name
            over = [name for name in found if name == done or (match[2] and name.startswith(match[1]))]
            for name in over:
                del found[name]
    return found


def failed(record: BootRecord, check: str) -> tuple[str, ...]:
    """The check of this name, where it failed, and what was seen."""
    found = (each for each in record.checks if each.name == check and each.outcome == "failed")
    return tuple(f"{each.name}: {each.detail}" for each in found)
