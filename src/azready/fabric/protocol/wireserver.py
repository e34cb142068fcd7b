"""The WireServer, 168.63.129.16 port 80: goal state, health reports, and the documents of the goal state.

Facts: WALinuxAgent (common/protocol/{wire,goal_state}.py), cloud-init (sources/helpers/azure.py), afterburn,
Azure/linux-provisioning, and Microsoft's page "Create generalized images without a provisioning agent".
"""

from collections.abc import Callable
from xml.etree import ElementTree

from azready.fabric.ledger import Finding, HealthReport, Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol import goalstate, health, provisiondata, secure_channel
from azready.fabric.protocol.findings import found
from azready.fabric.protocol.messages import Answer, Request, Response, Rules, text
from azready.fabric.protocol.xml import escape

ROUTES = (
    ("GET", "/?comp=versions", "protocol versions"),
    ("GET", "/machine?comp=goalstate", "goal state (also /machine/?comp=goalstate)"),
    ("GET", "/machine/CONTAINER/INSTANCE?comp=config&type=…", "hostingEnvironmentConfig, sharedConfig, …"),
    ("GET", "/machine/CONTAINER/INSTANCE?comp=certificates", "certificates, encrypted to the asker's key"),
    ("POST", "/machine?comp=health", "health report, XML"),
    ("POST", "/provisioning/health", "health report, JSON"),
    ("GET", "/secure-channel/status", "Metadata Security Protocol: its modes; the key is below /secure-channel/key"),
    ("GET", "/provisiondata?api-version=…", "a proposal, for machines that have it: the medium's data"),
    ("POST", "/machine?comp=roleProperties", "role properties"),
    ("POST", "/machine?comp=telemetrydata", "telemetry, accepted and dropped"),
    ("POST", "/HealthService", "agents' observations of the host, accepted and dropped"),
)

Handler = Callable[[Request, Machine, Ledger, Rules], Answer]
FALLBACK_HOST = "168.63.129.16:80"
INCARNATION_HEADER = "x-ms-latest-goal-state-incarnation-number"
"""In the answer to a health report: WALinuxAgent 2.0, reyk/cloud-agent and two C++ agents read it."""


