"""What a booted guest says to `azready boot`: its console, journal, logs, packets, hardware database. It may lie."""

import struct
from collections.abc import Callable, Iterable, Iterator

from azready.boot import systemd_imds
from azready.boot.qemu import packets
from azready.boot.record import ConsoleLine, JournalLine
from azready.boot.watching import journal, login, serial
from azready.boot.watching.watch import Stream, clean
from azready.fabric.machine import Machine
from azready.proc import Completed
from tests.fuzz import _bytes
from tests.fuzz._bytes import Reader
from tests.fuzz.fabric_bytes import DISCOVER

MACHINE = Machine(name="vm1")
JOURNAL = (
    b'{"__MONOTONIC_TIMESTAMP":"5000000","MESSAGE":"hello","SYSLOG_IDENTIFIER":"sshd","PRIORITY":"6","_COMM":"sshd"}\n',
    b'{"__MONOTONIC_TIMESTAMP":"5000001","MESSAGE":[104,233,10],"UNIT":"a.service","PRIORITY":"6"}\n',
    b'{"__MONOTONIC_TIMESTAMP":"5000002","MESSAGE":"\\ud83d\\ude00","_SYSTEMD_UNIT":"b.service"}\n',
)
UNITS = b"Id=basic.target\nActiveEnterTimestampMonotonic=1234567\n\nId=ssh.service\nActiveEnterTimestampMonotonic=0\n"
WAAGENT = b"2026-11-27T02:00:00.123456Z INFO Daemon Azure Linux Agent\n  more\n2026-11-27T02:00:01.1Z ERROR x\n"
CLOUD_INIT = b"2026-11-27 02:00:00,123 - azure.py[DEBUG]: Network is unreachable\n"
CONSOLE = (
    b"[    0.1] Linux version 6.1\r\n[  OK  ] Reached target \x1b[0;1;39mBasic System\x1b[0m.\r\nvm1 login: ",
    b"[    3.2] sshd[12]: Server listening on\r\n\x1b]0;title\x07(initramfs) \r\n\xe2\x94\x80\xc2\x9b31m\r\n",
)
FRAME = bytes(12) + b"\x08\0" + b"\x45" + bytes(8) + b"\x11" + bytes(10) + struct.pack(">HHHH", 68, 67, 300, 0)
DUMP = bytes(24) + struct.pack("<IIII", 1, 0, len(FRAME + DISCOVER), 600) + FRAME + DISCOVER
DATABASE = b"# a\ndmi:*:svnMicrosoftCorporation:*\ndmi:*:cat7783*\n IMDS_VENDOR=azure\n IMDS_KEY_REGION=/a\n"


MANY = b"dmi:" + b"[" * 200_000 + b"\n A=b\n"


def _lines(parse: Callable[[str], Iterable[JournalLine]]) -> Callable[[bytes], object]:
    """Reads as azready reads what a program said, and writes what it found."""

    def read(data: bytes) -> object:
        return [line.text.encode() + line.identifier.encode() for line in parse(data.decode(errors="replace"))]

    return read


def _console(data: bytes) -> object:
    lines: list[ConsoleLine] = []
    stream = Stream(lambda at, text: lines.append(ConsoleLine(at, clean(text))))
    for at in range(0, len(data), 100):
        stream.feed(at / 100, data[at : at + 100])
    said = [line.text.encode() for line in serial.spoken(lines)]
    return serial.milestones(lines), serial.over(lines), said


def _packets(data: bytes) -> object:
    return [packets.entries(frame, 0.0, MACHINE) for frame in packets.Frames().feed(data)]


def _login(data: bytes) -> object:
    text = data.decode(errors="replace")
    return [login.judge_login(Completed(("ssh",), status, text, text[::-1]), MACHINE, 1.0) for status in (0, 255)]


def readers() -> dict[str, Reader]:
    """Each reader by its module. None of them refuses: what is no line is left out."""
    return {
        "journal": Reader(_lines(lambda text: journal.parse_journal(text, 1.0)), JOURNAL),
        "units": Reader(lambda data: journal.parse_units(data.decode(errors="replace"), 1.0), (UNITS,)),
        "waagent.log": Reader(_lines(lambda text: journal.parse_waagent_log(text, 1.0)), (WAAGENT,)),
        "cloud-init.log": Reader(_lines(lambda text: journal.parse_cloud_init_log(text, 1.0)), (CLOUD_INIT,)),
        "console": Reader(_console, CONSOLE),
        "packets": Reader(_packets, (DUMP,)),
        "login": Reader(_login, (b"azready logs in:\nvm1\nazureuser\nsudo works\n",)),
        "hwdb": Reader(
            lambda data: systemd_imds.properties(data.decode(errors="replace"), "dmi:x:"), (DATABASE,), (), (MANY,)
        ),
    }


def campaign(seed: int, runs: int) -> Iterator[str]:
    """`runs` inputs for each reader."""
    yield from _bytes.campaign(readers(), seed, runs)
