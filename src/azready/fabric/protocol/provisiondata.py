"""A **proposal**, not Azure: the WireServer serves what the provisioning medium holds, so that VMs need no drive.

After the design note "Replacing ovf-env.xml with WireServer provisioning endpoints" (public, of 2026), in its three
options: `secrets` (custom data and password alone, the rest is in IMDS), `ovf` (the document as it stands), `json`.
Served until the VM is known to be provisioned, then gone for ever (404); an unknown api-version gets 400, by which
a guest knows a host of the old kind. None of it is known to be served anywhere yet.
"""

import base64
from typing import Any

from azready.fabric.ledger import Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol import media
from azready.fabric.protocol.findings import found
from azready.fabric.protocol.messages import Answer, Request, json_answer, text

VERSIONS = ("2026-01-01",)
PATH = "/provisiondata"


def answer(request: Request, machine: Machine, ledger: Ledger) -> Answer:
    """Answer `/provisiondata…`. A machine without the proposal is a host of the old kind: 400."""
    version = request.parameter("api-version")
    if not machine.provisiondata or version not in VERSIONS:
        note = found(request.at, "provisiondata", fault=_why(machine, version))
        return Answer(json_answer(400, {"error": "Bad request"}), (note,))
    if ledger.ready is not None:
        return _gone(request, "the VM is provisioned")
    if machine.provisiondata == "secrets":
        return _secret(request, machine)
    if request.path.rstrip("/") != PATH:
        return _gone(request, f"there is no {request.path} in the form {machine.provisiondata}")
    if machine.provisiondata == "ovf":
        return Answer(text(200, media.ovf_env(machine), "application/xml"))
    return Answer(json_answer(200, _document(machine)))


def _why(machine: Machine, version: str | None) -> str:
    return f"the api-version {version!r} is not known" if machine.provisiondata else "this host has no such endpoint"


def _gone(request: Request, fault: str) -> Answer:
    return Answer(json_answer(404, {"error": "Not found"}), (found(request.at, "provisiondata", fault=fault),))


def _secret(request: Request, machine: Machine) -> Answer:
    """Custom data as base64, the password as it is; null, or nothing as text, where there is none."""
    values = {"/customData": _encoded(machine.custom_data), "/adminPassword": machine.admin_password or None}
    name = request.path.removeprefix(PATH).rstrip("/")
    if name not in values:
        return _gone(request, f"there is no {request.path} in the form secrets")
    if (request.parameter("format") or "json").lower() == "text":
        return Answer(text(200, values[name] or "", "text/plain"))
    return Answer(json_answer(200, values[name]))


def _document(machine: Machine) -> dict[str, Any]:
    path = f"/home/{machine.admin_username}/.ssh/authorized_keys"
    return {
        "adminUsername": machine.admin_username or None,
        "adminPassword": machine.admin_password or None,
        "customData": _encoded(machine.custom_data),
        "disableAdminAccount": False,
        "disablePasswordAuthentication": machine.disable_password_authentication,
        "hasCustomData": bool(machine.custom_data),
        "hostname": machine.computer_name,
        "location": machine.location,
        "platformFaultDomain": "0",
        "publicKeys": [{"keyData": key, "path": path} for key in machine.public_keys],
        "preprovisionedVm": machine.pps_type != "None",
        "preprovisionedVmType": machine.pps_type,
        "provisionGuestProxyAgent": machine.guest_proxy,
        "userData": _encoded(machine.user_data),
        "vmId": machine.vm_id,
    }


def _encoded(value: str) -> str | None:
    return base64.b64encode(value.encode()).decode() if value else None
