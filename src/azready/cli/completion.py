"""What a shell completes behind an option: names that azready knows. Loaded only when TAB is pressed there."""

from collections.abc import Iterable, Iterator
from pathlib import Path


def _beginning(names: Iterable[str], typed: str) -> list[str]:
    return [name for name in names if name.startswith(typed)]


def scenarios(incomplete: str) -> list[str]:
    """Scenarios that come with azready, and files that may be some."""
    from azready.fabric import scenario

    folder = Path(incomplete).parent if "/" in incomplete else Path()
    files = _beginning((str(path) for path in folder.glob("*.toml")), incomplete) if incomplete else []
    return [*_beginning(scenario.names(), incomplete), *files]


def rules(incomplete: str) -> list[tuple[str, str]]:
    """Rules, each with its title, where the shell shows such."""
    from azready.image.rules import RULES

    return [(rule.id, rule.title) for rule in RULES if rule.id.startswith(incomplete.upper())]


def machine_fields(incomplete: str) -> list[str]:
    """Fields of the VM, with the sign that a value follows."""
    from dataclasses import fields

    from azready.fabric.machine import Machine

    return _beginning((f"{field.name}=" for field in fields(Machine)), incomplete)


def settings(incomplete: str) -> list[str]:
    """Settings of the guest program; behind the sign, their values where there are few."""
    from azready.installed import manifest

    def words() -> Iterator[str]:
        for row in manifest()["setting"]:
            yield f"{row['key']}="
            if not isinstance(row["values"], str) and incomplete.startswith(f"{row['key']}="):
                yield from (f"{row['key']}={value}" for value in row["values"])

    return _beginning(words(), incomplete)


def silenced(incomplete: str) -> list[str]:
    """Agents that can be told to report no more."""
    from azready.image.parts.reporting import AGENTS

    return _beginning(AGENTS, incomplete)


def faults(incomplete: str) -> list[str]:
    """Keys of a fault; the ones before a comma stay as they are."""
    from dataclasses import fields

    from azready.fabric.faults import Fault

    before, comma, typed = incomplete.rpartition(",")
    keys = (f"{field.name.replace('_', '-')}=" for field in fields(Fault))
    return [f"{before}{comma}{key}" for key in _beginning(keys, typed)]
