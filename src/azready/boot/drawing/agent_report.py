"""Who provisioned a guest, when, and what it asked: for people who compare agents, or test their own."""

from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

from azready.boot.record import BootRecord
from azready.fabric.ledger import Exchange


def report_lines(record: BootRecord) -> Iterator[str]:
    """The report of one boot, as lines of text."""
    yield f"{record.title}: {record.headline}"
    yield f"  agent:     {', '.join(agents(record)) or 'none that said its name'}"
    for name in ("lease", "imds", "goal state", "ready", "sshd", "multi-user"):
        at = record.milestone(name)
        yield f"  {name + ':':<10} {'never' if at is None else f'{at:8.3f} s'}"
    for check in record.checks:
        yield f"  {check.name + ':':<10} {check.outcome}, {check.detail}"
    yield from _requests(record)
    for report in record.reports:
        state = "/".join(part for part in (report.state, report.substatus) if part)
        told = f": {report.description}" if report.description else ""
        yield f"  reported:  {report.at:8.3f} s {state}{'' if report.accepted else ', refused'}{told}"
    yield from _findings(record)


def _requests(record: BootRecord) -> Iterator[str]:
    yield f"  requests:  {len(record.exchanges) - _count_dhcp(record)}, and {_count_dhcp(record)} DHCP messages"
    for (service, method, target, status), times in asked(record).items():
        repeated = f" × {times}" if times > 1 else ""
        yield f"    {service:<10} {method:<5} {target} → {status or 'no answer'}{repeated}"


def _findings(record: BootRecord) -> Iterator[str]:
    findings = Counter((each.severity, each.code, each.message) for each in record.findings)
    yield f"  findings:  {sum(findings.values()) or 'none'}"
    for (severity, code, message), times in findings.items():
        yield f"    {severity:<8} {code}: {message}{f' × {times}' if times > 1 else ''}"


def agents(record: BootRecord) -> list[str]:
    """The names that were said in requests: x-ms-agent-name, x-ms-guest-agent-name, else User-Agent."""
    found: dict[str, None] = {}
    for exchange in record.exchanges:
        headers = {name.lower(): value for name, value in exchange.request_headers}
        for name in ("x-ms-guest-agent-name", "x-ms-agent-name", "user-agent"):
            if headers.get(name):
                found[headers[name]] = None
                break
    return list(found)


def asked(record: BootRecord) -> Counter[tuple[str, str, str, int | None]]:
    """(service, method, target, status) of each request but DHCP's, with how often; in the order of their first times.

    Ids in paths are shortened, so that two boots of one agent compare.
    """
    return Counter(_request(each, record) for each in record.exchanges if each.service != "dhcp")


def _request(exchange: Exchange, record: BootRecord) -> tuple[str, str, str, int | None]:
    parts = urlsplit(exchange.target)
    path = "/".join("…" if len(step) > 30 else step for step in parts.path.split("/"))
    return exchange.service, exchange.method, path + (f"?{parts.query}" if parts.query else ""), exchange.status


def _count_dhcp(record: BootRecord) -> int:
    return sum(each.service == "dhcp" for each in record.exchanges)
