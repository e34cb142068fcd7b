"""The log of a run: JSON, one entry a line, the run's own description first; written as it happens, read back."""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from azready import __version__
from azready.errors import UsageFailure
from azready.fabric.faults import Fault
from azready.fabric.fields import held
from azready.fabric.ledger import Entry, Exchange, Finding, HealthReport, entry_as_json
from azready.fabric.machine import Machine, as_table
from azready.fabric.machine import from_table as machine_from_table
from azready.fabric.settings import Settings

_KINDS: dict[str, type[Exchange] | type[Finding] | type[HealthReport]] = {
    "Exchange": Exchange,
    "Finding": Finding,
    "HealthReport": HealthReport,
}


@dataclass(frozen=True)
class Log:
    """A run that was logged."""

    machine: Machine
    strict: bool
    faults: tuple[Fault, ...]
    entries: tuple[Entry, ...]

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, Exchange))


def create(path: Path, settings: Settings) -> IO[str]:
    """Start a log, readable by its owner only: it holds what the guest was told. Raises UsageFailure."""
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8")
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a file that others could read until now, too
            os.fchmod(file.fileno(), 0o600)
            os.ftruncate(file.fileno(), 0)
    except OSError as error:
        raise UsageFailure(f"{path}: {error.strerror}", "give --log a file that can be written") from error
    head = {
        "kind": "Run",
        "azready": __version__,
        "strict": settings.strict,
        "seed": settings.seed,
        "scenario": settings.scenario,
        "machine": as_table(settings.machine),
        "faults": [asdict(fault) for fault in settings.faults],
    }
    _write(file, head)
    return file


def append(file: IO[str], entry: Entry) -> None:
    _write(file, entry_as_json(entry))


def _write(file: IO[str], line: dict[str, Any]) -> None:
    file.write(json.dumps(line, ensure_ascii=False) + "\n")
    file.flush()


def read(path: Path) -> Log:
    """A log that was written before. Raises UsageFailure that names the line.

    A last line that a power cut or a kill left in half is no entry; what came before it counts.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFailure(f"{path}: {error}", "give a log that `azready fabric --log` wrote") from error
    if lines and not _is_whole(lines[-1]):
        lines.pop()
    tables = list(_tables(lines, path))
    if not tables or tables[0].get("kind") != "Run":
        raise UsageFailure(f"{path} does not begin with a run", "give a log that `azready fabric --log` wrote")
    head = tables[0]
    try:
        entries = tuple(_entry(table) for table in tables[1:])
        plan = tuple(held(Fault(**{key: _untupled(value) for key, value in one.items()})) for one in head["faults"])
        return Log(machine_from_table(head["machine"], str(path)), bool(head["strict"]), plan, entries)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageFailure(f"{path}: not an entry of this version: {error}", "log the run again") from error


def _is_whole(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _tables(lines: list[str], path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            table = json.loads(line)
            if not isinstance(table, dict):
                raise ValueError("not a table")
            json.dumps(table, ensure_ascii=False).encode()  # halves of characters, which JSON may name, are no text
        except (ValueError, RecursionError) as error:
            raise UsageFailure(f"{path}, line {number}: {error}", "each line is one JSON entry") from error
        yield table


def _entry(table: dict[str, Any]) -> Entry:
    fields = {key: _untupled(value) for key, value in table.items() if key != "kind"}
    return held(_KINDS[table["kind"]](**fields))


def _untupled(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    return tuple(_untupled(item) for item in value) if isinstance(value, list) else value
