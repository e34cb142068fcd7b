"""Every rule, in one table: areas in the order of a report, rules in the order of their modules."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from azready.image.rules import (
    accounts,
    agents,
    boot,
    disk,
    firewall,
    firmware,
    history,
    hygiene,
    identity,
    kernel,
    network,
    platform,
    provisioning,
    services,
    ssh,
    startup,
)
from azready.image.rules.model import Rule


@dataclass(frozen=True)
class Area:
    """A part of an image: the page of its rules, and what it is called."""

    name: str
    title: str
    modules: tuple[ModuleType, ...]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Its rules, by id."""
        return tuple(sorted(_rules_of(self.modules), key=lambda rule: rule.id))


AREAS = (
    Area("kernel", "Kernel, initramfs and drivers", (kernel,)),
    Area("boot", "Boot loader, command line and console", (boot, firmware, startup)),
    Area("disk", "Disk image and file systems", (disk,)),
    Area("network", "Network", (network, firewall)),
    Area("ssh", "SSH", (ssh,)),
    Area("accounts", "Accounts and sudo", (accounts,)),
    Area("services", "Provisioning, services, time", (provisioning, agents, services, hygiene, platform)),
    Area("identity", "Identity and traces that a generalized image must not carry", (identity, history)),
)


def _rules_of(modules: tuple[ModuleType, ...]) -> Iterator[Rule]:
    for module in modules:
        yield from (each for each in vars(module).values() if isinstance(each, Rule))


RULES: tuple[Rule, ...] = tuple(rule for area in AREAS for rule in area.rules)
