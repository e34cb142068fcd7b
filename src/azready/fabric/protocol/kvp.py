"""Hyper-V's key-value pairs that a guest leaves for its host, read back and checked.

The pool (`/var/lib/hyperv/.kvp_pool_1`) is a row of records of 512 bytes key and 2048 bytes value, padded with
NUL. Limits and traps as azure-init's doc/kvp.md and libazureinit-kvp, and cloud-init's reporting handlers, know
them: what is longer than 254 and 1022 bytes is silently cut, and one value that is not UTF-8 spoils the transfer.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from azready.fabric.ledger import Exchange, Finding
from azready.fabric.machine import Machine
from azready.fabric.protocol.findings import found

POOL = "var/lib/hyperv/.kvp_pool_1"
"""Where the pool lies in a guest, relative to its root."""

KEY_SIZE, VALUE_SIZE = 512, 2048
KEY_LIMIT, VALUE_LIMIT = 254, 1022
KEYS_LIMIT = 1024
REPORT_KEY = "PROVISIONING_REPORT"


@dataclass(frozen=True)
class Record:
    key: bytes
    value: bytes


def records(pool: bytes) -> tuple[Record, ...]:
    """The whole records of a pool; what is left at its end is not one."""
    size = KEY_SIZE + VALUE_SIZE
    rows = [pool[at : at + size] for at in range(0, len(pool) - size + 1, size)]
    return tuple(Record(row[:KEY_SIZE].rstrip(b"\0"), row[KEY_SIZE:].rstrip(b"\0")) for row in rows)


def provisioning_report(pool: bytes) -> dict[str, str] | None:
    """The fields of the last PROVISIONING_REPORT (result, reason, agent, vm_id, timestamp …); None without one."""
    values = [record.value for record in records(pool) if record.key == REPORT_KEY.encode()]
    if not values:
        return None
    text = values[-1].decode("utf-8", "replace")
    row = next(csv.reader([text], delimiter="|", quotechar="'"), [])
    pairs = (field.strip('"').partition("=") for field in row)
    return {key: value for key, equals, value in pairs if equals}


def entries(pool: bytes, machine: Machine, at: float) -> tuple[Exchange | Finding, ...]:
    """What a pool says, and what is wrong with it, for the ledger."""
    told = [
        Exchange(
            at, "kvp", "RECORD", one.key.decode("utf-8", "replace"), 200, "", (), one.value.decode("utf-8", "replace")
        )
        for one in records(pool)
    ]
    return (*told, *_malformed(pool, at), *_report_findings(pool, machine, at))


def _malformed(pool: bytes, at: float) -> Iterator[Finding]:
    if len(pool) % (KEY_SIZE + VALUE_SIZE):
        fault = f"{len(pool)} bytes are no whole number of records"
        yield found(at, "kvp-record", fault=fault, wanted="write records of 2560 bytes, and each at once")
    for record in records(pool):
        name = record.key.decode("utf-8", "replace")
        for what, text, limit in (("key", record.key, KEY_LIMIT), ("value", record.value, VALUE_LIMIT)):
            if len(text) > limit:
                fault = f"the {what} of {name[:40]!r} has {len(text)} bytes"
                yield found(at, "kvp-record", fault=fault, wanted=f"a {what} carries at most {limit} bytes")
            if not _is_utf8(text):
                fault = f"the {what} of {name[:40]!r} is not UTF-8"
                yield found(at, "kvp-record", fault=fault, wanted="cut texts between characters")
    unique = len({record.key for record in records(pool)})
    if unique > KEYS_LIMIT:
        yield found(at, "kvp-record", fault=f"{unique} keys", wanted=f"the host takes {KEYS_LIMIT}")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _report_findings(pool: bytes, machine: Machine, at: float) -> Iterator[Finding]:
    report = provisioning_report(pool)
    if report is None:
        if records(pool):
            yield found(at, "kvp-report", fault="there is none", wanted=f"write a record {REPORT_KEY}")
        return
    if report.get("result") not in ("success", "error"):
        fault = f"its result is {report.get('result')!r}"
        yield found(at, "kvp-report", fault=fault, wanted="begin with result=success or result=error")
    if report.get("vm_id", "").lower() != machine.vm_id.lower():
        fault = f"its vm_id is {report.get('vm_id')!r}, but this is {machine.vm_id}"
        yield found(at, "kvp-report", fault=fault, wanted="empty the pool when the VM is a new one")
