"""What a guest tells of itself: its journal and its units, asked with the guest's own tools and read here."""

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from azready import installed
from azready.boot.container.host import Container, RunningGuest
from azready.boot.record import JournalLine, Milestone
from azready.fabric.ledger import Exchange, Ledger
from azready.fabric.protocol import kvp

_FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,PRIORITY,_SYSTEMD_UNIT,UNIT,_COMM"
_SHOWN = ("basic.target", "multi-user.target", "ssh.service", "sshd.service", "ssh.socket", installed.UNIT)


def read_journal(container: Container, guest: RunningGuest) -> tuple[JournalLine, ...]:
    """The guest's journal of this boot; empty where it has none."""
    done = container.ask_guest(guest, ["journalctl", "-b", "-o", "json", f"--output-fields={_FIELDS}", "--no-pager"])
    return parse_journal(done.stdout if done else "", guest.began)


def parse_journal(text: str, epoch: float) -> tuple[JournalLine, ...]:
    """Journal entries of `journalctl -o json`; `epoch` is a time of CLOCK_MONOTONIC, which guest and host share.

    Containers share the kernel's boot id as well, so entries of an earlier boot of the tree are told by their time.
    """
    return tuple(line for line in _journal_lines(text, epoch) if line.at >= 0)


def _journal_lines(text: str, epoch: float) -> Iterator[JournalLine]:
    for line in text.splitlines():
        try:
            yield _journal_line(json.loads(line), epoch)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):  # the guest's own words
            continue


def _journal_line(row: dict[str, Any], epoch: float) -> JournalLine:
    at = round(int(row["__MONOTONIC_TIMESTAMP"]) / 1e6 - epoch, 4)
    message = row.get("MESSAGE", "")
    if isinstance(message, list):  # bytes that are no text
        message = bytes(message).decode("utf-8", "replace")
    identifier = row.get("SYSLOG_IDENTIFIER") or row.get("_COMM") or ""
    unit = row.get("UNIT") or row.get("_SYSTEMD_UNIT") or ""
    return JournalLine(at, _text(identifier), _text(message), int(row.get("PRIORITY", 6)), _text(unit))


def _text(value: object) -> str:
    """A value of JSON as text that can be written: JSON knows halves of characters, UTF-8 does not."""
    return str(value or "").encode("utf-8", "replace").decode()


WAAGENT_LOG = "/var/log/waagent.log"
_WAAGENT_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+)Z (INFO|WARNING|ERROR|VERBOSE) (.*)")
_WAAGENT_PRIORITIES = {"ERROR": 3, "WARNING": 4, "INFO": 6, "VERBOSE": 7}


def read_kvp(container: Container, guest: RunningGuest) -> bytes:
    """The pool of key-value pairs that the guest left for Hyper-V; empty where it left none."""
    done = container.ask_guest(guest, ["base64", f"/{kvp.POOL}"])
    try:
        return base64.b64decode(done.stdout) if done and done.status == 0 else b""
    except ValueError:  # the guest's own base64
        return b""


def read_waagent_log(container: Container, guest: RunningGuest) -> tuple[JournalLine, ...]:
    """waagent's own log of this boot, as lines of the journal: it tells the journal nothing."""
    done = container.ask_guest(guest, ["cat", WAAGENT_LOG])
    began = time.time() - (time.monotonic() - guest.began)
    return parse_waagent_log(done.stdout if done else "", began)


def parse_waagent_log(text: str, epoch: float) -> tuple[JournalLine, ...]:
    """Lines of waagent.log; `epoch` is a Unix time. Continued lines (tracebacks) take the time of their first."""
    found: list[JournalLine] = []
    at, priority = -1.0, 6
    for line in text.splitlines():
        if match := _WAAGENT_LINE.match(line):
            at = _since(epoch, match[1])
            priority, line = _WAAGENT_PRIORITIES[match[2]], match[3]
        if at >= 0 and line.strip():
            found.append(JournalLine(at, "waagent", line, priority, "walinuxagent.service"))
    return tuple(found)


