"""Waivers: findings that somebody has looked at and accepts, each with its reason.

A TOML file; the rule's id is the key, the reason the value:

    [waivers]
    S01 = "reached over the serial console only"
    B03 = "our initramfs waits for the disk itself"
"""

from dataclasses import dataclass

from azready import toml
from azready.errors import UsageFailure


@dataclass(frozen=True)
class Waiver:
    """A rule whose findings are accepted, and why."""

    id: str
    reason: str


def parse_waivers(text: str, path: str) -> tuple[Waiver, ...]:
    """Read a waiver file. Raises UsageFailure where it is no TOML, or a reason is missing."""
    hint = 'write it like this:\n    [waivers]\n    S01 = "reached over the serial console only"'
    try:
        document = toml.loads(text)
    except ValueError as error:
        raise UsageFailure(f"{path} is not a waiver file: {error}", hint) from error
    table = document.get("waivers")
    if not isinstance(table, dict) or set(document) != {"waivers"}:
        raise UsageFailure(f"{path} must hold one table, [waivers]", hint)
    for id, reason in table.items():
        if not isinstance(reason, str) or not reason.strip():
            raise UsageFailure(f"{path}: the waiver of {id} gives no reason", hint)
    return tuple(Waiver(id, reason.strip()) for id, reason in table.items())
