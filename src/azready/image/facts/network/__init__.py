"""How an image gets its address: which network stacks start, and what each makes of the first card.

A stack is one `Stack` record: how it is known, what it reads, and what would make it ask. A small one is a row of
`others.STACKS`. What a reader says is held to the stack's own program in tests/image/network.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from azready.image.facts.network import ifcfg, ifupdown, networkd, networkmanager, others
from azready.image.facts.network.model import FIRST_NIC, Line, Nic, Profile, Reading, Scene, Stack
from azready.image.facts.network.naming import first_nic
from azready.image.facts.network.netplan import Netplan, gather_netplan
from azready.image.facts.units import Units
from azready.image.targets import Files

__all__ = ["FIRST_NIC", "STACKS", "Line", "Network", "Nic", "Profile", "Reading", "gather_network"]

STACKS: tuple[Stack, ...] = (
    networkd.STACK,
    networkmanager.STACK,
    ifupdown.STACK,
    *ifcfg.STACKS,
    *others.STACKS,
)


@dataclass(frozen=True)
class Network:
    """The stacks that start at boot, those whose program is there, the first card as they meet it, and what each stack
    makes of it (those that do not start, too)."""

    stacks: tuple[str, ...]
    installed: tuple[str, ...]
    nic: Nic
    readings: Mapping[str, Reading]
    netplan: Netplan

    @property
    def asking(self) -> tuple[str, ...]:
        """The stacks that start and ask for an IPv4 address on the first card."""
        return tuple(stack for stack in self.stacks if self.readings[stack].asks)

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """Every profile of every stack, each once."""
        read = [each for reading in self.readings.values() for each in reading.profiles]
        return tuple(dict.fromkeys([*read, *self.netplan.networkd, *self.netplan.networkmanager]))

    @property
    def netplan_starts_networkd(self) -> bool:
        """Whether netplan's generator starts networkd at boot, enabled or not: a file has something for it."""
        return self.netplan.installed and bool(self.netplan.networkd)


def gather_network(files: Files, units: Units) -> Network:
    """Read every stack's configuration, also of stacks that do not start."""
    netplan = gather_netplan(files)
    made = netplan if netplan.installed else Netplan()
    nic = first_nic(files, made.set_names)
    taken = any(each.applies_to(nic) for each in made.networkd)
    handed = {"networkd": made.networkd, "networkmanager": made.networkmanager}
    started = [stack.name for stack in STACKS if _starts(files, units, stack)]
    if made.networkd and "networkd" not in started and not units.masked & set(networkd.STACK.units[:1]):
        started.insert(0, "networkd")
    return Network(
        tuple(started),
        tuple(stack.name for stack in STACKS if files.glob(stack.program)),
        nic,
        {stack.name: stack.read(Scene(files, nic, units, handed.get(stack.name, ()), taken)) for stack in STACKS},
        netplan,
    )


def _starts(files: Files, units: Units, stack: Stack) -> bool:
    if units.enabled(*stack.units):
        return True
    masked = any(f"{script}.service" in units.masked for script in stack.scripts)
    return not masked and any(files.glob(f"etc/rc[2-5S].d/S[0-9][0-9]{script}") for script in stack.scripts)