def _since(epoch: float, stamp: str) -> float:
    """Seconds from `epoch`, a Unix time, to a time in UTC; -1 for what is none."""
    try:
        return round(datetime.fromisoformat(f"{stamp}+00:00").timestamp() - epoch, 4)
    except ValueError:
        return -1.0


def without_copies(journal: tuple[JournalLine, ...]) -> tuple[JournalLine, ...]:
    """The journal without what waagent wrote to its own log as well."""
    return tuple(line for line in journal if not _WAAGENT_LINE.match(line.text))


CLOUD_INIT_LOG = "/var/log/cloud-init.log"
_CLOUD_INIT_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+) - \S+\[[A-Z]+\]: (.*)")
_TELLING = re.compile(r"init-local/check-cache: SUCCESS|request error|Network is unreachable|[Ff]ailed to obtain DHCP")


def read_cloud_init_log(container: Container, guest: RunningGuest) -> tuple[JournalLine, ...]:
    """What cloud-init's own log of this boot tells beyond the journal."""
    done = container.ask_guest(guest, ["cat", CLOUD_INIT_LOG])
    began = time.time() - (time.monotonic() - guest.began)
    return parse_cloud_init_log(done.stdout if done else "", began)


def parse_cloud_init_log(text: str, epoch: float) -> tuple[JournalLine, ...]:
    """The telling lines of cloud-init.log, which is mostly of level DEBUG; `epoch` is a Unix time."""
    found = []
    for line in text.splitlines():
        if (match := _CLOUD_INIT_LINE.match(line)) and _TELLING.search(match[2]):
            at = _since(epoch, match[1].replace(",", "."))
            found.append(JournalLine(at, "cloud-init", match[2], 6, "cloud-init.log"))
    return tuple(line for line in found if line.at >= 0)


def read_units(container: Container, guest: RunningGuest) -> dict[str, float]:
    """When units became active, in seconds since the guest began; those that did not are left out."""
    words = ["systemctl", "show", "-p", "Id,ActiveEnterTimestampMonotonic", *_SHOWN]
    done = container.ask_guest(guest, words)
    return parse_units(done.stdout if done else "", guest.began)


def parse_units(text: str, epoch: float) -> dict[str, float]:
    """`systemctl show` of several units, as times; zero stands for never."""
    found = {}
    for block in text.split("\n\n"):
        table: Mapping[str, str] = dict(line.partition("=")[::2] for line in block.splitlines())
        stamp = table.get("ActiveEnterTimestampMonotonic", "0")
        if re.fullmatch("[0-9]{1,18}", stamp) and int(stamp):
            found[table.get("Id", "")] = round(int(stamp) / 1e6 - epoch, 4)
    return found


def milestones(ledger: Ledger, units: Mapping[str, float], complete: float | None) -> tuple[Milestone, ...]:
    """The points by which boots are compared, in order of time."""
    sshd = [units[name] for name in ("ssh.service", "sshd.service", "ssh.socket") if name in units]
    multi_user = complete if complete is not None else units.get("multi-user.target")
    found: dict[str, float | None] = {
        "init": 0.0,
        "basic.target": units.get("basic.target"),
        "lease": _first(ledger, lambda each: each.service == "dhcp" and each.method == "DHCPACK"),
        "imds": _first(ledger, lambda each: each.service == "imds" and each.status == 200),
        "goal state": _first(ledger, lambda each: "comp=goalstate" in each.target and each.status == 200),
        "ready": ledger.ready.at if ledger.ready else None,
        "sshd": min(sshd, default=None),
        "multi-user": multi_user,
    }
    points = [Milestone(name, round(at, 4)) for name, at in found.items() if at is not None]
    return tuple(sorted(points, key=lambda point: point.at))


def _first(ledger: Ledger, fits: Any) -> float | None:
    def matching(exchanges: tuple[Exchange, ...]) -> Iterator[float]:
        return (each.at for each in exchanges if fits(each))

    return next(matching(ledger.exchanges), None)
