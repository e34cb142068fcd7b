"""Managed identity, `/metadata/identity`: tokens for identities that the machine has, and for no others.

What a VM without an identity is told is recorded (azure-sdk-for-go#15377, terraform-provider-azapi#669). Tokens have
the form of Microsoft's, since clients decode them (az reads oid, tid and xms_mirid), but are not signed, and their
issuer says what they are: they open nothing.
"""

import base64
import json
import time
import uuid
from typing import Any

from azready.fabric.machine import Machine
from azready.fabric.protocol.findings import found
from azready.fabric.protocol.messages import Answer, Request, json_answer

ISSUER = "https://azready.invalid/local-azure-issues-no-real-tokens/"
VALID_SECONDS = 86399
SYSTEM = "system"

SELECTORS = ("client_id", "object_id", "principal_id", "mi_res_id", "msi_res_id")
"""Parameters that name a user-assigned identity."""


def answer(request: Request, machine: Machine, version: str) -> Answer:
    """Answer `/metadata/identity/…`: the tenant (info), or a token."""
    match request.path.rstrip("/"):
        case "/metadata/identity/info":
            return Answer(json_answer(200, {"tenantId": machine.tenant_id}))
        case "/metadata/identity/oauth2/token":
            return _token(request, machine)
    note = found(request.at, "imds-unknown-path", target=request.target)
    return Answer(json_answer(404, {"error": "Not Found"}), (note,))


def _token(request: Request, machine: Machine) -> Answer:
    resource = request.parameter("resource")
    if not resource:
        note = found(request.at, "imds-parameter", target=request.path, name="resource")
        return Answer(_refused("Required query variable 'resource' is missing"), (note,))
    chosen, fault = _chosen(request, machine)
    if not chosen:
        return Answer(_refused(fault), (found(request.at, "imds-identity", fault=fault),))
    return Answer(json_answer(200, _granted(machine, chosen, resource)))


def _refused(description: str) -> Any:
    return json_answer(400, {"error": "invalid_request", "error_description": description})


def _chosen(request: Request, machine: Machine) -> tuple[str, str]:
    """The identity that a request means, or "" and why there is none."""
    asked = next(((name, value) for name in SELECTORS if (value := request.parameter(name))), None)
    users = [one for one in machine.identity if one != SYSTEM]
    if asked is not None:
        name, value = asked
        known = {_named(machine, one)[name].lower(): one for one in users}
        return known.get(value.lower(), ""), "Identity not found"
    if SYSTEM in machine.identity:
        return SYSTEM, ""
    if len(users) > 1:
        return "", (
            "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity "
            "in the token request"
        )
    return (users[0] if users else ""), "Identity not found"


def _named(machine: Machine, identity: str) -> dict[str, str]:
    """Every way to name an identity: parameter → value. Object ids are made from the machine and the identity."""
    client = machine.vm_id if identity == SYSTEM else identity
    scope = machine.resource_id.rpartition("/providers/")[0]
    object_id = str(uuid.uuid5(uuid.UUID(machine.vm_id), f"identity/{client}"))
    resource = (
        machine.resource_id
        if identity == SYSTEM
        else f"{scope}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{client}"
    )
    ids = {"client_id": client, "object_id": object_id, "principal_id": object_id}
    return {**ids, "mi_res_id": resource, "msi_res_id": resource}


def _granted(machine: Machine, identity: str, resource: str) -> dict[str, Any]:
    """The token endpoint's answer, in its form (all values strings)."""
    now, names = int(time.time()), _named(machine, identity)
    claims = {
        "aud": resource,
        "iss": f"{ISSUER}{machine.tenant_id}/",
        "iat": now,
        "nbf": now,
        "exp": now + VALID_SECONDS,
        "appid": names["client_id"],
        "idtyp": "app",
        "oid": names["object_id"],
        "sub": names["object_id"],
        "tid": machine.tenant_id,
        "ver": "1.0",
        "xms_mirid": names["mi_res_id"],
    }
    return {
        "access_token": f"{_encoded({'typ': 'JWT', 'alg': 'none'})}.{_encoded(claims)}.",
        "client_id": names["client_id"],
        "expires_in": str(VALID_SECONDS),
        "expires_on": str(now + VALID_SECONDS),
        "ext_expires_in": str(VALID_SECONDS),
        "not_before": str(now),
        "resource": resource,
        "token_type": "Bearer",
    }


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part, separators=(",", ":")).encode()).decode().rstrip("=")
