"""Metadata Security Protocol: what is asked of WireServer and IMDS has to be signed by the Guest Proxy Agent.

Facts: Azure/GuestProxyAgent (key_keeper/key.rs, hyper_client.rs): the agent asks for the channel's state, gets a key,
attests that it has it, and from then on puts date, claims and an HMAC-SHA256 over every request; two kinds of
requests need none. The host plugin has the WireServer's mode. What is not signed is answered 401, which
agents take for "not yet" (cloud-init, and the proposal that docs/fidelity.md names). A key that has been attested
is not given out again: decided here, and so are the words of refusals.
"""

import datetime
import hashlib
import hmac
import uuid
from urllib.parse import urlsplit

from azready.fabric.ledger import Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol.findings import found
from azready.fabric.protocol.messages import Answer, Request, Response, json_answer

SCHEME = "Azure-HMAC-SHA256"
AUTHORIZATION = "x-ms-azure-host-authorization"
CLAIMS = "x-ms-azure-host-claims"
DATE = "x-ms-azure-host-date"
PREFIX = "/secure-channel/"
_UNSIGNED = (("PUT", "/vmagentlog"), ("POST", "/machine/?comp=telemetrydata"))
"""What needs no signature: `should_skip_sig` of the agent."""


def refused(service: str, request: Request, machine: Machine) -> Answer | None:
    """What a service says to a request that is not signed; None where it may be served.

    With the mode audit it is served and only noted: then the answer has no response of its own (status 0).
    """
    mode = machine.msp_mode("imds" if service == "imds" else "wireserver")
    if mode == "disabled" or (service == "wireserver" and request.path.startswith(PREFIX)):
        return None
    if (request.method, request.target.lower()) in _UNSIGNED:
        return None
    fault = signature_fault(request, machine)
    if not fault:
        return None
    code = "msp-unsigned" if mode == "enforce" else "msp-audit"
    note = found(request.at, code, service=service, target=request.target, fault=fault)
    if mode == "audit":
        return Answer(Response(0), (note,))
    return Answer(json_answer(401, {"error": "Unauthorized"}), (note,))


def signature_fault(request: Request, machine: Machine) -> str:
    """What is wrong with a request's signature; empty when nothing is."""
    shown = request.header(AUTHORIZATION)
    if shown is None:
        return "it is not signed"
    scheme, _, rest = shown.partition(" ")
    guid, _, signature = rest.partition(" ")
    key, known = machine_key(machine)
    if scheme != SCHEME or guid != known:
        return f"it is signed with {scheme} {guid}, but the key is {SCHEME} {known}"
    missing = next((name for name in (CLAIMS, DATE) if request.header(name) is None), None)
    if missing:
        return f"it has no {missing}"
    if not hmac.compare_digest(signature.strip().lower(), signed(request, key)):
        return "its signature does not fit"
    return ""


def signed(request: Request, key: str) -> str:
    """The signature of a request, in hex: method, body, headers in order, path and parameters in order."""
    headers = {name.lower(): value.strip() for name, value in request.headers if name.lower() != AUTHORIZATION}
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    parts = urlsplit(request.target)
    text = b"\n".join((request.method.encode(), request.body, lines.encode("latin-1")))
    text += parts.path.encode("latin-1") + b"\n" + _parameters(parts.query).encode("latin-1")
    return hmac.new(bytes.fromhex(key), text, hashlib.sha256).hexdigest()


def _parameters(query: str) -> str:
    """Names in lower case, sorted with their values, as they came escaped; `=` only where there is a value."""
    pairs = {}
    for word in query.split("&"):
        name, _, value = word.partition("=")
        if name:
            pairs[name.lower() + value] = f"{name.lower()}={value}" if value else name.lower()
    return "&".join(pairs[key] for key in sorted(pairs))


def machine_key(machine: Machine) -> tuple[str, str]:
    """The machine's key in hex, and its id: the same in every run, and good for nothing else."""
    key = hashlib.sha256(f"azready/{machine.vm_id}/guest-proxy".encode()).hexdigest().upper()
    return key, str(uuid.uuid5(uuid.UUID(machine.vm_id), "guest-proxy-key"))


def answer(request: Request, machine: Machine, ledger: Ledger) -> Answer | None:
    """Answer `/secure-channel/…` of the WireServer; None for what is not below it."""
    if not request.path.startswith(PREFIX):
        return None
    key, guid = machine_key(machine)
    match request.method, request.path.rstrip("/"):
        case "GET", "/secure-channel/status":
            return Answer(json_answer(200, _status(machine, guid if latched(ledger) else None)))
        case "POST", "/secure-channel/key":
            return Answer(_key(key, guid) if not latched(ledger) else json_answer(403, {"error": "Forbidden"}))
        case "POST", path if path == f"/secure-channel/key/{guid}/key-attestation":
            fault = signature_fault(request, machine)
            if not fault:
                return Answer(Response(200))
            note = found(request.at, "msp-unsigned", service="wireserver", target=request.target, fault=fault)
            return Answer(json_answer(401, {"error": "Unauthorized"}), (note,))
    return None


def latched(ledger: Ledger) -> bool:
    """Whether a Guest Proxy Agent has shown that it holds the machine's key."""
    return any(one.target.endswith("/key-attestation") and one.status == 200 for one in ledger.exchanges)


def _status(machine: Machine, guid: str | None) -> dict[str, object]:
    rules = {
        endpoint: {"defaultAccess": "allow", "mode": machine.msp_mode(mode), "id": "", "rules": None}
        for endpoint, mode in (("imds", "imds"), ("wireserver", "wireserver"), ("hostga", "wireserver"))
    }
    return {
        "authorizationRules": rules if machine.guest_proxy else None,
        "authorizationScheme": SCHEME,
        "keyDeliveryMethod": "http",
        "keyGuid": guid,
        "keyIncarnationId": 1 if guid else None,
        "requiredClaimsHeaderPairs": ["isRoot"],
        "secureChannelEnabled": machine.guest_proxy,
        "version": "2.0",
    }


def _key(key: str, guid: str) -> Response:
    issued = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return json_answer(
        200, {"authorizationScheme": SCHEME, "incarnationId": 1, "guid": guid, "issued": issued, "key": key}
    )
