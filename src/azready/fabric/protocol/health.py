"""Health reports: reading the two forms, and judging what they say against the machine and its goal state.

XML form: `POST /machine?comp=health` (WALinuxAgent common/protocol/wire.py, Microsoft's "without the provisioning
agent" page). JSON form: `POST /provisioning/health` (azure-init, Azure/azure-support-scripts). What the platform
answers to a wrong report is nowhere published; here it is 400 for what cannot be read and 410 (the agents'
"goal state is outdated") for ids and incarnations that are not those of the goal state.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree import ElementTree

from azready.fabric.ledger import Finding
from azready.fabric.machine import Machine
from azready.fabric.protocol.findings import found
from azready.fabric.protocol.xml import escape

DESCRIPTION_LIMIT = 4096
"""Characters that the platform takes in a description, counted after XML escaping (WALinuxAgent wire.py)."""

XML_FORM = "Health/{GoalStateIncarnation,Container/{ContainerId,RoleInstanceList/Role/{InstanceId,Health/State}}}"
JSON_FORM = '{"state":"Ready"} or {"state":"NotReady","details":{"subStatus":…,"description":…}}'


@dataclass(frozen=True)
class Report:
    """What a health report says, read but not judged. Fields that the form lacks are empty."""

    form: Literal["xml", "json"]
    state: str
    substatus: str = ""
    description: str = ""
    incarnation: str = ""
    container_id: str = ""
    instance_id: str = ""


@dataclass(frozen=True)
class Judgement:
    """Whether a report is accepted, the HTTP status to answer with, and what is to be noted."""

    status: int
    findings: tuple[Finding, ...] = ()

    @property
    def accepted(self) -> bool:
        return self.status < 300


_XML_PATHS = {
    "incarnation": "GoalStateIncarnation",
    "container_id": "Container/ContainerId",
    "instance_id": "Container/RoleInstanceList/Role/InstanceId",
    "state": "Container/RoleInstanceList/Role/Health/State",
}
_DETAILS = "Container/RoleInstanceList/Role/Health/Details"


def read_xml(body: bytes, at: float) -> tuple[Report | None, tuple[Finding, ...]]:
    """Read the XML form; None with the reasons when it is not one. Never expands entities: DTDs are refused."""
    try:
        root = _parse(body)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the last: an encoding that nobody knows
        return None, (found(at, "health-malformed", fault=error, wanted=XML_FORM),)
    if root.tag != "Health":
        fault = f"the root is {root.tag!r}, not 'Health'"
        return None, (found(at, "health-malformed", fault=fault, wanted=XML_FORM),)
    values, findings = {}, []
    for name, path in _XML_PATHS.items():
        value = (root.findtext(path) or "").strip()
        values[name] = value
        if not value:
            findings.append(_missing(root, path, at))
    if findings:
        return None, tuple(findings)
    details = {name: (root.findtext(f"{_DETAILS}/{name}") or "").strip() for name in ("SubStatus", "Description")}
    return Report("xml", substatus=details["SubStatus"], description=details["Description"], **values), ()


def read_json(body: bytes, at: float, proposed: bool = False) -> tuple[Report | None, tuple[Finding, ...]]:
    """Read the JSON form; None with the reasons when it is not one.

    `proposed` reads the states of the proposal with an api-version, ready and error, as what they replace.
    """
    try:
        table: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        return None, (found(at, "health-malformed", fault=error, wanted=JSON_FORM),)
    details = table.get("details", {}) if isinstance(table, dict) else None
    if not isinstance(details, dict):
        return None, (found(at, "health-malformed", fault="not the documented object", wanted=JSON_FORM),)
    texts = (table.get("state"), details.get("subStatus", ""), details.get("description", ""))
    if not all(isinstance(value, str) for value in texts):
        fault = "state, subStatus and description must be texts"
        return None, (found(at, "health-malformed", fault=fault, wanted=JSON_FORM),)
    if proposed and texts[0] in _PROPOSED:
        texts = (*_PROPOSED[texts[0]], texts[2])
    return Report("json", *texts), ()


_PROPOSED = {"ready": ("Ready", ""), "error": ("NotReady", "ProvisioningFailed")}


def judge(report: Report, machine: Machine, at: float, strict: bool = True) -> Judgement:
    """Hold a report against the machine's goal state. Not strict: a wrong incarnation is noted, and accepted."""
    shape = tuple(_shape_findings(report, at))
    if any(finding.severity == "error" for finding in shape):
        return Judgement(400, shape)
    identity = tuple(_identity_findings(report, machine, at)) if report.form == "xml" else ()
    refusing = identity if strict else tuple(one for one in identity if one.code != "health-incarnation")
    accepted = 200 if report.form == "xml" else 201
    return Judgement(410 if refusing else accepted, shape + identity)


def _parse(body: bytes) -> ElementTree.Element:
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ValueError("it holds a document type declaration")
    if not body.strip():
        raise ValueError("it is empty")
    return ElementTree.fromstring(body.removeprefix(b"\xef\xbb\xbf").lstrip())


def _missing(root: ElementTree.Element, path: str, at: float) -> Finding:
    """Name what is missing; and where it was put instead, when it is somewhere."""
    name = path.rpartition("/")[2]
    found_at = next(
        (where for where, element in _walk(root, root.tag) if element.tag == name and (element.text or "").strip()), ""
    )
    if found_at:
        return found(at, "health-path", element=name, found=found_at)
    return found(at, "health-incomplete", element=f"{root.tag}/{path}")


def _walk(element: ElementTree.Element, path: str) -> list[tuple[str, ElementTree.Element]]:
    below = [step for child in element for step in _walk(child, f"{path}/{child.tag}")]
    return [(path, element), *below]


def _shape_findings(report: Report, at: float) -> list[Finding]:
    findings = []
    state = {"ready": "Ready", "notready": "NotReady"}.get(report.state.lower())
    if state is None or (report.form == "xml" and report.state != state):
        return [found(at, "health-state", found=report.state)]
    if report.state != state:
        findings.append(found(at, "health-case", found=report.state))
    if state == "NotReady":
        if report.substatus not in ("Provisioning", "ProvisioningFailed"):
            findings.append(found(at, "health-substatus", found=report.substatus))
        if report.substatus == "ProvisioningFailed" and not report.description:
            findings.append(found(at, "health-no-description"))
    length = len(escape(report.description))
    if length > DESCRIPTION_LIMIT:
        findings.append(found(at, "health-too-long", length=length))
    return findings


def _identity_findings(report: Report, machine: Machine, at: float) -> list[Finding]:
    pairs = {
        "health-container": (report.container_id, machine.container_id),
        "health-instance": (report.instance_id, machine.instance_id),
        "health-incarnation": (report.incarnation, machine.incarnation),
    }
    return [found(at, code, found=mine, wanted=theirs) for code, (mine, theirs) in pairs.items() if mine != theirs]
