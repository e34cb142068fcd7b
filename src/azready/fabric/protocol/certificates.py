"""The certificates of a goal state: a PFX, enveloped to the key that the asker shows (WALinuxAgent's exchange)."""

from azready.fabric.machine import Machine
from azready.fabric.protocol.findings import found
from azready.fabric.protocol.messages import Answer, Request, Response


def answer(request: Request, machine: Machine) -> Answer:
    note = found(request.at, "certificates-header", fault="not built yet")
    return Answer(Response(501), (note,))
