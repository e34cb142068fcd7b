"""A local Azure as a guest sees it: WireServer, IMDS, DHCP, provisioning medium, KVP; with a ledger and a verdict.

    from azready.fabric import Fabric, Machine

    with Fabric(Machine(name="web-1"), strict=True) as fabric:
        ...                                  # run an agent against fabric.imds_url and fabric.wireserver_url
        verdict = fabric.verdict(deadline=30)
        assert verdict.provisioned, verdict

Names are loaded when they are first used, so that importing this package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azready.fabric.faults import Fault
    from azready.fabric.ledger import Exchange, Finding, HealthReport, Ledger
    from azready.fabric.machine import Machine
    from azready.fabric.protocol.messages import Rules
    from azready.fabric.serve.live import Fabric
    from azready.fabric.verdict import Verdict

_HOMES = {
    "Exchange": "ledger",
    "Fabric": "serve.live",
    "Fault": "faults",
    "Finding": "ledger",
    "HealthReport": "ledger",
    "Ledger": "ledger",
    "Machine": "machine",
    "Rules": "protocol.messages",
    "Verdict": "verdict",
}

__all__ = ["Exchange", "Fabric", "Fault", "Finding", "HealthReport", "Ledger", "Machine", "Rules", "Verdict"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
