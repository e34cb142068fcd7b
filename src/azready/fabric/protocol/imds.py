"""The Instance Metadata Service, 169.254.169.254 port 80.

Rules from Microsoft's page "Azure Instance Metadata Service for virtual machines": `Metadata: true` demanded,
X-Forwarded-For refused, an api-version with every request (but /metadata/versions), parameters never twice,
json by default, leaves only with format=text, five requests a second and machine (twenty for identity), and its table
of errors. Their wording is recorded where docs/fidelity.md says so; elsewhere it is ours.
"""

from collections.abc import Callable
from typing import Any

from azready.fabric.ledger import Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol import attested, events, identity, instance, media
from azready.fabric.protocol.findings import found
from azready.fabric.protocol.messages import Answer, Request, Response, Rules, error_answer, json_answer, text

ROUTES = (
    ("GET", "/metadata/instance[/…]?api-version=…", "instance document, its sub-trees and leaves (format=text)"),
    ("GET", "/metadata/versions", "api-versions"),
    ("GET", "/metadata/attested/document?api-version=…", "signed document: signed by this fabric, not by Microsoft"),
    (
        "GET",
        "/metadata/identity/oauth2/token?api-version=…&resource=…",
        "a token that opens nothing; 400 without identity",
    ),
    ("GET", "/metadata/identity/info?api-version=…", "the tenant"),
    ("GET", "/metadata/scheduledevents?api-version=…", "the machine's events; POST starts them"),
    ("GET", "/metadata/loadbalancer?api-version=…", "404: there is none"),
    ("GET", "/metadata/reprovisiondata?api-version=…", "404, or the medium's ovf-env.xml with reprovision"),
)
SERVER = ("Server", "IMDS/150.870.65.476")
"""As recorded (azure-sdk-for-js#11369); clients tell IMDS from other metadata services by it."""
NO_LOAD_BALANCER = (
    "No load balancer metadata is found. Please check if your VM is using any non-basic SKU load balancer "
    "and retry later."
)
WRONG_VERSION = (
    "Bad request. api-version is invalid or was not specified in the request. "
    "For more information refer to aka.ms/azureimds"
)
_IDENTITY = "/metadata/identity"