def answer(request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    """Answer one request to the WireServer of `machine`; `ledger` is read (what was asked before), never written."""
    if request.path == provisiondata.PATH or request.path.startswith(f"{provisiondata.PATH}/"):
        if request.method == "GET":
            return provisiondata.answer(request, machine, ledger)
    elif (channel := secure_channel.answer(request, machine, ledger)) is not None:
        return channel
    handler, methods, versioned = _route(request, machine)
    if handler is None:
        note = found(request.at, "wire-unknown-path", method=request.method, target=request.target)
        return Answer(_error(404, "ResourceNotFound", "The specified resource does not exist."), (note,))
    if request.method not in methods:
        allowed = " or ".join(methods)
        note = found(request.at, "wire-method", method=request.method, target=request.target, allowed=allowed)
        refusal = _error(405, "UnsupportedHttpVerb", "The resource does not support the HTTP verb.")
        return Answer(refusal.with_headers({"Allow": ", ".join(methods)}), (note,))
    notes = _version_findings(request) if versioned else ()
    if notes and (rules.strict or notes[0].code == "wire-version"):
        return Answer(_error(400, "MissingOrInvalidRequiredHeader", "x-ms-version is missing or not supported."), notes)
    answered = handler(request, machine, ledger, rules)
    return Answer(answered.response, notes + answered.notes)


def _route(request: Request, machine: Machine) -> tuple[Handler | None, tuple[str, ...], bool]:
    """The handler of a request, the methods that it takes, and whether it demands x-ms-version."""
    comp, path = request.parameter("comp"), request.path
    if path == "/provisioning/health":
        return _json_health, ("POST",), False
    if path.rstrip("/") == "/HealthService":
        return _accepted, ("POST",), False
    if path == "/" and comp == "versions":
        return _versions, ("GET",), False
    if path.rstrip("/") == "/machine" and comp in _MACHINE_ROUTES:
        handler, method = _MACHINE_ROUTES[comp]
        return handler, (method,), True
    if path.startswith("/machine/") and comp == "config" and request.parameter("type") in goalstate.DOCUMENTS:
        return _config, ("GET",), True
    if path.startswith("/machine/") and comp == "certificates" and machine.certificates:
        return _certificates, ("GET",), True
    return None, (), False


def _version_findings(request: Request) -> tuple[Finding, ...]:
    version = request.header("x-ms-version")
    if version is None:
        return (found(request.at, "wire-no-version", method=request.method, target=request.target),)
    if version not in goalstate.VERSIONS:
        return (found(request.at, "wire-version", version=version),)
    return ()


def _versions(request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    return Answer(_xml(200, goalstate.versions()))


def _goal_state(request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    host, version = request.header("Host") or FALLBACK_HOST, request.header("x-ms-version") or goalstate.USUAL
    return Answer(_xml(200, goalstate.goal_state(machine, host, version)))


def _config(request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    document = goalstate.DOCUMENTS[request.parameter("type") or ""]
    return _linked(request, machine, rules, lambda: Answer(_xml(200, document(machine))))


def _certificates(request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    from azready.fabric.protocol import certificates  # cryptography is slow to load, and seldom needed

    return _linked(request, machine, rules, lambda: certificates.answer(request, machine))


def _linked(request: Request, machine: Machine, rules: Rules, serve: Callable[[], Answer]) -> Answer:
    """Serve a document of the goal state, to those who follow a link of the newest one."""
    ids = request.path.removeprefix("/machine/").split("/")
    incarnation = request.parameter("incarnation")
    if ids == [machine.container_id, machine.instance_id] and incarnation in (None, machine.incarnation):
        return serve()
    note = found(request.at, "wire-stale-link", target=request.target)
    if rules.strict or ids != [machine.container_id, machine.instance_id]:
        return Answer(_error(410, "ResourceGone", "The goal state has changed: get it again."), (note,))
    answered = serve()
    return Answer(answered.response, (note, *answered.notes))


def _xml_health(request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    notes = _posting_findings(request, "text/xml", "x-ms-agent-name")
    if not any(_is_goal_state_request(one.target) and one.status == 200 for one in ledger.exchanges):
        notes += (found(request.at, "health-unasked"),)
    report, faults = health.read_xml(request.body, request.at)
    return _judged(request, machine, ledger, rules, report, notes + faults)


def _json_health(request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    version = request.parameter("api-version")
    proposed = bool(machine.provisiondata and version)
    if proposed and version not in provisiondata.VERSIONS:
        return provisiondata.answer(request, machine, ledger)
    notes = _posting_findings(request, "application/json", "x-ms-guest-agent-name")
    report, faults = health.read_json(request.body, request.at, proposed)
    return _judged(request, machine, ledger, rules, report, notes + faults)


def _is_goal_state_request(target: str) -> bool:
    return target.startswith("/machine") and "comp=goalstate" in target


def _judged(
    request: Request,
    machine: Machine,
    ledger: Ledger,
    rules: Rules,
    report: health.Report | None,
    notes: tuple[Finding, ...],
) -> Answer:
    newest = {INCARNATION_HEADER: machine.incarnation}
    if report is None:
        return Answer(_error(400, "InvalidInput", "The health report cannot be read.").with_headers(newest), notes)
    judgement = health.judge(report, machine, request.at, rules.strict)
    entry = HealthReport(
        request.at,
        report.form,
        report.state,
        report.substatus,
        report.description,
        judgement.accepted,
        request.header("x-ms-agent-name") or request.header("x-ms-guest-agent-name") or "",
    )
    notes += judgement.findings + (_history_findings(entry, ledger) if entry.accepted else ())
    if judgement.accepted:
        return Answer(Response(judgement.status).with_headers(newest), (*notes, entry))
    refusals = {400: ("InvalidInput", "The health report is not valid."), 410: ("ResourceGone", "Goal state changed.")}
    return Answer(_error(judgement.status, *refusals[judgement.status]).with_headers(newest), (*notes, entry))


def _history_findings(report: HealthReport, ledger: Ledger) -> tuple[Finding, ...]:
    before = ledger.ready
    if before is None:
        return ()
    if report.state.lower() == "ready":
        return (found(report.at, "health-again", since=before.at),)
    return (found(report.at, "health-after-ready", state=report.state, substatus=report.substatus),)


def _posting_findings(request: Request, wanted: str, agent_header: str) -> tuple[Finding, ...]:
    notes: tuple[Finding, ...] = ()
    content_type = request.header("Content-Type") or ""
    if content_type.partition(";")[0].strip().lower() != wanted:
        notes += (found(request.at, "wire-content-type", found=content_type, wanted=wanted),)
    if not request.header(agent_header):
        notes += (found(request.at, "wire-no-agent-name", header=agent_header),)
    return notes


def _role_properties(request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    """Role properties (an SSH host key's thumbprint): 202 is success, as WALinuxAgent's wire.py demands."""
    wanted = "RoleProperties/Container/{ContainerId,RoleInstances/RoleInstance/{Id,Properties/Property}}"
    fault = ""
    try:
        root = ElementTree.fromstring(request.body)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        fault = str(error)
    else:
        path = "Container/RoleInstances/RoleInstance"
        ids = (root.findtext("Container/ContainerId"), root.findtext(f"{path}/Id"))
        if root.tag != "RoleProperties" or root.find(f"{path}/Properties/Property") is None:
            fault = "not of the documented form"
        elif ids != (machine.container_id, machine.instance_id):
            fault = f"the ids are {ids}"
    if fault:
        note = found(request.at, "role-properties", fault=fault, wanted=wanted)
        return Answer(_error(400, "InvalidInput", "The role properties cannot be used."), (note,))
    return Answer(Response(202))


def _accepted(request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    return Answer(Response(200))


_MACHINE_ROUTES: dict[str | None, tuple[Handler, str]] = {
    "goalstate": (_goal_state, "GET"),
    "health": (_xml_health, "POST"),
    "roleProperties": (_role_properties, "POST"),
    "telemetrydata": (_accepted, "POST"),
}


def _xml(status: int, body: str) -> Response:
    return text(status, body, "text/xml; charset=utf-8")


def _error(status: int, code: str, message: str) -> Response:
    """The WireServer's error document; WALinuxAgent looks for its Code."""
    return _xml(
        status,
        f"{goalstate.DECLARATION}<Error><Code>{code}</Code><Message>{escape(message)}</Message><Details/></Error>",
    )
