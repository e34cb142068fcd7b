"""Hyper-V's key-value pairs that a guest leaves for its host, read back and checked.

The pool (`/var/lib/hyperv/.kvp_pool_1`) is a row of records of 512 bytes key and 2048 bytes value, padded with
NUL. Limits and traps as azure-init's doc/kvp.md and libazureinit-kvp, and cloud-init's reporting handlers, know
them: what is longer than 254 and 1022 bytes is silently cut, and one value that is not UTF-8 spoils the transfer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from azready.fabric.ledger import Exchange, Finding
from azready.fabric.machine import Machine
from azready.fabric.protocol.findings import found

FOLDER = "var/lib/hyperv"
POOLS = tuple(f"{FOLDER}/.kvp_pool_{number}" for number in range(5))
"""What hv_kvp_daemon keeps, relative to the guest's root: external, guest, auto, auto-external, internal."""
POOL, HOST_POOL = POOLS[1], POOLS[3]
"""What a guest tells, and what the host tells of itself."""
DAEMON = "usr/sbin/hv_kvp_daemon"

KEY_SIZE, VALUE_SIZE = 512, 2048
KEY_LIMIT, VALUE_LIMIT = 254, 1022
KEYS_LIMIT = 1024
REPORT_KEY = "PROVISIONING_REPORT"


@dataclass(frozen=True)
class Record:
    """A pair of the pool, without the zeros that fill it up."""

    key: bytes
    value: bytes


def records(pool: bytes) -> tuple[Record, ...]:
    """The whole records of a pool; what is left at its end is not one."""
    size = KEY_SIZE + VALUE_SIZE
    rows = [pool[at : at + size] for at in range(0, len(pool) - size + 1, size)]
    return tuple(Record(row[:KEY_SIZE].rstrip(b"\0"), row[KEY_SIZE:].rstrip(b"\0")) for row in rows)


def pools(pairs: Mapping[str, str]) -> dict[str, list[tuple[str, int]]]:
    """What each pool holds when the guest's daemon starts, by path: fields, each with the bytes that zeros fill it to.
    Without pairs of the host's there is no pool."""
    told = [field for pair in pairs.items() for field in zip(pair, (KEY_SIZE, VALUE_SIZE), strict=True)]
    return {path: told if path == HOST_POOL else [] for path in POOLS} if pairs else {}


def host_pairs(machine: Machine) -> dict[str, str]:
    """What the host tells of itself and the VM. Keys: Microsoft's page "Data Exchange: using key-value pairs"; values
    of the host are decided here."""
    host = "AZREADY000000001"
    return {
        "HostName": host,
        "HostingSystemEditionId": "168",
        "HostingSystemNestedLevel": "0",
        "HostingSystemOsMajor": "10",
        "HostingSystemOsMinor": "0",
        "HostingSystemProcessorArchitecture": "9",
        "HostingSystemSpMajor": "0",
        "HostingSystemSpMinor": "0",
        "PhysicalHostName": host,
        "PhysicalHostNameFullyQualified": host,
        "VirtualMachineDynamicMemoryBalancingEnabled": "0",
        "VirtualMachineId": machine.vm_id.upper(),
        "VirtualMachineName": machine.container_id,
    }


def provisioning_report(pool: bytes) -> dict[str, str] | None:
    """The fields of the last PROVISIONING_REPORT (result, reason, agent, vm_id, timestamp …); None without one."""
    values = [record.value for record in records(pool) if record.key == REPORT_KEY.encode()]
    if not values:
        return None
    text = values[-1].decode("utf-8", "replace")
    pairs = (field.partition("=") for field in fields(text))
    return {key: value for key, equals, value in pairs if equals}


def fields(text: str) -> Iterator[str]:
    """The fields of a report, parted by `|`. One that begins with a quote ends with it, and has it doubled inside:
    cloud-init quotes by ', azure-init by "; elsewhere in a field both are plain characters."""
    while text:
        field, rest = _quoted(text) if text[0] in "'\"" else ("", None)
        if rest is None:
            field, _, rest = text.partition("|")
        yield field
        text = rest


def _quoted(text: str) -> tuple[str, str | None]:
    """A quoted field and what follows its `|`; None for what is not quoted to its end."""
    quote, at = text[0], 1
    while (end := text.find(quote, at)) >= 0:
        if text[end + 1 : end + 2] == quote:
            at = end + 2
            continue
        following = text[end + 1 : end + 2]
        if following not in ("", "|"):
            return "", None
        return text[1:end].replace(quote * 2, quote), text[end + 2 :]
    return "", None


def host_view(pool: bytes) -> dict[str, str]:
    """What Hyper-V's host sees of a pool: the last record of each key, cut to what the channel carries; nothing at
    all where one record is not UTF-8, since the daemon then ends the transfer."""
    told = [(one.key[:KEY_LIMIT], one.value[:VALUE_LIMIT]) for one in records(pool)]
    try:
        return {key.decode(): value.decode() for key, value in told}
    except UnicodeDecodeError:
        return {}


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