def answer(request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    """Answer one request to IMDS of `machine`; `ledger` is read (the rate, events), never written."""
    answered = _refused(request, ledger, rules) or _served(request, machine, ledger, rules)
    said = answered.response
    return Answer(Response(said.status, said.body, (*said.headers, SERVER)), answered.notes)


def _served(request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    """Look at the version first, as the platform does, then at the path."""
    category, version = _category(request), request.parameter("api-version")
    if category is None:
        return _not_found(request)
    if category == "versions":
        return Answer(json_answer(200, {"apiVersions": list(instance.VERSIONS)}))
    if category == "scheduledevents":
        if version is None:
            return _wrong_version(request, version, events.VERSIONS)
        if version not in events.VERSIONS:
            note = found(request.at, "imds-version", found=version, known=events.VERSIONS[-1])
            return Answer(error_answer(404, "Not found"), (note,))
        return events.answer(request, machine, ledger, version)
    since = _SINCE.get(category, instance.INSTANCE_SINCE)
    if version not in instance.VERSIONS or version < since:
        return _wrong_version(request, version, instance.VERSIONS)
    match category:
        case "loadbalancer":
            note = found(request.at, "imds-absent", target=request.target)
            return Answer(error_answer(404, NO_LOAD_BALANCER), (note,))
        case "reprovisiondata":
            return _reprovision(request, machine, rules)
    serve = _CATEGORIES.get(category)
    return serve(request, machine, version) if serve else _not_found(request)


def _category(request: Request) -> str | None:
    """The word after /metadata; "" where there is none, None for what is not below it."""
    root, _, rest = request.path.strip("/").partition("/")
    return rest.partition("/")[0] if root == "metadata" else None


def _refused(request: Request, ledger: Ledger, rules: Rules) -> Answer | None:
    """What every endpoint refuses: method, headers, doubled parameters, and too many requests."""
    allowed = ("GET", "POST") if _category(request) == "scheduledevents" else ("GET",)
    if request.method not in allowed:
        refusal = error_answer(405, "Method not allowed").with_headers({"Allow": ", ".join(allowed)})
        return Answer(refusal, (found(request.at, "imds-method", method=request.method, allowed=" or ".join(allowed)),))
    if (request.header("Metadata") or "").strip().lower() != "true":
        code = "imds-probe" if request.path.startswith(_IDENTITY) else "imds-no-header"
        refusal = error_answer(400, "Bad request: . Required metadata header not specified")
        return Answer(refusal, (found(request.at, code),))
    if request.header("X-Forwarded-For") is not None:
        return Answer(
            error_answer(400, "Bad request: . X-Forwarded-For is not allowed"), (found(request.at, "imds-forwarded"),)
        )
    names = [name for name, _ in request.query]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        return Answer(error_answer(400, "Bad request"), (found(request.at, "imds-duplicate", name=doubled),))
    return _throttled(request, ledger, rules)


def _throttled(request: Request, ledger: Ledger, rules: Rules) -> Answer | None:
    """Each of the two limits counts its own requests: identity, and everything else."""
    mine = request.path.startswith(_IDENTITY)
    rate = rules.identity_rate if mine else rules.imds_rate

    if not rules.strict or ledger.answered_since("imds", request.at - 1.0, rate, _IDENTITY, mine) < rate:
        return None
    note = found(request.at, "imds-rate", rate=rate)
    return Answer(error_answer(429, "Too many requests").with_headers({"Retry-After": "1"}), (note,))


def _instance(request: Request, machine: Machine, version: str) -> Answer:
    extended = (request.parameter("extended") or "").lower() == "true"
    node: Any = instance.document(machine, version, extended)
    for step in request.path.strip("/").split("/")[2:]:
        found_it, deeper = _step(node, step)
        if not found_it:
            code = "imds-absent" if isinstance(node, list) and step.isdecimal() else "imds-unknown-path"
            return Answer(error_answer(404, "Not found"), (found(request.at, code, target=request.target),))
        node = deeper
    form = (request.parameter("format") or "json").lower()
    if form == "text":
        return Answer(text(200, _as_text(node), "text/plain; charset=utf-8"))
    if form == "json" and isinstance(node, dict | list):
        return Answer(json_answer(200, node))
    note = found(request.at, "imds-format", target=request.target, found=form)
    return Answer(error_answer(400, "Bad request"), (note,))


def _step(node: Any, key: str) -> tuple[bool, Any]:
    if isinstance(node, dict) and key in node:
        return True, node[key]
    if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
        return True, node[int(key)]
    return False, None


def _as_text(node: Any) -> str:
    """A leaf as it is; a tree as its keys, one a line, those that lead further with a slash."""
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else None
    if items is None:
        return str(node).lower() if isinstance(node, bool) else str(node)
    return "\n".join(f"{key}/" if isinstance(value, dict | list) else str(key) for key, value in items)


def _attested(request: Request, machine: Machine, version: str) -> Answer:
    if request.path.rstrip("/") != "/metadata/attested/document":
        return _not_found(request)
    return Answer(json_answer(200, attested.document(machine, version, request.parameter("nonce"))))


def _reprovision(request: Request, machine: Machine, rules: Rules) -> Answer:
    if rules.reprovision:
        return Answer(text(200, media.ovf_env(machine), "text/xml; charset=utf-8"))
    return Answer(error_answer(404, "Not found"), (found(request.at, "imds-reprovision"),))


_CATEGORIES: dict[str, Callable[[Request, Machine, str], Answer]] = {
    "instance": _instance,
    "attested": _attested,
    "identity": identity.answer,
}
_SINCE = {
    "attested": "2018-10-01",
    "identity": "2018-02-01",
    "loadbalancer": "2020-10-01",
    "reprovisiondata": "2019-06-01",
}


def _wrong_version(request: Request, version: str | None, known: tuple[str, ...]) -> Answer:
    newest = list(reversed(known))[:3]
    code = "imds-discovery" if version is None else "imds-version"
    note = found(request.at, code, found=version, known=known[-1])
    return Answer(json_answer(400, {"error": WRONG_VERSION, "newest-versions": newest}), (note,))


def _not_found(request: Request) -> Answer:
    note = found(request.at, "imds-unknown-path", target=request.target)
    return Answer(error_answer(404, "Not found"), (note,))
