"""The platform's HTTP services as one function: which protocol answers, and what has to be signed first."""

from collections.abc import Callable

from azready.fabric.ledger import Ledger, Service
from azready.fabric.machine import Machine
from azready.fabric.protocol import hostplugin, imds, secure_channel, wireserver
from azready.fabric.protocol.messages import Answer, Request, Rules

PROTOCOLS: dict[Service, Callable[[Request, Machine, Ledger, Rules], Answer]] = {
    "wireserver": wireserver.answer,
    "imds": imds.answer,
    "hostplugin": hostplugin.answer,
}


def answer(service: Service, request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    """Answer one request to a service of `machine`'s platform; `ledger` is read, never written."""
    if not machine.guest_proxy:
        return PROTOCOLS[service](request, machine, ledger, rules)
    refused = secure_channel.refused(service, request, machine)
    if refused is not None and refused.response.status:
        return refused
    answered = PROTOCOLS[service](request, machine, ledger, rules)
    return Answer(answered.response, (refused.notes if refused else ()) + answered.notes)
