"""The Instance Metadata Service, 169.254.169.254 port 80.

Rules from Microsoft's page "Azure Instance Metadata Service for virtual machines": `Metadata: true` demanded,
X-Forwarded-For refused, an api-version with every request (but /metadata/versions), parameters never twice,
json by default, leaves only with format=text, five requests a second and machine, and its table of errors.
Wording of the errors is ours where the page gives none.
"""

import json
from collections.abc import Callable
from typing import Any

from azready.fabric.ledger import Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol import attested, instance, media
from azready.fabric.protocol.findings import found
from azready.fabric.protocol.messages import Answer, Request, Response, Rules, text

ROUTES = (
    ("GET", "/metadata/instance[/…]?api-version=…", "instance document, its sub-trees and leaves (format=text)"),
    ("GET", "/metadata/versions", "api-versions"),
    ("GET", "/metadata/attested/document?api-version=…", "signed document: signed by this fabric, not by Microsoft"),
    ("GET", "/metadata/identity/oauth2/token?api-version=…&resource=…", "a token that opens nothing"),
    ("GET", "/metadata/scheduledevents?api-version=…", "no events"),
    ("GET", "/metadata/reprovisiondata?api-version=…", "404, or the medium's ovf-env.xml with reprovision"),
)
Serve = Callable[[Request, Machine, str], Answer]


def answer(request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    """Answer one request to IMDS of `machine`; `ledger` is read (the rate), never written."""
    refused = _refused(request, ledger, rules)
    if refused is not None:
        return refused
    root, _, category = request.path.strip("/").partition("/")
    category = category.partition("/")[0]
    if root != "metadata" or (category not in _CATEGORIES and category != "versions"):
        return _not_found(request)
    if category == "versions":
        return Answer(_json(200, {"apiVersions": list(instance.VERSIONS)}))
    serve, since = _CATEGORIES[category]
    version = request.parameter("api-version")
    if version not in instance.VERSIONS or version < since:
        return _wrong_version(request, version)
    if category == "reprovisiondata" and not rules.reprovision:
        refusal = _not_found(request)
        return Answer(refusal.response, (found(request.at, "imds-reprovision"),))
    return serve(request, machine, version)


def _refused(request: Request, ledger: Ledger, rules: Rules) -> Answer | None:
    """What every endpoint refuses: method, headers, doubled parameters, and too many requests."""
    if request.method != "GET":
        refusal = _error(405, "Method not allowed").with_headers({"Allow": "GET"})
        return Answer(refusal, (found(request.at, "imds-method", method=request.method),))
    if (request.header("Metadata") or "").strip().lower() != "true":
        note = found(request.at, "imds-no-header")
        return Answer(_error(400, "Bad request. Required metadata header not specified"), (note,))
    if request.header("X-Forwarded-For") is not None:
        note = found(request.at, "imds-forwarded")
        return Answer(_error(400, "Bad request. X-Forwarded-For is not allowed"), (note,))
    names = [name for name, _ in request.query]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        note = found(request.at, "imds-duplicate", name=doubled)
        return Answer(_error(400, f"Bad request. Parameter {doubled} was given more than once"), (note,))
    if ledger.answered_since("imds", request.at - 1.0, rules.imds_rate) >= rules.imds_rate:
        note = found(request.at, "imds-rate", rate=rules.imds_rate)
        if rules.strict:
            return Answer(_error(429, "Too many requests").with_headers({"Retry-After": "1"}), (note,))
        return None
    return None


def _instance(request: Request, machine: Machine, version: str) -> Answer:
    extended = (request.parameter("extended") or "").lower() == "true"
    node: Any = instance.document(machine, version, extended)
    for step in request.path.strip("/").split("/")[2:]:
        found_it, node = _step(node, step)
        if not found_it:
            return _not_found(request)
    form = (request.parameter("format") or "json").lower()
    if form == "text":
        return Answer(text(200, _as_text(node), "text/plain; charset=utf-8"))
    if form == "json" and isinstance(node, dict | list):
        return Answer(_json(200, node))
    note = found(request.at, "imds-format", target=request.target, found=form)
    return Answer(_error(400, f"Bad request. The format {form} cannot be had here: use format=text"), (note,))


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
    return Answer(_json(200, attested.document(machine, version, request.parameter("nonce"))))


def _identity(request: Request, machine: Machine, version: str) -> Answer:
    if request.path.rstrip("/") != "/metadata/identity/oauth2/token":
        return _not_found(request)
    resource = request.parameter("resource")
    if not resource:
        note = found(request.at, "imds-parameter", target=request.path, name="resource")
        fault = {"error": "invalid_request", "error_description": "Required query variable 'resource' is missing"}
        return Answer(_json(400, fault), (note,))
    return Answer(_json(200, attested.token(machine, resource)))


def _events(request: Request, machine: Machine, version: str) -> Answer:
    return Answer(_json(200, {"DocumentIncarnation": 1, "Events": []}))


def _reprovision(request: Request, machine: Machine, version: str) -> Answer:
    return Answer(text(200, media.ovf_env(machine), "text/xml; charset=utf-8"))


_CATEGORIES: dict[str, tuple[Serve, str]] = {
    "instance": (_instance, instance.INSTANCE_SINCE),
    "attested": (_attested, "2018-10-01"),
    "identity": (_identity, "2018-02-01"),
    "scheduledevents": (_events, "2017-03-01"),
    "reprovisiondata": (_reprovision, "2019-06-01"),
}


def _wrong_version(request: Request, version: str | None) -> Answer:
    fault = (
        "Bad request. api-version is invalid or was not specified in the request. "
        "For more information refer to aka.ms/azureimds"
    )
    newest = list(reversed(instance.VERSIONS))[:3]
    note = found(request.at, "imds-version", found=version)
    return Answer(_json(400, {"error": fault, "newest-versions": newest}), (note,))


def _not_found(request: Request) -> Answer:
    note = found(request.at, "imds-unknown-path", target=request.target)
    return Answer(_error(404, "Not found"), (note,))


def _error(status: int, fault: str) -> Response:
    return _json(status, {"error": fault})


def _json(status: int, value: Any) -> Response:
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text(status, body, "application/json; charset=utf-8")
